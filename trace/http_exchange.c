/*
 * http_exchange.c -- keeps of a request's head what its line says of it.
 */
#include "trace/http_exchange.h"

#include <stdlib.h>
#include <string.h>

struct copier {
	char *at;
	const char *from;
};

/* Cut where no UTF-8 sequence is split. */
static uint32_t cut_len(const char *bytes, uint32_t len)
{
	uint32_t cut = HTTP_TEXT_MAX;

	if (len <= HTTP_TEXT_MAX)
		return len;
	while (cut > HTTP_TEXT_MAX - 3 && ((uint8_t)bytes[cut] & 0xc0) == 0x80)
		cut--;
	return ((uint8_t)bytes[cut] & 0xc0) == 0x80 ? HTTP_TEXT_MAX : cut;
}

static void copy_text(struct copier *c, struct http_text *t, struct http_slice s, bool is_there)
{
	if (!is_there)
		return;
	t->len = cut_len(c->from + s.off, s.len);
	t->is_cut = t->len < s.len;
	t->bytes = c->at;
	memcpy(c->at, c->from + s.off, t->len);
	c->at += t->len;
}

/* The value without the quotes around it. */
static struct http_slice unquoted(const char *bytes, struct http_slice s)
{
	if (s.len >= 2 && bytes[s.off] == '"' && bytes[s.off + s.len - 1] == '"')
		return (struct http_slice){s.off + 1, s.len - 2};
	return s;
}

static size_t room_for(struct http_slice s)
{
	return MIN(s.len, (uint32_t)HTTP_TEXT_MAX);
}

struct http_exchange *http_exchange_new(const struct http_head *h, const char *bytes)
{
	const struct http_field *soap = http_head_find(h, HTTP_FIELD_SOAP_ACTION);
	struct http_slice action =
		soap != NULL ? unquoted(bytes, soap->value) : (struct http_slice){0, 0};
	size_t room = room_for(h->method_text) + room_for(h->target) + room_for(h->host) +
		      room_for(h->request_id) + room_for(h->traceparent) + room_for(action);
	struct http_exchange *e = calloc(1, sizeof(*e) + room);
	struct copier c;

	if (e == NULL)
		return NULL;
	e->x.client = leg_record_none();
	e->x.backend = leg_record_none();
	for (unsigned i = 0; i < MOMENT_COUNT; i++)
		e->x.at_us[i] = MOMENT_NEVER;
	e->method = h->method;
	e->minor = h->minor;
	e->expects_continue = h->expect_continue;
	e->asks_tunnel = h->method == HTTP_METHOD_CONNECT || h->upgrade_websocket ||
			 http_head_find(h, HTTP_FIELD_UPGRADE) != NULL;
	c = (struct copier){.at = e->texts, .from = bytes};
	copy_text(&c, &e->method_text, h->method_text, true);
	copy_text(&c, &e->target, h->target, true);
	copy_text(&c, &e->host, h->host, h->host_present);
	copy_text(&c, &e->request_id, h->request_id, h->request_id.len > 0);
	copy_text(&c, &e->traceparent, h->traceparent, h->traceparent.len > 0);
	copy_text(&c, &e->soap_action, action, soap != NULL);
	return e;
}

void http_exchange_moment(struct http_exchange *e, enum exchange_moment m, uint64_t ts_ns)
{
	uint64_t start_ns = e->x.start_ns;

	e->x.at_us[m] = ts_ns > start_ns ? (int64_t)((ts_ns - start_ns) / NS_PER_US) : 0;
}
