/*
 * correlate_live_test.c -- live: records come by the tap while packets come, some late, some never.
 * What is given out must be what an offline run gives, in the same order.
 */
#include "tests/unit/trace/talk.h"

#define HOLD_MS 2000
#define SECOND  1000000ULL /* in microseconds */
#define LAG_US  14000      /* packets are seen so late */

/* ---- a random traffic, as a list of things that happen --------------------------------------- */

enum happening_kind {
	HAPPENS_SEGMENT,
	HAPPENS_OPEN,
	HAPPENS_BEGIN,
	HAPPENS_END,
	HAPPENS_CLOSE,
};

struct happening {
	uint64_t us;   /* stamp of a segment; else when it is told */
	uint64_t tell; /* when it arrives, live */
	enum happening_kind kind;
	unsigned order;
	/* segment */
	struct wire wire;
	unsigned from, flags;
	uint32_t seq, ack, len;
	/* records */
	struct tap_open open;
	struct tap_begin begin;
	struct tap_close close;
	struct exchange_record x;
};

struct traffic {
	struct happening *at;
	unsigned count, cap;
	uint64_t seed;
	unsigned max_tell_us;
};

static uint64_t draw(struct traffic *t, uint64_t below)
{
	t->seed ^= t->seed << 13;
	t->seed ^= t->seed >> 7;
	t->seed ^= t->seed << 17;
	return t->seed % below;
}

static struct happening *add(struct traffic *t, enum happening_kind kind, uint64_t us)
{
	struct happening *h;

	if (t->count == t->cap) {
		t->cap = t->cap > 0 ? 2 * t->cap : 1024;
		t->at = realloc(t->at, t->cap * sizeof(*t->at));
		cr_assert_not_null(t->at);
	}
	h = &t->at[t->count];
	memset(h, 0, sizeof(*h));
	h->us = us;
	h->kind = kind;
	h->order = t->count++;
	h->tell = kind == HAPPENS_SEGMENT ? us + LAG_US : us + 1 + draw(t, t->max_tell_us);
	return h;
}

static void add_segment(struct traffic *t, const struct wire *w, uint64_t us, unsigned from,
			unsigned flags, uint32_t seq, uint32_t ack, uint32_t len)
{
	struct happening *h = add(t, HAPPENS_SEGMENT, us);

	h->wire = *w;
	h->from = from;
	h->flags = flags;
	h->seq = seq;
	h->ack = ack;
	h->len = len;
}

static void add_open(struct traffic *t, const struct wire *w, uint64_t us, uint64_t conn)
{
	struct happening *h = add(t, HAPPENS_OPEN, us);
	struct leg_record leg = leg_on(w, conn, 1, us);

	h->open = (struct tap_open){.conn = conn,
				    .opened_ns = at(us),
				    .local = leg.local,
				    .peer = leg.peer,
				    .leg = w->end[1].port == 8585 ? TAP_CLIENT : TAP_BACKEND};
}

/* Both directions by offset. */
static void add_bytes(struct traffic *t, struct wire *w, uint64_t us, unsigned from, uint32_t len)
{
	add_segment(t, w, us, from, TCP_PSH | TCP_ACK, (uint32_t)(w->isn[from] + 1 + w->sent[from]),
		    (uint32_t)(w->isn[!from] + 1 + w->sent[!from]), len);
	w->sent[from] += len;
}

static void add_ack(struct traffic *t, struct wire *w, uint64_t us, unsigned from)
{
	add_bytes(t, w, us, from, 0);
}

static void add_handshake(struct traffic *t, const struct wire *w, uint64_t us)
{
	add_segment(t, w, us, 0, TCP_SYN, w->isn[0], 0, 0);
	add_segment(t, w, us + 10, 1, TCP_SYN | TCP_ACK, w->isn[1], w->isn[0] + 1, 0);
	add_segment(t, w, us + 20, 0, TCP_ACK, w->isn[0] + 1, w->isn[1] + 1, 0);
}

static void add_close(struct traffic *t, const struct wire *w, uint64_t us, unsigned by,
		      uint64_t conn)
{
	uint32_t seq[2];
	struct happening *h;

	for (unsigned i = 0; i < 2; i++)
		seq[i] = (uint32_t)(w->isn[i] + 1 + w->sent[i]);
	if (draw(t, 3) == 0) {
		add_segment(t, w, us, by, TCP_RST | TCP_ACK, seq[by], seq[!by], 0);
	} else {
		add_segment(t, w, us, by, TCP_FIN | TCP_ACK, seq[by], seq[!by], 0);
		add_segment(t, w, us + 20, !by, TCP_FIN | TCP_ACK, seq[!by], seq[by] + 1, 0);
		add_segment(t, w, us + 35, by, TCP_ACK, seq[by] + 1, seq[!by] + 1, 0);
	}
	h = add(t, HAPPENS_CLOSE, us + 40);
	h->close.conn = conn;
	h->close.leg = w->end[1].port == 8585 ? TAP_CLIENT : TAP_BACKEND;
}

/* Begin and end of an exchange without a backend, and its segments. Returns when it is over. */
static uint64_t add_exchange(struct traffic *t, struct wire *w, uint64_t us, uint64_t conn,
			     uint32_t nth, uint64_t opened_us)
{
	uint32_t request = 1 + (uint32_t)draw(t, 1500), response = 1 + (uint32_t)draw(t, 4000);
	uint64_t first[2] = {w->sent[0], w->sent[1]};
	uint64_t end_us = us + 100 + draw(t, 300000), acked_us;
	struct happening *h;

	add_bytes(t, w, us, 0, request);
	h = add(t, HAPPENS_BEGIN, us + 30);
	h->begin = (struct tap_begin){.id = draw(t, 1ULL << 60),
				      .conn = conn,
				      .first = first[0],
				      .nth = nth,
				      .part = TAP_PART_CLIENT_REQUEST};
	add_bytes(t, w, end_us + 10, 1, response);
	acked_us = end_us + 20 + (draw(t, 4) == 0 ? draw(t, 3 * SECOND) : draw(t, 200));
	if (draw(t, 20) > 0) /* else it is never acknowledged, or by what comes next */
		add_ack(t, w, acked_us, 0);
	h = add(t, HAPPENS_END, end_us);
	h->x = record_of(0, us + 30, end_us);
	h->x.client = leg_on(w, conn, nth, opened_us);
	h->x.client.request = range(first[0], first[0] + request);
	h->x.client.response = range(first[1], first[1] + response);
	for (unsigned i = h->order; i-- > 0;) {
		if (t->at[i].kind == HAPPENS_BEGIN) {
			h->x.id = t->at[i].begin.id;
			break;
		}
	}
	return MAX(acked_us, end_us + 10) + 1;
}

/* Connections one beside the other, of one to five exchanges; some ports are used again. */
static void make_traffic(struct traffic *t, unsigned conns)
{
	uint64_t port_free_us[8] = {0};

	for (unsigned i = 1; i <= conns; i++) {
		unsigned port = (unsigned)draw(t, 8);
		uint64_t us = MAX(port_free_us[port], i * 40000) + draw(t, 100000);
		struct wire w = wire_client((uint16_t)(40000 + port));
		uint64_t opened_us = us + 25;
		unsigned count = (unsigned)draw(t, 6);

		w.isn[0] += i * 1000000;
		w.isn[1] += i * 3000000;
		add_handshake(t, &w, us);
		add_open(t, &w, opened_us, i);
		us += 50;
		for (unsigned nth = 1; nth <= count; nth++)
			us = add_exchange(t, &w, us, i, nth, opened_us) + draw(t, 50000);
		add_close(t, &w, us, (unsigned)draw(t, 2), i);
		port_free_us[port] = us + 100;
	}
}

static int by_stamp(const void *a, const void *b)
{
	const struct happening *x = a, *y = b;

	if (x->us != y->us)
		return x->us < y->us ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

static int by_arrival(const void *a, const void *b)
{
	const struct happening *x = a, *y = b;

	if (x->tell != y->tell)
		return x->tell < y->tell ? -1 : 1;
	return by_stamp(a, b);
}

static void feed_segment(struct talk *talk, const struct happening *h)
{
	put_raw(talk, &h->wire, h->us, h->from, h->flags, h->seq, h->ack, h->len);
}

/* All records first, then the packets, the clock a second behind. */
static void run_offline(struct talk *talk, struct traffic *t)
{
	talk_init(talk, HOLD_MS, false);
	qsort(t->at, t->count, sizeof(*t->at), by_stamp);
	for (unsigned i = 0; i < t->count; i++)
		if (t->at[i].kind == HAPPENS_END)
			correlate_exchange(talk->c, &t->at[i].x);
	for (unsigned i = 0; i < t->count; i++) {
		if (t->at[i].kind != HAPPENS_SEGMENT)
			continue;
		feed_segment(talk, &t->at[i]);
		if (t->at[i].us > SECOND)
			correlate_clock(talk->c, at(t->at[i].us - SECOND));
	}
	correlate_end(talk->c);
}

static void feed_live(struct talk *talk, const struct happening *h)
{
	switch (h->kind) {
	case HAPPENS_SEGMENT:
		feed_segment(talk, h);
		break;
	case HAPPENS_OPEN:
		correlate_open(talk->c, RUN, &h->open);
		break;
	case HAPPENS_BEGIN:
		correlate_begin(talk->c, RUN, &h->begin, at(h->us));
		break;
	case HAPPENS_END:
		correlate_exchange(talk->c, &h->x);
		break;
	case HAPPENS_CLOSE:
		correlate_close(talk->c, RUN, &h->close);
		break;
	}
}

/*
 * Everything as it arrives; the clock in steps of the given size, behind what has surely arrived.
 */
static void run_live(struct talk *talk, struct traffic *t, uint64_t step_us)
{
	uint64_t behind_us = MAX(LAG_US, t->max_tell_us), clock_us = 0;

	talk_init(talk, HOLD_MS, true);
	correlate_clock(talk->c, at(0));
	qsort(t->at, t->count, sizeof(*t->at), by_arrival);
	for (unsigned i = 0; i < t->count; i++) {
		while (clock_us + step_us + behind_us < t->at[i].tell) {
			clock_us += step_us;
			correlate_clock(talk->c, at(clock_us));
		}
		feed_live(talk, &t->at[i]);
	}
	correlate_end(talk->c);
}

static void without_conn_number(char *line)
{
	char *p = strstr(line, "\"conn\":"), *end;

	cr_assert_not_null(p);
	end = strstr(p, ",\"stream\"");
	memmove(p, end, strlen(end) + 1);
	p = strstr(line, "\"opened\":");
	end = strstr(p, ",\"handshake\"");
	memmove(p, end, strlen(end) + 1);
}

static void compare(struct talk *live, struct talk *offline)
{
	cr_assert_eq(live->exchange_count, offline->exchange_count);
	for (unsigned i = 0; i < live->exchange_count; i++)
		cr_assert_str_eq(live->exchange[i], offline->exchange[i]);
	cr_assert_eq(live->conn_count, offline->conn_count);
	for (unsigned i = 0; i < live->conn_count; i++) {
		/* Of one without an exchange the log knows neither number nor opening. */
		if (strstr(offline->conn[i], "\"conn\":null") != NULL) {
			without_conn_number(live->conn[i]);
			without_conn_number(offline->conn[i]);
		}
		cr_assert_str_eq(live->conn[i], offline->conn[i]);
	}
}

static void live_equals_offline(uint64_t seed, unsigned max_tell_us, uint64_t step_us)
{
	struct traffic t = {.seed = seed * 0x9e3779b97f4a7c15ULL + 1, .max_tell_us = max_tell_us};
	struct talk *live = malloc(sizeof(*live)), *offline = malloc(sizeof(*offline));

	make_traffic(&t, 60);
	run_offline(offline, &t);
	run_live(live, &t, step_us);
	cr_assert_gt(live->exchange_count, 20);
	compare(live, offline);
	talk_fini(live);
	talk_fini(offline);
	free(live);
	free(offline);
	free(t.at);
}

Test(correlate_live, equals_offline_with_prompt_records)
{
	for (uint64_t seed = 1; seed <= 20; seed++)
		live_equals_offline(seed, 2000, 1000);
}

Test(correlate_live, equals_offline_with_records_late_by_up_to_hold)
{
	for (uint64_t seed = 1; seed <= 20; seed++)
		live_equals_offline(seed, HOLD_MS * 1000, 5000);
}

Test(correlate_live, equals_offline_with_a_clock_in_large_steps)
{
	for (uint64_t seed = 1; seed <= 20; seed++)
		live_equals_offline(seed, 20000, 700000);
}

/* ---- what only a live run sees --------------------------------------------------------------- */

Test(correlate_live, begun_without_an_end_is_tap_lost)
{
	struct wire w = wire_client(40000);
	struct tap_open open = {.conn = 1, .opened_ns = at(25), .leg = TAP_CLIENT};
	struct tap_begin begin = {.id = 0xab, .conn = 1, .nth = 1, .part = TAP_PART_CLIENT_REQUEST};
	struct tap_part_known part = {
		.id = 0xab, .conn = 1, .first = 0, .past = 100, .part = TAP_PART_CLIENT_REQUEST};
	struct talk t;

	open.local = w.end[1];
	open.peer = w.end[0];
	talk_init(&t, HOLD_MS, true);
	correlate_open(t.c, RUN, &open);
	put_handshake(&t, &w, 0);
	put_data(&t, &w, 100, 0, 100);
	correlate_begin(t.c, RUN, &begin, at(120));
	ledger_part(correlate_ledger(t.c), RUN, &part);
	put_ack(&t, &w, 130, 1);
	correlate_clock(t.c, at(10 * SECOND));
	cr_expect_eq(t.exchange_count, 0);
	correlate_end(t.c);
	cr_assert_eq(t.exchange_count, 1);
	has(t.exchange[0], "\"id\":\"00000000000000ab\",\"dump\":\"dump.pcapng\","
			   "\"start\":\"2023-11-14T22:13:20.000120000Z\",\"status\":null,"
			   "\"end\":\"tap-lost\",\"client\":{\"conn\":1,\"nth\":1,\"stream\":0");
	follows(t.exchange[0], "\"request\":",
		"{\"seq\":1,\"len\":100,\"next_seq\":101,\"frames\":[4],\"acked_in\":5,");
	has(t.exchange[0], "\"backend\":null");
	cr_assert_eq(t.conn_count, 1);
	has(t.conn[0], "\"ids\":[\"00000000000000ab\"]");
	talk_fini(&t);
}

/* The proxy's buffer was full for a while: who ran then says so. */
Test(correlate_live, exchange_during_which_the_tap_lost_records)
{
	struct talk t;

	talk_init(&t, HOLD_MS, true);
	for (uint64_t id = 1; id <= 3; id++) {
		struct wire w = wire_client((uint16_t)(40000 + id));
		struct exchange_record x = record_of(id, id * 1000, id * 1000 + 500);

		x.client = leg_on(&w, id, 1, id * 1000 - 50);
		correlate_exchange(t.c, &x);
	}
	correlate_tap_lost(t.c, at(1501), at(2000), 40);
	correlate_tap_lost(t.c, at(2400), at(2900), 2);
	correlate_end(t.c);
	cr_assert_eq(t.exchange_count, 3);
	has(t.exchange[0], "\"drops\":0}");
	has(t.exchange[1], "\"drops\":0,\"tap_drops\":42}");
	has(t.exchange[2], "\"drops\":0}");
	talk_fini(&t);
}

Test(correlate_live, tunnel_that_is_lost_reaches_as_far_as_was_captured)
{
	static const struct {
		enum tap_part part;
		uint64_t first;
	} ways[] = {{TAP_PART_CLIENT_UP, 100}, {TAP_PART_CLIENT_DOWN, 50}};
	struct wire w = wire_client(40000);
	struct tap_open open = {.conn = 1, .opened_ns = at(25), .leg = TAP_CLIENT};
	struct tap_begin begin = {.id = 0xab, .conn = 1, .nth = 1, .part = TAP_PART_CLIENT_REQUEST};
	struct tap_part_known part = {
		.id = 0xab, .conn = 1, .first = 0, .past = 100, .part = TAP_PART_CLIENT_REQUEST};
	struct talk t;

	open.local = w.end[1];
	open.peer = w.end[0];
	talk_init(&t, HOLD_MS, true);
	correlate_open(t.c, RUN, &open);
	put_handshake(&t, &w, 0);
	put_data(&t, &w, 100, 0, 130);
	put_data(&t, &w, 110, 1, 60);
	correlate_begin(t.c, RUN, &begin, at(120));
	ledger_part(correlate_ledger(t.c), RUN, &part);
	part.part = TAP_PART_CLIENT_RESPONSE;
	part.past = 50;
	ledger_part(correlate_ledger(t.c), RUN, &part);
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		begin.part = (uint8_t)ways[i].part;
		begin.first = ways[i].first;
		correlate_begin(t.c, RUN, &begin, at(130));
	}
	correlate_end(t.c);
	cr_assert_eq(t.exchange_count, 1);
	follows(t.exchange[0], "\"request\":", "{\"seq\":1,\"len\":100,");
	follows(t.exchange[0], "\"response\":", "{\"seq\":1,\"len\":50,");
	follows(t.exchange[0], "\"tunnel\":", "{\"up\":{\"seq\":101,\"len\":30,");
	follows(t.exchange[0], "\"down\":", "{\"seq\":51,\"len\":10,");
	talk_fini(&t);
}

Test(correlate_live, end_record_that_never_comes_is_given_up_after_the_close)
{
	struct wire w = wire_client(40000);
	struct tap_open open = {.conn = 1, .opened_ns = at(25), .leg = TAP_CLIENT};
	struct tap_begin begin = {.id = 0xab, .conn = 1, .nth = 1, .part = TAP_PART_CLIENT_REQUEST};
	struct tap_close close = {.conn = 1, .leg = TAP_CLIENT};
	struct talk t;

	open.local = w.end[1];
	open.peer = w.end[0];
	talk_init(&t, HOLD_MS, true);
	correlate_clock(t.c, at(1));
	correlate_open(t.c, RUN, &open);
	put_handshake(&t, &w, 0);
	put_data(&t, &w, 100, 0, 100);
	correlate_begin(t.c, RUN, &begin, at(120));
	put_close(&t, &w, 200, 1);
	correlate_close(t.c, RUN, &close);
	correlate_clock(t.c, at(59 * SECOND));
	cr_expect_eq(t.exchange_count + t.conn_count, 0);
	correlate_clock(t.c, at(61 * SECOND));
	correlate_clock(t.c, at(70 * SECOND));
	cr_expect_eq(t.exchange_count, 1);
	cr_expect_eq(t.conn_count, 1);
	talk_fini(&t);
}

static bool is_unwanted(struct talk *t, const struct wire *w, unsigned flags)
{
	struct segment seg = {.src = w->end[0], .dst = w->end[1], .flags = (uint8_t)flags};

	return correlate_is_unwanted(t->c, &seg);
}

Test(correlate_live, connection_that_nobody_names_is_passed_over_until_a_new_one)
{
	struct wire w = wire_backend(50000);
	struct talk t;

	talk_init(&t, HOLD_MS, true);
	put_handshake(&t, &w, 0);
	put_data(&t, &w, 100, 0, 100);
	correlate_clock(t.c, at(2 * SECOND - 1));
	cr_expect_not(is_unwanted(&t, &w, TCP_ACK));
	correlate_clock(t.c, at(2 * SECOND));
	cr_expect(is_unwanted(&t, &w, TCP_ACK));
	cr_expect_not(is_unwanted(&t, &w, TCP_SYN), "a new connection has a chance");
	cr_expect_not(is_unwanted(&t, &w, TCP_ACK));
	correlate_end(t.c);
	cr_expect_eq(t.conn_count, 0);
	talk_fini(&t);
}

Test(correlate_live, connection_to_a_listener_may_wait_to_be_accepted)
{
	struct wire w = wire_client(40000);
	struct addr listener = talk_listener();
	struct tap_open open = {.conn = 1,
				.opened_ns = at(5 * SECOND),
				.leg = TAP_CLIENT,
				.peer = talk_client(40000)};
	struct exchange_record x = record_of(1, 5 * SECOND + 10, 5 * SECOND + 300);
	struct talk t;

	open.local = listener;
	x.client = leg_on(&w, 1, 1, 5 * SECOND);
	x.client.request = range(0, 100);
	talk_init(&t, HOLD_MS, true);
	correlate_listener(t.c, &listener);
	put_handshake(&t, &w, 0);
	put_data(&t, &w, 100, 0, 100);
	put_ack(&t, &w, 110, 1);
	correlate_clock(t.c, at(4 * SECOND));
	cr_expect_not(is_unwanted(&t, &w, TCP_ACK));
	correlate_open(t.c, RUN, &open);
	correlate_exchange(t.c, &x);
	correlate_end(t.c);
	cr_assert_eq(t.exchange_count, 1);
	follows(t.exchange[0], "\"request\":",
		"{\"seq\":1,\"len\":100,\"next_seq\":101,\"frames\":[4],\"acked_in\":5,");
	talk_fini(&t);
}

Test(correlate_live, connection_that_no_packet_shows_is_given_out_after_its_close)
{
	struct tap_open open = {.conn = 1,
				.opened_ns = at(25),
				.leg = TAP_BACKEND,
				.local = talk_proxy(50000),
				.peer = talk_backend()};
	struct tap_close close = {.conn = 1, .leg = TAP_BACKEND};
	struct talk t;

	talk_init(&t, HOLD_MS, true);
	correlate_clock(t.c, at(1));
	correlate_open(t.c, RUN, &open);
	cr_expect_eq(correlate_open_conns(t.c), 0);
	correlate_close(t.c, RUN, &close);
	correlate_clock(t.c, at(61 * SECOND));
	cr_assert_eq(t.conn_count, 1);
	has(t.conn[0], "\"leg\":\"backend\",\"conn\":1,\"stream\":null,\"anchor\":\"none\"");
	cr_expect_not(correlate_is_waiting(t.c));
	talk_fini(&t);
}

/* Thousands of connections leave nothing behind. */
Test(correlate_live, what_was_given_out_is_forgotten)
{
	struct talk t;

	talk_init(&t, 100, true);
	correlate_clock(t.c, at(1));
	for (unsigned i = 1; i <= 1000; i++) {
		struct wire w = wire_client((uint16_t)(40000 + i % 100));
		uint64_t us = i * 10000;
		struct exchange_record x = record_of(i, us + 110, us + 300);
		struct tap_open open = {.conn = i, .opened_ns = at(us + 50), .leg = TAP_CLIENT};
		size_t at_conn = 0, conns = 0;

		w.isn[0] += i;
		open.local = w.end[1];
		open.peer = w.end[0];
		x.client = leg_on(&w, i, 1, us + 50);
		x.client.request = range(0, 100);
		put_handshake(&t, &w, us);
		correlate_open(t.c, RUN, &open);
		put_data(&t, &w, us + 100, 0, 100);
		put_ack(&t, &w, us + 120, 1);
		correlate_exchange(t.c, &x);
		put_close(&t, &w, us + 400, 0);
		correlate_clock(t.c, at(us + 500));
		while (ledger_next_conn(correlate_ledger(t.c), &at_conn) != NULL)
			conns++;
		cr_assert_leq(conns, 12);
	}
	correlate_clock(t.c, at(20 * SECOND));
	cr_expect_eq(t.exchange_count, 1000);
	cr_expect_eq(t.conn_count, 1000);
	cr_expect_not(correlate_is_waiting(t.c));
	talk_fini(&t);
}

/*
 * Memory is short: what waits longest goes, says so, and comes before what is left; what was over
 * only a moment ago stays.
 */
Test(correlate_live, what_waits_is_hurried)
{
	struct wire w = wire_client(40000);
	struct tap_open open = {
		.conn = 1, .opened_ns = at(50), .local = w.end[1], .peer = w.end[0]};
	struct talk t;

	talk_init(&t, 2000, true);
	put_handshake(&t, &w, 0);
	correlate_open(t.c, RUN, &open);
	for (unsigned i = 1; i <= 4; i++) {
		uint64_t us = i * SECOND / 10;
		struct exchange_record x = record_of(i, us, us + 200);

		x.client = leg_on(&w, 1, i, 50);
		x.client.request = range(w.sent[0], w.sent[0] + 100);
		put_data(&t, &w, us, 0, 100);
		put_ack(&t, &w, us + 120, 1);
		correlate_exchange(t.c, &x);
	}
	correlate_clock(t.c, at(SECOND / 2));
	cr_expect_eq(t.exchange_count, 0);
	correlate_hurry(t.c, 1);
	cr_assert_eq(t.exchange_count, 1);
	has(t.exchange[0], "\"id\":\"0000000000000001\"");
	has(t.exchange[0], "\"frames\":[4],\"acked_in\":5,");
	has(t.exchange[0], "\"hurried\":true}");
	correlate_hurry(t.c, 100);
	cr_assert_eq(t.exchange_count, 2);
	cr_expect_eq(correlate_waiting(t.c), 2);
	correlate_clock(t.c, at(10 * SECOND));
	cr_assert_eq(t.exchange_count, 4);
	has(t.exchange[2], "\"id\":\"0000000000000003\"");
	cr_expect_null(strstr(t.exchange[2], "hurried"));
	talk_fini(&t);
}
