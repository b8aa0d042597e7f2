/*
 * flow.c -- what each segment does to its connection: handshake, bytes, ACKs, and the end.
 *
 * Never asks which connection a segment belongs to (flow_table.c does) and never compares sequence
 * numbers but with seqnum.h.
 *
 * Invariant: of everything that happens once (ISN, handshake frames, FIN, RST, end) the first that
 * was seen stands.
 */
#include "trace/flow.h"

#include <stdlib.h>

#include "trace/concern.h"
#include "trace/flow_node.h"
#include "trace/seqnum.h"

/* So many bytes may have been lost by the capture before the first ACK; what covers more is no ACK. */
#define STALE_AFTER (1U << 20)

#define WSCALE_MAX  14 /* RFC 7323 section 2.3 */

struct flow_node *flow_node_new(const struct segment *seg, uint8_t from, uint32_t number)
{
	struct flow_node *n = calloc(1, sizeof(*n));
	struct flow *f;

	if (n == NULL)
		return NULL;
	f = &n->flow;
	f->number = number;
	f->first_ns = seg->ts_ns;
	f->last_ns = seg->ts_ns;
	f->first_frame = seg->frame;
	f->side[from].addr = seg->src;
	f->side[1 - from].addr = seg->dst;
	for (unsigned i = 0; i < 2; i++) {
		f->side[i].wscale = SEGMENT_NO_WSCALE;
		f->side[i].stream = stream_new();
		if (f->side[i].stream == NULL) {
			flow_node_free(n);
			return NULL;
		}
	}
	return n;
}

void flow_node_free(struct flow_node *n)
{
	if (n == NULL)
		return;
	stream_free(n->flow.side[0].stream);
	stream_free(n->flow.side[1].stream);
	label_fini(&n->label);
	free(n);
}

void flow_node_set_isn(struct flow_node *n, unsigned side, uint32_t isn)
{
	struct flow_side *s = &n->flow.side[side];

	if (s->isn_known)
		return;
	s->isn_known = true;
	s->isn = isn;
	stream_anchor(s->stream, isn);
}

void flow_node_resume(struct flow_node *n, unsigned side, uint32_t next, uint32_t acked)
{
	const struct flow_side *s = &n->flow.side[side];

	label_resume(&n->label, side, next, acked);
	if (s->isn_known)
		stream_forget(s->stream, next - s->isn - 1);
}

static void add_letter(struct flow_node *n, uint8_t from, char letter)
{
	struct flow *f = &n->flow;

	if (f->history_len < sizeof(f->history))
		f->history[f->history_len++] = (char)(from == 0 ? letter - 'a' + 'A' : letter);
}

static void note_once(struct flow_node *n, uint8_t from, char letter)
{
	uint32_t bit = 1U << (letter - 'a');

	if (n->noted[from] & bit)
		return;
	n->noted[from] |= bit;
	add_letter(n, from, letter);
}

/* The first, tenth, hundredth... time. */
static void note_count(struct flow_node *n, uint8_t from, char letter, uint32_t *count)
{
	uint32_t power = 1;

	(*count)++;
	while (power < *count && power <= UINT32_MAX / 10)
		power *= 10;
	if (power == *count)
		add_letter(n, from, letter);
}

static void note_history(struct flow_node *n, const struct segment *seg,
			 const struct flow_place *place)
{
	uint8_t flags = seg->flags, from = place->from;

	if (flags & TCP_SYN) {
		note_once(n, from, flags & TCP_ACK ? 'h' : 's');
		if (flags & (TCP_FIN | TCP_RST))
			note_once(n, from, 'q');
	} else if ((flags & (TCP_FIN | TCP_RST)) == (TCP_FIN | TCP_RST)) {
		note_once(n, from, 'i');
	}
	if (seg->payload_len > 0)
		note_once(n, from, 'd');
	else if ((flags & (TCP_SYN | TCP_FIN | TCP_RST | TCP_ACK)) == TCP_ACK)
		note_once(n, from, 'a');
	if (place->data.old_bytes > 0)
		note_count(n, from, 't', &n->repeated[from]);
	if (seg->window == 0 && !(flags & TCP_RST))
		note_count(n, from, 'w', &n->zero_wins[from]);
	if (flags & TCP_FIN)
		note_once(n, from, 'f');
	if (flags & TCP_RST)
		note_once(n, from, 'r');
}

/* Scaling is in use only when both SYNs offer it. */
static void note_wscale(struct flow *f, const struct segment *seg, uint8_t from)
{
	struct flow_side *mine = &f->side[from], *other = &f->side[1 - from];

	if (seg->wscale != SEGMENT_NO_WSCALE)
		mine->wscale = MIN(seg->wscale, WSCALE_MAX);
	if (!(seg->flags & TCP_ACK))
		return;
	if (seg->wscale == SEGMENT_NO_WSCALE)
		other->wscale = SEGMENT_NO_WSCALE;
	else if (f->syn_frame != 0 && other->wscale == SEGMENT_NO_WSCALE)
		mine->wscale = SEGMENT_NO_WSCALE;
}

/*
 * Until the client has acknowledged it, a server may answer again with another number (a SYN
 * cookie, a restart). What it was thought to have sent before is then no part of this connection.
 */
static bool replace_isn(struct flow_node *n, const struct segment *seg, uint8_t from)
{
	struct flow *f = &n->flow;
	struct flow_side *s = &f->side[from];
	struct stream *fresh;

	if (from != 1 || f->ack_frame != 0 || !s->isn_known || s->isn == seg->seq)
		return true;
	fresh = stream_new();
	if (fresh == NULL)
		return false;
	stream_free(s->stream);
	s->stream = fresh;
	s->isn_known = false;
	f->syn_ack_frame = 0;
	return true;
}

static bool add_syn(struct flow_node *n, const struct segment *seg, uint8_t from)
{
	struct flow *f = &n->flow;

	if (seg->flags & TCP_ACK) {
		if (!replace_isn(n, seg, from))
			return false;
		if (from == 1 && f->syn_ack_frame == 0) {
			f->syn_ack_frame = seg->frame;
			f->syn_ack_ns = seg->ts_ns;
		}
		flow_node_set_isn(n, 1U - from, seg->ack - 1);
	} else if (from == 0 && f->syn_frame == 0) {
		f->syn_frame = seg->frame;
		f->syn_ns = seg->ts_ns;
	}
	flow_node_set_isn(n, from, seg->seq);
	note_wscale(f, seg, from);
	return true;
}

static void begin_end(struct flow *f, uint8_t from, enum flow_how how)
{
	if (f->how != FLOW_OPEN)
		return;
	f->how = how;
	f->closed_by = from;
}

static void check_closed(struct flow *f, uint64_t ts_ns)
{
	if (f->closed_ns == 0 && f->side[0].fin_ack_frame != 0 && f->side[1].fin_ack_frame != 0)
		f->closed_ns = ts_ns;
}

static void add_fin(struct flow_node *n, const struct segment *seg, uint8_t from)
{
	struct flow *f = &n->flow;
	struct flow_side *s = &f->side[from];
	const struct flow_top_ack *top = &n->top_ack[1 - from];
	uint32_t fin_seq = seg->seq + seg->payload_len + ((seg->flags & TCP_SYN) != 0);

	if (s->fin_frame != 0)
		return;
	s->fin_frame = seg->frame;
	s->fin_ns = seg->ts_ns;
	n->fin_next[from] = fin_seq + 1;
	stream_fin(s->stream, fin_seq);
	begin_end(f, from, FLOW_FIN);
	if (top->known && top->ack == fin_seq + 1) { /* captured before the FIN was */
		s->fin_ack_frame = top->frame;
		s->fin_ack_ns = top->ns;
		check_closed(f, seg->ts_ns);
	}
}

static void add_rst(struct flow_node *n, const struct segment *seg, uint8_t from)
{
	struct flow *f = &n->flow;
	struct flow_side *s = &f->side[from];

	if (s->rst_frame == 0) {
		s->rst_frame = seg->frame;
		s->rst_ns = seg->ts_ns;
		n->rst_seq[from] = seg->seq;
	}
	begin_end(f, from, FLOW_RST);
	if (f->closed_ns == 0)
		f->closed_ns = seg->ts_ns;
}

static bool add_ack(struct flow_node *n, const struct segment *seg, struct flow_place *place)
{
	struct flow *f = &n->flow;
	uint8_t from = place->from;
	struct flow_side *other = &f->side[1 - from];
	struct flow_top_ack *top = &n->top_ack[from];

	if (from == 0 && f->syn_ack_frame != 0 && f->ack_frame == 0 && !(seg->flags & TCP_RST) &&
	    !seq_before(seg->ack, f->side[1].isn + 1)) {
		f->ack_frame = seg->frame;
		f->ack_ns = seg->ts_ns;
	}
	if (!top->known || seq_after(seg->ack, top->ack))
		*top = (struct flow_top_ack){true, seg->ack, seg->frame, seg->ts_ns};
	if (other->fin_frame != 0 && other->fin_ack_frame == 0 &&
	    !seq_before(seg->ack, n->fin_next[1 - from])) {
		other->fin_ack_frame = seg->frame;
		other->fin_ack_ns = seg->ts_ns;
		check_closed(f, seg->ts_ns);
	}
	return stream_ack(other->stream, seg->frame, seg->ts_ns, seg->ack, &place->acked_from,
			  &place->acked_past);
}

static bool add_payload(struct flow_side *s, const struct segment *seg, struct stream_place *place)
{
	uint32_t syn = (seg->flags & TCP_SYN) != 0;

	if (s->data_ns == 0)
		s->data_ns = seg->ts_ns;
	return stream_add(s->stream, seg->frame, seg->ts_ns, seg->seq + syn, seg->payload_len,
			  place);
}

/*
 * After a SYN and before its answer: a segment of an earlier connection between the same ends. A
 * server that still remembers it answers with its numbers (RFC 5961 section 4) or sends its FIN
 * again, and acknowledges what this SYN never sent; the client refuses that with a RST at the number
 * which was acknowledged (RFC 9293 section 3.10.7.3). Neither says anything about this connection.
 */
static bool is_stale(struct flow_node *n, const struct segment *seg, uint8_t from)
{
	const struct flow *f = &n->flow;
	uint8_t flags = seg->flags;

	if (f->syn_frame == 0 || f->syn_ack_frame != 0 || n->top_ack[1].known || (flags & TCP_SYN))
		return false;
	if (from == 0)
		return (flags & TCP_RST) && n->stale_known && seg->seq == n->stale_ack;
	if ((flags & TCP_ACK) == 0)
		return (flags & TCP_RST) != 0;
	if (seq_after(seg->ack, f->side[0].isn) &&
	    stream_has_sent(f->side[0].stream, seg->ack - STALE_AFTER))
		return false;
	n->stale_ack = seg->ack;
	n->stale_known = true;
	return true;
}

static void label_segment(struct flow_node *n, const struct segment *seg, struct flow_place *place)
{
	const struct flow_side *s = &n->flow.side[place->from];
	unsigned shift = (seg->flags & TCP_SYN) || s->wscale > WSCALE_MAX ? 0 : s->wscale;
	const struct label_facts facts = {.is_again = place->again,
					  .new_bytes = place->data.new_bytes,
					  .old_bytes = place->data.old_bytes,
					  .window = (uint32_t)seg->window << shift};

	place->label = label_add(&n->label, seg, place->from, &facts);
}

/* Behind a SYN of its own, a side's number is known. */
static void count_from_first(struct flow_node *n, const struct segment *seg, uint8_t from)
{
	struct flow *f = &n->flow;

	if (seg->flags & TCP_RST)
		return;
	if (!f->side[from].isn_known) {
		f->is_counted = true;
		flow_node_set_isn(n, from, seg->seq - 1);
	}
	if ((seg->flags & TCP_ACK) && !f->side[1 - from].isn_known) {
		/* The ACK of a SYN that was missed: what it acknowledges is the ISN. */
		if (f->syn_frame == 0)
			f->is_counted = true;
		flow_node_set_isn(n, 1U - from, seg->ack - 1);
	}
	n->counts_from_first = !f->side[0].isn_known || !f->side[1].isn_known;
}

bool flow_node_add(struct flow_node *n, const struct segment *seg, struct flow_place *place)
{
	struct flow *f = &n->flow;
	uint8_t flags = seg->flags, from = place->from;
	bool syn = (flags & TCP_SYN) != 0, kept = true;

	f->packets++;
	f->last_ns = MAX(f->last_ns, seg->ts_ns);
	if (is_stale(n, seg, from))
		return true;
	if (syn)
		kept = add_syn(n, seg, from);
	if (UNLIKELY(n->counts_from_first))
		count_from_first(n, seg, from);
	if (flags & TCP_ACK)
		kept &= add_ack(n, seg, place);
	if (seg->payload_len > 0 && !(flags & TCP_RST))
		kept &= add_payload(&f->side[from], seg, &place->data);
	if (flags & TCP_FIN)
		add_fin(n, seg, from);
	if (flags & TCP_RST)
		add_rst(n, seg, from);
	note_history(n, seg, place);
	label_segment(n, seg, place);
	if (concern_any(place))
		kept &= concern_note(n, seg, place);
	return kept;
}

/* What a side may have sent at most: up to its FIN, or up to its RST. False: not known. */
static bool side_past(const struct flow_node *n, unsigned side, uint32_t *past)
{
	const struct flow_side *s = &n->flow.side[side];

	if (s->fin_frame != 0)
		*past = n->fin_next[side];
	else if (s->rst_frame != 0 && s->isn_known && !seq_before(n->rst_seq[side], s->isn))
		*past = n->rst_seq[side];
	else
		return false;
	return true;
}

bool flow_node_is_outlived(const struct flow_node *n, const struct segment *seg, uint8_t from)
{
	uint32_t past;

	if (n->flow.closed_ns == 0 || (seg->flags & (TCP_SYN | TCP_RST)))
		return false;
	if (side_past(n, from, &past) && !seq_before(seg->seq, past) &&
	    seq_after(seg->seq + seg->payload_len, past))
		return true;
	return side_past(n, 1U - from, &past) && (seg->flags & TCP_ACK) &&
	       seq_after(seg->ack, past);
}
