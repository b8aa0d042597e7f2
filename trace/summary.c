/*
 * summary.c -- prints what a record says, without the dump.
 */
#include "trace/summary.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "trace/tls_finding.h"

#define TARGET_COLUMNS 40
#define HEAD_COLUMNS   13
#define BAR_COLUMNS    56
#define FRAMES_COLUMNS 64
#define TEXT_MAX       512

/* ---- head ---- */

static void print_request(const struct screen *s, const struct flow_row *flow,
			  const struct proxy_row *proxy)
{
	char method[TEXT_MAX] = "exchange", target[TEXT_MAX] = "", us[SCREEN_NUMBER_MAX];
	char end[TEXT_MAX];

	if (proxy != NULL && proxy->method != NULL)
		(void)screen_fit(s, proxy->method, strlen(proxy->method), 16, method,
				 sizeof(method));
	if (proxy != NULL && proxy->target != NULL)
		(void)screen_fit(s, proxy->target, strlen(proxy->target), TARGET_COLUMNS, target,
				 sizeof(target));
	fprintf(s->out, "%s%s%s%s%s", screen_paint(s, PAINT_BOLD), method,
		target[0] != '\0' ? " " : "", target, screen_paint(s, PAINT_OFF));
	if (flow->status > 0)
		fprintf(s->out, "  %u", flow->status);
	(void)screen_fit(s, flow->end, strlen(flow->end), 24, end, sizeof(end));
	fprintf(s->out, "  %s", end);
	if (flow->total_us >= 0)
		fprintf(s->out, "  %s", screen_us(flow->total_us, us));
	fprintf(s->out, "\n");
}

/* Read from packets alone: what is said of the proxy is the server's. */
static bool has_no_proxy(const struct flow_row *flow)
{
	return flow->run[0] == '\0' && !flow->backend.there;
}

static void print_addresses(const struct screen *s, const struct evidence_wish *wishes,
			    unsigned count, const char *us)
{
	char from[ADDR_TEXT_MAX], to[ADDR_TEXT_MAX];
	struct screen_line line;

	for (unsigned i = 0; i < count; i++) {
		const struct evidence_wish *w = &wishes[i];
		bool client = w->which == TAP_CLIENT;
		char name[32] = "backend leg";

		if (!w->found)
			continue;
		if (w->tag > 0)
			snprintf(name, sizeof(name), "attempt %u", w->tag);
		addr_format(&w->initiator, from);
		addr_format(&w->acceptor, to);
		screen_line_begin(&line, s, HEAD_COLUMNS, client ? "client leg" : name);
		screen_line_put(&line, "", "%s %s", client ? "client" : us, from);
		screen_line_put(&line, " ", "-> %s %s", client ? us : "backend", to);
		screen_line_end(&line);
	}
}

void summary_head(const struct screen *s, const struct flow_row *flow,
		  const struct proxy_row *proxy, const struct evidence_wish *wishes,
		  unsigned wish_count)
{
	char text[TEXT_MAX], stamp[CLOCK_TEXT_LEN];
	struct screen_line line;

	print_request(s, flow, proxy);
	clock_format(flow->start_ns, stamp);
	screen_line_begin(&line, s, HEAD_COLUMNS, "id");
	screen_line_put(&line, "", "%s", flow->id);
	screen_line_put(&line, ", ", "started %.10s %.18s UTC", stamp, stamp + 11);
	screen_line_end(&line);
	if (flow->dump != NULL) {
		(void)screen_fit(s, flow->dump, strlen(flow->dump), 80, text, sizeof(text));
		fprintf(s->out, "%-*s%s\n", HEAD_COLUMNS, "dump", text);
	}
	print_addresses(s, wishes, wish_count, has_no_proxy(flow) ? "server" : "proxy");
}

/* ---- legs ---- */

static void print_part(const struct screen *s, const char *name, const struct row_part *p)
{
	char frames[TEXT_MAX], us[SCREEN_NUMBER_MAX];
	struct screen_line line;

	if (!p->there)
		return;
	snprintf(frames, sizeof(frames), "  %s", name);
	screen_line_begin(&line, s, HEAD_COLUMNS, frames);
	screen_line_put(&line, "", "seq %" PRIu64 " + len %" PRIu64 " = next %" PRIu64, p->seq,
			p->len, p->next_seq);
	screen_frames(&p->frames, FRAMES_COLUMNS, frames, sizeof(frames));
	screen_line_put(&line, ", ", "%s %s", p->frames.count == 1 ? "frame" : "frames", frames);
	if (p->acked_in > 0)
		screen_line_put(&line, ", ", "acked in %u after %s", p->acked_in,
				screen_us(p->acked_us, us));
	else
		screen_line_put(&line, ", ", "ack not seen");
	screen_line_end(&line);
	if (p->retransmitted_bytes > 0) {
		screen_frames(&p->retransmitted_in, FRAMES_COLUMNS, frames, sizeof(frames));
		fprintf(s->out, "%s", screen_paint(s, PAINT_RED));
		screen_line_begin(&line, s, HEAD_COLUMNS, "");
		screen_line_put(&line, "", "%" PRIu64 " bytes again", p->retransmitted_bytes);
		screen_line_put(&line, ", ", "in %s%s", frames, screen_paint(s, PAINT_OFF));
		screen_line_end(&line);
	}
	if (p->missing_bytes > 0)
		fprintf(s->out, "%*s%s%" PRIu64 " bytes are missing in the capture%s\n",
			HEAD_COLUMNS, "", screen_paint(s, PAINT_RED), p->missing_bytes,
			screen_paint(s, PAINT_OFF));
}

static void print_handshake(const struct screen *s, const struct row_handshake *h)
{
	char frames[TEXT_MAX], us[SCREEN_NUMBER_MAX];
	struct screen_line line;

	if (!h->there)
		return;
	screen_frames(&h->frames, FRAMES_COLUMNS, frames, sizeof(frames));
	screen_line_begin(&line, s, HEAD_COLUMNS, "  handshake");
	screen_line_put(&line, "", "frames %s", frames);
	if (h->us >= 0)
		screen_line_put(&line, ", ", "%s", screen_us(h->us, us));
	screen_line_end(&line);
}

static void put_tls_message(struct screen_line *line, const char *word,
			    const struct row_tls_message *m)
{
	char frames[TEXT_MAX], us[SCREEN_NUMBER_MAX];

	if (m->frames.count == 0) {
		screen_line_put(line, ", ", "%s not seen", word);
		return;
	}
	screen_frames(&m->frames, FRAMES_COLUMNS, frames, sizeof(frames));
	screen_line_put(line, ", ", "%s in %s", word, frames);
	if (m->us > 0)
		screen_line_put(line, " ", "after %s", screen_us(m->us, us));
}

void summary_tls(struct screen_line *line, const struct row_tls *t)
{
	static const char *const words[TLS_MARK_COUNT] = {"ClientHello", "ServerHello",
							  "server's Finished", "client's Finished"};
	const char *version = tls_version_word(t->version);
	char us[SCREEN_NUMBER_MAX];

	screen_line_put(line, "", "TLS%s%s%s%s", version != NULL ? " " : "",
			version != NULL ? version : "", t->resumed ? ", session resumed" : "",
			t->failed ? ", failed" : "");
	for (int i = 0; i < TLS_MARK_COUNT; i++)
		put_tls_message(line, words[i], &t->at[i]);
	if (t->us >= 0)
		screen_line_put(line, ", ", "%s in all", screen_us(t->us, us));
}

static void print_tls(const struct screen *s, const struct row_tls *t)
{
	struct screen_line line;

	if (!t->there)
		return;
	screen_line_begin(&line, s, HEAD_COLUMNS, "  tls");
	summary_tls(&line, t);
	screen_line_end(&line);
}

/* "fast 2 in 6, 9; dup-ack 3 in 5, 7, 8" */
static void print_labels(const struct screen *s, const struct row_leg *leg)
{
	char frames[TEXT_MAX];
	struct screen_line line;

	if (leg->label_count == 0)
		return;
	screen_line_begin(&line, s, HEAD_COLUMNS, "  labels");
	for (unsigned i = 0; i < leg->label_count; i++) {
		const struct row_label *l = &leg->labels[i];

		screen_frames(&l->frames, FRAMES_COLUMNS, frames, sizeof(frames));
		screen_line_put(&line, i > 0 ? "; " : "", "%s %" PRIu64 " in %s", l->word, l->count,
				frames);
	}
	screen_line_end(&line);
}

static void print_close(const struct screen *s, const struct row_close *c)
{
	char frames[TEXT_MAX], by[TEXT_MAX], how[TEXT_MAX];
	struct screen_line line;

	if (!c->there)
		return;
	(void)screen_fit(s, c->by, strlen(c->by), 16, by, sizeof(by));
	(void)screen_fit(s, c->how, strlen(c->how), 16, how, sizeof(how));
	screen_frames(&c->frames, FRAMES_COLUMNS, frames, sizeof(frames));
	screen_line_begin(&line, s, HEAD_COLUMNS, "  close");
	screen_line_put(&line, "", "%s by %s", how, by);
	screen_line_put(&line, ", ", "frames %s", frames);
	screen_line_end(&line);
}

static void print_leg(const struct screen *s, const char *name, const struct row_leg *leg)
{
	struct screen_line line;
	char end[TEXT_MAX];

	fprintf(s->out, "\n%s", screen_paint(s, PAINT_BOLD));
	screen_line_begin(&line, s, HEAD_COLUMNS, name);
	fprintf(s->out, "%s", screen_paint(s, PAINT_OFF));
	screen_line_put(&line, "", "connection %" PRIu64 ", exchange %" PRIu64 " on it", leg->conn,
			leg->nth);
	if (leg->stream >= 0)
		screen_line_put(&line, ", ", "tcp.stream %" PRId64, leg->stream);
	if (leg->end[0] != '\0') {
		(void)screen_fit(s, leg->end, strlen(leg->end), 24, end, sizeof(end));
		screen_line_put(&line, ", ", "ended with %s", end);
	}
	screen_line_end(&line);
	print_handshake(s, &leg->handshake);
	print_tls(s, &leg->tls);
	for (int k = 0; k < PART_KINDS; k++)
		print_part(s, part_word((enum part_kind)k), &leg->part[k]);
	print_labels(s, leg);
	print_close(s, &leg->close);
}

void summary_legs(const struct screen *s, const struct flow_row *flow)
{
	if (flow->client.there)
		print_leg(s, "client leg", &flow->client);
	for (unsigned i = 0; i < flow->tries_count; i++) {
		char name[32];

		snprintf(name, sizeof(name), "attempt %u", i + 1);
		print_leg(s, name, &flow->tries[i]);
	}
	if (flow->backend.there)
		print_leg(s, "backend leg", &flow->backend);
	else if (!has_no_proxy(flow))
		fprintf(s->out, "\nno backend leg: the proxy answered by itself or not at all\n");
}

/* ---- phases ---- */

/* "|   #####     |": from start to past of total. At least one mark for what took time. */
static void make_bar(const struct flow_row *flow, int64_t start_us, int64_t us,
		     char out[BAR_COLUMNS + 1])
{
	int64_t total = MAX(flow->total_us, 1);
	int first = (int)((double)start_us * BAR_COLUMNS / (double)total);
	int past = (int)((double)(start_us + us) * BAR_COLUMNS / (double)total + 0.5);

	first = MIN(first, BAR_COLUMNS - 1);
	past = MIN(MAX(past, first + 1), BAR_COLUMNS);
	memset(out, ' ', BAR_COLUMNS);
	if (us > 0)
		memset(out + first, '#', (size_t)(past - first));
	out[BAR_COLUMNS] = '\0';
}

static void print_phase(const struct screen *s, const struct flow_row *flow, enum phase p,
			int64_t start_us)
{
	int64_t us = flow->phases_us[p];
	char text[SCREEN_NUMBER_MAX], bar[BAR_COLUMNS + 1];

	if (us < 0) {
		fprintf(s->out, "  %-15s %8s\n", phase_word(p), "unknown");
		return;
	}
	fprintf(s->out, "  %-15s %8s", phase_word(p), screen_us(us, text));
	if (flow->total_us >= 0) {
		make_bar(flow, start_us, us, bar);
		fprintf(s->out, " %5.1f%%  |%s%s%s|",
			(double)us * 100 / (double)MAX(flow->total_us, 1),
			screen_paint(s, PAINT_CYAN), bar, screen_paint(s, PAINT_OFF));
	}
	fprintf(s->out, "\n");
}

/* "of it 211 ms until bytes were sent again", below the phase. */
static void print_lost(const struct screen *s, const int64_t us[WAIT_KINDS])
{
	static const char *const until[WAIT_KINDS] = {"until bytes were sent again",
						      "until a zero window opened"};
	char text[SCREEN_NUMBER_MAX];

	for (unsigned kind = 0; kind < WAIT_KINDS; kind++)
		if (us[kind] > 0)
			fprintf(s->out, "  %-15s %8s  of it %s\n", "", screen_us(us[kind], text),
				until[kind]);
}

/* How much of the backend's handshake was TLS, below the phase. */
static void print_tls_share(const struct screen *s, const struct flow_row *flow)
{
	const struct row_tls *t = &flow->backend.tls;
	char text[SCREEN_NUMBER_MAX];

	if (t->there && t->us >= 0 && flow->phases_us[PHASE_HANDSHAKE] > 0)
		fprintf(s->out, "  %-15s %8s  of it the backend's TLS handshake%s\n", "",
			screen_us(MIN(t->us, flow->phases_us[PHASE_HANDSHAKE]), text),
			t->resumed ? ", a session resumed" : "");
}

static bool any_phase(const struct flow_row *flow)
{
	for (int i = 0; i < PHASES; i++)
		if (flow->phases_us[i] >= 0)
			return true;
	return false;
}

/* A text of the record in lines of its own. */
static void print_text(const struct screen *s, const char *name, const char *text)
{
	char shown[TEXT_MAX];

	if (text == NULL)
		return;
	(void)screen_fit(s, text, strlen(text), SCREEN_COLUMNS - 20, shown, sizeof(shown));
	fprintf(s->out, "  %-15s %s\n", name, shown);
}

void summary_phases(const struct screen *s, const struct flow_row *flow)
{
	char us[SCREEN_NUMBER_MAX];
	int64_t start_us = 0;

	fprintf(s->out, "\n%swhere the time went%s", screen_paint(s, PAINT_BOLD),
		screen_paint(s, PAINT_OFF));
	if (flow->total_us >= 0)
		fprintf(s->out, ": %s in all", screen_us(flow->total_us, us));
	fprintf(s->out, "\n");
	for (int i = 0; i < PHASES && any_phase(flow); i++) {
		print_phase(s, flow, (enum phase)i, start_us);
		print_lost(s, flow->lost_us[i]);
		if (i == PHASE_HANDSHAKE)
			print_tls_share(s, flow);
		start_us += MAX(flow->phases_us[i], 0);
	}
	print_text(s, "why not all", flow->phases_why);
	print_text(s, "overlap", flow->overlap);
	print_text(s, "verdict", flow->verdict);
	if (flow->drops > 0)
		fprintf(s->out, "  %-15s %s%" PRIu64 " packets lost during it%s\n", "capture",
			screen_paint(s, PAINT_RED), flow->drops, screen_paint(s, PAINT_OFF));
}
