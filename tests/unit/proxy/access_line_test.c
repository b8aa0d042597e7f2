/*
 * access_line_test.c -- the text of log lines, byte for byte.
 */
#include "proxy/access_line.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/unit/proxy/sample_line.h"

TestSuite(access_line, .timeout = 10);

static char out[ACCESS_LINE_MAX];

static const char *format(const struct access_line *line)
{
	size_t len = access_line_format(line, out, sizeof(out) - 1);

	cr_assert(len > 0);
	out[len] = '\0';
	return out;
}

/* What stands in the line between two texts. */
static const char *between(const char *line, const char *after, const char *before)
{
	static char piece[ACCESS_LINE_MAX];
	const char *from = strstr(line, after);
	const char *to;

	cr_assert(from != NULL, "%s in %s", after, line);
	from += strlen(after);
	to = strstr(from, before);
	cr_assert(to != NULL, "%s in %s", before, from);
	memcpy(piece, from, (size_t)(to - from));
	piece[to - from] = '\0';
	return piece;
}

/* The line of design section 6, with the run in full. */
Test(access_line, the_documented_line)
{
	struct sample s;

	sample_init(&s);
	cr_assert_str_eq(
		format(&s.line),
		"{\"v\":1,\"run\":\"00005d2c\",\"id\":\"9f3c51d27be40a18\","
		"\"start\":\"2026-11-23T08:15:04.123456789Z\","
		"\"method\":\"POST\",\"target\":\"/currencyconvertor.asmx\",\"version\":\"1.1\","
		"\"host\":\"localhost:8585\",\"request_id\":\"9f3c51d27be40a18\","
		"\"traceparent\":\"00-0123456789abcdef9f3c51d27be40a18-9f3c51d27be40a18-01\","
		"\"soap\":{\"action\":\"urn:ConversionRate\",\"operation\":null,\"fault\":null},"
		"\"status\":200,\"end\":\"done\","
		"\"client\":{\"conn\":3,\"nth\":2,\"local\":\"127.0.0.1:8585\","
		"\"peer\":\"127.0.0.1:40112\",\"opened\":\"2026-11-23T08:15:04.000000001Z\","
		"\"tls\":null,\"request\":[622,933],\"interim\":null,\"response\":[1204,1786]},"
		"\"backend\":{\"conn\":5,\"nth\":2,\"reused\":true,\"local\":\"127.0.0.1:51544\","
		"\"peer\":\"127.0.0.1:8080\",\"opened\":\"2026-11-23T08:15:03.000000020Z\","
		"\"tls\":null,\"request\":[604,915],\"interim\":null,\"response\":[1180,1762],"
		"\"attempts\":1,\"tries\":[]},"
		"\"at_us\":{\"request_end\":9,\"backend_ready\":11,\"backend_request_end\":25,"
		"\"backend_response_start\":410,\"backend_response_end\":412,\"response_end\":431},"
		"\"bytes\":{\"request_body\":301,\"response_body\":382}}\n");
}

/* A fragment made once gives the same line as none, where it is made anew. */
Test(access_line, without_fragments_the_line_is_the_same)
{
	struct sample s;
	char *with;

	sample_init(&s);
	with = strdup(format(&s.line));
	s.line.client_fragment = s.line.backend_fragment = (struct access_text){0};
	cr_expect_str_eq(format(&s.line), with);
	free(with);
}

/* A request that could not be read: nothing is known but where its bytes are. */
Test(access_line, what_never_was_is_null)
{
	struct sample s;

	sample_init(&s);
	s.line.method = s.line.target = s.line.host = s.line.request_id = s.line.traceparent =
		s.line.soap_action = (struct access_text){0};
	s.line.minor = -1;
	s.x.status = 0;
	memset(s.x.end, 0, sizeof(s.x.end));
	memcpy(s.x.end, "client-eof", 10);
	s.x.backend = (struct leg_record){0};
	s.x.client.response = byte_range_none();
	for (unsigned i = 0; i < MOMENT_COUNT; i++)
		s.x.at_us[i] = MOMENT_NEVER;
	cr_expect_str_eq(between(format(&s.line), "\"method\":", ",\"client\""),
			 "null,\"target\":null,\"version\":null,\"host\":null,"
			 "\"request_id\":null,\"traceparent\":null,"
			 "\"soap\":{\"action\":null,\"operation\":null,\"fault\":null},"
			 "\"status\":null,\"end\":\"client-eof\"");
	cr_expect_str_eq(between(out, "\"request\":[622,933],", ",\"bytes\""),
			 "\"interim\":null,\"response\":null},\"backend\":null,"
			 "\"at_us\":{\"request_end\":null,\"backend_ready\":null,"
			 "\"backend_request_end\":null,\"backend_response_start\":null,"
			 "\"backend_response_end\":null,\"response_end\":null}");
}

Test(access_line, an_empty_text_is_no_null)
{
	struct sample s;

	sample_init(&s);
	s.line.host = sample_text("");
	cr_expect_str_eq(between(format(&s.line), "\"host\":", ",\"request_id\""), "\"\"");
}

Test(access_line, http_1_0)
{
	struct sample s;

	sample_init(&s);
	s.line.minor = 0;
	cr_expect_str_eq(between(format(&s.line), "\"version\":", ",\"host\""), "\"1.0\"");
}

Test(access_line, tries_stand_in_order_before_the_last_attempt)
{
	struct sample s;

	sample_init(&s);
	s.x.attempts = 3;
	s.x.tries_count = 2;
	s.x.backend.reused = 0;
	s.x.tries[0].leg = (struct leg_record){.conn = 7,
					       .nth = 12,
					       .local = sample_addr("[::1]:40000"),
					       .peer = sample_addr("[::1]:80"),
					       .request = {0, 311},
					       .interim = byte_range_none(),
					       .response = byte_range_none()};
	memcpy(s.x.tries[0].end, "backend-reset", 13);
	s.x.tries[1].leg = (struct leg_record){.conn = 8,
					       .nth = 1,
					       .peer = sample_addr("10.0.0.1:65535"),
					       .request = byte_range_none(),
					       .interim = byte_range_none(),
					       .response = {0, 17}};
	memcpy(s.x.tries[1].end, "connect-refused", 15);
	cr_expect_str_eq(between(format(&s.line), "\"attempts\":", ",\"at_us\""),
			 "3,\"tries\":[{\"conn\":7,\"nth\":12,\"local\":\"[::1]:40000\","
			 "\"peer\":\"[::1]:80\",\"request\":[0,311],\"response\":null,"
			 "\"end\":\"backend-reset\"},"
			 "{\"conn\":8,\"nth\":1,\"local\":null,\"peer\":\"10.0.0.1:65535\","
			 "\"request\":null,\"response\":[0,17],\"end\":\"connect-refused\"}]}");
	cr_expect_str_eq(between(out, "\"backend\":{\"conn\":5,", ",\"local\""),
			 "\"nth\":2,\"reused\":false");
}

Test(access_line, a_tunnel_has_its_ranges_behind_the_heads)
{
	struct sample s;

	sample_init(&s);
	s.x.status = 101;
	s.x.client.tunnel_up = (struct byte_range){933, 1000};
	s.x.client.tunnel_down = byte_range_none();
	s.x.backend.tunnel_up = (struct byte_range){915, 982};
	s.x.backend.tunnel_down = (struct byte_range){1762, 1762};
	cr_expect(strstr(format(&s.line),
			 "\"response\":[1204,1786],\"tunnel\":{\"up\":[933,1000],\"down\":null}},"
			 "\"backend\":{\"conn\":5,") != NULL);
	cr_expect(strstr(out, "\"response\":[1180,1762],\"tunnel\":{\"up\":[915,982],"
			      "\"down\":[1762,1762]},\"attempts\":1,") != NULL);
}

Test(access_line, numbers_of_every_length)
{
	struct sample s;
	uint64_t value = 0;
	char expected[64];

	sample_init(&s);
	for (unsigned digits = 1; digits <= 20; digits++) {
		/* 1, 12, 123, ... and one below each power of ten */
		value = digits < 20 ? value * 10 + digits % 10 : UINT64_MAX - 1;
		s.x.client.request = (struct byte_range){value, value + 1};
		snprintf(expected, sizeof(expected), "[%llu,%llu]", (unsigned long long)value,
			 (unsigned long long)value + 1);
		cr_expect_str_eq(between(format(&s.line),
					 "\"tls\":null,\"request\":", ",\"interim\""),
				 expected);
	}
	for (uint64_t power = 10; power < UINT64_MAX / 10; power *= 10) {
		s.x.client.request = (struct byte_range){power - 1, power};
		snprintf(expected, sizeof(expected), "[%llu,%llu]", (unsigned long long)power - 1,
			 (unsigned long long)power);
		cr_expect_str_eq(between(format(&s.line),
					 "\"tls\":null,\"request\":", ",\"interim\""),
				 expected);
	}
}

/* A clock that was set back shows; it is not hidden. */
Test(access_line, negative_moment)
{
	struct sample s;

	sample_init(&s);
	s.x.at_us[MOMENT_REQUEST_END] = -15;
	cr_expect_str_eq(between(format(&s.line), "\"request_end\":", ",\"backend_ready\""), "-15");
}

/* Each byte alone and in the middle of a longer text: what needs escaping is found anywhere. */
Test(access_line, every_byte_is_escaped_as_json_asks)
{
	struct sample s;

	sample_init(&s);
	for (unsigned c = 0; c < 256; c++) {
		for (unsigned at = 0; at < 20; at++) {
			char text[20], expected[40], *e = expected;

			memset(text, 'x', sizeof(text));
			text[at] = (char)c;
			s.line.target = (struct access_text){text, sizeof(text)};
			for (unsigned i = 0; i < sizeof(text); i++) {
				if (i != at)
					*e++ = 'x';
				else if (c == '"' || c == '\\')
					e += sprintf(e, "\\%c", c);
				else if (c >= 0x80)
					e += sprintf(e, "\\\\x%02x", c);
				else if (c >= 0x20 && c != 0x7f)
					*e++ = (char)c;
				else if (memchr("\b\f\n\r\t", (int)c, 5) != NULL && c != 0)
					e += sprintf(e, "\\%c", "btn?fr"[c - 8]);
				else
					e += sprintf(e, "\\u%04x", c);
			}
			*e = '\0';
			cr_assert_str_eq(between(format(&s.line), "\"target\":\"",
						 "\",\"version\""),
					 expected);
		}
	}
}

Test(access_line, utf8_stays_and_other_bytes_are_spelled)
{
	struct sample s;

	sample_init(&s);
	s.line.target = sample_text("/\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\xff\xc3");
	cr_expect_str_eq(between(format(&s.line), "\"target\":\"", "\",\"version\""),
			 "/\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\\\\xff\\\\xc3");
}

static void expect_cut(const char *tail, size_t before_tail, size_t expected_len)
{
	struct sample s;
	char text[ACCESS_TEXT_MAX + 64];
	size_t len = before_tail + strlen(tail);
	const char *written;

	sample_init(&s);
	memset(text, 'a', sizeof(text));
	memcpy(text + before_tail, tail, strlen(tail));
	s.line.target = (struct access_text){text, len};
	written = between(format(&s.line), "\"target\":\"", "\",\"version\"");
	cr_expect_eq(strlen(written), expected_len, "%zu of %zu", strlen(written), len);
	cr_expect_eq(memcmp(written, text, MIN(expected_len, strlen(written))), 0);
	cr_expect_eq(strstr(out, ",\"cut\":true,\"status\":") != NULL, expected_len < len);
}

Test(access_line, long_texts_are_cut_between_characters)
{
	expect_cut("bb", ACCESS_TEXT_MAX - 2, ACCESS_TEXT_MAX);
	expect_cut("bbb", ACCESS_TEXT_MAX - 2, ACCESS_TEXT_MAX);
	/* two bytes, split or not */
	expect_cut("\xc3\xa4", ACCESS_TEXT_MAX - 2, ACCESS_TEXT_MAX);
	expect_cut("\xc3\xa4", ACCESS_TEXT_MAX - 1, ACCESS_TEXT_MAX - 1);
	expect_cut("\xc3\xa4", ACCESS_TEXT_MAX, ACCESS_TEXT_MAX);
	/* three */
	expect_cut("\xe2\x82\xac", ACCESS_TEXT_MAX - 3, ACCESS_TEXT_MAX);
	expect_cut("\xe2\x82\xac", ACCESS_TEXT_MAX - 2, ACCESS_TEXT_MAX - 2);
	expect_cut("\xe2\x82\xac", ACCESS_TEXT_MAX - 1, ACCESS_TEXT_MAX - 1);
	/* four */
	expect_cut("\xf0\x9f\x98\x80", ACCESS_TEXT_MAX - 4, ACCESS_TEXT_MAX);
	expect_cut("\xf0\x9f\x98\x80", ACCESS_TEXT_MAX - 3, ACCESS_TEXT_MAX - 3);
	expect_cut("\xf0\x9f\x98\x80", ACCESS_TEXT_MAX - 2, ACCESS_TEXT_MAX - 2);
	expect_cut("\xf0\x9f\x98\x80", ACCESS_TEXT_MAX - 1, ACCESS_TEXT_MAX - 1);
}

/* The three that are read out of bodies (log.soap = full). */
Test(access_line, operation_and_fault)
{
	struct sample s;

	sample_init(&s);
	s.line.soap_operation = sample_text("ConversionRate");
	cr_expect_str_eq(between(format(&s.line), "\"soap\":", ",\"status\""),
			 "{\"action\":\"urn:ConversionRate\",\"operation\":\"ConversionRate\","
			 "\"fault\":null}");
	s.line.soap_fault_code = sample_text("soap:Server");
	s.line.soap_fault_string = sample_text("no \"rate\" \xe2\x82\xac");
	cr_expect_str_eq(between(format(&s.line), "\"operation\":", ",\"status\""),
			 "\"ConversionRate\",\"fault\":{\"code\":\"soap:Server\","
			 "\"string\":\"no \\\"rate\\\" \xe2\x82\xac\"}}");
	s.line.soap_fault_code = (struct access_text){0};
	s.line.soap_cut = true;
	cr_expect_str_eq(
		between(format(&s.line), "\"fault\":", ",\"status\""),
		"{\"code\":null,\"string\":\"no \\\"rate\\\" \xe2\x82\xac\"}},\"cut\":true");
}

Test(access_line, any_cut_text_says_so)
{
	struct sample s;
	static char longer[ACCESS_TEXT_MAX + 1];
	const struct access_text cut = {longer, sizeof(longer)};

	memset(longer, 'z', sizeof(longer));
	for (unsigned i = 0; i < 6; i++) {
		sample_init(&s);
		*(struct access_text *[]){&s.line.method,      &s.line.target,
					  &s.line.host,        &s.line.request_id,
					  &s.line.traceparent, &s.line.soap_action}[i] = cut;
		cr_expect(strstr(format(&s.line), "},\"cut\":true,\"status\":200") != NULL);
	}
}

static void make_longest(struct sample *s, char *texts, size_t len)
{
	const struct addr addr =
		sample_addr("[1111:2222:3333:4444:5555:6666:7777:8888%4294967295]:65535");
	const struct byte_range range = {UINT64_MAX - 1, UINT64_MAX - 1};
	struct leg_record leg = {.conn = UINT64_MAX,
				 .nth = UINT32_MAX,
				 .opened_ns = UINT64_MAX,
				 .local = addr,
				 .peer = addr,
				 .request = range,
				 .interim = range,
				 .response = range,
				 .tunnel_up = range,
				 .tunnel_down = range};

	memset(texts, 1, len);
	sample_init(s);
	s->line.method = s->line.target = s->line.host = s->line.request_id = s->line.traceparent =
		s->line.soap_action = (struct access_text){texts, len};
	s->line.client_fragment = s->line.backend_fragment = (struct access_text){0};
	s->x.status = 101;
	s->x.attempts = UINT8_MAX;
	s->x.tries_count = UINT8_MAX;
	memset(s->x.end, 1, sizeof(s->x.end));
	s->x.client = s->x.backend = leg;
	for (unsigned i = 0; i < MOMENT_COUNT; i++)
		s->x.at_us[i] = INT64_MIN + 1;
	s->x.request_body_bytes = s->x.response_body_bytes = UINT64_MAX;
	for (unsigned i = 0; i < ARRAY_LEN(s->x.tries); i++) {
		s->x.tries[i].leg = leg;
		memset(s->x.tries[i].end, 1, sizeof(s->x.tries[i].end));
	}
}

/* The longest line there is, in exactly the room asked for, with nothing behind it. */
Test(access_line, the_longest_line_fits_what_was_asked_for)
{
	struct sample s;
	static char texts[4 * ACCESS_TEXT_MAX];
	size_t mapped = ACCESS_LINE_MAX, max, len;
	char *room;

	make_longest(&s, texts, sizeof(texts));
	max = access_line_max(&s.line);
	cr_assert_leq(max, ACCESS_LINE_MAX);
	room = mmap(NULL, mapped + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0);
	cr_assert(room != MAP_FAILED && mprotect(room + mapped, 4096, PROT_NONE) == 0);
	len = access_line_format(&s.line, room + mapped - max, max);
	cr_assert(len > 0 && len <= max, "%zu of %zu", len, max);
	cr_expect_eq(room[mapped - max + len - 1], '\n');
	cr_expect(max - len < 2048, "%zu of %zu", len, max);
	cr_expect_eq(access_line_format(&s.line, room, max - 1), 0);
	munmap(room, mapped + 4096);
}

Test(access_line, fragment)
{
	char text[256];
	const struct addr local = sample_addr("[fe80::1%2]:8585"), peer = sample_addr("10.1.2.3:4");
	const char expected[] = "\"local\":\"[fe80::1%2]:8585\",\"peer\":\"10.1.2.3:4\","
				"\"opened\":\"1970-01-01T00:00:01.000000002Z\",\"tls\":null";
	size_t len = access_fragment(&local, &peer, 1000000002, NULL, text, sizeof(text));

	cr_assert_eq(len, sizeof(expected) - 1);
	cr_expect_eq(memcmp(text, expected, len), 0);
	cr_expect_eq(access_fragment(&local, &peer, 1000000002, NULL, text, len - 1), 0);
}
