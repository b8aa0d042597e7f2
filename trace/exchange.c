/*
 * exchange.c -- an exchange's two forms: whole while it runs, small when it is over.
 *
 * Never loses a value: what does not fit the small form stays whole.
 */
#include "trace/exchange.h"

#include <stdlib.h>
#include <string.h>

#define AT_NEVER INT32_MIN

struct exchange *exchange_new(uint32_t run, uint64_t id)
{
	struct exchange *x = malloc(sizeof(*x)); /* calloc() goes past malloc's cache */

	if (x != NULL)
		*x = (struct exchange){.run = run, .id = id};
	return x;
}

bool exchange_begin(struct exchange *x)
{
	struct exchange_record *whole = malloc(sizeof(*whole));

	x->whole = whole;
	if (whole == NULL)
		return false;
	memset(whole, 0, exchange_record_len(0)); /* tries are written when they are made */
	whole->run = x->run;
	whole->id = x->id;
	whole->client = leg_record_none();
	whole->backend = leg_record_none();
	for (unsigned i = 0; i < MOMENT_COUNT; i++)
		whole->at_us[i] = MOMENT_NEVER;
	return true;
}

void exchange_free(struct exchange *x)
{
	free(x->whole);
	free(x);
}

/* ---- small ----------------------------------------------------------------------------------- */

/* END_WORDS_MAX: there are too many words. */
static unsigned word_of(struct end_words *w, const char *end)
{
	unsigned i = 0;

	while (i < w->count && strcmp(w->text[i], end) != 0)
		i++;
	if (i == w->count && i < END_WORDS_MAX)
		memcpy(w->text[w->count++], end, strlen(end) + 1);
	return i;
}

static bool leg_fits(const struct leg_record *leg)
{
	return !byte_range_exists(&leg->interim) && !byte_range_exists(&leg->tunnel_up) &&
	       !byte_range_exists(&leg->tunnel_down);
}

static bool moments_fit(const int64_t at_us[MOMENT_COUNT])
{
	for (unsigned i = 0; i < MOMENT_COUNT; i++)
		if (at_us[i] != MOMENT_NEVER && (at_us[i] <= INT32_MIN || at_us[i] > INT32_MAX))
			return false;
	return true;
}

static struct exchange_leg small_leg(const struct leg_record *leg)
{
	return (struct exchange_leg){leg->conn, leg->nth, leg->reused, leg->request, leg->response};
}

static bool make_small(struct exchange *x, const struct exchange_record *r, struct end_words *words)
{
	unsigned word;

	if (r->tries_count > 0 || !leg_fits(&r->client) || !leg_fits(&r->backend) ||
	    !moments_fit(r->at_us) || (word = word_of(words, r->end)) == END_WORDS_MAX)
		return false;
	x->word = (uint8_t)word;
	x->attempts = r->attempts;
	x->status = r->status;
	for (unsigned i = 0; i < MOMENT_COUNT; i++)
		x->at_us[i] = r->at_us[i] == MOMENT_NEVER ? AT_NEVER : (int32_t)r->at_us[i];
	x->leg[TAP_CLIENT] = small_leg(&r->client);
	x->leg[TAP_BACKEND] = small_leg(&r->backend);
	return true;
}

bool exchange_close(struct exchange *x, const struct exchange_record *r, struct end_words *words)
{
	size_t len = exchange_record_len(r->tries_count);

	x->ended = true;
	x->open_parts = 0;
	x->start_ns = r->start_ns;
	x->end_ns = exchange_end_ns(r->start_ns, r->at_us);
	free(x->whole);
	x->whole = NULL;
	if (make_small(x, r, words))
		return true;
	x->whole = malloc(len);
	if (x->whole != NULL)
		memcpy(x->whole, r, len);
	return x->whole != NULL;
}

/* ---- and back -------------------------------------------------------------------------------- */

void exchange_room(struct exchange_record *room)
{
	*room = (struct exchange_record){.client = leg_record_none(), .backend = leg_record_none()};
}

static void whole_leg(struct leg_record *to, const struct exchange_leg *leg)
{
	to->conn = leg->conn;
	to->nth = leg->nth;
	to->reused = leg->reused;
	to->request = leg->request;
	to->response = leg->response;
}

const struct exchange_record *exchange_record_of(const struct exchange *x,
						 const struct end_words *words,
						 struct exchange_record *room)
{
	if (x->whole != NULL)
		return x->whole;
	room->id = x->id;
	room->run = x->run;
	room->status = x->status;
	room->attempts = x->attempts;
	room->start_ns = x->start_ns;
	memcpy(room->end, words->text[x->word], sizeof(room->end));
	for (unsigned i = 0; i < MOMENT_COUNT; i++)
		room->at_us[i] = x->at_us[i] == AT_NEVER ? MOMENT_NEVER : x->at_us[i];
	whole_leg(&room->client, &x->leg[TAP_CLIENT]);
	whole_leg(&room->backend, &x->leg[TAP_BACKEND]);
	return room;
}
