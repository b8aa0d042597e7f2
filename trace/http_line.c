/*
 * http_line.c -- writes the line, by hand like the proxy's own: a value that no packet tells is null.
 */
#include "trace/http_line.h"

#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log_put.h"
#include "common/put.h"

static char *put_text(char *p, const struct http_text *t)
{
	return t->bytes != NULL ? json_put_string(p, t->bytes, t->len) : PUT(p, "null");
}

static bool is_cut(const struct http_exchange *e)
{
	return e->method_text.is_cut || e->target.is_cut || e->host.is_cut ||
	       e->request_id.is_cut || e->traceparent.is_cut || e->soap_action.is_cut;
}

static char *put_request(char *p, const struct http_exchange *e)
{
	p = PUT(p, "{\"v\":1,\"run\":null,\"id\":\"");
	p = put_hex64(p, e->x.id);
	p = PUT(p, "\",\"start\":");
	p = put_clock(p, e->x.start_ns);
	p = PUT(p, ",\"method\":");
	p = put_text(p, &e->method_text);
	p = PUT(p, ",\"target\":");
	p = put_text(p, &e->target);
	p = PUT(p, ",\"version\":\"1.");
	*p++ = (char)('0' + e->minor);
	p = PUT(p, "\",\"host\":");
	p = put_text(p, &e->host);
	p = PUT(p, ",\"request_id\":");
	p = put_text(p, &e->request_id);
	p = PUT(p, ",\"traceparent\":");
	p = put_text(p, &e->traceparent);
	p = PUT(p, ",\"soap\":{\"action\":");
	p = put_text(p, &e->soap_action);
	p = PUT(p, ",\"operation\":null,\"fault\":null}");
	return is_cut(e) ? PUT(p, ",\"cut\":true") : p;
}

static char *put_client(char *p, const struct http_exchange *e)
{
	const struct leg_record *leg = &e->x.client;

	p = PUT(p, ",\"client\":{\"conn\":");
	p = put_decimal(p, leg->conn);
	p = PUT(p, ",\"nth\":");
	p = put_decimal(p, leg->nth);
	p = PUT(p, ",\"local\":");
	p = put_addr(p, &leg->local);
	p = PUT(p, ",\"peer\":");
	p = put_addr(p, &leg->peer);
	p = PUT(p, ",\"opened\":");
	p = put_clock(p, leg->opened_ns);
	p = PUT(p, ",\"tls\":null,\"request\":");
	p = put_range(p, &leg->request);
	p = PUT(p, ",\"interim\":");
	p = put_range(p, &leg->interim);
	p = PUT(p, ",\"response\":");
	p = put_range(p, &leg->response);
	if (e->is_tunnel) {
		p = PUT(p, ",\"tunnel\":{\"up\":");
		p = put_range(p, &leg->tunnel_up);
		p = PUT(p, ",\"down\":");
		p = put_range(p, &leg->tunnel_down);
		*p++ = '}';
	}
	*p++ = '}';
	return p;
}

static char *put_moment(char *p, int64_t us)
{
	return us != MOMENT_NEVER ? put_signed(p, us) : PUT(p, "null");
}

static char *put_moments(char *p, const int64_t at_us[MOMENT_COUNT])
{
	p = PUT(p, ",\"backend\":null,\"at_us\":{\"request_end\":");
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
	p = put_moment(p, at_us[MOMENT_RESPONSE_END]);
	*p++ = '}';
	return p;
}

size_t http_line_put(char out[HTTP_LINE_MAX], const struct http_exchange *e)
{
	char *p = put_request(out, e);

	p = PUT(p, ",\"status\":");
	p = e->x.status != 0 ? put_decimal(p, e->x.status) : PUT(p, "null");
	p = PUT(p, ",\"end\":");
	p = json_put_string(p, e->x.end, strlen(e->x.end));
	p = put_client(p, e);
	p = put_moments(p, e->x.at_us);
	p = PUT(p, ",\"bytes\":{\"request_body\":");
	p = put_decimal(p, e->x.request_body_bytes);
	p = PUT(p, ",\"response_body\":");
	p = put_decimal(p, e->x.response_body_bytes);
	p = PUT(p, "}}\n");
	return (size_t)(p - out);
}
