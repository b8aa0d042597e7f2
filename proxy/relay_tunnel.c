/*
 * relay_tunnel.c -- after a 101: bytes go both ways as they come, with half-close, until both ends are
 * closed, one fails, or nothing moves for tunnel_timeout_ms.
 *
 * Looks at no byte. Invariant: a side is read only while the other has taken everything.
 */
#include "proxy/backend.h"
#include "proxy/relay.h"
#include "proxy/relay_parts.h"
#include "proxy/worker.h"

/* One direction of a tunnel. False: nothing moved. */
static bool tunnel_move(struct relay *r, struct conn *from, struct conn *to, bool *closed,
			enum reason end)
{
	struct iovec part = {r->w->scratch, 0};
	ssize_t n;

	if (*closed || conn_pending(to) > 0 || !from->readable)
		return false;
	n = conn_read(from, r->w->scratch, r->up_read_size);
	if (n == CONN_AGAIN)
		return false;
	worker_clock(r->w);
	r->backend_moved = true;
	if (n == CONN_ERROR) {
		relay_fail(r, end);
		return true;
	}
	if (n == CONN_EOF) {
		*closed = true;
		if (r->x.why == REASON_DONE)
			r->x.why = end;
		if (!conn_shutdown(to))
			relay_fail(r, end == REASON_TUNNEL_CLIENT ? REASON_TUNNEL_BACKEND
								  : REASON_TUNNEL_CLIENT);
		return true;
	}
	r->w->budget_bytes -= n;
	part.iov_len = (size_t)n;
	if (!conn_send(to, &part, 1))
		relay_fail(r, end == REASON_TUNNEL_CLIENT ? REASON_TUNNEL_BACKEND
							  : REASON_TUNNEL_CLIENT);
	return true;
}

/* What the tunnel carried so far, on both legs. */
static void tunnel_note(struct relay *r)
{
	struct leg_record *c = &r->x.rec.client, *b = &r->x.rec.backend;

	range_begin(&c->tunnel_up, c->request.past);
	range_reach(&c->tunnel_up, r->client->read_off);
	range_reach(&c->tunnel_down, r->client->sent_off);
	if (r->client->sent_off >= c->response.past)
		exchange_moment(&r->x, MOMENT_RESPONSE_END, r->w->now_ns);
	range_begin(&b->tunnel_up, b->request.past);
	range_reach(&b->tunnel_up, r->up->conn.sent_off);
	range_reach(&b->tunnel_down, r->up->conn.read_off);
}

bool relay_tunnel(struct relay *r)
{
	struct conn *up = &r->up->conn;
	bool moved = false;

	if (buf_left(r->in) > 0) {
		struct iovec part = {buf_at(r->in), buf_left(r->in)};

		if (!conn_send(up, &part, 1)) {
			relay_fail(r, REASON_TUNNEL_BACKEND);
			return true;
		}
		buf_consume(r->in, part.iov_len);
		moved = true;
	}
	if (!conn_flush(up)) {
		relay_fail(r, REASON_TUNNEL_BACKEND);
		return true;
	}
	tunnel_note(r);
	moved |= tunnel_move(r, r->client, up, &r->tunnel_up_closed, REASON_TUNNEL_CLIENT);
	if (r->x.response == RESPONSE_TUNNEL)
		moved |= tunnel_move(r, up, r->client, &r->tunnel_down_closed,
				     REASON_TUNNEL_BACKEND);
	if (r->x.response != RESPONSE_TUNNEL)
		return true;
	tunnel_note(r);
	if (r->tunnel_up_closed && r->tunnel_down_closed && conn_pending(up) == 0 &&
	    conn_pending(r->client) == 0) {
		exchange_set_response(&r->x, RESPONSE_DONE);
		backend_drop(r, REASON_DONE);
		moved = true;
	}
	return moved || conn_recheck(r->client) || (r->up != NULL && conn_recheck(up));
}
