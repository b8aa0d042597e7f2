/*
 * soap.c -- read a SOAP request with expat.
 *
 * The envelope's namespace decides the version, the first child of the body the operation; the
 * SOAPAction is not looked at, since clients get it wrong more often than not. Depth and lengths
 * are bounded; the document is parsed as it stands, nothing outside it is ever opened.
 */
#include "tests/tools/lib/soap.h"

#include <expat.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define DEPTH_MAX 32

/* Expat joins namespace and local name with this. */
#define NS_MARK      '\n'

#define ENVELOPE_1_1 "http://schemas.xmlsoap.org/soap/envelope/"
#define ENVELOPE_1_2 "http://www.w3.org/2003/05/soap-envelope"

/* Where the parser stands in the envelope. */
enum place {
	PLACE_OUTSIDE,   /* before or behind everything of interest at its depth */
	PLACE_ENVELOPE,  /* inside Envelope */
	PLACE_HEADER,    /* inside Header */
	PLACE_BODY,      /* inside Body */
	PLACE_OPERATION, /* inside ConversionRate */
	PLACE_FROM,      /* inside FromCurrency */
	PLACE_TO,        /* inside ToCurrency */
};

struct reader {
	XML_Parser parser;
	struct soap_call *call;
	const char *envelope; /* namespace in use, NULL before the root element */
	size_t depth;
	enum place places[DEPTH_MAX]; /* of the open elements */
	char local[64];               /* see local_name() */
	bool seen_body;
	bool seen_operation;
	bool seen_from;
	bool seen_to;
	bool failed;
};

static void reader_fail(struct reader *r, enum soap_blame blame, const char *format, ...)
	PRINTF_LIKE(3, 4);

static void reader_fail(struct reader *r, enum soap_blame blame, const char *format, ...)
{
	va_list args;

	if (r->failed)
		return;
	r->failed = true;
	r->call->blame = blame;
	va_start(args, format);
	vsnprintf(r->call->error, sizeof(r->call->error), format, args);
	va_end(args);
	if (r->parser != NULL)
		XML_StopParser(r->parser, XML_FALSE);
}

static bool name_is(const char *name, const char *ns, const char *local)
{
	size_t n = strlen(ns);

	return strncmp(name, ns, n) == 0 && name[n] == NS_MARK && strcmp(name + n + 1, local) == 0;
}

/* The name without its namespace, cut between two characters: what a fault may say. */
static const char *local_name(struct reader *r, const char *name)
{
	const char *mark = strrchr(name, NS_MARK);
	size_t n;

	name = mark != NULL ? mark + 1 : name;
	n = strnlen(name, sizeof(r->local) - 1);
	while (n > 0 && ((unsigned char)name[n] & 0xc0) == 0x80)
		n--;
	memcpy(r->local, name, n);
	r->local[n] = '\0';
	return r->local;
}

static enum place open_root(struct reader *r, const char *name)
{
	if (name_is(name, ENVELOPE_1_1, "Envelope")) {
		r->envelope = ENVELOPE_1_1;
		r->call->version = SOAP_1_1;
	} else if (name_is(name, ENVELOPE_1_2, "Envelope")) {
		r->envelope = ENVELOPE_1_2;
		r->call->version = SOAP_1_2;
	} else if (strcmp(local_name(r, name), "Envelope") == 0) {
		reader_fail(r, SOAP_VERSION_MISMATCH,
			    "the envelope is neither of SOAP 1.1 nor of SOAP 1.2");
	} else {
		reader_fail(r, SOAP_CLIENT, "the root element is %s, not a SOAP Envelope",
			    local_name(r, name));
	}
	return PLACE_ENVELOPE;
}

static enum place open_in_envelope(struct reader *r, const char *name)
{
	if (name_is(name, r->envelope, "Header") && !r->seen_body)
		return PLACE_HEADER;
	if (name_is(name, r->envelope, "Body") && !r->seen_body) {
		r->seen_body = true;
		return PLACE_BODY;
	}
	reader_fail(r, SOAP_CLIENT, "element %s has no place in the envelope", local_name(r, name));
	return PLACE_OUTSIDE;
}

/* No header block is known here, so one that must be understood is a fault. */
static enum place open_in_header(struct reader *r, const char *name, const char **attributes)
{
	for (size_t i = 0; attributes[i] != NULL; i += 2) {
		if (name_is(attributes[i], r->envelope, "mustUnderstand") &&
		    (strcmp(attributes[i + 1], "1") == 0 || strcmp(attributes[i + 1], "true") == 0))
			reader_fail(r, SOAP_MUST_UNDERSTAND, "header %s is not understood",
				    local_name(r, name));
	}
	return PLACE_OUTSIDE;
}

static enum place open_in_body(struct reader *r, const char *name)
{
	if (r->seen_operation)
		reader_fail(r, SOAP_CLIENT, "more than one element in the body");
	else if (!name_is(name, SOAP_NAMESPACE, "ConversionRate"))
		reader_fail(r, SOAP_CLIENT, "operation %s is not known", local_name(r, name));
	r->seen_operation = true;
	return PLACE_OPERATION;
}

static enum place open_in_operation(struct reader *r, const char *name)
{
	bool *seen;
	enum place place;

	if (name_is(name, SOAP_NAMESPACE, "FromCurrency")) {
		seen = &r->seen_from;
		place = PLACE_FROM;
	} else if (name_is(name, SOAP_NAMESPACE, "ToCurrency")) {
		seen = &r->seen_to;
		place = PLACE_TO;
	} else {
		reader_fail(r, SOAP_CLIENT, "parameter %s is not known", local_name(r, name));
		return PLACE_OUTSIDE;
	}
	if (*seen)
		reader_fail(r, SOAP_CLIENT, "parameter %s stands twice", local_name(r, name));
	*seen = true;
	return place;
}

static enum place place_of_child(struct reader *r, const char *name, const char **attributes)
{
	if (r->depth == 0)
		return open_root(r, name);
	switch (r->places[r->depth - 1]) {
	case PLACE_ENVELOPE:
		return open_in_envelope(r, name);
	case PLACE_HEADER:
		return open_in_header(r, name, attributes);
	case PLACE_BODY:
		return open_in_body(r, name);
	case PLACE_OPERATION:
		return open_in_operation(r, name);
	case PLACE_FROM:
	case PLACE_TO:
		reader_fail(r, SOAP_CLIENT, "a currency has no elements");
		return PLACE_OUTSIDE;
	case PLACE_OUTSIDE:
		break;
	}
	return PLACE_OUTSIDE;
}

static void XMLCALL on_start(void *data, const XML_Char *name, const XML_Char **attributes)
{
	struct reader *r = data;
	enum place place;

	if (r->depth == DEPTH_MAX) {
		reader_fail(r, SOAP_CLIENT, "the XML is nested too deep");
		return;
	}
	place = place_of_child(r, name, attributes);
	r->places[r->depth++] = place;
}

static void XMLCALL on_end(void *data, const XML_Char *name)
{
	struct reader *r = data;

	(void)name;
	if (r->depth > 0)
		r->depth--;
}

static void XMLCALL on_text(void *data, const XML_Char *text, int len)
{
	struct reader *r = data;
	enum place place = r->depth > 0 ? r->places[r->depth - 1] : PLACE_OUTSIDE;
	char *value = place == PLACE_FROM ? r->call->from : r->call->to;
	size_t have;

	if (place != PLACE_FROM && place != PLACE_TO)
		return;
	have = strlen(value);
	if ((size_t)len >= SOAP_VALUE_MAX - have) {
		reader_fail(r, SOAP_CLIENT, "a currency is three letters");
		return;
	}
	memcpy(value + have, text, (size_t)len);
	value[have + (size_t)len] = '\0';
}

static void XMLCALL on_doctype(void *data, const XML_Char *name, const XML_Char *system_id,
			       const XML_Char *public_id, int has_internal_subset)
{
	(void)name;
	(void)system_id;
	(void)public_id;
	(void)has_internal_subset;
	reader_fail(data, SOAP_CLIENT, "a document type declaration is not allowed");
}

/* Blanks around a currency are a matter of how the request was laid out. */
static void value_trim(char *value)
{
	size_t lead = strspn(value, " \t\r\n");
	size_t len = strlen(value);

	memmove(value, value + lead, len - lead + 1);
	len -= lead;
	while (len > 0 && strchr(" \t\r\n", value[len - 1]) != NULL)
		value[--len] = '\0';
}

static void check_complete(struct reader *r)
{
	if (!r->seen_body)
		reader_fail(r, SOAP_CLIENT, "the envelope has no body");
	else if (!r->seen_operation)
		reader_fail(r, SOAP_CLIENT, "the body is empty");
	else if (!r->seen_from)
		reader_fail(r, SOAP_CLIENT, "FromCurrency is missing");
	else if (!r->seen_to)
		reader_fail(r, SOAP_CLIENT, "ToCurrency is missing");
	value_trim(r->call->from);
	value_trim(r->call->to);
}

static void reader_run(struct reader *r, const char *body, size_t len)
{
	enum XML_Status status;

	XML_SetUserData(r->parser, r);
	XML_SetElementHandler(r->parser, on_start, on_end);
	XML_SetCharacterDataHandler(r->parser, on_text);
	XML_SetStartDoctypeDeclHandler(r->parser, on_doctype);
	status = XML_Parse(r->parser, body, (int)len, XML_TRUE);
	if (status != XML_STATUS_OK)
		reader_fail(r, SOAP_CLIENT, "the request is no well-formed XML: %s at line %lu",
			    XML_ErrorString(XML_GetErrorCode(r->parser)),
			    (unsigned long)XML_GetCurrentLineNumber(r->parser));
	else
		check_complete(r);
}

bool soap_call_parse(struct soap_call *call, const char *content_type, const char *body, size_t len)
{
	struct reader r = {.call = call};
	static const char soap_1_2_type[] = "application/soap+xml";

	memset(call, 0, sizeof(*call));
	call->version = strncasecmp(content_type, soap_1_2_type, strlen(soap_1_2_type)) == 0
				? SOAP_1_2
				: SOAP_1_1;
	if (len == 0) {
		reader_fail(&r, SOAP_CLIENT, "the request has no body");
		return false;
	}
	r.parser = XML_ParserCreateNS(NULL, NS_MARK);
	if (r.parser == NULL) {
		reader_fail(&r, SOAP_SERVER, "no memory");
		return false;
	}
	reader_run(&r, body, len);
	XML_ParserFree(r.parser);
	return !r.failed;
}
