/*
 * tls_finding.h -- what the packets show of a connection's TLS handshake: which frames carried the
 * records of its four messages, and when.
 *
 * The proxy told where they lie (common/tls_marks.h). Gathered once, since the streams forget the
 * first bytes of a connection when its first exchange is given out; says nothing about what was not
 * seen.
 */
#ifndef TRACE_TLS_FINDING_H
#define TRACE_TLS_FINDING_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attrib.h"
#include "common/tls_marks.h"
#include "trace/flow.h"
#include "trace/stream.h"

struct tls_message_finding {
	struct frame_list frames; /* that carried bytes of its records for the first time */
	bool is_whole;            /* all of them were seen */
	uint64_t first_ns;        /* stamps of the first frames with its first and its last byte; */
	uint64_t last_ns;         /* 0: not seen */
};

struct tls_finding {
	struct tls_marks marks;
	bool is_gathered;
	bool is_claimed;  /* an exchange that went over it was given out: the log tells of it too */
	bool is_doubtful; /* packets were lost before its end: it may have begun or ended earlier */
	struct tls_message_finding at[TLS_MARK_COUNT];
};

/* Nothing gathered. NULL: no memory. */
struct tls_finding *tls_finding_new(const struct tls_marks *marks) MUST_CHECK;
void tls_finding_free(struct tls_finding *t); /* NULL is fine */

/* By packets stamped up to until_ns. our_side: of f, the proxy's end of a connection of that leg. */
void tls_finding_gather(struct tls_finding *t, const struct flow *f, enum tap_leg leg,
			unsigned our_side, uint64_t until_ns);

/*
 * The first packet with the last byte of the last Finished, of a handshake that succeeded and whose
 * Finished were seen whole; 0: not known.
 */
uint64_t tls_finding_end_ns(const struct tls_finding *t) MUST_CHECK;

/* From the first packet of the ClientHello to the one that ended that message. False: not known. */
bool tls_finding_us(const struct tls_finding *t, enum tls_mark mark, uint64_t *us) MUST_CHECK;

/* The whole handshake, up to tls_finding_end_ns(). False: not known. */
bool tls_finding_total_us(const struct tls_finding *t, uint64_t *us) MUST_CHECK;

/* Did the proxy send it on that leg? */
static inline bool tls_mark_is_ours(enum tap_leg leg, enum tls_mark mark)
{
	bool is_client = mark == TLS_MARK_CLIENT_HELLO || mark == TLS_MARK_CLIENT_FINISHED;

	return is_client == (leg == TAP_BACKEND);
}

/* The names in the files. */
const char *tls_mark_word(enum tls_mark mark);

/* "1.2", "1.3", or NULL when none was negotiated. */
const char *tls_version_word(uint16_t version);

#endif
