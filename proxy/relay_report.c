/*
 * relay_report.c -- what is told of an exchange when it is over: the log line, the tap's record and the counters;
 * and of one that runs, to a tracer that comes now.
 */
#include <string.h>

#include "common/media_type.h"
#include "proxy/access_line.h"
#include "proxy/relay.h"
#include "proxy/relay_parts.h"
#include "proxy/soap.h"
#include "proxy/worker.h"

#define ACTION_MAX (ACCESS_TEXT_MAX + 1) /* one more than is logged, so that a cut is told */

/* Part of the head: of the kept one, or of the client's buffer when it was never complete. */
static struct access_text text_of(const struct relay *r, struct http_slice s)
{
	const struct buf *head = buf_left(&r->raw) > 0 ? &r->raw : r->in;

	if (s.len == 0 || (size_t)s.off + s.len > buf_left(head))
		return (struct access_text){0};
	return (struct access_text){buf_at(head) + s.off, s.len};
}

static struct access_text text_unquoted(struct access_text t)
{
	if (t.len >= 2 && t.bytes[0] == '"' && t.bytes[t.len - 1] == '"') {
		t.bytes++;
		t.len -= 2;
	}
	return t;
}

/*
 * The action parameter of a SOAP 1.2 Content-Type (RFC 3902); `copy` is for one with quoted pairs.
 */
static struct access_text content_type_action(struct access_text t, char copy[ACTION_MAX])
{
	struct media_param p;

	if (t.bytes == NULL || !media_type_param(t.bytes, t.len, "action", &p))
		return (struct access_text){0};
	if (!p.quoted || memchr(p.bytes, '\\', p.len) == NULL)
		return (struct access_text){p.bytes, p.len};
	return (struct access_text){copy, media_param_copy(&p, copy, ACTION_MAX)};
}

static struct access_text soap_action(const struct relay *r, char copy[ACTION_MAX])
{
	const struct http_field *f;

	if (r->w->cfg->log.soap == CONFIG_SOAP_OFF || !r->started)
		return (struct access_text){0};
	f = http_head_find(&r->req_head, HTTP_FIELD_SOAP_ACTION);
	if (f != NULL)
		return text_unquoted(text_of(r, f->value));
	f = http_head_find(&r->req_head, HTTP_FIELD_CONTENT_TYPE);
	if (f != NULL)
		return content_type_action(text_of(r, f->value), copy);
	return (struct access_text){0};
}

static struct access_text request_id(const struct relay *r)
{
	if (r->ids.own_request_id)
		return (struct access_text){request_ids_id(&r->ids), REQUEST_ID_LEN};
	return text_of(r, r->req_head.request_id);
}

static struct access_text traceparent(const struct relay *r)
{
	if (r->ids.own_traceparent)
		return (struct access_text){request_ids_traceparent(&r->ids), TRACEPARENT_LEN};
	return text_of(r, r->req_head.traceparent);
}

static struct access_text soap_text(const struct soap_reader *from, enum soap_what what, bool *cut)
{
	const struct soap_text *t = soap_reader_text(from, what);

	if (!t->known)
		return (struct access_text){0};
	*cut = *cut || t->cut;
	return (struct access_text){t->bytes, t->len};
}

/* What was read of the bodies, also of one that did not come to its end. */
static void report_soap(const struct relay *r, struct access_line *line)
{
	if (r->soap_request != NULL) {
		soap_reader_end(r->soap_request);
		line->soap_operation = soap_text(r->soap_request, SOAP_OPERATION, &line->soap_cut);
	}
	if (r->soap_response != NULL) {
		soap_reader_end(r->soap_response);
		line->soap_fault_code =
			soap_text(r->soap_response, SOAP_FAULT_CODE, &line->soap_cut);
		line->soap_fault_string =
			soap_text(r->soap_response, SOAP_FAULT_STRING, &line->soap_cut);
	}
}

/* What send() had accepted in the end. */
static void relay_settle_sent(struct relay *r)
{
	struct leg_record *leg = &r->x.rec.client;

	if (byte_range_exists(&leg->interim))
		range_reach(&leg->interim, MIN(leg->interim.past, conn_given_off(r->client)));
	if (r->tunnel)
		relay_tunnel_settle(r);
	else if (byte_range_exists(&leg->response))
		range_reach(&leg->response, conn_given_off(r->client));
}

void relay_report(struct relay *r)
{
	const struct http_head *h = &r->req_head;
	struct worker *w = r->w;
	char action[ACTION_MAX];
	struct access_line line = {
		.x = &r->x.rec,
		.method = text_of(r, h->method_text),
		.target = text_of(r, h->target),
		.host = text_of(r, h->host),
		.request_id = request_id(r),
		.traceparent = traceparent(r),
		.soap_action = soap_action(r, action),
		.minor = r->started ? (int8_t)h->minor : -1,
		.client_fragment = {r->client->fragment, r->client->fragment_len},
		.backend_fragment = {buf_at(&r->backend_fragment), buf_left(&r->backend_fragment)},
	};

	report_soap(r, &line);
	relay_settle_sent(r);
	exchange_finish(&r->x);
	/* The client went away before the first byte: it was told no status. */
	if (!byte_range_exists(&r->x.rec.client.response))
		r->x.rec.status = 0;
	w->ends[r->x.why]++;
	access_writer_add(w->log, &line, w->now_ns);
	if (tap_active(w->tap))
		tap_end(w->tap, &r->x.rec, r->x.rec.client.nth == 1 ? r->client->tls_marks : NULL,
			r->has_backend_tls ? &r->backend_tls : NULL);
	tap_position(w->tap, r->client);
}

static void tell_begun(struct relay *r, const struct conn *c, enum tap_part part,
		       const struct byte_range *range)
{
	uint8_t attempt = c == r->client ? 0 : r->x.rec.attempts;

	if (byte_range_exists(range))
		tap_begun(r->w->tap, r->x.rec.id, c, part, range->first, attempt,
			  r->x.start_mono_ns);
}

void relay_tell_begun(struct relay *r)
{
	const struct exchange_record *rec = &r->x.rec;
	const struct byte_range response = {r->resp_first, r->resp_first};

	if (!r->begun)
		return;
	tell_begun(r, r->client, TAP_PART_CLIENT_REQUEST, &rec->client.request);
	if (r->up != NULL) {
		tell_begun(r, &r->up->conn, TAP_PART_BACKEND_REQUEST, &rec->backend.request);
		if (r->resp_begun)
			tell_begun(r, &r->up->conn, TAP_PART_BACKEND_RESPONSE, &response);
	}
	tell_begun(r, r->client, TAP_PART_CLIENT_RESPONSE, &rec->client.response);
	if (r->tunnel && r->up != NULL)
		relay_tunnel_tell(r);
}
