/*
 * backend.c -- how an exchange gets a backend connection, and what happens when it fails.
 *
 * A request is only sent again where nobody can have acted on it: exchange_may_retry() decides.
 */
#include "proxy/backend.h"

#include <errno.h>
#include <string.h>

#include "proxy/relay.h"
#include "proxy/worker.h"

static enum reason connect_reason(int error)
{
	switch (error) {
	case ECONNREFUSED:
		return REASON_CONNECT_REFUSED;
	case EMFILE:
	case ENFILE:
		return REASON_NO_DESCRIPTOR;
	case ENOMEM:
	case ENOBUFS:
		return REASON_NO_MEMORY;
	case ETIMEDOUT:
		return REASON_CONNECT_TIMEOUT;
	case ECONNRESET:
	case EPIPE: /* a FIN and an RST: it was reached, and left at once */
		return REASON_BACKEND_RESET;
	default:
		return REASON_CONNECT_FAILED;
	}
}

static enum reason tls_reason(const struct upstream *u)
{
	if (conn_lacks_memory(&u->conn))
		return REASON_NO_MEMORY;
	return tls_unverified(u->conn.tls) ? REASON_BACKEND_UNVERIFIED : REASON_BACKEND_TLS_FAILED;
}

static void backend_wake(void *arg)
{
	struct relay *r = arg;

	r->wake(r->wake_arg);
}

/* What the log says of the connection, as far as it is known; without memory it is made anew. */
static void backend_keep_fragment(struct relay *r)
{
	buf_reset(&r->backend_fragment, RELAY_FRAGMENT_KEPT);
	(void)!buf_append(&r->backend_fragment, r->up->conn.fragment, r->up->conn.fragment_len);
	r->has_backend_tls = r->up->conn.tls_marks != NULL && !r->up->reused;
	if (r->has_backend_tls)
		r->backend_tls = *r->up->conn.tls_marks;
}

/* The connection is this attempt's: it stands in the record from now on. */
static void backend_adopt(struct relay *r, struct upstream *u)
{
	struct leg_record leg;

	upstream_leg(u, &leg);
	r->up = u;
	r->up_broken = false;
	r->attempt_first = u->conn.sent_off;
	r->up_took = (struct relay_taken){.off = u->conn.sent_off};
	backend_keep_fragment(r);
	exchange_attempt(&r->x, &leg);
}

static void backend_ready(struct relay *r)
{
	r->up_ready = true;
	r->backend_moved = true;
	r->attempt_first = conn_next_off(&r->up->conn);
	if (r->up->conn.tls != NULL)
		backend_keep_fragment(r);
	if (!r->up->reused)
		r->w->good_addr = r->first_addr + r->next_addr - 1;
	timeout_clear(&r->w->timeouts, &r->backend_limit);
	exchange_moment(&r->x, MOMENT_BACKEND_READY, worker_clock(r->w));
}

static void backend_wait_for_addresses(struct relay *r)
{
	r->resolving = true;
	TAILQ_INSERT_TAIL(&r->w->resolving, r, link);
	timeout_set(&r->w->timeouts, &r->backend_limit, TIMEOUT_RESOLVE, r->w->now_ns);
}

/*
 * The next address has an equal share of what is left of the attempt's time, so that one that
 * swallows every SYN leaves some to those behind it.
 */
static void backend_limit_connect(struct relay *r, uint32_t left)
{
	struct timeouts *ts = &r->w->timeouts;
	uint64_t now_ns = r->w->now_ns;

	if (ts->duration_ns[TIMEOUT_CONNECT] > 0)
		timeout_set_for(ts, &r->backend_limit, TIMEOUT_CONNECT, now_ns,
				r->connect_until_ns > now_ns ? (r->connect_until_ns - now_ns) / left
							     : 0);
}

/*
 * Try the addresses from r->next_addr on, the first being the one that was good last; the last
 * one's failure is the attempt's.
 */
static void backend_connect(struct relay *r)
{
	struct resolved known;
	enum reason why = REASON_RESOLVE_FAILED;

	resolver_get(r->w->shared->resolver, &known);
	if (known.state == RESOLVED_PENDING) {
		backend_wait_for_addresses(r);
		return;
	}
	if (r->next_addr == 0) {
		r->first_addr = known.count > 0 ? r->w->good_addr % known.count : 0;
		r->connect_until_ns = r->w->now_ns + r->w->timeouts.duration_ns[TIMEOUT_CONNECT];
	}
	while (r->next_addr < known.count) {
		int error = 0;
		const struct addr *to =
			&known.addrs[(r->first_addr + r->next_addr++) % known.count];
		struct upstream *u = upstream_connect(r->w, to, backend_wake, r, &error);

		if (u != NULL) {
			backend_limit_connect(r, known.count - r->next_addr + 1);
			backend_adopt(r, u);
			return;
		}
		why = connect_reason(error);
	}
	backend_failed(r, why);
}

void backend_start(struct relay *r)
{
	struct upstream *u = NULL;

	r->up_ready = r->connect_slow = false;
	r->next_addr = 0;
	r->request_sent = 0;
	r->resp_begun = false;
	buf_reset(&r->resp_raw, r->resp_raw.cap);
	if (!r->fresh_only)
		u = pool_take(&r->w->pool, backend_wake, r);
	if (u == NULL) {
		backend_connect(r);
		return;
	}
	backend_adopt(r, u);
	backend_ready(r);
}

/* This address has failed: the same attempt goes on with the next; the record shows the last. */
static void backend_next_address(struct relay *r, enum reason why)
{
	struct resolved known;

	resolver_get(r->w->shared->resolver, &known);
	if (r->next_addr >= known.count) {
		backend_failed(r, why);
		return;
	}
	upstream_close(r->up, why, false);
	r->up = NULL;
	backend_connect(r);
}

void backend_check(struct relay *r)
{
	struct upstream *u = r->up;

	if (u == NULL || r->up_ready)
		return;
	if (u->tls_failed)
		backend_next_address(r, tls_reason(u));
	else if (u->conn.error != 0)
		backend_next_address(r, connect_reason(u->conn.error));
	else if (u->state == UPSTREAM_BUSY)
		backend_ready(r);
}

void backend_connect_over(struct relay *r)
{
	r->connect_slow = true;
	if (r->up != NULL && r->up->conn.tls != NULL)
		conn_abandon_tls(&r->up->conn, "the handshake took too long");
	backend_next_address(r, REASON_CONNECT_TIMEOUT);
}

/* Ranges of the attempt reach as far as the connection has come. */
static void backend_note_ranges(struct relay *r)
{
	struct leg_record *leg = &r->x.rec.backend;

	if (byte_range_exists(&leg->request) &&
	    r->x.rec.at_us[MOMENT_BACKEND_REQUEST_END] == MOMENT_NEVER)
		range_reach(&leg->request, conn_given_off(&r->up->conn));
	if (r->tunnel) {
		range_reach(&leg->tunnel_up, conn_given_off(&r->up->conn));
		range_reach(&leg->tunnel_down, conn_past_off(&r->up->conn, 0));
		return;
	}
	if (r->resp_begun && r->x.rec.at_us[MOMENT_BACKEND_RESPONSE_END] == MOMENT_NEVER) {
		range_begin(&leg->response, r->resp_first);
		range_reach(&leg->response, MAX(r->resp_first, conn_past_off(&r->up->conn, 0)));
	}
}

void backend_drop(struct relay *r, enum reason why)
{
	if (r->resolving) {
		TAILQ_REMOVE(&r->w->resolving, r, link);
		r->resolving = false;
	}
	timeout_clear(&r->w->timeouts, &r->backend_limit);
	if (r->up == NULL)
		return;
	backend_note_ranges(r);
	if (r->up->conn.tls != NULL)
		backend_keep_fragment(r);
	tap_position(r->w->tap, &r->up->conn);
	upstream_close(r->up, why, false);
	r->up = NULL;
	r->up_ready = false;
}

void backend_release(struct relay *r, bool reusable)
{
	struct upstream *u = r->up;

	backend_note_ranges(r);
	timeout_clear(&r->w->timeouts, &r->backend_limit);
	tap_position(r->w->tap, &u->conn);
	r->up = NULL;
	r->up_ready = false;
	if (reusable && !u->conn.peer_closing && !u->conn.peer_closed && u->conn.error == 0 &&
	    r->w->stop == WORKER_RUNS)
		pool_give(&r->w->pool, u, r->w->now_ns);
	else
		upstream_close(u, REASON_DONE, false);
}

void backend_failed(struct relay *r, enum reason why)
{
	struct attempt_facts facts = {
		.connected = r->up_ready,
		.replayable = r->replayable,
		.idempotent = http_method_idempotent(r->req_head.method),
	};

	if (r->up != NULL) {
		facts.reused = r->up->reused;
		facts.sent_any = r->up_ready && r->up->conn.sent_off > r->attempt_first;
		facts.response_any = r->resp_begun;
	}
	/* Nobody waits for three time-outs, and what this machine lacks it will lack again. */
	if (r->x.attempt_open && !r->connect_slow && why != REASON_CONNECT_TIMEOUT &&
	    why != REASON_NO_DESCRIPTOR && why != REASON_NO_MEMORY &&
	    why != REASON_BACKEND_TLS_FAILED && why != REASON_BACKEND_UNVERIFIED &&
	    exchange_may_retry(&r->x, &facts)) {
		backend_drop(r, why);
		exchange_attempt_failed(&r->x, why);
		r->fresh_only = true;
		backend_start(r);
		return;
	}
	relay_fail(r, why);
}
