/*
 * tls_records_test.c -- records of one direction: whole, in pieces of every size and order, with
 * bytes missing or cut away, and bytes that are no TLS.
 */
#include "trace/tls_records.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/guarded.h"

#define EIGHT(b)  b, b, b, b, b, b, b, b
#define RANDOM(b) EIGHT(b), EIGHT(b), EIGHT(b), EIGHT(b)

/* ClientHello for shop.example: version, random, no session, one suite, two extensions. */
#define CLIENT_HELLO                                                                             \
	0x16, 0x03, 0x01, 0x00, 0x49, 0x01, 0x00, 0x00, 0x45, 0x03, 0x03, RANDOM(5), 0x00, 0x00, \
		0x02, 0x13, 0x01, 0x01, 0x00, 0x00, 0x1a, 0x00, 0x00, 0x00, 0x11, 0x00, 0x0f,    \
		0x00, 0x00, 0x0c, 's', 'h', 'o', 'p', '.', 'e', 'x', 'a', 'm', 'p', 'l', 'e',    \
		0xff, 0x01, 0x00, 0x01, 0x00
#define CLIENT_HELLO_LEN 78

/* ServerHello of TLS 1.3: supported_versions. */
#define SERVER_HELLO_13                                                                          \
	0x16, 0x03, 0x03, 0x00, 0x32, 0x02, 0x00, 0x00, 0x2e, 0x03, 0x03, RANDOM(9), 0x00, 0x13, \
		0x01, 0x00, 0x00, 0x06, 0x00, 0x2b, 0x00, 0x02, 0x03, 0x04

#define CHANGE_CIPHER_SPEC 0x14, 0x03, 0x03, 0x00, 0x01, 0x01
#define APPLICATION_DATA_3 0x17, 0x03, 0x03, 0x00, 0x03, 0xaa, 0xbb, 0xcc

#define SEEN_MAX           32

struct seen {
	struct tls_record at[SEEN_MAX];
	unsigned count;
};

static void on_record(void *arg, const struct tls_record *r)
{
	struct seen *s = arg;

	cr_assert_lt(s->count, SEEN_MAX);
	s->at[s->count++] = *r;
}

static void begin(struct tls_records *r, struct seen *s, uint64_t first)
{
	const struct tls_records_calls calls = {.arg = s, .record = on_record};

	*s = (struct seen){0};
	tls_records_init(r, &calls);
	cr_assert(tls_records_begins(r, first));
}

static void finish(struct tls_records *r)
{
	tls_records_end(r);
	cr_expect(tls_records_is_over(r));
	tls_records_fini(r);
}

static void expect_messages(const struct tls_record *r, unsigned count, const uint8_t *types)
{
	cr_assert_eq(r->message_count, count);
	cr_expect_eq(memcmp(r->messages, types, count), 0);
}

/* ---- what stands in them --------------------------------------------------------------------- */

static const uint8_t client_13[] = {CLIENT_HELLO, CHANGE_CIPHER_SPEC, APPLICATION_DATA_3,
				    APPLICATION_DATA_3};

/* A client of TLS 1.3: hello, the ChangeCipherSpec that means nothing, and the rest encrypted. */
static void expect_client_13(const struct seen *s)
{
	cr_assert_eq(s->count, 4);
	cr_expect_eq(s->at[0].off, 0);
	cr_expect_eq(s->at[0].len, CLIENT_HELLO_LEN);
	cr_expect_eq(s->at[0].content, TLS_HANDSHAKE);
	expect_messages(&s->at[0], 1, (const uint8_t[]){TLS_CLIENT_HELLO});
	cr_expect(s->at[0].has_hello);
	cr_expect_str_eq(s->at[0].hello.name, "shop.example");
	cr_expect_eq(s->at[1].off, CLIENT_HELLO_LEN);
	cr_expect_eq(s->at[1].content, TLS_CHANGE_CIPHER_SPEC);
	cr_expect_eq(s->at[2].off, CLIENT_HELLO_LEN + 6);
	cr_expect_eq(s->at[2].len, 8);
	cr_expect_eq(s->at[2].content, TLS_APPLICATION_DATA);
	cr_expect_eq(s->at[3].off, CLIENT_HELLO_LEN + 14);
	for (unsigned i = 0; i < s->count; i++) {
		cr_expect(s->at[i].is_whole);
		cr_expect_eq(s->at[i].message_count, i == 0);
	}
}

Test(tls_records, a_client_of_tls_13_in_one_piece)
{
	struct guarded *g = guarded_new(sizeof(client_13));
	const uint8_t *bytes = (uint8_t *)guarded_put(g, client_13, sizeof(client_13));
	struct tls_records r;
	struct seen s;

	begin(&r, &s, 0);
	tls_records_add(&r, 0, sizeof(client_13), bytes, sizeof(client_13), 7);
	expect_client_13(&s);
	for (unsigned i = 0; i < s.count; i++)
		cr_expect_eq(s.at[i].tag, 7);
	finish(&r);
	cr_expect_eq(s.count, 4);
	guarded_free(g);
}

Test(tls_records, in_two_pieces_either_first)
{
	struct guarded *g = guarded_new(sizeof(client_13));
	struct tls_records r;
	struct seen s;

	for (uint32_t cut = 1; cut < sizeof(client_13); cut++) {
		for (unsigned order = 0; order < 2; order++) {
			begin(&r, &s, 0);
			for (unsigned i = 0; i < 2; i++) {
				bool is_second = i != order;
				uint32_t from = is_second ? cut : 0;
				uint32_t len = is_second ? (uint32_t)sizeof(client_13) - cut : cut;
				const char *bytes = guarded_put(g, client_13 + from, len);

				tls_records_add(&r, from, len, (const uint8_t *)bytes, len,
						is_second ? 2 : 1);
			}
			expect_client_13(&s);
			for (unsigned i = 0; i < s.count; i++)
				cr_expect_eq(s.at[i].tag, s.at[i].off < cut ? 1 : 2);
			finish(&r);
		}
	}
	guarded_free(g);
}

/* Backwards, every byte twice, and once more what was read long ago. */
Test(tls_records, byte_by_byte_in_the_wrong_order)
{
	struct tls_records r;
	struct seen s;

	begin(&r, &s, 0);
	for (uint32_t i = sizeof(client_13); i > 0; i--)
		for (unsigned again = 0; again < 2; again++)
			tls_records_add(&r, i - 1, 1, &client_13[i - 1], 1, i - 1);
	tls_records_add(&r, 0, sizeof(client_13), client_13, sizeof(client_13), 99);
	expect_client_13(&s);
	for (unsigned i = 0; i < s.count; i++)
		cr_expect_eq(s.at[i].tag, s.at[i].off);
	finish(&r);
}

Test(tls_records, a_server_of_tls_13)
{
	static const uint8_t server[] = {SERVER_HELLO_13, CHANGE_CIPHER_SPEC, APPLICATION_DATA_3};
	struct tls_records r;
	struct seen s;

	begin(&r, &s, 0);
	tls_records_add(&r, 0, sizeof(server), server, sizeof(server), 1);
	cr_assert_eq(s.count, 3);
	expect_messages(&s.at[0], 1, (const uint8_t[]){TLS_SERVER_HELLO});
	cr_expect(s.at[0].has_hello && !s.at[0].hello.is_retry && !s.at[0].hello.is_resumed);
	cr_expect_eq(s.at[0].hello.version, 0x0304);
	cr_expect_eq(s.at[1].content, TLS_CHANGE_CIPHER_SPEC);
	cr_expect_eq(s.at[2].content, TLS_APPLICATION_DATA);
	finish(&r);
}

/* ServerHello, Certificate, ServerHelloDone in one record and a half; then it is encrypted. */
Test(tls_records, a_server_of_tls_12)
{
	static const uint8_t server[] = {0x16,
					 0x03,
					 0x03,
					 0x00,
					 0x34, /* 42 of ServerHello, 10 of Certificate */
					 0x02,
					 0x00,
					 0x00,
					 0x26,
					 0x03,
					 0x03,
					 RANDOM(1),
					 0x00,
					 0xc0,
					 0x2f,
					 0x00,
					 0x0b,
					 0x00,
					 0x00,
					 0x0c,
					 2,
					 2,
					 2,
					 2,
					 2,
					 2,
					 0x16,
					 0x03,
					 0x03,
					 0x00,
					 0x0a, /* 6 more, and Done */
					 2,
					 2,
					 2,
					 2,
					 2,
					 2,
					 0x0e,
					 0x00,
					 0x00,
					 0x00,
					 CHANGE_CIPHER_SPEC,
					 0x16,
					 0x03,
					 0x03,
					 0x00,
					 0x08,
					 0x01,
					 0x00,
					 0x00,
					 0x04,
					 3,
					 3,
					 3,
					 3, /* the Finished, encrypted */
					 APPLICATION_DATA_3,
					 0x16,
					 0x03,
					 0x03,
					 0x00,
					 0x04,
					 0x00,
					 0x00,
					 0x00,
					 0x00,
					 0x15,
					 0x03,
					 0x03,
					 0x00,
					 0x03,
					 4,
					 4,
					 4};
	struct tls_records r;
	struct seen s;

	begin(&r, &s, 0);
	for (uint32_t i = 0; i < sizeof(server); i++)
		tls_records_add(&r, i, 1, &server[i], 1, i);
	cr_assert_eq(s.count, 7);
	expect_messages(&s.at[0], 2, (const uint8_t[]){TLS_SERVER_HELLO, TLS_CERTIFICATE});
	cr_expect(s.at[0].has_hello);
	cr_expect_eq(s.at[0].hello.version, 0x0303);
	expect_messages(&s.at[1], 1, (const uint8_t[]){14});
	cr_expect_eq(s.at[2].content, TLS_CHANGE_CIPHER_SPEC);
	expect_messages(&s.at[3], 1, (const uint8_t[]){TLS_FINISHED});
	cr_expect_eq(s.at[4].content, TLS_APPLICATION_DATA);
	cr_expect_eq(s.at[5].message_count, 0); /* a handshake message, but which? */
	cr_expect_eq(s.at[6].content, TLS_ALERT);
	cr_expect_not(s.at[6].is_alert_clear);
	finish(&r);
}

/* After a HelloRetryRequest the ChangeCipherSpec stands before another hello in clear. */
Test(tls_records, a_second_hello)
{
	static const uint8_t client[] = {CLIENT_HELLO, CHANGE_CIPHER_SPEC, CLIENT_HELLO,
					 APPLICATION_DATA_3};
	static const uint8_t server[] = {0x16,
					 0x03,
					 0x03,
					 0x00,
					 0x32,
					 0x02,
					 0x00,
					 0x00,
					 0x2e,
					 0x03,
					 0x03,
					 0xcf,
					 0x21,
					 0xad,
					 0x74,
					 0xe5,
					 0x9a,
					 0x61,
					 0x11,
					 0xbe,
					 0x1d,
					 0x8c,
					 0x02,
					 0x1e,
					 0x65,
					 0xb8,
					 0x91,
					 0xc2,
					 0xa2,
					 0x11,
					 0x16,
					 0x7a,
					 0xbb,
					 0x8c,
					 0x5e,
					 0x07,
					 0x9e,
					 0x09,
					 0xe2,
					 0xc8,
					 0xa8,
					 0x33,
					 0x9c,
					 0x00,
					 0x13,
					 0x01,
					 0x00,
					 0x00,
					 0x06,
					 0x00,
					 0x2b,
					 0x00,
					 0x02,
					 0x03,
					 0x04,
					 CHANGE_CIPHER_SPEC,
					 SERVER_HELLO_13,
					 APPLICATION_DATA_3};
	struct tls_records r;
	struct seen s;

	begin(&r, &s, 0);
	tls_records_add(&r, 0, sizeof(client), client, sizeof(client), 1);
	cr_assert_eq(s.count, 4);
	expect_messages(&s.at[2], 1, (const uint8_t[]){TLS_CLIENT_HELLO});
	cr_expect_str_eq(s.at[2].hello.name, "shop.example");
	finish(&r);
	begin(&r, &s, 0);
	tls_records_add(&r, 0, sizeof(server), server, sizeof(server), 1);
	cr_assert_eq(s.count, 4);
	cr_expect(s.at[0].hello.is_retry && !s.at[2].hello.is_retry);
	expect_messages(&s.at[2], 1, (const uint8_t[]){TLS_SERVER_HELLO});
	finish(&r);
}

Test(tls_records, an_alert_in_clear)
{
	static const uint8_t server[] = {0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x28};
	struct tls_records r;
	struct seen s;

	begin(&r, &s, 0);
	tls_records_add(&r, 0, 6, server, 6, 1);
	tls_records_add(&r, 6, 1, server + 6, 1, 2);
	cr_assert_eq(s.count, 1);
	cr_expect(s.at[0].is_alert_clear);
	cr_expect_eq(s.at[0].alert_level, 2);
	cr_expect_str_eq(tls_alert_word(s.at[0].alert), "handshake_failure");
	finish(&r);
	begin(&r, &s, 0);
	tls_records_add(&r, 0, 7, server, 6, 1); /* which one was cut away */
	cr_assert_eq(s.count, 1);
	cr_expect_not(s.at[0].is_alert_clear);
	finish(&r);
}

/* ---- what is missing ------------------------------------------------------------------------- */

/* Within a record only the record's end matters; a header that is missing ends the certainty. */
Test(tls_records, one_byte_was_not_captured)
{
	struct tls_records r;
	struct seen s;

	for (uint32_t hole = 0; hole < sizeof(client_13); hole++) {
		uint32_t rest = sizeof(client_13) - hole - 1;
		unsigned certain = 0;

		begin(&r, &s, 0);
		tls_records_add(&r, 0, hole, client_13, hole, 1);
		tls_records_add(&r, hole + 1, rest, client_13 + hole + 1, rest, 2);
		finish(&r);
		for (unsigned i = 0; i < s.count; i++)
			certain += s.at[i].is_whole;
		/* Of the last byte nobody knows that it passed. */
		cr_expect_eq(certain + (rest == 0), s.count, "%u", hole);
		if (hole < 5)
			cr_expect_eq(s.count, 0, "%u", hole);
		else if (hole < CLIENT_HELLO_LEN)
			cr_expect_eq(s.count, 4, "%u", hole);
		else if (hole < CLIENT_HELLO_LEN + 5)
			cr_expect_eq(s.count, 1, "%u", hole);
		if (hole >= 5 && hole < CLIENT_HELLO_LEN)
			cr_expect_not(s.at[0].has_hello, "%u", hole);
	}
}

/* Headers were captured, payload was not, or some of it. */
Test(tls_records, cut_by_the_snap_length)
{
	struct tls_records r;
	struct seen s;

	for (uint32_t captured = 0; captured < sizeof(client_13); captured++) {
		begin(&r, &s, 0);
		tls_records_add(&r, 0, sizeof(client_13), client_13, captured, 1);
		finish(&r);
		cr_expect_eq(s.count,
			     (captured >= 5) + (captured >= CLIENT_HELLO_LEN + 5) +
				     (captured >= CLIENT_HELLO_LEN + 11) +
				     (captured >= CLIENT_HELLO_LEN + 19),
			     "%u", captured);
	}
}

/* Behind a gap, what the caller knows to be a record's begin is one; nothing before it is. */
Test(tls_records, places)
{
	static const uint8_t garbage[] = {APPLICATION_DATA_3, APPLICATION_DATA_3};
	const uint64_t at = 5000000000;
	struct tls_records r;
	struct seen s;

	begin(&r, &s, at + 8);
	cr_assert(tls_records_begins(&r, 100) && tls_records_begins(&r, at + 8));
	tls_records_add(&r, 0, sizeof(client_13), client_13, sizeof(client_13), 1);
	cr_expect_eq(s.count, 0);
	tls_records_add(&r, 100, 4, garbage, 4, 2); /* part of a header, and a large gap */
	tls_records_add(&r, at, sizeof(garbage), garbage, sizeof(garbage), 3);
	cr_expect_eq(s.count, 0); /* it may still come */
	finish(&r);
	cr_assert_eq(s.count, 1);
	cr_expect_eq(s.at[0].off, at + 8);
	cr_expect(s.at[0].is_whole);
	cr_expect_eq(s.at[0].tag, 3);
}

/* A place in the midst of what was taken for a record: that was none. */
Test(tls_records, a_place_within_a_record)
{
	static const uint8_t bytes[] = {0x17, 0x03, 0x03, 0x00, 0x40, 1, 2, 3, APPLICATION_DATA_3};
	struct tls_records r;
	struct seen s;

	begin(&r, &s, 1000);
	cr_assert(tls_records_begins(&r, 1008));
	tls_records_add(&r, 1000, sizeof(bytes), bytes, sizeof(bytes), 1);
	cr_assert_eq(s.count, 2);
	cr_expect(!s.at[0].is_whole && s.at[1].is_whole);
	cr_expect_eq(s.at[1].off, 1008);
	finish(&r);
}

Test(tls_records, places_are_few)
{
	struct tls_records r;
	struct seen s;

	begin(&r, &s, 0);
	for (unsigned i = 1; i < TLS_RECORDS_PLACES_MAX; i++)
		cr_expect(tls_records_begins(&r, 100 - i));
	cr_expect_not(tls_records_begins(&r, 200));
	cr_expect(tls_records_begins(&r, 99));
	tls_records_fini(&r);
}

/* More waits than is kept: the gap before it is given up, and what comes after is read. */
Test(tls_records, bounded)
{
	uint8_t *body = calloc(1, 16384);
	static const uint8_t head[] = {0x17, 0x03, 0x03, 0x40, 0x00};
	uint64_t off = 0;
	struct tls_records r;
	struct seen s;

	cr_assert_not_null(body);
	begin(&r, &s, 0);
	cr_assert(tls_records_begins(&r, 16389 * 70ULL));
	for (unsigned i = 0; i < 75; i++) {
		if (i > 0) { /* the first record is missing */
			tls_records_add(&r, off, sizeof(head), head, sizeof(head), i);
			tls_records_add(&r, off + 5, 16384, body, 16384, i);
		}
		cr_expect_leq(r.pieces.bytes, REASSEMBLY_BYTES_MAX);
		off += 16389;
	}
	finish(&r);
	cr_expect_eq(s.count, 5);
	cr_expect_eq(s.at[0].off, 16389 * 70);
	free(body);
}

/* ---- what is no TLS -------------------------------------------------------------------------- */

Test(tls_records, other_bytes_are_no_records)
{
	static const uint8_t others[][5] = {
		{'G', 'E', 'T', ' ', '/'},      {0x18, 0x03, 0x03, 0x00, 0x10},
		{0x13, 0x03, 0x03, 0x00, 0x10}, {0x17, 0x02, 0x00, 0x00, 0x10},
		{0x17, 0x03, 0x05, 0x00, 0x10}, {0x17, 0x03, 0x03, 0x00, 0x00},
		{0x17, 0x03, 0x03, 0x48, 0x01}, {0x80, 0x2e, 0x01, 0x03, 0x01},
	};
	uint8_t bytes[5 + sizeof(client_13)];
	struct tls_records r;
	struct seen s;

	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		memcpy(bytes, others[i], 5);
		memcpy(bytes + 5, client_13, sizeof(client_13));
		begin(&r, &s, 0);
		tls_records_add(&r, 0, sizeof(bytes), bytes, sizeof(bytes), 1);
		cr_expect(tls_records_is_over(&r));
		finish(&r);
		cr_expect_eq(s.count, 0, "%zu", i);
	}
}

/* ---- hellos ---------------------------------------------------------------------------------- */

Test(tls_hello, cut_anywhere_is_malformed_or_says_less)
{
	static const uint8_t whole[] = {CLIENT_HELLO};
	struct guarded *g = guarded_new(sizeof(whole));
	struct tls_hello hello;

	for (size_t len = 0; len < sizeof(whole) - 9; len++) {
		const char *body = guarded_put(g, whole + 9, len);
		bool is_fine = tls_client_hello_read((const uint8_t *)body, len, &hello);

		/* Without extensions it is whole; behind their length it is not. */
		cr_expect_eq(is_fine, len == 41, "%zu", len);
	}
	guarded_free(g);
}

/* What no host is called is not printed. */
Test(tls_hello, names_are_names)
{
	uint8_t whole[] = {CLIENT_HELLO};
	struct tls_hello hello;

	for (unsigned c = 0; c < 256; c++) {
		bool is_fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			       (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';

		whole[61] = (uint8_t)c;
		(void)!tls_client_hello_read(whole + 9, sizeof(whole) - 9, &hello);
		cr_expect_eq(hello.name[0] != '\0', is_fine, "%u", c);
	}
}
