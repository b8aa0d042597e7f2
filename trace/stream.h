/*
 * stream.h -- map byte offsets of one TCP direction to captured segments.
 *
 * The proxy speaks in offsets, the wire in 32-bit sequence numbers; this is the only module that
 * converts between the two. It keeps no payload and knows no HTTP.
 *
 * Offset 0 is the first byte after the SYN. Until the ISN is known (stream_anchor()) segments are
 * kept by sequence number relative to the first one seen, and queries answer "unknown".
 */
#ifndef TRACE_STREAM_H
#define TRACE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"
#include "common/exchange_record.h"
#include "trace/notes.h"
#include "trace/waits.h"

struct stream;

struct stream *stream_new(void) MUST_CHECK;
void stream_free(struct stream *s);

/* The ISN is known: seq of offset 0 is isn + 1. Segments seen before are placed too. Once only. */
void stream_anchor(struct stream *s, uint32_t isn);

/*
 * The same when a later place is known (attach in mid-connection, offsets beyond 2^32): seq, near
 * what was seen last, is the sequence number of offset off. It is known from from_ns on: queries of
 * what was known earlier answer "unknown". Of bytes that were acknowledged before the first ACK that
 * was captured nothing is said about when.
 */
void stream_anchor_at(struct stream *s, uint32_t seq, uint64_t off, uint64_t from_ns);

/* That place was wrong: from from_ns on nothing is known any more, for good. */
void stream_unanchor(struct stream *s, uint64_t from_ns);

/* Now; with what was known at that moment; by stream_anchor_at(). */
bool stream_anchored(const struct stream *s);
bool stream_anchored_at(const struct stream *s, uint64_t ns);
bool stream_is_late(const struct stream *s);

/* The number before offset 0, modulo 2^32. False: not anchored now. */
bool stream_isn(const struct stream *s, uint32_t *isn) MUST_CHECK;

/* What a segment meant when it came. */
struct stream_place {
	bool known; /* the stream is anchored: off is true */
	uint64_t
		off; /* of the first payload byte; a byte before offset 0 (a keep-alive) counts as len 0 at 0 */
	uint32_t new_bytes; /* payload bytes that no earlier segment had carried */
	uint32_t old_bytes; /* carried before: retransmitted, duplicated or overlapped */
};

/*
 * One captured segment with payload_len > 0. Segments may come in any order, repeat and overlap;
 * they come in frame order. False: memory ran out, and bytes of it count as not seen.
 */
bool stream_add(struct stream *s, uint32_t frame, uint64_t ts_ns, uint32_t seq, uint32_t len,
		struct stream_place *place);

/* Where seq lies; no bytes are counted and nothing is changed. */
void stream_locate(const struct stream *s, uint32_t seq, struct stream_place *place);

/*
 * An ACK number seen in the other direction, in frame order. *from and *past receive the bytes
 * that it newly acknowledges, equal when none or when not anchored. The ACK of SYN and FIN are no
 * bytes. False: memory ran out, it counts as not seen.
 */
bool stream_ack(struct stream *s, uint32_t frame, uint64_t ts_ns, uint32_t ack, uint64_t *from,
		uint64_t *past);

/*
 * Something remarkable about the bytes from seq on (note->pos is filled in). False: no memory, it is
 * not kept.
 */
bool stream_note(struct stream *s, uint32_t seq, const struct note *note) MUST_CHECK;
/*
 * The times in which bytes of the range waited, by packets stamped up to until_ns. opened_ns: the
 * SYN's stamp, for a SYN that was sent again (0: not known). False: no memory, some are missing.
 */
bool stream_waits(const struct stream *s, const struct byte_range *range, uint64_t opened_ns,
		  uint64_t until_ns, struct waits *out) MUST_CHECK;
bool stream_has_notes(const struct stream *s);

/* Add up what was noted about a range, stamped from from_ns up to until_ns. */
void stream_tally(const struct stream *s, const struct byte_range *range, uint64_t from_ns,
		  uint64_t until_ns, struct tally *t);

/* The FIN's sequence number, so that its ACK is not taken for a byte's. */
void stream_fin(struct stream *s, uint32_t seq);

/* All that this ACK number acknowledges was seen to be sent. */
bool stream_has_sent(const struct stream *s, uint32_t ack);

/* Frames in ascending order, each once; grown as needed, freed by frame_list_fini(). */
struct frame_list {
	uint32_t *frames;
	uint32_t count;
	uint32_t cap;
};
bool frame_list_add(struct frame_list *l, uint32_t frame); /* false: no memory */
void frame_list_fini(struct frame_list *l);

/* Everything that is known about a range, from segments stamped up to until_ns. */
struct stream_range {
	bool known; /* anchored by until_ns (and memory sufficed); if not, nothing below is set */
	struct frame_list carried;  /* frames that carried a byte of it for the first time */
	struct frame_list repeated; /* frames that carried a byte of it again */
	uint64_t repeated_bytes;
	uint64_t missing_bytes;           /* not seen in any frame */
	uint32_t first_frame, last_frame; /* first to carry the first, the last byte; 0: not seen */
	uint64_t first_ns, last_ns;
	uint64_t begun_ns;    /* stamp of the earliest of `carried`: the first byte may come late */
	uint32_t acked_frame; /* first whose ACK covers the last byte; 0: not seen */
	uint64_t acked_ns;
};

/* Nothing known; the lists' memory is kept for the next query. */
void stream_range_reset(struct stream_range *r);

/* Fill in out (zero or reset; stream_range_fini() frees its lists). The range must exist. */
void stream_query(const struct stream *s, const struct byte_range *range, uint64_t until_ns,
		  struct stream_range *out);
void stream_range_fini(struct stream_range *r);

/*
 * The stamp at which [0, past) was acknowledged as a whole, or 0 (not yet, or past == 0). Cheap:
 * asked often.
 */
uint64_t stream_acked_ns(const struct stream *s, uint64_t past);

/* Past the highest byte seen, in any order; 0: none, or not anchored. */
uint64_t stream_end_off(const struct stream *s);

/* What is known of its oldest bytes will be asked for soon: fetch it. */
void stream_fetch(const struct stream *s);

/* Nothing below off will be asked for again. */
void stream_forget(struct stream *s, uint64_t off);

/* Bytes of memory in use, for bounds. */
size_t stream_memory(const struct stream *s);

#endif
