/*
 * concern.c -- from labels to bytes. Counts nothing and keeps nothing: the streams do.
 */
#include "trace/concern.h"

#include "trace/seqnum.h"

/* Words about what the other side has sent; all others are about the segment's own bytes. */
#define LABEL_OF_PEER                                                                         \
	(LABEL_ACK_UNSEEN | LABEL_DUP_ACK | LABEL_ZERO_WINDOW | LABEL_ZERO_WINDOW_PROBE_ACK | \
	 LABEL_WINDOW_UPDATE | LABEL_KEEP_ALIVE_ACK)
#define WS_OF_PEER                                                                    \
	(WS_ACK_LOST_SEGMENT | WS_DUPLICATE_ACK | WS_ZERO_WINDOW | WS_WINDOW_UPDATE | \
	 WS_ZERO_WINDOW_PROBE_ACK | WS_KEEP_ALIVE_ACK)

struct span {
	uint32_t seq;
	uint32_t len;
};

static bool note(struct stream *s, const struct segment *seg, struct span at, uint32_t label,
		 uint32_t ws)
{
	const struct note n = {
		.ts_ns = seg->ts_ns, .len = at.len, .frame = seg->frame, .label = label, .ws = ws};

	return (label | ws) == 0 || stream_note(s, at.seq, &n);
}

/* The bytes of its own that the segment is about. */
static struct span own_span(const struct flow_node *n, const struct segment *seg,
			    const struct flow_place *place)
{
	const struct label_side *peer = &n->label.side[1 - place->from];

	if (seg->payload_len > 0)
		return (struct span){seg->seq + ((seg->flags & TCP_SYN) != 0), seg->payload_len};
	if (seg->flags & TCP_SYN)
		return (struct span){seg->seq + 1, 1}; /* the first byte waits for it */
	if (seg->flags & TCP_FIN)
		return (struct span){seg->seq - 1, 1};
	if ((place->label & LABEL_ZERO_WINDOW_PROBE) && peer->has_acked)
		return (struct span){peer->acked, 1};
	return (struct span){seg->seq, 1};
}

/* The byte of the other side that it waits for; when all has come, the last that came. */
static struct span peer_span(const struct flow_node *n, const struct segment *seg,
			     const struct flow_place *place)
{
	const struct label_side *peer = &n->label.side[1 - place->from];
	bool all_came = peer->has_next && !seq_after(peer->next, seg->ack);
	bool waits = (place->label & (LABEL_ZERO_WINDOW | LABEL_ZERO_WINDOW_PROBE_ACK)) != 0;

	if ((place->label & LABEL_KEEP_ALIVE_ACK) || (all_came && !waits))
		return (struct span){seg->ack - 1, 1};
	return (struct span){seg->ack, 1};
}

bool concern_note(struct flow_node *n, const struct segment *seg, const struct flow_place *place)
{
	struct stream *own = n->flow.side[place->from].stream;
	struct stream *peer = n->flow.side[1 - place->from].stream;
	uint32_t label = place->label & ~(uint32_t)LABEL_ORDINARY, ws = place->ws.flags;
	bool kept = true;

	if (label & LABEL_D_SACK) {
		struct span twice = {seg->sack[0].left, seg->sack[0].right - seg->sack[0].left};

		kept = note(peer, seg, twice, LABEL_D_SACK, 0);
		label &= ~(uint32_t)LABEL_D_SACK;
	}
	kept &= note(own, seg, own_span(n, seg, place), label & ~(uint32_t)LABEL_OF_PEER,
		     ws & ~(uint32_t)WS_OF_PEER);
	return note(peer, seg, peer_span(n, seg, place), label & LABEL_OF_PEER, ws & WS_OF_PEER) &&
	       kept;
}
