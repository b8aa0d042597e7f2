/*
 * tap_reader_fuzz.c -- any bytes as messages of the tap, each with two bytes of length before it,
 * told to a correlator that also sees the packets of one connection.
 */
// links: trace
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cursor.h"
#include "trace/anchoring.h"
#include "trace/comments.h"
#include "trace/correlate.h"
#include "trace/record.h"
#include "trace/tap_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct correlate *c;
static struct anchoring *anchoring;
static struct record_text text;

static void on_open(void *arg, const struct tap_message *m, const struct tap_open *r)
{
	struct conn *conn;

	(void)arg;
	correlate_open(c, m->run, r);
	conn = ledger_conn(correlate_ledger(c), m->run, r->conn);
	if (conn != NULL)
		anchoring_open(anchoring, conn, m->worker, r->live != 0);
}

static void on_tls(void *arg, const struct tap_message *m, const struct tap_tls *r)
{
	(void)arg;
	correlate_tls(c, m->run, r->conn, &r->tls);
	ledger_sent(correlate_ledger(c), m->run, r->conn, r->sent_off);
}

static void on_shared(void *arg, const struct tap_message *m, const struct tap_shared *r)
{
	(void)arg;
	ledger_shared(correlate_ledger(c), m->run, r);
}

static void on_position(void *arg, const struct tap_message *m, const struct tap_position *r)
{
	(void)arg;
	correlate_position(c, m->run, r);
}

static void on_asked(void *arg, uint16_t worker, uint64_t conn)
{
	(void)arg;
	(void)worker;
	(void)conn;
}

static void on_begin(void *arg, const struct tap_message *m, const struct tap_begin *r)
{
	(void)arg;
	correlate_begin(c, m->run, r, r->r.mono_ns);
}

static void on_progress(void *arg, const struct tap_message *m, const struct tap_progress *r)
{
	(void)arg;
	ledger_progress(correlate_ledger(c), m->run, r);
}

static void on_part(void *arg, const struct tap_message *m, const struct tap_part_known *r)
{
	(void)arg;
	ledger_part(correlate_ledger(c), m->run, r);
}

static void on_end(void *arg, const struct tap_message *m, const struct tap_end *r)
{
	(void)arg;
	(void)m;
	correlate_exchange(c, &r->x);
}

static void on_close(void *arg, const struct tap_message *m, const struct tap_close *r)
{
	(void)arg;
	correlate_close(c, m->run, r);
}

/* Every character of it is there, and none could end the line in a key log. */
static void on_secret(void *arg, const struct tap_message *m, const struct tap_secret *r,
		      const char *line)
{
	(void)arg;
	(void)m;
	assert(r->conn != 0 && r->len > 0);
	for (uint32_t i = 0; i < r->len; i++)
		assert(line[i] >= ' ' && line[i] <= '~');
}

static void on_exchange(void *arg, const struct finding *e)
{
	(void)arg;
	assert(record_exchange(&text, e, "dump.pcapng"));
}

static void on_conn(void *arg, const struct conn_finding *e)
{
	const struct record_conn r = {.e = e};

	(void)arg;
	assert(record_conn(&text, &r));
}

/* A connection from 127.0.0.1:40000 to 127.0.0.1:8585, as the corpus names it. */
static void add_segment(struct flow_table *flows, unsigned number)
{
	static const struct addr ends[2] = {
		{.ip = {127, 0, 0, 1}, .port = 40000, .family = ADDR_IP4},
		{.ip = {127, 0, 0, 1}, .port = 8585, .family = ADDR_IP4}};
	unsigned from = number % 2;
	struct segment seg = {.ts_ns = 1000 * number,
			      .frame = number + 1,
			      .src = ends[from],
			      .dst = ends[!from],
			      .seq = 1000 * number,
			      .ack = 1000,
			      .flags = number == 0 ? TCP_SYN : TCP_ACK,
			      .wscale = SEGMENT_NO_WSCALE,
			      .payload_len = number > 2 ? 1000 : 0};
	static struct comments comments;
	struct comment_place place = {.from = (uint8_t)from};
	struct flow_place at;

	if (!flow_table_add(flows, &seg, &at))
		return;
	place.track = correlate_segment(c, &seg, &at);
	place.is_known = at.data.known;
	place.off = at.data.off;
	place.len = at.data.known ? seg.payload_len : 0;
	place.acked_from = at.acked_from;
	place.acked_past = at.acked_past;
	(void)!comments_are_told(&place);
	comments_write(&place, &comments);
	assert(comments.count <= COMMENTS_MAX + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct anchoring_calls asking = {.ask = on_asked, .anchored = on_asked};
	const struct tap_calls calls = {.open = on_open,
					.tls = on_tls,
					.shared = on_shared,
					.position = on_position,
					.begin = on_begin,
					.progress = on_progress,
					.part = on_part,
					.end = on_end,
					.close = on_close,
					.secret = on_secret};
	struct correlate_options o = {.hold_ns = 100 * NS_PER_MS,
				      .is_live = true,
				      .exchange = on_exchange,
				      .conn = on_conn};
	struct flow_table *flows = flow_table_new();
	struct cursor in = cursor_of(data, size);
	unsigned number = 0;

	anchoring = anchoring_new(&asking, 0);
	assert(flows != NULL && anchoring != NULL);
	o.anchoring = anchoring;
	c = correlate_new(flows, &o);
	assert(c != NULL);
	while (cursor_left(&in) > 2) {
		uint16_t len = cursor_be16(&in);
		struct cursor message = cursor_sub(&in, MIN(len, cursor_left(&in)));
		uint64_t mono_ns = 0;

		(void)!tap_read(message.at, cursor_left(&message), &calls, &mono_ns);
		add_segment(flows, number++);
		correlate_clock(c, mono_ns);
		anchoring_run(anchoring, mono_ns);
	}
	correlate_end(c);
	correlate_free(c);
	anchoring_free(anchoring);
	flow_table_free(flows);
	return 0;
}
