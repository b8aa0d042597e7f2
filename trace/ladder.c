/*
 * ladder.c -- draws the segments of an exchange as arrows between three lifelines.
 *
 * Column widths follow from the rows, so numbers are as narrow as they can be; what a segment
 * carries is wrapped within the rest of SCREEN_COLUMNS. Reads no file.
 */
#include "trace/ladder.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "trace/ladder_tls.h"
#include "trace/packet.h"
#include "trace/summary.h"

#define LIFELINES      "|       |       |"
#define LIFELINE_STEP  8 /* columns from one lifeline to the next */
#define LIFELINE_WIDTH 17
#define LIFELINE_TWO   9 /* of them for a connection without a proxy in it */
#define GAP            4 /* on both sides of the lifelines */
#define CARRIES_MIN    12

unsigned ladder_wishes(const struct flow_row *flow, struct evidence_wish wishes[LADDER_WISHES])
{
	unsigned n = 0;

	if (flow->client.there)
		wishes[n++] = (struct evidence_wish){.leg = &flow->client, .which = TAP_CLIENT};
	for (unsigned i = 0; i < flow->tries_count; i++)
		wishes[n++] = (struct evidence_wish){
			.leg = &flow->tries[i], .which = TAP_BACKEND, .tag = i + 1};
	if (flow->backend.there)
		wishes[n++] = (struct evidence_wish){.leg = &flow->backend, .which = TAP_BACKEND};
	return n;
}

/* ---- words ---- */

const char *ladder_flags_text(uint8_t flags, char out[FLAGS_TEXT_MAX])
{
	static const struct {
		uint8_t flag;
		const char *word;
	} words[] = {
		{TCP_FIN, "FIN"}, {TCP_SYN, "SYN"}, {TCP_RST, "RST"}, {TCP_PSH, "PSH"},
		{TCP_ACK, "ACK"}, {TCP_URG, "URG"}, {TCP_ECE, "ECE"}, {TCP_CWR, "CWR"},
	};
	size_t len = 0;

	out[len++] = '[';
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if ((flags & words[i].flag) == 0)
			continue;
		if (len > 1)
			out[len++] = ',';
		memcpy(out + len, words[i].word, 3);
		len += 3;
	}
	out[len++] = ']';
	out[len] = '\0';
	return out;
}

static const char *end_word(const struct evidence *e, const struct evidence_row *row, bool sender)
{
	if (row->by_proxy == sender)
		return e->has_no_proxy ? "server" : "proxy";
	return row->which == TAP_CLIENT ? "client" : "backend";
}

static const char *part_text(enum part_kind part)
{
	return part == PART_INTERIM ? "interim response" : part_word(part);
}

static void data_text(const struct evidence_item *item, char out[LADDER_ITEM_MAX])
{
	const char *again = !item->again ? "" : item->also_new ? ", partly again" : " again";

	if (item->placed)
		snprintf(out, LADDER_ITEM_MAX, "%s %" PRIu64 "-%" PRIu64 " of %" PRIu64 "%s",
			 part_text(item->part), item->from, item->past, item->part_len, again);
	else
		snprintf(out, LADDER_ITEM_MAX, "%s, %" PRIu64 " bytes in all%s",
			 part_text(item->part), item->part_len, again);
}

/* An ACK that rides on data or on a FIN is called piggybacked. */
static void ack_text(const struct evidence_row *row, const struct evidence_item *item,
		     char out[LADDER_ITEM_MAX])
{
	const char *how = row->len > 0 || (row->flags & TCP_FIN) ? "piggybacked ack" : "ack";

	if (!item->placed || item->past == item->part_len)
		snprintf(out, LADDER_ITEM_MAX, "%s of %s %" PRIu64, how, part_text(item->part),
			 item->part_len);
	else
		snprintf(out, LADDER_ITEM_MAX, "%s of %s %" PRIu64 " of %" PRIu64, how,
			 part_text(item->part), item->past, item->part_len);
}

/* out or a text that lasts. */
static const char *item_text(const struct evidence *e, const struct evidence_row *row,
			     const struct evidence_item *item, char out[LADDER_ITEM_MAX])
{
	switch (item->kind) {
	case EVIDENCE_SYN:
		return "handshake: SYN";
	case EVIDENCE_SYN_ACK:
		return "handshake: SYN+ACK";
	case EVIDENCE_HANDSHAKE_ACK:
		return "handshake: ACK";
	case EVIDENCE_DATA:
		data_text(item, out);
		break;
	case EVIDENCE_ACK:
		ack_text(row, item, out);
		break;
	case EVIDENCE_FIN:
		snprintf(out, LADDER_ITEM_MAX, "FIN by %s", end_word(e, row, true));
		break;
	case EVIDENCE_FIN_ACK:
		snprintf(out, LADDER_ITEM_MAX, "ack of FIN by %s", end_word(e, row, false));
		break;
	case EVIDENCE_RST:
		snprintf(out, LADDER_ITEM_MAX, "RST by %s", end_word(e, row, true));
		break;
	case EVIDENCE_LABEL:
		return item->word;
	case EVIDENCE_TLS:
		ladder_tls_item(item, out);
		break;
	}
	return out;
}

/* ---- rows ---- */

struct layout {
	uint64_t zero_ns;
	int ms, frame, flags, seq, len, ack; /* widths */
	int carries;
};

/* Where the clock starts: at the request's first packet, else at the first row. */
static uint64_t find_zero(const struct flow_row *flow, const struct evidence *e)
{
	const struct frame_list *frames = &flow->client.part[PART_REQUEST].frames;
	const struct evidence_row *row = NULL;

	if (frames->count > 0)
		row = evidence_find(e, frames->frames[0]);
	if (row == NULL)
		row = &e->rows[0];
	return row->ts_ns;
}

/* Milliseconds with three decimals; negative before zero. */
static int format_ms(uint64_t ts_ns, uint64_t zero_ns, char out[SCREEN_NUMBER_MAX])
{
	bool before = ts_ns < zero_ns;
	uint64_t us = (before ? zero_ns - ts_ns : ts_ns - zero_ns) / NS_PER_US;

	return snprintf(out, SCREEN_NUMBER_MAX, "%s%" PRIu64 ".%03" PRIu64, before ? "-" : "",
			us / 1000, us % 1000);
}

static int format_ack(const struct evidence_row *row, char out[SCREEN_NUMBER_MAX])
{
	if (!row->has_ack)
		return snprintf(out, SCREEN_NUMBER_MAX, "-");
	return snprintf(out, SCREEN_NUMBER_MAX, "%" PRId64, row->ack);
}

static void widen(int *width, int to)
{
	*width = MAX(*width, to);
}

static int lifeline_width(const struct evidence *e)
{
	return e->has_no_proxy ? LIFELINE_TWO : LIFELINE_WIDTH;
}

static struct layout make_layout(const struct flow_row *flow, const struct evidence *e)
{
	struct layout l = {.zero_ns = find_zero(flow, e),
			   .ms = 7,
			   .frame = 5,
			   .flags = 5,
			   .seq = 3,
			   .len = 3,
			   .ack = 3};

	for (unsigned i = 0; i < e->row_count; i++) {
		const struct evidence_row *row = &e->rows[i];
		char text[MAX(SCREEN_NUMBER_MAX, FLAGS_TEXT_MAX)];

		widen(&l.ms, format_ms(row->ts_ns, l.zero_ns, text));
		widen(&l.frame, snprintf(NULL, 0, "%u", row->frame));
		widen(&l.flags, (int)strlen(ladder_flags_text(row->flags, text)));
		widen(&l.seq, snprintf(NULL, 0, "%" PRId64, row->seq));
		widen(&l.len, snprintf(NULL, 0, "%u", row->len));
		widen(&l.ack, format_ack(row, text));
	}
	l.carries = SCREEN_COLUMNS - (l.ms + 1 + l.frame + GAP + lifeline_width(e) + GAP + l.flags +
				      1 + l.seq + 1 + l.len + 1 + l.ack + 2);
	l.carries = MAX(l.carries, CARRIES_MIN);
	return l;
}

/* "|------>|       |" */
static void draw_arrow(const struct evidence_row *row, char out[LIFELINE_WIDTH + 1])
{
	bool rightwards = row->by_proxy == (row->which == TAP_BACKEND);
	char *from = out + (row->which == TAP_BACKEND ? LIFELINE_STEP : 0);

	memcpy(out, LIFELINES, LIFELINE_WIDTH + 1);
	memset(from + 1, '-', LIFELINE_STEP - 1);
	if (rightwards)
		from[LIFELINE_STEP - 1] = '>';
	else
		from[1] = '<';
}

static enum paint row_paint(const struct evidence *e, const struct evidence_row *row)
{
	enum paint paint = PAINT_DIM;

	for (unsigned i = 0; i < row->item_count; i++) {
		const struct evidence_item *item = &e->items[row->first_item + i];

		if (item->kind == EVIDENCE_RST || (item->kind == EVIDENCE_DATA && item->again))
			return PAINT_RED;
		if (item->kind == EVIDENCE_DATA)
			paint = item->part == PART_REQUEST ? PAINT_CYAN : PAINT_GREEN;
		else if (item->kind != EVIDENCE_ACK && item->kind != EVIDENCE_FIN_ACK &&
			 paint == PAINT_DIM)
			paint = PAINT_YELLOW;
	}
	return paint;
}

#define CARRIES_TEXT_MAX 1024

static void append(char *out, const char *before, const char *text)
{
	size_t used = strlen(out);

	snprintf(out + used, CARRIES_TEXT_MAX - used, "%s%s", used > 0 ? before : "", text);
}

/* Items of earlier attempts are told apart by their number, the tag. */
static void append_attempt(char *out, unsigned tag)
{
	char text[LADDER_ITEM_MAX];

	snprintf(text, sizeof(text), "attempt %u: ", tag);
	append(out, "", text);
}

/* All that the row did, "; " between; then bytes that belong to other exchanges. */
static void carries_text(const struct evidence *e, const struct evidence_row *row,
			 char out[CARRIES_TEXT_MAX])
{
	uint64_t known = 0;
	bool unplaced = false;
	char records[LADDER_RECORDS_MAX];
	char text[LADDER_ITEM_MAX];

	out[0] = '\0';
	ladder_tls_records(e, row, records);
	for (unsigned i = 0; i < row->item_count; i++) {
		const struct evidence_item *item = &e->items[row->first_item + i];

		if (item->kind == EVIDENCE_DATA || item->kind == EVIDENCE_TLS) {
			known += item->past - item->from;
			unplaced = unplaced || !item->placed;
		}
		if (item->kind == EVIDENCE_TLS && records[0] != '\0')
			continue;
		append(out, "; ", "");
		if (item->tag > 0)
			append_attempt(out, item->tag);
		append(out, "", item_text(e, row, item, text));
	}
	if (row->len > known && !unplaced) {
		snprintf(text, sizeof(text), "%" PRIu64 " bytes of another exchange%s",
			 row->len - known, e->is_tls[row->which] ? ", or of TLS itself" : "");
		append(out, "; ", text);
	}
	if (records[0] != '\0')
		append(out, "; ", records);
}

/* How much of the text goes on a line: up to a ';', else up to a space, else all that fits. */
static size_t wrap(const char *text, size_t columns)
{
	size_t len = strlen(text);

	if (len <= columns)
		return len;
	for (size_t i = columns; i > columns / 3; i--)
		if (text[i - 1] == ';')
			return i;
	for (size_t i = columns + 1; i > 1; i--)
		if (text[i - 1] == ' ')
			return i - 1;
	return columns;
}

static void print_row(const struct screen *s, const struct layout *l, const struct evidence *e,
		      const struct evidence_row *row)
{
	char ms[SCREEN_NUMBER_MAX], ack[SCREEN_NUMBER_MAX], flags[FLAGS_TEXT_MAX];
	char arrow[LIFELINE_WIDTH + 1], carries[CARRIES_TEXT_MAX] = "";
	const char *text = carries, *off = screen_paint(s, PAINT_OFF);
	int left = l->ms + 1 + l->frame, middle = l->flags + 1 + l->seq + 1 + l->len + 1 + l->ack;
	int width = lifeline_width(e);
	size_t n;

	format_ms(row->ts_ns, l->zero_ns, ms);
	format_ack(row, ack);
	draw_arrow(row, arrow);
	carries_text(e, row, carries);
	n = wrap(text, (size_t)l->carries);
	fprintf(s->out, "%*s %*u    %s%.*s    %-*s %*" PRId64 " %*u %*s  %.*s%s\n", l->ms, ms,
		l->frame, row->frame, screen_paint(s, row_paint(e, row)), width, arrow, l->flags,
		ladder_flags_text(row->flags, flags), l->seq, row->seq, l->len, row->len, l->ack,
		ack, (int)n, text, off);
	for (text += n; *text == ' '; text++)
		;
	while (*text != '\0') {
		n = wrap(text, (size_t)l->carries);
		fprintf(s->out, "%*s    %.*s    %*s  %.*s\n", left, "", width, LIFELINES, middle,
			"", (int)n, text);
		for (text += n; *text == ' '; text++)
			;
	}
}

static void print_rows(const struct screen *s, const struct flow_row *flow,
		       const struct evidence *e)
{
	struct layout l;

	if (e->row_count == 0) {
		fprintf(s->out, "\nno segment of it is in the dump\n");
		return;
	}
	l = make_layout(flow, e);
	fprintf(s->out, "\n%s%*s %*s %s %-*s %*s %*s %*s  %s%s\n", screen_paint(s, PAINT_BOLD),
		l.ms, "ms", l.frame, "frame",
		e->has_no_proxy ? "client  server " : "client   proxy  backend", l.flags, "flags",
		l.seq, "seq", l.len, "len", l.ack, "ack", "carries", screen_paint(s, PAINT_OFF));
	for (unsigned i = 0; i < e->row_count; i++)
		print_row(s, &l, e, &e->rows[i]);
}

void ladder_print(const struct screen *s, const struct flow_row *flow,
		  const struct proxy_row *proxy, const struct evidence_wish *wishes,
		  unsigned wish_count, const struct evidence *evidence)
{
	summary_head(s, flow, proxy, wishes, wish_count);
	if (evidence != NULL)
		print_rows(s, flow, evidence);
	summary_legs(s, flow);
	summary_phases(s, flow);
}
