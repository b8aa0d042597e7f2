/*
 * http_head_test.c -- heads that are right: what is found in them, however they arrive.
 */
#include "common/http_head.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/guarded.h"
#include "tests/lib/head_reading.h"

static struct http_head head;

static void fini(void)
{
	http_head_fini(&head);
}

TestSuite(http_head, .fini = fini);

/* Read in every way, and expect it to be complete and to end at `rest` bytes before the end. */
static void read_done(const struct head_input *in, size_t rest)
{
	const char *differs;
	enum http_progress progress = head_read_every_way(&head, in, &differs);

	cr_assert_null(differs, "%s", differs);
	cr_assert_eq(progress, HTTP_DONE, "fault %d: %s", head.fault, in->bytes);
	cr_assert_eq(head.len, in->len - rest);
	cr_assert_eq(head.fault, HTTP_FAULT_NONE);
}

#define READ_REQUEST(text)      read_done(&REQUEST_OF(text), 0)
#define READ_RESPONSE(text)     read_done(&RESPONSE_OF(text), 0)
#define ASSERT_SLICE(b, s, txt) cr_assert(slice_is((b), (s), (txt)), "not \"%s\"", (txt))

Test(http_head, request_of_a_soap_client)
{
	static const char text[] = "POST /currencyconvertor.asmx?x=%2f HTTP/1.1\r\n"
				   "Host: localhost:8585\r\n"
				   "content-TYPE:text/xml;charset=UTF-8\t \r\n"
				   "SOAPAction: \"urn:ConversionRate\"\r\n"
				   "X-Empty:\r\n"
				   "X-Blank: \t\r\n"
				   "X-Obs: caf\xc3\xa9 \xff\r\n"
				   "Content-Length: 5\r\n"
				   "\r\n"
				   "hello";
	const struct http_field *f;

	read_done(&REQUEST_OF(text), 5);
	cr_assert_eq(head.kind, HTTP_REQUEST);
	cr_assert_eq(head.method, HTTP_METHOD_POST);
	ASSERT_SLICE(text, head.method_text, "POST");
	ASSERT_SLICE(text, head.target, "/currencyconvertor.asmx?x=%2f");
	cr_assert_eq(head.target_form, HTTP_TARGET_ORIGIN);
	cr_assert_eq(head.minor, 1);
	cr_assert(head.keep_alive);
	cr_assert_not(head.keep_alive_asked);
	cr_assert(head.host_present);
	ASSERT_SLICE(text, head.host, "localhost:8585");
	cr_assert_eq(head.framing, HTTP_BODY_LENGTH);
	cr_assert(head.content_length_known);
	cr_assert_eq(head.content_length, 5);
	cr_assert_eq(head.max_forwards, UINT32_MAX);
	cr_assert_eq(head.empty_lines, 0);
	cr_assert_eq(head.field_count, 7);
	f = head.fields;
	cr_assert_eq(f[0].id, HTTP_FIELD_HOST);
	cr_assert_eq(f[1].id, HTTP_FIELD_CONTENT_TYPE);
	ASSERT_SLICE(text, f[1].name, "content-TYPE");
	ASSERT_SLICE(text, f[1].value, "text/xml;charset=UTF-8");
	cr_assert_eq(f[2].id, HTTP_FIELD_SOAP_ACTION);
	ASSERT_SLICE(text, f[2].value, "\"urn:ConversionRate\"");
	cr_assert_eq(f[3].id, HTTP_FIELD_OTHER);
	ASSERT_SLICE(text, f[3].name, "X-Empty");
	ASSERT_SLICE(text, f[3].value, "");
	ASSERT_SLICE(text, f[4].value, "");
	ASSERT_SLICE(text, f[5].value, "caf\xc3\xa9 \xff");
	cr_assert_eq(f[6].id, HTTP_FIELD_CONTENT_LENGTH);
	cr_assert_eq(http_head_find(&head, HTTP_FIELD_SOAP_ACTION), &head.fields[2]);
	cr_assert_null(http_head_find(&head, HTTP_FIELD_VIA));
}

Test(http_head, every_known_field_has_its_id_in_any_case)
{
	static const struct {
		const char *name;
		enum http_field_id id;
	} known[] = {
		{"Connection", HTTP_FIELD_CONNECTION},
		{"Date", HTTP_FIELD_DATE},
		{"EXPECT", HTTP_FIELD_EXPECT},
		{"HTTP2-Settings", HTTP_FIELD_HTTP2_SETTINGS},
		{"keep-alive", HTTP_FIELD_KEEP_ALIVE},
		{"Max-Forwards", HTTP_FIELD_MAX_FORWARDS},
		{"Proxy-Authenticate", HTTP_FIELD_PROXY_AUTHENTICATE},
		{"Proxy-Authorization", HTTP_FIELD_PROXY_AUTHORIZATION},
		{"PROXY-CONNECTION", HTTP_FIELD_PROXY_CONNECTION},
		{"SoapAction", HTTP_FIELD_SOAP_ACTION},
		{"Content-Type", HTTP_FIELD_CONTENT_TYPE},
		{"te", HTTP_FIELD_TE},
		{"Trailer", HTTP_FIELD_TRAILER},
		{"Upgrade", HTTP_FIELD_UPGRADE},
		{"VIA", HTTP_FIELD_VIA},
		{"x-forwarded-FOR", HTTP_FIELD_X_FORWARDED_FOR},
		{"X-Forwarded-Host", HTTP_FIELD_X_FORWARDED_HOST},
		{"X-Forwarded-Proto", HTTP_FIELD_X_FORWARDED_PROTO},
		{"Hosts", HTTP_FIELD_OTHER},
		{"Dato", HTTP_FIELD_OTHER},
		{"Content_Length", HTTP_FIELD_OTHER},
		{"Transfer-Encodinh", HTTP_FIELD_OTHER},
		{"V", HTTP_FIELD_OTHER},
		{"X-Forwarded-By-Whom-Ever", HTTP_FIELD_OTHER},
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		char text[128];
		struct head_input in = {.kind = HTTP_REQUEST, .bytes = text};

		in.len = (size_t)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n%s: 1\r\n\r\n",
					  known[i].name);
		read_done(&in, 0);
		cr_assert_eq(head.fields[0].id, known[i].id, "%s", known[i].name);
	}
}

Test(http_head, methods)
{
	static const struct {
		const char *name;
		enum http_method method;
		bool idempotent;
	} known[] = {
		{"GET", HTTP_METHOD_GET, true},         {"HEAD", HTTP_METHOD_HEAD, true},
		{"POST", HTTP_METHOD_POST, false},      {"PUT", HTTP_METHOD_PUT, true},
		{"DELETE", HTTP_METHOD_DELETE, true},   {"OPTIONS", HTTP_METHOD_OPTIONS, true},
		{"TRACE", HTTP_METHOD_TRACE, true},     {"PATCH", HTTP_METHOD_OTHER, false},
		{"PROPFIND", HTTP_METHOD_OTHER, false},
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		char text[128];
		struct head_input in = {.kind = HTTP_REQUEST, .bytes = text};

		in.len = (size_t)snprintf(text, sizeof(text), "%s / HTTP/1.1\r\nHost: a\r\n\r\n",
					  known[i].name);
		read_done(&in, 0);
		cr_assert_eq(head.method, known[i].method, "%s", known[i].name);
		cr_assert_eq(http_method_idempotent(head.method), known[i].idempotent, "%s",
			     known[i].name);
		ASSERT_SLICE(text, head.method_text, known[i].name);
	}
}

Test(http_head, connect_is_read_with_its_authority)
{
	READ_REQUEST("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n");
	cr_assert_eq(head.method, HTTP_METHOD_CONNECT);
	cr_assert_eq(head.target_form, HTTP_TARGET_AUTHORITY);
	READ_REQUEST("CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: a\r\n\r\n");
}

Test(http_head, absolute_targets_are_taken_apart)
{
	static const struct {
		const char *target;
		const char *authority;
		const char *path;
	} known[] = {
		{"http://a.example/x?y", "a.example", "/x?y"},
		{"HTTP://a.example:81", "a.example:81", ""},
		{"https://[::1]:8443?q", "[::1]:8443", "?q"},
		{"http://10.0.0.1:/", "10.0.0.1:", "/"},
		{"http://a%2Db/?http://c@d/", "a%2Db", "/?http://c@d/"},
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		char text[128];
		struct head_input in = {.kind = HTTP_REQUEST, .bytes = text};

		in.len = (size_t)snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: b\r\n\r\n",
					  known[i].target);
		read_done(&in, 0);
		cr_assert_eq(head.target_form, HTTP_TARGET_ABSOLUTE);
		ASSERT_SLICE(text, head.target, known[i].target);
		ASSERT_SLICE(text, head.target_authority, known[i].authority);
		ASSERT_SLICE(text, head.target_path, known[i].path);
	}
}

Test(http_head, asterisk_for_options)
{
	READ_REQUEST("OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 007\r\n\r\n");
	cr_assert_eq(head.target_form, HTTP_TARGET_ASTERISK);
	cr_assert_eq(head.max_forwards, 7);
	READ_REQUEST("TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 99999999999999999999\r\n\r\n");
	cr_assert_eq(head.max_forwards, UINT32_MAX - 1);
	READ_REQUEST("TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 4294967290\r\n\r\n");
	cr_assert_eq(head.max_forwards, 4294967290);
	READ_REQUEST("TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 1x\r\n\r\n");
	cr_assert_eq(head.max_forwards, UINT32_MAX);
	READ_REQUEST("TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards:\r\n\r\n");
	cr_assert_eq(head.max_forwards, UINT32_MAX);
	READ_REQUEST("TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 9999999999\r\n\r\n");
	cr_assert_eq(head.max_forwards, UINT32_MAX - 1);
	READ_REQUEST("GET / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 3\r\n\r\n");
	cr_assert_eq(head.max_forwards, UINT32_MAX);
}

Test(http_head, hosts_that_are_right)
{
	static const char *const hosts[] = {
		"a",
		"a.b-c_d.example",
		"1.2.3.4:65535",
		"[::1]",
		"[2001:db8::7]:0",
		"example.com:",
		"%41~!$&'()*+,;=",
	};

	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		char text[128];
		struct head_input in = {.kind = HTTP_REQUEST, .bytes = text};

		in.len = (size_t)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: %s\r\n\r\n",
					  hosts[i]);
		read_done(&in, 0);
		ASSERT_SLICE(text, head.host, hosts[i]);
	}
}

Test(http_head, no_host_and_an_empty_host)
{
	READ_REQUEST("GET / HTTP/1.1\r\n\r\n");
	cr_assert_not(head.host_present);
	cr_assert_eq(head.host.len, 0);
	READ_REQUEST("GET / HTTP/1.1\r\nHost:  \r\n\r\n");
	cr_assert(head.host_present);
	cr_assert_eq(head.host.len, 0);
}

Test(http_head, empty_lines_before_a_request_are_skipped)
{
	static const char text[] = "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";

	read_done(&REQUEST_OF(text), 0);
	cr_assert_eq(head.empty_lines, 2);
	ASSERT_SLICE(text, head.method_text, "GET");
	ASSERT_SLICE(text, head.fields[0].name, "Host");
}

Test(http_head, started_with_the_first_byte_of_the_start_line)
{
	struct http_limits limits = {4096, 32};

	cr_assert_not(http_head_started(&head));
	cr_assert(http_head_init(&head, HTTP_REQUEST, &limits, HTTP_METHOD_OTHER, false));
	cr_assert_not(http_head_started(&head));
	cr_assert_eq(http_head_read(&head, "\r\n\r", 3), HTTP_MORE);
	cr_assert_not(http_head_started(&head));
	cr_assert_eq(http_head_read(&head, "\r\n\r\nG", 5), HTTP_MORE);
	cr_assert(http_head_started(&head));
}

Test(http_head, body_framing_of_requests)
{
	READ_REQUEST("POST / HTTP/1.1\r\nHost: a\r\n\r\n");
	cr_assert_eq(head.framing, HTTP_BODY_NONE);
	cr_assert_not(head.content_length_known);
	READ_REQUEST("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
	cr_assert_eq(head.framing, HTTP_BODY_LENGTH);
	cr_assert_eq(head.content_length, 0);
	READ_REQUEST("POST / HTTP/1.0\r\nContent-Length: 0009223372036854775807\r\n\r\n");
	cr_assert_eq(head.content_length, INT64_MAX);
	READ_REQUEST("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \tChunked \r\n\r\n");
	cr_assert_eq(head.framing, HTTP_BODY_CHUNKED);
}

Test(http_head, body_framing_of_responses)
{
	struct head_input in;

	READ_RESPONSE("HTTP/1.1 200 OK\r\n\r\n");
	cr_assert_eq(head.framing, HTTP_BODY_UNTIL_CLOSE);
	cr_assert_not(head.keep_alive);
	READ_RESPONSE("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n");
	cr_assert_eq(head.framing, HTTP_BODY_LENGTH);
	cr_assert_not(head.no_body);
	READ_RESPONSE("HTTP/1.1 500 \r\nTransfer-Encoding: chunked\r\n\r\n");
	cr_assert_eq(head.framing, HTTP_BODY_CHUNKED);
	READ_RESPONSE("HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n");
	cr_assert_eq(head.framing, HTTP_BODY_NONE);
	cr_assert(head.no_body);
	READ_RESPONSE("HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n");
	cr_assert_eq(head.framing, HTTP_BODY_NONE);
	cr_assert(head.content_length_known);
	READ_RESPONSE("HTTP/1.1 100 Continue\r\n\r\n");
	cr_assert_eq(head.framing, HTTP_BODY_NONE);
	in = RESPONSE_OF("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	in.request_method = HTTP_METHOD_HEAD;
	read_done(&in, 0);
	cr_assert_eq(head.framing, HTTP_BODY_NONE);
	cr_assert(head.no_body);
}

Test(http_head, status_line_and_reason)
{
	static const char text[] = "HTTP/1.0 599 caf\xe9 \t!\r\nServer: x\r\n\r\n";

	read_done(&RESPONSE_OF(text), 0);
	cr_assert_eq(head.status, 599);
	cr_assert_eq(head.minor, 0);
	ASSERT_SLICE(text, head.reason, "caf\xe9 \t!");
	READ_RESPONSE("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n");
	cr_assert_eq(head.reason.len, 0);
	READ_RESPONSE("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n");
	cr_assert_eq(head.reason.len, 0);
}

Test(http_head, persistence)
{
	static const struct {
		const char *version;
		const char *connection;
		bool keep_alive, asked;
	} known[] = {
		{"1.1", "X: y", true, false},
		{"1.1", "Connection: close", false, false},
		{"1.1", "Connection: keep-alive, CLOSE", false, true},
		{"1.1", "Connection: closed", true, false},
		{"1.0", "X: y", false, false},
		{"1.0", "Connection: Keep-Alive", true, true},
		{"1.0", "Connection: close\r\nConnection: keep-alive", false, true},
		{"1.0", "Proxy-Connection: keep-alive", false, false},
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		char text[160];
		struct head_input in = {.kind = HTTP_REQUEST, .bytes = text};

		in.len = (size_t)snprintf(text, sizeof(text), "GET / HTTP/%s\r\n%s\r\n\r\n",
					  known[i].version, known[i].connection);
		read_done(&in, 0);
		cr_assert_eq(head.keep_alive, known[i].keep_alive, "%s", text);
		cr_assert_eq(head.keep_alive_asked, known[i].asked, "%s", text);
	}
}

Test(http_head, keep_alive_timeout)
{
	READ_RESPONSE(
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: max=9, timeout=15\r\n\r\n");
	cr_assert_eq(head.keep_alive_timeout_s, 15);
	READ_RESPONSE("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: timeout=x\r\n\r\n");
	cr_assert_eq(head.keep_alive_timeout_s, UINT32_MAX);
	READ_RESPONSE("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	cr_assert_eq(head.keep_alive_timeout_s, UINT32_MAX);
}

Test(http_head, nominated_fields)
{
	static const char text[] =
		"GET / HTTP/1.1\r\n"
		"X-One: 1\r\n"
		"Connection: x-one,,Host , Via, X-Forwarded-For,content-length\r\n"
		"Host: a\r\n"
		"Via: 1.1 x\r\n"
		"X-Forwarded-For: 1.2.3.4\r\n"
		"Content-Length: 0\r\n"
		"X-Two: 2\r\n"
		"connection: X-TWO\r\n"
		"X-One: again\r\n"
		"X-On: 3\r\n"
		"\r\n";
	static const char close[] = "GET / HTTP/1.1\r\nConnection: TE, Close\r\nclose: 1\r\n\r\n";
	static const bool nominated[] = {true,  false, false, false, false,
					 false, true,  false, true,  false};

	read_done(&REQUEST_OF(text), 0);
	cr_assert_eq(head.field_count, ARRAY_LEN(nominated));
	for (size_t i = 0; i < ARRAY_LEN(nominated); i++)
		cr_assert_eq(head.fields[i].nominated, nominated[i], "field %zu", i);
	cr_assert(head.connection_names);
	read_done(&REQUEST_OF(close), 0);
	cr_assert(head.fields[1].nominated);
	cr_assert_not(head.connection_names, "but for what is never passed on anyway");
}

Test(http_head, expectations)
{
	READ_REQUEST("POST / HTTP/1.1\r\nExpect: 100-Continue\r\n\r\n");
	cr_assert(head.expect_continue);
	READ_REQUEST("POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n");
	cr_assert_not(head.expect_continue);
	READ_REQUEST("POST / HTTP/1.1\r\nExpect: 200-maybe\r\n\r\n");
	cr_assert_not(head.expect_continue);
	READ_REQUEST("POST / HTTP/1.1\r\nExpect: 100-continue\r\nConnection: Expect\r\n\r\n");
	cr_assert_not(head.expect_continue, "it goes no further than here");
}

Test(http_head, websocket_upgrade_of_a_request)
{
	READ_REQUEST("GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n"
		     "Upgrade: WebSocket\r\n\r\n");
	cr_assert(head.upgrade_websocket);
	READ_REQUEST("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n");
	cr_assert_not(head.upgrade_websocket, "the option is missing");
	READ_REQUEST("POST / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
	cr_assert_not(head.upgrade_websocket, "only for GET");
	READ_REQUEST("GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
	cr_assert_not(head.upgrade_websocket, "not in HTTP/1.0");
	READ_REQUEST("GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n");
	cr_assert_not(head.upgrade_websocket);
	READ_REQUEST("GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
		     "Content-Length: 1\r\n\r\n");
	cr_assert_not(head.upgrade_websocket, "with a body nobody knows where the tunnel begins");
}

Test(http_head, switching_protocols_when_asked)
{
	struct head_input in = RESPONSE_OF("HTTP/1.1 101 Switching Protocols\r\n"
					   "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n");

	in.request_upgrade = true;
	read_done(&in, 0);
	cr_assert(head.upgrade_websocket);
	cr_assert(head.no_body);
}

Test(http_head, limits_are_exact)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n";
	struct head_input in = REQUEST_OF(text);

	in.limits = (struct http_limits){sizeof(text) - 1, 2};
	read_done(&in, 0);
	cr_assert_eq(head.field_count, 2);
}

Test(http_head, lower_limits_than_before_hold)
{
	static const char text[] = "GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n";
	struct head_input in = REQUEST_OF(text);
	const char *differs;

	read_done(&in, 0);
	in.limits.max_fields = 2;
	cr_assert_eq(head_read_every_way(&head, &in, &differs), HTTP_BAD);
	cr_assert_null(differs, "%s", differs);
	cr_assert_eq(head.fault, HTTP_FAULT_TOO_LARGE);
}

Test(http_head, many_fields_in_a_used_struct)
{
	char text[8192] = "GET / HTTP/1.1\r\n";
	struct head_input in = {.kind = HTTP_REQUEST, .bytes = text, .limits = {8192, 256}};
	size_t at = strlen(text);

	READ_REQUEST("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	for (int i = 0; i < 256; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "X-%d: %d\r\n", i, i);
	at += (size_t)snprintf(text + at, sizeof(text) - at, "\r\n");
	in.len = at;
	read_done(&in, 0);
	cr_assert_eq(head.field_count, 256);
	ASSERT_SLICE(text, head.fields[255].name, "X-255");
	ASSERT_SLICE(text, head.fields[255].value, "255");
}

Test(http_head, done_stays_done_and_bad_stays_bad)
{
	struct http_limits limits = {4096, 32};
	static const char good[] = "GET / HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n";
	static const char bad[] = "GET  / HTTP/1.1\r\n\r\n";

	cr_assert(http_head_init(&head, HTTP_REQUEST, &limits, HTTP_METHOD_OTHER, false));
	cr_assert_eq(http_head_read(&head, good, sizeof(good) - 1), HTTP_DONE);
	cr_assert_eq(http_head_read(&head, good, sizeof(good) - 1), HTTP_DONE);
	cr_assert_eq(head.len, 18);
	cr_assert(http_head_init(&head, HTTP_REQUEST, &limits, HTTP_METHOD_OTHER, false));
	cr_assert_eq(http_head_read(&head, bad, sizeof(bad) - 1), HTTP_BAD);
	cr_assert_eq(http_head_read(&head, good, sizeof(good) - 1), HTTP_BAD);
}

/* A head that arrives byte by byte must not cost its length squared: 64 KiB took minutes then. */
Test(http_head, dribbled_head_costs_its_length_once, .timeout = 10)
{
	struct http_limits limits = {1 << 20, 32};
	size_t len = 1 << 20;
	char *text = malloc(len);
	size_t start;

	cr_assert_not_null(text);
	start = (size_t)snprintf(text, len, "GET / HTTP/1.1\r\nX: ");
	memset(text + start, 'v', len - start);
	text[len - 4] = text[len - 2] = '\r';
	text[len - 3] = text[len - 1] = '\n';
	cr_assert(http_head_init(&head, HTTP_REQUEST, &limits, HTTP_METHOD_OTHER, false));
	for (size_t i = 1; i < len; i++)
		cr_assert_eq(http_head_read(&head, text, i), HTTP_MORE);
	cr_assert_eq(http_head_read(&head, text, len), HTTP_DONE);
	cr_assert_eq(head.fields[0].value.len, len - start - 4);
	free(text);
}

Test(http_head, each_fault_has_its_sentence)
{
	for (int a = HTTP_FAULT_NONE; a <= HTTP_FAULT_MEMORY; a++)
		for (int b = HTTP_FAULT_NONE; b < a; b++)
			cr_assert_str_neq(http_fault_text((enum http_fault)a),
					  http_fault_text((enum http_fault)b));
}
