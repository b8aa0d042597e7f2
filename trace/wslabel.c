/*
 * wslabel.c -- Wireshark's analysis of TCP sequence numbers, packet by packet.
 *
 * The order of the rules is part of them. "f" is the side that sent the packet, "r" the other.
 * Keeps no packet, asks no clock.
 *
 * What tshark 4.0.17 compares are the raw numbers of the packets, not the relative ones that it
 * shows: it is a raw 0 that it takes for "unknown" (wslabel_test.c has the packets that tell).
 *
 * Invariant: a connection's state is a function of the packets given since wslabel_init() or since
 * the last WSLABEL_RENEWED.
 */
#include "trace/wslabel.h"

#include "trace/seqnum.h"

#define WINDOW_UNKNOWN   UINT32_MAX
#define SCALE_MAX        14
#define DUP_ACKS_FOREVER UINT32_MAX
#define FAST_NS          (20 * NS_PER_MS)
#define REORDER_NS       (3 * NS_PER_MS) /* when no round trip is known */
#define MPTCP_KNOWN      0xff            /* subtypes that Wireshark 4.0 looks at */

/* One packet. */
struct ws_packet {
	struct wslabel_side *f, *r;
	uint64_t now_ns;
	uint32_t seq;
	uint32_t ack;
	uint32_t len;
	uint32_t window;
	uint8_t tcp; /* enum tcp_flag */
	bool is_plain;
	bool is_same; /* nothing new in it but, perhaps, the window */
};

/* Wireshark's "after": at a distance of 2^31 each is before and after the other. */
static bool ws_after(uint32_t a, uint32_t b)
{
	return seq_before(b, a);
}

const char *wslabel_word(unsigned index)
{
	static const char *const words[WSLABEL_COUNT] = {
#define WSLABEL_WORD(name, word) word,
		WSLABELS(WSLABEL_WORD)
#undef WSLABEL_WORD
	};

	return words[index];
}

void wslabel_init(struct wslabel *w)
{
	*w = (struct wslabel){0};
	for (unsigned i = 0; i < 2; i++) {
		w->side[i].window = WINDOW_UNKNOWN;
		w->side[i].scale = WSLABEL_SCALE_UNKNOWN;
	}
}

void wslabel_fini(struct wslabel *w)
{
	for (unsigned i = 0; i < 2; i++)
		unacked_fini(&w->side[i].unacked);
}

void wslabel_shrink(struct wslabel *w)
{
	for (unsigned i = 0; i < 2; i++)
		unacked_shrink(&w->side[i].unacked);
}

/* ---- whose packet ---------------------------------------------------------------------------- */

static enum wslabel_place place_syn(struct wslabel *w, const struct segment *seg, unsigned from)
{
	struct wslabel_side *f = &w->side[from];

	if (f->base == seg->seq) {
		if (!(seg->flags & TCP_ACK))
			f->next = f->max_ack;
		return WSLABEL_SAME;
	}
	if (seg->flags & TCP_ACK) {
		f->base = seg->seq;
		return WSLABEL_OTHER_BASE;
	}
	wslabel_fini(w);
	wslabel_init(w);
	return WSLABEL_RENEWED;
}

enum wslabel_place wslabel_place(struct wslabel *w, const struct segment *seg, unsigned from)
{
	if ((seg->flags & TCP_SYN) && w->side[from].is_based)
		return place_syn(w, seg, from);
	return WSLABEL_SAME;
}

void wslabel_base(struct wslabel *w, const struct segment *seg, unsigned from)
{
	struct wslabel_side *f = &w->side[from], *r = &w->side[1 - from];

	if (!f->is_based) {
		f->is_based = true;
		f->base = seg->seq - !(seg->flags & TCP_SYN);
	}
	if ((seg->flags & TCP_ACK) && !r->is_based) {
		r->is_based = true;
		r->base = seg->ack - 1;
	}
}

/* ---- the rules ------------------------------------------------------------------------------- */

static bool fills_window(const struct ws_packet *p)
{
	const struct wslabel_side *r = p->r;
	unsigned shift = r->is_first_ack || r->scale == WSLABEL_SCALE_NONE ? 0 : r->scale;

	if (p->len == 0 || !p->is_plain || r->scale == WSLABEL_SCALE_UNKNOWN)
		return false;
	return p->seq + p->len == r->last_ack + (r->window << shift);
}

/* Rules 5 to 9: a pure ACK that says the same again. *is_over: the rules up to 9 end there. */
static unsigned label_same(const struct wslabel *w, const struct ws_packet *p, bool *is_over)
{
	struct wslabel_side *f = p->f;

	if (p->window != f->window)
		return p->window != 0 ? WS_WINDOW_UPDATE : 0;
	if (p->window == 0) {
		*is_over = (p->r->last_flags & WS_ZERO_WINDOW_PROBE) != 0;
		return *is_over ? WS_ZERO_WINDOW_PROBE_ACK : 0;
	}
	if (p->r->last_flags & WS_KEEP_ALIVE) {
		*is_over = true;
		return WS_KEEP_ALIVE_ACK;
	}
	if (w->mptcp != f->mptcp)
		return 0;
	f->dup_acks = f->dup_acks == DUP_ACKS_FOREVER ? 1 : f->dup_acks + 1;
	return WS_DUPLICATE_ACK;
}

/* Rules 1 to 9. */
static unsigned label_windows(const struct wslabel *w, const struct ws_packet *p)
{
	const struct wslabel_side *f = p->f;
	unsigned flags = 0;
	bool is_over = false;

	if (p->len == 1 && p->seq == f->next && p->r->window == 0)
		return WS_ZERO_WINDOW_PROBE;
	if (p->window == 0 && p->is_plain)
		flags |= WS_ZERO_WINDOW;
	if (f->next != 0 && ws_after(p->seq, f->next) && !(p->tcp & TCP_RST))
		flags |= WS_LOST_SEGMENT;
	if (p->len <= 1 && p->seq == f->next - 1 && p->is_plain)
		flags |= WS_KEEP_ALIVE;
	if (fills_window(p))
		flags |= WS_WINDOW_FULL;
	if (p->is_same)
		flags |= label_same(w, p, &is_over);
	return flags;
}

/* Rules 10 and 11. */
static unsigned label_ack(const struct ws_packet *p)
{
	struct wslabel_side *f = p->f, *r = p->r;
	unsigned flags;

	if (p->ack != f->last_ack)
		f->dup_acks = 0;
	if (!(p->tcp & TCP_ACK) || r->max_ack == 0 || !ws_after(p->ack, r->max_ack))
		return 0;
	if (seq_before(r->max_ack, r->next)) {
		r->max_ack = r->next;
		return WS_ACK_LOST_SEGMENT;
	}
	flags = r->dup_acks == 0 ? WS_ACK_LOST_SEGMENT : 0;
	r->dup_acks = DUP_ACKS_FOREVER;
	return flags;
}

/* Rule 12. */
static unsigned label_repeat(const struct wslabel *w, const struct ws_packet *p)
{
	const struct wslabel_side *f = p->f, *r = p->r;
	uint32_t past = p->seq + p->len, end = past + ((p->tcp & (TCP_SYN | TCP_FIN)) != 0);
	bool is_old = f->next != 0 && seq_before(p->seq, f->next);

	if (p->len > 1 && p->seq == f->next - 1)
		is_old = false;
	if (p->len > 0 && r->last_ack != 0 && seq_diff(past, r->last_ack) <= 0)
		return WS_SPURIOUS_RETRANSMISSION | WS_RETRANSMISSION;
	if (!is_old)
		return 0;
	if (r->dup_acks >= 2 && r->last_ack == p->seq && p->now_ns - r->last_ns < FAST_NS)
		return WS_FAST_RETRANSMISSION | WS_RETRANSMISSION;
	if (p->now_ns - f->next_ns < (w->rtt_ns != 0 ? w->rtt_ns : REORDER_NS) && f->next != end)
		return WS_OUT_OF_ORDER;
	return WS_RETRANSMISSION;
}

/* ---- what stays of it ------------------------------------------------------------------------ */

static void note_scale(struct ws_packet *p, const struct segment *seg)
{
	struct wslabel_side *f = p->f, *r = p->r;

	if (seg->wscale != SEGMENT_NO_WSCALE)
		f->scale = MIN(seg->wscale, SCALE_MAX);
	if (!(p->tcp & TCP_SYN))
		return;
	if (f->scale == WSLABEL_SCALE_UNKNOWN) {
		f->scale = WSLABEL_SCALE_NONE;
		r->scale = WSLABEL_SCALE_NONE;
	} else if ((p->tcp & TCP_ACK) && r->scale == WSLABEL_SCALE_NONE) {
		f->scale = WSLABEL_SCALE_NONE;
	}
}

static void note_next(const struct ws_packet *p, uint32_t end)
{
	struct wslabel_side *f = p->f;

	if (f->next == 0 || ws_after(end, f->next)) {
		f->next = end;
		f->next_ns = p->now_ns;
	}
	if (p->seq == f->max_ack || f->max_ack == 0)
		f->max_ack = f->next;
}

void wslabel_time(struct wslabel *w, const struct segment *seg, unsigned from)
{
	struct wslabel_side *f = &w->side[from];

	if (seg->flags & TCP_SYN) {
		f->is_first_ack = true;
		if (!(seg->flags & TCP_ACK)) {
			w->has_syn = true;
			w->syn_ns = seg->ts_ns;
		}
	} else if (seg->flags & TCP_ACK) {
		if (w->has_syn && w->rtt_ns == 0)
			w->rtt_ns = seg->ts_ns - w->syn_ns;
		f->is_first_ack = false;
	}
}

static void note(struct wslabel *w, struct ws_packet *p, unsigned flags)
{
	struct wslabel_side *f = p->f;
	bool has_end = (p->tcp & (TCP_SYN | TCP_FIN)) != 0;
	uint32_t end = p->seq + p->len;

	if ((p->len > 0 || has_end) && !unacked_is_full(&f->unacked)) {
		end += has_end;
		unacked_add(&f->unacked, end);
	}
	if (!(flags & WS_ZERO_WINDOW_PROBE))
		note_next(p, end);
	f->window = p->window;
	f->last_ack = p->ack;
	f->last_ns = p->now_ns;
	f->last_flags = (uint16_t)flags;
	f->mptcp = w->mptcp;
	unacked_drop(&p->r->unacked, p->ack);
}

static uint32_t scaled(const struct wslabel_side *f, const struct segment *seg)
{
	unsigned shift = f->scale <= SCALE_MAX ? f->scale : 0;

	return (seg->flags & TCP_SYN) ? seg->window : (uint32_t)seg->window << shift;
}

void wslabel_add(struct wslabel *w, const struct segment *seg, unsigned from,
		 enum wslabel_place place, struct wslabel_seen *seen)
{
	struct wslabel_side *f = &w->side[from], *r = &w->side[1 - from];
	struct ws_packet p = {.f = f,
			      .r = r,
			      .now_ns = seg->ts_ns,
			      .seq = seg->seq,
			      .ack = seg->ack,
			      .len = seg->payload_framed,
			      .window = seg->window,
			      .tcp = seg->flags,
			      .is_plain = (seg->flags & (TCP_SYN | TCP_FIN | TCP_RST)) == 0};
	unsigned flags = place != WSLABEL_SAME ? WS_REUSED_PORTS : 0;

	p.is_same = p.len == 0 && p.is_plain && p.seq == f->next && p.ack == f->last_ack;
	flags |= label_windows(w, &p);
	flags |= label_ack(&p);
	if ((p.len > 0 || (p.tcp & (TCP_SYN | TCP_FIN))) && !(flags & WS_KEEP_ALIVE))
		flags |= label_repeat(w, &p);
	seen->seq = p.seq - f->base;
	seen->ack = p.ack - r->base;
	/* What it finds in a header that was not captured whole Wireshark does not show. */
	seen->flags = seg->is_cut ? 0 : (uint16_t)flags;
	note(w, &p, flags);
	seen->window = scaled(f, seg);
	if (seg->is_short)
		return;
	wslabel_time(w, seg, from);
	note_scale(&p, seg);
	w->mptcp |= seg->mptcp & MPTCP_KNOWN;
}
