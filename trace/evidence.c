/*
 * evidence.c -- two passes over a dump: the first finds the addresses of the frames that the records
 * name, the second follows these connections.
 *
 * Knows no record's file and prints nothing.
 *
 * Invariant: a wish has a flow from its first frame on, and only then gets items.
 */
#include "trace/evidence.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace/capture_file.h"
#include "trace/decode.h"
#include "trace/evidence_tls.h"
#include "trace/flow.h"
#include "trace/seqnum.h"

/* Relative numbers of one flow. Lives in flow->user. */
struct relative {
	bool known[2];
	uint32_t base[2]; /* sequence number that is shown as 0 */
	uint64_t near[2]; /* newest number shown */
	struct relative *next;
};

/* One wish while the dump is read. */
struct search {
	struct evidence_wish *wish;
	struct flow *flow;
	uint32_t first_frame; /* lowest and highest that the record names; 0: none */
	uint32_t last_frame;
	uint32_t tls_last_frame; /* of its TLS handshake */
	struct evidence_tls *tls;
};

struct reading {
	struct search *searches;
	unsigned count;
	uint32_t last_frame; /* over all of them */
	struct flow_table *flows;
	struct fragments *fragments; /* of the pass at hand */
	struct relative *relatives;
	struct evidence *out;
	bool no_memory;
};

/* ---- lists ---- */

static bool list_has(const struct frame_list *l, uint32_t frame)
{
	uint32_t low = 0, high = l->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (l->frames[middle] == frame)
			return true;
		if (l->frames[middle] < frame)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

static void span_frame(struct search *s, uint32_t frame)
{
	if (frame == 0)
		return;
	if (s->first_frame == 0 || frame < s->first_frame)
		s->first_frame = frame;
	s->last_frame = MAX(s->last_frame, frame);
}

static void span_list(struct search *s, const struct frame_list *l)
{
	if (l->count > 0) {
		span_frame(s, l->frames[0]);
		span_frame(s, l->frames[l->count - 1]);
	}
}

static void search_init(struct search *s, struct evidence_wish *wish)
{
	*s = (struct search){.wish = wish};
	wish->found = false;
	span_list(s, &wish->leg->handshake.frames);
	for (int i = 0; i < TLS_MARK_COUNT; i++)
		span_list(s, &wish->leg->tls.at[i].frames);
	s->tls_last_frame = s->last_frame;
	span_list(s, &wish->leg->close.frames);
	for (int k = 0; k < PART_KINDS; k++) {
		const struct row_part *p = &wish->leg->part[k];

		span_list(s, &p->frames);
		span_list(s, &p->retransmitted_in);
		span_frame(s, p->acked_in);
	}
	for (unsigned i = 0; i < wish->leg->label_count; i++)
		span_list(s, &wish->leg->labels[i].frames);
}

/* ---- first pass: who spoke ---- */

static bool starts_with(const struct frame_list *l, uint32_t frame)
{
	return l->count > 0 && l->frames[0] == frame;
}

/*
 * Does this frame tell the direction? The first frames of request and handshake come from the one who connected, that of
 * a response from the other.
 */
static bool frame_tells(const struct row_leg *leg, uint32_t frame, bool *from_initiator)
{
	if (starts_with(&leg->part[PART_REQUEST].frames, frame) ||
	    starts_with(&leg->handshake.frames, frame)) {
		*from_initiator = true;
		return true;
	}
	*from_initiator = false;
	return starts_with(&leg->part[PART_INTERIM].frames, frame) ||
	       starts_with(&leg->part[PART_RESPONSE].frames, frame);
}

/* When only the close was seen: `by` names the sender of its first frame. */
static bool close_tells(const struct evidence_wish *wish, uint32_t frame, bool *from_initiator)
{
	const char *initiator = wish->which == TAP_CLIENT ? "client" : "proxy";

	*from_initiator = strcmp(wish->leg->close.by, initiator) == 0;
	return starts_with(&wish->leg->close.frames, frame);
}

static void note_addresses(struct reading *r, const struct packet *p)
{
	struct segment seg;
	bool from_initiator;

	if (decode_next(r->fragments, p, &seg) != DECODE_TCP)
		return;
	for (unsigned i = 0; i < r->count; i++) {
		struct evidence_wish *wish = r->searches[i].wish;

		if (wish->found || (!frame_tells(wish->leg, p->frame, &from_initiator) &&
				    !close_tells(wish, p->frame, &from_initiator)))
			continue;
		wish->initiator = from_initiator ? seg.src : seg.dst;
		wish->acceptor = from_initiator ? seg.dst : seg.src;
		wish->found = true;
	}
}

/* ---- second pass: rows ---- */

static struct evidence_item *item_add(struct reading *r)
{
	struct evidence *e = r->out;

	if (e->item_count == e->item_cap) {
		unsigned cap = MAX(64, e->item_cap * 2);
		struct evidence_item *wider = realloc(e->items, cap * sizeof(*wider));

		if (wider == NULL) {
			r->no_memory = true;
			return NULL;
		}
		e->items = wider;
		e->item_cap = cap;
	}
	e->items[e->item_count] = (struct evidence_item){0};
	return &e->items[e->item_count++];
}

static void item_of_kind(struct reading *r, const struct search *s, enum evidence_kind kind)
{
	struct evidence_item *item = item_add(r);

	if (item != NULL) {
		item->kind = kind;
		item->tag = s->wish->tag;
	}
}

static void handshake_item(struct reading *r, const struct search *s, const struct segment *seg)
{
	if (!list_has(&s->wish->leg->handshake.frames, seg->frame))
		return;
	if ((seg->flags & TCP_SYN) == 0)
		item_of_kind(r, s, EVIDENCE_HANDSHAKE_ACK);
	else
		item_of_kind(r, s, seg->flags & TCP_ACK ? EVIDENCE_SYN_ACK : EVIDENCE_SYN);
}

/* The record shows both ends' last word. */
static bool is_finished(const struct row_tls *t)
{
	return !t->failed && t->at[TLS_MARK_SERVER_FINISHED].frames.count > 0 &&
	       t->at[TLS_MARK_CLIENT_FINISHED].frames.count > 0;
}

/* What of the segment's bytes stands before the exchange's own: handshake, tickets, an alert. */
static void tls_item(struct reading *r, const struct search *s, const struct segment *seg,
		     const struct flow_place *place, bool from_initiator)
{
	const struct row_leg *leg = s->wish->leg;
	const struct stream_place *d = &place->data;
	uint64_t past =
		MIN(d->off + d->new_bytes + d->old_bytes, evidence_first_off(leg, from_initiator));
	struct evidence_item item = {.kind = EVIDENCE_TLS, .tag = s->wish->tag}, *added;

	if (!leg->tls.there || seg->payload_len == 0)
		return;
	for (int i = 0; i < TLS_MARK_COUNT; i++)
		if (list_has(&leg->tls.at[i].frames, seg->frame))
			item.marks |= (uint8_t)(1U << i);
	if (d->known && past <= d->off)
		return;
	if (!d->known && item.marks == 0)
		return;
	item.is_late = seg->frame > s->tls_last_frame && is_finished(&leg->tls);
	item.placed = d->known;
	item.from = d->known ? d->off : 0;
	item.past = d->known ? past : 0;
	added = item_add(r);
	if (added != NULL)
		*added = item;
}

/* A FIN may acknowledge the other side's. */
static void close_items(struct reading *r, const struct search *s, const struct segment *seg,
			const struct flow_place *place)
{
	bool fin = (seg->flags & TCP_FIN) != 0;

	if (!list_has(&s->wish->leg->close.frames, seg->frame))
		return;
	if (seg->flags & TCP_RST) {
		item_of_kind(r, s, EVIDENCE_RST);
		return;
	}
	if (fin)
		item_of_kind(r, s, EVIDENCE_FIN);
	if (!fin || place->flow->side[!place->from].fin_ack_frame == seg->frame)
		item_of_kind(r, s, EVIDENCE_FIN_ACK);
}

/* What the record calls it. */
static void label_items(struct reading *r, const struct search *s, uint32_t frame)
{
	const struct row_leg *leg = s->wish->leg;

	for (unsigned i = 0; i < leg->label_count; i++) {
		if (!list_has(&leg->labels[i].frames, frame))
			continue;
		item_of_kind(r, s, EVIDENCE_LABEL);
		if (!r->no_memory)
			r->out->items[r->out->item_count - 1].word = leg->labels[i].word;
	}
}

/* An item for the part's share of the direction's bytes [from, past); at least one byte of it. */
static void part_item(struct reading *r, const struct search *s, enum evidence_kind kind,
		      enum part_kind part, uint64_t from, uint64_t past)
{
	const struct row_part *p = &s->wish->leg->part[part];
	uint64_t first = p->seq - 1;
	struct evidence_item *item;

	if (!p->there || from >= first + p->len || past <= first)
		return;
	item = item_add(r);
	if (item == NULL)
		return;
	item->kind = kind;
	item->part = part;
	item->tag = s->wish->tag;
	item->placed = true;
	item->from = MAX(from, first) - first;
	item->past = MIN(past, first + p->len) - first;
	item->part_len = p->len;
}

/* Of a direction whose start is not known only the record can say what a frame did. */
static void listed_item(struct reading *r, const struct search *s, enum evidence_kind kind,
			enum part_kind part, uint32_t frame)
{
	const struct row_part *p = &s->wish->leg->part[part];
	struct evidence_item *item;

	if (kind == EVIDENCE_ACK
		    ? p->acked_in != frame
		    : !list_has(&p->frames, frame) && !list_has(&p->retransmitted_in, frame))
		return;
	item = item_add(r);
	if (item == NULL)
		return;
	item->kind = kind;
	item->part = part;
	item->tag = s->wish->tag;
	item->part_len = p->len;
}

/* Which parts the direction has. */
static bool part_goes(enum part_kind part, bool from_initiator)
{
	return (part == PART_REQUEST || part == PART_TUNNEL_UP) == from_initiator;
}

static void mark_repeated(struct reading *r, const struct search *s, uint32_t frame,
			  unsigned from_item)
{
	for (unsigned i = from_item; i < r->out->item_count; i++) {
		struct evidence_item *item = &r->out->items[i];
		const struct row_part *p = &s->wish->leg->part[item->part];

		if (item->kind != EVIDENCE_DATA)
			continue;
		item->again = list_has(&p->retransmitted_in, frame);
		item->also_new = list_has(&p->frames, frame);
	}
}

static void data_items(struct reading *r, const struct search *s, const struct segment *seg,
		       const struct flow_place *place, bool from_initiator)
{
	const struct stream_place *d = &place->data;
	unsigned from_item = r->out->item_count;

	if (seg->payload_len == 0)
		return;
	for (int k = 0; k < PART_KINDS; k++) {
		if (!part_goes((enum part_kind)k, from_initiator))
			continue;
		if (d->known)
			part_item(r, s, EVIDENCE_DATA, (enum part_kind)k, d->off,
				  d->off + d->new_bytes + d->old_bytes);
		else
			listed_item(r, s, EVIDENCE_DATA, (enum part_kind)k, seg->frame);
	}
	mark_repeated(r, s, seg->frame, from_item);
}

static void ack_items(struct reading *r, const struct search *s, const struct segment *seg,
		      const struct flow_place *place, bool from_initiator)
{
	const struct stream *acked = place->flow->side[!place->from].stream;

	for (int k = 0; k < PART_KINDS; k++) {
		if (part_goes((enum part_kind)k, from_initiator))
			continue;
		if (stream_anchored(acked))
			part_item(r, s, EVIDENCE_ACK, (enum part_kind)k, place->acked_from,
				  place->acked_past);
		else
			listed_item(r, s, EVIDENCE_ACK, (enum part_kind)k, seg->frame);
	}
}

/* ---- relative numbers ---- */

static struct relative *relative_of(struct reading *r, struct flow *flow)
{
	struct relative *rel = flow->user;

	if (rel != NULL)
		return rel;
	rel = calloc(1, sizeof(*rel));
	if (rel == NULL) {
		r->no_memory = true;
		return NULL;
	}
	rel->next = r->relatives;
	r->relatives = rel;
	flow->user = rel;
	return rel;
}

/* The ISN is 0; without one, the byte before the first that is seen. */
static void relative_learn(struct relative *rel, const struct flow *flow, const struct segment *seg,
			   unsigned from)
{
	for (unsigned i = 0; i < 2; i++) {
		if (rel->known[i] || !flow->side[i].isn_known)
			continue;
		rel->known[i] = true;
		rel->base[i] = flow->side[i].isn;
	}
	if (!rel->known[from]) {
		rel->known[from] = true;
		rel->base[from] = seg->seq - 1;
	}
	if (!rel->known[!from] && (seg->flags & TCP_ACK)) {
		rel->known[!from] = true;
		rel->base[!from] = seg->ack - 1;
	}
}

static int64_t relative_number(struct relative *rel, unsigned side, uint32_t number)
{
	int64_t n = seq_to_off(number, rel->base[side], rel->near[side]);

	if (n > 0)
		rel->near[side] = (uint64_t)n;
	return n;
}

/* ---- one segment ---- */

static void row_add(struct reading *r, const struct segment *seg, const struct evidence_row *row)
{
	struct evidence *e = r->out;

	if (e->row_count == e->row_cap) {
		unsigned cap = MAX(64, e->row_cap * 2);
		struct evidence_row *wider = realloc(e->rows, cap * sizeof(*wider));

		if (wider == NULL) {
			r->no_memory = true;
			return;
		}
		e->rows = wider;
		e->row_cap = cap;
	}
	e->rows[e->row_count] = *row;
	e->rows[e->row_count].ts_ns = seg->ts_ns;
	e->rows[e->row_count].frame = seg->frame;
	e->rows[e->row_count].flags = seg->flags;
	e->rows[e->row_count].len = seg->payload_len;
	e->row_count++;
}

/* Is it a segment between the two ends of the wish? */
static bool is_between(const struct evidence_wish *w, const struct segment *seg)
{
	return (addr_equal(&seg->src, &w->initiator) && addr_equal(&seg->dst, &w->acceptor)) ||
	       (addr_equal(&seg->dst, &w->initiator) && addr_equal(&seg->src, &w->acceptor));
}

static bool is_wanted(const struct reading *r, const struct segment *seg)
{
	for (unsigned i = 0; i < r->count; i++)
		if (r->searches[i].wish->found && is_between(r->searches[i].wish, seg))
			return true;
	return false;
}

/* The items of one wish. */
static void search_segment(struct reading *r, struct search *s, const struct segment *seg,
			   const struct flow_place *place, struct evidence_row *row)
{
	const struct evidence_wish *wish = s->wish;
	bool from_initiator = addr_equal(&seg->src, &wish->initiator);

	if (!wish->found)
		return;
	if (s->flow == NULL && seg->frame == s->first_frame)
		s->flow = place->flow;
	if (s->flow != place->flow)
		return;
	row->which = wish->which;
	row->by_proxy = from_initiator == (wish->which == TAP_BACKEND);
	handshake_item(r, s, seg);
	tls_item(r, s, seg, place, from_initiator);
	if (s->tls != NULL && seg->payload_len > 0)
		evidence_tls_segment(s->tls, seg, place, from_initiator);
	data_items(r, s, seg, place, from_initiator);
	ack_items(r, s, seg, place, from_initiator);
	close_items(r, s, seg, place);
	label_items(r, s, seg->frame);
}

static void add_segment(struct reading *r, const struct segment *seg)
{
	struct evidence_row row = {.first_item = r->out->item_count};
	struct flow_place place;
	struct relative *rel;

	if (!flow_table_add(r->flows, seg, &place) || place.flow == NULL) {
		r->no_memory = true;
		return;
	}
	if (place.copy || (rel = relative_of(r, place.flow)) == NULL)
		return;
	relative_learn(rel, place.flow, seg, place.from);
	row.seq = relative_number(rel, place.from, seg->seq);
	row.has_ack = (seg->flags & TCP_ACK) != 0;
	row.ack = row.has_ack ? relative_number(rel, !place.from, seg->ack) : 0;
	for (unsigned i = 0; i < r->count; i++)
		search_segment(r, &r->searches[i], seg, &place, &row);
	row.item_count = r->out->item_count - row.first_item;
	if (row.item_count > 0)
		row_add(r, seg, &row);
}

/* ---- the dump ---- */

typedef void (*packet_fn)(struct reading *r, const struct packet *p);

static void follow_packet(struct reading *r, const struct packet *p)
{
	struct segment seg;

	if (decode_next(r->fragments, p, &seg) == DECODE_TCP && is_wanted(r, &seg))
		add_segment(r, &seg);
}

static bool read_dump(struct reading *r, const char *path, packet_fn fn,
		      char err[EVIDENCE_ERROR_MAX])
{
	char why[CAPTURE_FILE_ERROR_MAX];
	struct capture_file *f = capture_file_open(path, why);
	enum capture_file_result result;
	struct packet p;

	if (f == NULL) {
		snprintf(err, EVIDENCE_ERROR_MAX, "%s", why);
		return false;
	}
	r->fragments = fragments_new();
	if (r->fragments == NULL)
		r->no_memory = true;
	do {
		result = capture_file_next(f, &p, why);
		if (result == CAPTURE_FILE_PACKET && !r->no_memory)
			fn(r, &p);
	} while (result == CAPTURE_FILE_PACKET && p.frame < r->last_frame && !r->no_memory);
	if (result == CAPTURE_FILE_BROKEN)
		snprintf(err, EVIDENCE_ERROR_MAX, "%s", why);
	capture_file_close(f);
	fragments_free(r->fragments);
	return true;
}

static bool read_twice(struct reading *r, const char *path, struct evidence_wish *wishes,
		       char err[EVIDENCE_ERROR_MAX])
{
	bool fine;

	for (unsigned i = 0; i < r->count; i++) {
		search_init(&r->searches[i], &wishes[i]);
		r->last_frame = MAX(r->last_frame, r->searches[i].last_frame);
		r->searches[i].tls = evidence_tls_new(&wishes[i], r->out);
		r->no_memory = r->no_memory || r->searches[i].tls == NULL;
	}
	fine = read_dump(r, path, note_addresses, err) && read_dump(r, path, follow_packet, err);
	for (unsigned i = 0; i < r->count; i++)
		if (!evidence_tls_free(r->searches[i].tls))
			r->no_memory = true;
	evidence_tls_sort(r->out);
	if (!fine)
		return false;
	if (r->no_memory)
		snprintf(err, EVIDENCE_ERROR_MAX, "no memory for the segments of %s", path);
	return !r->no_memory;
}

bool evidence_read(const char *path, struct evidence_wish *wishes, unsigned count,
		   struct evidence *out, char err[EVIDENCE_ERROR_MAX])
{
	struct reading r = {.count = count, .out = out};
	bool fine = false;

	*out = (struct evidence){0};
	err[0] = '\0';
	r.searches = calloc(MAX(count, 1), sizeof(*r.searches));
	r.flows = flow_table_new();
	if (r.searches != NULL && r.flows != NULL)
		fine = read_twice(&r, path, wishes, err);
	else
		snprintf(err, EVIDENCE_ERROR_MAX, "no memory");
	while (r.relatives != NULL) {
		struct relative *next = r.relatives->next;

		free(r.relatives);
		r.relatives = next;
	}
	flow_table_free(r.flows);
	free(r.searches);
	return fine;
}

void evidence_fini(struct evidence *e)
{
	free(e->rows);
	free(e->items);
	for (unsigned i = 0; i < e->record_count; i++)
		free(e->records[i].name);
	free(e->records);
	*e = (struct evidence){0};
}

const struct evidence_row *evidence_find(const struct evidence *e, uint32_t frame)
{
	unsigned low = 0, high = e->row_count;

	while (low < high) {
		unsigned middle = low + (high - low) / 2;

		if (e->rows[middle].frame == frame)
			return &e->rows[middle];
		if (e->rows[middle].frame < frame)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}
