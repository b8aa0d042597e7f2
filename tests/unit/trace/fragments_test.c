/*
 * fragments_test.c -- datagrams out of fragments: any order, twice, overlapping, never complete, and
 * more than there is room for. What tshark makes of the same is in decode_tshark_test.c.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "trace/fragments.h"

#define T0 (1700000000 * NS_PER_S)

/* Fragment [off, off + strlen(text)) of datagram id, at a time; what it completes, or NULL. */
static const char *put_at(struct fragments *f, uint64_t ts_ns, uint32_t id, uint32_t off,
			  const char *text, bool more)
{
	struct fragment_key key = {.id = id, .protocol = 6};
	struct fragment fragment = {.ts_ns = ts_ns,
				    .off = off,
				    .len = (uint32_t)strlen(text),
				    .more = more,
				    .bytes = (const uint8_t *)text};
	static char whole[256];
	const uint8_t *bytes;
	uint32_t len = 0;

	bytes = fragments_add(f, &key, &fragment, &len);
	if (bytes == NULL)
		return NULL;
	cr_assert_lt(len, sizeof(whole));
	memcpy(whole, bytes, len);
	whole[len] = '\0';
	fragments_release(f);
	return whole;
}

static const char *put(struct fragments *f, uint32_t id, uint32_t off, const char *text, bool more)
{
	return put_at(f, T0, id, off, text, more);
}

Test(fragments, in_every_order)
{
	static const struct {
		uint32_t off;
		const char *text;
		bool more;
	} parts[] = {{0, "AAAAAAAA", true}, {8, "BBBBBBBB", true}, {16, "CC", false}};
	static const unsigned orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
					     {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
	struct fragments *f = fragments_new();

	for (unsigned o = 0; o < ARRAY_LEN(orders); o++) {
		for (unsigned i = 0; i < 3; i++) {
			unsigned n = orders[o][i];
			const char *got = put(f, o, parts[n].off, parts[n].text, parts[n].more);

			if (i < 2)
				cr_expect_null(got);
			else
				cr_expect_str_eq(got, "AAAAAAAABBBBBBBBCC");
		}
	}
	cr_expect_eq(fragments_incomplete(f), 0);
	fragments_free(f);
}

Test(fragments, twice_is_once)
{
	struct fragments *f = fragments_new();

	cr_expect_null(put(f, 1, 8, "BBBBBBBB", true));
	cr_expect_null(put(f, 1, 8, "BBBBBBBB", true));
	cr_expect_null(put(f, 1, 16, "C", false));
	cr_expect_null(put(f, 1, 16, "C", false));
	cr_expect_str_eq(put(f, 1, 0, "AAAAAAAA", true), "AAAAAAAABBBBBBBBC");
	/* what comes after it begins another datagram */
	cr_expect_null(put(f, 1, 16, "C", false));
	cr_expect_eq(fragments_incomplete(f), 1);
	fragments_free(f);
}

/* The fragment that begins earlier has the byte; of two that begin alike, the first. */
Test(fragments, overlaps)
{
	struct fragments *f = fragments_new();

	cr_expect_null(put(f, 1, 8, "bbbbbbbbbbbbbbbb", true));  /* to 24 */
	cr_expect_null(put(f, 1, 16, "cccccccccccccccc", true)); /* gives 24 to 32 */
	cr_expect_null(
		put(f, 1, 8, "BBBBBBBBBBBBBBBBBBBBBBBB", true)); /* too late for all but 24 */
	cr_expect_null(put(f, 1, 32, "dd", false));
	cr_expect_str_eq(put(f, 1, 0, "AAAAAAAAAAAA", true), "AAAAAAAAAAAAbbbbbbbbbbbbBBBBBBBBdd");
	fragments_free(f);
}

/* The first tail says where the datagram ends, whatever comes behind it or says otherwise. */
Test(fragments, two_tails)
{
	struct fragments *f = fragments_new();

	cr_expect_null(put(f, 1, 8, "BBBB", false));
	cr_expect_null(put(f, 1, 16, "CCCCCCCC", false));
	cr_expect_str_eq(put(f, 1, 0, "AAAAAAAA", true), "AAAAAAAABBBB");
	fragments_free(f);
}

Test(fragments, of_other_datagrams_are_not_mixed)
{
	struct fragments *f = fragments_new();
	struct fragment_key key = {.id = 1, .protocol = 6}, other = key;
	struct fragment head = {
		.ts_ns = T0, .len = 8, .more = true, .bytes = (const uint8_t *)"AAAAAAAA"};
	struct fragment tail = {.ts_ns = T0, .off = 8, .len = 8, .bytes = head.bytes};
	uint32_t len;

	cr_expect_null(fragments_add(f, &key, &head, &len));
	other.id = 2;
	cr_expect_null(fragments_add(f, &other, &tail, &len));
	other = key;
	other.protocol = 17;
	cr_expect_null(fragments_add(f, &other, &tail, &len));
	other = key;
	other.vlan = 3;
	cr_expect_null(fragments_add(f, &other, &tail, &len));
	other = key;
	other.src.ip[15] = 1;
	cr_expect_null(fragments_add(f, &other, &tail, &len));
	other = key;
	other.dst.ip[15] = 1;
	cr_expect_null(fragments_add(f, &other, &tail, &len));
	cr_expect_not_null(fragments_add(f, &key, &tail, &len));
	cr_expect_eq(fragments_incomplete(f), 5);
	fragments_free(f);
}

Test(fragments, wait_for_a_minute)
{
	struct fragments *f = fragments_new();

	cr_expect_null(put_at(f, T0, 1, 0, "AAAAAAAA", true));
	cr_expect_null(put_at(f, T0, 2, 0, "AAAAAAAA", true));
	cr_expect_str_eq(put_at(f, T0 + 60 * NS_PER_S, 1, 8, "B", false), "AAAAAAAAB");
	cr_expect_null(put_at(f, T0 + 61 * NS_PER_S, 2, 8, "B", false));
	cr_expect_eq(fragments_incomplete(f), 2); /* the head that was given up, and the tail */
	/* a stamp before the first one makes nothing old */
	cr_expect_str_eq(put_at(f, T0, 2, 0, "AAAAAAAA", true), "AAAAAAAAB");
	fragments_free(f);
}

/* Heads of 60 KB without an end: the oldest go, the newest stay, and memory does not grow. */
Test(fragments, are_bounded)
{
	struct fragments *f = fragments_new();
	static uint8_t bytes[60000];
	struct fragment head = {.ts_ns = T0, .len = 60000, .more = true, .bytes = bytes};
	uint32_t len;

	for (uint32_t id = 0; id < 20000; id++) {
		struct fragment_key key = {.id = id, .protocol = 6};

		cr_assert_null(fragments_add(f, &key, &head, &len));
	}
	cr_expect_eq(fragments_incomplete(f), 20000);
	cr_expect_null(put(f, 1, 60000, "B", false)); /* its head is gone */
	for (uint32_t id = 19999; id > 19800; id--) {
		struct fragment_key key = {.id = id, .protocol = 6};
		struct fragment tail = {.ts_ns = T0, .off = 60000, .len = 5, .bytes = bytes};

		cr_assert_not_null(fragments_add(f, &key, &tail, &len), "%u", id);
		cr_expect_eq(len, 60005);
		fragments_release(f);
	}
	fragments_free(f);
}

Test(fragments, longer_than_a_datagram_can_be)
{
	struct fragments *f = fragments_new();

	cr_expect_null(put(f, 1, 65528, "AAAAAAAA", true));
	cr_expect_null(put(f, 1, 65528, "AAAAAAA", false));
	cr_expect_null(put(f, 2, 0, "", false));
	cr_expect_eq(fragments_incomplete(f), 1);
	fragments_free(f);
}
