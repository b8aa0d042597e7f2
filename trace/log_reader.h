/*
 * log_reader.h -- reads proxy.ndjson (design section 6) into the values that the tap's end records
 * carry.
 *
 * Any well-formed line is accepted, members it does not know are skipped; a wrong one is refused
 * with file, line and member.
 */
#ifndef TRACE_LOG_READER_H
#define TRACE_LOG_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"
#include "common/exchange_record.h"
#include "trace/log_line.h"

#define LOG_ERROR_MAX 512
#define LOG_LINE_MAX  (1024 * 1024)

struct log_reader;

/* NULL: err says why. */
struct log_reader *log_reader_open(const char *path, char err[LOG_ERROR_MAX]) MUST_CHECK;
void log_reader_close(struct log_reader *r);

enum log_result {
	LOG_RECORD,
	LOG_END,    /* also before a last line that is torn: see log_reader_is_torn() */
	LOG_BROKEN, /* err says where and why; nothing more can be read */
};

enum log_result log_reader_next(struct log_reader *r, struct exchange_record *x,
				struct log_tls *tls, char err[LOG_ERROR_MAX]) MUST_CHECK;

/*
 * The next line as it stands, valid until the next call; the last one may lack its newline. What is
 * in it is not looked at: never LOG_BROKEN for that.
 */
enum log_result log_reader_line(struct log_reader *r, const char **line, size_t *len,
				char err[LOG_ERROR_MAX]) MUST_CHECK;

/* Lines given out so far: the number of the last one. */
uint64_t log_reader_number(const struct log_reader *r);

/*
 * The file ended in the middle of a line (a crash, or it is being written): that line was left out.
 */
bool log_reader_is_torn(const struct log_reader *r);

/* One line, with or without its newline. False: err names the member and what is wrong with it. */
bool log_line_parse(const char *line, size_t len, struct exchange_record *x, struct log_tls *tls,
		    char err[LOG_ERROR_MAX]) MUST_CHECK;

/* The same by jansson alone: what the proxy's own form (log_line.h) is measured by. */
bool log_line_parse_json(const char *line, size_t len, struct exchange_record *x,
			 struct log_tls *tls, char err[LOG_ERROR_MAX]) MUST_CHECK;

#endif
