/*
 * log_line_test.c -- the proxy's own form is read as jansson reads it, and nothing else is taken
 * for it.
 */
#include "trace/log_line.h"

#include <criterion/criterion.h>
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
static bool read_exactly(const char *line, size_t len, struct exchange_record *x)
{
	char *copy = malloc(len + (len == 0));
	bool done;

	memcpy(copy, line, len);
	done = log_line_read(copy, len, x);
	free(copy);
	return done;
}

static void expect_like_jansson(const char *line)
{
	struct exchange_record own, other;
	struct log_line_times t;
	char err[LOG_ERROR_MAX];

	cr_assert(read_exactly(line, strlen(line), &own));
	cr_assert(log_line_parse_json(line, strlen(line), &other, err), "%s", err);
	cr_expect_eq(memcmp(&own, &other, sizeof(own)), 0);
	cr_assert(log_line_read_times(line, strlen(line), &t));
	cr_expect(t.run == own.run && t.start_ns == own.start_ns);
}

Test(log_line, own_form)
{
	struct log_line_times t;
	struct exchange_record x;

	expect_like_jansson(with_backend);
	expect_like_jansson(without_backend);
	cr_assert(log_line_read_times(with_backend, strlen(with_backend), &t));
	cr_expect_eq(t.end_ns - t.start_ns, 20372000);
	cr_assert(read_exactly(with_backend, strlen(with_backend), &x));
	cr_expect(x.client.response.past == 123456789012345 && x.backend.local.port == 65535);
}

Test(log_line, cut_anywhere_is_another_form)
{
	struct exchange_record x;
	struct log_line_times t;

	for (size_t len = 0; len < strlen(with_backend); len++) {
		cr_assert_not(read_exactly(with_backend, len, &x), "%zu", len);
		if (log_line_read_times(with_backend, len, &t))
			cr_assert_eq(t.run, 0x79eec70b);
	}
}

/* One byte changed: read as jansson reads it, or not at all. */
Test(log_line, changed_anywhere)
{
	static const char other[] = "0x\"\\{}[],:9 \n\x80";
	char line[sizeof(with_backend)], err[LOG_ERROR_MAX];
	struct exchange_record own, by_json;

	for (size_t at = 0; at + 1 < sizeof(with_backend); at++) {
		for (size_t k = 0; k < sizeof(other); k++) {
			memcpy(line, with_backend, sizeof(line));
			line[at] = other[k];
			if (!read_exactly(line, sizeof(line) - 1, &own))
				continue;
			cr_assert(log_line_parse_json(line, sizeof(line) - 1, &by_json, err),
				  "%s: %s", line, err);
			cr_assert_eq(memcmp(&own, &by_json, sizeof(own)), 0, "%s", line);
		}
	}
}
