/*
 * http_turns.c -- whose turn it is: which response answers which request, and when both are over.
 *
 * Invariant: c->open holds, in their order, the requests that are not given out; c->answering is one
 * of them or NULL.
 */
#include <stdlib.h>
#include <string.h>

#include "common/http_observe.h"
#include "trace/http_conn.h"

#define PASSED_STEP (1024U * 1024) /* the caller is told of passed bytes in such steps */

/* ---- ends ------------------------------------------------------------------------------------ */

static void end_exchange(struct http_conn *c, struct http_exchange *e, const char *word,
			 uint64_t ts_ns)
{
	TAILQ_REMOVE(&c->open, e, link);
	c->open_count--;
	if (c->answering == e)
		c->answering = NULL;
	e->end_ns = MAX(ts_ns, e->x.start_ns);
	memcpy(e->x.end, word, strlen(word) + 1);
	c->pairs->calls.ended(c->pairs->calls.arg, &c->view, e);
	free(e);
}

/* Nothing more of it will be seen. */
static void end_unseen(struct http_conn *c, struct http_exchange *e, uint64_t ts_ns)
{
	const char *word = e->fault != NULL ? e->fault : "not-captured";

	end_exchange(c, e, e->response_done ? "done" : word, ts_ns);
}

static void end_if_complete(struct http_conn *c, struct http_exchange *e, uint64_t ts_ns)
{
	if (e->response_done && (e->request_done || e->request_lost) && !e->is_tunnel)
		end_exchange(c, e, "done", ts_ns);
}

/* From here on the responses of this connection are nobody's, those to what is open included. */
static void go_blind(struct http_conn *c)
{
	struct http_exchange *e;

	c->is_blind = true;
	TAILQ_FOREACH(e, &c->open, link)
		e->is_blind = e->is_blind || !e->response_done;
}

/* ---- requests -------------------------------------------------------------------------------- */

static struct http_exchange *newest(const struct http_conn *c)
{
	return TAILQ_LAST(&c->open, http_exchange_list);
}

/* The exchange whose request is being read. */
static struct http_exchange *asking(const struct http_conn *c)
{
	struct http_exchange *e = newest(c);

	return e != NULL && !e->request_done && !e->request_lost ? e : NULL;
}

/* Every bit of the id depends on every bit of both, so that its first digits tell exchanges apart. */
static uint64_t make_id(uint32_t frame, uint32_t nth)
{
	uint64_t h = (uint64_t)frame << 32 | nth;

	h ^= h >> 30;
	h *= 0xbf58476d1ce4e5b9ULL;
	h ^= h >> 27;
	h *= 0x94d049bb133111ebULL;
	return h ^ h >> 31;
}

void http_conn_open(struct http_conn *c)
{
	c->view.number = ++c->pairs->conns;
	c->pairs->calls.opened(c->pairs->calls.arg, &c->view);
}

static void name_leg(const struct http_conn *c, struct leg_record *leg)
{
	const struct flow *f = c->view.track->flow;

	leg->conn = c->view.number;
	leg->nth = c->nth;
	leg->reused = c->nth > 1;
	leg->opened_ns = f->syn_frame != 0 ? f->syn_ns : f->first_ns;
	leg->local = f->side[1 - c->view.client].addr;
	leg->peer = f->side[c->view.client].addr;
}

/* The client does not wait: that it got nothing since the request before shows it. */
static void note_pipelining(struct http_conn *c, const struct http_exchange *e)
{
	const struct http_exchange *before = newest(c);

	if (e->ack >= c->answered_past && (before == NULL || e->ack > before->ack))
		return;
	c->pipelines = true;
	if (c->had_loss)
		go_blind(c);
}

static void add_exchange(struct http_conn *c, struct http_exchange *e)
{
	note_pipelining(c, e);
	e->is_blind = c->is_blind;
	TAILQ_INSERT_TAIL(&c->open, e, link);
	if (++c->open_count <= HTTP_UNANSWERED_MAX)
		return;
	go_blind(c); /* the responses that may come belong to the first ones, which go */
	end_unseen(c, TAILQ_FIRST(&c->open), e->x.start_ns);
}

static void begin_request(struct http_conn *c, const struct piece *p, const char *bytes)
{
	const struct http_head *h = c->pairs->heads.head;
	struct http_reader *r = &http_request_dir(c)->reader;
	struct http_exchange *e = http_exchange_new(h, bytes);

	if (e == NULL) {
		c->pairs->count.lost++;
		c->had_loss = true;
		return;
	}
	if (c->nth++ == 0)
		http_conn_open(c);
	e->x.id = make_id(c->view.track->flow->first_frame, c->nth);
	e->x.start_ns = r->message_ns;
	e->ack = r->message_ack;
	e->is_quiet = p->is_quiet;
	e->is_after_gap = c->has_gap;
	c->has_gap = false;
	name_leg(c, &e->x.client);
	e->x.client.request = (struct byte_range){r->message_off, r->off};
	if (h->framing == HTTP_BODY_NONE || h->framing == HTTP_BODY_LENGTH)
		e->request_past = r->off + (h->framing == HTTP_BODY_LENGTH ? h->content_length : 0);
	add_exchange(c, e);
	c->pairs->calls.begun(c->pairs->calls.arg, &c->view, e);
}

static void end_request(struct http_conn *c, uint64_t ts_ns)
{
	const struct http_reader *r = &http_request_dir(c)->reader;
	struct http_exchange *e = asking(c);

	if (e == NULL)
		return;
	e->request_done = true;
	e->x.client.request.past = r->off;
	e->x.request_body_bytes = r->body.payload_bytes;
	http_exchange_moment(e, MOMENT_REQUEST_END, ts_ns);
	end_if_complete(c, e, ts_ns);
}

static void lose_request(struct http_conn *c, uint64_t ts_ns, bool is_bad)
{
	struct http_exchange *e = asking(c);

	c->had_loss = true;
	c->has_gap = c->has_gap || e == NULL;
	if (c->pipelines)
		c->is_blind = true;
	if (e == NULL)
		return;
	e->request_lost = true;
	e->fault = is_bad ? "bad-request" : NULL;
	e->x.client.request.past = http_request_dir(c)->reader.off;
	e->x.request_body_bytes = http_request_dir(c)->reader.body.payload_bytes;
	end_if_complete(c, e, ts_ns);
}

/* More of the server was acknowledged than is read. */
static bool response_is_behind(const struct http_conn *c)
{
	const struct http_direction *d = &c->dir[1 - c->view.client];

	return d->acked > d->pieces.next || d->pieces.first != NULL;
}

/*
 * RFC 9110 section 10.1.1: a client that waited for 100 and got a final response may leave the body
 * out and go on with its next request.
 */
static bool leaves_body_out(struct http_conn *c, const struct piece *p)
{
	const struct http_reader *r = &http_request_dir(c)->reader;
	const struct http_exchange *e = asking(c);

	if (r->state != HTTP_READER_BODY || r->off > r->head_past || e == NULL ||
	    !e->expects_continue || p->bytes == NULL || !p->is_first)
		return false;
	/* That the response was not captured is no sign that there was none. */
	return (e->response_done || e->is_blind || c->had_loss || response_is_behind(c)) &&
	       http_observe_line(HTTP_REQUEST, p->bytes, p->len) == HTTP_SIGHT_YES;
}

/*
 * The same when that is not captured: whether there was a body cannot be told, unless the client was
 * told to go on.
 */
static bool may_leave_body_out(struct http_conn *c, const struct piece *p)
{
	const struct http_reader *r = &http_request_dir(c)->reader;
	const struct http_exchange *e = asking(c);

	return r->state == HTTP_READER_BODY && r->off == r->head_past && p->bytes == NULL &&
	       e != NULL && e->expects_continue && !byte_range_exists(&e->x.client.interim);
}

/* ---- responses ------------------------------------------------------------------------------- */

static struct http_exchange *first_unanswered(struct http_exchange *e)
{
	while (e != NULL && (e->response_done || e->is_blind))
		e = TAILQ_NEXT(e, link);
	return e;
}

/* The first whose response is not complete yet and can be told. */
static struct http_exchange *unanswered(const struct http_conn *c)
{
	return first_unanswered(TAILQ_FIRST(&c->open));
}

/*
 * Which request a response answers that begins at off. After a loss the first request may be one
 * whose response was not captured: of a client that waits, a request that began when all before off
 * had been acknowledged came after that.
 */
static struct http_exchange *to_answer(struct http_conn *c, uint64_t off, uint64_t ts_ns)
{
	struct http_exchange *e = unanswered(c), *next;

	/* What its client had acknowledged before it asked is no answer to it. */
	if (e != NULL && e->ack > off)
		return NULL;
	if (!c->had_loss || c->pipelines)
		return e;
	/*
	 * The client got nothing between the response before and this request: what is missing
	 * between them was not answered yet, so it does not wait for responses.
	 */
	if (e != NULL && e->is_after_gap && e->ack <= c->paired_past) {
		c->pipelines = true;
		go_blind(c);
		return NULL;
	}
	while (e != NULL && (next = first_unanswered(TAILQ_NEXT(e, link))) != NULL &&
	       next->is_quiet && next->ack <= off) {
		end_unseen(c, e, ts_ns);
		e = next;
	}
	return e;
}

static bool has_no_body(const struct http_exchange *e, uint16_t status)
{
	return e != NULL && (e->method == HTTP_METHOD_HEAD ||
			     (e->method == HTTP_METHOD_CONNECT && status / 100 == 2));
}

static void begin_response(struct http_conn *c, struct http_exchange *e)
{
	const struct http_head *h = c->pairs->heads.head;
	const struct http_reader *r = &http_response_dir(c)->reader;
	struct byte_range *range = &e->x.client.response;

	if (c->is_interim) {
		range = &e->x.client.interim;
		if (!byte_range_exists(range))
			range->first = r->message_off;
	} else {
		range->first = r->message_off;
		e->x.status = h->status;
	}
	range->past = r->off;
	e->response_past = 0;
	if (has_no_body(e, h->status) || h->framing == HTTP_BODY_NONE)
		e->response_past = r->off;
	else if (h->framing == HTTP_BODY_LENGTH)
		e->response_past = r->off + h->content_length;
	c->pairs->calls.answered(c->pairs->calls.arg, &c->view, e, r->message_off);
}

/* Both directions carry something else from here on. */
static void begin_tunnel(struct http_conn *c, struct http_exchange *e)
{
	struct http_reader *up = &http_request_dir(c)->reader;
	struct http_reader *down = &http_response_dir(c)->reader;

	http_reader_tunnel(down);
	if (up->state == HTTP_READER_START || up->state == HTTP_READER_LOST)
		http_reader_tunnel(up);
	if (e != NULL) {
		e->is_tunnel = true;
		e->x.client.tunnel_up = (struct byte_range){up->off, up->off};
		e->x.client.tunnel_down = (struct byte_range){down->off, down->off};
	}
}

/*
 * It was taken for the answer to e because the client waits for responses, and then it was seen not
 * to: nothing is claimed.
 */
static void take_back(struct http_exchange *e)
{
	e->x.client.interim = byte_range_none();
	e->x.client.response = byte_range_none();
	e->x.status = 0;
	e->is_blind = true;
}

static void finish_response(struct http_conn *c, struct http_exchange *e, uint64_t ts_ns)
{
	const struct http_reader *r = &http_response_dir(c)->reader;

	e->x.client.response.past = r->off;
	e->x.response_body_bytes = r->body.payload_bytes;
	e->response_done = true;
	c->paired_past = r->off;
	http_exchange_moment(e, MOMENT_RESPONSE_END, ts_ns);
	/* Nothing else is open: both directions agree again. */
	if (TAILQ_FIRST(&c->open) == e && TAILQ_NEXT(e, link) == NULL && !c->is_blind)
		c->had_loss = false;
	end_if_complete(c, e, ts_ns);
}

static void end_response(struct http_conn *c, uint64_t ts_ns)
{
	const struct http_reader *r = &http_response_dir(c)->reader;
	struct http_exchange *e = c->answering, *next;

	c->answering = NULL;
	if (!c->is_interim)
		c->answered_past = r->off;
	if (e == NULL)
		return;
	if (c->is_interim) {
		e->x.client.interim.past = r->off;
		return;
	}
	next = TAILQ_NEXT(e, link);
	if (next != NULL && next->ack < r->off)
		c->pipelines = true;
	if (!c->pipelines || !c->had_loss) {
		finish_response(c, e, ts_ns);
		return;
	}
	take_back(e);
	go_blind(c);
}

static void lose_response(struct http_conn *c, uint64_t ts_ns, bool is_bad)
{
	const struct http_reader *r = &http_response_dir(c)->reader;
	struct http_exchange *e = c->answering != NULL ? c->answering : unanswered(c);

	c->had_loss = true;
	if (e != NULL && is_bad)
		e->fault = "bad-response";
	e = c->answering;
	c->answering = NULL;
	if (c->pipelines)
		go_blind(c);
	if (e == NULL)
		return;
	if (!c->is_interim) {
		e->x.client.response.past = r->off;
		e->x.response_body_bytes = r->body.payload_bytes;
	}
	e->is_blind = true;
	if (e->request_done || e->request_lost)
		end_unseen(c, e, ts_ns);
}

/* Those whose responses cannot be told end as soon as their requests have. */
static void end_blind(struct http_conn *c, uint64_t ts_ns)
{
	struct http_exchange *e, *next;

	for (e = TAILQ_FIRST(&c->open); e != NULL && c->is_blind; e = next) {
		next = TAILQ_NEXT(e, link);
		if (e != c->answering && !e->is_tunnel && (e->request_done || e->request_lost))
			end_unseen(c, e, ts_ns);
	}
}

/* Behind a response's head: its body, if it has one, or what else follows. */
static void after_head(struct http_conn *c, uint64_t ts_ns)
{
	struct http_reader *r = &http_response_dir(c)->reader;
	const struct http_head *h = c->pairs->heads.head;
	struct http_exchange *e;
	enum http_framing framing = h->framing;
	bool is_tunnel;

	c->is_interim = h->status < 200 && h->status != 101;
	e = c->answering = to_answer(c, r->message_off, ts_ns);
	c->pairs->count.responses++;
	c->pairs->count.strays += e == NULL && !c->is_interim;
	if (e != NULL)
		begin_response(c, e);
	if (has_no_body(e, h->status))
		framing = HTTP_BODY_NONE;
	is_tunnel = h->status == 101 ||
		    (e != NULL && e->method == HTTP_METHOD_CONNECT && h->status / 100 == 2);
	if (http_reader_body(r, framing, h->content_length)) {
		if (is_tunnel)
			begin_tunnel(c, e);
		end_response(c, ts_ns);
	}
}

/* ---- reading --------------------------------------------------------------------------------- */

bool http_conn_is_behind(const struct http_conn *c)
{
	const struct http_direction *d = &c->dir[c->view.client];

	return d->acked > d->pieces.next || d->pieces.first != NULL;
}

/* What the client sends behind a request for a tunnel waits for the decision. */
static bool request_must_wait(const struct http_conn *c)
{
	const struct http_exchange *e = newest(c);

	return !c->is_over && e != NULL && e->asks_tunnel && e->request_done && !e->response_done &&
	       !e->is_blind && c->dir[c->view.client].reader.state == HTTP_READER_START &&
	       !c->dir[1 - c->view.client].is_closed;
}

/* A response waits for its request, which may have been captured behind it or is still kept. */
static bool response_must_wait(const struct http_conn *c)
{
	enum http_reader_state state = c->dir[1 - c->view.client].reader.state;

	return !c->is_over && (state == HTTP_READER_START || state == HTTP_READER_LOST) &&
	       !request_must_wait(c) && unanswered(c) == NULL && http_conn_is_behind(c);
}

/* A request line that stands at the begin of a packet, and the other direction agrees. */
static bool may_restart_request(const struct http_conn *c, const struct piece *p)
{
	return p->is_first && p->bytes != NULL && p->is_quiet && !c->pipelines &&
	       http_observe_line(HTTP_REQUEST, p->bytes, p->len) == HTTP_SIGHT_YES;
}

/* What may have been answered at off: a client that waits began it when all before had been acknowledged. */
static struct http_exchange *begun_at(const struct http_conn *c, uint64_t off)
{
	struct http_exchange *e = unanswered(c);

	while (e != NULL && (!e->is_quiet || e->ack < off))
		e = first_unanswered(TAILQ_NEXT(e, link));
	return c->pipelines ? NULL : e;
}

/*
 * Lost in the responses: how much of p is passed over before the next place where one may begin. 0:
 * one begins here.
 */
static uint64_t pass_over_response(struct http_conn *c, const struct piece *p)
{
	struct http_exchange *e;

	while ((e = begun_at(c, p->off)) != NULL && e->ack == p->off) {
		if (p->bytes != NULL &&
		    http_observe_line(HTTP_RESPONSE, p->bytes, p->len) != HTTP_SIGHT_NO) {
			http_reader_restart(&http_response_dir(c)->reader);
			return 0;
		}
		e->is_blind = true;
		if (e->request_done || e->request_lost)
			end_unseen(c, e, p->ts_ns);
	}
	return e != NULL ? MIN(p->len, e->ack - p->off) : p->len;
}

/* Nothing of HTTP was ever seen on it, and this is none. */
static void note_miss(struct http_conn *c)
{
	if (c->nth == 0 && ++c->misses > HTTP_MISSES_MAX)
		c->is_hopeless = true;
}

/* How much of p is not to be read; 0: it is. */
static uint64_t pass_over(struct http_conn *c, unsigned side, const struct piece *p)
{
	struct http_reader *r = &c->dir[side].reader;

	if (r->state != HTTP_READER_LOST)
		return 0;
	if (side != c->view.client)
		return pass_over_response(c, p);
	if (!may_restart_request(c, p)) {
		note_miss(c);
		return p->len;
	}
	http_reader_restart(r);
	return 0;
}

static void take_event(struct http_conn *c, unsigned side, const struct piece *p,
		       enum http_reader_event event, const char *head_bytes)
{
	struct http_reader *r = &c->dir[side].reader;
	bool is_request = side == c->view.client;

	switch (event) {
	case HTTP_READER_MORE:
		break;
	case HTTP_READER_GOT_HEAD:
		if (!is_request) {
			after_head(c, p->ts_ns);
			break;
		}
		begin_request(c, p, head_bytes);
		if (http_reader_body(r, c->pairs->heads.head->framing,
				     c->pairs->heads.head->content_length))
			end_request(c, p->ts_ns);
		break;
	case HTTP_READER_GOT_END:
		if (is_request)
			end_request(c, p->ts_ns);
		else
			end_response(c, p->ts_ns);
		break;
	case HTTP_READER_GOT_LOST:
		if (c->nth == 0 && p->bytes != NULL)
			c->is_hopeless = true; /* its first bytes are no HTTP */
		if (is_request)
			lose_request(c, p->ts_ns, p->bytes != NULL);
		else
			lose_response(c, p->ts_ns, p->bytes != NULL);
		break;
	}
	end_blind(c, p->ts_ns);
}

/* What nobody claims need not be kept by others. */
static void tell_passed(struct http_conn *c, unsigned side)
{
	struct http_direction *d = &c->dir[side];

	if (d->reader.state != HTTP_READER_LOST || d->reader.off < d->told_off + PASSED_STEP ||
	    c->view.number == 0)
		return;
	d->told_off = d->reader.off;
	c->pairs->calls.passed(c->pairs->calls.arg, &c->view, side, d->reader.off);
}

/* One step into p, whose first byte is at the reader. Returns bytes used; may be 0. */
static uint64_t step(struct http_conn *c, unsigned side, const struct piece *p)
{
	struct http_reader *r = &c->dir[side].reader;
	struct http_input in = {.bytes = p->bytes, .len = p->len, .ts_ns = p->ts_ns, .ack = p->ack};
	uint64_t used = pass_over(c, side, p);
	const char *head_bytes = NULL;
	enum http_reader_event event;

	if (used > 0) {
		r->off += used;
		tell_passed(c, side);
		return used;
	}
	if (side == c->view.client && leaves_body_out(c, p)) {
		http_reader_restart(r);
		end_request(c, p->ts_ns);
		return 0;
	}
	if (side == c->view.client && may_leave_body_out(c, p)) {
		http_reader_lose(r);
		lose_request(c, p->ts_ns, false);
		return 0;
	}
	event = http_reader_read(r, &in, &c->pairs->heads, &head_bytes, &used);
	take_event(c, side, p, event, head_bytes);
	if (event != HTTP_READER_GOT_LOST || used > 0 || p->bytes == NULL)
		return used;
	r->off++; /* no message begins here, and it is not looked for here again */
	return 1;
}

static bool must_wait(const struct http_conn *c, unsigned side)
{
	return side == c->view.client ? request_must_wait(c) : response_must_wait(c);
}

uint64_t http_turns_read(struct http_conn *c, unsigned side, const struct piece *p)
{
	struct piece rest = *p;

	while (rest.len > 0 && !c->is_hopeless && !must_wait(c, side)) {
		uint64_t used = step(c, side, &rest);

		rest.off += used;
		rest.len -= used;
		rest.is_first = rest.is_first && used == 0;
		if (rest.bytes != NULL)
			rest.bytes += used;
	}
	return c->is_hopeless ? p->len : p->len - rest.len;
}

/* ---- the end --------------------------------------------------------------------------------- */

/* What was read of its messages so far is theirs. */
static void cut_short(struct http_conn *c, struct http_exchange *e)
{
	if (e == asking(c)) {
		e->x.client.request.past = http_request_dir(c)->reader.off;
		e->x.request_body_bytes = http_request_dir(c)->reader.body.payload_bytes;
	}
	if (e != c->answering || c->is_interim)
		return;
	e->x.client.response.past = http_response_dir(c)->reader.off;
	e->x.response_body_bytes = http_response_dir(c)->reader.body.payload_bytes;
}

void http_turns_close(struct http_conn *c, unsigned side, uint64_t ts_ns)
{
	struct http_reader *r = &c->dir[side].reader;
	struct http_exchange *e, *next;

	if (side == c->view.client)
		return;
	if (http_reader_close(r))
		end_response(c, ts_ns);
	/* No response comes any more to what was asked. */
	for (e = TAILQ_FIRST(&c->open); e != NULL; e = next) {
		next = TAILQ_NEXT(e, link);
		if (e->is_tunnel || !e->request_done)
			continue;
		cut_short(c, e);
		if (r->state == HTTP_READER_LOST)
			end_unseen(c, e, ts_ns);
		else
			end_exchange(c, e, "backend-eof", ts_ns);
	}
}

static void end_tunnel(struct http_conn *c, struct http_exchange *e, const char *word,
		       uint64_t ts_ns)
{
	const struct flow *f = c->view.track->flow;
	struct byte_range *up = &e->x.client.tunnel_up, *down = &e->x.client.tunnel_down;

	up->past = http_request_dir(c)->reader.off;
	down->past = http_response_dir(c)->reader.off;
	if (up->past <= up->first)
		*up = byte_range_none();
	if (down->past <= down->first)
		*down = byte_range_none();
	if (f->how != FLOW_OPEN)
		word = f->closed_by == c->view.client ? "tunnel-client" : "tunnel-backend";
	end_exchange(c, e, word, ts_ns);
}

void http_turns_end(struct http_conn *c, const char *word, uint64_t ts_ns)
{
	struct http_exchange *e;

	while ((e = TAILQ_FIRST(&c->open)) != NULL) {
		if (e->is_tunnel) {
			end_tunnel(c, e, word, ts_ns);
			continue;
		}
		cut_short(c, e);
		if (e->response_done)
			end_exchange(c, e, "done", ts_ns);
		else if (e->is_blind || e->request_lost || e->fault != NULL)
			end_unseen(c, e, ts_ns);
		else
			end_exchange(c, e, word, ts_ns);
	}
}
