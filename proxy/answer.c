/*
 * answer.c -- a status line, a few fields, and the sentence in the form that its reader understands.
 *
 * Everything in it is ours: the table of reason.h, the id and the date. Nothing of the request is
 * repeated, so nothing needs to be escaped (a test holds the table to that).
 *
 * Invariant: no answer is longer than ANSWER_MAX.
 */
#include "proxy/answer.h"

#include <assert.h>
#include <string.h>

#include "common/attrib.h"
#include "common/media_type.h"
#include "common/put.h"
#include "proxy/date.h"

#define BODY_MAX      1024
#define STATUS_ERROR  400
#define STATUS_SERVER 500

/* ---- the form ------------------------------------------------------------------------------ */

struct form_info {
	const char *content_type;
	const char *fault_begin; /* up to the fault code's local name */
	const char *client;      /* which is this below 500 */
	const char *server;
	const char *reason_begin; /* up to the sentence */
	const char *detail_begin; /* up to the exchange id */
	const char *fault_end;    /* behind the end word */
};

#define XML    "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n"
#define DETAIL "<exchange xmlns=\"urn:flowproxy\"><id>"
#define ENDED  "</end></exchange>"

static const struct form_info forms[] = {
	[ANSWER_SOAP_11] =
		{"text/xml; charset=utf-8",
		 XML "<soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\">"
		     "<soap:Body><soap:Fault><faultcode>soap:",
		 "Client", "Server", "</faultcode><faultstring>", "</faultstring><detail>" DETAIL,
		 ENDED "</detail></soap:Fault></soap:Body></soap:Envelope>\n"},
	[ANSWER_SOAP_12] = {"application/soap+xml; charset=utf-8",
			    XML
			    "<soap:Envelope xmlns:soap=\"http://www.w3.org/2003/05/soap-envelope\">"
			    "<soap:Body><soap:Fault><soap:Code><soap:Value>soap:",
			    "Sender", "Receiver",
			    "</soap:Value></soap:Code><soap:Reason><soap:Text xml:lang=\"en\">",
			    "</soap:Text></soap:Reason><soap:Detail>" DETAIL,
			    ENDED "</soap:Detail></soap:Fault></soap:Body></soap:Envelope>\n"},
};

/* The type that a multipart/related body's root part has, told by this parameter. */
static bool root_is(const char *value, size_t len, const char *param, const char *type)
{
	struct media_param p;
	char text[64];

	if (!media_type_param(value, len, param, &p))
		return false;
	return media_type_is(text, media_param_copy(&p, text, sizeof(text)), type);
}

static bool content_is(const char *value, size_t len, const char *type)
{
	if (!media_type_is(value, len, "multipart/related"))
		return media_type_is(value, len, type);
	return root_is(value, len, "type", type) || root_is(value, len, "start-info", type);
}

enum answer_form answer_form_of(const struct http_head *request, const char *bytes)
{
	const struct http_field *f = http_head_find(request, HTTP_FIELD_CONTENT_TYPE);
	const char *value = f != NULL ? bytes + f->value.off : NULL;

	if (f != NULL && content_is(value, f->value.len, "application/soap+xml"))
		return ANSWER_SOAP_12;
	if (http_head_find(request, HTTP_FIELD_SOAP_ACTION) != NULL ||
	    (f != NULL && content_is(value, f->value.len, "text/xml")))
		return ANSWER_SOAP_11;
	return ANSWER_TEXT;
}

/* ---- writing ------------------------------------------------------------------------------- */

static const char *status_phrase(uint16_t status)
{
	switch (status) {
	case 200:
		return "OK";
	case 400:
		return "Bad Request";
	case 405:
		return "Method Not Allowed";
	case 408:
		return "Request Timeout";
	case 413:
		return "Content Too Large";
	case 414:
		return "URI Too Long";
	case 431:
		return "Request Header Fields Too Large";
	case 501:
		return "Not Implemented";
	case 502:
		return "Bad Gateway";
	case 503:
		return "Service Unavailable";
	case 504:
		return "Gateway Timeout";
	case 505:
		return "HTTP Version Not Supported";
	default:
		return "Error";
	}
}

static char *put_string(char *p, const char *text)
{
	return put_bytes(p, text, strlen(text));
}

/* "The backend refused the connection. (exchange 9f3c51d27be40a18)\n" */
static size_t text_write(const struct reason_info *info, uint64_t id, char out[BODY_MAX])
{
	char *p = put_string(out, info->sentence);

	p = PUT(p, " (exchange ");
	p = put_hex64(p, id);
	p = PUT(p, ")\n");
	return (size_t)(p - out);
}

static size_t fault_write(const struct reason_info *info, const struct form_info *form, uint64_t id,
			  char out[BODY_MAX])
{
	char *p = put_string(out, form->fault_begin);

	p = put_string(p, info->status < STATUS_SERVER ? form->client : form->server);
	p = put_string(p, form->reason_begin);
	p = put_string(p, info->sentence);
	p = put_string(p, form->detail_begin);
	p = put_hex64(p, id);
	p = PUT(p, "</id><end>");
	p = put_string(p, info->word);
	p = put_string(p, form->fault_end);
	return (size_t)(p - out);
}

static char *put_head(char *p, enum reason why, const char *content_type, size_t len, bool close,
		      uint64_t now_s)
{
	const struct reason_info *info = reason_info(why);

	p = PUT(p, "HTTP/1.1 ");
	p = put_decimal(p, info->status);
	*p++ = ' ';
	p = put_string(p, status_phrase(info->status));
	p = PUT(p, "\r\nDate: ");
	p = put_bytes(p, date_text(now_s), DATE_TEXT_LEN);
	if (info->status == 405 || why == REASON_ANSWERED_HERE)
		p = PUT(p, "\r\nAllow: GET, HEAD, POST, PUT, DELETE, OPTIONS, TRACE, PATCH");
	if (len > 0) {
		p = PUT(p, "\r\nContent-Type: ");
		p = put_string(p, content_type);
	}
	p = PUT(p, "\r\nContent-Length: ");
	p = put_decimal(p, len);
	if (close)
		p = PUT(p, "\r\nConnection: close");
	return PUT(p, "\r\n\r\n");
}

size_t answer_write(enum reason why, enum answer_form form, uint64_t id, bool close, bool head_only,
		    uint64_t now_s, char out[ANSWER_MAX], size_t *body_len)
{
	const struct reason_info *info = reason_info(why);
	const char *content_type = "text/plain";
	char body[BODY_MAX];
	size_t len = 0;
	char *p;

	if (info->status >= STATUS_ERROR && form != ANSWER_TEXT) {
		content_type = forms[form].content_type;
		len = fault_write(info, &forms[form], id, body);
	} else if (info->sentence[0] != '\0') {
		len = text_write(info, id, body);
	}
	assert(len <= BODY_MAX);
	p = put_head(out, why, content_type, len, close, now_s);
	*body_len = head_only ? 0 : len;
	p = put_bytes(p, body, *body_len);
	assert((size_t)(p - out) <= ANSWER_MAX);
	return (size_t)(p - out);
}
