/*
 * relay_tunnel.c -- after a 101: bytes go both ways as they come, with half-close, until both ways are
 * closed or nothing moves for tunnel_timeout_ms.
 *
 * Looks at no byte. A side that fails ends its own way as an end-of-file would, so that what it
 * sent before still arrives, and the way to it, which has no taker any more. Invariant: a side is
 * read only while the other has taken everything.
 */
#include <errno.h>

#include "proxy/backend.h"
#include "proxy/relay.h"
#include "proxy/relay_parts.h"
#include "proxy/worker.h"

/* One direction. */
struct tunnel_way {
	struct conn *from;
	struct conn *to;
	enum reason from_ends; /* the words when that side ends it */
	enum reason to_ends;
	bool *closed;
	uint32_t *read_size;
};

static void tunnel_way_close(struct relay *r, struct tunnel_way *way, enum reason by)
{
	*way->closed = true;
	if (r->tunnel_end == REASON_DONE)
		r->tunnel_end = by;
}

/* Closed, but its source may fail yet, and then the way back has no taker. */
static bool tunnel_way_watch(struct tunnel_way *way)
{
	if (!way->from->readable || way->from->error != 0)
		return false;
	way->from->readable = false;
	conn_look_for_error(way->from);
	return way->from->error != 0;
}

/* Send on what was kept. True when some of it went. */
static bool tunnel_way_flush(struct relay *r, struct tunnel_way *way)
{
	size_t before = conn_pending(way->to);

	if (before == 0 || !way->to->writable)
		return false;
	worker_clock(r->w);
	if (conn_flush(way->to) && conn_pending(way->to) == before)
		return false;
	r->tunnel_moved = true;
	return true;
}

/* Read once and pass on. False: nothing moved. */
static bool tunnel_way_run(struct relay *r, struct tunnel_way *way)
{
	struct iovec part = {r->w->scratch, 0};
	bool moved = tunnel_way_flush(r, way);
	ssize_t n;

	if (*way->closed)
		return tunnel_way_watch(way) || moved;
	if (way->to->error != 0) {
		tunnel_way_close(r, way, way->to_ends);
		/* It may have sent something before it failed. */
		way->to->readable = true;
		return true;
	}
	if (conn_pending(way->to) > 0 || !way->from->readable)
		return moved;
	n = conn_read(way->from, r->w->scratch, *way->read_size);
	if (n == CONN_AGAIN)
		return moved;
	worker_clock(r->w);
	if (n < 0) {
		tunnel_way_close(r, way, way->from_ends);
		/* Whom nothing can be told has no use for the rest either. */
		if (!conn_shutdown(way->to) && way->to->error == 0) {
			way->to->error = ENOTCONN;
			way->to->readable = true;
		}
		return true;
	}
	r->w->budget_bytes -= n;
	r->tunnel_moved = true;
	part.iov_len = (size_t)n;
	if (conn_send(way->to, &part, 1))
		*way->read_size = relay_next_read_size(*way->read_size, way->from, way->to);
	return true;
}

/* Both ways are closed and what was kept is sent: the client may still be sending, so it lingers. */
static void tunnel_over(struct relay *r)
{
	if (r->client->error != 0) {
		relay_fail(r, r->tunnel_end);
		return;
	}
	r->x.why = r->tunnel_end;
	r->client->readable = true;
	exchange_set_response(&r->x, RESPONSE_DONE);
	backend_drop(r, r->tunnel_end);
}

static void tunnel_note_head_sent(struct relay *r)
{
	if (r->client->sent_off >= r->x.rec.client.tunnel_down.first)
		exchange_moment(&r->x, MOMENT_RESPONSE_END, r->w->now_ns);
}

bool relay_tunnel(struct relay *r)
{
	struct conn *client = r->client, *up = &r->up->conn;
	struct tunnel_way there = {client,
				   up,
				   REASON_TUNNEL_CLIENT,
				   REASON_TUNNEL_BACKEND,
				   &r->tunnel_up_closed,
				   &r->client_read_size};
	struct tunnel_way back = {up,
				  client,
				  REASON_TUNNEL_BACKEND,
				  REASON_TUNNEL_CLIENT,
				  &r->tunnel_down_closed,
				  &r->up_read_size};
	bool moved = tunnel_way_run(r, &there);

	moved |= tunnel_way_run(r, &back);
	tunnel_note_head_sent(r);
	if (conn_lacks_memory(client) || conn_lacks_memory(up)) {
		relay_fail(r, REASON_NO_MEMORY);
		return true;
	}
	if (r->tunnel_up_closed && r->tunnel_down_closed &&
	    (conn_pending(up) == 0 || up->error != 0) &&
	    (conn_pending(client) == 0 || client->error != 0)) {
		tunnel_over(r);
		return true;
	}
	return moved || conn_recheck(client) || conn_recheck(up);
}

static void tunnel_tell_range(struct relay *r, const struct conn *c, enum tap_part part,
			      uint64_t first, uint64_t past)
{
	tap_part(r->w->tap, r->x.rec.id, c, part, first, past, false, true);
}

static void tunnel_tell_begin(struct relay *r, const struct conn *c, enum tap_part part,
			      uint64_t first)
{
	uint8_t attempt = c == r->client ? 0 : r->x.rec.attempts;

	tap_begin(r->w->tap, r->x.rec.id, c, part, first, attempt, NULL, 0);
}

void relay_tunnel_tell(struct relay *r)
{
	const struct leg_record *c = &r->x.rec.client, *b = &r->x.rec.backend;
	const struct conn *up = &r->up->conn;

	if (!tap_active(r->w->tap))
		return;
	tunnel_tell_range(r, r->client, TAP_PART_CLIENT_REQUEST, c->request.first,
			  c->tunnel_up.first);
	tunnel_tell_range(r, up, TAP_PART_BACKEND_REQUEST, b->request.first, b->tunnel_up.first);
	tunnel_tell_range(r, up, TAP_PART_BACKEND_RESPONSE, b->response.first, b->response.past);
	tunnel_tell_range(r, r->client, TAP_PART_CLIENT_RESPONSE, c->response.first,
			  c->tunnel_down.first);
	tunnel_tell_begin(r, r->client, TAP_PART_CLIENT_UP, c->tunnel_up.first);
	tunnel_tell_begin(r, up, TAP_PART_BACKEND_UP, b->tunnel_up.first);
	tunnel_tell_begin(r, up, TAP_PART_BACKEND_DOWN, b->tunnel_down.first);
	tunnel_tell_begin(r, r->client, TAP_PART_CLIENT_DOWN, c->tunnel_down.first);
}

void relay_tunnel_open(struct relay *r, size_t head_len, char *bytes, size_t len)
{
	struct exchange *x = &r->x;
	struct conn *client = r->client, *up = &r->up->conn;
	struct iovec part = {r->w->head.data, head_len};

	x->rec.status = 101;
	exchange_moment(x, MOMENT_BACKEND_RESPONSE_END, r->w->now_ns);
	range_reach(&x->rec.backend.response, conn_past_off(up, len));
	exchange_set_response(x, RESPONSE_TUNNEL);
	x->close_client = true;
	relay_send_client(r, &part, 1);
	if (x->response != RESPONSE_TUNNEL)
		return;
	r->tunnel = true;
	range_begin(&x->rec.client.tunnel_up, conn_first_off(client, buf_left(r->in)));
	range_begin(&x->rec.client.tunnel_down, conn_next_off(client));
	range_begin(&x->rec.backend.tunnel_up, conn_next_off(up));
	range_begin(&x->rec.backend.tunnel_down, conn_first_off(up, len));
	relay_tunnel_tell(r);
	/* The exchange as far as its time is limited is over, and its head is sent for good. */
	timeout_clear(&r->w->timeouts, &r->request_limit);
	buf_fini(&r->request);
	r->request_sent = 0;
	/* Neither failure is lost: relay_tunnel() finds it at the connection. */
	part = (struct iovec){bytes, len};
	(void)!conn_send(client, &part, 1);
	part = (struct iovec){buf_at(r->in), buf_left(r->in)};
	(void)!conn_send(up, &part, 1);
	buf_fini(r->in);
	r->tunnel_moved = true;
}

void relay_tunnel_settle(struct relay *r)
{
	struct leg_record *leg = &r->x.rec.client;
	uint64_t first = leg->tunnel_down.first, sent = conn_given_off(r->client);

	range_reach(&leg->response, MIN(sent, first));
	range_reach(&leg->tunnel_down, MAX(sent, first));
	range_reach(&leg->tunnel_up, conn_past_off(r->client, 0));
	tunnel_note_head_sent(r);
}
