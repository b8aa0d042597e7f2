/*
 * access_log.h -- proxy.ndjson: lines formatted by the workers, written by one thread of its own.
 *
 * The request path only formats into memory. When the file cannot be written (disk full) or the
 * writer falls behind, lines are lost, counted and said on stderr, at most once a second; requests
 * never wait.
 */
#ifndef PROXY_ACCESS_LOG_H
#define PROXY_ACCESS_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"
#include "common/exchange_record.h"

struct access_log;
struct access_writer; /* one worker's end */

/* Where text of one line comes from. Pointers may be NULL with length 0: null in the line. */
struct access_text {
	const char *bytes;
	size_t len;
};

struct access_line {
	const struct exchange_record *x;
	struct access_text method;
	struct access_text target;
	struct access_text host;
	struct access_text request_id;
	struct access_text traceparent;
	struct access_text
		soap_action; /* SOAPAction's value without quotes, or of Content-Type's action= */
	struct access_text soap_operation;
	struct access_text soap_fault_code; /* with the string's both NULL: no fault */
	struct access_text soap_fault_string;
	bool soap_cut;                      /* one of these three is longer than it stands here */
	int8_t minor;                       /* HTTP/1.minor; -1: not known */
	struct access_text client_fragment; /* from access_fragment() */
	struct access_text backend_fragment;
};

/*
 * Open (append, create 0644; "-" is standard output; a torn last line is cut first), start the
 * thread. NULL with a line on stderr. Must be called after fork-like changes and before threads use
 * it.
 */
struct access_log *access_log_open(const char *path) MUST_CHECK;

/* Write what is left, join the thread, close. All writers must have been freed. NULL is fine. */
void access_log_close(struct access_log *log);

/*
 * Open the path again before the next block (SIGUSR1). From any thread; not from a signal handler.
 */
void access_log_reopen(struct access_log *log);

/* Lines lost so far, for any reason. */
uint64_t access_log_lost(const struct access_log *log);

/*
 * Two or more blocks of 256 KiB, allocated and touched here. log may be NULL: all lines are dropped
 * silently.
 */
struct access_writer *access_writer_new(struct access_log *log) MUST_CHECK;
/* Hands over what is left. */
void access_writer_free(struct access_writer *w);

/* Format one line. now_ns (monotonic) ages the block. */
void access_writer_add(struct access_writer *w, const struct access_line *line, uint64_t now_ns);

/*
 * Called once per loop turn: hands the block over when it is 10 ms old. Returns the monotonic
 * moment at which it wants to be called again, or UINT64_MAX when nothing is pending.
 */
uint64_t access_writer_tick(struct access_writer *w, uint64_t now_ns);

/*
 * The constant part of a leg: "local":..,"peer":..,"opened":..,"tls":.. (JSON; without bytes null).
 * Its length, or 0 if it does not fit; without TLS it fits in ACCESS_FRAGMENT_MAX.
 */
#define ACCESS_FRAGMENT_MAX 256
size_t access_fragment(const struct addr *local, const struct addr *peer, uint64_t opened_ns,
		       const struct access_text *tls, char *out, size_t cap);

/*
 * One line: returns its length with the newline, or 0 when cap is less than the line could need at
 * worst (access_line_max() in access_line.h: about 4 KiB and six times its texts).
 */
size_t access_line_format(const struct access_line *line, char *out, size_t cap);

#endif
