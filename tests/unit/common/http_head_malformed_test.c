/*
 * http_head_malformed_test.c -- heads that must be refused, each with the rule that it breaks, and
 * proof that llhttp runs in strict mode.
 *
 * Every row is read at once, byte by byte and split at every place, and must be refused alike. What
 * the peers and the log see of such messages is asserted by the flow tests, on tests/data.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/http_head.h"
#include "tests/lib/head_reading.h"

struct row {
	enum http_fault fault;
	const char *rule;
	const char *text;
	size_t len;
};

#define ROW(fault, rule, text)                                   \
	{                                                        \
		HTTP_FAULT_##fault, rule, text, sizeof(text) - 1 \
	}

/* A valid request line and Host before, the end of the head behind. */
#define FIELDS(fault, rule, text) ROW(fault, rule, "POST / HTTP/1.1\r\nHost: a\r\n" text "\r\n\r\n")
#define LINE(fault, rule, text)   ROW(fault, rule, text "\r\nHost: a\r\n\r\n")

static const struct row request_lines[] = {
	LINE(SYNTAX, "9112 3: a method", " / HTTP/1.1"),
	LINE(SYNTAX, "9112 3: a method is a token", "GE(T / HTTP/1.1"),
	LINE(SYNTAX, "9112 3: a method is a token", "G\xc3\x89T / HTTP/1.1"),
	LINE(SYNTAX, "9112 3: one SP", "GET  / HTTP/1.1"),
	LINE(SYNTAX, "9112 3: one SP", "GET /  HTTP/1.1"),
	LINE(SYNTAX, "9112 3: SP, no HTAB", "GET\t/ HTTP/1.1"),
	LINE(SYNTAX, "9112 3: SP, no HTAB", "GET /\tHTTP/1.1"),
	LINE(SYNTAX, "9112 3: no white space before it", " GET / HTTP/1.1"),
	LINE(SYNTAX, "9112 3: no white space behind it", "GET / HTTP/1.1 "),
	LINE(SYNTAX, "9112 3: no white space in the target", "GET /a b HTTP/1.1"),
	LINE(SYNTAX, "9112 3: a target", "GET HTTP/1.1"),
	LINE(SYNTAX, "9112 3: a version; this is HTTP/0.9", "GET /"),
	LINE(SYNTAX, "9112 3: a version", "GET / "),
	LINE(SYNTAX, "9112 3: method, target and version", "GET"),
	LINE(SYNTAX, "9112 2.3: HTTP in capitals", "GET / http/1.1"),
	LINE(SYNTAX, "9112 2.3: HTTP", "GET / HTTQ/1.1"),
	LINE(SYNTAX, "9112 2.3: HTTP, no RTSP", "GET / RTSP/1.0"),
	LINE(SYNTAX, "9112 2.3: HTTP, no ICE", "SOURCE / ICE/1.0"),
	LINE(SYNTAX, "9112 2.3: one digit, dot, one digit", "GET / HTTP/1.10"),
	LINE(SYNTAX, "9112 2.3: one digit, dot, one digit", "GET / HTTP/1"),
	LINE(SYNTAX, "9112 2.3: one digit, dot, one digit", "GET / HTTP/01.1"),
	LINE(SYNTAX, "9112 2.3: one digit, dot, one digit", "GET / HTTP/1,1"),
	LINE(SYNTAX, "9112 2.3: one digit, dot, one digit", "GET / HTTP/1.x"),
	LINE(SYNTAX, "9112 2.3: no space", "GET / HTTP/ 1.1"),
	LINE(VERSION, "9110 15.6.6: a version not spoken", "GET / HTTP/0.9"),
	LINE(VERSION, "9110 15.6.6: a version not spoken", "GET / HTTP/1.2"),
	LINE(VERSION, "9110 15.6.6: a version not spoken", "GET / HTTP/2.0"),
	ROW(VERSION, "9113 3.4: the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
	LINE(METHOD_UNKNOWN, "9110 15.6.2: a method not known", "FOO / HTTP/1.1"),
	LINE(METHOD_UNKNOWN, "9110 9.1: methods are case-sensitive", "get / HTTP/1.1"),
	LINE(METHOD_UNKNOWN, "9110 15.6.2: a method not known", "GETT / HTTP/1.1"),
	LINE(METHOD_UNKNOWN, "9110 15.6.2: a method not known", "G / HTTP/1.1"),
	LINE(METHOD_UNKNOWN, "9110 15.6.2: a method of RTSP", "DESCRIBE / HTTP/1.1"),
	LINE(METHOD_UNKNOWN, "9113 11.6: PRI is no method", "PRI / HTTP/1.1"),
	LINE(METHOD_UNKNOWN, "9110 15.6.2: a method of RTSP", "PLAY / HTTP/1.0"),
	LINE(SYNTAX, "9112 3.2: no fragment", "GET /#top HTTP/1.1"),
	LINE(SYNTAX, "9112 3.2: no fragment", "GET http://a/#top HTTP/1.1"),
	LINE(SYNTAX, "3986 2: no obs-text in a target", "GET /caf\xc3\xa9 HTTP/1.1"),
	LINE(SYNTAX, "3986 2: no DEL in a target", "GET /\x7f HTTP/1.1"),
	LINE(SYNTAX, "9112 3.2.1: origin form begins with /", "GET index.html HTTP/1.1"),
	LINE(SYNTAX, "9112 3.2.1: origin form begins with /", "GET ?q HTTP/1.1"),
	LINE(SYNTAX, "9112 3.2.4: * only for OPTIONS", "GET * HTTP/1.1"),
	LINE(SYNTAX, "9112 3.2.4: * alone", "OPTIONS *x HTTP/1.1"),
	LINE(SYNTAX, "9110 4.2: a foreign scheme", "GET ftp://a/ HTTP/1.1"),
	LINE(SYNTAX, "9110 4.2: a foreign scheme", "GET httpx://a/ HTTP/1.1"),
	LINE(SYNTAX, "9110 4.2: a foreign scheme", "GET urn:x HTTP/1.1"),
	LINE(SYNTAX, "9110 4.2.1: an empty host", "GET http:///x HTTP/1.1"),
	LINE(SYNTAX, "9110 4.2.1: an empty host", "GET http://:80/ HTTP/1.1"),
	LINE(SYNTAX, "9110 4.2.1: an empty host", "GET http:// HTTP/1.1"),
	LINE(SYNTAX, "9110 4.2.4: no userinfo", "GET http://u:p@a/ HTTP/1.1"),
	LINE(SYNTAX, "9110 4.2.4: no userinfo", "GET http://@a/ HTTP/1.1"),
	LINE(SYNTAX, "3986 3.2.3: a port", "GET http://a:65536/ HTTP/1.1"),
	LINE(SYNTAX, "3986 3.2.3: a port", "GET http://a:8x/ HTTP/1.1"),
	LINE(SYNTAX, "3986 3.2.3: a port", "GET http://a:-1/ HTTP/1.1"),
	LINE(SYNTAX, "3986 3.2.2: an IPv6 address", "GET http://[::g]/ HTTP/1.1"),
	LINE(SYNTAX, "3986 3.2.2: brackets that close", "GET http://[::1/ HTTP/1.1"),
	LINE(SYNTAX, "3986 3.2.2: a host", "GET http://a\\b/ HTTP/1.1"),
	LINE(SYNTAX, "9112 3.2.3: authority form for CONNECT", "CONNECT / HTTP/1.1"),
	LINE(SYNTAX, "9112 3.2.3: a port for CONNECT", "CONNECT a HTTP/1.1"),
	LINE(SYNTAX, "9112 3.2.3: a port for CONNECT", "CONNECT a: HTTP/1.1"),
	LINE(SYNTAX, "9112 3.2.3: a port for CONNECT", "CONNECT [::1] HTTP/1.1"),
	LINE(SYNTAX, "9112 3.2.3: no scheme for CONNECT", "CONNECT http://a:80 HTTP/1.1"),
	ROW(SYNTAX, "9112 2.2: a bare LF ends no line", "GET / HTTP/1.1\nHost: a\r\n\r\n"),
	ROW(SYNTAX, "9112 2.2: a bare CR ends no line", "GET / HTTP/1.1\rHost: a\r\n\r\n"),
	ROW(SYNTAX, "9112 2.2: CR CR LF", "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"),
	ROW(SYNTAX, "9112 2.2: a bare LF before the line", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
	ROW(SYNTAX, "9112 2.2: a bare CR before the line", "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
	ROW(SYNTAX, "9112 2.2: a bare CR before the line", "\r\n\r\rGET / HTTP/1.1\r\n\r\n"),
	ROW(SYNTAX, "9112 2.2: no NUL", "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"),
	ROW(SYNTAX, "9112 2.2: no NUL", "\0GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
	ROW(SYNTAX, "not HTTP: a TLS ClientHello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
	ROW(SYNTAX, "9112 2.2: no white space behind it", "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
};

static const struct row request_fields[] = {
	FIELDS(SYNTAX, "9112 5.1: no space before the colon", "X : y"),
	FIELDS(SYNTAX, "9112 5.1: no space before the colon", "X\t: y"),
	FIELDS(SYNTAX, "9112 5.1: no space in a name", "X y: z"),
	FIELDS(SYNTAX, "9112 5.1: no space before the colon", "Content-Length : 3"),
	FIELDS(SYNTAX, "9112 5.1: no space before the colon", "Transfer-Encoding : chunked"),
	FIELDS(SYNTAX, "9110 5.1: a name is not empty", ": y"),
	FIELDS(SYNTAX, "9110 5.1: a name is not empty", ":"),
	FIELDS(SYNTAX, "9110 5.1: a name is a token", "X@: y"),
	FIELDS(SYNTAX, "9110 5.1: a name is a token", "\"X\": y"),
	FIELDS(SYNTAX, "9110 5.1: a name is a token", "X\xe4: y"),
	FIELDS(SYNTAX, "9110 5.1: a name is a token", "X\x7f: y"),
	FIELDS(SYNTAX, "9110 5.1: a name is a token", "X\0: y"),
	FIELDS(SYNTAX, "9112 5: a colon", "X"),
	FIELDS(SYNTAX, "9112 5: a colon", "X\r\nY: z"),
	FIELDS(SYNTAX, "9112 5.2: obs-fold", "X: y\r\n z"),
	FIELDS(SYNTAX, "9112 5.2: obs-fold", "X: y\r\n\tz"),
	FIELDS(SYNTAX, "9112 5.2: obs-fold", "X: y\r\n "),
	FIELDS(SYNTAX, "9112 5.2: obs-fold", "X:\r\n y"),
	FIELDS(SYNTAX, "9112 5.2: obs-fold", "Transfer-Encoding:\r\n chunked"),
	FIELDS(SYNTAX, "9112 5.2: obs-fold", "Content-Length: 3\r\n 4"),
	FIELDS(SYNTAX, "9112 2.2: a bare LF", "X: y\nZ: z"),
	FIELDS(SYNTAX, "9112 2.2: a bare LF", "X: y\n"),
	FIELDS(SYNTAX, "9112 2.2: a bare LF", "X: y\n\nGET /2 HTTP/1.1"),
	FIELDS(SYNTAX, "9112 2.2: a bare LF", "\nX: y"),
	FIELDS(SYNTAX, "9112 2.2: a bare CR", "X: y\rZ: z"),
	FIELDS(SYNTAX, "9112 2.2: a bare CR", "X: y\r"),
	FIELDS(SYNTAX, "9112 2.2: a bare CR, CVE-2023-30589", "X-Abc:\rTransfer-Encoding: chunked"),
	FIELDS(SYNTAX, "9112 2.2: a bare CR", "X: y\r\rZ: z"),
	FIELDS(SYNTAX, "9112 2.2: a bare CR", "X: y\r\n\rZ: z"),
	FIELDS(SYNTAX, "9112 2.2: a bare CR", "X\r: y"),
	ROW(SYNTAX, "9112 2.1: a head ends with CRLF", "GET / HTTP/1.1\r\nHost: a\r\n\n"),
	ROW(SYNTAX, "9112 2.1: a head ends with CRLF", "GET / HTTP/1.1\r\nHost: a\n\r\n"),
	ROW(SYNTAX, "9112 2.1: a head ends with CRLF", "GET / HTTP/1.1\r\nHost: a\r\n\rX"),
	FIELDS(SYNTAX, "9110 5.5: no NUL in a value", "X: a\0b"),
	FIELDS(SYNTAX, "9110 5.5: no control in a value", "X: a\x01"),
	FIELDS(SYNTAX, "9110 5.5: no control in a value", "X: \x1b[0m"),
	FIELDS(SYNTAX, "9110 5.5: no control in a value", "X: \x0b"),
	FIELDS(SYNTAX, "9110 5.5: no DEL in a value", "X: a\x7f"),
	FIELDS(SYNTAX, "9112 6.3: both framings",
	       "Transfer-Encoding: chunked\r\nContent-Length: 3"),
	FIELDS(SYNTAX, "9112 6.3: both framings",
	       "Content-Length: 3\r\nTransfer-Encoding: chunked"),
	FIELDS(SYNTAX, "9112 6.3: both framings",
	       "Content-Length: 0\r\nTransfer-encoding: chunked"),
	FIELDS(SYNTAX, "9112 6.3: two lengths", "Content-Length: 3\r\nContent-Length: 4"),
	FIELDS(SYNTAX, "9112 6.3: two lengths", "Content-Length: 3\r\nContent-Length: 3"),
	FIELDS(SYNTAX, "9112 6.3: two lengths", "Content-Length: 3\r\ncontent-length: 3"),
	FIELDS(SYNTAX, "9110 8.6: a list of lengths", "Content-Length: 3, 3"),
	FIELDS(SYNTAX, "9110 8.6: digits", "Content-Length: +3"),
	FIELDS(SYNTAX, "9110 8.6: digits", "Content-Length: -3"),
	FIELDS(SYNTAX, "9110 8.6: digits", "Content-Length: 0x3"),
	FIELDS(SYNTAX, "9110 8.6: digits", "Content-Length: 3 4"),
	FIELDS(SYNTAX, "9110 8.6: digits", "Content-Length: 3,"),
	FIELDS(SYNTAX, "9110 8.6: digits", "Content-Length: 3.0"),
	FIELDS(SYNTAX, "9110 8.6: digits", "Content-Length: \"3\""),
	FIELDS(SYNTAX, "9110 8.6: digits", "Content-Length:"),
	FIELDS(SYNTAX, "9110 8.6: digits", "Content-Length:  "),
	FIELDS(SYNTAX, "none: llhttp takes SP behind the digits, but no HTAB",
	       "Content-Length: 3\t"),
	FIELDS(SYNTAX, "9110 8.6: an overflow", "Content-Length: 9223372036854775808"),
	FIELDS(SYNTAX, "9110 8.6: an overflow", "Content-Length: 18446744073709551616"),
	FIELDS(SYNTAX, "9110 8.6: an overflow", "Content-Length: 99999999999999999999999999"),
	FIELDS(CODING, "9112 6.1: a coding not known", "Transfer-Encoding: gzip, chunked"),
	FIELDS(SYNTAX, "9112 6.1: chunked once", "Transfer-Encoding: chunked, chunked"),
	FIELDS(SYNTAX, "9112 6.1: chunked once",
	       "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
	FIELDS(CODING, "9112 6.1: a coding not known",
	       "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked"),
	FIELDS(CODING, "none: chunked alone, but it is no list here",
	       "Transfer-Encoding: ,chunked"),
	FIELDS(SYNTAX, "9112 6.3: chunked is last", "Transfer-Encoding: gzip"),
	FIELDS(SYNTAX, "9112 6.3: chunked is last", "Transfer-Encoding: xchunked"),
	FIELDS(SYNTAX, "9112 6.3: chunked is last", "Transfer-Encoding: chunkedx"),
	FIELDS(SYNTAX, "9112 6.3: chunked is last", "Transfer-Encoding: identity"),
	FIELDS(SYNTAX, "9112 6.3: chunked is last", "Transfer-Encoding: chunked, gzip"),
	FIELDS(SYNTAX, "9112 6.3: chunked is last",
	       "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
	FIELDS(SYNTAX, "9112 7: no parameter of chunked", "Transfer-Encoding: chunked;q=1"),
	FIELDS(SYNTAX, "9112 7: a coding is a token", "Transfer-Encoding: \"chunked\""),
	FIELDS(SYNTAX, "none: chunked alone, but it is no list here",
	       "Transfer-Encoding: chunked,"),
	FIELDS(CODING, "none: chunked alone, but it is no list here",
	       "Transfer-Encoding: chunked\r\nTransfer-Encoding:"),
	ROW(SYNTAX, "9112 6.1: not in HTTP/1.0",
	    "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
	FIELDS(HOST, "9112 3.2: one Host", "Host: a"),
	FIELDS(HOST, "9112 3.2: one Host", "hOST: b"),
	FIELDS(HOST, "9112 3.2: one Host", "Host:"),
};

#define HOST(rule, value) ROW(HOST, rule, "GET / HTTP/1.1\r\nHost: " value "\r\n\r\n")

static const struct row hosts[] = {
	HOST("9110 7.2: no list", "a, b"),
	HOST("9110 7.2: no path", "a/b"),
	HOST("9110 7.2: no userinfo", "u@a"),
	HOST("9110 7.2: no scheme", "http://a"),
	HOST("3986 3.2.2: a host", "a b"),
	HOST("3986 3.2.2: a host", ":80"),
	HOST("3986 3.2.2: a host", "a\\b"),
	HOST("3986 3.2.2: a host", "a?b"),
	HOST("3986 3.2.2: a host", "a#b"),
	HOST("3986 3.2.2: a host", "caf\xc3\xa9"),
	HOST("3986 2.1: two hex digits", "a%4"),
	HOST("3986 2.1: two hex digits", "a%zz"),
	HOST("3986 3.2.3: a port", "a:80x"),
	HOST("3986 3.2.3: a port", "a:80:81"),
	HOST("3986 3.2.3: a port", "a:65536"),
	HOST("3986 3.2.3: a port", "a: 80"),
	HOST("3986 3.2.2: an IPv6 address", "[::1"),
	HOST("3986 3.2.2: an IPv6 address", "[]"),
	HOST("3986 3.2.2: an IPv6 address", "[::1]x"),
	HOST("3986 3.2.2: brackets", "::1"),
	HOST("6874: no zone", "[fe80::1%25eth0]"),
	HOST("3986 3.2.2: brackets", "[a]"),
};

#define STATUS(rule, line) ROW(SYNTAX, rule, line "\r\nContent-Length: 0\r\n\r\n")
#define ANSWER(rule, text) ROW(SYNTAX, rule, "HTTP/1.1 200 OK\r\n" text "\r\n\r\n")

static const struct row responses[] = {
	STATUS("9112 2.3: HTTP", "HTTQ/1.1 200 OK"),
	STATUS("9112 2.3: HTTP in capitals", "http/1.1 200 OK"),
	STATUS("9112 2.3: no ICY", "ICY 200 OK"),
	STATUS("9112 2.3: no RTSP", "RTSP/1.0 200 OK"),
	STATUS("9110 2.5: a version not spoken", "HTTP/0.9 200 OK"),
	STATUS("9110 2.5: a version not spoken", "HTTP/1.2 200 OK"),
	STATUS("9110 2.5: a version not spoken", "HTTP/2.0 200 OK"),
	STATUS("9112 2.3: one digit, dot, one digit", "HTTP/1 200 OK"),
	STATUS("9112 2.3: one digit, dot, one digit", "HTTP/1.11 200 OK"),
	STATUS("9112 4: one SP", "HTTP/1.1  200 OK"),
	STATUS("9112 4: SP, no HTAB", "HTTP/1.1\t200 OK"),
	STATUS("9112 4: SP, no HTAB", "HTTP/1.1 200\tOK"),
	STATUS("9112 4: a status", "HTTP/1.1 OK"),
	STATUS("9112 4: a status", "HTTP/1.1"),
	STATUS("9112 4: a status", "HTTP/1.1 "),
	STATUS("9112 4: three digits", "HTTP/1.1 20 OK"),
	STATUS("9112 4: three digits", "HTTP/1.1 2000 OK"),
	STATUS("9112 4: three digits", "HTTP/1.1 2x0 OK"),
	STATUS("9112 4: three digits", "HTTP/1.1 +20 OK"),
	STATUS("9112 4: three digits", "HTTP/1.1 200OK"),
	STATUS("9110 15: 100 to 599", "HTTP/1.1 099 Low"),
	STATUS("9110 15: 100 to 599", "HTTP/1.1 000 Zero"),
	STATUS("9110 15: 100 to 599", "HTTP/1.1 600 High"),
	STATUS("9110 15: 100 to 599", "HTTP/1.1 999 High"),
	STATUS("9112 4: no NUL in a reason", "HTTP/1.1 200 O\0K"),
	STATUS("9112 4: no control in a reason", "HTTP/1.1 200 O\x01K"),
	STATUS("9112 4: no DEL in a reason", "HTTP/1.1 200 O\x7fK"),
	STATUS("9112 2.2: no white space before it", " HTTP/1.1 200 OK"),
	ROW(SYNTAX, "9112 2.2: a bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"),
	ROW(SYNTAX, "9112 2.2: a bare CR", "HTTP/1.1 200 OK\rContent-Length: 0\r\n\r\n"),
	ROW(SYNTAX, "9112 2.2: a bare LF", "HTTP/1.1 200 O\nK\r\nContent-Length: 0\r\n\r\n"),
	ROW(SYNTAX, "9112 4: nothing before it",
	    "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
	ROW(SYNTAX, "9112 4: nothing before it", "\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
	ROW(SYNTAX, "9112 4: a response", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
	ANSWER("9112 5.1: no space before the colon", "X : y"),
	ANSWER("9112 5.1: no space before the colon", "Content-Length : 3"),
	ANSWER("9110 5.1: a name is not empty", ": y"),
	ANSWER("9110 5.1: a name is a token", "X(: y"),
	ANSWER("9112 5: a colon", "garbage"),
	ANSWER("9112 5.2: obs-fold", "X: y\r\n z"),
	ANSWER("9112 5.2: obs-fold", "Content-Length:\r\n 3"),
	ANSWER("9112 5.2: obs-fold", " X: y"),
	ANSWER("9112 2.2: a bare LF", "X: y\nZ: z"),
	ANSWER("9112 2.2: a bare LF", "X: y\n\nbody"),
	ANSWER("9112 2.2: a bare CR", "X:\rContent-Length: 3"),
	ANSWER("9110 5.5: no NUL in a value", "X: a\0b"),
	ANSWER("9110 5.5: no DEL in a value", "X: a\x7f"),
	ANSWER("9112 6.3: both framings", "Transfer-Encoding: chunked\r\nContent-Length: 3"),
	ANSWER("9112 6.3: both framings", "Content-Length: 3\r\nTransfer-Encoding: chunked"),
	ANSWER("9112 6.3: two lengths", "Content-Length: 3\r\nContent-Length: 4"),
	ANSWER("9112 6.3: two lengths", "Content-Length: 3\r\nContent-Length: 3"),
	ANSWER("9110 8.6: digits", "Content-Length: 3, 3"),
	ANSWER("9110 8.6: digits", "Content-Length: +3"),
	ANSWER("9110 8.6: digits", "Content-Length:"),
	ANSWER("9110 8.6: digits", "Content-Length: 1e3"),
	ANSWER("9110 8.6: an overflow", "Content-Length: 9223372036854775808"),
	ANSWER("9110 8.6: an overflow", "Content-Length: 18446744073709551617"),
	ANSWER("9112 6.1: a coding not known", "Transfer-Encoding: gzip"),
	ANSWER("9112 6.1: a coding not known", "Transfer-Encoding: gzip, chunked"),
	ANSWER("9112 6.1: a coding not known", "Transfer-Encoding: xchunked"),
	ANSWER("9112 6.1: chunked is last", "Transfer-Encoding: chunked, identity"),
	ANSWER("9112 6.1: chunked once",
	       "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
	ANSWER("9112 6.1: a coding", "Transfer-Encoding:"),
	ROW(SYNTAX, "9112 6.1: not in HTTP/1.0",
	    "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
	ROW(SYNTAX, "9110 15.2.2: 101 that nobody asked for",
	    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
};

static void refuse_all(enum http_kind kind, const struct row *rows, size_t count)
{
	struct http_head h = {0};

	for (size_t i = 0; i < count; i++) {
		const struct row *row = &rows[i];
		struct head_input in = {.kind = kind, .bytes = row->text, .len = row->len};
		const char *differs;
		enum http_progress progress = head_read_every_way(&h, &in, &differs);

		cr_expect_null(differs, "%s: %s", row->rule, differs);
		cr_expect_eq(progress, HTTP_BAD, "%s: accepted: %s", row->rule, row->text);
		cr_expect_eq(h.fault, row->fault, "%s: fault %d, not %d: %s", row->rule, h.fault,
			     row->fault, row->text);
		cr_expect_eq(h.field_count, 0);
		cr_expect_eq(h.framing, HTTP_BODY_NONE);
	}
	http_head_fini(&h);
}

Test(http_head_malformed, request_lines)
{
	refuse_all(HTTP_REQUEST, request_lines, ARRAY_LEN(request_lines));
}

Test(http_head_malformed, request_fields)
{
	refuse_all(HTTP_REQUEST, request_fields, ARRAY_LEN(request_fields));
}

Test(http_head_malformed, host_values)
{
	refuse_all(HTTP_REQUEST, hosts, ARRAY_LEN(hosts));
}

Test(http_head_malformed, responses)
{
	refuse_all(HTTP_RESPONSE, responses, ARRAY_LEN(responses));
}

Test(http_head_malformed, an_empty_transfer_encoding)
{
	static const struct row empty[] = {
		FIELDS(SYNTAX, "9112 6.1: a coding", "Transfer-Encoding:"),
		FIELDS(SYNTAX, "9112 6.1: a coding", "Transfer-Encoding: \t"),
		FIELDS(SYNTAX, "9112 6.1: a coding", "Transfer-Encoding:\r\nContent-Length: 3"),
	};

	refuse_all(HTTP_REQUEST, empty, ARRAY_LEN(empty));
}

/* Every byte below 0x20 but HTAB, and DEL, anywhere in a head of any alignment. */
Test(http_head_malformed, every_control_byte_at_every_place)
{
	static const char good[] = "GET /abcdefgh HTTP/1.1\r\nHost: a\r\nX-Abcd: efgh ijkl\r\n\r\n";
	struct http_limits limits = {4096, 32};
	struct http_head h = {0};

	for (size_t at = 0; at < sizeof(good) - 1; at++) {
		for (int c = 0; c < 128; c = c == 31 ? 127 : c + 1) {
			char text[sizeof(good)];

			memcpy(text, good, sizeof(good));
			if (c == '\t' || text[at] == (char)c)
				continue;
			text[at] = (char)c;
			cr_assert(http_head_init(&h, HTTP_REQUEST, &limits, HTTP_METHOD_OTHER,
						 false));
			cr_assert_eq(http_head_read(&h, text, sizeof(good) - 1), HTTP_BAD,
				     "byte %d at %zu", c, at);
		}
	}
	http_head_fini(&h);
}

Test(http_head_malformed, a_switch_that_is_not_to_websocket)
{
	static const char *const texts[] = {
		"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
		"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket, h2c\r\n\r\n",
		"HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n",
		"HTTP/1.1 101 S\r\nConnection: upgrade\r\n\r\n",
		"HTTP/1.0 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
	};
	struct http_head h = {0};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct head_input in = {.kind = HTTP_RESPONSE,
					.bytes = texts[i],
					.len = strlen(texts[i]),
					.request_upgrade = true};
		const char *differs;

		cr_expect_eq(head_read_every_way(&h, &in, &differs), HTTP_BAD, "%s", texts[i]);
		cr_expect_null(differs, "%s", differs);
	}
	http_head_fini(&h);
}

/*
 * Nothing but llhttp looks at the chars of a field name, and only in strict mode does it refuse a
 * space there.
 */
Test(http_head_malformed, llhttp_is_strict)
{
	static const struct row only_strict[] = {
		FIELDS(SYNTAX, "9112 5.1: no space before the colon", "X : y"),
		FIELDS(SYNTAX, "9112 5.1: no space in a name", "X y: z"),
	};

	refuse_all(HTTP_REQUEST, only_strict, ARRAY_LEN(only_strict));
}

static enum http_fault fault_of(struct http_head *h, enum http_kind kind, const char *text,
				struct http_limits limits)
{
	struct head_input in = {.kind = kind, .bytes = text, .len = strlen(text), .limits = limits};
	const char *differs;

	cr_expect_eq(head_read_every_way(h, &in, &differs), HTTP_BAD, "%s", text);
	cr_expect_null(differs, "%s", differs);
	return h->fault;
}

Test(http_head_malformed, limits)
{
	struct http_head h = {0};
	static const char get[] = "GET /0123456789 HTTP/1.1\r\nX: 1\r\nY: 2\r\n\r\n";
	static const char answer[] = "HTTP/1.1 200 0123456789\r\nX: 1\r\n\r\n";

	cr_expect_eq(fault_of(&h, HTTP_REQUEST, get, (struct http_limits){25, 9}),
		     HTTP_FAULT_TARGET_TOO_LONG);
	cr_expect(slice_is(get, h.method_text, "GET"));
	cr_expect(slice_is(get, h.target, "/0123456789"));
	cr_expect_eq(fault_of(&h, HTTP_REQUEST, get, (struct http_limits){10, 9}),
		     HTTP_FAULT_TARGET_TOO_LONG);
	cr_expect(slice_is(get, h.target, "/01234"), "what came of the target is for the log");
	cr_expect_eq(fault_of(&h, HTTP_REQUEST, get, (struct http_limits){26, 9}),
		     HTTP_FAULT_TOO_LARGE);
	cr_expect_eq(fault_of(&h, HTTP_REQUEST, get, (struct http_limits){sizeof(get) - 2, 9}),
		     HTTP_FAULT_TOO_LARGE);
	cr_expect_eq(fault_of(&h, HTTP_REQUEST, get, (struct http_limits){4096, 1}),
		     HTTP_FAULT_TOO_LARGE);
	cr_expect(slice_is(get, h.target, "/0123456789"));
	cr_expect_eq(fault_of(&h, HTTP_RESPONSE, answer, (struct http_limits){20, 9}),
		     HTTP_FAULT_TOO_LARGE);
	cr_expect_eq(fault_of(&h, HTTP_REQUEST, "\r\n\r\n\r\n\r\n\r\n", (struct http_limits){8, 9}),
		     HTTP_FAULT_TOO_LARGE);
	http_head_fini(&h);
}

/* Options times fields would be work that one head of 64 KiB could make a worker do for seconds. */
Test(http_head_malformed, too_many_connection_options)
{
	static const char start[] = "GET / HTTP/1.1\r\nConnection: ";
	char options[64 * 2 + 1], text[256];
	struct http_head h = {0};
	struct head_input in = {.kind = HTTP_REQUEST, .bytes = text};
	const char *differs;

	for (size_t i = 0; i < sizeof(options) - 1; i++)
		options[i] = i % 2 == 0 ? 'a' : ',';
	options[sizeof(options) - 1] = '\0';
	in.len = (size_t)snprintf(text, sizeof(text), "%s%s\r\n\r\n", start, options);
	cr_expect_eq(head_read_every_way(&h, &in, &differs), HTTP_DONE);
	snprintf(text, sizeof(text), "%s%sb\r\n\r\n", start, options);
	cr_expect_eq(fault_of(&h, HTTP_REQUEST, text, (struct http_limits){0, 0}),
		     HTTP_FAULT_TOO_LARGE);
	http_head_fini(&h);
}

Test(http_head_malformed, what_the_log_may_say)
{
	struct http_head h = {0};
	static const char target[] = "PUT /a\x7f HTTP/1.1\r\n\r\n";
	static const char version[] = "PUT /a HTTP/1.2\r\n\r\n";
	static const char field[] = "PUT /a HTTP/1.0\r\nX\r\n\r\n";
	static const char answer[] = "HTTP/1.1 404 Not\r\nX\r\n\r\n";

	fault_of(&h, HTTP_REQUEST, target, (struct http_limits){0, 0});
	cr_expect_eq(h.method, HTTP_METHOD_PUT);
	cr_expect(slice_is(target, h.target, "/a"));
	fault_of(&h, HTTP_REQUEST, version, (struct http_limits){0, 0});
	cr_expect(slice_is(version, h.target, "/a"));
	fault_of(&h, HTTP_REQUEST, field, (struct http_limits){0, 0});
	cr_expect_eq(h.minor, 0);
	cr_expect(slice_is(field, h.method_text, "PUT"));
	fault_of(&h, HTTP_RESPONSE, answer, (struct http_limits){0, 0});
	cr_expect_eq(h.status, 404);
	http_head_fini(&h);
}
