/*
 * exchange.c -- the two halves of an exchange, its attempts, and its record.
 *
 * Invariant: a half never moves back, and rec.tries holds every attempt but the current or last.
 */
#include "proxy/exchange.h"

#include <assert.h>
#include <string.h>

uint64_t exchange_id(uint64_t seed, unsigned worker, uint64_t number)
{
	/* A bijection of 64 bits (Stafford's mix 13): distinct inputs give distinct ids. */
	uint64_t z = seed ^ ((uint64_t)worker << 48) ^ number;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

void exchange_begin(struct exchange *x, uint64_t id, uint32_t run, uint64_t start_real_ns,
		    uint64_t start_mono_ns, const struct leg_record *client)
{
	*x = (struct exchange){.why = REASON_DONE, .start_mono_ns = start_mono_ns};
	x->rec.id = id;
	x->rec.run = run;
	x->rec.start_ns = start_real_ns;
	x->rec.client = *client;
	x->rec.backend = leg_record_none();
	for (unsigned i = 0; i < MOMENT_COUNT; i++)
		x->rec.at_us[i] = MOMENT_NEVER;
}

void exchange_set_request(struct exchange *x, enum request_half to)
{
	assert(to >= x->request);
	x->request = to;
}

void exchange_set_response(struct exchange *x, enum response_half to)
{
	assert(to >= x->response);
	x->response = to;
}

void exchange_moment(struct exchange *x, enum exchange_moment m, uint64_t mono_ns)
{
	if (x->rec.at_us[m] == MOMENT_NEVER)
		x->rec.at_us[m] = (int64_t)(mono_ns - x->start_mono_ns) / 1000;
}

void range_settle(struct byte_range *r)
{
	if (r->past <= r->first)
		*r = byte_range_none();
}

static void leg_settle(struct leg_record *l)
{
	range_settle(&l->request);
	range_settle(&l->interim);
	range_settle(&l->response);
	range_settle(&l->tunnel_up);
	range_settle(&l->tunnel_down);
}

void exchange_attempt(struct exchange *x, const struct leg_record *backend)
{
	if (!x->attempt_open)
		x->rec.attempts++;
	x->rec.backend = *backend;
	x->attempt_open = true;
	x->interim_count = 0;
	x->interim_bytes = 0;
	x->rec.at_us[MOMENT_BACKEND_READY] = MOMENT_NEVER;
	x->rec.at_us[MOMENT_BACKEND_REQUEST_END] = MOMENT_NEVER;
	x->rec.at_us[MOMENT_BACKEND_RESPONSE_START] = MOMENT_NEVER;
	x->rec.at_us[MOMENT_BACKEND_RESPONSE_END] = MOMENT_NEVER;
}

bool exchange_may_retry(const struct exchange *x, const struct attempt_facts *f)
{
	if (x->rec.attempts >= EXCHANGE_ATTEMPTS_MAX || x->response != RESPONSE_WAIT ||
	    f->response_any || !f->replayable)
		return false;
	if (!f->connected || !f->sent_any)
		return true;
	return f->idempotent && f->reused;
}

void exchange_word(char out[24], enum reason why)
{
	memset(out, 0, 24);
	strncpy(out, reason_info(why)->word, 23);
}

void exchange_attempt_failed(struct exchange *x, enum reason why)
{
	struct try_record *t;

	assert(x->attempt_open && x->rec.tries_count < ARRAY_LEN(x->rec.tries));
	t = &x->rec.tries[x->rec.tries_count++];
	t->leg = x->rec.backend;
	leg_settle(&t->leg);
	exchange_word(t->end, why);
	x->rec.backend = leg_record_none();
	x->attempt_open = false;
}

uint16_t exchange_fail(struct exchange *x, enum reason why)
{
	if (x->why == REASON_DONE)
		x->why = why;
	if (x->request < REQUEST_DONE)
		exchange_set_request(x, REQUEST_CUT);
	if (x->response != RESPONSE_WAIT) {
		if (x->response != RESPONSE_DONE)
			exchange_set_response(x, RESPONSE_CUT);
		return 0;
	}
	return reason_info(why)->status;
}

void exchange_finish(struct exchange *x)
{
	/* The last attempt got no connection at all: the one before it is the last that counts. */
	if (x->rec.backend.conn == 0 && x->rec.tries_count > 0)
		x->rec.backend = x->rec.tries[--x->rec.tries_count].leg;
	leg_settle(&x->rec.client);
	leg_settle(&x->rec.backend);
	exchange_word(x->rec.end, x->why);
}
