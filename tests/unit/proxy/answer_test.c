/*
 * answer_test.c -- the answers of our own, byte for byte; the forms that requests ask for.
 */
#include "proxy/answer.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "common/attrib.h"
#include "tests/lib/guarded.h"

#define NOW_S 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT */
#define DATE  "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
#define ID    0x9f3c51d27be40a18

static struct http_head head;
static const struct http_limits limits = {65536, 256};
static char *out;
static size_t out_len;

static void fini(void)
{
	http_head_fini(&head);
	free(out);
	out = NULL;
}

TestSuite(answer, .fini = fini, .timeout = 10);

static void expect(const char *text)
{
	cr_assert_eq(out_len, strlen(text), "wrote:\n%.*s", (int)out_len, out);
	cr_assert_arr_eq(out, text, out_len, "wrote:\n%.*s", (int)out_len, out);
}

static bool has(const char *text)
{
	return memmem(out, out_len, text, strlen(text)) != NULL;
}

/* Written in front of a page that must not be touched, and read again by the codec. */
static void answer(enum reason why, enum answer_form form, bool close, bool head_only)
{
	struct guarded *g = guarded_new(ANSWER_MAX);
	static const char zeros[ANSWER_MAX];
	char *buf = guarded_put(g, zeros, ANSWER_MAX);
	size_t body_len, len;

	len = answer_write(why, form, ID, close, head_only, NOW_S, buf, &body_len);
	cr_assert_leq(len, ANSWER_MAX);
	cr_assert(http_head_init(&head, HTTP_RESPONSE, &limits, HTTP_METHOD_GET, false));
	cr_assert_eq(http_head_read(&head, buf, len), HTTP_DONE);
	cr_assert_eq(head.len + body_len, len);
	cr_assert(head.content_length_known);
	cr_assert(head_only || head.content_length == body_len);
	cr_assert_eq(head.keep_alive, !close);
	cr_assert_eq(head.status, reason_info(why)->status);
	free(out);
	out = malloc(len);
	memcpy(out, buf, len);
	out_len = len;
	guarded_free(g);
}

/* ---- text ---------------------------------------------------------------------------------- */

Test(answer, with_its_sentence_and_id)
{
	answer(REASON_CONNECT_REFUSED, ANSWER_TEXT, false, false);
	expect("HTTP/1.1 502 Bad Gateway\r\n" DATE "Content-Type: text/plain\r\n"
	       "Content-Length: 64\r\n\r\n"
	       "The backend refused the connection. (exchange 9f3c51d27be40a18)\n");
	answer(REASON_BAD_REQUEST, ANSWER_TEXT, true, false);
	expect("HTTP/1.1 400 Bad Request\r\n" DATE "Content-Type: text/plain\r\n"
	       "Content-Length: 59\r\nConnection: close\r\n\r\n"
	       "The request is not valid HTTP. (exchange 9f3c51d27be40a18)\n");
}

Test(answer, to_head_has_the_length_only)
{
	answer(REASON_BAD_REQUEST, ANSWER_TEXT, true, true);
	expect("HTTP/1.1 400 Bad Request\r\n" DATE "Content-Type: text/plain\r\n"
	       "Content-Length: 59\r\nConnection: close\r\n\r\n");
}

Test(answer, a_405_says_what_is_allowed)
{
	answer(REASON_METHOD_REFUSED, ANSWER_TEXT, true, true);
	cr_assert(has("\r\nAllow: GET, "));
	cr_assert(!has("CONNECT"));
}

Test(answer, without_a_sentence_it_is_empty_in_every_form)
{
	for (int form = ANSWER_TEXT; form <= ANSWER_SOAP_12; form++) {
		answer(REASON_ANSWERED_HERE, (enum answer_form)form, false, false);
		expect("HTTP/1.1 200 OK\r\n" DATE
		       "Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, TRACE, PATCH\r\n"
		       "Content-Length: 0\r\n\r\n");
	}
}

/* Sentences and words stand in XML as they are. */
Test(answer, every_answer_fits_is_named_and_needs_no_escape)
{
	for (int r = 0; r < REASON_COUNT; r++) {
		const struct reason_info *info = reason_info((enum reason)r);

		cr_expect_null(strpbrk(info->sentence, "<>&\""), "%s", info->word);
		cr_expect_null(strpbrk(info->word, "<>&\""), "%s", info->word);
		if (info->status < 200)
			continue;
		for (int form = ANSWER_TEXT; form <= ANSWER_SOAP_12; form++) {
			answer((enum reason)r, (enum answer_form)form, true, false);
			cr_assert(!has(" Error\r\n"), "%s has no phrase", info->word);
			cr_assert(has(info->sentence));
		}
	}
}

/* ---- faults -------------------------------------------------------------------------------- */

Test(answer, soap_11_fault)
{
	answer(REASON_CONNECT_REFUSED, ANSWER_SOAP_11, false, false);
	expect("HTTP/1.1 502 Bad Gateway\r\n" DATE "Content-Type: text/xml; charset=utf-8\r\n"
	       "Content-Length: 381\r\n\r\n"
	       "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n"
	       "<soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\">"
	       "<soap:Body><soap:Fault><faultcode>soap:Server</faultcode>"
	       "<faultstring>The backend refused the connection.</faultstring>"
	       "<detail><exchange xmlns=\"urn:flowproxy\"><id>9f3c51d27be40a18</id>"
	       "<end>connect-refused</end></exchange></detail>"
	       "</soap:Fault></soap:Body></soap:Envelope>\n");
}

Test(answer, soap_12_fault)
{
	answer(REASON_BODY_TOO_LARGE, ANSWER_SOAP_12, true, false);
	expect("HTTP/1.1 413 Content Too Large\r\n" DATE
	       "Content-Type: application/soap+xml; charset=utf-8\r\n"
	       "Content-Length: 445\r\nConnection: close\r\n\r\n"
	       "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n"
	       "<soap:Envelope xmlns:soap=\"http://www.w3.org/2003/05/soap-envelope\">"
	       "<soap:Body><soap:Fault><soap:Code><soap:Value>soap:Sender</soap:Value></soap:Code>"
	       "<soap:Reason><soap:Text xml:lang=\"en\">The request body is too large.</soap:Text>"
	       "</soap:Reason><soap:Detail><exchange xmlns=\"urn:flowproxy\">"
	       "<id>9f3c51d27be40a18</id><end>body-too-large</end></exchange></soap:Detail>"
	       "</soap:Fault></soap:Body></soap:Envelope>\n");
}

Test(answer, whose_fault_it_was)
{
	for (int r = 0; r < REASON_COUNT; r++) {
		uint16_t status = reason_info((enum reason)r)->status;

		if (status < 400)
			continue;
		answer((enum reason)r, ANSWER_SOAP_11, true, false);
		cr_expect_eq(has(">soap:Client</faultcode>"), status < 500);
		cr_expect_eq(has(">soap:Server</faultcode>"), status >= 500);
		answer((enum reason)r, ANSWER_SOAP_12, true, false);
		cr_expect_eq(has(">soap:Sender</soap:Value>"), status < 500);
		cr_expect_eq(has(">soap:Receiver</soap:Value>"), status >= 500);
	}
}

Test(answer, a_fault_to_head_has_its_length_only)
{
	answer(REASON_CONNECT_REFUSED, ANSWER_SOAP_11, false, true);
	expect("HTTP/1.1 502 Bad Gateway\r\n" DATE "Content-Type: text/xml; charset=utf-8\r\n"
	       "Content-Length: 381\r\n\r\n");
}

/* ---- what was asked for -------------------------------------------------------------------- */

Test(answer, form_of_a_request)
{
	static const struct {
		const char *fields;
		enum answer_form form;
	} known[] = {
		{"", ANSWER_TEXT},
		{"Content-Type: application/json\r\n", ANSWER_TEXT},
		{"Content-Type: application/xml\r\n", ANSWER_TEXT},
		{"Content-Type:\r\n", ANSWER_TEXT},
		{"X: text/xml\r\n", ANSWER_TEXT},
		{"SOAPAction: urn:x\r\n", ANSWER_SOAP_11},
		{"soapaction: \"\"\r\n", ANSWER_SOAP_11},
		{"SOAPACTION:\r\nContent-Type: application/json\r\n", ANSWER_SOAP_11},
		{"Content-Type: text/xml\r\n", ANSWER_SOAP_11},
		{"Content-Type: TEXT/xml;charset=\"utf-8\"\r\n", ANSWER_SOAP_11},
		{"Content-Type: application/soap+xml\r\n", ANSWER_SOAP_12},
		{"Content-Type: Application/SOAP+xml; action=\"urn:x\"\r\n", ANSWER_SOAP_12},
		{"SOAPAction: urn:x\r\nContent-Type: application/soap+xml\r\n", ANSWER_SOAP_12},
		{"Content-Type: application/soap+xml2\r\n", ANSWER_TEXT},
		{"Content-Type: multipart/related; boundary=b; type=\"text/xml\"\r\n",
		 ANSWER_SOAP_11},
		{"Content-Type: multipart/related; type=text/xml; boundary=b\r\n", ANSWER_SOAP_11},
		{"Content-Type: Multipart/Related; TYPE=\"application/xop+xml\"; "
		 "start-info=\"text/xml\"\r\n",
		 ANSWER_SOAP_11},
		{"Content-Type: multipart/related; start-info=\"application/soap+xml\"; "
		 "type=\"application/xop+xml\"\r\n",
		 ANSWER_SOAP_12},
		{"Content-Type: multipart/related; "
		 "start-info=\"application\\/soap+xml; action=\\\"urn:x\\\"\"\r\n",
		 ANSWER_SOAP_12},
		{"Content-Type: multipart/related; type=\"application/soap+xml\"\r\n",
		 ANSWER_SOAP_12},
		{"Content-Type: multipart/related; boundary=\"; type=text/xml\"\r\n", ANSWER_TEXT},
		{"Content-Type: multipart/related; boundary=b\r\n", ANSWER_TEXT},
		{"Content-Type: multipart/related; boundary=b\r\nSOAPAction: \"\"\r\n",
		 ANSWER_SOAP_11},
		{"Content-Type: multipart/form-data; type=\"text/xml\"\r\n", ANSWER_TEXT},
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		char text[512] = "POST / HTTP/1.1\r\nHost: a\r\n";

		strcat(strcat(text, known[i].fields), "\r\n");
		cr_assert(http_head_init(&head, HTTP_REQUEST, &limits, HTTP_METHOD_OTHER, false));
		cr_assert_eq(http_head_read(&head, text, strlen(text)), HTTP_DONE, "%s", text);
		cr_expect_eq(answer_form_of(&head, text), known[i].form, "%s", known[i].fields);
	}
}
