/*
 * records_reader.h -- reads flows.ndjson, conns.ndjson and proxy.ndjson (design section 6) for display.
 *
 * Lines stream: one is in memory at a time, and files of any length, also ones that still grow, may be read.
 * A last line without its newline is not a line yet. Unknown members are skipped, missing ones are as
 * null: only `id` (of a connection `leg`) must be there.
 */
#ifndef TRACE_RECORDS_READER_H
#define TRACE_RECORDS_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/attrib.h"
#include "common/exchange_record.h"
#include "common/tls_marks.h"
#include "trace/part.h"
#include "trace/phases.h"
#include "trace/stream.h"
#include "trace/waits.h"

#define ROW_KEY_MAX       20 /* ids and runs, NUL included */
#define ROW_WORD_MAX      32
#define ROW_ERROR_MAX     256
#define RECORDS_ERROR_MAX 512
#define RECORDS_LINE_MAX  (256u << 20)

/* A range of one leg. there == false: null, nothing else is set. */
struct row_part {
	bool there;
	uint64_t seq; /* relative: the first data byte of the direction is 1 */
	uint64_t len;
	uint64_t next_seq;
	struct frame_list frames;
	uint32_t acked_in; /* 0: null */
	int64_t acked_us;
	uint64_t retransmitted_bytes;
	struct frame_list retransmitted_in;
	uint64_t missing_bytes;
};

struct row_handshake {
	bool there;
	struct frame_list frames;
	int64_t us;
};

struct row_tls_message {
	struct frame_list frames;
	int64_t us; /* since the ClientHello's first packet; -1: null */
};

/* A TLS handshake, in the line of the connection and of its first exchange. */
struct row_tls {
	bool there;
	uint16_t version; /* as on the wire; 0: null */
	bool resumed;
	bool failed;
	struct row_tls_message at[TLS_MARK_COUNT];
	int64_t us; /* the whole of it; -1: null */
};

struct row_close {
	bool there;
	char by[ROW_WORD_MAX];
	char how[ROW_WORD_MAX];
	struct frame_list frames;
};

/* One word of `labels`. */
struct row_label {
	char word[ROW_WORD_MAX]; /* small letters and hyphens */
	uint64_t count;
	struct frame_list frames; /* the first of them */
};

#define ROW_LABELS_MAX 32

struct row_leg {
	bool there;
	bool reused;
	uint64_t conn;
	uint64_t nth;
	uint64_t attempts;
	int64_t stream; /* Wireshark's tcp.stream in the dump; -1: null */
	char anchor[ROW_WORD_MAX];
	struct row_handshake handshake;
	struct row_tls tls;
	struct row_part part[PART_KINDS];
	struct row_label labels[ROW_LABELS_MAX]; /* in the order of the line */
	unsigned label_count;
	struct row_close close;
	char end[ROW_WORD_MAX]; /* of an earlier attempt, else empty */
};

#define ROW_TRIES_MAX (EXCHANGE_ATTEMPTS_MAX - 1)

/* One line of flows.ndjson. Texts are NULL where the line has null. */
struct flow_row {
	char run[ROW_KEY_MAX];
	char id[ROW_KEY_MAX];
	char end[ROW_WORD_MAX];
	char *dump;
	uint64_t start_ns;
	unsigned status; /* 0: null */
	struct row_leg client;
	struct row_leg backend;
	struct row_leg tries[ROW_TRIES_MAX]; /* earlier attempts on backend connections */
	unsigned tries_count;
	int64_t total_us; /* PHASE_UNKNOWN: null; then some of the phases may still be known */
	int64_t phases_us[PHASES];
	char *phases_why;
	int64_t lost_us[PHASES][WAIT_KINDS]; /* 0: nothing */
	char *overlap;                       /* JSON text; NULL also when empty */
	char *verdict;
	uint64_t drops;
};

/* One line of conns.ndjson. */
struct conn_row {
	char run[ROW_KEY_MAX];
	enum tap_leg leg;
	uint64_t conn;  /* 0: null, the proxy never told of it */
	int64_t stream; /* -1: null */
	char *dump;
	struct addr local; /* ADDR_NONE: null */
	struct addr peer;
	char anchor[ROW_WORD_MAX];
	char history[ROW_WORD_MAX];
	struct row_handshake handshake;
	struct row_tls tls;
	struct row_close close;
	uint64_t exchanges;
};

/* What the display needs of one line of proxy.ndjson. */
struct proxy_row {
	char run[ROW_KEY_MAX];
	char id[ROW_KEY_MAX];
	uint64_t start_ns;
	uint64_t end_ns; /* start and the last moment of at_us */
	char *method;    /* any bytes but NUL; NULL where null */
	char *target;
	char *version; /* "1.1" */
	char *host;
	char *request_id;
	char *soap_action;
};

/* Free what the row holds and zero it. A zeroed row is empty. */
void flow_row_fini(struct flow_row *row);
void conn_row_fini(struct conn_row *row);
void proxy_row_fini(struct proxy_row *row);

/*
 * Read one line (no newline needed). False: it is no such record; err says why in a few words, and row is empty.
 * row must be empty or one that was read before, which is freed first.
 */
bool flow_row_parse(const char *line, size_t len, struct flow_row *row,
		    char err[ROW_ERROR_MAX]) MUST_CHECK;
bool conn_row_parse(const char *line, size_t len, struct conn_row *row,
		    char err[ROW_ERROR_MAX]) MUST_CHECK;
bool proxy_row_parse(const char *line, size_t len, struct proxy_row *row,
		     char err[ROW_ERROR_MAX]) MUST_CHECK;

struct records;

/* NULL: err says why, naming the file. */
struct records *records_open(const char *path, char err[RECORDS_ERROR_MAX]) MUST_CHECK;
void records_close(struct records *r);

enum records_result {
	RECORDS_ROW,
	RECORDS_END,
	RECORDS_BAD, /* this line is no record: err names file and line; the next may be asked for */
	RECORDS_FAILED, /* the file cannot be read on: err says why */
};

/*
 * The next line that holds the text `needle` (NULL: the next line), as a row. Looking for a needle
 * reads no JSON, so that one id is found in a long file.
 */
enum records_result records_flow(struct records *r, const char *needle, struct flow_row *row,
				 char err[RECORDS_ERROR_MAX]) MUST_CHECK;
enum records_result records_conn(struct records *r, const char *needle, struct conn_row *row,
				 char err[RECORDS_ERROR_MAX]) MUST_CHECK;
enum records_result records_proxy(struct records *r, const char *needle, struct proxy_row *row,
				  char err[RECORDS_ERROR_MAX]) MUST_CHECK;

#endif
