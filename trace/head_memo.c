/*
 * head_memo.c -- a small cache of heads.
 *
 * Never believes a hash: a head is known again only when all its bytes are the same.
 *
 * Invariant: a slot with len > 0 has the head that its bytes are read as.
 */
#include "trace/head_memo.h"

#include <stdlib.h>
#include <string.h>

#include "common/http_observe.h"

/* Of its length and a few words spread over it: what differs in a head is often a number in it. */
static unsigned slot_of(enum http_kind kind, const char *bytes, size_t len)
{
	uint64_t h = len << 1 | kind, word;

	for (size_t at = 0; at + sizeof(word) <= len; at += len / 8 + 1) {
		memcpy(&word, bytes + at, sizeof(word));
		h = (h ^ word) * 0x9e3779b97f4a7c15ULL;
		h ^= h >> 29;
	}
	return (unsigned)(h >> 32) % HEAD_MEMO_SLOTS;
}

static bool is_known(const struct head_memo_slot *s, enum http_kind kind, const char *bytes,
		     size_t len)
{
	return s->len == len && s->head.kind == kind && memcmp(s->bytes, bytes, len) == 0;
}

static bool read_into(struct head_memo *m, struct http_head *head, enum http_kind kind,
		      const char *bytes, size_t len)
{
	if (!http_observe_head(head, kind, bytes, len))
		return false;
	m->head = head;
	return true;
}

bool head_memo_read(struct head_memo *m, enum http_kind kind, const char *bytes, size_t len)
{
	struct head_memo_slot *s = &m->slots[slot_of(kind, bytes, len)];

	if (len == 0 || len > HEAD_MEMO_BYTES)
		return read_into(m, &m->large, kind, bytes, len);
	if (is_known(s, kind, bytes, len)) {
		m->head = &s->head;
		return true;
	}
	s->len = 0;
	if (s->bytes == NULL && (s->bytes = malloc(HEAD_MEMO_BYTES)) == NULL)
		return read_into(m, &m->large, kind, bytes, len);
	if (!read_into(m, &s->head, kind, bytes, len))
		return false;
	memcpy(s->bytes, bytes, len);
	s->len = (uint32_t)len;
	return true;
}

void head_memo_fini(struct head_memo *m)
{
	http_head_fini(&m->large);
	for (unsigned i = 0; i < HEAD_MEMO_SLOTS; i++) {
		http_head_fini(&m->slots[i].head);
		free(m->slots[i].bytes);
	}
	memset(m, 0, sizeof(*m));
}
