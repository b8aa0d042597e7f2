/*
 * talk.h -- connections and exchanges made by hand for the tests of the correlator and what follows
 * it: segments go through a real flow table, records through the correlator, and what it gives out
 * is kept as the lines of the files.
 *
 * Times are microseconds after T0. The client is 192.0.2.1, the proxy 198.51.100.7:8585, the
 * backend 203.0.113.9:8080; what differs between connections is the port of the side that connects.
 */
#ifndef TESTS_UNIT_TRACE_TALK_H
#define TESTS_UNIT_TRACE_TALK_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace/correlate.h"
#include "trace/record.h"

#define T0    1700000000000000000ULL
#define RUN   0x5d2cU
#define LINES 2048

static inline uint64_t at(uint64_t us)
{
	return T0 + us * 1000;
}

struct talk {
	struct flow_table *flows;
	struct correlate *c;
	uint32_t frame;
	uint32_t iface;
	uint16_t window;         /* that all advertise */
	struct flow_place place; /* of the segment given in last */
	struct record_text text;
	unsigned exchange_count, conn_count;
	char *exchange[LINES];
	char *conn[LINES];
};

static inline void talk_on_exchange(void *arg, const struct finding *e)
{
	struct talk *t = arg;

	cr_assert(record_exchange(&t->text, e, "dump.pcapng"));
	cr_assert_lt(t->exchange_count, LINES);
	t->exchange[t->exchange_count++] = strndup(t->text.at, t->text.len);
}

static inline void talk_on_conn(void *arg, const struct conn_finding *e)
{
	struct talk *t = arg;
	struct record_conn r = {.e = e, .dump = "dump.pcapng", .has_run = true, .run = RUN};

	cr_assert(record_conn(&t->text, &r));
	cr_assert_lt(t->conn_count, LINES);
	t->conn[t->conn_count++] = strndup(t->text.at, t->text.len);
}

static inline void talk_init_anchoring(struct talk *t, uint64_t hold_ms, bool live,
				       struct anchoring *anchoring)
{
	struct correlate_options o = {.hold_ns = hold_ms * NS_PER_MS,
				      .is_live = live,
				      .anchoring = anchoring,
				      .arg = t,
				      .exchange = talk_on_exchange,
				      .conn = talk_on_conn};

	*t = (struct talk){.window = 500, .flows = flow_table_new()};
	cr_assert_not_null(t->flows);
	t->c = correlate_new(t->flows, &o);
	cr_assert_not_null(t->c);
}

static inline void talk_init(struct talk *t, uint64_t hold_ms, bool live)
{
	talk_init_anchoring(t, hold_ms, live, NULL);
}

static inline void talk_fini(struct talk *t)
{
	correlate_free(t->c);
	flow_table_free(t->flows);
	record_text_fini(&t->text);
	for (unsigned i = 0; i < t->exchange_count; i++)
		free(t->exchange[i]);
	for (unsigned i = 0; i < t->conn_count; i++)
		free(t->conn[i]);
}

/* ---- addresses and wires --------------------------------------------------------------------- */

static inline struct addr talk_client(uint16_t port)
{
	return (struct addr){.ip = {192, 0, 2, 1}, .port = port, .family = ADDR_IP4};
}

static inline struct addr talk_listener(void)
{
	return (struct addr){.ip = {198, 51, 100, 7}, .port = 8585, .family = ADDR_IP4};
}

static inline struct addr talk_proxy(uint16_t port)
{
	return (struct addr){.ip = {198, 51, 100, 7}, .port = port, .family = ADDR_IP4};
}

static inline struct addr talk_backend(void)
{
	return (struct addr){.ip = {203, 0, 113, 9}, .port = 8080, .family = ADDR_IP4};
}

/* One TCP connection: who connects is [0]. */
struct wire {
	struct addr end[2];
	uint32_t isn[2];
	uint64_t sent[2]; /* bytes */
};

static inline struct wire wire_client(uint16_t port)
{
	return (struct wire){.end = {talk_client(port), talk_listener()},
			     .isn = {0xfffffff0U - port, 7000U + port}};
}

static inline struct wire wire_backend(uint16_t port)
{
	return (struct wire){.end = {talk_proxy(port), talk_backend()},
			     .isn = {100U * port, 0xffffff00U - port}};
}

/* A segment as it stands; returns its frame. */
static inline uint32_t put_raw(struct talk *t, const struct wire *w, uint64_t us, unsigned from,
			       unsigned flags, uint32_t seq, uint32_t ack, uint32_t len)
{
	struct segment seg = {
		.ts_ns = at(us),
		.frame = ++t->frame,
		.iface = t->iface,
		.src = w->end[from],
		.dst = w->end[!from],
		.seq = seq,
		.ack = ack,
		.window = t->window,
		.flags = (uint8_t)flags,
		.ip_id = t->frame,
		.wscale = SEGMENT_NO_WSCALE,
		.payload_len = len,
		.payload_framed = len,
	};

	cr_assert(flow_table_add(t->flows, &seg, &t->place));
	cr_assert_not_null(correlate_segment(t->c, &seg, &t->place));
	return t->frame;
}

/* Bytes [off, off + len) of a side, acknowledging `acked` bytes of the other. */
static inline uint32_t put_at(struct talk *t, const struct wire *w, uint64_t us, unsigned from,
			      unsigned flags, uint64_t off, uint64_t acked, uint32_t len)
{
	return put_raw(t, w, us, from, flags | TCP_ACK, (uint32_t)(w->isn[from] + 1 + off),
		       (uint32_t)(w->isn[!from] + 1 + acked), len);
}

static inline void put_handshake(struct talk *t, const struct wire *w, uint64_t us)
{
	put_raw(t, w, us, 0, TCP_SYN, w->isn[0], 0, 0);
	put_raw(t, w, us + 10, 1, TCP_SYN | TCP_ACK, w->isn[1], w->isn[0] + 1, 0);
	put_raw(t, w, us + 25, 0, TCP_ACK, w->isn[0] + 1, w->isn[1] + 1, 0);
}

/* The next bytes of a side. */
static inline uint32_t put_data(struct talk *t, struct wire *w, uint64_t us, unsigned from,
				uint32_t len)
{
	uint32_t frame = put_at(t, w, us, from, TCP_PSH, w->sent[from], w->sent[!from], len);

	w->sent[from] += len;
	return frame;
}

/* A pure ACK of all the other side has sent. */
static inline uint32_t put_ack(struct talk *t, const struct wire *w, uint64_t us, unsigned from)
{
	return put_at(t, w, us, from, 0, w->sent[from], w->sent[!from], 0);
}

/* FIN, FIN and ACK: three frames from `us` on. */
static inline void put_close(struct talk *t, const struct wire *w, uint64_t us, unsigned by)
{
	uint32_t seq[2];

	for (unsigned i = 0; i < 2; i++)
		seq[i] = (uint32_t)(w->isn[i] + 1 + w->sent[i]);
	put_raw(t, w, us, by, TCP_FIN | TCP_ACK, seq[by], seq[!by], 0);
	put_raw(t, w, us + 20, !by, TCP_FIN | TCP_ACK, seq[!by], seq[by] + 1, 0);
	put_raw(t, w, us + 35, by, TCP_ACK, seq[by] + 1, seq[!by] + 1, 0);
}

/* ---- records --------------------------------------------------------------------------------- */

static inline struct leg_record leg_none(void)
{
	return (struct leg_record){.request = byte_range_none(),
				   .interim = byte_range_none(),
				   .response = byte_range_none(),
				   .tunnel_up = byte_range_none(),
				   .tunnel_down = byte_range_none()};
}

/* A leg on w, which was opened at that moment. Ranges that begin at UINT64_MAX are none. */
static inline struct leg_record leg_on(const struct wire *w, uint64_t conn, uint32_t nth,
				       uint64_t opened_us)
{
	struct leg_record leg = leg_none();
	bool is_client = w->end[1].port == 8585;

	leg.conn = conn;
	leg.nth = nth;
	leg.reused = !is_client && nth > 1;
	leg.opened_ns = at(opened_us);
	leg.local = w->end[is_client ? 1 : 0];
	leg.peer = w->end[is_client ? 0 : 1];
	return leg;
}

static inline struct byte_range range(uint64_t first, uint64_t past)
{
	return (struct byte_range){first, past};
}

/* Done, status 200, from start to end; ranges are the caller's. */
static inline struct exchange_record record_of(uint64_t id, uint64_t start_us, uint64_t end_us)
{
	struct exchange_record x = {.id = id,
				    .run = RUN,
				    .status = 200,
				    .attempts = 1,
				    .start_ns = at(start_us),
				    .end = "done"};

	for (unsigned i = 0; i < MOMENT_COUNT; i++)
		x.at_us[i] = (int64_t)(end_us - start_us);
	x.client = leg_none();
	x.backend = leg_none();
	return x;
}

/* ---- looking --------------------------------------------------------------------------------- */

static inline void has(const char *line, const char *part)
{
	cr_expect_not_null(strstr(line, part), "%s\nis not in\n%s", part, line);
}

/* The text from `from` on, so that what is asserted next is known to stand behind it. */
static inline const char *behind(const char *line, const char *from)
{
	const char *p = strstr(line, from);

	cr_assert_not_null(p, "%s\nis not in\n%s", from, line);
	return p + strlen(from);
}

/* What follows `from` begins with `text`. */
static inline void follows(const char *line, const char *from, const char *text)
{
	const char *p = behind(line, from);

	cr_expect_eq(strncmp(p, text, strlen(text)), 0, "behind %s is not\n%s\nin\n%s", from, text,
		     line);
}

#endif
