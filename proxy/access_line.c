/*
 * access_line.c -- formats one line of proxy.ndjson by hand: constant text, digits, and text from
 * outside through the JSON writer when it holds anything to escape.
 *
 * Knows no file and no thread, allocates nothing. snprintf costs three times as much (design
 * section 3), and so does asking for room before every piece: room for the longest line is made
 * sure of once, and every function here writes at p and returns where the next byte goes.
 *
 * Invariant: a line takes at most access_line_max() bytes.
 */
#include "proxy/access_line.h"

#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log_put.h"
#include "common/put.h"

/* Everything but the texts and fragments: names, digits, two tries, two fragments made here. */
#define FIXED_MAX 4096

static char *put_word(char *p, const char word[24])
{
	return json_put_string(p, word, strnlen(word, 24));
}

static size_t utf8_sequence_len(uint8_t lead)
{
	if (lead < 0xc0)
		return 1;
	return lead < 0xe0 ? 2 : (lead < 0xf0 ? 3 : 4);
}

/* How much of the text is written: all, or ACCESS_TEXT_MAX less a sequence that would be split. */
static size_t text_cut(const struct access_text *t)
{
	const uint8_t *bytes = (const uint8_t *)t->bytes;

	if (LIKELY(t->len <= ACCESS_TEXT_MAX))
		return t->len;
	for (size_t back = 1; back <= 3; back++) {
		uint8_t c = bytes[ACCESS_TEXT_MAX - back];

		if ((c & 0xc0) != 0x80)
			return utf8_sequence_len(c) > back ? ACCESS_TEXT_MAX - back
							   : ACCESS_TEXT_MAX;
	}
	return ACCESS_TEXT_MAX;
}

static char *put_text(char *p, const struct access_text *t, bool *cut)
{
	size_t len;

	if (t->bytes == NULL)
		return PUT(p, "null");
	len = text_cut(t);
	*cut = *cut || len < t->len;
	return json_put_string(p, t->bytes, len);
}

static char *put_moment(char *p, int64_t us)
{
	if (us == MOMENT_NEVER)
		return PUT(p, "null");
	return put_signed(p, us);
}

static char *put_addresses(char *p, const struct addr *local, const struct addr *peer,
			   uint64_t opened_ns)
{
	p = PUT(p, "\"local\":");
	p = put_addr(p, local);
	p = PUT(p, ",\"peer\":");
	p = put_addr(p, peer);
	p = PUT(p, ",\"opened\":");
	p = put_clock(p, opened_ns);
	return PUT(p, ",\"tls\":");
}

size_t access_fragment(const struct addr *local, const struct addr *peer, uint64_t opened_ns,
		       const struct access_text *tls, char *out, size_t cap)
{
	static const struct access_text none = {"null", 4};
	const struct access_text *last = tls != NULL && tls->bytes != NULL ? tls : &none;
	char text[ACCESS_FRAGMENT_MAX];
	size_t len = (size_t)(put_addresses(text, local, peer, opened_ns) - text);

	if (len + last->len > cap)
		return 0;
	memcpy(out, text, len);
	memcpy(out + len, last->bytes, last->len);
	return len + last->len;
}

#define STATUS_SWITCHING_PROTOCOLS 101

/* From "conn" to "response", without what only the backend's leg has at its end. */
static char *put_leg(char *p, const struct leg_record *leg, bool is_backend, bool is_tunnel,
		     const struct access_text *fragment)
{
	p = PUT(p, "{\"conn\":");
	p = put_decimal(p, leg->conn);
	p = PUT(p, ",\"nth\":");
	p = put_decimal(p, leg->nth);
	if (is_backend && leg->reused)
		p = PUT(p, ",\"reused\":true,");
	else if (is_backend)
		p = PUT(p, ",\"reused\":false,");
	else
		*p++ = ',';
	if (fragment->len > 0) {
		memcpy(p, fragment->bytes, fragment->len);
		p += fragment->len;
	} else {
		p = put_addresses(p, &leg->local, &leg->peer, leg->opened_ns);
		p = PUT(p, "null");
	}
	p = PUT(p, ",\"request\":");
	p = put_range(p, &leg->request);
	p = PUT(p, ",\"interim\":");
	p = put_range(p, &leg->interim);
	p = PUT(p, ",\"response\":");
	p = put_range(p, &leg->response);
	if (LIKELY(!is_tunnel))
		return p;
	p = PUT(p, ",\"tunnel\":{\"up\":");
	p = put_range(p, &leg->tunnel_up);
	p = PUT(p, ",\"down\":");
	p = put_range(p, &leg->tunnel_down);
	*p++ = '}';
	return p;
}

static char *put_try(char *p, const struct try_record *t)
{
	p = PUT(p, "{\"conn\":");
	p = put_decimal(p, t->leg.conn);
	p = PUT(p, ",\"nth\":");
	p = put_decimal(p, t->leg.nth);
	p = PUT(p, ",\"local\":");
	p = put_addr(p, &t->leg.local);
	p = PUT(p, ",\"peer\":");
	p = put_addr(p, &t->leg.peer);
	p = PUT(p, ",\"request\":");
	p = put_range(p, &t->leg.request);
	p = PUT(p, ",\"response\":");
	p = put_range(p, &t->leg.response);
	p = PUT(p, ",\"end\":");
	p = put_word(p, t->end);
	*p++ = '}';
	return p;
}

static char *put_backend(char *p, const struct access_line *line)
{
	const struct exchange_record *x = line->x;
	unsigned tries = MIN(x->tries_count, ARRAY_LEN(x->tries));

	if (x->backend.conn == 0)
		return PUT(p, "null");
	p = put_leg(p, &x->backend, true, x->status == STATUS_SWITCHING_PROTOCOLS,
		    &line->backend_fragment);
	p = PUT(p, ",\"attempts\":");
	p = put_decimal(p, x->attempts);
	p = PUT(p, ",\"tries\":[");
	for (unsigned i = 0; i < tries; i++) {
		if (i > 0)
			*p++ = ',';
		p = put_try(p, &x->tries[i]);
	}
	return PUT(p, "]}");
}

/* Operation and fault, where they were looked for and found. */
static char *put_soap_read(char *p, const struct access_line *line, bool *cut)
{
	p = PUT(p, ",\"operation\":");
	p = put_text(p, &line->soap_operation, cut);
	if (line->soap_fault_code.bytes == NULL && line->soap_fault_string.bytes == NULL)
		return PUT(p, ",\"fault\":null}");
	p = PUT(p, ",\"fault\":{\"code\":");
	p = put_text(p, &line->soap_fault_code, cut);
	p = PUT(p, ",\"string\":");
	p = put_text(p, &line->soap_fault_string, cut);
	return PUT(p, "}}");
}

static bool is_soap_read(const struct access_line *line)
{
	return line->soap_operation.bytes != NULL || line->soap_fault_code.bytes != NULL ||
	       line->soap_fault_string.bytes != NULL;
}

/* What the client asked for: from "v" to "soap". */
static char *put_request(char *p, const struct access_line *line)
{
	bool cut = line->soap_cut;

	p = PUT(p, "{\"v\":1,\"run\":\"");
	p = put_hex32(p, line->x->run);
	p = PUT(p, "\",\"id\":\"");
	p = put_hex64(p, line->x->id);
	p = PUT(p, "\",\"start\":");
	p = put_clock(p, line->x->start_ns);
	p = PUT(p, ",\"method\":");
	p = put_text(p, &line->method, &cut);
	p = PUT(p, ",\"target\":");
	p = put_text(p, &line->target, &cut);
	if (line->minor < 0) {
		p = PUT(p, ",\"version\":null,\"host\":");
	} else {
		p = PUT(p, ",\"version\":\"1.");
		*p++ = (char)('0' + line->minor % 10);
		p = PUT(p, "\",\"host\":");
	}
	p = put_text(p, &line->host, &cut);
	p = PUT(p, ",\"request_id\":");
	p = put_text(p, &line->request_id, &cut);
	p = PUT(p, ",\"traceparent\":");
	p = put_text(p, &line->traceparent, &cut);
	p = PUT(p, ",\"soap\":{\"action\":");
	p = put_text(p, &line->soap_action, &cut);
	if (UNLIKELY(is_soap_read(line)))
		p = put_soap_read(p, line, &cut);
	else
		p = PUT(p, ",\"operation\":null,\"fault\":null}");
	return cut ? PUT(p, ",\"cut\":true") : p;
}

static char *put_moments(char *p, const int64_t at_us[MOMENT_COUNT])
{
	p = PUT(p, ",\"at_us\":{\"request_end\":");
	p = put_moment(p, at_us[MOMENT_REQUEST_END]);
	p = PUT(p, ",\"backend_ready\":");
	p = put_moment(p, at_us[MOMENT_BACKEND_READY]);
	p = PUT(p, ",\"backend_request_end\":");
	p = put_moment(p, at_us[MOMENT_BACKEND_REQUEST_END]);
	p = PUT(p, ",\"backend_response_start\":");
	p = put_moment(p, at_us[MOMENT_BACKEND_RESPONSE_START]);
	p = PUT(p, ",\"backend_response_end\":");
	p = put_moment(p, at_us[MOMENT_BACKEND_RESPONSE_END]);
	p = PUT(p, ",\"response_end\":");
	return put_moment(p, at_us[MOMENT_RESPONSE_END]);
}

static size_t text_max(const struct access_text *t)
{
	return 6 * MIN(t->len, ACCESS_TEXT_MAX);
}

size_t access_line_max(const struct access_line *line)
{
	return FIXED_MAX + text_max(&line->method) + text_max(&line->target) +
	       text_max(&line->host) + text_max(&line->request_id) + text_max(&line->traceparent) +
	       text_max(&line->soap_action) + text_max(&line->soap_operation) +
	       text_max(&line->soap_fault_code) + text_max(&line->soap_fault_string) +
	       line->client_fragment.len + line->backend_fragment.len;
}

size_t access_line_format(const struct access_line *line, char *out, size_t cap)
{
	const struct exchange_record *x = line->x;
	char *p = out;

	if (UNLIKELY(cap < access_line_max(line)))
		return 0;
	p = put_request(p, line);
	p = PUT(p, ",\"status\":");
	p = x->status != 0 ? put_decimal(p, x->status) : PUT(p, "null");
	p = PUT(p, ",\"end\":");
	p = put_word(p, x->end);
	p = PUT(p, ",\"client\":");
	p = put_leg(p, &x->client, false, x->status == STATUS_SWITCHING_PROTOCOLS,
		    &line->client_fragment);
	p = PUT(p, "},\"backend\":");
	p = put_backend(p, line);
	p = put_moments(p, x->at_us);
	p = PUT(p, "},\"bytes\":{\"request_body\":");
	p = put_decimal(p, x->request_body_bytes);
	p = PUT(p, ",\"response_body\":");
	p = put_decimal(p, x->response_body_bytes);
	p = PUT(p, "}}\n");
	return (size_t)(p - out);
}
