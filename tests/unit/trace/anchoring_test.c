/*
 * anchoring_test.c -- connections older than the tracer, live and offline: what is asked of the
 * proxy, what its positions make of the records, and that the notes in the dump make the same.
 */
#include "trace/anchoring.h"

#include "tests/unit/trace/talk.h"

#define HOLD_MS 2000
#define SECOND  1000000ULL /* in microseconds */
#define ASKS    64
#define NOTES   64

struct asked {
	bool is_anchored; /* else asked for */
	uint16_t worker;
	uint64_t conn;
};

struct rig {
	struct talk t;
	struct anchoring *g;
	unsigned asked_count;
	struct asked asked[ASKS];
	unsigned note_count;
	struct {
		uint32_t frame;
		struct anchor_note note;
	} notes[NOTES];
};

static void add_asked(struct rig *r, bool is_anchored, uint16_t worker, uint64_t conn)
{
	cr_assert_lt(r->asked_count, ASKS);
	r->asked[r->asked_count++] = (struct asked){is_anchored, worker, conn};
}

static void on_ask(void *arg, uint16_t worker, uint64_t conn)
{
	add_asked(arg, false, worker, conn);
}

static void on_anchored(void *arg, uint16_t worker, uint64_t conn)
{
	add_asked(arg, true, worker, conn);
}

/* The captures run since 0. */
static void rig_init(struct rig *r)
{
	const struct anchoring_calls calls = {.arg = r, .ask = on_ask, .anchored = on_anchored};

	*r = (struct rig){.g = anchoring_new(&calls, at(0))};
	cr_assert_not_null(r->g);
	talk_init_anchoring(&r->t, HOLD_MS, true, r->g);
}

static void rig_fini(struct rig *r)
{
	talk_fini(&r->t);
	anchoring_free(r->g);
}

static void expect_asked(const struct rig *r, unsigned i, bool is_anchored, uint64_t conn)
{
	cr_assert_lt(i, r->asked_count, "nothing was asked");
	cr_expect_eq(r->asked[i].is_anchored, is_anchored);
	cr_expect_eq(r->asked[i].conn, conn);
	if (conn != 0)
		cr_expect_eq(r->asked[i].worker, conn % 7);
}

static void tell_open(struct rig *r, const struct wire *w, uint64_t conn, bool is_live)
{
	struct leg_record leg = leg_on(w, conn, 1, 0);
	struct tap_open open = {.conn = conn,
				.opened_ns = at(0) - (is_live ? NS_PER_S : 0),
				.local = leg.local,
				.peer = leg.peer,
				.leg = w->end[1].port == 8585 ? TAP_CLIENT : TAP_BACKEND,
				.live = is_live};

	correlate_open(r->t.c, RUN, &open);
	anchoring_open(r->g, ledger_conn(correlate_ledger(r->t.c), RUN, conn), (uint16_t)(conn % 7),
		       is_live);
}

/* Everything that was sent is acknowledged, everything received is read. */
static void tell_position(struct rig *r, const struct wire *w, uint64_t conn, uint64_t us)
{
	unsigned ours = w->end[1].port == 8585;
	struct tap_position p = {.conn = conn,
				 .before_real_ns = at(us),
				 .after_real_ns = at(us + 5),
				 .sent_off = w->sent[ours],
				 .read_off = w->sent[!ours],
				 .drained = 1};

	correlate_position(r->t.c, RUN, &p);
}

/* Keep what the last packet was noted with. */
static void keep_note(struct rig *r)
{
	const struct anchor_note *note = correlate_note(r->t.c);

	if (note == NULL)
		return;
	cr_assert_lt(r->note_count, NOTES);
	r->notes[r->note_count].frame = r->t.frame;
	r->notes[r->note_count++].note = *note;
}

static void data(struct rig *r, struct wire *w, uint64_t us, unsigned from, uint32_t len)
{
	put_data(&r->t, w, us, from, len);
	keep_note(r);
}

static void acknowledge(struct rig *r, const struct wire *w, uint64_t us, unsigned from)
{
	put_ack(&r->t, w, us, from);
	keep_note(r);
}

static struct exchange_record exchange_on(const struct wire *w, uint64_t id, uint32_t nth,
					  struct byte_range request, struct byte_range response,
					  uint64_t start_us)
{
	struct exchange_record x = record_of(id, start_us, start_us + 200);

	x.client = leg_on(w, 3, nth, 0);
	x.client.opened_ns = at(0) - NS_PER_S;
	x.client.request = request;
	x.client.response = response;
	return x;
}

/* A client connection on which some exchanges were made before, and one after the attach. */
static struct wire old_client(void)
{
	struct wire w = wire_client(40000);

	w.sent[0] = (5ULL << 32) + 1000;
	w.sent[1] = (7ULL << 32) + 2000;
	return w;
}

/* ---- a connection older than the tracer ------------------------------------------------------ */

/* One exchange begins at `us`: frames n to n + 2, told of at us + 200. */
static struct exchange_record exchange(struct rig *r, struct wire *w, uint64_t id, uint32_t nth,
				       uint64_t us)
{
	uint64_t first[2] = {w->sent[0], w->sent[1]};
	struct exchange_record x;

	data(r, w, us, 0, 100);
	data(r, w, us + 100, 1, 400);
	acknowledge(r, w, us + 150, 0);
	x = exchange_on(w, id, nth, range(first[0], w->sent[0]), range(first[1], w->sent[1]), us);
	return x;
}

Test(anchoring, next_exchange_is_known)
{
	struct wire w = old_client();
	struct exchange_record x;
	struct rig r;

	rig_init(&r);
	tell_open(&r, &w, 3, true);
	anchoring_run(r.g, at(100));
	cr_expect(anchoring_is_waiting(r.g));
	cr_expect_eq(r.asked_count, 1);
	expect_asked(&r, 0, false, 0);
	tell_position(&r, &w, 3, 1000);
	anchoring_run(r.g, at(59000));
	cr_expect_eq(r.asked_count, 1);
	anchoring_run(r.g, at(61000)); /* the captures are older than the margin */
	cr_expect_eq(r.asked_count, 2);
	expect_asked(&r, 1, false, 0);
	cr_expect(!anchoring_is_waiting(r.g));
	tell_position(&r, &w, 3, 62000);

	x = exchange(&r, &w, 1, 4, 70000);
	correlate_exchange(r.t.c, &x);
	cr_assert_eq(r.note_count, 1);
	cr_expect_eq(r.notes[0].frame, 2);
	cr_expect_eq(r.notes[0].note.change[NOTE_SENDER], ANCHOR_FOUND);
	cr_expect_eq(r.notes[0].note.at[NOTE_SENDER].off, (7ULL << 32) + 2000);
	cr_expect_eq(r.notes[0].note.at[NOTE_SENDER].seq, w.isn[1] + 1 + 2000);
	cr_expect_eq(r.notes[0].note.at[NOTE_RECEIVER].off, (5ULL << 32) + 1000);
	cr_expect_eq(r.notes[0].note.at[NOTE_RECEIVER].seq, w.isn[0] + 1 + 1000);
	cr_expect_eq(r.asked_count, 2);
	tell_position(&r, &w, 3, 70300);
	x = exchange(&r, &w, 2, 5, 90000);
	correlate_exchange(r.t.c, &x);
	cr_assert_eq(r.asked_count, 3); /* two positions agree */
	expect_asked(&r, 2, true, 3);
	cr_expect_eq(r.note_count, 1);
	tell_position(&r, &w, 3, 90300); /* it was on its way */
	expect_asked(&r, 3, true, 3);

	correlate_end(r.t.c);
	cr_assert_eq(r.t.exchange_count, 2);
	has(r.t.exchange[0],
	    "\"client\":{\"conn\":3,\"nth\":4,\"stream\":0,\"anchor\":\"position\","
	    "\"handshake\":null,");
	follows(r.t.exchange[0], "\"request\":",
		"{\"seq\":21474837481,\"len\":100,\"next_seq\":21474837581,\"frames\":[1],"
		"\"acked_in\":2,\"acked_us\":100,\"retransmitted_bytes\":0,\"retransmitted_in\":[],"
		"\"missing_bytes\":0}");
	follows(r.t.exchange[0], "\"response\":",
		"{\"seq\":30064773073,\"len\":400,\"next_seq\":30064773473,\"frames\":[2],"
		"\"acked_in\":3,\"acked_us\":50,");
	follows(r.t.exchange[1], "\"request\":", "{\"seq\":21474837581,\"len\":100,");
	cr_assert_eq(r.t.conn_count, 1);
	has(r.t.conn[0], "\"conn\":3,\"stream\":0,\"anchor\":\"position\",");
	rig_fini(&r);
}

/* What came before the capture of an exchange that was running is told to be missing. */
Test(anchoring, exchange_that_was_running)
{
	struct wire w = old_client();
	uint64_t first[2] = {w.sent[0], w.sent[1]};
	struct exchange_record x;
	struct rig r;

	rig_init(&r);
	tell_open(&r, &w, 3, true);
	w.sent[0] += 500; /* not captured, and acknowledged by a packet that was not either */
	tell_position(&r, &w, 3, 60000);
	data(&r, &w, 70000, 1, 400);
	acknowledge(&r, &w, 70050, 0);
	x = exchange_on(&w, 1, 4, range(first[0], w.sent[0]), range(first[1], w.sent[1]), 70000);
	correlate_exchange(r.t.c, &x);
	correlate_end(r.t.c);
	cr_assert_eq(r.t.exchange_count, 1);
	follows(r.t.exchange[0], "\"request\":",
		"{\"seq\":21474837481,\"len\":500,\"next_seq\":21474837981,\"frames\":[],"
		"\"acked_in\":null,\"acked_us\":null,\"ack_why\":\"not-seen\","
		"\"retransmitted_bytes\":0,\"retransmitted_in\":[],\"missing_bytes\":500}");
	follows(r.t.exchange[0], "\"response\":", "{\"seq\":30064773073,\"len\":400,");
	has(r.t.exchange[0], "\"phases_why\":");
	rig_fini(&r);
}

static void tell_begin(struct rig *r, uint64_t id, uint64_t conn, uint32_t nth, uint8_t part,
		       uint64_t first)
{
	struct tap_begin begin = {.id = id, .conn = conn, .first = first, .nth = nth, .part = part};

	correlate_begin(r->t.c, RUN, &begin, at(1000));
}

/* Of an exchange that was running only the begins of its response are told, the backend's first. */
Test(anchoring, begins_without_a_request)
{
	struct wire client = old_client(), backend = wire_backend(50000);
	struct exchange_record x = record_of(1, 500, 2000);
	struct rig r;

	rig_init(&r);
	tell_open(&r, &client, 3, true);
	tell_open(&r, &backend, 5, true);
	tell_begin(&r, 1, 5, 7, TAP_PART_BACKEND_RESPONSE, 300);
	tell_begin(&r, 1, 3, 4, TAP_PART_CLIENT_RESPONSE, client.sent[1]);
	x.client = leg_on(&client, 3, 4, 0);
	x.client.request = range(client.sent[0] - 10, client.sent[0]);
	x.client.response = range(client.sent[1], client.sent[1] + 20);
	x.backend = leg_on(&backend, 5, 7, 0);
	x.backend.request = range(0, 10);
	x.backend.response = range(300, 320);
	correlate_exchange(r.t.c, &x);
	correlate_clock(r.t.c, at(10 * SECOND));
	cr_expect_eq(r.t.exchange_count, 1);
	for (uint64_t conn = 3; conn <= 5; conn += 2)
		cr_expect_eq(ledger_conn(correlate_ledger(r.t.c), RUN, conn)->use_count, 0);
	correlate_end(r.t.c);
	has(r.t.exchange[0], "\"end\":\"done\"");
	cr_assert_eq(r.t.conn_count, 2);
	for (unsigned i = 0; i < 2; i++)
		has(r.t.conn[i], "\"exchanges\":1,");
	rig_fini(&r);
}

/* No position, no claim. */
Test(anchoring, proxy_says_nothing)
{
	struct wire w = old_client();
	struct exchange_record x;
	struct rig r;

	rig_init(&r);
	tell_open(&r, &w, 3, true);
	x = exchange(&r, &w, 1, 4, 70000);
	correlate_exchange(r.t.c, &x);
	correlate_end(r.t.c);
	has(r.t.exchange[0], "\"anchor\":\"none\",\"handshake\":null,\"tls\":null,\"request\":null,"
			     "\"interim\":null,\"response\":null,");
	rig_fini(&r);
}

/* ---- a connection whose SYN was dropped ------------------------------------------------------ */

Test(anchoring, syn_that_was_dropped)
{
	struct wire w = wire_client(40000), other = wire_client(40001);
	struct exchange_record x;
	struct rig r;

	rig_init(&r);
	tell_open(&r, &w, 3, false);
	tell_open(&r, &other, 4, false);
	anchoring_run(r.g, at(100));
	cr_expect_eq(r.asked_count, 0);
	put_handshake(&r.t, &other, 200);
	data(&r, &w, 1000, 0, 80);
	data(&r, &other, 1000, 0, 80);
	anchoring_run(r.g, at(300000));
	cr_expect_eq(r.asked_count, 1);
	expect_asked(&r, 0, false, 3);
	tell_position(&r, &w, 3, 300500);
	tell_position(&r, &other, 4, 300500); /* not asked for: of no use */
	expect_asked(&r, 1, true, 4);
	data(&r, &w, 301000, 1, 120);
	acknowledge(&r, &w, 301100, 0);
	x = exchange_on(&w, 1, 1, range(0, 80), range(0, 120), 1000);
	correlate_exchange(r.t.c, &x);
	correlate_end(r.t.c);
	has(r.t.exchange[0], "\"anchor\":\"position\",\"handshake\":null,");
	follows(r.t.exchange[0], "\"request\":",
		"{\"seq\":1,\"len\":80,\"next_seq\":81,\"frames\":[4],\"acked_in\":6,");
	follows(r.t.exchange[0], "\"response\":",
		"{\"seq\":1,\"len\":120,\"next_seq\":121,\"frames\":[6],\"acked_in\":7,");
	rig_fini(&r);
}

/* It is asked for as long as there is traffic that does not help, and no more often. */
Test(anchoring, asked_again_while_it_is_busy)
{
	struct wire w = wire_client(40000);
	struct rig r;

	rig_init(&r);
	tell_open(&r, &w, 3, false);
	for (unsigned i = 0; i < 100; i++) { /* two seconds */
		uint64_t us = 1000 + i * 20000ULL;

		data(&r, &w, us, 0, 10);
		acknowledge(&r, &w, us + 10, 1);
		anchoring_run(r.g, at(us + 20));
	}
	cr_expect(r.asked_count >= 8 && r.asked_count <= 11, "%u", r.asked_count);
	r.asked_count = 0;
	anchoring_run(r.g, at(20 * SECOND));
	cr_expect_eq(r.asked_count, 1);
	anchoring_run(r.g, at(30 * SECOND));
	cr_expect_eq(r.asked_count, 1); /* nothing has come since */
	rig_fini(&r);
}

/* ---- losses ---------------------------------------------------------------------------------- */

Test(anchoring, losses_of_an_interface)
{
	for (unsigned iface = 0; iface < 2; iface++) {
		struct wire w = old_client();
		struct exchange_record x;
		struct rig r;

		rig_init(&r);
		tell_open(&r, &w, 3, true);
		anchoring_run(r.g, at(61000));
		anchoring_run(r.g, at(62000));
		r.asked_count = 0;
		tell_position(&r, &w, 3, 62000);
		anchoring_lost(r.g, iface, at(65000));
		cr_expect(anchoring_is_waiting(r.g));
		anchoring_run(r.g, at(100000));
		cr_expect_eq(r.asked_count, 0); /* not at once, and not too often */
		anchoring_run(r.g, at(1100000));
		cr_expect_eq(r.asked_count, 1);
		expect_asked(&r, 0, false, 0);
		x = exchange(&r, &w, 1, 4, 70000);
		correlate_exchange(r.t.c, &x);
		cr_expect_eq(r.note_count, iface == 0 ? 0 : 1);
		correlate_end(r.t.c);
		has(r.t.exchange[0],
		    iface == 0 ? "\"anchor\":\"none\"" : "\"anchor\":\"position\"");
		rig_fini(&r);
	}
}

/* ---- live and offline ------------------------------------------------------------------------ */

/* What a run is made of, so that it can be had twice. */
struct story {
	struct rig *r; /* live */
	struct talk *offline;
	struct wire w;
	unsigned next_note;
};

/* Offline the notes are where the live run has put them. */
static void put_offline(struct talk *t, const struct rig *r, unsigned *next_note, uint64_t ts_us)
{
	if (*next_note < r->note_count && r->notes[*next_note].frame == t->frame)
		correlate_noted(t->c, &r->notes[(*next_note)++].note, at(ts_us), &t->place);
}

static void story_data(struct story *s, uint64_t us, unsigned from, uint32_t len)
{
	struct wire w = s->w;

	if (s->r != NULL)
		data(s->r, &s->w, us, from, len);
	if (s->offline == NULL)
		return;
	put_data(s->offline, &w, us, from, len);
	put_offline(s->offline, s->r, &s->next_note, us);
}

/*
 * Records that settle before the anchor, with it, and after it was withdrawn. The live clock goes in
 * steps of a millisecond; offline everything is known when the clock moves.
 */
Test(anchoring, offline_the_notes_tell_the_same)
{
	struct story s = {.w = old_client()};
	struct exchange_record x[4];
	struct talk offline;
	struct rig r;

	rig_init(&r);
	talk_init(&offline, HOLD_MS, false);
	s.r = &r;
	s.offline = &offline;
	tell_open(&r, &s.w, 3, true);
	for (unsigned i = 0; i < 4; i++) {
		uint64_t us = SECOND * (1 + 3 * (uint64_t)i), first[2];
		uint64_t past = us + 3 * SECOND - 1000;

		first[0] = s.w.sent[0];
		first[1] = s.w.sent[1];
		if (i == 1) /* found by exchange 1, 990 ms before exchange 0 would have settled */
			tell_position(&r, &s.w, 3, us - 100);
		if (i == 3) { /* contradicted */
			s.w.sent[0]++;
			s.w.sent[1]++;
			tell_position(&r, &s.w, 3, us - 100);
			s.w.sent[0]--;
			s.w.sent[1]--;
		}
		story_data(&s, us, 0, 100);
		story_data(&s, us + 100, 1, 400);
		story_data(&s, us + 150, 0, 0);
		x[i] = exchange_on(&s.w, i + 1, i + 4, range(first[0], s.w.sent[0]),
				   range(first[1], s.w.sent[1]), us);
		correlate_exchange(r.t.c, &x[i]);
		correlate_exchange(offline.c, &x[i]);
		for (; us < past; us += 1000)
			correlate_clock(r.t.c, at(us));
	}
	cr_expect_eq(r.note_count, 4); /* each way on a packet of its own */
	cr_expect_eq(s.next_note, r.note_count);
	correlate_end(r.t.c);
	correlate_end(offline.c);
	cr_assert_eq(r.t.exchange_count, 4);
	cr_assert_eq(offline.exchange_count, 4);
	for (unsigned i = 0; i < 4; i++) {
		bool is_known = i == 1 || i == 2;

		cr_expect_str_eq(offline.exchange[i], r.t.exchange[i]);
		has(r.t.exchange[i], is_known ? "\"anchor\":\"position\"" : "\"anchor\":\"none\"");
	}
	cr_assert_eq(r.t.conn_count, 1);
	cr_assert_eq(offline.conn_count, 1);
	has(r.t.conn[0], "\"anchor\":\"none\"");
	has(offline.conn[0], "\"anchor\":\"none\"");
	talk_fini(&offline);
	rig_fini(&r);
}
