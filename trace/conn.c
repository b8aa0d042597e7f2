/*
 * conn.c -- the exchanges on one connection, and which of its bytes are accounted for.
 *
 * Invariant: uses are sorted by nth.
 */
#include "trace/conn.h"

#include <stdlib.h>
#include <string.h>

#include "trace/tls_finding.h"

void conn_free(struct conn *c)
{
	free(c->uses);
	free(c->ids);
	tls_finding_free(c->tls);
	free(c);
}

/* Room for one more use behind the last. */
static bool conn_reserve_use(struct conn *c)
{
	uint32_t cap = c->use_cap < 64 ? MAX(2 * c->use_cap, 4) : c->use_cap + c->use_cap / 4;
	struct conn_use *grown;

	if (c->use_head + c->use_count < c->use_cap)
		return true;
	if (c->use_head > c->use_count / 4) {
		memmove(c->uses, c->uses + c->use_head, c->use_count * sizeof(*c->uses));
		c->use_head = 0;
		return true;
	}
	grown = realloc(c->uses, cap * sizeof(*grown));
	if (grown == NULL)
		return false;
	c->uses = grown;
	c->use_cap = cap;
	return true;
}

bool conn_add_use(struct conn *c, const struct conn_use *use)
{
	uint32_t i = c->use_count;

	if (!conn_reserve_use(c))
		return false;
	for (; i > 0 && conn_use(c, i - 1)->nth > use->nth; i--)
		*conn_use(c, i) = *conn_use(c, i - 1);
	*conn_use(c, i) = *use;
	c->use_count++;
	c->last_nth = MAX(c->last_nth, use->nth);
	__builtin_prefetch(conn_use(c, c->use_count + 3), 1); /* where the next one will stand */
	return true;
}

void conn_remove_use(struct conn *c, const struct exchange *x)
{
	uint32_t i = 0;

	/* The newest one when its end is told, the oldest when it is given out. */
	if (c->use_count > 0 && conn_use(c, c->use_count - 1)->x == x)
		i = c->use_count - 1;
	while (i < c->use_count && conn_use(c, i)->x != x)
		i++;
	if (i == c->use_count)
		return;
	c->use_count--;
	for (unsigned ours = 0; ours < 2; ours++)
		c->near[ours] -= c->near[ours] > i;
	if (i == 0)
		c->use_head++;
	else
		memmove(conn_use(c, i), conn_use(c, i + 1), (c->use_count - i) * sizeof(*c->uses));
	if (c->use_count == 0)
		c->use_head = 0;
}

const struct conn_use *conn_find_use(const struct conn *c, uint32_t nth, uint64_t id)
{
	uint32_t low = 0, high = c->use_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (conn_use(c, middle)->nth < nth)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < c->use_count && conn_use(c, low)->nth == nth; low++)
		if (conn_use(c, low)->x->id == id)
			return conn_use(c, low);
	return NULL;
}

/* Memory for the ids is a convenience: without it the list is short. */
void conn_note_id(struct conn *c, uint64_t id)
{
	if (c->exchanges < CONN_IDS_MAX && c->exchanges == c->id_cap) {
		uint32_t cap = c->id_cap > 0 ? MIN(4 * c->id_cap, CONN_IDS_MAX) : 4;
		uint64_t *grown = realloc(c->ids, cap * sizeof(*grown));

		if (grown != NULL) {
			c->ids = grown;
			c->id_cap = cap;
		}
	}
	if (c->exchanges < c->id_cap)
		c->ids[c->exchanges] = id;
	c->exchanges++;
}

enum tap_part tap_part_of(enum tap_leg leg, enum part_kind kind)
{
	bool is_client = leg == TAP_CLIENT;

	switch (kind) {
	case PART_REQUEST:
		return is_client ? TAP_PART_CLIENT_REQUEST : TAP_PART_BACKEND_REQUEST;
	case PART_TUNNEL_UP:
		return is_client ? TAP_PART_CLIENT_UP : TAP_PART_BACKEND_UP;
	case PART_TUNNEL_DOWN:
		return is_client ? TAP_PART_CLIENT_DOWN : TAP_PART_BACKEND_DOWN;
	case PART_INTERIM:
	case PART_RESPONSE:
	case PART_KINDS:
		break;
	}
	return is_client ? TAP_PART_CLIENT_RESPONSE : TAP_PART_BACKEND_RESPONSE;
}

/* Is a message or a tunnel open in that direction? */
static bool part_is_open(const struct exchange *x, enum tap_leg leg, bool ours)
{
	bool up = (leg == TAP_BACKEND) == ours;
	unsigned bits = 1U << tap_part_of(leg, up ? PART_REQUEST : PART_RESPONSE) |
			1U << tap_part_of(leg, up ? PART_TUNNEL_UP : PART_TUNNEL_DOWN);

	return (x->open_parts & bits) != 0;
}

uint64_t conn_told_past(const struct conn *c, bool ours)
{
	const struct part_way *way = part_way(c->leg, ours);
	uint64_t past = c->told_past[ours];

	if (c->closed)
		return UINT64_MAX;
	for (uint32_t i = c->use_count; i > 0 && i + 2 > c->use_count; i--) {
		const struct conn_use *u = conn_use(c, i - 1);

		if (u->x->open_parts != 0 && part_is_open(u->x, c->leg, ours))
			return UINT64_MAX;
		for (unsigned k = 0; k < way->count; k++)
			past = MAX(past, byte_range_past(use_range(u, way->kinds[k])));
	}
	return past;
}

void conn_note_told(struct conn *c, const struct leg_record *leg)
{
	for (unsigned ours = 0; ours < 2; ours++) {
		const struct part_way *way = part_way(c->leg, ours);

		for (unsigned k = 0; k < way->count; k++) {
			const struct byte_range *r = leg_range(leg, way->kinds[k]);

			if (!byte_range_exists(r))
				continue;
			c->overlaps = c->overlaps || r->first < c->told_past[ours];
			c->told_past[ours] = MAX(c->told_past[ours], r->past);
		}
	}
}
