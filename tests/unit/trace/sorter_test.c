/*
 * sorter_test.c -- order, lateness, and that bytes survive the wait.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "trace/sorter.h"

static struct packet packet_of(uint64_t ts_ns, uint32_t iface, const void *bytes, uint32_t len)
{
	return (struct packet){.ts_ns = ts_ns,
			       .iface = iface,
			       .cap_len = len,
			       .wire_len = len + 7,
			       .link = LINK_SLL2,
			       .direction = PACKET_OUTBOUND,
			       .dropped_before = 3,
			       .bytes = bytes};
}

static void put(struct sorter *s, uint64_t ts_ns, uint32_t iface, const char *text)
{
	struct packet p = packet_of(ts_ns, iface, text, (uint32_t)strlen(text));

	cr_assert(sorter_put(s, &p));
}

/* The text of the next packet up to until_ns, or "-". */
static const char *take(struct sorter *s, uint64_t until_ns)
{
	static char text[64];
	struct packet p;

	if (!sorter_take(s, until_ns, &p))
		return "-";
	memcpy(text, p.bytes, p.cap_len);
	text[p.cap_len] = '\0';
	return text;
}

Test(sorter, by_stamp_interface_and_arrival)
{
	struct sorter *s = sorter_new();

	cr_assert_not_null(s);
	put(s, 20, 0, "c");
	put(s, 30, 0, "f");
	put(s, 10, 1, "a");
	put(s, 20, 1, "d");
	put(s, 20, 1, "e");
	put(s, 20, 0, "c2"); /* out of its interface's order */
	put(s, 15, 0, "b");
	cr_expect_str_eq(take(s, 9), "-");
	cr_expect_str_eq(take(s, 10), "a");
	cr_expect_str_eq(take(s, 20), "b");
	cr_expect_str_eq(take(s, 20), "c");
	cr_expect_str_eq(take(s, 20), "c2");
	cr_expect_str_eq(take(s, 20), "d");
	cr_expect_str_eq(take(s, 20), "e");
	cr_expect_str_eq(take(s, 29), "-");
	cr_expect_str_eq(take(s, UINT64_MAX), "f");
	cr_expect_str_eq(take(s, UINT64_MAX), "-");
	cr_expect_eq(sorter_late(s), 0);
	cr_expect_eq(sorter_bytes(s), 0);
	sorter_free(s);
}

Test(sorter, fields_are_kept)
{
	struct sorter *s = sorter_new();
	struct packet p;

	put(s, 5, 2, "abc");
	cr_expect_gt(sorter_bytes(s), 3);
	cr_assert(sorter_take(s, 5, &p));
	cr_expect_eq(p.ts_ns, 5);
	cr_expect_eq(p.iface, 2);
	cr_expect_eq(p.cap_len, 3);
	cr_expect_eq(p.wire_len, 10);
	cr_expect_eq(p.link, LINK_SLL2);
	cr_expect_eq(p.direction, PACKET_OUTBOUND);
	cr_expect_eq(p.dropped_before, 3);
	cr_expect_eq(p.frame, 0);
	cr_expect_arr_eq(p.bytes, "abc", 3);
	sorter_free(s);
}

Test(sorter, late_ones_come_at_once)
{
	struct sorter *s = sorter_new();

	put(s, 100, 0, "a");
	cr_expect_str_eq(take(s, 100), "a");
	put(s, 200, 0, "d");
	put(s, 99, 1, "b");
	put(s, 50, 1, "c");
	put(s, 100, 1, "on time");
	cr_expect_eq(sorter_late(s), 2);
	cr_expect_str_eq(take(s, 0), "b");
	cr_expect_str_eq(take(s, 0), "c");
	cr_expect_str_eq(take(s, 0), "-");
	cr_expect_str_eq(take(s, 300), "on time");
	cr_expect_str_eq(take(s, 300), "d");
	sorter_free(s);
}

struct model {
	uint64_t ts_ns;
	uint32_t iface;
	uint32_t arrival;
	uint32_t len;
};

static int compare(const void *a, const void *b)
{
	const struct model *x = a, *y = b;

	if (x->ts_ns != y->ts_ns)
		return x->ts_ns < y->ts_ns ? -1 : 1;
	if (x->iface != y->iface)
		return x->iface < y->iface ? -1 : 1;
	return x->arrival < y->arrival ? -1 : 1;
}

/* Blocks of several interfaces with stamps that jitter, some of them huge: as sorted by qsort(). */
Test(sorter, agrees_with_qsort)
{
	enum { COUNT = 20000 };
	static struct model model[COUNT];
	static uint8_t bytes[700000];
	struct sorter *s = sorter_new();
	struct packet p;

	srand(99);
	for (uint32_t i = 0; i < COUNT; i++) {
		uint32_t jitter = rand() % 50 == 0 ? (uint32_t)rand() % 2000 : 0;
		uint32_t iface = i / 37 % 5;

		if (rand() % 3 == 0)
			iface += 62; /* some are beyond those that have a queue */
		model[i] = (struct model){5000 + i * 3 / 2 - jitter, iface, i,
					  4 + (uint32_t)rand() % 1500};
		if (i % 1000 == 999)
			model[i].len = sizeof(bytes);
		memset(bytes, (int)(i & 0xff), model[i].len);
		memcpy(bytes, &i, 4);
		p = packet_of(model[i].ts_ns, iface, bytes, model[i].len);
		cr_assert(sorter_put(s, &p));
	}
	qsort(model, COUNT, sizeof(model[0]), compare);
	for (uint32_t i = 0; i < COUNT; i++) {
		uint32_t arrival;

		cr_assert(sorter_take(s, UINT64_MAX, &p));
		memcpy(&arrival, p.bytes, 4);
		cr_assert_eq(arrival, model[i].arrival, "packet %u", i);
		cr_assert_eq(p.cap_len, model[i].len);
		cr_assert_eq(p.ts_ns, model[i].ts_ns);
		if (p.cap_len > 5)
			cr_assert_eq(p.bytes[p.cap_len - 1], arrival & 0xff);
	}
	cr_expect(!sorter_take(s, UINT64_MAX, &p));
	cr_expect_eq(sorter_bytes(s), 0);
	sorter_free(s);
}

/* Put and taken in turns: the order of what comes out never goes back. */
Test(sorter, steady_stream)
{
	struct sorter *s = sorter_new();
	uint64_t last = 0, taken = 0;
	uint8_t bytes[200] = {0};
	struct packet p;

	srand(7);
	for (uint64_t i = 1; i <= 200000; i++) {
		p = packet_of(i * 100 - (uint64_t)(rand() % 3000) % (i * 100),
			      (uint32_t)(i / 10 % 3), bytes, sizeof(bytes));
		cr_assert(sorter_put(s, &p));
		while (sorter_take(s, i < 40 ? 0 : i * 100 - 4000, &p)) {
			cr_assert_geq(p.ts_ns, last);
			last = p.ts_ns;
			taken++;
		}
	}
	while (sorter_take(s, UINT64_MAX, &p))
		taken++;
	cr_expect_eq(taken, 200000);
	cr_expect_eq(sorter_late(s), 0);
	sorter_free(s);
}

Test(sorter, freed_with_packets_in_it)
{
	struct sorter *s = sorter_new();
	struct packet p;

	for (unsigned i = 0; i < 1000; i++)
		put(s, 1000 - i, i % 70, "waiting");
	cr_assert(sorter_take(s, UINT64_MAX, &p));
	sorter_free(s);
	sorter_free(NULL);
}

Test(sorter, packet_without_bytes)
{
	struct packet p = packet_of(1, 0, NULL, 0);
	struct sorter *s = sorter_new();

	cr_assert(sorter_put(s, &p));
	cr_expect(sorter_take(s, 1, &p));
	cr_expect_eq(p.cap_len, 0);
	sorter_free(s);
}
