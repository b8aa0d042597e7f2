/*
 * tls_records_fuzz.c -- any bytes as one direction of a connection, in pieces of any size and order, with
 * gaps and cuts: records are told in order and do not overlap, and how the bytes came makes no
 * difference when all came.
 */
// links: trace
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cursor.h"
#include "trace/tls_records.h"

#define SEEN_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	struct tls_record *at;
	unsigned count;
	uint64_t past;
};

static void on_record(void *arg, const struct tls_record *r)
{
	struct seen *s = arg;

	assert(r->off >= s->past);
	assert(r->content >= TLS_CHANGE_CIPHER_SPEC && r->content <= TLS_APPLICATION_DATA);
	assert(r->len > TLS_RECORD_HEADER && r->len <= TLS_RECORD_HEADER + TLS_RECORD_BODY_MAX);
	assert(r->message_count <= TLS_RECORD_MESSAGES_MAX);
	assert(memchr(r->hello.name, '\0', sizeof(r->hello.name)) != NULL);
	s->past = r->off + (r->is_whole ? r->len : TLS_RECORD_HEADER);
	if (s->count < SEEN_MAX)
		s->at[s->count] = *r;
	s->count += s->count < SEEN_MAX;
}

static void begin(struct tls_records *r, struct seen *s, uint8_t places)
{
	const struct tls_records_calls calls = {.arg = s, .record = on_record};

	s->count = 0;
	s->past = 0;
	tls_records_init(r, &calls);
	for (unsigned i = 0; i < 8; i++)
		if (places & 1U << i)
			(void)!tls_records_begins(r, 64ULL * i);
}

static void finish(struct tls_records *r)
{
	tls_records_end(r);
	assert(tls_records_is_over(r));
	tls_records_fini(r);
}

/* Each piece: where it begins and how long it is, 16 bits each, and how much of it was captured. */
static void in_pieces(struct tls_records *r, struct cursor *plan, const uint8_t *bytes, size_t size)
{
	uint32_t tag = 0;

	while (cursor_left(plan) >= 5) {
		uint16_t first = cursor_be16(plan), most = cursor_be16(plan);
		uint64_t from = MIN(first, size);
		uint32_t len = (uint32_t)MIN(most, size - from);
		uint32_t captured = cursor_u8(plan) % 4 != 0 ? len : len / 2;

		tls_records_add(r, from, len, bytes + from, captured, tag++);
		assert(r->pieces.bytes <= REASSEMBLY_BYTES_MAX);
	}
}

static void check_same_hello(const struct tls_hello *x, const struct tls_hello *y)
{
	assert(strcmp(x->name, y->name) == 0 && x->version == y->version);
	assert(x->is_retry == y->is_retry && x->is_resumed == y->is_resumed);
}

static void check_same(const struct seen *a, const struct seen *b)
{
	assert(a->count == b->count);
	for (unsigned i = 0; i < a->count; i++) {
		const struct tls_record *x = &a->at[i], *y = &b->at[i];

		assert(x->off == y->off && x->len == y->len && x->content == y->content);
		assert(x->is_whole == y->is_whole && x->message_count == y->message_count);
		assert(memcmp(x->messages, y->messages, x->message_count) == 0);
		assert(x->has_more_messages == y->has_more_messages);
		assert(x->is_alert_clear == y->is_alert_clear && x->alert == y->alert);
		assert(x->alert_level == y->alert_level && x->has_hello == y->has_hello);
		check_same_hello(&x->hello, &y->hello);
	}
}

/* Backwards, `step` bytes at a time. */
static void all_in_steps(struct tls_records *r, const uint8_t *bytes, size_t size, size_t step)
{
	size_t past = size;

	while (past > 0) {
		size_t len = MIN(step, past);

		past -= len;
		tls_records_add(r, past, (uint32_t)len, bytes + past, (uint32_t)len, 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct tls_record at[2][SEEN_MAX];
	struct seen s = {.at = at[0]}, whole = {.at = at[1]};
	struct cursor in = cursor_of(data, size), plan;
	uint8_t places = cursor_u8(&in);
	struct tls_records r;

	plan = cursor_sub(&in, 5UL * cursor_u8(&in));
	if (in.failed)
		return 0;
	begin(&r, &s, places);
	in_pieces(&r, &plan, in.at, cursor_left(&in));
	finish(&r);
	begin(&r, &whole, places);
	tls_records_add(&r, 0, (uint32_t)cursor_left(&in), in.at, (uint32_t)cursor_left(&in), 0);
	finish(&r);
	begin(&r, &s, places);
	all_in_steps(&r, in.at, cursor_left(&in), MAX(cursor_left(&in) / 1000, 1UL + places % 7));
	finish(&r);
	check_same(&whole, &s);
	return 0;
}
