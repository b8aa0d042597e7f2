/*
 * ledger.c -- connections and exchanges as the proxy tells of them.
 *
 * Invariant: an exchange stands in the uses of exactly those known connections that its record
 * names, and uses are sorted by nth.
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
	struct map exchanges; /* run, id */
	struct map alike;     /* hashes of local and peer: the first of the chain */
	struct map locals;    /* of client legs, by hash */
	uint64_t state;
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

void ledger_free(struct ledger *l)
{
	size_t at = 0;
	struct exchange *x;
	struct conn *c;

	if (l == NULL)
		return;
	while ((x = map_next(&l->exchanges, &at)) != NULL)
		free(x);
	at = 0;
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

static struct exchange *exchange_add(struct ledger *l, uint32_t run, uint64_t id)
{
	struct exchange *x = exchange_new(false);
	const struct leg_record none = leg_record_none();

	if (x == NULL)
		return NULL;
	if (!map_put(&l->exchanges, run, id, x)) {
		free(x);
		return NULL;
	}
	x->x.id = id;
	x->x.run = run;
	x->x.client = x->x.backend = none;
	for (unsigned i = 0; i < MOMENT_COUNT; i++)
		x->x.at_us[i] = MOMENT_NEVER;
	return x;
}

/*
 * The same exchange with memory for tries, perhaps somewhere else; it must be linked to no
 * connection. NULL: no memory, x is as it was.
 */
static struct exchange *exchange_with_tries(struct ledger *l, struct exchange *x)
{
	struct exchange *larger;

	if (x->has_tries)
		return x;
	larger = exchange_new(true);
	if (larger == NULL)
		return NULL;
	exchange_copy(larger, x);
	/* The key stands there already: replacing its value needs no memory. */
	if (!map_put(&l->exchanges, x->x.run, x->x.id, larger)) {
		free(larger);
		return NULL;
	}
	free(x);
	return larger;
}

static struct conn *conn_of_try(const struct ledger *l, const struct exchange *x, unsigned i)
{
	return map_get(&l->conns, x->x.run, x->x.tries[i].leg.conn);
}

static void unlink_conn(struct conn *c, const struct exchange *x, bool given_out)
{
	if (c == NULL)
		return;
	conn_remove_use(c, x);
	if (given_out)
		conn_note_id(c, x->x.id);
}

static void unlink_legs(struct ledger *l, struct exchange *x, bool given_out)
{
	unlink_conn(x->conn[TAP_CLIENT], x, given_out);
	for (unsigned i = 0; i < x->x.tries_count; i++)
		unlink_conn(conn_of_try(l, x, i), x, given_out);
	unlink_conn(x->conn[TAP_BACKEND], x, given_out);
	x->conn[TAP_CLIENT] = x->conn[TAP_BACKEND] = NULL;
}

static struct conn *link_leg(struct ledger *l, struct exchange *x, enum tap_leg which,
			     struct leg_record *leg)
{
	struct conn *c = conn_of_leg(l, x->x.run, which, leg);

	if (c == NULL || !conn_add_use(c, x, leg))
		return NULL;
	if (x->ended)
		conn_note_told(c, leg);
	return c;
}

static bool link_legs(struct ledger *l, struct exchange *x)
{
	bool done = true;

	if (x->x.client.conn != 0) {
		x->conn[TAP_CLIENT] = link_leg(l, x, TAP_CLIENT, &x->x.client);
		done = x->conn[TAP_CLIENT] != NULL;
	}
	for (unsigned i = 0; i < x->x.tries_count; i++)
		if (x->x.tries[i].leg.conn != 0)
			done = link_leg(l, x, TAP_BACKEND, &x->x.tries[i].leg) != NULL && done;
	if (x->x.backend.conn == 0)
		return done;
	x->conn[TAP_BACKEND] = link_leg(l, x, TAP_BACKEND, &x->x.backend);
	return x->conn[TAP_BACKEND] != NULL && done;
}

static void exchange_forget(struct ledger *l, struct exchange *x, bool given_out)
{
	unlink_legs(l, x, given_out);
	map_take(&l->exchanges, x->x.run, x->x.id);
	free(x);
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
		if (conn_use(c, i - 1)->x->x.id == id)
			return conn_use(c, i - 1)->x;
	return map_get(&l->exchanges, run, id);
}

void ledger_lose(struct exchange *x)
{
	static const char word[] = "tap-lost";

	if (x->ended)
		return;
	memcpy(x->x.end, word, sizeof(word));
	x->ended = true;
	x->open_parts = 0;
	x->end_ns = exchange_end_ns(x->x.start_ns, x->x.at_us);
}

/* Is it linked to just the connections that its end record names? */
static bool is_linked_as(const struct exchange *x, const struct exchange_record *record)
{
	return x->conn[TAP_CLIENT] != NULL && x->x.client.conn == record->client.conn &&
	       x->x.client.nth == record->client.nth && x->conn[TAP_BACKEND] != NULL &&
	       x->x.backend.conn == record->backend.conn &&
	       x->x.backend.nth == record->backend.nth && x->x.tries_count == 0 &&
	       record->tries_count == 0;
}

struct exchange *ledger_end(struct ledger *l, const struct exchange_record *record)
{
	const struct conn *c = map_get(&l->conns, record->run, record->client.conn);
	struct exchange *x = find_exchange(l, c, record->run, record->id), *roomy;
	bool is_linked;

	if (x == NULL)
		x = exchange_add(l, record->run, record->id);
	if (x == NULL || x->ended)
		return NULL;
	is_linked = is_linked_as(x, record);
	if (!is_linked)
		unlink_legs(l, x, false);
	roomy = record->tries_count > 0 ? exchange_with_tries(l, x) : x;
	if (roomy == NULL) {
		exchange_forget(l, x, false);
		return NULL;
	}
	x = roomy;
	memcpy(&x->x, record, exchange_record_len(record->tries_count));
	x->ended = true;
	x->open_parts = 0;
	x->end_ns = exchange_end_ns(record->start_ns, record->at_us);
	for (unsigned leg = 0; leg < 2 && is_linked; leg++) {
		conn_note_opened(x->conn[leg], leg == TAP_CLIENT ? &x->x.client : &x->x.backend);
		conn_note_told(x->conn[leg], leg == TAP_CLIENT ? &x->x.client : &x->x.backend);
	}
	if (is_linked || link_legs(l, x))
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
	struct try_record *t;

	if (x->x.tries_count == ARRAY_LEN(x->x.tries))
		return;
	t = &x->x.tries[x->x.tries_count++];
	*t = (struct try_record){.leg = x->x.backend};
	x->x.backend.conn = 0;
	x->open_parts &= (uint8_t)~BACKEND_PARTS;
	x->known_parts &= (uint8_t)~BACKEND_PARTS;
}

/* A leg begins: nothing has been linked for it yet. */
static bool link_first(struct ledger *l, struct exchange *x, const struct conn *c,
		       struct leg_record *leg)
{
	x->conn[c->leg] = link_leg(l, x, c->leg, leg);
	return x->conn[c->leg] != NULL;
}

/*
 * The leg of a running exchange that a begin speaks of, linked to its connection. The exchange may
 * move. NULL: no memory.
 */
static struct leg_record *leg_of_begin(struct ledger *l, struct exchange **at, struct conn *c,
				       const struct tap_begin *b)
{
	struct exchange *x = *at;
	struct leg_record *leg = c->leg == TAP_CLIENT ? &x->x.client : &x->x.backend;
	bool is_first = leg->conn == 0;

	if (leg->conn == c->number)
		return leg;
	if (!is_first)
		unlink_legs(l, x, false);
	if (!is_first && c->leg == TAP_BACKEND) {
		x = exchange_with_tries(l, x);
		if (x == NULL)
			return NULL;
		*at = x;
		leg = &x->x.backend;
		backend_becomes_try(x);
	}
	leg_begin(leg, c, b->nth);
	if (c->leg == TAP_BACKEND)
		x->x.attempts = b->attempt;
	if (is_first)
		return link_first(l, x, c, leg) ? leg : NULL;
	return link_legs(l, x) ? leg : NULL;
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
	return b->nth <= c->last_nth ? find_exchange(l, c, run, b->id)
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
		x = exchange_add(l, run, b->id);
	if (x == NULL)
		return false;
	leg = leg_of_begin(l, &x, c, b);
	if (leg == NULL)
		return false;
	if (x->x.start_ns == 0)
		x->x.start_ns = real_ns;
	range_begin(leg, b->part, b->first);
	x->open_parts |= (uint8_t)(1U << b->part);
	return true;
}

/* The running exchange's leg and range that a record speaks of, or NULL. */
static struct byte_range *range_of(struct exchange *x, uint64_t conn, enum tap_part part)
{
	struct leg_record *leg = leg_of(part) == TAP_CLIENT ? &x->x.client : &x->x.backend;

	return x->ended || leg->conn != conn ? NULL : range_in(leg, part);
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
