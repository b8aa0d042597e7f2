/*
 * tap_reader.h -- takes the tap's messages apart (trace/event.h is the contract).
 *
 * The proxy is trusted no more than any other sender: lengths, enumerations, ranges and texts are
 * checked before anything is passed on. Knows no socket.
 */
#ifndef TRACE_TAP_READER_H
#define TRACE_TAP_READER_H

#include <stdbool.h>
#include <stddef.h>

#include "common/attrib.h"
#include "trace/event.h"

/* Called per record, in order. Those that are NULL are skipped, as unknown types are. */
struct tap_calls {
	void *arg;
	void (*hello)(void *arg, const struct tap_message *m, const struct tap_hello *r);
	void (*clock)(void *arg, const struct tap_message *m, const struct tap_clock *r);
	void (*endpoint)(void *arg, const struct tap_message *m, const struct tap_endpoint *r);
	void (*open)(void *arg, const struct tap_message *m, const struct tap_open *r);
	void (*tls)(void *arg, const struct tap_message *m, const struct tap_tls *r);
	void (*shared)(void *arg, const struct tap_message *m, const struct tap_shared *r);
	void (*position)(void *arg, const struct tap_message *m, const struct tap_position *r);
	void (*begin)(void *arg, const struct tap_message *m, const struct tap_begin *r);
	void (*progress)(void *arg, const struct tap_message *m, const struct tap_progress *r);
	void (*part)(void *arg, const struct tap_message *m, const struct tap_part_known *r);
	void (*end)(void *arg, const struct tap_message *m, const struct tap_end *r);
	void (*close)(void *arg, const struct tap_message *m, const struct tap_close *r);
	/* len characters, a line of the key log */
	void (*secret)(void *arg, const struct tap_message *m, const struct tap_secret *r,
		       const char *line);
	void (*busy)(void *arg, const struct tap_message *m);
	/* m->lost_before records are missing here, made between these two moments. */
	void (*lost)(void *arg, const struct tap_message *m, uint64_t from_mono_ns,
		     uint64_t to_mono_ns);
};

/*
 * The head of a message, as far as it can be told. False: it is none of ours, or of another
 * version.
 */
bool tap_read_head(const void *bytes, size_t len, struct tap_message *m) MUST_CHECK;

/*
 * One message. NULL: fine. Else what is wrong with it, in one sentence; the records before the
 * wrong one have been passed on. mono_ns receives the time of its last record, and keeps what it
 * holds when there is none.
 */
const char *tap_read(const void *bytes, size_t len, const struct tap_calls *calls,
		     uint64_t *mono_ns) MUST_CHECK;

/*
 * Is this what a TLS handshake can have been? Used for the log as well. NULL: yes, else what is
 * wrong.
 */
const char *tls_marks_fault(const struct tls_marks *m) MUST_CHECK;

/*
 * Is this what a proxy can have counted? Used for the log as well. NULL: yes, else what is wrong.
 */
const char *exchange_record_fault(const struct exchange_record *x) MUST_CHECK;

#endif
