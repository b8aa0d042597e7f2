/*
 * story_tls.c -- the handshake's messages, and the table of what they cost.
 *
 * Times are those of the records; of a message it is the stamps in the dump. What was not seen is
 * left out of a mean, never guessed.
 */
#include "trace/story_tls.h"

#include <stdio.h>

#include "trace/tls_finding.h"

/* A mean over what was seen. */
struct mean {
	int64_t sum_us;
	unsigned count;
};

/* Exchanges of one leg that have the same kind of connection: new, or used before. */
struct cost {
	unsigned exchanges;
	struct mean tcp;
	struct mean tls;
	struct mean answer; /* first packet of the request to the last one of the response */
};

/* ---- the handshake ---- */

static void put_message(struct screen_line *line, const struct row_tls *tls, enum tls_mark mark,
			const char *what)
{
	const char *separator = mark == TLS_MARK_CLIENT_HELLO ? ": " : ", ";
	const struct row_tls_message *m = &tls->at[mark];
	char frames[SCREEN_COLUMNS], us[SCREEN_NUMBER_MAX];

	if (m->frames.count == 0) {
		screen_line_put(line, separator, "%s not seen", what);
		return;
	}
	screen_frames(&m->frames, 24, frames, sizeof(frames));
	if (m->us > 0)
		screen_line_put(line, separator, "%s in frame%s %s after %s", what,
				m->frames.count == 1 ? "" : "s", frames, screen_us(m->us, us));
	else
		screen_line_put(line, separator, "%s in frame%s %s", what,
				m->frames.count == 1 ? "" : "s", frames);
}

void story_tls_handshake(const struct screen *s, const struct row_tls *tls)
{
	const char *version = tls_version_word(tls->version);
	char us[SCREEN_NUMBER_MAX];
	struct screen_line line;

	if (!tls->there)
		return;
	screen_line_begin(&line, s, 4, "");
	screen_line_put(&line, "", "TLS%s%s, %s", version != NULL ? " " : "",
			version != NULL ? version : "",
			tls->failed    ? "failed"
			: tls->resumed ? "session resumed"
				       : "full handshake");
	if (tls->us >= 0)
		screen_line_put(&line, " ", "in %s", screen_us(tls->us, us));
	put_message(&line, tls, TLS_MARK_CLIENT_HELLO, "ClientHello");
	put_message(&line, tls, TLS_MARK_SERVER_HELLO, "ServerHello");
	put_message(&line, tls, TLS_MARK_SERVER_FINISHED, "the server's Finished");
	put_message(&line, tls, TLS_MARK_CLIENT_FINISHED, "the client's Finished");
	screen_line_end(&line);
}

/* ---- what it costs ---- */

static void mean_add(struct mean *m, int64_t us)
{
	if (us < 0)
		return;
	m->sum_us += us;
	m->count++;
}

/* Microseconds from the request's first packet to the response's last one; -1: not seen. */
static int64_t answer_us(const struct story_facts *f, const struct row_leg *leg)
{
	const struct frame_list *request = &leg->part[PART_REQUEST].frames;
	const struct frame_list *response = &leg->part[PART_RESPONSE].frames;
	const struct evidence_row *from, *to;

	if (request->count == 0 || response->count == 0)
		return -1;
	from = story_row(f, request->frames[0]);
	to = story_row(f, response->frames[response->count - 1]);
	if (from == NULL || to == NULL || to->ts_ns < from->ts_ns)
		return -1;
	return (int64_t)((to->ts_ns - from->ts_ns) / NS_PER_US);
}

static void cost_add(struct cost *c, const struct story_facts *f, const struct row_leg *leg,
		     const struct story_conn *conn)
{
	c->exchanges++;
	mean_add(&c->answer, answer_us(f, leg));
	if (leg->nth > 1 || conn == NULL)
		return;
	mean_add(&c->tcp, conn->row.handshake.there ? conn->row.handshake.us : -1);
	mean_add(&c->tls, conn->row.tls.there ? conn->row.tls.us : -1);
}

static const char *mean_text(const struct mean *m, char out[SCREEN_NUMBER_MAX])
{
	return m->count == 0 ? "-" : screen_us(m->sum_us / m->count, out);
}

static int64_t mean_us(const struct mean *m)
{
	return m->count == 0 ? 0 : m->sum_us / m->count;
}

static void print_cost(const struct screen *s, const char *leg, const char *what,
		       const struct cost *c)
{
	struct mean all = {.sum_us = mean_us(&c->tcp) + mean_us(&c->tls) + mean_us(&c->answer),
			   .count = c->answer.count > 0};
	char tcp[SCREEN_NUMBER_MAX], tls[SCREEN_NUMBER_MAX], answer[SCREEN_NUMBER_MAX],
		sum[SCREEN_NUMBER_MAX];

	if (c->exchanges == 0)
		return;
	fprintf(s->out, "    %-11s %4u %-22s %13s %13s %10s %10s\n", leg, c->exchanges, what,
		mean_text(&c->tcp, tcp), mean_text(&c->tls, tls), mean_text(&c->answer, answer),
		mean_text(&all, sum));
}

static void tell_leg(const struct screen *s, const struct story_facts *f, enum tap_leg which)
{
	struct cost opened = {0}, used_again = {0};

	for (unsigned i = 0; i < f->exchange_count; i++) {
		const struct flow_row *flow = &f->exchanges[i].flow;
		const struct row_leg *leg = which == TAP_CLIENT ? &flow->client : &flow->backend;

		if (leg->there)
			cost_add(leg->nth > 1 ? &used_again : &opened, f, leg,
				 story_conn_of(f, i, which));
	}
	print_cost(s, which == TAP_CLIENT ? "client leg" : "backend leg", "on a new connection",
		   &opened);
	print_cost(s, "", "on one used before", &used_again);
}

void story_tls_costs(const struct screen *s, const struct story_facts *f)
{
	bool any_tls = false, any_waited = false;

	for (unsigned i = 0; i < f->conn_count; i++)
		any_tls |= f->conns[i].row.tls.there;
	if (!any_tls)
		return;
	for (unsigned i = 0; i < f->exchange_count; i++)
		any_waited |=
			f->exchanges[i].flow.backend.there && f->exchanges[i].flow.backend.nth == 1;
	fprintf(s->out,
		"  What new connections cost, on the mean:\n%s    %-39s %13s %13s %10s %10s%s\n",
		screen_paint(s, PAINT_DIM), "requests", "TCP handshake", "TLS handshake",
		"to answer", "in all", screen_paint(s, PAINT_OFF));
	tell_leg(s, f, TAP_CLIENT);
	tell_leg(s, f, TAP_BACKEND);
	if (any_waited)
		fprintf(s->out,
			"    A client whose request needs a new backend connection waits for "
			"its handshakes too.\n");
}
