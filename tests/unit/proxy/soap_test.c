/*
 * soap_test.c -- what is read out of SOAP bodies, however they come in pieces, and what is not.
 */
#include "proxy/soap.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/lib/guarded.h"

static struct http_head head;

static void fini(void)
{
	http_head_fini(&head);
}

TestSuite(soap, .fini = fini, .timeout = 30);

#define XML_TYPE "Content-Type: text/xml; charset=utf-8\r\n"
#define MIME     "Content-Type: multipart/related; boundary=\"b-1\"; type=\"application/xop+xml\"\r\n"
#define NS11     "http://schemas.xmlsoap.org/soap/envelope/"
#define NS12     "http://www.w3.org/2003/05/soap-envelope"

/* A reader for a body behind these fields; NULL: it is not read. */
static struct soap_reader *reader(enum soap_side side, const char *fields)
{
	static const struct http_limits limits = {65536, 256};
	char text[1024];

	snprintf(text, sizeof(text), "%s%s\r\n",
		 side == SOAP_REQUEST ? "POST / HTTP/1.1\r\nHost: a\r\n" : "HTTP/1.1 500 E\r\n",
		 fields);
	cr_assert(http_head_init(&head, side == SOAP_REQUEST ? HTTP_REQUEST : HTTP_RESPONSE,
				 &limits, HTTP_METHOD_POST, false));
	cr_assert_eq(http_head_read(&head, text, strlen(text)), HTTP_DONE, "%s", text);
	return soap_reader_new(side, &head, text);
}

/* "operation" of a request, "code|string" of a response; "-" is what is not known, "~" a cut. */
static const char *results(enum soap_side side, struct soap_reader *r)
{
	static char text[2 * SOAP_TEXT_MAX + 8];
	char *p = text;

	soap_reader_end(r);
	soap_reader_end(r);
	for (int i = SOAP_OPERATION; i < SOAP_WHAT_COUNT; i++) {
		const struct soap_text *t = soap_reader_text(r, (enum soap_what)i);

		if ((i == SOAP_OPERATION) != (side == SOAP_REQUEST)) {
			cr_assert(!t->known);
			continue;
		}
		p += sprintf(p, "%s%.*s%s", p > text ? "|" : "", t->known ? t->len : 1,
			     t->known ? t->bytes : "-", t->known && t->cut ? "~" : "");
	}
	*p = '\0';
	return text;
}

/* Each piece ends at a page that must not be read. */
static void feed(struct soap_reader *r, struct guarded *g, const char *bytes, size_t len)
{
	if (len > 0)
		soap_reader_feed(r, guarded_put(g, bytes, len), len);
}

static void expect_bytes(enum soap_side side, const char *fields, const char *body, size_t len,
			 const char *wanted)
{
	struct guarded *g = guarded_new(len + 1);
	struct soap_reader *r;

	for (size_t split = 0; split <= len; split++) {
		r = reader(side, fields);
		cr_assert_not_null(r);
		feed(r, g, body, split);
		feed(r, g, body + split, len - split);
		cr_assert_str_eq(results(side, r), wanted, "split at %zu of %.300s", split, body);
		soap_reader_free(r);
	}
	r = reader(side, fields);
	for (size_t i = 0; i < len; i++)
		feed(r, g, body + i, 1);
	cr_assert_str_eq(results(side, r), wanted, "byte by byte: %.300s", body);
	soap_reader_free(r);
	guarded_free(g);
}

static void expect_request(const char *body, const char *wanted)
{
	expect_bytes(SOAP_REQUEST, XML_TYPE, body, strlen(body), wanted);
}

static void expect_response(const char *body, const char *wanted)
{
	expect_bytes(SOAP_RESPONSE, XML_TYPE, body, strlen(body), wanted);
}

/* At once only, for what is long. */
static void expect_long(enum soap_side side, const char *body, const char *wanted)
{
	struct soap_reader *r = reader(side, XML_TYPE);

	soap_reader_feed(r, body, strlen(body));
	cr_expect_str_eq(results(side, r), wanted);
	soap_reader_free(r);
}

/* ---- operations ---------------------------------------------------------------------------- */

Test(soap, operation_of_a_request)
{
	expect_request("<s:Envelope xmlns:s='" NS11 "'><s:Body><w:ConversionRate xmlns:w='urn:w'/>"
		       "</s:Body></s:Envelope>",
		       "ConversionRate");
	expect_request("<?xml version='1.0' encoding='utf-8'?>\n<Envelope xmlns='" NS12 "'>\n"
		       "<Header><Security><Body/></Security></Header>\n<Body a='b'>\n"
		       "<!-- <Not/> --><?no pi?> <First xmlns=''/><Second/></Body></Envelope>",
		       "First");
	expect_request("<e:Envelope xmlns:e='" NS11 "'><e:Header>text &amp; more</e:Header>"
		       "<e:Body><e:Fault/></e:Body></e:Envelope>",
		       "Fault");
	expect_request("<s:Envelope xmlns:s='" NS11
		       "'><s:Body><caf\xc3\xa9/></s:Body></s:Envelope>",
		       "caf\xc3\xa9");
}

/* What stands before the Body's first element decides; what follows is not looked at. */
Test(soap, as_soon_as_it_is_known)
{
	expect_request("<s:Envelope xmlns:s='" NS11 "'><s:Body><Op>& < ]]> no XML", "Op");
	expect_request("<s:Envelope xmlns:s='" NS11 "'><s:Body><Op ", "-");
	expect_request("<s:Envelope xmlns:s='" NS11 "'><s:Body><Op>", "Op");
}

Test(soap, no_operation)
{
	static const char *const bodies[] = {
		"",
		" ",
		"not XML at all",
		"{\"json\": true}",
		"<",
		"<a/>",
		"<Envelope/>",
		"<Envelope><Body><Op/></Body></Envelope>",
		"<s:Envelope><s:Body><Op/></s:Body></s:Envelope>",
		"<s:Envelope xmlns:s='urn:other'><s:Body><Op/></s:Body></s:Envelope>",
		"<s:Envelope xmlns:s='" NS11 "x'><s:Body><Op/></s:Body></s:Envelope>",
		"<s:Envelope xmlns:s='" NS11 "&#10;Envelope'><s:Body><Op/></s:Body></s:Envelope>",
		"<s:Envelope xmlns:s='" NS11 "'><s:Body/></s:Envelope>",
		"<s:Envelope xmlns:s='" NS11
		"'><s:Body></s:Body><s:Body><Op/></s:Body></s:Envelope>",
		"<s:Envelope xmlns:s='" NS11
		"'><s:Header><s:Body><Op/></s:Body></s:Header></s:Envelope>",
		/* a Body of the other version is none */
		"<s:Envelope xmlns:s='" NS11 "'><t:Body xmlns:t='" NS12
		"'><Op/></t:Body></s:Envelope>",
		"<s:Envelope xmlns:s='" NS11 "'><s:Body>text</s:Body></s:Envelope>",
		"<s:Envelope xmlns:s='" NS11 "'><s:Body>&undefined;<Op/></s:Body></s:Envelope>",
		"<s:Envelope xmlns:s='" NS11 "'><s:Body>\x01<Op/></s:Body></s:Envelope>",
		"<s:Envelope xmlns:s='" NS11 "'><s:Body>\xff<Op/></s:Body></s:Envelope>",
		"<s:Envelope xmlns:s='" NS11 "'><s:Wrong></s:Body><Op/>",
		"<?xml version='1.0' encoding='no-such-encoding'?><s:Envelope xmlns:s='" NS11
		"'><s:Body><Op/></s:Body></s:Envelope>",
	};

	for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
		expect_request(bodies[i], "-");
}

static const char entity_bomb[] =
	"<!DOCTYPE lolz [<!ENTITY a 'lol'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;'>"
	"<!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;'><!ENTITY d '&c;&c;&c;&c;&c;&c;&c;&c;'>]>";

Test(soap, document_types_and_entities_are_refused)
{
	static const char rest[] =
		"<s:Envelope xmlns:s='" NS11 "'><s:Body><Op/></s:Body></s:Envelope>";
	static const char *const types[] = {
		"<!DOCTYPE Envelope>",
		"<!DOCTYPE Envelope SYSTEM 'file:///etc/passwd'>",
		"<!DOCTYPE Envelope [<!ENTITY x 'y'>]>",
		entity_bomb,
		"<!DOCTYPE x [<!ENTITY % p SYSTEM 'http://127.0.0.1/p'> %p;]>",
		"<?xml version='1.0'?><!-- c --><!DOCTYPE x>",
		"<!ENTITY x 'y'>",
	};

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		char body[1024];

		snprintf(body, sizeof(body), "%s%s", types[i], rest);
		expect_request(body, "-");
	}
}

/* ---- faults -------------------------------------------------------------------------------- */

Test(soap, fault_11)
{
	expect_response("<s:Envelope xmlns:s='" NS11
			"'><s:Body><s:Fault><faultcode>s:Server</faultcode>"
			"<faultstring>No rate for LKR</faultstring><detail><faultcode>x</faultcode>"
			"</detail></s:Fault></s:Body></s:Envelope>",
			"s:Server|No rate for LKR");
	expect_response(
		"<s:Envelope xmlns:s='" NS11 "'><s:Body><s:Fault>"
		"<detail><faultstring>inner</faultstring></detail>"
		"<faultstring xml:lang='de'>\n a<!-- c -->b<![CDATA[<c>]]>&amp;&#228; <i>no</i> d \n"
		"</faultstring><faultactor/><faultcode>\n\ts:Client.Auth </faultcode>"
		"</s:Fault></s:Body></s:Envelope>",
		"s:Client.Auth|ab<c>&\xc3\xa4  d");
	expect_response("<s:Envelope xmlns:s='" NS11
			"'><s:Body><s:Fault><s:faultcode>a</s:faultcode>"
			"<s:faultstring></s:faultstring></s:Fault></s:Body></s:Envelope>",
			"a|");
	/* the first of each */
	expect_response("<s:Envelope xmlns:s='" NS11 "'><s:Body><s:Fault><faultcode>a</faultcode>"
			"<faultcode>b</faultcode></s:Fault></s:Body></s:Envelope>",
			"a|-");
}

Test(soap, fault_12)
{
	expect_response(
		"<s:Envelope xmlns:s='" NS12 "'><s:Body><s:Fault><s:Code>"
		"<s:Value>s:Sender</s:Value><s:Subcode><s:Value>m:Timeout</s:Value></s:Subcode>"
		"</s:Code><s:Reason><s:Text xml:lang='en'>Too late</s:Text>"
		"<s:Text xml:lang='de'>Zu sp\xc3\xa4t</s:Text></s:Reason><s:Detail/></s:Fault>"
		"</s:Body></s:Envelope>",
		"s:Sender|Too late");
	/* 1.1's names mean nothing here, nor do 1.2's without their namespace */
	expect_response("<s:Envelope xmlns:s='" NS12 "'><s:Body><s:Fault><faultcode>x</faultcode>"
			"<Code><Value>y</Value></Code><s:Reason><Text>z</Text></s:Reason></s:Fault>"
			"</s:Body></s:Envelope>",
			"-|-");
	expect_response(
		"<s:Envelope xmlns:s='" NS12 "'><s:Body><s:Fault><s:Code><s:Subcode>"
		"<s:Value>inner</s:Value></s:Subcode><s:Value>outer</s:Value></s:Code></s:Fault>"
		"</s:Body></s:Envelope>",
		"outer|-");
}

Test(soap, no_fault)
{
	static const char *const bodies[] = {
		"<s:Envelope xmlns:s='" NS11 "'><s:Body><Result>7</Result></s:Body></s:Envelope>",
		"<s:Envelope xmlns:s='" NS11
		"'><s:Body><Fault><faultcode>x</faultcode></Fault></s:Body>"
		"</s:Envelope>",
		"<s:Envelope xmlns:s='" NS11
		"'><s:Body><R/><s:Fault><faultcode>x</faultcode></s:Fault>"
		"</s:Body></s:Envelope>",
		"<s:Envelope xmlns:s='" NS11 "'><s:Body><s:Fault/></s:Body></s:Envelope>",
		"<html><body>Internal Server Error</body></html>",
		"",
	};

	for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
		expect_response(bodies[i], "-|-");
}

/* A response that breaks off, or is no XML further on: what had ended by then is known. */
Test(soap, what_came_before_the_end)
{
	expect_response("<s:Envelope xmlns:s='" NS11
			"'><s:Body><s:Fault><faultcode>s:Server</faultcode>"
			"<faultstring>half a sen",
			"s:Server|-");
	expect_response("<s:Envelope xmlns:s='" NS11
			"'><s:Body><s:Fault><faultcode>s:Server</faultcode>"
			"<faultstring>a & b</faultstring>",
			"s:Server|-");
}

/* ---- encodings ----------------------------------------------------------------------------- */

static size_t to_utf16(const char *text, bool big, char *out)
{
	size_t n = 0;

	out[n++] = big ? '\xfe' : '\xff';
	out[n++] = big ? '\xff' : '\xfe';
	for (; *text != '\0'; text++) {
		out[n++] = big ? '\0' : *text;
		out[n++] = big ? *text : '\0';
	}
	return n;
}

Test(soap, utf_16)
{
	static const char body[] =
		"<?xml version='1.0' encoding='UTF-16'?><s:Envelope xmlns:s='" NS11
		"'><s:Body><s:Fault><faultcode>c</faultcode><faultstring>\xe4 s"
		"</faultstring></s:Fault></s:Body></s:Envelope>";
	char bytes[2 * sizeof(body) + 2];

	for (int big = 0; big < 2; big++) {
		size_t len = to_utf16(body, big, bytes);

		expect_bytes(SOAP_RESPONSE, XML_TYPE, bytes, len, "c|\xc3\xa4 s");
	}
}

Test(soap, latin_1)
{
#define ENVELOPE(xml) xml "<s:Envelope xmlns:s='" NS11 "'><s:Body><caf\xe9/></s:Body></s:Envelope>"
	static const char plain[] = ENVELOPE("");
	static const char declared[] = ENVELOPE("<?xml version='1.0' encoding='ISO-8859-1'?>");

	expect_bytes(SOAP_REQUEST, "Content-Type: text/xml; charset=\"ISO-8859-1\"\r\n", plain,
		     strlen(plain), "caf\xc3\xa9");
	expect_bytes(SOAP_REQUEST, "Content-Type: text/xml\r\n", declared, strlen(declared),
		     "caf\xc3\xa9");
	expect_bytes(SOAP_REQUEST, "Content-Type: text/xml\r\n", plain, strlen(plain), "-");
#undef ENVELOPE
}

/* ---- bounds -------------------------------------------------------------------------------- */

static char *repeated(const char *before, const char *piece, size_t count, const char *after)
{
	size_t n = strlen(piece);
	char *text = malloc(strlen(before) + n * count + strlen(after) + 1);
	char *p = stpcpy(text, before);

	for (size_t i = 0; i < count; i++)
		p = stpcpy(p, piece);
	strcpy(p, after);
	return text;
}

#define HEADER "<s:Envelope xmlns:s='" NS11 "'><s:Header>"
#define BODY   "</s:Header><s:Body><Op/></s:Body></s:Envelope>"

static void expect_repeated(const char *before, const char *piece, size_t count, const char *after,
			    const char *wanted)
{
	char *body = repeated(before, piece, count, after);

	expect_long(SOAP_REQUEST, body, wanted);
	free(body);
}

Test(soap, no_more_than_64_kib_is_looked_at)
{
	const size_t room = SOAP_BYTES_MAX - strlen(HEADER) - strlen("</s:Header><s:Body><Op/>");

	expect_repeated(HEADER, "x", room, BODY, "Op");
	expect_repeated(HEADER, "x", room + 1, BODY, "-");
	expect_repeated(HEADER, "x", 4 * room, BODY, "-");
	expect_repeated(HEADER, "<a/>", 10000, BODY, "Op");
}

Test(soap, deep_nesting)
{
	char *deep = repeated("", "<a>", SOAP_DEPTH_MAX - 2, "");
	char *ends = repeated("", "</a>", SOAP_DEPTH_MAX - 2, BODY);
	char *body = repeated(HEADER, deep, 1, ends);

	expect_long(SOAP_REQUEST, body, "Op");
	free(body);
	free(deep);
	deep = repeated("", "<a>", SOAP_DEPTH_MAX - 1, "</a>");
	body = repeated(HEADER, deep, 1, ends);
	expect_long(SOAP_REQUEST, body, "-");
	expect_repeated(HEADER, "<a>", 20000, "", "-");
	free(body);
	free(deep);
	free(ends);
}

/* A token that does not end, attributes without end: refused by the bytes or by the memory. */
Test(soap, huge_tokens)
{
	expect_repeated("<", "n", 1 << 20, "", "-");
	expect_repeated("<s:Envelope xmlns:s='", "u", 1 << 20, "'>", "-");
	expect_repeated("<!--", "-x", 1 << 20, "", "-");
	expect_repeated("<s:Envelope xmlns:s='" NS11 "'><s:Header a='", "v", 40000, "'>" BODY,
			"Op");
	expect_repeated("<s:Envelope xmlns:s='" NS11 "'><s:Body><", "n", 1000, "/>",
			"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
			"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
			"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
			"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn~");
}

Test(soap, many_attributes_stay_within_the_memory)
{
	char *body = malloc(SOAP_BYTES_MAX + 64);
	char *p = stpcpy(body, "<s:Envelope xmlns:s='" NS11 "'");

	for (unsigned i = 0; p < body + SOAP_BYTES_MAX - 64; i++)
		p += sprintf(p, " xmlns:a%u='%u'", i, i);
	strcpy(p, "><s:Body><Op/>");
	expect_long(SOAP_REQUEST, body, "-");
	free(body);
}

/* A long token that comes in small pieces is not scanned again with each: seconds without care. */
Test(soap, byte_by_byte_costs_no_more)
{
	struct soap_reader *r = reader(SOAP_REQUEST, XML_TYPE);
	clock_t began = clock();

	soap_reader_feed(r, "<!--", 4);
	for (unsigned i = 0; i < SOAP_BYTES_MAX; i++)
		soap_reader_feed(r, "x", 1);
	cr_expect_str_eq(results(SOAP_REQUEST, r), "-");
	cr_expect_lt(clock() - began, CLOCKS_PER_SEC / 2);
	soap_reader_free(r);
}

Test(soap, texts_are_cut_between_characters)
{
	char *body =
		repeated("<s:Envelope xmlns:s='" NS11 "'><s:Body><s:Fault><faultcode>c</faultcode>"
			 "<faultstring>abc",
			 "\xe2\x82\xac", 200, "z</faultstring></s:Fault></s:Body></s:Envelope>");
	char *wanted = repeated("c|abc", "\xe2\x82\xac", 84, "~"); /* 3 + 252 bytes */

	expect_long(SOAP_RESPONSE, body, wanted);
	free(body);
	free(wanted);
}

/* ---- multipart ----------------------------------------------------------------------------- */

#define PART                                                                      \
	"Content-Type: application/xop+xml; charset=UTF-8; type=\"text/xml\"\r\n" \
	"Content-ID: <root@x>\r\n\r\n"
#define ROOT "<s:Envelope xmlns:s='" NS11 "'><s:Body><Upload><d/></Upload></s:Body></s:Envelope>"

static void expect_mime(const char *body, const char *wanted)
{
	expect_bytes(SOAP_REQUEST, MIME, body, strlen(body), wanted);
}

Test(soap, the_first_part_of_multipart)
{
	expect_mime("--b-1\r\n" PART ROOT
		    "\r\n--b-1\r\nContent-ID: <d>\r\n\r\n\xff\xfe--\r\n--b-1--\r\n",
		    "Upload");
	expect_mime("preamble\r\n--b-2\r\n--b-\r\n--b-1x\r\n --b-1\r\n--b-1--\r\n--b-1 \t\r\n" PART
			    ROOT,
		    "Upload");
	expect_mime("--b-1\n" ROOT "\n\n" ROOT "\n",
		    "Upload"); /* one line is a field's, whatever it is */
	expect_mime("\r\n--b-1\r\n\r\n" ROOT "\r\n--b-1--", "Upload");
}

Test(soap, no_part)
{
	expect_mime("", "-");
	expect_mime("--b-1", "-");
	expect_mime("--b-1\r\n", "-");
	expect_mime("--b-1\r\n" PART, "-");
	expect_mime("--b-1--\r\n" PART ROOT, "-");
	expect_mime("--other\r\n" PART ROOT, "-");
	expect_mime("--b-1\r\n" PART "no XML\r\n--b-1\r\n" PART ROOT, "-");
}

Test(soap, a_part_that_begins_too_late)
{
	char *body = repeated("", "preamble\r\n", 7000, "--b-1\r\n\r\n" ROOT);
	struct soap_reader *r = reader(SOAP_REQUEST, MIME);

	soap_reader_feed(r, body, strlen(body));
	cr_expect_str_eq(results(SOAP_REQUEST, r), "-");
	soap_reader_free(r);
	free(body);
}

/* ---- what is read at all ------------------------------------------------------------------- */

Test(soap, bodies_that_are_read)
{
	static const struct {
		const char *fields;
		bool read;
	} known[] = {
		{"Content-Type: text/xml\r\n", true},
		{"Content-Type: Application/SOAP+XML; action=x\r\n", true},
		{"Content-Type: application/xml\r\n", true},
		{"Content-Type: multipart/related; boundary=b\r\n", true},
		{"SOAPAction: x\r\n", true},
		{"SOAPAction: x\r\nContent-Type: application/x-www-form-urlencoded\r\n", true},
		{"", false},
		{"Content-Type: application/json\r\n", false},
		{"Content-Type: text/html\r\n", false},
		{"Content-Type: multipart/related\r\n", false},
		{"Content-Type: multipart/related; boundary=\"\"\r\n", false},
		{"Content-Type: text/xml\r\nContent-Encoding: identity\r\n", true},
		{"Content-Type: text/xml\r\nContent-Encoding:\r\n", true},
		{"Content-Type: text/xml\r\ncontent-encoding: gzip\r\n", false},
		{"Content-Type: text/xml\r\nContent-Encoding: identity, br\r\n", false},
		{"Content-Type: text/xml\r\nContent-Encoding: identity\r\nContent-Encoding: gzip\r\n",
		 false},
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		struct soap_reader *r = reader(SOAP_REQUEST, known[i].fields);

		cr_expect_eq(r != NULL, known[i].read, "%s", known[i].fields);
		soap_reader_free(r);
	}
}
