/*
 * ledger.c -- connections and exchanges as the proxy tells of them.
 *
 * Invariant: an exchange stands in the uses of exactly those known connections that its record
 * names, and uses are sorted by nth. By its id it is found while it runs; one that is over, only when
 * it is linked to neither of its legs' connections (is_mapped).
 */
#include "trace/ledger.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "trace/tls_finding.h"

#define BACKEND_PARTS                                                       \
	(1U << TAP_PART_BACKEND_REQUEST | 1U << TAP_PART_BACKEND_RESPONSE | \
	 1U << TAP_PART_BACKEND_UP | 1U << TAP_PART_BACKEND_DOWN)

struct ledger {
	struct ledger_calls calls;
	struct map conns;     /* run, number */
	struct map exchanges; /* run, id; those that are mapped */
	struct map alike;     /* hashes of local and peer: the first of the chain */
	struct map locals;    /* of client legs, by hash */
	uint64_t state;
	struct end_words words;
};

/* Any pointer that is not NULL: `locals` is a set. */
static char present;

struct ledger *ledger_new(const struct ledger_calls *calls)
{
	struct ledger *l = calloc(1, sizeof(*l));

	if (l != NULL)
		l->calls = *calls;
	return l;
}

/* Of the uses of an exchange that is not mapped all but one forget it. */
static void leave_one_use(const struct conn *c)
{
	for (uint32_t i = 0; i < c->use_count; i++) {
		const struct exchange *x = conn_use(c, i)->x;

		if (x->is_mapped || x->conn[x->conn[TAP_CLIENT] == NULL] != c)
			conn_use(c, i)->x = NULL;
	}
}

static void free_exchanges(struct ledger *l)
{
	size_t at = 0;
	struct exchange *x;
	struct conn *c;

	while ((c = map_next(&l->conns, &at)) != NULL)
		leave_one_use(c);
	at = 0;
	while ((c = map_next(&l->conns, &at)) != NULL)
		for (uint32_t i = 0; i < c->use_count; i++)
			if (conn_use(c, i)->x != NULL)
				exchange_free(conn_use(c, i)->x);
	at = 0;
	while ((x = map_next(&l->exchanges, &at)) != NULL)
		exchange_free(x);
}

void ledger_free(struct ledger *l)
{
	size_t at = 0;
	struct conn *c;

	if (l == NULL)
		return;
	free_exchanges(l);
	while ((c = map_next(&l->conns, &at)) != NULL)
		conn_free(c);
	map_fini(&l->conns);
	map_fini(&l->exchanges);
	map_fini(&l->alike);
	map_fini(&l->locals);
	free(l);
}

/* ---- connections ----------------------------------------------------------------------------- */

struct conn *ledger_conn(const struct ledger *l, uint32_t run, uint64_t number)
{
	return map_get(&l->conns, run, number);
}

struct conn *ledger_between(const struct ledger *l, const struct addr *local,
			    const struct addr *peer)
{
	struct conn *c = map_get(&l->alike, map_mix_addr(local), map_mix_addr(peer));

	if (c != NULL && (!addr_equal(&c->local, local) || !addr_equal(&c->peer, peer)))
		return NULL;
	return c;
}

bool ledger_is_listener(const struct ledger *l, const struct addr *local)
{
	return map_get(&l->locals, 0, map_mix_addr(local)) != NULL;
}

static bool conn_index(struct ledger *l, struct conn *c)
{
	uint64_t local = map_mix_addr(&c->local);
	uint64_t peer = map_mix_addr(&c->peer);

	c->next_alike = map_get(&l->alike, local, peer);
	if (c->leg == TAP_CLIENT && !map_put(&l->locals, 0, local, &present))
		return false;
	if (!map_put(&l->conns, c->run, c->number, c))
		return false;
	if (map_put(&l->alike, local, peer, c))
		return true;
	map_take(&l->conns, c->run, c->number);
	return false;
}

static struct conn *conn_add(struct ledger *l, uint32_t run, enum tap_leg leg, uint64_t number,
			     const struct addr *local, const struct addr *peer, uint64_t opened_ns)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->run = run;
	c->leg = leg;
	c->number = number;
	c->local = *local;
	c->peer = *peer;
	c->opened_ns = opened_ns;
	if (!conn_index(l, c)) {
		free(c);
		return NULL;
	}
	l->state++;
	l->calls.opened(l->calls.arg, c);
	return c;
}

void ledger_drop_conn(struct ledger *l, struct conn *c)
{
	uint64_t local = map_mix_addr(&c->local);
	uint64_t peer = map_mix_addr(&c->peer);
	struct conn *first = map_get(&l->alike, local, peer);

	assert(c->use_count == 0);
	map_take(&l->conns, c->run, c->number);
	if (first == c && c->next_alike == NULL) {
		map_take(&l->alike, local, peer);
	} else if (first == c) {
		/* The key stands there already: replacing its value needs no memory. */
		if (!map_put(&l->alike, local, peer, c->next_alike))
			map_take(&l->alike, local, peer);
	} else {
		for (; first != NULL; first = first->next_alike)
			if (first->next_alike == c)
				first->next_alike = c->next_alike;
	}
	conn_free(c);
}

/* The connection of a leg; what an earlier record did not say of it is noted. */
static struct conn *conn_of_leg(struct ledger *l, uint32_t run, enum tap_leg which,
				const struct leg_record *leg)
{
	struct conn *c = map_get(&l->conns, run, leg->conn);

	if (c == NULL)
		return conn_add(l, run, which, leg->conn, &leg->local, &leg->peer, leg->opened_ns);
	conn_note_opened(c, leg);
	return c;
}

static enum tap_leg leg_of(enum tap_part part)
{
	switch (part) {
	case TAP_PART_CLIENT_REQUEST:
	case TAP_PART_CLIENT_RESPONSE:
	case TAP_PART_CLIENT_UP:
	case TAP_PART_CLIENT_DOWN:
		return TAP_CLIENT;
	default:
		return TAP_BACKEND;
	}
}

/* ---- exchanges ------------------------------------------------------------------------------- */

/* One that runs, or nothing is known of yet: it is found by its id. */
static bool exchange_map(struct ledger *l, struct exchange *x)
{
	x->is_mapped = map_put(&l->exchanges, x->run, x->id, x);
	return x->is_mapped;
}

static void exchange_unmap(struct ledger *l, struct exchange *x)
{
	if (x->is_mapped)
		map_take(&l->exchanges, x->run, x->id);
	x->is_mapped = false;
}

static struct exchange *exchange_add_running(struct ledger *l, uint32_t run, uint64_t id)
{
	struct exchange *x = exchange_new(run, id);

	if (x == NULL)
		return NULL;
	if (exchange_begin(x) && exchange_map(l, x))
		return x;
	exchange_free(x);
	return NULL;
}

static void unlink_conn(struct conn *c, const struct exchange *x, bool given_out)
{
	if (c == NULL)
		return;
	conn_remove_use(c, x);
	if (given_out)
		conn_note_id(c, x->id);
}

static void unlink_legs(struct ledger *l, struct exchange *x, bool given_out)
{
	const struct exchange_record *r = x->whole;

	unlink_conn(x->conn[TAP_CLIENT], x, given_out);
	for (unsigned i = 0; r != NULL && i < r->tries_count; i++)
		unlink_conn(map_get(&l->conns, x->run, r->tries[i].leg.conn), x, given_out);
	unlink_conn(x->conn[TAP_BACKEND], x, given_out);
	x->conn[TAP_CLIENT] = x->conn[TAP_BACKEND] = NULL;
}

/* leg is the one of x's that `which` says. */
static struct conn *link_leg(struct ledger *l, struct exchange *x, unsigned which,
			     const struct leg_record *leg)
{
	struct conn *c =
		conn_of_leg(l, x->run, which == TAP_CLIENT ? TAP_CLIENT : TAP_BACKEND, leg);
	const struct conn_use use = {x, leg->nth, which};

	if (c == NULL || !conn_add_use(c, &use))
		return NULL;
	if (x->ended)
		conn_note_told(c, leg);
	return c;
}

/* r is what is known of x. */
static bool link_legs(struct ledger *l, struct exchange *x, const struct exchange_record *r)
{
	bool done = true;

	if (r->client.conn != 0) {
		x->conn[TAP_CLIENT] = link_leg(l, x, TAP_CLIENT, &r->client);
		done = x->conn[TAP_CLIENT] != NULL;
	}
	for (unsigned i = 0; i < r->tries_count; i++)
		if (r->tries[i].leg.conn != 0)
			done = link_leg(l, x, EXCHANGE_TRY + i, &r->tries[i].leg) != NULL && done;
	if (r->backend.conn == 0)
		return done;
	x->conn[TAP_BACKEND] = link_leg(l, x, TAP_BACKEND, &r->backend);
	return x->conn[TAP_BACKEND] != NULL && done;
}

static void exchange_forget(struct ledger *l, struct exchange *x, bool given_out)
{
	unlink_legs(l, x, given_out);
	exchange_unmap(l, x);
	exchange_free(x);
}

void ledger_give_out(struct ledger *l, struct exchange *x)
{
	exchange_forget(l, x, true);
}

/* By the connection that it is on: one of the last there, mostly. */
static struct exchange *find_exchange(const struct ledger *l, const struct conn *c, uint32_t run,
				      uint64_t id)
{
	for (uint32_t i = c != NULL ? c->use_count : 0; i > 0 && i + 2 > c->use_count; i--)
		if (conn_use(c, i - 1)->x->id == id)
			return conn_use(c, i - 1)->x;
	return map_get(&l->exchanges, run, id);
}

/* The same, and those that are over: nth is its place on c. */
static struct exchange *find_any(const struct ledger *l, const struct conn *c, uint32_t run,
				 uint64_t id, uint32_t nth)
{
	struct exchange *x = find_exchange(l, c, run, id);
	const struct conn_use *use;

	if (x != NULL || c == NULL || nth > c->last_nth)
		return x;
	use = conn_find_use(c, nth, id);
	return use != NULL ? use->x : NULL;
}

const struct exchange_record *ledger_record(const struct ledger *l, const struct exchange *x,
					    struct exchange_record *room)
{
	return exchange_record_of(x, &l->words, room);
}

void ledger_lose(struct exchange *x)
{
	static const char word[] = "tap-lost";

	if (x->ended)
		return;
	memcpy(x->whole->end, word, sizeof(word));
	x->ended = true;
	x->open_parts = 0;
	x->end_ns = exchange_end_ns(x->start_ns, x->whole->at_us);
}

/* Is it linked to just the connections that its end record names? */
static bool is_linked_as(const struct exchange *x, const struct exchange_record *record)
{
	const struct exchange_record *r = x->whole;

	return r != NULL && x->conn[TAP_CLIENT] != NULL && r->client.conn == record->client.conn &&
	       r->client.nth == record->client.nth && x->conn[TAP_BACKEND] != NULL &&
	       r->backend.conn == record->backend.conn && r->backend.nth == record->backend.nth &&
	       r->tries_count == 0 && record->tries_count == 0;
}

static void note_end(struct conn *c, const struct leg_record *leg)
{
	conn_note_opened(c, leg);
	conn_note_told(c, leg);
}

/* The record is all there is to say of x. False: no memory. */
static bool end_as(struct ledger *l, struct exchange *x, const struct exchange_record *record)
{
	bool is_linked = is_linked_as(x, record);

	if (!is_linked)
		unlink_legs(l, x, false);
	if (!exchange_close(x, record, &l->words))
		return false;
	if (is_linked) {
		note_end(x->conn[TAP_CLIENT], &record->client);
		note_end(x->conn[TAP_BACKEND], &record->backend);
	} else if (!link_legs(l, x, record)) {
		return false;
	}
	if (x->conn[TAP_CLIENT] == NULL && x->conn[TAP_BACKEND] == NULL)
		return x->is_mapped || exchange_map(l, x);
	exchange_unmap(l, x);
	return true;
}

struct exchange *ledger_end(struct ledger *l, const struct exchange_record *record)
{
	const struct conn *c = map_get(&l->conns, record->run, record->client.conn);
	struct exchange *x = find_any(l, c, record->run, record->id, record->client.nth);

	if (x == NULL)
		x = exchange_new(record->run, record->id);
	if (x == NULL || x->ended)
		return NULL;
	if (end_as(l, x, record))
		return x;
	exchange_forget(l, x, false);
	return NULL;
}

/* ---- the tap's records ----------------------------------------------------------------------- */

bool ledger_open(struct ledger *l, uint32_t run, const struct tap_open *open)
{
	struct conn *c = map_get(&l->conns, run, open->conn);

	if (c == NULL)
		c = conn_add(l, run, open->leg == TAP_CLIENT ? TAP_CLIENT : TAP_BACKEND, open->conn,
			     &open->local, &open->peer, open->opened_ns);
	if (c == NULL)
		return false;
	c->told_past[true] = MAX(c->told_past[true], open->sent_off);
	c->told_past[false] = MAX(c->told_past[false], open->read_off);
	return true;
}

bool ledger_tls(struct ledger *l, uint32_t run, uint64_t conn, const struct tls_marks *marks)
{
	struct conn *c = map_get(&l->conns, run, conn);

	if (c == NULL || c->tls != NULL)
		return true;
	c->tls = tls_finding_new(marks);
	if (c->tls == NULL)
		return false;
	for (unsigned i = 0; i < TLS_MARK_COUNT; i++) {
		bool ours = tls_mark_is_ours(c->leg, i);

		c->told_past[ours] = MAX(c->told_past[ours], byte_range_past(&marks->at[i]));
	}
	return true;
}

void ledger_shared(struct ledger *l, uint32_t run, const struct tap_shared *s)
{
	struct conn *c = map_get(&l->conns, run, s->conn);

	if (c == NULL)
		return;
	c->untold_off = s->off == UINT64_MAX ? 0 : s->off + 1;
	c->overlaps = true;
}

void ledger_sent(struct ledger *l, uint32_t run, uint64_t conn, uint64_t past)
{
	struct conn *c = map_get(&l->conns, run, conn);

	if (c != NULL)
		c->told_past[true] = MAX(c->told_past[true], past);
}

struct conn *ledger_close(struct ledger *l, uint32_t run, const struct tap_close *close)
{
	struct conn *c = map_get(&l->conns, run, close->conn);

	if (c == NULL)
		return NULL;
	c->told_past[true] = MAX(c->told_past[true], close->sent_off);
	c->told_past[false] = MAX(c->told_past[false], close->read_off);
	c->closed = true;
	return c;
}

static void leg_begin(struct leg_record *leg, const struct conn *c, uint32_t nth)
{
	*leg = (struct leg_record){.conn = c->number,
				   .nth = nth,
				   .reused = nth > 1,
				   .opened_ns = c->opened_ns,
				   .local = c->local,
				   .peer = c->peer,
				   .request = byte_range_none(),
				   .interim = byte_range_none(),
				   .response = byte_range_none(),
				   .tunnel_up = byte_range_none(),
				   .tunnel_down = byte_range_none()};
}

/* Another attempt began: the one before it becomes a try. */
static void backend_becomes_try(struct exchange *x)
{
	struct exchange_record *r = x->whole;
	struct try_record *t;

	if (r->tries_count == ARRAY_LEN(r->tries))
		return;
	t = &r->tries[r->tries_count++];
	*t = (struct try_record){.leg = r->backend};
	r->backend.conn = 0;
	x->open_parts &= (uint8_t)~BACKEND_PARTS;
	x->known_parts &= (uint8_t)~BACKEND_PARTS;
}

/* A leg begins: nothing has been linked for it yet. */
static bool link_first(struct ledger *l, struct exchange *x, const struct conn *c,
		       const struct leg_record *leg)
{
	x->conn[c->leg] = link_leg(l, x, c->leg, leg);
	return x->conn[c->leg] != NULL;
}

static struct leg_record *running_leg(struct exchange *x, enum tap_leg which)
{
	return which == TAP_CLIENT ? &x->whole->client : &x->whole->backend;
}

/*
 * The leg of a running exchange that a begin speaks of, linked to its connection. NULL: no memory.
 */
static struct leg_record *leg_of_begin(struct ledger *l, struct exchange *x, const struct conn *c,
				       const struct tap_begin *b)
{
	struct leg_record *leg = running_leg(x, c->leg);
	bool is_first = leg->conn == 0;

	if (leg->conn == c->number)
		return leg;
	if (!is_first)
		unlink_legs(l, x, false);
	if (!is_first && c->leg == TAP_BACKEND)
		backend_becomes_try(x);
	leg_begin(leg, c, b->nth);
	if (c->leg == TAP_BACKEND)
		x->whole->attempts = b->attempt;
	if (is_first)
		return link_first(l, x, c, leg) ? leg : NULL;
	return link_legs(l, x, x->whole) ? leg : NULL;
}

static bool part_is_response(enum tap_part part)
{
	return part == TAP_PART_BACKEND_RESPONSE || part == TAP_PART_CLIENT_RESPONSE;
}

static struct byte_range *range_in(struct leg_record *leg, enum tap_part part)
{
	switch (part) {
	case TAP_PART_CLIENT_UP:
	case TAP_PART_BACKEND_UP:
		return &leg->tunnel_up;
	case TAP_PART_CLIENT_DOWN:
	case TAP_PART_BACKEND_DOWN:
		return &leg->tunnel_down;
	default:
		return part_is_response(part) ? &leg->response : &leg->request;
	}
}

/* A second begin of a response: what came before it was interim. */
static void range_begin(struct leg_record *leg, enum tap_part part, uint64_t first)
{
	struct byte_range *r = range_in(leg, part);

	if (part_is_response(part) && byte_range_exists(r) && r->first < first) {
		if (!byte_range_exists(&leg->interim))
			leg->interim.first = r->first;
		leg->interim.past = first;
	}
	*r = (struct byte_range){first, first};
}

/*
 * The exchange that a begin on c is about; NULL: it is new. Of what opens a new place on its
 * connection another leg may have told before, but none of the exchanges there is it.
 */
static struct exchange *find_begun(const struct ledger *l, const struct conn *c, uint32_t run,
				   const struct tap_begin *b)
{
	return b->nth <= c->last_nth ? find_any(l, c, run, b->id, b->nth)
				     : map_get(&l->exchanges, run, b->id);
}

bool ledger_begin(struct ledger *l, uint32_t run, const struct tap_begin *b, uint64_t real_ns)
{
	struct conn *c = map_get(&l->conns, run, b->conn);
	struct exchange *x = c != NULL ? find_begun(l, c, run, b) : NULL;
	struct leg_record *leg;

	if (c == NULL || (x != NULL && x->ended))
		return true;
	if (x == NULL)
		x = exchange_add_running(l, run, b->id);
	if (x == NULL)
		return false;
	leg = leg_of_begin(l, x, c, b);
	if (leg == NULL)
		return false;
	if (x->start_ns == 0)
		x->start_ns = x->whole->start_ns = real_ns;
	range_begin(leg, b->part, b->first);
	x->open_parts |= (uint8_t)(1U << b->part);
	return true;
}

/* The running exchange's leg and range that a record speaks of, or NULL. */
static struct byte_range *range_of(struct exchange *x, uint64_t conn, enum tap_part part)
{
	struct leg_record *leg = x->ended ? NULL : running_leg(x, leg_of(part));

	return leg == NULL || leg->conn != conn ? NULL : range_in(leg, part);
}

void ledger_progress(struct ledger *l, uint32_t run, const struct tap_progress *p)
{
	struct exchange *x = map_get(&l->exchanges, run, p->id);
	struct byte_range *r = x != NULL ? range_of(x, p->conn, p->part) : NULL;

	if (r != NULL)
		*r = (struct byte_range){p->first, MAX(byte_range_past(r), p->past)};
}

void ledger_part(struct ledger *l, uint32_t run, const struct tap_part_known *p)
{
	struct exchange *x = map_get(&l->exchanges, run, p->id);
	struct byte_range *r = x != NULL ? range_of(x, p->conn, p->part) : NULL;

	if (r == NULL)
		return;
	*r = (struct byte_range){p->first, p->past};
	x->open_parts &= (uint8_t) ~(1U << p->part);
	x->known_parts |= (uint8_t)(1U << p->part);
}

/* ---- everything ------------------------------------------------------------------------------ */

struct conn *ledger_next_conn(const struct ledger *l, size_t *at)
{
	return map_next(&l->conns, at);
}

struct exchange *ledger_next_exchange(const struct ledger *l, size_t *at)
{
	return map_next(&l->exchanges, at);
}

uint64_t ledger_state(const struct ledger *l)
{
	return l->state + 1; /* 0 is nobody's */
}
