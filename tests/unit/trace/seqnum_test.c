/*
 * seqnum_test.c -- comparisons and 64-bit offsets around the wraps.
 */
#include <criterion/criterion.h>

#include "trace/seqnum.h"

Test(seqnum, order_wraps)
{
	cr_expect(seq_before(1, 2));
	cr_expect(!seq_before(2, 2));
	cr_expect(!seq_after(2, 2));
	cr_expect(seq_after(3, 2));
	cr_expect(seq_before(0xfffffff0, 5));
	cr_expect(seq_after(5, 0xfffffff0));
	cr_expect_eq(seq_diff(5, 0xfffffff0), 21);
	cr_expect_eq(seq_diff(0xfffffff0, 5), -21);
	cr_expect(seq_after(0x7fffffff, 0));
	cr_expect(seq_before(0x80000001, 0));
}

Test(seqnum, nearest_offset)
{
	/* at the beginning, also one byte before it */
	cr_expect_eq(seq_to_off(1000, 1000, 0), 0);
	cr_expect_eq(seq_to_off(999, 1000, 0), -1);
	cr_expect_eq(seq_to_off(1500, 1000, 0), 500);
	/* the base near the wrap of sequence numbers */
	cr_expect_eq(seq_to_off(4, 0xfffffffe, 0), 6);
	/* in the third round, a little before and after where we are */
	cr_expect_eq(seq_to_off(1000 + 7, 1000, (2ULL << 32) + 100), (2LL << 32) + 7);
	cr_expect_eq(seq_to_off(1000 + 200, 1000, (2ULL << 32) + 100), (2LL << 32) + 200);
	cr_expect_eq(seq_to_off(999, 1000, (2ULL << 32) + 100), (2LL << 32) - 1);
	/* every base and place agrees with seq = base + off mod 2^32 */
	for (uint64_t off = 0; off < 20ULL << 32; off += 0x123456789) {
		uint32_t base = (uint32_t)(off * 2654435761U), seq = base + (uint32_t)off;

		cr_expect_eq(seq_to_off(seq, base, off + 0x7fffffff), (int64_t)off);
		if (off >= 0x7fffffff)
			cr_expect_eq(seq_to_off(seq, base, off - 0x7fffffff), (int64_t)off);
	}
}
