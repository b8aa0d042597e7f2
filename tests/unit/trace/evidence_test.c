/*
 * evidence_test.c -- segments of a dump against what a record names.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/trace/show_sample.h"
#include "trace/evidence.h"
#include "trace/ladder.h"

struct found {
	struct flow_row flow;
	struct evidence_wish wishes[LADDER_WISHES];
	unsigned count;
	struct evidence e;
	char err[EVIDENCE_ERROR_MAX];
};

static void look(struct found *f, const struct sample *s, const char *line)
{
	char path[128], err[ROW_ERROR_MAX] = "";

	*f = (struct found){0};
	sample_path(s, "dump.pcapng", path);
	cr_assert(flow_row_parse(line, strlen(line), &f->flow, err), "%s", err);
	f->count = ladder_wishes(&f->flow, f->wishes);
	cr_assert(evidence_read(path, f->wishes, f->count, &f->e, f->err), "%s", f->err);
}

static void found_fini(struct found *f)
{
	evidence_fini(&f->e);
	flow_row_fini(&f->flow);
}

static const struct evidence_row *row_of(const struct found *f, uint32_t frame)
{
	const struct evidence_row *row = evidence_find(&f->e, frame);

	cr_assert_not_null(row, "frame %u", frame);
	return row;
}

/* Item n of a frame's row. */
static const struct evidence_item *item_of(const struct found *f, uint32_t frame, unsigned n)
{
	const struct evidence_row *row = row_of(f, frame);

	cr_assert_lt(n, row->item_count, "frame %u has %u items", frame, row->item_count);
	return &f->e.items[row->first_item + n];
}

static void expect_bytes(const struct found *f, uint32_t frame, unsigned n, enum evidence_kind kind,
			 enum part_kind part, uint64_t from, uint64_t past)
{
	const struct evidence_item *item = item_of(f, frame, n);

	cr_expect_eq(item->kind, kind, "frame %u, item %u: kind %d", frame, n, item->kind);
	cr_expect_eq(item->part, part, "frame %u, item %u: part %d", frame, n, item->part);
	cr_expect(item->placed && item->from == from && item->past == past,
		  "frame %u, item %u: %llu-%llu", frame, n, (unsigned long long)item->from,
		  (unsigned long long)item->past);
}

Test(evidence, an_ordinary_exchange)
{
	struct sample s;
	struct found f;
	const struct evidence_row *row;

	sample_make(&s);
	look(&f, &s, SAMPLE_FLOW);
	cr_expect_str_empty(f.err);
	cr_expect_eq(f.e.row_count, 17); /* the RST of frame 18 came later */
	cr_expect(f.wishes[0].found && f.wishes[1].found);
	cr_expect_eq(f.wishes[0].initiator.port, 40112);
	cr_expect_eq(f.wishes[1].acceptor.port, 8080);

	cr_expect_eq(item_of(&f, 1, 0)->kind, EVIDENCE_SYN);
	cr_expect_eq(item_of(&f, 2, 0)->kind, EVIDENCE_SYN_ACK);
	cr_expect_eq(item_of(&f, 3, 0)->kind, EVIDENCE_HANDSHAKE_ACK);
	expect_bytes(&f, 4, 0, EVIDENCE_DATA, PART_REQUEST, 0, 311);
	expect_bytes(&f, 5, 0, EVIDENCE_ACK, PART_REQUEST, 0, 311);
	expect_bytes(&f, 10, 0, EVIDENCE_DATA, PART_RESPONSE, 0, 582);
	expect_bytes(&f, 10, 1, EVIDENCE_ACK, PART_REQUEST, 0, 350);
	cr_expect_not(item_of(&f, 12, 0)->again);
	cr_expect(item_of(&f, 13, 0)->again && !item_of(&f, 13, 0)->also_new);
	cr_expect_eq(item_of(&f, 15, 0)->kind, EVIDENCE_FIN);
	cr_expect_eq(item_of(&f, 16, 0)->kind, EVIDENCE_FIN);
	cr_expect_eq(item_of(&f, 16, 1)->kind, EVIDENCE_FIN_ACK);
	cr_expect_eq(item_of(&f, 17, 0)->kind, EVIDENCE_FIN_ACK);

	row = row_of(&f, 1);
	cr_expect(row->which == TAP_CLIENT && !row->by_proxy && !row->has_ack && row->seq == 0);
	cr_expect_eq(row->ts_ns, SAMPLE_NS);
	row = row_of(&f, 10);
	cr_expect(row->which == TAP_BACKEND && !row->by_proxy);
	cr_expect(row->seq == 1 && row->len == 582 && row->has_ack && row->ack == 351);
	/* its sequence numbers wrap: ISN 0xffffff00 */
	row = row_of(&f, 16);
	cr_expect(row->by_proxy && row->seq == 601 && row->ack == 313);
	found_fini(&f);
	sample_remove(&s);
}

#define PART(seq, len, frames, acked) \
	"{\"seq\":" seq ",\"len\":" len ",\"frames\":[" frames "],\"acked_in\":" acked "}"

/* Two pipelined requests of 100 bytes in one segment of 150 and one of 50; the second is looked at. */
static const char pipelined[] = "{\"id\":\"2\",\"client\":{\"conn\":1,\"nth\":2,\"request\":" PART(
	"101", "100", "4,5", "6") ",\"response\":" PART("41", "40", "8", "9") "}}";

Test(evidence, only_its_own_bytes_of_a_shared_segment)
{
	struct sample s;
	struct found f;

	sample_begin(&s);
	sample_segment(&s, 40112, 8585, SYN, 99, 0, 0);
	sample_segment(&s, 8585, 40112, SYN | ACK, 499, 100, 0);
	sample_segment(&s, 40112, 8585, ACK, 100, 500, 0);
	sample_segment(&s, 40112, 8585, PSH, 100, 500, 150);
	sample_segment(&s, 40112, 8585, PSH, 250, 500, 50);
	sample_segment(&s, 8585, 40112, ACK, 500, 300, 0);
	sample_segment(&s, 8585, 40112, PSH, 500, 300, 40);
	sample_segment(&s, 8585, 40112, PSH, 540, 300, 40);
	sample_segment(&s, 40112, 8585, ACK, 300, 580, 0);
	sample_close_dump(&s);
	look(&f, &s, pipelined);
	cr_expect_eq(f.e.row_count, 5);
	expect_bytes(&f, 4, 0, EVIDENCE_DATA, PART_REQUEST, 0, 50);
	expect_bytes(&f, 5, 0, EVIDENCE_DATA, PART_REQUEST, 50, 100);
	expect_bytes(&f, 6, 0, EVIDENCE_ACK, PART_REQUEST, 0, 100);
	expect_bytes(&f, 8, 0, EVIDENCE_DATA, PART_RESPONSE, 0, 40);
	expect_bytes(&f, 9, 0, EVIDENCE_ACK, PART_RESPONSE, 0, 40);
	cr_expect_null(evidence_find(&f.e, 7));
	found_fini(&f);
	sample_remove(&s);
}

/* The 4-tuple is used again: the second connection is meant, and its numbers are its own. */
Test(evidence, the_right_one_of_two_connections)
{
	static const char line[] =
		"{\"id\":\"3\",\"client\":{\"conn\":2,\"nth\":1,\"handshake\":{\"frames\":[7,8,9]},"
		"\"request\":" PART("1", "20", "10", "11") "}}";
	struct sample s;
	struct found f;

	sample_begin(&s);
	sample_segment(&s, 40112, 8585, SYN, 99, 0, 0);
	sample_segment(&s, 8585, 40112, SYN | ACK, 499, 100, 0);
	sample_segment(&s, 40112, 8585, ACK, 100, 500, 0);
	sample_segment(&s, 40112, 8585, PSH, 100, 500, 20);
	sample_segment(&s, 8585, 40112, ACK, 500, 120, 0);
	sample_segment(&s, 8585, 40112, TCP_RST, 500, 0, 0);
	sample_segment(&s, 40112, 8585, SYN, 70000, 0, 0);
	sample_segment(&s, 8585, 40112, SYN | ACK, 80000, 70001, 0);
	sample_segment(&s, 40112, 8585, ACK, 70001, 80001, 0);
	sample_segment(&s, 40112, 8585, PSH, 70001, 80001, 20);
	sample_segment(&s, 8585, 40112, ACK, 80001, 70021, 0);
	sample_close_dump(&s);
	look(&f, &s, line);
	cr_expect_eq(f.e.row_count, 5);
	cr_expect_eq(f.e.rows[0].frame, 7);
	cr_expect_eq(row_of(&f, 10)->seq, 1);
	cr_expect_eq(row_of(&f, 11)->ack, 21);
	found_fini(&f);
	sample_remove(&s);
}

/* The capture begins within a connection: only the record can say what a frame did. */
Test(evidence, a_direction_whose_start_is_not_known)
{
	struct sample s;
	struct found f;

	sample_begin(&s);
	sample_segment(&s, 40112, 8585, PSH, 5000, 900, 30);
	sample_segment(&s, 40112, 8585, PSH, 5030, 900, 100);
	sample_segment(&s, 8585, 40112, ACK, 900, 5130, 0);
	sample_close_dump(&s);
	look(&f, &s,
	     "{\"id\":\"3\",\"client\":{\"conn\":2,\"nth\":9,\"anchor\":\"position\","
	     "\"request\":" PART("7001", "100", "2", "3") "}}");
	cr_expect_eq(f.e.row_count, 2);
	cr_expect_eq(row_of(&f, 2)->seq, 31);
	cr_expect_eq(item_of(&f, 2, 0)->kind, EVIDENCE_DATA);
	cr_expect_not(item_of(&f, 2, 0)->placed);
	cr_expect_eq(item_of(&f, 2, 0)->part_len, 100);
	cr_expect_eq(item_of(&f, 3, 0)->kind, EVIDENCE_ACK);
	cr_expect_eq(row_of(&f, 3)->ack, 131);
	found_fini(&f);
	sample_remove(&s);
}

Test(evidence, a_dump_that_breaks_off_or_is_not_there)
{
	struct sample s;
	struct found f;
	char path[128], err[EVIDENCE_ERROR_MAX];

	sample_make(&s);
	sample_path(&s, "dump.pcapng", path);
	cr_assert_eq(truncate(path, 1000), 0);
	look(&f, &s, SAMPLE_FLOW);
	cr_expect_str_not_empty(f.err);
	cr_expect_gt(f.e.row_count, 4);
	cr_expect_lt(f.e.row_count, 12);
	evidence_fini(&f.e);
	cr_assert_eq(unlink(path), 0);
	cr_expect_not(evidence_read(path, f.wishes, f.count, &f.e, err));
	cr_expect_not_null(strstr(err, "dump.pcapng"), "%s", err);
	found_fini(&f);
	sample_remove(&s);
}
