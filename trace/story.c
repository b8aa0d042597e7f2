/*
 * story.c -- tells the newest run in the order in which a textbook would.
 *
 * Every number comes from the records and the dump; nothing is computed that is not shown. Gaps are
 * counted where they are met and listed at the end.
 */
#include "trace/story.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "trace/ladder.h"
#include "trace/packet.h"
#include "trace/story_facts.h"
#include "trace/story_tls.h"

#define GAPS_MAX     6
#define GAP_TEXT     96
#define ACKS_SHOWN   3
#define FILE_COLUMNS 38
#define TEXT_MAX     256

struct story {
	const struct screen *screen;
	FILE *out;
	const struct records_paths *paths;
	struct story_facts facts;
	uint64_t zero_ns; /* stamp of the first segment */
	unsigned gaps;
	char gap[GAPS_MAX][GAP_TEXT];
};

static void heading(const struct story *t, const char *text)
{
	fprintf(t->out, "\n%s%s%s\n", screen_paint(t->screen, PAINT_BOLD), text,
		screen_paint(t->screen, PAINT_OFF));
}

static void add_gap(struct story *t, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void add_gap(struct story *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (t->gaps < GAPS_MAX)
		(void)vsnprintf(t->gap[t->gaps], GAP_TEXT, fmt, ap);
	va_end(ap);
	t->gaps++;
}

static const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

/* ---- words ---- */

static const char *peer_word(enum tap_leg which)
{
	return which == TAP_CLIENT ? "client" : "backend";
}

/* Read from packets alone: the other end of "client" is the server. */
static bool has_no_proxy(const struct story *t)
{
	return t->facts.exchange_count > 0 && t->facts.exchanges[0].flow.run[0] == '\0';
}

/* "client -> proxy" */
static const char *direction(const struct story *t, const struct evidence_row *row)
{
	if (has_no_proxy(t))
		return row->by_proxy ? "server -> client" : "client -> server";
	if (row->which == TAP_CLIENT)
		return row->by_proxy ? "proxy -> client" : "client -> proxy";
	return row->by_proxy ? "proxy -> backend" : "backend -> proxy";
}

/* One segment of a handshake or a close. */
static void print_segment(const struct story *t, const struct evidence_row *row)
{
	char flags[FLAGS_TEXT_MAX], ack[SCREEN_NUMBER_MAX] = "";
	uint64_t us = (row->ts_ns - t->zero_ns) / NS_PER_US;

	if (row->has_ack)
		snprintf(ack, sizeof(ack), " ack %" PRId64, row->ack);
	fprintf(t->out,
		"    frame %-5u %5" PRIu64 ".%03" PRIu64 " ms  %-16s  %-13s seq %" PRId64 "%s%s\n",
		row->frame, us / 1000, us % 1000, direction(t, row),
		ladder_flags_text(row->flags, flags), row->seq, ack,
		row->len > 0 ? " with data" : "");
}

/* All of a list; a gap for each frame that is not in the dump. */
static void print_segments(struct story *t, const struct frame_list *frames)
{
	for (uint32_t i = 0; i < frames->count; i++) {
		const struct evidence_row *row = story_row(&t->facts, frames->frames[i]);

		if (row != NULL)
			print_segment(t, row);
	}
}

static void put_addresses(const struct story_conn *c, bool whole, struct screen_line *line)
{
	char from[ADDR_TEXT_MAX], to[ADDR_TEXT_MAX];

	if (c->wish == NULL || !c->wish->found)
		return;
	addr_format(&c->wish->initiator, from);
	addr_format(&c->wish->acceptor, to);
	if (whole)
		screen_line_put(line, ", ", "%s -> %s", from, to);
	else
		screen_line_put(line, ", ", "from %s", from);
}

static void put_conn(const struct story *t, const struct story_conn *c, struct screen_line *line)
{
	screen_line_begin(line, t->screen, 2, "");
	screen_line_put(line, "", "%s leg, connection %" PRIu64,
			c->row.leg == TAP_CLIENT ? "client" : "backend", c->row.conn);
	if (c->row.stream >= 0)
		screen_line_put(line, ", ", "tcp.stream %" PRId64, c->row.stream);
}

/* ---- 1. establishment ---- */

static void tell_handshake(struct story *t, const struct story_conn *c, bool whole)
{
	const struct row_handshake *h = &c->row.handshake;
	char frames[SCREEN_COLUMNS], us[SCREEN_NUMBER_MAX];
	struct screen_line line;

	put_conn(t, c, &line);
	put_addresses(c, whole, &line);
	if (!h->there) {
		screen_line_put(&line, ": ", "handshake not seen");
	} else {
		screen_frames(&h->frames, 40, frames, sizeof(frames));
		if (!whole)
			screen_line_put(&line, ": ", "frames %s", frames);
		if (h->us >= 0)
			screen_line_put(&line, whole ? ": " : ", ", "%s in all",
					screen_us(h->us, us));
	}
	screen_line_end(&line);
	if (h->there && whole)
		print_segments(t, &h->frames);
	story_tls_handshake(t->screen, &c->row.tls);
}

static void tell_establishment(struct story *t)
{
	const struct story_facts *f = &t->facts;

	heading(t,
		"1. Connection establishment (seq and ack relative to each side's initial number)");
	for (unsigned i = 0; i < f->conn_count; i++) {
		const struct story_conn *c = &f->conns[i];
		bool first = i == 0 || f->conns[i - 1].row.leg != c->row.leg;

		tell_handshake(t, c, first);
	}
}

/* ---- 2. data transfer ---- */

static bool rides(const struct evidence_row *ack)
{
	return ack->len > 0 || (ack->flags & TCP_FIN);
}

static void tell_part(const struct story *t, const char *way, const char *name,
		      const struct row_part *p)
{
	const struct evidence_row *ack = p->acked_in > 0 ? story_row(&t->facts, p->acked_in) : NULL;
	char frames[SCREEN_COLUMNS], us[SCREEN_NUMBER_MAX];

	if (!p->there)
		return;
	screen_frames(&p->frames, 12, frames, sizeof(frames));
	fprintf(t->out, "    %-16s %-8s %12s %8" PRIu64 " %8" PRIu64 " %8" PRIu64, way, name,
		frames, p->seq, p->len, p->next_seq);
	if (ack == NULL)
		fprintf(t->out, " not seen\n");
	else
		fprintf(t->out, " %8" PRId64 " %8u %8s%s\n", ack->ack, ack->frame,
			screen_us(p->acked_us, us), rides(ack) ? " *" : "");
}

static void tell_exchange(const struct story *t, unsigned i)
{
	const struct story_exchange *x = &t->facts.exchanges[i];
	const struct flow_row *flow = &x->flow;
	const char *method = x->proxy.method != NULL ? x->proxy.method : "exchange";
	const char *target = x->proxy.target != NULL ? x->proxy.target : "";
	char text[TEXT_MAX], us[SCREEN_NUMBER_MAX];

	(void)screen_fit(t->screen, method, strlen(method), 10, text, sizeof(text));
	fprintf(t->out, "  %u. %s", i + 1, text);
	(void)screen_fit(t->screen, target, strlen(target), 36, text, sizeof(text));
	fprintf(t->out, " %s  id %s", text, flow->id);
	if (flow->status > 0)
		fprintf(t->out, "  status %u", flow->status);
	if (flow->total_us >= 0)
		fprintf(t->out, "  %s", screen_us(flow->total_us, us));
	fprintf(t->out, "\n");
	if (has_no_proxy(t)) {
		tell_part(t, "client -> server", "request", &flow->client.part[PART_REQUEST]);
		tell_part(t, "server -> client", "response", &flow->client.part[PART_RESPONSE]);
		return;
	}
	tell_part(t, "client -> proxy", "request", &flow->client.part[PART_REQUEST]);
	tell_part(t, "proxy -> backend", "request", &flow->backend.part[PART_REQUEST]);
	tell_part(t, "backend -> proxy", "response", &flow->backend.part[PART_RESPONSE]);
	tell_part(t, "proxy -> client", "response", &flow->client.part[PART_RESPONSE]);
}

static void tell_transfer(const struct story *t)
{
	heading(t, "2. Data transfer (next = seq + len is the ack that the receiver will send)");
	fprintf(t->out, "%s    %-16s %-8s %12s %8s %8s %8s %8s %8s %8s%s\n",
		screen_paint(t->screen, PAINT_DIM), "", "", "frames", "seq", "len", "next", "ack",
		"in frame", "after", screen_paint(t->screen, PAINT_OFF));
	for (unsigned i = 0; i < t->facts.exchange_count; i++)
		tell_exchange(t, i);
	if (t->facts.left_out > 0)
		fprintf(t->out, "  and %" PRIu64 " more exchanges of this run, not told here\n",
			t->facts.left_out);
}

/* ---- 3. reuse ---- */

static void tell_reuse_of(const struct story *t, const struct story_conn *c)
{
	const struct story_facts *f = &t->facts;
	struct screen_line line;
	unsigned n = 0;

	put_conn(t, c, &line);
	for (unsigned i = 0; i < f->exchange_count; i++) {
		const struct row_leg *leg = &f->exchanges[i].flow.backend;

		if (leg->there && story_conn_of(f, i, TAP_BACKEND) == c &&
		    leg->part[PART_REQUEST].there)
			screen_line_put(&line, n++ == 0 ? ": request " : ", ", "%u at seq %" PRIu64,
					i + 1, leg->part[PART_REQUEST].seq);
	}
	screen_line_put(&line, "; ", n == 1 ? "used once" : "%u requests after one handshake", n);
	screen_line_end(&line);
}

static void tell_reuse(const struct story *t)
{
	const struct story_facts *f = &t->facts;
	unsigned clients = 0;

	for (unsigned i = 0; i < f->conn_count; i++)
		clients += f->conns[i].row.leg == TAP_CLIENT;
	heading(t, "3. Reuse of backend connections");
	fprintf(t->out,
		"  %u exchange%s came on %u client connection%s and went out on "
		"%u backend connection%s\n",
		f->exchange_count, plural(f->exchange_count), clients, plural(clients),
		f->conn_count - clients, plural(f->conn_count - clients));
	for (unsigned i = clients; i < f->conn_count; i++)
		tell_reuse_of(t, &f->conns[i]);
	story_tls_costs(t->screen, f);
}

/* ---- 4. piggybacked ACKs ---- */

static const struct evidence_item *item_of(const struct story_facts *f,
					   const struct evidence_row *row, enum evidence_kind kind)
{
	for (unsigned i = 0; i < row->item_count; i++) {
		const struct evidence_item *item = &f->evidence.items[row->first_item + i];

		if (item->kind == kind && item->tag < STORY_CONN_TAG)
			return item;
	}
	return NULL;
}

static void tell_piggyback(const struct story *t, const struct evidence_row *row)
{
	const struct evidence_item *ack = item_of(&t->facts, row, EVIDENCE_ACK);
	const struct evidence_item *data = item_of(&t->facts, row, EVIDENCE_DATA);

	fprintf(t->out, "    frame %-5u %-16s carries ", row->frame, direction(t, row));
	if (data != NULL)
		fprintf(t->out, "%s %u", part_word(data->part), data->tag + 1);
	else
		fprintf(t->out, row->len > 0 ? "other data" : "a FIN");
	fprintf(t->out, "; its ack %" PRId64 " acknowledges %s %u\n", row->ack,
		part_word(ack->part), ack->tag + 1);
}

static void tell_piggybacks(const struct story *t)
{
	const struct evidence *e = &t->facts.evidence;
	unsigned acks = 0, riding = 0;

	heading(t, "4. Piggybacked ACKs (an ACK that rides on data or on a FIN; * above)");
	for (unsigned i = 0; i < e->row_count; i++) {
		const struct evidence_row *row = &e->rows[i];

		if (item_of(&t->facts, row, EVIDENCE_ACK) == NULL)
			continue;
		acks++;
		if (rides(row) && riding++ < ACKS_SHOWN)
			tell_piggyback(t, row);
	}
	if (riding > ACKS_SHOWN)
		fprintf(t->out, "    and %u more\n", riding - ACKS_SHOWN);
	fprintf(t->out, "  %u of %u ACKs of requests and responses; the other %u travelled alone\n",
		riding, acks, acks - riding);
}

/* ---- 5. termination ---- */

static void tell_close(struct story *t, const struct story_conn *c, bool whole)
{
	const struct row_close *close = &c->row.close;
	char frames[SCREEN_COLUMNS], by[ROW_WORD_MAX * 4];
	struct screen_line line;

	put_conn(t, c, &line);
	if (!close->there) {
		screen_line_put(&line, ": ", "close not seen");
		screen_line_end(&line);
		return;
	}
	(void)screen_fit(t->screen, close->by, strlen(close->by), 16, by, sizeof(by));
	screen_line_put(&line, ": ", "%s first by the %s",
			strcmp(close->how, "rst") == 0 ? "RST" : "FIN", by);
	if (!whole) {
		screen_frames(&close->frames, 40, frames, sizeof(frames));
		screen_line_put(&line, ", ", "frames %s", frames);
	}
	screen_line_end(&line);
	if (whole)
		print_segments(t, &close->frames);
}

static void tell_termination(struct story *t)
{
	const struct story_facts *f = &t->facts;

	heading(t, "5. Termination");
	for (unsigned i = 0; i < f->conn_count; i++)
		tell_close(t, &f->conns[i],
			   i == 0 || f->conns[i - 1].row.leg != f->conns[i].row.leg);
}

/* ---- 6. files ---- */

static void tell_file(const struct story *t, const char *path, const char *what)
{
	bool fits = strlen(path) <= FILE_COLUMNS;

	fprintf(t->out, "  %-*s%s%*s %s\n", FILE_COLUMNS, path, fits ? "" : "\n",
		fits ? 0 : FILE_COLUMNS + 2, "", what);
}

static void tell_files(const struct story *t)
{
	const struct story_facts *f = &t->facts;
	const struct flow_row *first = &f->exchanges[0].flow;
	char text[2 * PATH_MAX + 64];

	heading(t, "6. The files, and how to look further");
	tell_file(t, t->paths->proxy,
		  has_no_proxy(t) ? "what was asked and answered: one line per request"
				  : "what the proxy did: one line per request");
	tell_file(t, t->paths->flows, "the same requests on the wire, frame by frame");
	tell_file(t, t->paths->conns, "one line per TCP connection");
	tell_file(t, f->dump, "the packets; each names its requests in a comment");
	snprintf(text, sizeof(text), "%s show %s", program_invocation_name, t->paths->folder);
	tell_file(t, text, "all requests in a table");
	snprintf(text, sizeof(text), "%s show %s %.8s", program_invocation_name, t->paths->folder,
		 first->id);
	tell_file(t, text, "the first request, segment by segment");
	snprintf(text, sizeof(text), "wireshark %s", f->dump);
	tell_file(t, text, "with one of these display filters:");
	snprintf(text, sizeof(text), "frame.comment contains \"req=%s\"", first->id);
	fprintf(t->out, "    %-48s the first request, both legs\n", text);
	if (first->backend.stream >= 0) {
		snprintf(text, sizeof(text), "tcp.stream == %" PRId64, first->backend.stream);
		fprintf(t->out, "    %-48s its backend connection\n", text);
	}
}

/* ---- gaps ---- */

static void check_frames(struct story *t, unsigned i, const char *leg, const struct frame_list *l)
{
	for (uint32_t k = 0; k < l->count; k++)
		if (story_row(&t->facts, l->frames[k]) == NULL)
			add_gap(t, "exchange %u, %s leg: frame %u is not in the dump", i + 1, leg,
				l->frames[k]);
}

static void check_part(struct story *t, unsigned i, const char *leg, const char *name,
		       const struct row_part *p)
{
	if (!p->there)
		add_gap(t, "exchange %u, %s leg: no %s", i + 1, leg, name);
	else if (p->missing_bytes > 0)
		add_gap(t, "exchange %u, %s leg: %" PRIu64 " bytes of the %s were not captured",
			i + 1, leg, p->missing_bytes, name);
	else if (p->acked_in == 0)
		add_gap(t, "exchange %u, %s leg: the ACK of the %s was not captured", i + 1, leg,
			name);
	check_frames(t, i, leg, &p->frames);
}

static void check_conn(struct story *t, const struct story_conn *c)
{
	const char *leg = peer_word(c->row.leg);

	if (c->row.anchor[0] == '\0')
		add_gap(t, "%s connection %" PRIu64 ": no line in conns.ndjson", leg, c->row.conn);
	else if (!c->row.handshake.there)
		add_gap(t, "%s connection %" PRIu64 ": handshake not captured", leg, c->row.conn);
	else if (!c->row.close.there)
		add_gap(t, "%s connection %" PRIu64 ": close not captured", leg, c->row.conn);
}

static void check_gaps(struct story *t)
{
	const struct story_facts *f = &t->facts;

	for (unsigned i = 0; i < f->exchange_count; i++) {
		const struct flow_row *flow = &f->exchanges[i].flow;

		/* A handshake of TLS that failed: there was no message that could be missing. */
		if (!flow->client.part[PART_REQUEST].there &&
		    !flow->client.part[PART_RESPONSE].there)
			continue;
		check_part(t, i, "client", "request", &flow->client.part[PART_REQUEST]);
		check_part(t, i, "client", "response", &flow->client.part[PART_RESPONSE]);
		if (!flow->backend.there)
			continue;
		check_part(t, i, "backend", "request", &flow->backend.part[PART_REQUEST]);
		check_part(t, i, "backend", "response", &flow->backend.part[PART_RESPONSE]);
	}
	for (unsigned i = 0; i < f->conn_count; i++)
		check_conn(t, &f->conns[i]);
}

static void tell_gaps(const struct story *t)
{
	if (t->gaps == 0)
		return;
	heading(t, "Missing");
	for (unsigned i = 0; i < MIN(t->gaps, GAPS_MAX); i++)
		fprintf(t->out, "  %s\n", t->gap[i]);
	if (t->gaps > GAPS_MAX)
		fprintf(t->out, "  and %u more\n", t->gaps - GAPS_MAX);
}

/* ---- all of it ---- */

static void tell_run(const struct story *t)
{
	const struct story_facts *f = &t->facts;
	char stamp[CLOCK_TEXT_LEN];

	clock_format(f->exchanges[0].flow.start_ns, stamp);
	fprintf(t->out, "Run %s of %.10s %.8s UTC: %" PRIu64 " exchange%s\n",
		f->exchanges[0].flow.run, stamp, stamp + 11, f->exchange_count + f->left_out,
		plural(f->exchange_count + f->left_out));
}

static void tell(struct story *t)
{
	const struct story_facts *f = &t->facts;

	t->zero_ns = f->evidence.row_count > 0 ? f->evidence.rows[0].ts_ns : 0;
	tell_run(t);
	tell_establishment(t);
	tell_transfer(t);
	tell_reuse(t);
	tell_piggybacks(t);
	tell_termination(t);
	check_gaps(t);
	tell_gaps(t);
	tell_files(t);
}

int story_show(const struct screen *s, const struct records_paths *paths, struct records *flows)
{
	struct story *t = calloc(1, sizeof(*t));
	char err[EVIDENCE_ERROR_MAX] = "no memory";
	int status = 1;

	if (t != NULL && story_facts_load(&t->facts, paths, flows, err)) {
		t->screen = s;
		t->out = s->out;
		t->paths = paths;
		tell(t);
		fflush(s->out);
		status = t->gaps > 0 ? 1 : 0;
		snprintf(err, sizeof(err), "%u thing%s missing in this story, listed in it",
			 t->gaps, t->gaps == 1 ? " is" : "s are");
	}
	if (status != 0)
		log_error("%s: %s", paths->flows, err);
	if (t != NULL)
		story_facts_free(&t->facts);
	free(t);
	return status;
}
