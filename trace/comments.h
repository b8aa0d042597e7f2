/*
 * comments.h -- which exchanges' bytes a packet carries or newly acknowledges, as the dump's
 * comments say it. Hints for a reader in Wireshark; the record is flows.ndjson.
 */
#ifndef TRACE_COMMENTS_H
#define TRACE_COMMENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attrib.h"
#include "trace/pcapng.h"
#include "trace/track.h"

#define COMMENTS_MAX     16
#define COMMENT_TEXT_MAX 128

/*
 * One packet's place in its connection: payload [off, off + len), newly acknowledged [acked_from,
 * acked_past).
 */
struct comment_place {
	struct track *track; /* NULL: not TCP */
	uint8_t from;        /* side that sent it */
	bool is_known;       /* off is true */
	uint32_t len;
	uint64_t off;
	uint64_t acked_from;
	uint64_t acked_past;
};

/*
 * Has the proxy told whose bytes these are? False for the bytes of a connection that it has not
 * named (yet); true when there is nothing to tell.
 */
bool comments_are_told(const struct comment_place *p) MUST_CHECK;

/* Each once, in the order of the bytes. What memory is missing for is left out. */
struct comment_ids {
	uint64_t *at;
	uint32_t count;
	uint32_t cap;
};
void comment_ids_fini(struct comment_ids *ids);

struct comments {
	struct pcapng_comment at[COMMENTS_MAX + 2]; /* with room for one of the caller's */
	unsigned count;
	unsigned more;           /* beyond COMMENTS_MAX; then the last one says so */
	struct comment_ids *ids; /* all exchanges are noted there; NULL: not wanted */
	char text[COMMENTS_MAX + 1][COMMENT_TEXT_MAX];
};

/* In the order of the bytes: first what it carries, then what it acknowledges. */
void comments_write(const struct comment_place *p, struct comments *out);

#endif
