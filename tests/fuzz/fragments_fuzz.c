/*
 * fragments_fuzz.c -- any fragments of a few datagrams, against a model that knows of each byte which
 * fragment it is from.
 *
 * Input, per fragment: a byte for the datagram and the tail, one for the offset in units of 8 bytes,
 * one for the length, one for what the bytes are.
 */
// links: trace
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cursor.h"
#include "trace/fragments.h"

#define DATAGRAMS 4
#define ROOM      2400
#define NOWHERE   UINT32_MAX

/* Of each byte: its value, and where its fragment began. */
struct model {
	uint8_t value[ROOM];
	uint32_t began[ROOM];
	bool has_tail;
	uint32_t len;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void clear(struct model *m)
{
	memset(m, 0, sizeof(*m));
	memset(m->began, 0xff, sizeof(m->began));
}

static void put(struct model *m, const struct fragment *f)
{
	for (uint32_t i = f->off; i < f->off + f->len; i++) {
		if (m->began[i] <= f->off)
			continue;
		m->began[i] = f->off;
		m->value[i] = f->bytes[i - f->off];
	}
	if (f->more || m->has_tail || f->len == 0)
		return;
	m->has_tail = true;
	m->len = f->off + f->len;
}

static bool is_whole(const struct model *m)
{
	for (uint32_t i = 0; i < m->len; i++)
		if (m->began[i] == NOWHERE)
			return false;
	return m->has_tail;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct model models[DATAGRAMS];
	struct fragments *f = fragments_new();
	struct cursor c = cursor_of(data, size);

	assert(f != NULL);
	for (unsigned i = 0; i < DATAGRAMS; i++)
		clear(&models[i]);
	while (cursor_left(&c) >= 4) {
		uint8_t which = cursor_u8(&c), bytes[256];
		struct fragment_key key = {.id = which % DATAGRAMS, .protocol = 6};
		struct model *m = &models[key.id];
		struct fragment fragment = {.ts_ns = 1, .more = which & 0x80, .bytes = bytes};
		const uint8_t *whole;
		uint32_t len = 0;

		fragment.off = cursor_u8(&c) * 8U;
		fragment.len = cursor_u8(&c);
		memset(bytes, cursor_u8(&c), sizeof(bytes));
		bytes[0] = which;
		put(m, &fragment);
		whole = fragments_add(f, &key, &fragment, &len);
		assert((whole != NULL) == (fragment.len > 0 && is_whole(m)));
		if (whole != NULL) {
			assert(len == m->len && memcmp(whole, m->value, len) == 0);
			clear(m);
		}
		if (which & 0x40)
			fragments_release(f);
	}
	fragments_free(f);
	return 0;
}
