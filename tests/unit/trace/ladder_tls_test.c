/*
 * ladder_tls_test.c -- TLS in the ladder: messages and records by their headers, with and without
 * the payload that shows them.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/trace/show_sample.h"
#include "trace/ladder.h"

#define EIGHT(b)        b, b, b, b, b, b, b, b
#define RANDOM(b)       EIGHT(b), EIGHT(b), EIGHT(b), EIGHT(b)
#define CHANGE          0x14, 0x03, 0x03, 0x00, 0x01, 0x01
#define ENCRYPTED_13(b) 0x17, 0x03, 0x03, 0x00, 0x08, EIGHT(b)

static const uint8_t client_hello[] = {0x16, 0x03, 0x01,      0x00, 0x44, 0x01, 0x00, 0x00, 0x40,
				       0x03, 0x03, RANDOM(5), 0x00, 0x00, 0x02, 0x13, 0x01, 0x01,
				       0x00, 0x00, 0x15,      0x00, 0x00, 0x00, 0x11, 0x00, 0x0f,
				       0x00, 0x00, 0x0c,      's',  'h',  'o',  'p',  '.',  'e',
				       'x',  'a',  'm',       'p',  'l',  'e'};
static const uint8_t server_flight[] = {0x16,           0x03,
					0x03,           0x00,
					0x32,           0x02,
					0x00,           0x00,
					0x2e,           0x03,
					0x03,           RANDOM(9),
					0x00,           0x13,
					0x01,           0x00,
					0x00,           0x06,
					0x00,           0x2b,
					0x00,           0x02,
					0x03,           0x04,
					CHANGE,         ENCRYPTED_13(1),
					ENCRYPTED_13(2)};
static const uint8_t client_finished[] = {CHANGE, ENCRYPTED_13(3)};
static const uint8_t ticket[] = {ENCRYPTED_13(4)};
static const uint8_t request[] = {ENCRYPTED_13(5), ENCRYPTED_13(6)};
static const uint8_t response[] = {ENCRYPTED_13(7)};
static const uint8_t alert[] = {0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x30};

/* What is printed of line: the rows alone. */
static char *rows_of(struct sample *s, const char *line)
{
	struct evidence_wish wishes[LADDER_WISHES];
	struct flow_row flow = {0};
	struct evidence e = {0};
	char path[128], err[EVIDENCE_ERROR_MAX] = "", *end;
	struct printed p;
	unsigned count;

	sample_close_dump(s);
	sample_path(s, "dump.pcapng", path);
	cr_assert(flow_row_parse(line, strlen(line), &flow, err), "%s", err);
	count = ladder_wishes(&flow, wishes);
	cr_assert(evidence_read(path, wishes, count, &e, err), "%s", err);
	print_to(&p, false);
	ladder_print(&p.screen, &flow, NULL, wishes, count, &e);
	print_end(&p);
	evidence_fini(&e);
	flow_row_fini(&flow);
	sample_remove(s);
	end = strstr(p.text, "\n\nclient leg   connection");
	cr_assert_not_null(end, "%s", p.text);
	*end = '\0';
	memmove(p.text, strstr(p.text, "carries\n"), strlen(strstr(p.text, "carries\n")) + 1);
	return p.text;
}

static void has(const char *text, const char *what)
{
	cr_expect_not_null(strstr(text, what), "%s\nis not in\n%s", what, text);
}

/* The next bytes of one end, acknowledging all of the other's. */
struct talker {
	struct sample *s;
	uint32_t sent[2]; /* [0] the client */
	bool is_bare;     /* payload is not captured, as if it were zeros */
};

static void say(struct talker *t, unsigned from, unsigned flags, const uint8_t *bytes, unsigned len)
{
	static const uint16_t ports[2] = {40112, 8585};

	sample_payload(t->s, ports[from], ports[!from], flags, 1001 + t->sent[from],
		       1001 + t->sent[!from], t->is_bare ? NULL : bytes, len);
	t->sent[from] += len;
}

#define SAY(t, from, bytes) say(t, from, PSH, bytes, sizeof(bytes))

static void put_handshake(struct talker *t)
{
	sample_segment(t->s, 40112, 8585, SYN, 1000, 0, 0);
	sample_segment(t->s, 8585, 40112, SYN | ACK, 1000, 1001, 0);
	sample_segment(t->s, 40112, 8585, ACK, 1001, 1001, 0);
	say(t, 0, PSH, client_hello, 50); /* 4, and 5 */
	say(t, 0, PSH, client_hello + 50, sizeof(client_hello) - 50);
	SAY(t, 1, server_flight); /* 6 */
	SAY(t, 0, client_finished);
}

/* 73 + 19 bytes of handshake one way, 87 and a ticket of 13 the other. */
#define TLS_LINE                                                                            \
	"{\"id\":\"1\",\"client\":{\"conn\":1,\"nth\":1,\"handshake\":{\"frames\":[1,2,3]," \
	"\"us\":30},\"tls\":{\"version\":\"1.3\",\"resumed\":false,\"failed\":false,"       \
	"\"client_hello\":{\"frames\":[4,5],\"us\":15},"                                    \
	"\"server_hello\":{\"frames\":[6],\"us\":30},"                                      \
	"\"server_finished\":{\"frames\":[6],\"us\":30},"                                   \
	"\"client_finished\":{\"frames\":[7],\"us\":45},\"us\":45},"                        \
	"\"request\":{\"seq\":93,\"len\":26,\"frames\":[9],\"acked_in\":10},"               \
	"\"response\":{\"seq\":101,\"len\":13,\"frames\":[10],\"acked_in\":11}}}"

static void put_exchange(struct talker *t)
{
	put_handshake(t);
	SAY(t, 1, ticket);  /* 8 */
	SAY(t, 0, request); /* 9 */
	SAY(t, 1, response);
	say(t, 0, ACK, NULL, 0); /* 11 */
}

Test(ladder_tls, messages_and_records)
{
	struct sample s;
	struct talker t = {.s = &s};
	char *text;

	sample_begin(&s);
	put_exchange(&t);
	text = rows_of(&s, TLS_LINE);
	has(text, "TLS: ClientHello for shop.example 73\n");
	has(text,
	    " 23   1  TLS handshake: ClientHello\n"); /* its second segment: no record begins */
	has(text, "TLS: ServerHello (TLS 1.3) 55,");
	has(text, "ChangeCipherSpec 6, 2 encrypted 26 with");
	has(text, "TLS: ChangeCipherSpec 6, encrypted 13\n"); /* "with Finished" */
	has(text, "TLS: encrypted 13 behind the handshake\n");
	has(text, "request 0-26 of 26;");
	has(text, "TLS: 2 encrypted 26\n");
	has(text, "response 0-13 of 13;");
	has(text, "ack of response 13");
	cr_expect_null(strstr(text, "another exchange"), "%s", text);
	free(text);
}

/* No header can be read: only what the record says is told. */
Test(ladder_tls, without_payload)
{
	struct sample s;
	struct talker t = {.s = &s, .is_bare = true};
	char *text;

	sample_begin(&s);
	put_exchange(&t);
	text = rows_of(&s, TLS_LINE);
	has(text, "TLS handshake: ClientHello\n");
	has(text, "TLS handshake: ServerHello, Finished\n");
	has(text, "TLS handshake: Finished\n");
	has(text, "TLS behind the handshake\n");
	has(text, "request 0-26 of 26\n");
	cr_expect_null(strstr(text, "TLS: "), "%s", text);
	cr_expect_null(strstr(text, "another exchange"), "%s", text);
	free(text);
}

/* Of a later exchange the records are read from where its parts begin. */
Test(ladder_tls, a_later_exchange)
{
	static const char line[] =
		"{\"id\":\"2\",\"client\":{\"conn\":1,\"nth\":2,\"handshake\":null,\"tls\":null,"
		"\"request\":{\"seq\":119,\"len\":13,\"frames\":[12],\"acked_in\":13},"
		"\"response\":{\"seq\":114,\"len\":13,\"frames\":[13],\"acked_in\":14}}}";
	static const uint8_t with_alert[] = {ENCRYPTED_13(9), 0x17, 0x03, 0x03, 0x00, 0x02, 1, 2};
	struct sample s;
	struct talker t = {.s = &s};
	char *text;

	sample_begin(&s);
	put_exchange(&t);
	SAY(&t, 0, response);   /* 12 */
	SAY(&t, 1, with_alert); /* 13: and 7 bytes that nobody counts */
	say(&t, 0, ACK, NULL, 0);
	text = rows_of(&s, line);
	has(text, "request 0-13 of 13;");
	has(text, "TLS: encrypted 13\n");
	has(text, "response 0-13 of 13;");
	has(text, "7 bytes of another exchange, or of TLS");
	has(text, "TLS: 2 encrypted 20\n");
	cr_expect_null(strstr(text, "Hello"), "%s", text);
	free(text);
}

Test(ladder_tls, a_handshake_that_failed)
{
	static const char line[] =
		"{\"id\":\"3\",\"client\":{\"conn\":1,\"nth\":1,\"handshake\":{\"frames\":[1,2,3],"
		"\"us\":30},\"tls\":{\"version\":\"1.3\",\"resumed\":false,\"failed\":true,"
		"\"client_hello\":{\"frames\":[4,5],\"us\":15},"
		"\"server_hello\":{\"frames\":[6],\"us\":30},\"server_finished\":null,"
		"\"client_finished\":null,\"us\":null},"
		"\"close\":{\"by\":\"client\",\"how\":\"fin\",\"frames\":[9]}}}";
	struct sample s;
	struct talker t = {.s = &s};
	char *text;

	sample_begin(&s);
	put_handshake(&t);
	SAY(&t, 0, alert); /* 8 */
	say(&t, 0, FIN, NULL, 0);
	text = rows_of(&s, line);
	has(text, "TLS: alert unknown_ca 7\n");
	has(text, "FIN by client");
	free(text);
}
