/*
 * table.c -- the table of exchanges.
 *
 * The columns to the right of the request are made first; the request gets what is left of the
 * line, so that a line with unusually long numbers still fits.
 */
#include "trace/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"

#define REQUEST_COLUMNS 28
#define REQUEST_MIN     12
#define LEFT_COLUMNS    22 /* id and time, each with its space */
#define WHERE_COLUMNS   21
#define WHERE_MAX       24 /* no end word is longer */
#define BACKEND_MAX     17
#define TOTAL_MAX       9
#define ID_SHOWN        8
#define CELL_MAX        512

#define S_PER_DAY       86400

void table_begin(struct table *t, const struct screen *screen)
{
	*t = (struct table){.screen = screen, .day = UINT64_MAX, .longest_us = -1};
}

/* A day's first line is preceded by the date and the names of the columns. */
static void begin_day(struct table *t, uint64_t start_ns)
{
	uint64_t day = start_ns / NS_PER_S / S_PER_DAY;
	char date[CLOCK_TEXT_LEN];
	FILE *out = t->screen->out;

	if (day == t->day)
		return;
	clock_format(start_ns, date);
	fprintf(out, "%s%s%.10s, times in UTC%s\n", t->day == UINT64_MAX ? "" : "\n",
		screen_paint(t->screen, PAINT_DIM), date, screen_paint(t->screen, PAINT_OFF));
	fprintf(out, "%s%-8s %-12s %-28s %-3s %7s %-8s %6s %s%s\n",
		screen_paint(t->screen, PAINT_BOLD), "id", "start", "request", "got", "total",
		"backend", "resent", "where the time went", screen_paint(t->screen, PAINT_OFF));
	t->day = day;
}

/* Phases by size: the largest, then what fits in WHERE_COLUMNS. */
static void put_phases(const struct flow_row *flow, char *out, size_t cap)
{
	bool used[PHASES] = {false};
	size_t len = 0;

	for (int n = 0; n < PHASES && flow->total_us > 0; n++) {
		int best = -1, share;
		char piece[64];
		size_t piece_len;

		for (int i = 0; i < PHASES; i++)
			if (!used[i] && (best < 0 || flow->phases_us[i] > flow->phases_us[best]))
				best = i;
		used[best] = true;
		share = (int)((double)flow->phases_us[best] * 100 / (double)flow->total_us + 0.5);
		piece_len = (size_t)snprintf(piece, sizeof(piece), "%s%s %d%%", n > 0 ? ", " : "",
					     phase_word((enum phase)best), share);
		if (share < 1 || len + piece_len >= cap ||
		    (n > 0 && len + piece_len > WHERE_COLUMNS))
			return;
		memcpy(out + len, piece, piece_len + 1);
		len += piece_len;
	}
}

/* Why the phases are not known, without the moment it is about: the ladder names that. */
static const char *why_short(const char *why)
{
	const char *colon = why != NULL ? strstr(why, ": ") : NULL;

	return colon != NULL ? colon + 2 : why != NULL ? why : "-";
}

/* An end that is not "done" comes first: it says more than the time. */
static void put_where(const struct flow_row *flow, char *out, size_t cap)
{
	size_t len = 0;

	out[0] = '\0';
	if (flow->end[0] != '\0' && strcmp(flow->end, "done") != 0) {
		len = (size_t)snprintf(out, cap, "%s", flow->end);
		if (len + 1 >= cap || len >= WHERE_COLUMNS / 2)
			return;
		if (flow->total_us >= 0)
			len += (size_t)snprintf(out + len, cap - len, ", ");
	}
	if (flow->total_us >= 0)
		put_phases(flow, out + len, cap - len);
	else if (len == 0)
		snprintf(out, cap, "%s", why_short(flow->phases_why));
}

static uint64_t leg_resent(const struct row_leg *leg)
{
	uint64_t bytes = 0;

	for (int k = 0; k < PART_KINDS; k++)
		bytes += leg->part[k].retransmitted_bytes;
	return bytes;
}

static bool leg_misses(const struct row_leg *leg)
{
	for (int k = 0; k < PART_KINDS; k++)
		if (leg->part[k].missing_bytes > 0)
			return true;
	return false;
}

static uint64_t flow_resent(const struct flow_row *flow)
{
	uint64_t bytes = leg_resent(&flow->client) + leg_resent(&flow->backend);

	for (unsigned i = 0; i < flow->tries_count; i++)
		bytes += leg_resent(&flow->tries[i]);
	return bytes;
}

static void put_backend(const struct screen *s, const struct row_leg *leg, char *out, size_t cap)
{
	char text[64] = "-";

	if (leg->there)
		snprintf(text, sizeof(text), "%" PRIu64 "#%" PRIu64 "%s", leg->conn, leg->nth,
			 leg->reused ? "" : "*");
	(void)screen_fit(s, text, strlen(text), BACKEND_MAX, out, cap);
}

/* Of the packets; else of the proxy's own clock, marked with "~". */
static void put_total(const struct screen *s, const struct flow_row *flow,
		      const struct proxy_row *proxy, char *out, size_t cap)
{
	char us[SCREEN_NUMBER_MAX], text[SCREEN_NUMBER_MAX + 1] = "-";

	if (flow->total_us >= 0)
		snprintf(text, sizeof(text), "%s", screen_us(flow->total_us, us));
	else if (proxy != NULL && proxy->end_ns > proxy->start_ns)
		snprintf(text, sizeof(text), "~%s",
			 screen_us((int64_t)((proxy->end_ns - proxy->start_ns) / NS_PER_US), us));
	(void)screen_fit(s, text, strlen(text), TOTAL_MAX, out, cap);
}

/* Method and target; returns the columns. */
static unsigned put_request(const struct screen *s, const struct proxy_row *proxy, unsigned columns,
			    char *out, size_t cap)
{
	unsigned used;
	size_t len;

	if (proxy == NULL || proxy->method == NULL)
		return screen_fit(s, "-", 1, columns, out, cap);
	used = screen_fit(s, proxy->method, strlen(proxy->method), columns / 2, out, cap);
	len = strlen(out);
	if (proxy->target == NULL || len + 1 >= cap)
		return used;
	out[len++] = ' ';
	return used + 1 +
	       screen_fit(s, proxy->target, strlen(proxy->target), columns - used - 1, out + len,
			  cap - len);
}

static void count(struct table *t, const struct flow_row *flow, uint64_t resent)
{
	bool missing = leg_misses(&flow->client) || leg_misses(&flow->backend);

	t->exchanges++;
	t->by_class[MIN(flow->status / 100, 5)]++;
	t->resent_bytes += resent;
	t->resent_exchanges += resent > 0;
	t->missing_exchanges += missing;
	t->drops_exchanges += flow->drops > 0;
	t->with_backend += flow->backend.there;
	t->opened += flow->backend.there && !flow->backend.reused;
	if (flow->total_us < 0)
		return;
	t->timed++;
	t->total_us += (uint64_t)flow->total_us;
	if (flow->total_us > t->longest_us) {
		t->longest_us = flow->total_us;
		memcpy(t->longest, flow->id, sizeof(t->longest));
	}
}

/* What stands right of the request. */
struct cells {
	char status[12];
	char total[SCREEN_NUMBER_MAX];
	char backend[48];
	char resent[SCREEN_NUMBER_MAX];
	char where[CELL_MAX];
	unsigned columns;
};

static void make_cells(const struct screen *s, const struct flow_row *flow,
		       const struct proxy_row *proxy, uint64_t resent, struct cells *c)
{
	char where[CELL_MAX];
	unsigned where_columns;

	if (flow->status > 0)
		snprintf(c->status, sizeof(c->status), "%u", flow->status);
	else
		snprintf(c->status, sizeof(c->status), "-");
	put_total(s, flow, proxy, c->total, sizeof(c->total));
	put_backend(s, &flow->backend, c->backend, sizeof(c->backend));
	screen_bytes(resent, c->resent);
	put_where(flow, where, sizeof(where));
	where_columns = screen_fit(s, where, strlen(where),
				   strcmp(flow->end, "done") == 0 ? WHERE_COLUMNS : WHERE_MAX,
				   c->where, sizeof(c->where));
	c->columns = (unsigned)snprintf(NULL, 0, " %-3s %7s %-8s %6s ", c->status, c->total,
					c->backend, c->resent);
	c->columns += MAX(where_columns, WHERE_COLUMNS);
}

static enum paint status_paint(const struct flow_row *flow)
{
	if (flow->status >= 500 || flow->status == 0 || strcmp(flow->end, "done") != 0)
		return PAINT_RED;
	return flow->status >= 400 ? PAINT_YELLOW : PAINT_OFF;
}

void table_add(struct table *t, const struct flow_row *flow, const struct proxy_row *proxy)
{
	const struct screen *s = t->screen;
	const char *off = screen_paint(s, PAINT_OFF);
	uint64_t resent = flow_resent(flow);
	char request[CELL_MAX], stamp[CLOCK_TEXT_LEN];
	unsigned room, used;
	struct cells c;

	count(t, flow, resent);
	begin_day(t, flow->start_ns);
	clock_format(flow->start_ns, stamp);
	make_cells(s, flow, proxy, resent, &c);
	room = SCREEN_COLUMNS - LEFT_COLUMNS - MIN(c.columns, SCREEN_COLUMNS - LEFT_COLUMNS);
	room = MAX(REQUEST_MIN, MIN(REQUEST_COLUMNS, room));
	used = put_request(s, proxy, room, request, sizeof(request));
	fprintf(s->out, "%-*.*s %.12s %s%*s", ID_SHOWN, ID_SHOWN, flow->id, stamp + 11, request,
		(int)(room - used), "");
	fprintf(s->out, " %s%-3s%s %7s %-8s %s%6s%s %s\n", screen_paint(s, status_paint(flow)),
		c.status, off, c.total, c.backend,
		screen_paint(s, resent > 0 ? PAINT_RED : PAINT_OFF), c.resent, off, c.where);
}

static const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

/* "3 2xx, 1 5xx, 1 without an answer" */
static void put_classes(const struct table *t, struct screen_line *line)
{
	static const char *const names[] = {"1xx", "2xx", "3xx", "4xx", "5xx", "without an answer"};
	const char *before = ": ";

	for (int i = 0; i < 6; i++) {
		uint64_t n = t->by_class[(i + 1) % 6];

		if (n == 0)
			continue;
		screen_line_put(line, before, "%" PRIu64 " %s", n, names[i]);
		before = ", ";
	}
}

/* What the reader should know before trusting the lines above. Nothing when all was seen once. */
static void put_warnings(const struct table *t)
{
	FILE *out = t->screen->out;
	char bytes[SCREEN_NUMBER_MAX];

	if (t->resent_bytes > 0)
		fprintf(out, "%s bytes were sent again, in %" PRIu64 " exchange%s\n",
			screen_bytes(t->resent_bytes, bytes), t->resent_exchanges,
			plural(t->resent_exchanges));
	if (t->missing_exchanges > 0)
		fprintf(out, "of %" PRIu64 " exchange%s bytes are missing in the capture\n",
			t->missing_exchanges, plural(t->missing_exchanges));
	if (t->drops_exchanges > 0)
		fprintf(out, "the capture lost packets during %" PRIu64 " exchange%s\n",
			t->drops_exchanges, plural(t->drops_exchanges));
}

void table_end(struct table *t)
{
	FILE *out = t->screen->out;
	uint64_t reused = t->with_backend - t->opened;
	struct screen_line line;
	char us[SCREEN_NUMBER_MAX];

	if (t->exchanges == 0) {
		fprintf(out, "no exchanges\n");
		return;
	}
	fprintf(out, "\n");
	screen_line_begin(&line, t->screen, 0, "");
	screen_line_put(&line, "", "%" PRIu64 " exchange%s", t->exchanges, plural(t->exchanges));
	put_classes(t, &line);
	if (t->timed > 0) {
		screen_line_put(&line, "; ", "mean %s",
				screen_us((int64_t)(t->total_us / t->timed), us));
		screen_line_put(&line, ", ", "longest %s (%.*s)", screen_us(t->longest_us, us),
				ID_SHOWN, t->longest);
	}
	if (t->with_backend > 0)
		screen_line_put(&line, "; ",
				"%" PRIu64 " backend connection%s, reused %" PRIu64 " time%s",
				t->opened, plural(t->opened), reused, plural(reused));
	screen_line_end(&line);
	put_warnings(t);
}
