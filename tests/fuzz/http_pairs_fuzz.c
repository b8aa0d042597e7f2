/*
 * http_pairs_fuzz.c -- two directions of a connection in segments of any order, with gaps, repeats and
 * cuts, read as HTTP.
 *
 * Input: a byte for how the connection begins; then segments: a byte of what is done (the bits below),
 * one of how far, one of length, the bytes. Whatever comes, every exchange that was begun ends once, its
 * ranges lie within what was sent, those of one direction do not overlap, and nothing is kept when
 * the connection is over.
 */
// links: trace
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cursor.h"
#include "trace/http_pairs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	DO_SERVER = 1, /* else the client sends */
	DO_SKIP = 2,   /* bytes are missing before it */
	DO_AGAIN = 4,  /* it begins earlier than it should */
	DO_FIN = 8,
	DO_RST = 16,
	DO_CUT = 32,  /* half of it is captured */
	DO_WAIT = 64, /* time passes */
	DO_ACK = 128, /* all that the other side sent is acknowledged */
};

#define BEGUN_MAX 4096

struct check {
	uint64_t begun[BEGUN_MAX];
	unsigned count;
	unsigned ended;
	uint64_t sent[2];
	uint64_t request_past;
	uint64_t response_past;
};

static void on_opened(void *arg, const struct http_conn_view *c)
{
	(void)arg;
	assert(c->number == 1 && c->client < 2 && c->track->flow != NULL);
}

static void on_begun(void *arg, const struct http_conn_view *c, const struct http_exchange *e)
{
	struct check *k = arg;

	(void)c;
	for (unsigned i = 0; i < k->count; i++)
		assert(k->begun[i] != e->x.id);
	if (k->count < BEGUN_MAX)
		k->begun[k->count++] = e->x.id;
	assert(e->x.client.request.first >= k->request_past);
	k->request_past = e->x.client.request.past;
}

static void on_answered(void *arg, const struct http_conn_view *c, const struct http_exchange *e,
			uint64_t first)
{
	struct check *k = arg;

	(void)c;
	assert(first >= k->response_past && first >= e->ack);
	k->response_past = first;
}

#define CLIENT_PORT 40000

/* Which of ours this side of the flow is. */
static unsigned sender(const struct http_conn_view *c, unsigned side)
{
	return c->track->flow->side[side].addr.port != CLIENT_PORT;
}

static void check_range(const struct byte_range *r, uint64_t sent)
{
	assert(!byte_range_exists(r) || (r->first < r->past && r->past <= sent));
}

static void on_ended(void *arg, const struct http_conn_view *c, const struct http_exchange *e)
{
	struct check *k = arg;
	uint64_t up = k->sent[sender(c, c->client)], down = k->sent[sender(c, 1 - c->client)];
	unsigned found = 0;

	for (unsigned i = 0; i < k->count; i++) {
		if (k->begun[i] != e->x.id)
			continue;
		k->begun[i] = k->begun[--k->count];
		found++;
		break;
	}
	assert(found == 1);
	k->ended++;
	check_range(&e->x.client.request, up);
	check_range(&e->x.client.interim, down);
	check_range(&e->x.client.response, down);
	check_range(&e->x.client.tunnel_up, up);
	check_range(&e->x.client.tunnel_down, down);
	assert((e->x.status != 0) == byte_range_exists(&e->x.client.response));
	assert(strlen(e->x.end) > 0 && e->end_ns >= e->x.start_ns);
	assert(strcmp(e->x.end, "done") != 0 || e->x.at_us[MOMENT_RESPONSE_END] != MOMENT_NEVER);
}

static void on_passed(void *arg, const struct http_conn_view *c, unsigned side, uint64_t off)
{
	const struct check *k = arg;

	assert(off <= k->sent[sender(c, side)]);
}

static void on_tls(void *arg, const struct http_conn_view *c, const struct tls_marks *m)
{
	const struct check *k = arg;

	for (unsigned i = 0; i < TLS_MARK_COUNT; i++) {
		bool by_client = i == TLS_MARK_CLIENT_HELLO || i == TLS_MARK_CLIENT_FINISHED;

		check_range(&m->at[i], k->sent[sender(c, by_client ? c->client : 1 - c->client)]);
	}
	assert(m->version == 0 || m->version == TLS_VERSION_12 || m->version == TLS_VERSION_13);
	assert(m->resumed <= TLS_UNKNOWN && m->failed <= TLS_UNKNOWN);
}

/* ---- the connection -------------------------------------------------------------------------- */

struct rig {
	struct flow_table *flows;
	struct http_pairs *pairs;
	struct track *track;
	struct check check;
	struct addr end[2];
	uint32_t isn[2];
	uint64_t next[2]; /* offset of the next byte that each side sends */
	uint64_t ts_ns;
	uint32_t frame;
};

static void put(struct rig *r, unsigned side, uint64_t off, uint8_t flags, const uint8_t *bytes,
		uint32_t len, uint32_t captured, bool acks)
{
	struct segment seg = {.ts_ns = r->ts_ns,
			      .frame = ++r->frame,
			      .src = r->end[side],
			      .dst = r->end[1 - side],
			      .seq = r->isn[side] + (flags & TCP_SYN ? 0 : 1) + (uint32_t)off,
			      .flags = flags,
			      .window = 500,
			      .wscale = SEGMENT_NO_WSCALE,
			      .payload = bytes,
			      .payload_captured = captured,
			      .payload_len = len,
			      .payload_framed = len};
	struct flow_place place;

	if (acks) {
		seg.flags |= TCP_ACK;
		seg.ack = r->isn[1 - side] + 1 + (uint32_t)r->next[1 - side];
	}
	r->check.sent[side] = MAX(r->check.sent[side], off + len);
	if (!flow_table_add(r->flows, &seg, &place) || place.flow == NULL)
		return;
	if (place.flow->user == NULL)
		assert(track_new(place.flow) != NULL);
	if (r->track == NULL)
		r->track = place.flow->user;
	if (place.flow->user == r->track)
		http_pairs_segment(r->pairs, r->track, &seg, &place);
}

static void play(struct rig *r, struct cursor *c)
{
	uint8_t what = cursor_u8(c), far = cursor_u8(c), length = cursor_u8(c);
	uint32_t len = (uint32_t)MIN((size_t)length, cursor_left(c));
	const uint8_t *bytes = cursor_take(c, len);
	unsigned side = what & DO_SERVER;
	uint64_t off = r->next[side];

	if (bytes == NULL)
		return;
	if (what & DO_SKIP)
		off += far;
	else if (what & DO_AGAIN)
		off -= MIN(off, (uint64_t)far);
	r->ts_ns += what & DO_WAIT ? 200 * NS_PER_MS : 1000;
	put(r, side, off, (uint8_t)((what & DO_FIN ? TCP_FIN : 0) | (what & DO_RST ? TCP_RST : 0)),
	    bytes, len, what & DO_CUT ? len / 2 : len, (what & DO_ACK) != 0);
	r->next[side] = MAX(r->next[side], off + len);
	if (what & DO_WAIT)
		http_pairs_clock(r->pairs, r->ts_ns);
}

static bool drop_track(struct flow *f, void *arg)
{
	(void)arg;
	if (f->user != NULL)
		track_unref(f->user);
	f->user = NULL;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct addr client = {
		.family = ADDR_IP4, .ip = {192, 0, 2, 1}, .port = CLIENT_PORT};
	static const struct addr server = {.family = ADDR_IP4, .ip = {192, 0, 2, 2}, .port = 80};
	struct rig r = {.end = {client, server}, .isn = {0xffffff00, 7}, .ts_ns = NS_PER_S};
	struct http_pairs_calls calls = {&r.check, on_opened, on_begun, on_answered,
					 on_ended, on_passed, on_tls};
	struct cursor c;
	uint8_t begin;

	c = cursor_of(data, size);
	begin = cursor_u8(&c);
	r.flows = flow_table_new();
	r.pairs = http_pairs_new(&calls);
	assert(r.flows != NULL && r.pairs != NULL);
	flow_table_count_from_first(r.flows);
	if (begin & 1)
		put(&r, 0, 0, TCP_SYN, NULL, 0, 0, false);
	if (begin & 2)
		put(&r, 1, 0, TCP_SYN, NULL, 0, 0, true);
	while (cursor_left(&c) > 0)
		play(&r, &c);
	if (r.track != NULL)
		http_pairs_end(r.pairs);
	assert(r.check.count == 0);
	http_pairs_free(r.pairs);
	flow_table_visit(r.flows, drop_track, NULL);
	flow_table_free(r.flows);
	return 0;
}
