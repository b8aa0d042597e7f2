/*
 * soap.c -- an Envelope's Body up to its first element, by expat.
 *
 * Expat is given the body in blocks that begin at fixed places in it, so that what is found does not
 * depend on the pieces the body came in, and so that a token which comes byte by byte is not scanned
 * again with each of them. Its memory comes from a purse of the reader.
 *
 * Of multipart/related (MTOM) the first part is read, its MIME fields are skipped.
 *
 * Invariant: `left` plus what was looked at is SOAP_BYTES_MAX; in STATE_DONE there is no parser.
 */
#include "proxy/soap.h"

#include <expat.h>
#include <stdlib.h>
#include <string.h>

#include "common/http_fields.h"
#include "common/media_type.h"

_Static_assert(sizeof(XML_Char) == 1, "expat gives UTF-8");

#define BLOCK_BYTES  2048
#define BOUNDARY_MAX 70   /* RFC 2046 section 5.1.1 */
#define NS_SEPARATOR '\n' /* expat refuses namespaces with it inside */

#define SOAP_11      "http://schemas.xmlsoap.org/soap/envelope/"
#define SOAP_12      "http://www.w3.org/2003/05/soap-envelope"

enum state {
	STATE_PREAMBLE,    /* multipart: before the first boundary */
	STATE_PART_FIELDS, /* multipart: in the MIME fields of the first part */
	STATE_XML,
	STATE_DONE, /* nothing more is looked at */
};

/* The element that encloses the next one, as far as it matters. */
enum place {
	PLACE_OUTSIDE,
	PLACE_ENVELOPE,
	PLACE_BODY,
	PLACE_FAULT,
	PLACE_CODE,   /* 1.2 */
	PLACE_REASON, /* 1.2 */
	PLACE_TEXT,   /* in the element whose text is r->into */
};

struct soap_reader {
	enum soap_side side;
	enum state state;
	uint32_t left;
	/* lines of a multipart body */
	char boundary[2 + BOUNDARY_MAX]; /* "--" and the parameter's value */
	uint32_t boundary_len;
	uint32_t line_len; /* bytes of the line that begins the part, or of a field's line */
	bool line_matches; /* so far it is the boundary's */
	/* XML */
	XML_Parser parser;
	size_t purse;     /* what it may still allocate */
	bool latin1;      /* said by the charset parameter */
	enum place place; /* at place_depth; deeper elements mean nothing */
	uint32_t place_depth;
	uint32_t depth;
	const char *ns; /* of the Envelope */
	struct soap_text *into;
	struct soap_text texts[SOAP_WHAT_COUNT];
	uint32_t block_len;
	char block[BLOCK_BYTES];
};

/* ---- expat's memory ------------------------------------------------------------------------ */

/* Expat's functions have no argument of ours: this is the reader's whose parser runs. */
static _Thread_local size_t *purse;

union purse_piece {
	size_t size;
	max_align_t align;
};

static void *purse_realloc(void *memory, size_t size)
{
	union purse_piece *old = memory != NULL ? (union purse_piece *)memory - 1 : NULL;
	size_t had = old != NULL ? old->size : 0;
	union purse_piece *piece;

	if (size > *purse + had)
		return NULL;
	piece = realloc(old, sizeof(*piece) + size);
	if (piece == NULL)
		return NULL;
	*purse = *purse + had - size;
	piece->size = size;
	return piece + 1;
}

static void *purse_malloc(size_t size)
{
	return purse_realloc(NULL, size);
}

static void purse_free(void *memory)
{
	union purse_piece *piece = memory;

	if (piece == NULL)
		return;
	*purse += piece[-1].size;
	free(piece - 1);
}

static const XML_Memory_Handling_Suite purse_suite = {purse_malloc, purse_realloc, purse_free};

/* ---- what was found ------------------------------------------------------------------------ */

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void text_end(struct soap_text *t)
{
	while (t->len > 0 && is_space(t->bytes[t->len - 1]))
		t->len--;
	t->known = true;
}

/* As much as fits, whole characters only. */
static void text_add(struct soap_text *t, const char *bytes, size_t len)
{
	size_t room = sizeof(t->bytes) - t->len;

	if (t->cut)
		return;
	while (t->len == 0 && len > 0 && is_space(*bytes)) {
		bytes++;
		len--;
	}
	if (len > room) {
		t->cut = true;
		len = room;
		while (len > 0 && ((uint8_t)bytes[len] & 0xc0) == 0x80)
			len--;
	}
	memcpy(t->bytes + t->len, bytes, len);
	t->len += (uint16_t)len;
}

/* Nothing more is wanted: expat returns as soon as it can, and its memory goes then. */
static void stop(struct soap_reader *r)
{
	r->state = STATE_DONE;
	XML_StopParser(r->parser, XML_FALSE);
}

static void enter(struct soap_reader *r, enum place place)
{
	r->place = place;
	r->place_depth = r->depth;
}

static void collect(struct soap_reader *r, enum soap_what what)
{
	if (r->texts[what].known)
		return;
	r->into = &r->texts[what];
	enter(r, PLACE_TEXT);
}

/* ---- elements ------------------------------------------------------------------------------ */

/* An expanded name: NS_SEPARATOR stands between namespace and local name, if there is one. */
static const char *local_name(const char *name)
{
	const char *at = strrchr(name, NS_SEPARATOR);

	return at != NULL ? at + 1 : name;
}

static bool name_is(const char *name, const char *ns, const char *local)
{
	size_t n = strlen(ns);

	return strncmp(name, ns, n) == 0 && name[n] == NS_SEPARATOR &&
	       strcmp(name + n + 1, local) == 0;
}

static void enter_envelope(struct soap_reader *r, const char *name)
{
	if (name_is(name, SOAP_11, "Envelope"))
		r->ns = SOAP_11;
	else if (name_is(name, SOAP_12, "Envelope"))
		r->ns = SOAP_12;
	else
		stop(r);
	enter(r, PLACE_ENVELOPE);
}

/* The first element in the Body. */
static void enter_payload(struct soap_reader *r, const char *name)
{
	struct soap_text *operation = &r->texts[SOAP_OPERATION];

	if (r->side == SOAP_REQUEST) {
		text_add(operation, local_name(name), strlen(local_name(name)));
		text_end(operation);
		stop(r);
	} else if (name_is(name, r->ns, "Fault")) {
		enter(r, PLACE_FAULT);
	} else {
		stop(r);
	}
}

/* SOAP 1.1 section 4.4: without a namespace; some qualify them in spite of that. */
static bool is_11_part(const char *name, const char *local)
{
	return strcmp(name, local) == 0 || name_is(name, SOAP_11, local);
}

static void enter_fault_part(struct soap_reader *r, const char *name)
{
	bool is_11 = strcmp(r->ns, SOAP_11) == 0;

	if (is_11 && is_11_part(name, "faultcode"))
		collect(r, SOAP_FAULT_CODE);
	else if (is_11 && is_11_part(name, "faultstring"))
		collect(r, SOAP_FAULT_STRING);
	else if (!is_11 && name_is(name, SOAP_12, "Code"))
		enter(r, PLACE_CODE);
	else if (!is_11 && name_is(name, SOAP_12, "Reason"))
		enter(r, PLACE_REASON);
}

static void XMLCALL on_start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
	struct soap_reader *r = arg;
	bool direct = r->depth == r->place_depth;

	(void)attributes;
	if (r->state == STATE_DONE)
		return;
	if (++r->depth > SOAP_DEPTH_MAX) {
		stop(r);
		return;
	}
	if (!direct)
		return;
	switch (r->place) {
	case PLACE_OUTSIDE:
		enter_envelope(r, name);
		break;
	case PLACE_ENVELOPE:
		if (name_is(name, r->ns, "Body"))
			enter(r, PLACE_BODY);
		break;
	case PLACE_BODY:
		enter_payload(r, name);
		break;
	case PLACE_FAULT:
		enter_fault_part(r, name);
		break;
	case PLACE_CODE:
		if (name_is(name, SOAP_12, "Value"))
			collect(r, SOAP_FAULT_CODE);
		break;
	case PLACE_REASON:
		if (name_is(name, SOAP_12, "Text"))
			collect(r, SOAP_FAULT_STRING);
		break;
	case PLACE_TEXT:
		break;
	}
}

/* The text that is collected ends. */
static void leave_text(struct soap_reader *r)
{
	bool is_code = r->into == &r->texts[SOAP_FAULT_CODE];

	text_end(r->into);
	r->into = NULL;
	if (strcmp(r->ns, SOAP_11) == 0)
		enter(r, PLACE_FAULT);
	else
		enter(r, is_code ? PLACE_CODE : PLACE_REASON);
	if (r->texts[SOAP_FAULT_CODE].known && r->texts[SOAP_FAULT_STRING].known)
		stop(r);
}

static void XMLCALL on_end(void *arg, const XML_Char *name)
{
	struct soap_reader *r = arg;
	bool leaves = r->depth == r->place_depth;

	(void)name;
	if (r->state == STATE_DONE)
		return;
	r->depth--;
	if (!leaves)
		return;
	switch (r->place) {
	case PLACE_TEXT:
		leave_text(r);
		break;
	case PLACE_CODE:
	case PLACE_REASON:
		enter(r, PLACE_FAULT);
		break;
	default: /* the Fault or an empty Body: there is no more to know */
		stop(r);
		break;
	}
}

/* Of the element itself, not of others in it. */
static void XMLCALL on_text(void *arg, const XML_Char *text, int len)
{
	struct soap_reader *r = arg;

	if (r->state != STATE_DONE && r->into != NULL && r->depth == r->place_depth)
		text_add(r->into, text, (size_t)len);
}

/* SOAP 1.1 section 3 and 1.2 section 5 forbid them, and whoever sends one wants something else. */
static void XMLCALL on_doctype(void *arg, const XML_Char *name, const XML_Char *system,
			       const XML_Char *public, int has_subset)
{
	struct soap_reader *r = arg;

	(void)name;
	(void)system;
	(void)public;
	(void)has_subset;
	stop(r);
}

static void XMLCALL on_entity(void *arg, const XML_Char *name, int is_parameter,
			      const XML_Char *value, int value_len, const XML_Char *base,
			      const XML_Char *system, const XML_Char *public,
			      const XML_Char *notation)
{
	(void)is_parameter;
	(void)value;
	(void)value_len;
	(void)base;
	(void)notation;
	on_doctype(arg, name, system, public, 0);
}

/* ---- the parser ---------------------------------------------------------------------------- */

static bool parser_make(struct soap_reader *r)
{
	static const XML_Char separator[] = {NS_SEPARATOR, '\0'};

	r->parser = XML_ParserCreate_MM(r->latin1 ? "ISO-8859-1" : NULL, &purse_suite, separator);
	if (r->parser == NULL)
		return false;
	XML_SetUserData(r->parser, r);
	XML_SetElementHandler(r->parser, on_start, on_end);
	XML_SetCharacterDataHandler(r->parser, on_text);
	XML_SetStartDoctypeDeclHandler(r->parser, on_doctype);
	XML_SetEntityDeclHandler(r->parser, on_entity);
	return true;
}

/* Read the block. The last one makes expat say what it had put off. */
static void block_parse(struct soap_reader *r, bool last)
{
	purse = &r->purse;
	if (r->parser == NULL && !parser_make(r))
		r->state = STATE_DONE;
	else if (XML_Parse(r->parser, r->block, (int)r->block_len, last) != XML_STATUS_OK || last)
		r->state = STATE_DONE;
	r->block_len = 0;
	if (r->state == STATE_DONE && r->parser != NULL) {
		XML_ParserFree(r->parser);
		r->parser = NULL;
	}
	purse = NULL;
}

/* ---- lines of a multipart body ------------------------------------------------------------- */

/* One byte; true when the line that it ends is the boundary's, with white space behind it. */
static bool boundary_line(struct soap_reader *r, char c)
{
	bool found = false;

	if (c == '\n') {
		found = r->line_matches && r->line_len == r->boundary_len;
		r->line_len = 0;
		r->line_matches = true;
	} else if (r->line_len < r->boundary_len) {
		r->line_matches = r->line_matches && r->boundary[r->line_len] == c;
		r->line_len++;
	} else {
		r->line_matches = r->line_matches && is_space(c);
	}
	return found;
}

/* One byte; true when it ends the empty line behind the fields. */
static bool fields_line(struct soap_reader *r, char c)
{
	bool empty = r->line_len == 0;

	if (c == '\n')
		r->line_len = 0;
	else if (c != '\r')
		r->line_len = 1;
	return c == '\n' && empty;
}

static void part_byte(struct soap_reader *r, char c)
{
	if (r->state == STATE_PREAMBLE && boundary_line(r, c))
		r->state = STATE_PART_FIELDS;
	else if (r->state == STATE_PART_FIELDS && fields_line(r, c))
		r->state = STATE_XML;
}

/* ---- the reader ---------------------------------------------------------------------------- */

/* Is there a Content-Encoding other than identity? */
static bool is_encoded(const struct http_head *h, const char *bytes)
{
	for (uint32_t i = 0; i < h->field_count; i++) {
		const struct http_field *f = &h->fields[i];
		const char *at = bytes + f->value.off;
		const char *end = at + f->value.len;
		const char *coding;
		size_t len;

		if (!http_text_is(bytes + f->name.off, f->name.len, "content-encoding"))
			continue;
		while (http_list_next(&at, end, &coding, &len))
			if (!http_text_is(coding, len, "identity"))
				return true;
	}
	return false;
}

static bool is_xml(const char *type, size_t len)
{
	return media_type_is(type, len, "text/xml") ||
	       media_type_is(type, len, "application/soap+xml") ||
	       media_type_is(type, len, "application/xml") ||
	       media_type_is(type, len, "application/xop+xml");
}

static bool boundary_read(struct soap_reader *r, const char *type, size_t len)
{
	struct media_param p;

	if (!media_type_param(type, len, "boundary", &p) || p.len == 0)
		return false;
	memcpy(r->boundary, "--", 2);
	r->boundary_len = 2 + (uint32_t)media_param_copy(&p, r->boundary + 2, BOUNDARY_MAX);
	r->line_matches = true;
	r->state = STATE_PREAMBLE;
	return true;
}

/* How the body is to be read, by the head. */
static bool type_read(struct soap_reader *r, const struct http_head *h, const char *bytes)
{
	const struct http_field *f = http_head_find(h, HTTP_FIELD_CONTENT_TYPE);
	bool has_action = http_head_find(h, HTTP_FIELD_SOAP_ACTION) != NULL;
	struct media_param p;
	char charset[16];
	const char *type;

	if (f == NULL)
		return has_action;
	type = bytes + f->value.off;
	if (media_type_is(type, f->value.len, "multipart/related"))
		return boundary_read(r, type, f->value.len);
	/* RFC 7303 section 3: it counts more than what the XML says. UTF-8 and 16 expat finds out. */
	if (media_type_param(type, f->value.len, "charset", &p))
		r->latin1 = http_text_is(charset, media_param_copy(&p, charset, sizeof(charset)),
					 "iso-8859-1");
	return has_action || is_xml(type, f->value.len);
}

struct soap_reader *soap_reader_new(enum soap_side side, const struct http_head *h,
				    const char *bytes)
{
	struct soap_reader *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->side = side;
	r->state = STATE_XML;
	r->left = SOAP_BYTES_MAX;
	r->purse = SOAP_MEMORY_MAX;
	if (type_read(r, h, bytes) && !is_encoded(h, bytes))
		return r;
	free(r);
	return NULL;
}

void soap_reader_free(struct soap_reader *r)
{
	if (r == NULL)
		return;
	if (r->parser != NULL) {
		purse = &r->purse;
		XML_ParserFree(r->parser);
		purse = NULL;
	}
	free(r);
}

void soap_reader_feed(void *arg, const char *bytes, size_t len)
{
	struct soap_reader *r = arg;

	while (len > 0 && r->left > 0 && r->state != STATE_DONE) {
		size_t n = 1;

		if (r->state == STATE_XML) {
			n = MIN(MIN(len, (size_t)r->left), sizeof(r->block) - r->block_len);
			memcpy(r->block + r->block_len, bytes, n);
			r->block_len += (uint32_t)n;
			if (r->block_len == sizeof(r->block))
				block_parse(r, false);
		} else {
			part_byte(r, *bytes);
		}
		bytes += n;
		len -= n;
		r->left -= (uint32_t)n;
	}
	if (r->left == 0)
		soap_reader_end(r);
}

void soap_reader_end(struct soap_reader *r)
{
	if (r->state == STATE_XML && (r->parser != NULL || r->block_len > 0))
		block_parse(r, true);
	r->state = STATE_DONE;
}

const struct soap_text *soap_reader_text(const struct soap_reader *r, enum soap_what what)
{
	return &r->texts[what];
}
