/*
 * request_ids_test.c -- which traceparents are valid, and what is made where one is not.
 */
#include "proxy/request_ids.h"

#include <criterion/criterion.h>
#include <string.h>

#include "common/attrib.h"
#include "tests/lib/guarded.h"

static struct http_head head;

static void fini(void)
{
	http_head_fini(&head);
}

TestSuite(request_ids, .fini = fini, .timeout = 10);

#define TRACE  "0af7651916cd43dd8448eb211c80319c"
#define PARENT "b7ad6b7169203331"

/* W3C Trace Context sections 3.2.2 and 4.3. */
Test(request_ids, valid_traceparents)
{
	static const struct {
		const char *value;
		bool valid;
	} known[] = {
		{"00-" TRACE "-" PARENT "-01", true},
		{"00-" TRACE "-" PARENT "-00", true},
		{"00-" TRACE "-" PARENT "-ff", true},
		{"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true},
		{"00-00000000000000000000000000000001-0000000000000001-00", true},
		/* a later version: what may follow begins with a dash */
		{"01-" TRACE "-" PARENT "-01", true},
		{"cc-" TRACE "-" PARENT "-01", true},
		{"fe-" TRACE "-" PARENT "-01-what-the-future-will-be-like", true},
		{"cc-" TRACE "-" PARENT "-01-", true},
		{"cc-" TRACE "-" PARENT "-01.what", false},
		{"cc-" TRACE "-" PARENT "-011", false},
		/* of version 00 nothing may follow */
		{"00-" TRACE "-" PARENT "-01-", false},
		{"00-" TRACE "-" PARENT "-01-x", false},
		{"00-" TRACE "-" PARENT "-011", false},
		{"00-" TRACE "-" PARENT "-01 ", false},
		/* too short, at every length a part may have lost */
		{"", false},
		{"00", false},
		{"00-" TRACE "-" PARENT, false},
		{"00-" TRACE "-" PARENT "-", false},
		{"00-" TRACE "-" PARENT "-1", false},
		{"cc-" TRACE "-" PARENT "-1", false},
		/* forbidden values */
		{"ff-" TRACE "-" PARENT "-01", false},
		{"00-00000000000000000000000000000000-" PARENT "-01", false},
		{"00-" TRACE "-0000000000000000-01", false},
		/* other characters, other case, other places */
		{"0x-" TRACE "-" PARENT "-01", false},
		{".0-" TRACE "-" PARENT "-01", false},
		{"00-0AF7651916CD43DD8448EB211C80319C-" PARENT "-01", false},
		{"00-" TRACE "-B7AD6B7169203331-01", false},
		{"00-" TRACE "-" PARENT "-0A", false},
		{"CC-" TRACE "-" PARENT "-01", false},
		{"00-.af7651916cd43dd8448eb211c80319c-" PARENT "-01", false},
		{"00-0af7651916cd43dd8448eb211c80319g-" PARENT "-01", false},
		{"00-0af7651916cd43dd8448eb211c80319/-" PARENT "-01", false},
		{"00-" TRACE "-.7ad6b7169203331-01", false},
		{"00-" TRACE "-" PARENT "-.1", false},
		{"00-" TRACE "-" PARENT "-0.", false},
		{"00_" TRACE "-" PARENT "-01", false},
		{"00-" TRACE "_" PARENT "-01", false},
		{"00-" TRACE "-" PARENT "_01", false},
		{"00-" TRACE PARENT "--01", false},
		{"000-" TRACE "-" PARENT "-1", false},
		{" 00-" TRACE "-" PARENT "-01", false},
		{"00-" TRACE "-" PARENT "-01,00-" TRACE "-" PARENT "-01", false},
	};
	struct guarded *g = guarded_new(256);

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		size_t len = strlen(known[i].value);

		cr_expect_eq(traceparent_valid(guarded_put(g, known[i].value, len), len),
			     known[i].valid, "%s", known[i].value);
	}
	guarded_free(g);
}

/* ---- what is chosen ------------------------------------------------------------------------ */

static struct request_ids choose(const char *fields, uint64_t run, uint64_t id)
{
	static const struct http_limits limits = {65536, 256};
	char text[1024] = "GET / HTTP/1.1\r\nHost: a\r\n";
	char prefix[TRACEPARENT_PREFIX_LEN];
	struct request_ids ids;

	strcat(strcat(text, fields), "\r\n");
	cr_assert(http_head_init(&head, HTTP_REQUEST, &limits, HTTP_METHOD_OTHER, false));
	cr_assert_eq(http_head_read(&head, text, strlen(text)), HTTP_DONE, "%s", text);
	request_ids_prefix(run, prefix);
	request_ids_choose(&ids, &head, text, prefix, id);
	return ids;
}

#define RUN 0x0123456789abcdef
#define ID  0x9f3c51d27be40a18

Test(request_ids, made_of_the_run_and_the_exchange)
{
	struct request_ids ids = choose("", RUN, ID);

	cr_expect(ids.own_request_id && ids.own_traceparent);
	cr_expect_arr_eq(request_ids_id(&ids), "9f3c51d27be40a18", REQUEST_ID_LEN);
	cr_expect_arr_eq(request_ids_traceparent(&ids),
			 "00-0123456789abcdef9f3c51d27be40a18-9f3c51d27be40a18-01",
			 TRACEPARENT_LEN);
}

/* Whatever the numbers are, what is made is valid: 0 must not give an id of zeros. */
Test(request_ids, what_is_made_is_valid)
{
	static const uint64_t odd[] = {0, 1, UINT64_MAX, 0xf0f0f0f0f0f0f0f0, 0x0a0b0c0d0e0f0900};

	for (size_t i = 0; i < ARRAY_LEN(odd); i++)
		for (size_t j = 0; j < ARRAY_LEN(odd); j++) {
			struct request_ids ids = choose("", odd[i], odd[j]);

			cr_expect(traceparent_valid(request_ids_traceparent(&ids), TRACEPARENT_LEN),
				  "%.*s", TRACEPARENT_LEN, request_ids_traceparent(&ids));
		}
	cr_expect_arr_eq(choose("", 0, 0).text,
			 "00-00000000000000010000000000000000-0000000000000001-01",
			 TRACEPARENT_LEN);
}

Test(request_ids, the_clients_count_when_they_are_whole)
{
	static const struct {
		const char *fields;
		bool own_request_id;
		bool own_traceparent;
	} known[] = {
		{"X-Request-Id: a\r\n", false, true},
		{"x-request-ID: a\r\nX-Request-Id: b\r\n", false, true},
		{"X-Request-Id:\r\n", true, true},
		{"X-Request-Id:\r\nX-Request-Id: b\r\n", false, true},
		{"X-Request-Id: b\r\nX-Request-Id:\r\n", false, true},
		{"traceparent: 00-" TRACE "-" PARENT "-01\r\n", true, false},
		{"TraceParent: 00-" TRACE "-" PARENT "-01\r\nX-Request-Id: a\r\n", false, false},
		{"traceparent:   00-" TRACE "-" PARENT "-01 \t\r\n", true, false},
		{"traceparent: 00-" TRACE "-" PARENT "-01\r\n"
		 "traceparent: 00-" TRACE "-" PARENT "-01\r\n",
		 true, true},
		{"traceparent:\r\n", true, true},
		{"traceparent: nonsense\r\nX-Request-Id: a\r\n", false, true},
		{"tracestate: a=b\r\n", true, true},
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		struct request_ids ids = choose(known[i].fields, RUN, ID);

		cr_expect_eq(ids.own_request_id, known[i].own_request_id, "%s", known[i].fields);
		cr_expect_eq(ids.own_traceparent, known[i].own_traceparent, "%s", known[i].fields);
	}
}
