// links: trace
/*
 * records_reader_fuzz.c -- any bytes as lines of flows.ndjson, conns.ndjson and proxy.ndjson, and what must
 * hold of the rows; what is printed of them keeps to the width of the screen.
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace/ladder.h"
#include "trace/records_reader.h"
#include "trace/screen.h"
#include "trace/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_list(const struct frame_list *l)
{
	for (uint32_t i = 0; i < l->count; i++)
		assert(l->frames[i] > (i > 0 ? l->frames[i - 1] : 0));
}

static void check_leg(const struct row_leg *leg)
{
	check_list(&leg->handshake.frames);
	check_list(&leg->close.frames);
	assert(leg->label_count <= ROW_LABELS_MAX);
	for (unsigned i = 0; i < leg->label_count; i++) {
		assert(leg->labels[i].word[0] != '\0');
		check_list(&leg->labels[i].frames);
	}
	for (int k = 0; k < PART_KINDS; k++) {
		const struct row_part *p = &leg->part[k];

		check_list(&p->frames);
		check_list(&p->retransmitted_in);
		assert(!p->there ||
		       (p->seq > 0 && p->next_seq == p->seq + p->len && p->next_seq > p->seq));
	}
}

static void check_width(const char *text, size_t len)
{
	size_t column = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		assert(c == '\n' || (c >= 0x20 && c < 0x7f));
		column = c == '\n' ? 0 : column + 1;
		assert(column <= SCREEN_COLUMNS);
	}
}

static void print_row(const struct flow_row *flow, const struct proxy_row *proxy)
{
	struct evidence_wish wishes[LADDER_WISHES];
	unsigned count = ladder_wishes(flow, wishes);
	struct screen s = {0};
	struct table t;
	char *text = NULL;
	size_t len = 0;

	s.out = open_memstream(&text, &len);
	assert(s.out != NULL);
	table_begin(&t, &s);
	table_add(&t, flow, proxy);
	table_end(&t);
	ladder_print(&s, flow, proxy, wishes, count, NULL);
	assert(fclose(s.out) == 0);
	check_width(text, len);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char err[ROW_ERROR_MAX] = "";
	const char *line = (const char *)data;
	struct flow_row flow = {0};
	struct conn_row conn = {0};
	struct proxy_row proxy = {0};
	bool logged = proxy_row_parse(line, size, &proxy, err);

	if (flow_row_parse(line, size, &flow, err)) {
		check_leg(&flow.client);
		check_leg(&flow.backend);
		for (unsigned i = 0; i < flow.tries_count; i++)
			check_leg(&flow.tries[i]);
		print_row(&flow, logged ? &proxy : NULL);
	} else {
		assert(err[0] != '\0' && memchr(err, '\0', sizeof(err)) != NULL);
	}
	if (conn_row_parse(line, size, &conn, err)) {
		check_list(&conn.handshake.frames);
		check_list(&conn.close.frames);
	}
	flow_row_fini(&flow);
	conn_row_fini(&conn);
	proxy_row_fini(&proxy);
	return 0;
}
