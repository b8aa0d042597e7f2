/*
 * request_ids.c -- `00-<run><exchange>-<exchange>-01`: a trace of the run's and the exchange's number,
 * in which the exchange is the first span (W3C Trace Context section 3.2).
 *
 * What the client sent is looked at, never changed.
 */
#include "proxy/request_ids.h"

#include "common/put.h"

#define TRACE_ID_OFF  3
#define TRACE_ID_LEN  32
#define PARENT_ID_OFF 36
#define PARENT_ID_LEN 16
#define FLAGS_OFF     53

void request_ids_prefix(uint64_t random, char out[TRACEPARENT_PREFIX_LEN])
{
	put_hex64(PUT(out, "00-"), random != 0 ? random : 1);
}

/* HEXDIGLC: digits and a to f, nothing in upper case. */
static bool is_hex(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!(text[i] >= '0' && text[i] <= '9') && !(text[i] >= 'a' && text[i] <= 'f'))
			return false;
	return true;
}

static bool is_hex_not_zero(const char *text, size_t len)
{
	bool zero = true;

	for (size_t i = 0; i < len; i++)
		zero = zero && text[i] == '0';
	return !zero && is_hex(text, len);
}

bool traceparent_valid(const char *value, size_t len)
{
	if (len < TRACEPARENT_LEN || value[2] != '-' || value[PARENT_ID_OFF - 1] != '-' ||
	    value[FLAGS_OFF - 1] != '-' || !is_hex(value, 2) || memcmp(value, "ff", 2) == 0)
		return false;
	/* section 4.3: of a later version only what may follow is not known */
	if (len > TRACEPARENT_LEN && (memcmp(value, "00", 2) == 0 || value[TRACEPARENT_LEN] != '-'))
		return false;
	return is_hex_not_zero(value + TRACE_ID_OFF, TRACE_ID_LEN) &&
	       is_hex_not_zero(value + PARENT_ID_OFF, PARENT_ID_LEN) &&
	       is_hex(value + FLAGS_OFF, 2);
}

void request_ids_choose(struct request_ids *ids, const struct http_head *h, const char *bytes,
			const char prefix[TRACEPARENT_PREFIX_LEN], uint64_t exchange_id)
{
	char *p;

	ids->own_request_id = h->request_id.len == 0;
	ids->own_traceparent = h->traceparent_count != 1 ||
			       !traceparent_valid(bytes + h->traceparent.off, h->traceparent.len);
	if (!ids->own_request_id && !ids->own_traceparent)
		return;
	p = put_bytes(ids->text, prefix, TRACEPARENT_PREFIX_LEN);
	p = put_hex64(p, exchange_id);
	*p++ = '-';
	p = put_hex64(p, exchange_id != 0 ? exchange_id : 1); /* no parent id is all zero */
	put_bytes(p, "-01", 3);
}
