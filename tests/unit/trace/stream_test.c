/*
 * stream_test.c -- what a stream says about ranges, and the same against a model that keeps a record
 * of every single byte.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "trace/stream.h"

#define MS NS_PER_MS

static struct stream *anchored(uint32_t isn)
{
	struct stream *s = stream_new();

	cr_assert_not_null(s);
	stream_anchor(s, isn);
	return s;
}

/* Frame n has the stamp n ms. */
static struct stream_place add(struct stream *s, uint32_t frame, uint32_t seq, uint32_t len)
{
	struct stream_place place;

	cr_assert(stream_add(s, frame, frame * MS, seq, len, &place));
	return place;
}

static uint64_t ack(struct stream *s, uint32_t frame, uint32_t number)
{
	uint64_t from, past;

	cr_assert(stream_ack(s, frame, frame * MS, number, &from, &past));
	return past - from;
}

static struct stream_range query_until(struct stream *s, uint64_t first, uint64_t past,
				       uint64_t until_ns)
{
	struct byte_range range = {first, past};
	struct stream_range out = {0};

	stream_query(s, &range, until_ns, &out);
	return out;
}

static struct stream_range query(struct stream *s, uint64_t first, uint64_t past)
{
	return query_until(s, first, past, UINT64_MAX);
}

#define expect_frames(list, ...)                                                         \
	do {                                                                             \
		const uint32_t want_[] = {__VA_ARGS__};                                  \
		cr_expect_eq((list).count, ARRAY_LEN(want_), "%u frames", (list).count); \
		if ((list).count == ARRAY_LEN(want_))                                    \
			cr_expect_arr_eq((list).frames, want_, sizeof(want_));           \
	} while (0)

Test(stream, in_order_and_acknowledged)
{
	struct stream *s = anchored(999);
	struct stream_place p;
	struct stream_range r;

	p = add(s, 4, 1000, 100);
	cr_expect(p.known);
	cr_expect_eq(p.off, 0);
	cr_expect_eq(p.new_bytes, 100);
	cr_expect_eq(p.old_bytes, 0);
	p = add(s, 5, 1100, 50);
	cr_expect_eq(p.off, 100);
	cr_expect_eq(ack(s, 6, 1100), 100);
	cr_expect_eq(ack(s, 7, 1100), 0);
	cr_expect_eq(ack(s, 8, 1150), 50);
	cr_expect_eq(ack(s, 9, 1120), 0);

	r = query(s, 0, 150);
	cr_expect(r.known);
	expect_frames(r.carried, 4, 5);
	cr_expect_eq(r.repeated.count, 0);
	cr_expect_eq(r.repeated_bytes, 0);
	cr_expect_eq(r.missing_bytes, 0);
	cr_expect_eq(r.first_frame, 4);
	cr_expect_eq(r.first_ns, 4 * MS);
	cr_expect_eq(r.last_frame, 5);
	cr_expect_eq(r.last_ns, 5 * MS);
	cr_expect_eq(r.acked_frame, 8);
	cr_expect_eq(r.acked_ns, 8 * MS);
	stream_range_fini(&r);

	r = query(s, 20, 100); /* inside the first segment */
	expect_frames(r.carried, 4);
	cr_expect_eq(r.first_frame, 4);
	cr_expect_eq(r.last_frame, 4);
	cr_expect_eq(r.acked_frame, 6);
	stream_range_fini(&r);

	cr_expect_eq(stream_acked_ns(s, 100), 6 * MS);
	cr_expect_eq(stream_acked_ns(s, 101), 8 * MS);
	cr_expect_eq(stream_acked_ns(s, 151), 0);
	cr_expect_eq(stream_acked_ns(s, 0), 0);
	stream_free(s);
}

Test(stream, segment_with_old_and_new_bytes)
{
	struct stream *s = anchored(0xffffffff);
	struct stream_place p;
	struct stream_range r;

	add(s, 1, 0, 100);
	add(s, 2, 200, 100);
	p = add(s, 3, 50, 200); /* 50 old, the hole of 100, 50 old */
	cr_expect_eq(p.off, 50);
	cr_expect_eq(p.new_bytes, 100);
	cr_expect_eq(p.old_bytes, 100);

	r = query(s, 0, 300);
	expect_frames(r.carried, 1, 2, 3);
	expect_frames(r.repeated, 3);
	cr_expect_eq(r.repeated_bytes, 100);
	cr_expect_eq(r.missing_bytes, 0);
	stream_range_fini(&r);

	r = query(s, 60, 70); /* only repeated there */
	expect_frames(r.carried, 1);
	expect_frames(r.repeated, 3);
	cr_expect_eq(r.repeated_bytes, 10);
	stream_range_fini(&r);

	r = query(s, 110, 190); /* only new there */
	expect_frames(r.carried, 3);
	cr_expect_eq(r.repeated.count, 0);
	stream_range_fini(&r);
	stream_free(s);
}

Test(stream, out_of_order_frames_come_sorted)
{
	struct stream *s = anchored(0);
	struct stream_range r;

	add(s, 10, 201, 100);
	add(s, 11, 1, 100);
	add(s, 12, 101, 100);
	r = query(s, 0, 300);
	expect_frames(r.carried, 10, 11, 12);
	cr_expect_eq(r.first_frame, 11);
	cr_expect_eq(r.last_frame, 10);
	cr_expect_eq(r.missing_bytes, 0);
	stream_range_fini(&r);
	stream_free(s);
}

Test(stream, nothing_is_claimed_about_what_was_not_seen)
{
	struct stream *s = anchored(0);
	struct stream_range r;

	add(s, 1, 1, 100);
	add(s, 3, 201, 50);
	ack(s, 4, 301);
	r = query(s, 50, 300);
	expect_frames(r.carried, 1, 3);
	cr_expect_eq(r.missing_bytes, 150);
	cr_expect_eq(r.first_frame, 1);
	cr_expect_eq(r.last_frame, 0);
	cr_expect_eq(r.last_ns, 0);
	cr_expect_eq(r.acked_frame, 4);
	stream_range_fini(&r);
	r = query(s, 500, 600);
	cr_expect(r.known);
	cr_expect_eq(r.missing_bytes, 100);
	cr_expect_eq(r.carried.count, 0);
	cr_expect_eq(r.acked_frame, 0);
	stream_range_fini(&r);
	stream_free(s);
}

Test(stream, only_what_was_stamped_in_time)
{
	struct stream *s = anchored(0);
	struct stream_range r;

	add(s, 1, 1, 100);
	add(s, 2, 101, 100);
	add(s, 3, 1, 100);
	ack(s, 4, 201);
	r = query_until(s, 0, 200, 1 * MS);
	expect_frames(r.carried, 1);
	cr_expect_eq(r.missing_bytes, 100);
	cr_expect_eq(r.repeated_bytes, 0);
	cr_expect_eq(r.acked_frame, 0);
	stream_range_fini(&r);
	r = query_until(s, 0, 200, 3 * MS);
	cr_expect_eq(r.missing_bytes, 0);
	cr_expect_eq(r.repeated_bytes, 100);
	cr_expect_eq(r.acked_frame, 0);
	stream_range_fini(&r);
	r = query_until(s, 0, 200, 4 * MS);
	cr_expect_eq(r.acked_frame, 4);
	stream_range_fini(&r);
	stream_free(s);
}

/* The SYN is captured after data and ACKs: everything finds its place. */
Test(stream, anchor_comes_late)
{
	struct stream *s = stream_new();
	struct stream_place p;
	struct stream_range r;

	p = add(s, 1, 1101, 100);
	cr_expect(!p.known);
	cr_expect_eq(p.new_bytes, 100);
	cr_expect_eq(ack(s, 2, 1201), 0);
	p = add(s, 3, 1001, 100);
	cr_expect_eq(p.new_bytes, 100);
	p = add(s, 4, 1101, 20);
	cr_expect_eq(p.old_bytes, 20);
	r = query(s, 0, 200);
	cr_expect(!r.known);
	cr_expect(!stream_anchored(s));
	cr_expect_eq(stream_acked_ns(s, 1), 0);

	stream_anchor(s, 1000);
	cr_expect(stream_anchored(s));
	stream_anchor(s, 77); /* once only */
	r = query(s, 0, 200);
	cr_expect(r.known);
	expect_frames(r.carried, 1, 3);
	expect_frames(r.repeated, 4);
	cr_expect_eq(r.missing_bytes, 0);
	cr_expect_eq(r.first_frame, 3);
	cr_expect_eq(r.acked_frame, 2);
	stream_range_fini(&r);
	p = add(s, 5, 1201, 10);
	cr_expect(p.known);
	cr_expect_eq(p.off, 200);
	stream_free(s);
}

/* Attached in mid-connection: a place beyond 2^32 is told. */
Test(stream, anchor_at_a_later_place)
{
	uint64_t off = (5ULL << 32) + 123;
	struct stream *s = stream_new();
	struct stream_range r;

	add(s, 1, 5000, 100);
	add(s, 2, 5100, 100);
	ack(s, 3, 5200);
	stream_anchor_at(s, 5100, off, 3 * MS);
	cr_expect(stream_anchored(s) && stream_is_late(s));
	r = query(s, off - 100, off + 100);
	cr_expect(r.known);
	expect_frames(r.carried, 1, 2);
	cr_expect_eq(r.missing_bytes, 0);
	cr_expect_eq(r.acked_frame, 3);
	cr_expect_eq(r.first_frame, 1);
	cr_expect_eq(r.last_frame, 2);
	stream_range_fini(&r);
	stream_free(s);
}

/* Known from a moment on, and to another: what was asked for before or afterwards is not. */
Test(stream, anchor_for_a_time)
{
	struct stream *s = stream_new();
	struct stream_range r = {0};
	const struct byte_range range = {100, 200};

	add(s, 1, 5000, 100);
	stream_anchor_at(s, 5000, 100, 1000);
	stream_unanchor(s, 2000);
	cr_expect(!stream_anchored(s));
	for (unsigned i = 0; i < 4; i++) {
		static const uint64_t moments[] = {999, 1000, 1999, 2000};

		stream_query(s, &range, moments[i], &r);
		cr_expect_eq(r.known, i == 1 || i == 2);
		cr_expect_eq(stream_anchored_at(s, moments[i]), r.known);
		stream_range_fini(&r);
		r = (struct stream_range){0};
	}
	stream_anchor_at(s, 5000, 100, 3000); /* not again */
	stream_anchor(s, 4000);
	cr_expect(!stream_anchored(s) && !stream_anchored_at(s, 3000));
	stream_free(s);
}

/* The first ACK that was captured is not the first that covers what came before the capture. */
Test(stream, acks_before_the_capture)
{
	struct stream *s = stream_new();
	struct stream_range r;

	cr_expect_eq(ack(s, 1, 5000), 0);
	add(s, 2, 5000, 100);
	stream_anchor_at(s, 5000, 700, 2 * MS);
	cr_expect_eq(ack(s, 3, 5100), 100);
	r = query(s, 600, 700); /* all of it came before */
	cr_expect(r.known);
	cr_expect_eq(r.missing_bytes, 100);
	cr_expect_eq(r.acked_frame, 0);
	stream_range_fini(&r);
	r = query(s, 600, 800); /* its end was seen */
	cr_expect_eq(r.missing_bytes, 100);
	cr_expect_eq(r.acked_frame, 3);
	stream_range_fini(&r);
	stream_free(s);

	s = stream_new(); /* no ACK was seen when it was anchored */
	add(s, 1, 5000, 100);
	stream_anchor_at(s, 5000, 700, 1 * MS);
	cr_expect_eq(ack(s, 2, 5050), 0);
	cr_expect_eq(ack(s, 3, 5100), 50);
	r = query(s, 600, 700);
	cr_expect_eq(r.acked_frame, 0);
	stream_range_fini(&r);
	r = query(s, 700, 800);
	cr_expect_eq(r.acked_frame, 3);
	stream_range_fini(&r);
	stream_free(s);
}

/* A stream whose place nobody knows keeps a bounded past, and says nothing about the rest. */
Test(stream, no_place_for_long)
{
	struct stream *s = stream_new();
	struct stream_range r;
	size_t most = 0;

	for (uint32_t i = 0; i < 200000; i++) {
		add(s, i + 1, 10 * i, 10);
		ack(s, i + 1, 10 * i);
		most = MAX(most, stream_memory(s));
	}
	cr_expect_lt(most, 4U << 20);
	stream_anchor_at(s, 1999990, 1999990 + 50, 200000 * MS);
	r = query(s, 2000030, 2000050);
	cr_expect(r.known);
	cr_expect_eq(r.missing_bytes, 0);
	stream_range_fini(&r);
	r = query(s, 50, 2000050);
	cr_expect(!r.known);
	stream_range_fini(&r);
	stream_free(s);
}

Test(stream, what_precedes_the_first_byte_is_none)
{
	struct stream *s = anchored(1000);
	struct stream_place p;
	struct stream_range r;

	p = add(s, 1, 1000, 1); /* a keep-alive before any data */
	cr_expect(p.known);
	cr_expect_eq(p.off, 0);
	cr_expect_eq(p.new_bytes, 0);
	cr_expect_eq(p.old_bytes, 0);
	p = add(s, 2, 996, 10); /* reaches over the beginning */
	cr_expect_eq(p.off, 0);
	cr_expect_eq(p.new_bytes, 5);
	r = query(s, 0, 6);
	expect_frames(r.carried, 2);
	cr_expect_eq(r.missing_bytes, 1);
	stream_range_fini(&r);
	stream_free(s);
}

Test(stream, keep_alive_carries_nothing_unseen)
{
	struct stream *s = anchored(0);
	struct stream_place p;
	struct stream_range r;

	add(s, 1, 1, 100);
	ack(s, 2, 201); /* [100, 200) was not captured */
	p = add(s, 3, 200, 1);
	cr_expect_eq(p.new_bytes, 0);
	cr_expect_eq(p.old_bytes, 0);
	r = query(s, 0, 200);
	cr_expect_eq(r.missing_bytes, 100);
	expect_frames(r.carried, 1);
	stream_range_fini(&r);

	/* of a byte that was seen it is a repetition, and it adds none */
	p = add(s, 4, 201, 50);
	ack(s, 5, 251);
	p = add(s, 6, 250, 1);
	cr_expect_eq(p.new_bytes, 0);
	cr_expect_eq(p.old_bytes, 1);

	/* a segment of one byte that was captured after its ACK is data all the same */
	ack(s, 7, 252);
	p = add(s, 8, 251, 1);
	cr_expect_eq(p.new_bytes, 1);
	stream_free(s);
}

Test(stream, ack_of_the_fin_is_no_byte)
{
	struct stream *s = anchored(0);
	struct stream_range r;

	add(s, 1, 1, 100);
	ack(s, 2, 51);
	stream_fin(s, 101);
	cr_expect_eq(ack(s, 3, 102), 50);
	cr_expect_eq(ack(s, 4, 102), 0);
	r = query(s, 0, 100);
	cr_expect_eq(r.acked_frame, 3);
	stream_range_fini(&r);
	stream_free(s);

	s = anchored(0); /* the ACK of data and FIN was captured before the FIN */
	add(s, 1, 1, 100);
	cr_expect_eq(ack(s, 2, 102), 101);
	stream_fin(s, 101);
	cr_expect_eq(stream_acked_ns(s, 100), 2 * MS);
	cr_expect_eq(stream_acked_ns(s, 101), 0);
	stream_free(s);

	s = anchored(0); /* only the FIN was acknowledged in between */
	add(s, 1, 1, 100);
	ack(s, 2, 101);
	ack(s, 3, 102);
	stream_fin(s, 101);
	cr_expect_eq(stream_acked_ns(s, 100), 2 * MS);
	cr_expect_eq(stream_acked_ns(s, 101), 0);
	cr_expect_eq(ack(s, 4, 102), 0);
	stream_free(s);
}

Test(stream, data_behind_a_fin_refutes_it)
{
	struct stream *s = anchored(0);

	add(s, 1, 1, 100);
	stream_fin(s, 101);
	add(s, 2, 101, 100);
	cr_expect_eq(ack(s, 3, 201), 200);
	stream_free(s);
}

Test(stream, has_sent)
{
	struct stream *s = anchored(1000);

	cr_expect(stream_has_sent(s, 1001));
	cr_expect(!stream_has_sent(s, 1002));
	add(s, 1, 1001, 10);
	cr_expect(stream_has_sent(s, 1011));
	cr_expect(!stream_has_sent(s, 1012));
	stream_fin(s, 1011);
	cr_expect(stream_has_sent(s, 1012));
	cr_expect(!stream_has_sent(s, 1013));
	stream_free(s);
}

/* 20 GiB in segments of 1 MiB from an ISN near the wrap, forgotten on the way: bounded and exact. */
Test(stream, many_wraps_with_bounded_memory)
{
	uint32_t isn = 0xfffffffe, seq = isn + 1, len = 1 << 20;
	struct stream *s = anchored(isn);
	uint64_t off = 0;
	size_t most = 0;

	for (uint32_t i = 0; i < 20 * 1024; i++) {
		struct stream_place p = add(s, 2 * i + 1, seq, len);

		cr_assert_eq(p.off, off);
		cr_assert_eq(p.new_bytes, len);
		seq += len;
		off += len;
		cr_assert_eq(ack(s, 2 * i + 2, seq), len);
		if (i % 64 == 63) {
			struct stream_range r = query(s, off - len, off);

			expect_frames(r.carried, 2 * i + 1);
			cr_assert_eq(r.acked_frame, 2 * i + 2);
			stream_range_fini(&r);
			stream_forget(s, off - 8 * len);
		}
		most = MAX(most, stream_memory(s));
	}
	cr_expect_lt(most, 64 * 1024, "%zu bytes", most);
	stream_free(s);
}

/* A big exchange leaves no big memory behind. */
Test(stream, memory_follows_what_is_kept)
{
	struct stream *s = anchored(0);

	for (uint32_t i = 0; i < 200000; i++)
		add(s, i + 1, 1 + i * 1000, 1000);
	cr_expect_gt(stream_memory(s), 200000 * 24);
	for (uint64_t off = 0; off <= 200000000; off += 1000000)
		stream_forget(s, off);
	cr_expect_lt(stream_memory(s), 64 * 1024, "%zu bytes", stream_memory(s));
	/* what comes again of the forgotten is old */
	cr_expect_eq(add(s, 200001, 1, 1000).old_bytes, 1000);
	stream_free(s);
}

/* ---- against a model ---- */

#define MODEL_BYTES  3000
#define MODEL_FRAMES 400

struct model_byte {
	uint32_t first;               /* frame, 0: not seen */
	uint32_t again[MODEL_FRAMES]; /* frames */
	uint32_t again_count;
	uint32_t acked;
};

static struct model_byte model[MODEL_BYTES];

static bool listed(const struct frame_list *l, uint32_t frame)
{
	for (uint32_t i = 0; i < l->count; i++)
		if (l->frames[i] == frame)
			return true;
	return false;
}

static bool ascending(const struct frame_list *l)
{
	for (uint32_t i = 1; i < l->count; i++)
		if (l->frames[i - 1] >= l->frames[i])
			return false;
	return true;
}

static void compare(struct stream *s, uint32_t first, uint32_t past, uint32_t until_frame)
{
	struct stream_range r = query_until(s, first, past, until_frame * MS);
	static bool carried[MODEL_FRAMES + 1], repeated[MODEL_FRAMES + 1];
	uint32_t carried_count = 0, repeated_count = 0, missing = 0, again = 0, acked;

	memset(carried, 0, sizeof(carried));
	memset(repeated, 0, sizeof(repeated));
	for (uint32_t i = first; i < past; i++) {
		const struct model_byte *b = &model[i];

		if (b->first != 0 && b->first <= until_frame)
			carried[b->first] = true;
		else
			missing++;
		for (uint32_t k = 0; k < b->again_count; k++) {
			if (b->again[k] > until_frame)
				continue;
			repeated[b->again[k]] = true;
			again++;
		}
	}
	for (uint32_t f = 1; f <= MODEL_FRAMES; f++) {
		carried_count += carried[f];
		repeated_count += repeated[f];
		cr_assert_eq(listed(&r.carried, f), carried[f]);
		cr_assert_eq(listed(&r.repeated, f), repeated[f]);
	}
	cr_assert_eq(r.carried.count, carried_count);
	cr_assert_eq(r.repeated.count, repeated_count);
	cr_assert(ascending(&r.carried) && ascending(&r.repeated));
	cr_assert_eq(r.missing_bytes, missing);
	cr_assert_eq(r.repeated_bytes, again);
	cr_assert_eq(r.first_frame, model[first].first <= until_frame ? model[first].first : 0);
	cr_assert_eq(r.last_frame,
		     model[past - 1].first <= until_frame ? model[past - 1].first : 0);
	acked = model[past - 1].acked <= until_frame ? model[past - 1].acked : 0;
	cr_assert_eq(r.acked_frame, acked);
	cr_assert_eq(r.acked_ns, acked * MS);
	stream_range_fini(&r);
}

static void model_segment(struct stream *s, uint32_t frame, uint32_t isn, bool known)
{
	uint32_t off = (uint32_t)(rand() % MODEL_BYTES), len = 2 + (uint32_t)(rand() % 300);
	uint32_t new_bytes = 0, old_bytes = 0;
	struct stream_place p;

	len = MIN(len, MODEL_BYTES - off);
	if (len < 2)
		return;
	for (uint32_t i = off; i < off + len; i++) {
		struct model_byte *b = &model[i];

		if (b->first == 0) {
			b->first = frame;
			new_bytes++;
		} else {
			b->again[b->again_count++] = frame;
			old_bytes++;
		}
	}
	p = add(s, frame, isn + 1 + off, len);
	cr_assert_eq(p.new_bytes, new_bytes);
	cr_assert_eq(p.old_bytes, old_bytes);
	cr_assert_eq(p.known, known);
	cr_assert_eq(p.off, known ? off : 0);
}

static void model_ack(struct stream *s, uint32_t frame, uint32_t isn)
{
	uint32_t past = (uint32_t)(rand() % (MODEL_BYTES + 1)), newly = 0;

	for (uint32_t i = 0; i < past; i++) {
		if (model[i].acked != 0)
			continue;
		model[i].acked = frame;
		newly++;
	}
	cr_assert_eq(ack(s, frame, isn + 1 + past), stream_anchored(s) ? newly : 0);
}

/* Random segments and ACKs, anchored before, in the middle or at the end. */
Test(stream, agrees_with_a_model_of_every_byte)
{
	static const uint32_t isns[] = {0, 77, 0xffffff00, 0xfffffffe, 0x7ffffff0};

	srand(4242);
	for (unsigned round = 0; round < 60; round++) {
		uint32_t isn = isns[round % ARRAY_LEN(isns)];
		uint32_t anchor_at = round % 3 * MODEL_FRAMES / 2;
		uint32_t frames = 20 + (uint32_t)(rand() % (MODEL_FRAMES - 20));
		struct stream *s = stream_new();

		memset(model, 0, sizeof(model));
		for (uint32_t f = 1; f <= frames; f++) {
			if (f > anchor_at && !stream_anchored(s))
				stream_anchor(s, isn);
			if (rand() % 5 == 0)
				model_ack(s, f, isn);
			else
				model_segment(s, f, isn, stream_anchored(s));
		}
		if (!stream_anchored(s))
			stream_anchor(s, isn);
		for (unsigned i = 0; i < 40; i++) {
			uint32_t first = (uint32_t)(rand() % MODEL_BYTES);
			uint32_t past = first + 1 + (uint32_t)rand() % (MODEL_BYTES - first);

			compare(s, first, past, i % 2 ? frames : (uint32_t)rand() % frames);
		}
		stream_free(s);
	}
}

Test(frame_list, sorted_and_unique)
{
	struct frame_list l = {0};

	for (uint32_t i = 0; i < 100; i++)
		cr_assert(frame_list_add(&l, 1 + i * 37 % 50));
	cr_expect_eq(l.count, 50);
	for (uint32_t i = 0; i < l.count; i++)
		cr_expect_eq(l.frames[i], i + 1);
	frame_list_fini(&l);
	cr_expect_null(l.frames);
	cr_expect_eq(l.count, 0);
}
