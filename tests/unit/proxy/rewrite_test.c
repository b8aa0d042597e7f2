/*
 * rewrite_test.c -- the heads that leave the proxy, byte for byte, and read again by the codec.
 */
#include "proxy/rewrite.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW_S 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT */
#define DATE  "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"

static struct http_head head, again;
static const struct http_limits limits = {65536, 256};
static char *out; /* exactly as long as rewrite_*_max() tells */
static size_t out_len;

static void fini(void)
{
	http_head_fini(&head);
	http_head_fini(&again);
	free(out);
	out = NULL;
}

TestSuite(rewrite, .fini = fini);

static const struct rewrite_request plain = {
	.client_ip = "192.0.2.7",
	.client_ip_len = 9,
	.proto = "http",
	.backend_authority = "backend:8080",
	.backend_authority_len = 12,
};

static void request_with(const char *text, const struct rewrite_request *ctx)
{
	size_t max;

	cr_assert(http_head_init(&head, HTTP_REQUEST, &limits, HTTP_METHOD_OTHER, false));
	cr_assert_eq(http_head_read(&head, text, strlen(text)), HTTP_DONE, "%s", text);
	max = rewrite_request_max(&head, ctx);
	free(out);
	out = malloc(max);
	out_len = rewrite_request(&head, text, ctx, out);
	cr_assert_leq(out_len, max);
	cr_assert(http_head_init(&again, HTTP_REQUEST, &limits, HTTP_METHOD_OTHER, false));
	cr_assert_eq(http_head_read(&again, out, out_len), HTTP_DONE, "%.*s", (int)out_len, out);
	cr_assert_eq(again.len, out_len);
	cr_assert_eq(again.framing, head.framing);
	cr_assert_eq(again.content_length, head.content_length);
	cr_assert_eq(again.upgrade_websocket, head.upgrade_websocket);
}

static void response_for(const char *text, const struct rewrite_response *ctx,
			 enum http_method method, bool upgrade)
{
	size_t max;

	cr_assert(http_head_init(&head, HTTP_RESPONSE, &limits, method, upgrade));
	cr_assert_eq(http_head_read(&head, text, strlen(text)), HTTP_DONE, "%s", text);
	max = rewrite_response_max(&head);
	free(out);
	out = malloc(max);
	out_len = rewrite_response(&head, text, ctx, out);
	cr_assert_leq(out_len, max);
	cr_assert(http_head_init(&again, HTTP_RESPONSE, &limits, method, upgrade));
	cr_assert_eq(http_head_read(&again, out, out_len), HTTP_DONE, "%.*s", (int)out_len, out);
}

static void expect(const char *text)
{
	cr_assert_eq(out_len, strlen(text), "wrote:\n%.*s", (int)out_len, out);
	cr_assert_arr_eq(out, text, out_len, "wrote:\n%.*s", (int)out_len, out);
}

#define ADDED(host)                                                                       \
	"Via: 1.1 flowproxy\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\n" \
	"X-Forwarded-Host: " host "\r\n\r\n"

/* ---- requests ------------------------------------------------------------------------------ */

Test(rewrite, order_case_and_values_are_kept)
{
	request_with("POST /a%2fb?q=%C3%A9 HTTP/1.1\r\n"
		     "host: localhost:8585\r\n"
		     "X-b:two\r\n"
		     "X-a:   one\t\r\n"
		     "X-B: three\r\n"
		     "SOAPAction: \"urn:x\"\r\n"
		     "X-Empty:\r\n"
		     "X-Obs: caf\xe9\r\n"
		     "Content-Length: 3\r\n"
		     "\r\n",
		     &plain);
	expect("POST /a%2fb?q=%C3%A9 HTTP/1.1\r\n"
	       "host: localhost:8585\r\n"
	       "X-b: two\r\n"
	       "X-a: one\r\n"
	       "X-B: three\r\n"
	       "SOAPAction: \"urn:x\"\r\n"
	       "X-Empty: \r\n"
	       "X-Obs: caf\xe9\r\n"
	       "Content-Length: 3\r\n" ADDED("localhost:8585"));
}

Test(rewrite, hop_by_hop_fields_are_left_out)
{
	request_with("GET / HTTP/1.1\r\n"
		     "Connection: X-Mine, keep-alive\r\n"
		     "Host: a\r\n"
		     "Keep-Alive: timeout=5\r\n"
		     "X-Mine: 1\r\n"
		     "Proxy-Connection: keep-alive\r\n"
		     "X-Kept: 2\r\n"
		     "TE: gzip\r\n"
		     "Upgrade: h2c\r\n"
		     "HTTP2-Settings: AAMAAABkAAQAAP__\r\n"
		     "x-mine: 3\r\n"
		     "Trailer: X-Sum\r\n"
		     "Proxy-Authorization: Basic eDp5\r\n"
		     "\r\n",
		     &plain);
	expect("GET / HTTP/1.1\r\n"
	       "Host: a\r\n"
	       "X-Kept: 2\r\n"
	       "Trailer: X-Sum\r\n"
	       "Proxy-Authorization: Basic eDp5\r\n" ADDED("a"));
}

Test(rewrite, connection_cannot_take_framing_routing_or_forwarding_fields)
{
	request_with("POST / HTTP/1.1\r\n"
		     "Connection: Host, Content-Length, Via, X-Forwarded-For, X-Forwarded-Proto, "
		     "X-Forwarded-Host, Transfer-Encoding\r\n"
		     "Host: a\r\n"
		     "Content-Length: 3\r\n"
		     "Via: 1.0 first\r\n"
		     "X-Forwarded-For: 198.51.100.1\r\n"
		     "\r\n",
		     &plain);
	expect("POST / HTTP/1.1\r\n"
	       "Host: a\r\n"
	       "Content-Length: 3\r\n"
	       "Via: 1.0 first\r\n"
	       "Via: 1.1 flowproxy\r\n"
	       "X-Forwarded-For: 198.51.100.1, 192.0.2.7\r\n"
	       "X-Forwarded-Proto: http\r\n"
	       "X-Forwarded-Host: a\r\n"
	       "\r\n");
}

Test(rewrite, forwarding_fields_are_joined_or_replaced)
{
	struct rewrite_request ctx = plain;

	ctx.client_ip = "2001:db8::7";
	ctx.client_ip_len = 11;
	ctx.proto = "https";
	request_with("GET / HTTP/1.1\r\n"
		     "X-Forwarded-For: 198.51.100.1,198.51.100.2\r\n"
		     "X-Forwarded-Host: forged\r\n"
		     "Host: a\r\n"
		     "X-Forwarded-Proto: ftp\r\n"
		     "x-forwarded-for:\r\n"
		     "X-FORWARDED-FOR: unknown\r\n"
		     "\r\n",
		     &ctx);
	expect("GET / HTTP/1.1\r\n"
	       "Host: a\r\n"
	       "Via: 1.1 flowproxy\r\n"
	       "X-Forwarded-For: 198.51.100.1,198.51.100.2, unknown, 2001:db8::7\r\n"
	       "X-Forwarded-Proto: https\r\n"
	       "X-Forwarded-Host: a\r\n"
	       "\r\n");
}

/* ---- who the client is ----------------------------------------------------------------------- */

static void expect_subject(const char *text, const char *written)
{
	struct rewrite_request ctx = plain;
	char want[400];

	ctx.client_subject = text;
	ctx.client_subject_len = strlen(text);
	request_with("GET / HTTP/1.1\r\nHost: a\r\nX-Client-Cert-Subject: CN=root\r\n\r\n", &ctx);
	snprintf(want, sizeof(want),
		 "GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 flowproxy\r\nX-Forwarded-For: 192.0.2.7\r\n"
		 "X-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\nX-Client-Cert-Subject: %s\r\n"
		 "\r\n",
		 written);
	expect(want);
}

Test(rewrite, the_clients_subject_is_told_in_visible_ascii)
{
	expect_subject("CN=shop.example,O=Shop\\, Inc.", "CN=shop.example,O=Shop\\, Inc.");
	expect_subject("CN=M\xc3\xbcller", "CN=M\\C3\\BCller");
	expect_subject("CN=a\r\nX-Admin: 1", "CN=a\\0D\\0AX-Admin: 1");
	expect_subject("CN=a\x7f\x01\t", "CN=a\\7F\\01\\09");
	expect_subject("CN=a\\ ", "CN=a\\20");
	expect_subject("CN=a ", "CN=a\\20");
	expect_subject(" ", "\\20");
	expect_subject(" CN=a b", "\\20CN=a b");
	expect_subject("", "");
}

Test(rewrite, a_subject_that_a_client_claims_is_left_out)
{
	request_with("GET / HTTP/1.1\r\n"
		     "X-Client-Cert-Subject: CN=root\r\n"
		     "X-Client-Cert-Subjec: 1\r\n"
		     "Host: a\r\n"
		     "x_client_cert_subject: CN=root\r\n"
		     "X-CLIENT_Cert.SUBJECT: CN=root\r\n"
		     "X-Client-Cert-Subject1: 2\r\n"
		     "X-Client-Cert-Subjects: 3\r\n"
		     "X-Client-CertsSubject: 4\r\n"
		     "X~Client!Cert|Subject: CN=root\r\n"
		     "X-Client-Cert-Subject:\r\n"
		     "\r\n",
		     &plain);
	expect("GET / HTTP/1.1\r\n"
	       "X-Client-Cert-Subjec: 1\r\n"
	       "Host: a\r\n"
	       "X-Client-Cert-Subject1: 2\r\n"
	       "X-Client-Cert-Subjects: 3\r\n"
	       "X-Client-CertsSubject: 4\r\n" ADDED("a"));
}

Test(rewrite, host_from_the_backend)
{
	struct rewrite_request ctx = plain;

	ctx.host_from_backend = true;
	request_with("GET / HTTP/1.1\r\nX: y\r\nHost: a\r\n\r\n", &ctx);
	expect("GET / HTTP/1.1\r\nX: y\r\nHost: backend:8080\r\n" ADDED("a"));
}

Test(rewrite, no_host_gets_the_backends_first_of_all)
{
	request_with("GET / HTTP/1.1\r\nX: y\r\n\r\n", &plain);
	expect("GET / HTTP/1.1\r\nHost: backend:8080\r\nX: y\r\nVia: 1.1 flowproxy\r\n"
	       "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\n\r\n");
	request_with("GET / HTTP/1.1\r\nX: y\r\nHost:\r\n\r\n", &plain);
	expect("GET / HTTP/1.1\r\nX: y\r\nHost: backend:8080\r\nVia: 1.1 flowproxy\r\n"
	       "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\n\r\n");
}

Test(rewrite, http10_is_forwarded_as_http11)
{
	request_with("POST / HTTP/1.0\r\nExpect: 100-continue\r\nConnection: keep-alive\r\n"
		     "TE: trailers\r\nContent-Length: 1\r\n\r\n",
		     &plain);
	expect("POST / HTTP/1.1\r\nHost: backend:8080\r\nContent-Length: 1\r\n"
	       "Via: 1.0 flowproxy\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\n"
	       "\r\n");
}

Test(rewrite, expect_is_passed_on)
{
	request_with(
		"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
		&plain);
	expect("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n" ADDED(
		"a"));
}

Test(rewrite, absolute_target_becomes_origin_and_host)
{
	static const struct {
		const char *line;
		const char *forwarded;
	} known[] = {
		{"GET http://b.example:81/x?y HTTP/1.1", "GET /x?y HTTP/1.1"},
		{"GET http://b.example:81 HTTP/1.1", "GET / HTTP/1.1"},
		{"GET http://b.example:81?q HTTP/1.1", "GET /?q HTTP/1.1"},
		{"OPTIONS http://b.example:81 HTTP/1.1", "OPTIONS * HTTP/1.1"},
		{"OPTIONS http://b.example:81/ HTTP/1.1", "OPTIONS / HTTP/1.1"},
		{"OPTIONS http://b.example:81?q HTTP/1.1", "OPTIONS /?q HTTP/1.1"},
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		char in[256], want[512];

		snprintf(in, sizeof(in), "%s\r\nHost: other\r\n\r\n", known[i].line);
		snprintf(want, sizeof(want), "%s\r\nHost: b.example:81\r\n%s", known[i].forwarded,
			 ADDED("b.example:81"));
		request_with(in, &plain);
		expect(want);
		snprintf(in, sizeof(in), "%s\r\n\r\n", known[i].line);
		request_with(in, &plain);
		expect(want);
	}
}

Test(rewrite, max_forwards_counts_down)
{
	request_with("OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 010\r\n\r\n", &plain);
	expect("OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 9\r\n" ADDED("a"));
	request_with("GET / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 10\r\n\r\n", &plain);
	expect("GET / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 10\r\n" ADDED("a"));
	request_with("TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: ten\r\n\r\n", &plain);
	expect("TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: ten\r\n" ADDED("a"));
}

/* Of several, one is passed on: no receiver shall count down another, and there is room for one. */
Test(rewrite, one_max_forwards)
{
	static const char first[] = "TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards:\r\nMax-Forwards: "
				    "4000000000\r\n";
	char text[8192];
	size_t n = sizeof(first) - 1;

	memcpy(text, first, n);
	for (int i = 0; i < 250; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "Max-Forwards:1\r\n");
	snprintf(text + n, sizeof(text) - n, "\r\n");
	request_with(text, &plain);
	expect("TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 3999999999\r\n" ADDED("a"));
}

Test(rewrite, websocket_upgrade_is_made_anew)
{
	request_with("GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket, h2c\r\n"
		     "Connection: keep-alive, Upgrade, HTTP2-Settings\r\nHTTP2-Settings: x\r\n"
		     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nTE: trailers\r\n\r\n",
		     &plain);
	expect("GET /chat HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	       "Via: 1.1 flowproxy\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\n"
	       "X-Forwarded-Host: a\r\nConnection: Upgrade, TE\r\nUpgrade: websocket\r\n"
	       "TE: trailers\r\n\r\n");
}

Test(rewrite, te_trailers_is_made_anew)
{
	request_with(
		"GET / HTTP/1.1\r\nHost: a\r\nTE: gzip;q=0.5, Trailers\r\nConnection: TE\r\n\r\n",
		&plain);
	expect("GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 flowproxy\r\nX-Forwarded-For: 192.0.2.7\r\n"
	       "X-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\nConnection: TE\r\n"
	       "TE: trailers\r\n\r\n");
}

Test(rewrite, framing_of_requests)
{
	request_with("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:chunked\r\n\r\n", &plain);
	expect("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n" ADDED("a"));
	cr_assert_eq(again.framing, HTTP_BODY_CHUNKED);
	request_with("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0010\r\n\r\n", &plain);
	expect("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n" ADDED("a"));
	request_with("POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: \tchunKED \r\n\r\n", &plain);
	expect("POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\n" ADDED("a"));
	request_with("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 00\r\n\r\n", &plain);
	expect("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n" ADDED("a"));
}

Test(rewrite, empty_lines_are_not_forwarded)
{
	request_with("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", &plain);
	expect("GET / HTTP/1.1\r\nHost: a\r\n" ADDED("a"));
}

/* A line that is copied whole must be one that reads `Name: value`: a tab is no space. */
Test(rewrite, white_space_becomes_one_space)
{
	request_with("GET / HTTP/1.1\r\nHost:\ta\r\nX:\ty\r\nY: z \r\nZ:  a b\tc\r\nW: v\r\n\r\n",
		     &plain);
	expect("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nY: z\r\nZ: a b\tc\r\nW: v\r\n" ADDED("a"));
}

/* `times` empty fields, each of which grows by its space. */
static size_t put_empty_fields(char *text, size_t cap, int times)
{
	size_t at = 0;

	for (int i = 0; i < times; i++)
		at += (size_t)snprintf(text + at, cap - at, "X:\r\n");
	return at;
}

/* The most that can be added, to the least that can be told. */
Test(rewrite, room_is_enough_for_the_worst_request)
{
	struct rewrite_request ctx = plain;
	char host[2001], fields[1024], text[8192];

	ctx.client_ip = "1111:2222:3333:4444:5555:6666:7777:8888%4294967295";
	ctx.client_ip_len = strlen(ctx.client_ip);
	ctx.proto = "https";
	memset(host, 'h', sizeof(host) - 1);
	host[sizeof(host) - 1] = '\0';
	put_empty_fields(fields, sizeof(fields), 200);
	snprintf(text, sizeof(text), "GET http://%s HTTP/1.0\r\nX-Forwarded-For:a\r\n%s\r\n", host,
		 fields);
	request_with(text, &ctx);
	snprintf(text, sizeof(text),
		 "GET http://%s HTTP/1.1\r\nConnection:upgrade\r\nUpgrade:websocket\r\n"
		 "TE:trailers\r\n%s\r\n",
		 host, fields);
	request_with(text, &ctx);
	snprintf(text, sizeof(text),
		 "TRACE / HTTP/1.1\r\nHost:%s\r\nMax-Forwards:4294967294\r\n%s\r\n", host, fields);
	request_with(text, &ctx);
}

/* ---- ids ----------------------------------------------------------------------------------- */

#define OURS   "00-0123456789abcdef9f3c51d27be40a18-9f3c51d27be40a18-01"
#define THEIRS "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
#define FORWARDED                                                                         \
	"Via: 1.1 flowproxy\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\n" \
	"X-Forwarded-Host: a\r\n"

/* As a relay does it: decide, then write. */
static void request_with_ids(const char *text)
{
	struct rewrite_request ctx = plain;
	char prefix[TRACEPARENT_PREFIX_LEN];
	struct request_ids ids;

	cr_assert(http_head_init(&head, HTTP_REQUEST, &limits, HTTP_METHOD_OTHER, false));
	cr_assert_eq(http_head_read(&head, text, strlen(text)), HTTP_DONE, "%s", text);
	request_ids_prefix(0x0123456789abcdef, prefix);
	request_ids_choose(&ids, &head, text, prefix, 0x9f3c51d27be40a18);
	ctx.ids = &ids;
	request_with(text, &ctx);
}

Test(rewrite, ids_are_made_where_there_are_none)
{
	request_with_ids("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n");
	expect("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n" FORWARDED
	       "X-Request-Id: 9f3c51d27be40a18\r\ntraceparent: " OURS "\r\n\r\n");
	request_with_ids("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id:\r\nX: y\r\n"
			 "traceparent: \r\ntracestate: a=b\r\n\r\n");
	expect("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n" FORWARDED
	       "X-Request-Id: 9f3c51d27be40a18\r\ntraceparent: " OURS "\r\n\r\n");
}

Test(rewrite, ids_of_the_client_pass_as_they_are)
{
	request_with_ids("GET / HTTP/1.1\r\nHost: a\r\nx-request-id: one\r\ntraceParent: " THEIRS
			 "\r\nX-REQUEST-ID: two\r\nTracestate: a=b\r\ntracestate: c=d\r\n\r\n");
	expect("GET / HTTP/1.1\r\nHost: a\r\nx-request-id: one\r\ntraceParent: " THEIRS
	       "\r\nX-REQUEST-ID: two\r\nTracestate: a=b\r\ntracestate: c=d\r\n" FORWARDED "\r\n");
}

Test(rewrite, a_traceparent_that_is_none_takes_its_tracestate_with_it)
{
	request_with_ids("GET / HTTP/1.1\r\nHost: a\r\ntracestate: a=b\r\nX-Request-Id: z\r\n"
			 "traceparent: 00-1-2-3\r\nTraceState: c=d\r\n\r\n");
	expect("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: z\r\n" FORWARDED "traceparent: " OURS
	       "\r\n\r\n");
	request_with_ids("GET / HTTP/1.1\r\nHost: a\r\ntraceparent: " THEIRS
			 "\r\nX-Request-Id: z\r\nTraceparent: " THEIRS "\r\n\r\n");
	expect("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: z\r\n" FORWARDED "traceparent: " OURS
	       "\r\n\r\n");
}

Test(rewrite, without_ids_of_ours_all_pass)
{
	static const char odd[] = "X-Request-Id: \r\ntraceparent: 00-1-2-3\r\ntraceparent: \r\n"
				  "tracestate: a=b\r\n";
	char text[256], want[512];

	snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", odd);
	snprintf(want, sizeof(want), "GET / HTTP/1.1\r\nHost: a\r\n%s%s\r\n", odd, FORWARDED);
	request_with(text, &plain);
	expect(want);
}

Test(rewrite, connection_cannot_take_the_ids)
{
	request_with_ids("GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Request-Id, traceparent, "
			 "tracestate\r\nX-Request-Id: z\r\ntraceparent: " THEIRS
			 "\r\ntracestate: a=b\r\n\r\n");
	expect("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: z\r\ntraceparent: " THEIRS
	       "\r\ntracestate: a=b\r\n" FORWARDED "\r\n");
}

/* ---- responses ----------------------------------------------------------------------------- */

static const struct rewrite_response goes_on = {REWRITE_CONNECTION_NONE, false, NOW_S};
static const struct rewrite_response closes = {REWRITE_CONNECTION_CLOSE, false, NOW_S};

Test(rewrite, response_is_kept_but_for_its_hop)
{
	response_for("HTTP/1.0 200 Fine, \xe9\r\n"
		     "Server:x\r\n"
		     "Connection: keep-alive, X-Hop\r\n"
		     "Keep-Alive: timeout=5\r\n"
		     "X-Hop: 1\r\n"
		     "Set-Cookie: a=1\r\n"
		     "set-cookie: b=2\r\n"
		     "Date: Mon, 07 Nov 1994 08:49:37 GMT\r\n"
		     "Upgrade: h2c\r\n"
		     "Proxy-Connection: close\r\n"
		     "Proxy-Authenticate: Basic\r\n"
		     "Trailer: X\r\n"
		     "Content-Length: 0\r\n"
		     "\r\n",
		     &goes_on, HTTP_METHOD_GET, false);
	expect("HTTP/1.1 200 Fine, \xe9\r\n"
	       "Server: x\r\n"
	       "Set-Cookie: a=1\r\n"
	       "set-cookie: b=2\r\n"
	       "Date: Mon, 07 Nov 1994 08:49:37 GMT\r\n"
	       "Proxy-Authenticate: Basic\r\n"
	       "Trailer: X\r\n"
	       "Content-Length: 0\r\n"
	       "\r\n");
}

Test(rewrite, date_where_the_backend_sent_none)
{
	response_for("HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n", &closes, HTTP_METHOD_GET, false);
	expect("HTTP/1.1 404 \r\nContent-Length: 0\r\n" DATE "Connection: close\r\n\r\n");
	response_for("HTTP/1.1 200\r\nDate:x\r\nConnection: date\r\nContent-Length: 0\r\n\r\n",
		     &goes_on, HTTP_METHOD_GET, false);
	expect("HTTP/1.1 200 \r\nContent-Length: 0\r\n" DATE "\r\n");
	response_for("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", &goes_on, HTTP_METHOD_GET,
		     false);
	expect("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
}

Test(rewrite, date_follows_the_second)
{
	static const struct {
		uint64_t now_s;
		const char *date;
	} known[] = {
		{0, "Thu, 01 Jan 1970 00:00:00 GMT"},
		{NOW_S, "Sun, 06 Nov 1994 08:49:37 GMT"},
		{NOW_S + 1, "Sun, 06 Nov 1994 08:49:38 GMT"},
		{951825599, "Tue, 29 Feb 2000 11:59:59 GMT"},
		{1798761599, "Thu, 31 Dec 2026 23:59:59 GMT"},
		{NOW_S, "Sun, 06 Nov 1994 08:49:37 GMT"},
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		struct rewrite_response ctx = {REWRITE_CONNECTION_NONE, false, known[i].now_s};
		char want[128];

		snprintf(want, sizeof(want),
			 "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nDate: %s\r\n\r\n", known[i].date);
		response_for("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", &ctx, HTTP_METHOD_GET,
			     false);
		expect(want);
	}
}

Test(rewrite, no_length_on_1xx_and_204)
{
	response_for("HTTP/1.1 204 No Content\r\nContent-Length: 3\r\nDate: x\r\n\r\n", &goes_on,
		     HTTP_METHOD_GET, false);
	expect("HTTP/1.1 204 No Content\r\nDate: x\r\n\r\n");
	response_for("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\nDate: x\r\n\r\n",
		     &goes_on, HTTP_METHOD_GET, false);
	expect("HTTP/1.1 204 No Content\r\nDate: x\r\n\r\n");
	response_for("HTTP/1.1 100 Continue\r\nContent-Length: 3\r\n\r\n", &goes_on,
		     HTTP_METHOD_GET, false);
	expect("HTTP/1.1 100 Continue\r\n\r\n");
}

Test(rewrite, head_and_304_keep_what_a_body_would_have_had)
{
	response_for("HTTP/1.1 200 OK\r\nContent-Length: 300\r\nDate: x\r\n\r\n", &goes_on,
		     HTTP_METHOD_HEAD, false);
	expect("HTTP/1.1 200 OK\r\nContent-Length: 300\r\nDate: x\r\n\r\n");
	response_for("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nDate: x\r\n\r\n", &goes_on,
		     HTTP_METHOD_HEAD, false);
	expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nDate: x\r\n\r\n");
	response_for("HTTP/1.1 304 Not Modified\r\nContent-Length: 300\r\nDate: x\r\n\r\n",
		     &goes_on, HTTP_METHOD_GET, false);
	expect("HTTP/1.1 304 Not Modified\r\nContent-Length: 300\r\nDate: x\r\n\r\n");
}

Test(rewrite, chunked_is_said_in_lower_case)
{
	response_for("HTTP/1.1 200 OK\r\nTransfer-Encoding:Chunked\r\nDate: x\r\n\r\n", &goes_on,
		     HTTP_METHOD_GET, false);
	expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nDate: x\r\n\r\n");
}

Test(rewrite, http10_clients_get_no_chunks)
{
	struct rewrite_response ctx = closes;

	ctx.drop_chunked = true;
	response_for(
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\nDate: x\r\n\r\n",
		&ctx, HTTP_METHOD_GET, false);
	expect("HTTP/1.1 200 OK\r\nDate: x\r\nConnection: close\r\n\r\n");
	cr_assert_eq(again.framing, HTTP_BODY_UNTIL_CLOSE);
	ctx.connection = REWRITE_CONNECTION_KEEP_ALIVE;
	response_for("HTTP/1.1 200 OK\r\nContent-Length: 007\r\nDate: x\r\n\r\n", &ctx,
		     HTTP_METHOD_GET, false);
	expect("HTTP/1.1 200 OK\r\nContent-Length: 7\r\nDate: x\r\nConnection: keep-alive\r\n\r\n");
}

Test(rewrite, switching_protocols)
{
	struct rewrite_response ctx = {REWRITE_CONNECTION_UPGRADE, false, NOW_S};

	response_for("HTTP/1.1 101 Switching\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n"
		     "Sec-WebSocket-Accept: x\r\n\r\n",
		     &ctx, HTTP_METHOD_GET, true);
	expect("HTTP/1.1 101 Switching\r\nSec-WebSocket-Accept: x\r\nConnection: Upgrade\r\n"
	       "Upgrade: websocket\r\n\r\n");
	cr_assert(again.upgrade_websocket);
}

Test(rewrite, upgrade_required_says_which)
{
	static const char text[] = "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\n"
				   "Connection: Upgrade\r\nContent-Length: 0\r\nDate: x\r\n"
				   "Upgrade:h2c\r\n\r\n";
#define KEPT                                                                                      \
	"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 0\r\nDate: x\r\n" \
	"Upgrade: h2c\r\n"
	struct rewrite_response ctx = goes_on;

	response_for(text, &ctx, HTTP_METHOD_GET, false);
	expect(KEPT "Connection: Upgrade\r\n\r\n");
	ctx.connection = REWRITE_CONNECTION_CLOSE;
	response_for(text, &ctx, HTTP_METHOD_GET, false);
	expect(KEPT "Connection: close, Upgrade\r\n\r\n");
	ctx.connection = REWRITE_CONNECTION_KEEP_ALIVE;
	response_for(text, &ctx, HTTP_METHOD_GET, false);
	expect(KEPT "Connection: keep-alive, Upgrade\r\n\r\n");
	response_for("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\nDate: x\r\n\r\n",
		     &goes_on, HTTP_METHOD_GET, false);
	expect("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\nDate: x\r\n\r\n");
}

Test(rewrite, room_is_enough_for_the_worst_response)
{
	struct rewrite_response ctx = {REWRITE_CONNECTION_KEEP_ALIVE, false, NOW_S};
	char fields[1024], text[2048];

	put_empty_fields(fields, sizeof(fields), 200);
	snprintf(text, sizeof(text), "HTTP/1.1 200\r\n%s\r\n", fields);
	response_for(text, &ctx, HTTP_METHOD_GET, false);
	ctx.connection = REWRITE_CONNECTION_UPGRADE;
	response_for("HTTP/1.1 101\r\nConnection:upgrade\r\nUpgrade:websocket\r\n\r\n", &ctx,
		     HTTP_METHOD_GET, true);
}
