/*
 * log_line_test.c -- the proxy's own form is read as jansson reads it, and nothing else is taken
 * for it.
 */
#include "trace/log_line.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace/log_reader.h"

static const char with_backend[] =
	"{\"v\":1,\"run\":\"79eec70b\",\"id\":\"fc91659960cd4c7b\","
	"\"start\":\"2026-11-24T12:37:42.146426683Z\",\"method\":\"POST\","
	"\"target\":\"/currencyconvertor.asmx\",\"version\":\"1.1\",\"host\":\"127.0.0.1:18585\","
	"\"request_id\":\"fc91659960cd4c7b\",\"traceparent\":null,"
	"\"soap\":{\"action\":\"urn:ConversionRate\",\"operation\":null,\"fault\":null},"
	"\"status\":200,\"end\":\"done\",\"client\":{\"conn\":2,\"nth\":10,"
	"\"local\":\"127.0.0.1:18585\",\"peer\":\"[2001:db8::7]:33450\","
	"\"opened\":\"2026-11-24T12:37:41.141123103Z\",\"tls\":null,\"request\":[0,454],"
	"\"interim\":[454,500],\"response\":[12345678901,123456789012345]},"
	"\"backend\":{\"conn\":130,\"nth\":1,\"reused\":true,\"local\":\"255.254.1.0:65535\","
	"\"peer\":null,\"opened\":\"2026-11-24T12:37:42.146445779Z\",\"tls\":null,"
	"\"request\":[0,664],\"interim\":null,\"response\":[0,482],\"attempts\":1,\"tries\":[]},"
	"\"at_us\":{\"request_end\":0,\"backend_ready\":18504,\"backend_request_end\":18505,"
	"\"backend_response_start\":20363,\"backend_response_end\":null,\"response_end\":20372},"
	"\"bytes\":{\"request_body\":298,\"response_body\":382}}\n";

static const char without_backend[] =
	"{\"v\":1,\"run\":\"00000001\",\"id\":\"0000000000000002\","
	"\"start\":\"2026-11-24T12:37:42.000000000Z\",\"method\":null,\"target\":null,"
	"\"version\":null,\"host\":null,\"request_id\":null,\"traceparent\":null,"
	"\"soap\":{\"action\":null,\"operation\":null,\"fault\":null},\"status\":null,"
	"\"end\":\"client-eof\",\"client\":{\"conn\":1,\"nth\":1,\"local\":\"10.0.0.1:80\","
	"\"peer\":\"10.0.0.2:1\",\"opened\":\"2026-11-24T12:37:42.000000000Z\",\"tls\":null,"
	"\"request\":null,\"interim\":null,\"response\":null},\"backend\":null,"
	"\"at_us\":{\"request_end\":null,\"backend_ready\":null,\"backend_request_end\":null,"
	"\"backend_response_start\":null,\"backend_response_end\":null,\"response_end\":null},"
	"\"bytes\":{\"request_body\":0,\"response_body\":0}}\n";

/* In memory that ends where the line ends. */
static bool read_exactly(const char *line, size_t len, struct exchange_record *x,
			 struct log_tls *tls)
{
	char *copy = malloc(len + (len == 0));
	bool done;

	memcpy(copy, line, len);
	done = log_line_read(copy, len, x, tls);
	free(copy);
	return done;
}

static void expect_like_jansson(const char *line)
{
	struct exchange_record own, other;
	struct log_tls own_tls, other_tls;
	struct log_line_times t;
	char err[LOG_ERROR_MAX];

	cr_assert(read_exactly(line, strlen(line), &own, &own_tls));
	cr_assert(log_line_parse_json(line, strlen(line), &other, &other_tls, err), "%s", err);
	cr_expect_eq(memcmp(&own, &other, sizeof(own)), 0);
	cr_expect_eq(memcmp(&own_tls, &other_tls, sizeof(own_tls)), 0);
	cr_assert(log_line_read_times(line, strlen(line), &t));
	cr_expect(t.run == own.run && t.start_ns == own.start_ns);
}

Test(log_line, own_form)
{
	struct log_line_times t;
	struct exchange_record x;
	struct log_tls tls;

	expect_like_jansson(with_backend);
	expect_like_jansson(without_backend);
	cr_assert(log_line_read_times(with_backend, strlen(with_backend), &t));
	cr_expect_eq(t.end_ns - t.start_ns, 20372000);
	cr_assert(read_exactly(with_backend, strlen(with_backend), &x, &tls));
	cr_expect(x.client.response.past == 123456789012345 && x.backend.local.port == 65535);
	cr_expect(!tls.is_there[TAP_CLIENT] && !tls.is_there[TAP_BACKEND]);
}

Test(log_line, cut_anywhere_is_another_form)
{
	struct exchange_record x;
	struct log_line_times t;
	struct log_tls tls;

	for (size_t len = 0; len < strlen(with_backend); len++) {
		cr_assert_not(read_exactly(with_backend, len, &x, &tls), "%zu", len);
		if (log_line_read_times(with_backend, len, &t))
			cr_assert_eq(t.run, 0x79eec70b);
	}
}

/* What was read of a connection is used again only where all of it stands there again. */
Test(log_line, ends_of_a_connection_that_is_known)
{
	size_t len = strlen(with_backend);
	const char *first = strstr(with_backend, ",\"local\""), *past = strstr(first, ",\"tls\"");
	char *line = strdup(with_backend), err[LOG_ERROR_MAX];
	struct exchange_record known, own, other;
	struct log_tls tls;

	cr_assert(read_exactly(with_backend, len, &known, &tls));
	expect_like_jansson(with_backend);
	for (size_t i = (size_t)(first - with_backend); i < (size_t)(past - with_backend); i++) {
		for (int c = '0'; c <= '9'; c++) {
			line[i] = (char)c;
			if (!read_exactly(line, len, &own, &tls))
				continue;
			cr_assert(log_line_parse_json(line, len, &other, &tls, err), "%s", line);
			cr_expect_eq(memcmp(&own, &other, sizeof(own)), 0, "%s", line);
		}
		line[i] = with_backend[i];
		cr_assert(read_exactly(line, len, &own, &tls));
		cr_expect_eq(memcmp(&own, &known, sizeof(own)), 0);
	}
	free(line);
}

static char *line_with_tls(const char *client, const char *backend)
{
	static const char plain[] = "\"tls\":null";
	const char *first = strstr(with_backend, plain), *second = strstr(first + 1, plain);
	size_t room = sizeof(with_backend) + strlen(client) + strlen(backend);
	char *line = malloc(room);

	cr_assert_gt(snprintf(line, room, "%.*s\"tls\":%s%.*s\"tls\":%s%s",
			      (int)(first - with_backend), with_backend, client,
			      (int)(second - first - (sizeof(plain) - 1)),
			      first + sizeof(plain) - 1, backend, second + sizeof(plain) - 1),
		     0);
	return line;
}

#define TLS_13                                                                                  \
	"{\"version\":\"1.3\",\"cipher\":\"TLS_AES_256_GCM_SHA384\",\"sni\":\"shop.example\","  \
	"\"alpn\":\"http/1.1\",\"resumed\":false,\"handshake_us\":412,\"subject\":null,"        \
	"\"verify\":\"none\",\"error\":null,\"client_hello\":[0,517],\"server_hello\":[0,127]," \
	"\"server_finished\":[1064,1138],\"client_finished\":[523,597]}"
#define TLS_12_RESUMED                                                                        \
	"{\"version\":\"1.2\",\"cipher\":\"ECDHE-ECDSA-AES128-GCM-SHA256\",\"sni\":null,"     \
	"\"alpn\":null,\"resumed\":true,\"handshake_us\":0,\"subject\":\"CN=shop\","          \
	"\"verify\":\"ok\",\"error\":null,\"client_hello\":[0,517],\"server_hello\":[0,100]," \
	"\"server_finished\":[106,151],\"client_finished\":[523,568]}"
#define TLS_FAILED                                                                                \
	"{\"version\":null,\"cipher\":null,\"sni\":null,\"alpn\":null,\"resumed\":false,"         \
	"\"handshake_us\":null,\"subject\":null,\"verify\":\"certificate has expired\","          \
	"\"error\":\"certificate verify failed\",\"client_hello\":[0,517],\"server_hello\":null," \
	"\"server_finished\":null,\"client_finished\":null}"

/* What failed behind the handshake is not its failure. */
#define TLS_CUT                                                                      \
	"{\"version\":\"1.3\",\"cipher\":\"TLS_AES_256_GCM_SHA384\",\"sni\":null,"   \
	"\"alpn\":null,\"resumed\":false,\"handshake_us\":900,\"subject\":null,"     \
	"\"verify\":\"none\",\"error\":\"bad record mac\",\"client_hello\":[0,517]," \
	"\"server_hello\":[0,127],\"server_finished\":[729,803],\"client_finished\":[523,597]}"

Test(log_line, tls)
{
	static const char *const forms[] = {"null", TLS_13, TLS_12_RESUMED, TLS_FAILED, TLS_CUT};
	struct exchange_record x;
	struct log_tls tls;
	char *line;

	for (unsigned i = 0; i < ARRAY_LEN(forms) * ARRAY_LEN(forms); i++) {
		line = line_with_tls(forms[i % ARRAY_LEN(forms)], forms[i / ARRAY_LEN(forms)]);
		expect_like_jansson(line);
		free(line);
	}
	line = line_with_tls(TLS_13, TLS_FAILED);
	cr_assert(read_exactly(line, strlen(line), &x, &tls));
	cr_expect(tls.is_there[TAP_CLIENT] && tls.is_there[TAP_BACKEND]);
	cr_expect_eq(tls.marks[TAP_CLIENT].version, TLS_VERSION_13);
	cr_expect(!tls.marks[TAP_CLIENT].resumed && !tls.marks[TAP_CLIENT].failed);
	cr_expect_eq(tls.marks[TAP_CLIENT].at[TLS_MARK_CLIENT_HELLO].past, 517);
	cr_expect_eq(tls.marks[TAP_CLIENT].at[TLS_MARK_SERVER_HELLO].past, 127);
	cr_expect_eq(tls.marks[TAP_CLIENT].at[TLS_MARK_SERVER_FINISHED].first, 1064);
	cr_expect_eq(tls.marks[TAP_CLIENT].at[TLS_MARK_CLIENT_FINISHED].first, 523);
	cr_expect_eq(tls.marks[TAP_BACKEND].version, 0);
	cr_expect(tls.marks[TAP_BACKEND].failed);
	cr_expect_not(byte_range_exists(&tls.marks[TAP_BACKEND].at[TLS_MARK_SERVER_FINISHED]));
	free(line);
	line = line_with_tls(TLS_CUT, "null");
	cr_assert(read_exactly(line, strlen(line), &x, &tls));
	cr_expect_not(tls.marks[TAP_CLIENT].failed);
	free(line);
	line = line_with_tls("null", TLS_12_RESUMED);
	cr_assert(read_exactly(line, strlen(line), &x, &tls));
	cr_expect(!tls.is_there[TAP_CLIENT] && tls.is_there[TAP_BACKEND]);
	cr_expect_eq(tls.marks[TAP_BACKEND].version, TLS_VERSION_12);
	cr_expect(tls.marks[TAP_BACKEND].resumed);
	free(line);
}

/* Another order, or a key more: jansson's; a key that is needed and not there: nobody's. */
Test(log_line, tls_in_another_form)
{
	static const char more[] =
		"{\"version\":\"1.3\",\"later\":[1],\"resumed\":true,\"error\":null,"
		"\"server_hello\":[0,127],\"client_hello\":[0,517],"
		"\"server_finished\":null,\"client_finished\":null}";
	static const char *const wrong[] = {
		"{\"version\":\"1.1\",\"resumed\":true,\"error\":null,\"server_hello\":null,"
		"\"client_hello\":null,\"server_finished\":null,\"client_finished\":null}",
		"{\"version\":\"1.3\",\"error\":null,\"server_hello\":null,"
		"\"client_hello\":null,\"server_finished\":null,\"client_finished\":null}",
		"{\"version\":\"1.3\",\"resumed\":true,\"error\":7,\"server_hello\":null,"
		"\"client_hello\":null,\"server_finished\":null,\"client_finished\":null}",
		"{\"version\":\"1.3\",\"resumed\":true,\"error\":null,\"server_hello\":[3,3],"
		"\"client_hello\":null,\"server_finished\":null,\"client_finished\":null}",
		"{\"version\":\"1.3\",\"resumed\":true,\"error\":null,\"server_hello\":null,"
		"\"client_hello\":null,\"server_finished\":null}",
		"7",
	};
	char *line = line_with_tls("null", more), err[LOG_ERROR_MAX];
	struct exchange_record x;
	struct log_tls tls;

	cr_expect_not(read_exactly(line, strlen(line), &x, &tls));
	cr_assert(log_line_parse(line, strlen(line), &x, &tls, err), "%s", err);
	cr_expect(tls.is_there[TAP_BACKEND] && tls.marks[TAP_BACKEND].resumed);
	cr_expect_eq(tls.marks[TAP_BACKEND].at[TLS_MARK_CLIENT_HELLO].past, 517);
	free(line);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		line = line_with_tls(wrong[i], "null");
		cr_expect_not(log_line_parse(line, strlen(line), &x, &tls, err), "%s", wrong[i]);
		free(line);
	}
}

/* One byte changed: read as jansson reads it, or not at all. */
static void change_anywhere(const char *whole)
{
	static const char other[] = "0x\"\\{}[],:9 \n\x80";
	char *line = strdup(whole), err[LOG_ERROR_MAX];
	struct exchange_record own, by_json;
	struct log_tls own_tls, json_tls;
	size_t len = strlen(whole);

	for (size_t at = 0; at < len; at++) {
		for (size_t k = 0; k < sizeof(other); k++) {
			memcpy(line, whole, len);
			line[at] = other[k];
			if (!read_exactly(line, len, &own, &own_tls))
				continue;
			cr_assert(log_line_parse_json(line, len, &by_json, &json_tls, err),
				  "%s: %s", line, err);
			cr_assert_eq(memcmp(&own, &by_json, sizeof(own)), 0, "%s", line);
			cr_assert_eq(memcmp(&own_tls, &json_tls, sizeof(own_tls)), 0, "%s", line);
		}
	}
	free(line);
}

Test(log_line, changed_anywhere)
{
	char *line = line_with_tls(TLS_13, TLS_FAILED);

	change_anywhere(with_backend);
	change_anywhere(line);
	free(line);
}
