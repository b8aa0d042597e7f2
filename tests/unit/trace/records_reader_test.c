/*
 * records_reader_test.c -- lines of the three files, whole, poor, wrong and torn.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/trace/show_sample.h"
#include "trace/records_reader.h"

static struct flow_row parse(const char *line)
{
	struct flow_row row = {0};
	char err[ROW_ERROR_MAX] = "";

	cr_assert(flow_row_parse(line, strlen(line), &row, err), "%s: %s", line, err);
	return row;
}

static void expect_frames(const struct frame_list *l, const uint32_t *want, uint32_t count)
{
	cr_assert_eq(l->count, count);
	cr_expect_arr_eq(l->frames, want, count * sizeof(*want));
}

Test(records_reader, a_flow_has_every_member)
{
	struct flow_row row = parse(SAMPLE_FLOW);
	const struct row_part *p = &row.client.part[PART_RESPONSE];

	cr_expect_str_eq(row.run, "00005d2c");
	cr_expect_str_eq(row.id, SAMPLE_ID);
	cr_expect_str_eq(row.dump, "dump.pcapng");
	cr_expect_eq(row.start_ns, SAMPLE_NS + 45000);
	cr_expect_eq(row.status, 200);
	cr_expect_str_eq(row.end, "done");
	cr_expect(row.client.there && row.backend.there);
	cr_expect_eq(row.client.conn, 1);
	cr_expect_eq(row.backend.stream, 1);
	cr_expect_not(row.backend.reused);
	cr_expect_eq(row.backend.handshake.us, 30);
	expect_frames(&row.backend.handshake.frames, (uint32_t[]){6, 7, 8}, 3);
	cr_expect_eq(p->seq, 1);
	cr_expect_eq(p->len, 600);
	cr_expect_eq(p->next_seq, 601);
	expect_frames(&p->frames, (uint32_t[]){12}, 1);
	cr_expect_eq(p->acked_in, 14);
	cr_expect_eq(p->acked_us, 30);
	cr_expect_eq(p->retransmitted_bytes, 600);
	expect_frames(&p->retransmitted_in, (uint32_t[]){13}, 1);
	cr_expect_not(row.client.part[PART_INTERIM].there);
	cr_expect_not(row.client.part[PART_TUNNEL_UP].there);
	cr_expect_str_eq(row.client.close.by, "client");
	cr_expect_str_eq(row.client.close.how, "fin");
	cr_expect_not(row.backend.close.there);
	cr_expect_eq(row.total_us, 150);
	cr_expect_eq(row.phases_us[PHASE_PROXY_REQUEST], 45);
	cr_expect_eq(row.phases_us[PHASE_DELIVERY], 30);
	cr_expect_null(row.phases_why);
	cr_expect_null(row.overlap);
	cr_expect_str_eq(row.verdict, "proxy_request");
	flow_row_fini(&row);
	cr_expect_null(row.dump);
}

Test(records_reader, an_id_is_enough)
{
	struct flow_row row = parse("{\"id\":\"ab\"}");

	cr_expect_str_eq(row.id, "ab");
	cr_expect_str_eq(row.end, "");
	cr_expect_eq(row.status, 0);
	cr_expect_not(row.client.there);
	cr_expect_not(row.backend.there);
	cr_expect_eq(row.client.stream, -1);
	cr_expect_eq(row.total_us, PHASE_UNKNOWN);
	cr_expect_null(row.dump);
	flow_row_fini(&row);
}

Test(records_reader, wrong_types_are_as_if_null)
{
	struct flow_row row = parse(
		"{\"id\":\"ab\",\"run\":7,\"dump\":[],\"start\":\"noon\",\"status\":\"200\",\"end\":null,"
		"\"client\":{\"conn\":-3,\"stream\":\"x\",\"handshake\":[1],\"request\":{\"seq\":0,"
		"\"len\":5},\"response\":{\"seq\":1,\"len\":9,\"frames\":[3,3,2,\"4\",5,-1,99999999999],"
		"\"acked_in\":99999999999}},\"backend\":17,"
		"\"phases_us\":{\"total\":10,\"think\":-4},\"overlap\":{},\"verdict\":{\"a\":[1]}}");

	cr_expect_str_eq(row.run, "");
	cr_expect_null(row.dump);
	cr_expect_eq(row.start_ns, 0);
	cr_expect_eq(row.status, 0);
	cr_expect_eq(row.client.conn, 0);
	cr_expect_eq(row.client.stream, -1);
	cr_expect_not(row.client.handshake.there);
	cr_expect_not(row.client.part[PART_REQUEST].there);
	expect_frames(&row.client.part[PART_RESPONSE].frames, (uint32_t[]){3, 5}, 2);
	cr_expect_eq(row.client.part[PART_RESPONSE].acked_in, 0);
	cr_expect_not(row.backend.there);
	cr_expect_eq(row.total_us, PHASE_UNKNOWN);
	cr_expect_eq(row.phases_us[PHASE_THINK], PHASE_UNKNOWN);
	cr_expect_null(row.overlap);
	cr_expect_str_eq(row.verdict, "{\"a\":[1]}");
	flow_row_fini(&row);
}

Test(records_reader, tls)
{
	static const char tls[] =
		"{\"version\":\"1.2\",\"resumed\":true,\"failed\":false,\"client_hello\":{\"frames\":[4],"
		"\"us\":0},\"server_hello\":{\"frames\":[5,6],\"us\":210},\"server_finished\":null,"
		"\"client_finished\":{\"frames\":[7],\"us\":null},\"us\":400}";
	char line[1024], err[ROW_ERROR_MAX];
	struct flow_row row;
	struct conn_row conn = {0};

	snprintf(line, sizeof(line),
		 "{\"id\":\"ab\",\"client\":{\"tls\":%s},\"backend\":{\"tls\":null}}", tls);
	row = parse(line);
	cr_assert(row.client.tls.there);
	cr_expect_eq(row.client.tls.version, TLS_VERSION_12);
	cr_expect(row.client.tls.resumed && !row.client.tls.failed);
	cr_expect_eq(row.client.tls.us, 400);
	expect_frames(&row.client.tls.at[TLS_MARK_SERVER_HELLO].frames, (uint32_t[]){5, 6}, 2);
	cr_expect_eq(row.client.tls.at[TLS_MARK_SERVER_HELLO].us, 210);
	cr_expect_eq(row.client.tls.at[TLS_MARK_SERVER_FINISHED].frames.count, 0);
	cr_expect_eq(row.client.tls.at[TLS_MARK_CLIENT_FINISHED].us, -1);
	cr_expect(row.backend.there && !row.backend.tls.there);
	flow_row_fini(&row);

	snprintf(line, sizeof(line), "{\"leg\":\"backend\",\"tls\":%s}", tls);
	cr_assert(conn_row_parse(line, strlen(line), &conn, err));
	cr_expect(conn.tls.there && conn.tls.resumed);
	expect_frames(&conn.tls.at[TLS_MARK_CLIENT_HELLO].frames, (uint32_t[]){4}, 1);
	conn_row_fini(&conn);

	row = parse(
		"{\"id\":\"ab\",\"client\":{\"tls\":{\"version\":\"9\",\"failed\":1,\"us\":[]}}}");
	cr_assert(row.client.tls.there);
	cr_expect(row.client.tls.version == 0 && !row.client.tls.failed);
	cr_expect_eq(row.client.tls.us, -1);
	flow_row_fini(&row);
}

Test(records_reader, labels)
{
	static const char line[] =
		"{\"id\":\"1\",\"client\":{\"labels\":{\"retransmission\":{\"count\":300,\"frames\":[3,5]},"
		"\"No Word\":{\"count\":1,\"frames\":[1]},\"\":{},\"fast\":{\"frames\":\"none\"}},"
		"\"ws\":{\"keep_alive\":{\"count\":1,\"frames\":[9]}}},\"backend\":{\"labels\":[1]}}";
	struct flow_row row = {0};
	char err[ROW_ERROR_MAX];

	cr_assert(flow_row_parse(line, strlen(line), &row, err));
	cr_assert_eq(row.client.label_count, 2);
	cr_expect_str_eq(row.client.labels[0].word, "retransmission");
	cr_expect_eq(row.client.labels[0].count, 300);
	cr_assert_eq(row.client.labels[0].frames.count, 2);
	cr_expect_eq(row.client.labels[0].frames.frames[1], 5);
	cr_expect_str_eq(row.client.labels[1].word, "fast");
	cr_expect_eq(row.client.labels[1].count, 0);
	cr_expect_eq(row.backend.label_count, 0);
	flow_row_fini(&row);
}

Test(records_reader, tries_and_tunnels)
{
	struct flow_row row = parse(
		"{\"id\":\"ab\",\"backend\":{\"conn\":4,\"attempts\":2,\"tunnel\":{\"up\":{\"seq\":9,"
		"\"len\":2},\"down\":null},\"tries\":[{\"conn\":3,\"end\":\"connect-refused\"}]}}");

	cr_expect_eq(row.tries_count, 1);
	cr_expect_eq(row.tries[0].conn, 3);
	cr_expect_str_eq(row.tries[0].end, "connect-refused");
	cr_expect(row.backend.part[PART_TUNNEL_UP].there);
	cr_expect_eq(row.backend.part[PART_TUNNEL_UP].next_seq, 11);
	cr_expect_not(row.backend.part[PART_TUNNEL_DOWN].there);
	flow_row_fini(&row);
}

Test(records_reader, what_is_no_record_says_why)
{
	static const struct {
		const char *line;
		const char *why;
	} cases[] = {
		{"", "not JSON"},
		{"{\"id\":\"ab\"", "not JSON"},
		{"[1]", "not a JSON object"},
		{"{}", "no \"id\" of hexadecimal digits in it"},
		{"{\"id\":7}", "no \"id\" of hexadecimal digits in it"},
		{"{\"id\":\"ab/../c\"}", "no \"id\" of hexadecimal digits in it"},
		{"{\"id\":\"0123456789abcdef01234\"}", "no \"id\" of hexadecimal digits in it"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct flow_row row, empty;
		char err[ROW_ERROR_MAX] = "";

		memset(&row, 0, sizeof(row));
		memset(&empty, 0, sizeof(empty));
		cr_expect_not(flow_row_parse(cases[i].line, strlen(cases[i].line), &row, err));
		cr_expect_eq(strncmp(err, cases[i].why, strlen(cases[i].why)), 0, "%s: %s",
			     cases[i].line, err);
		/* both were cleared as a whole; NOLINTNEXTLINE(bugprone-suspicious-memory-comparison) */
		cr_expect_eq(memcmp(&row, &empty, sizeof(row)), 0);
	}
}

Test(records_reader, a_connection_and_a_log_line)
{
	const char *unknown = "{\"run\":null,\"leg\":\"client\",\"conn\":null,\"stream\":3}";
	struct conn_row conn = {0};
	struct proxy_row proxy = {0};
	char err[ROW_ERROR_MAX], addr[ADDR_TEXT_MAX];

	cr_assert(conn_row_parse(SAMPLE_CONNS, strcspn(SAMPLE_CONNS, "\n"), &conn, err));
	cr_expect_eq(conn.leg, TAP_CLIENT);
	cr_expect_eq(conn.conn, 1);
	addr_format(&conn.peer, addr);
	cr_expect_str_eq(addr, "127.0.0.1:40112");
	cr_expect_str_eq(conn.history, "ShADadFaf");
	cr_expect_eq(conn.close.frames.count, 3);
	cr_assert(conn_row_parse(unknown, strlen(unknown), &conn, err));
	cr_expect_eq(conn.conn, 0);
	cr_expect_eq(conn.stream, 3);
	cr_expect_not(conn_row_parse("{\"conn\":3}", 10, &conn, err));
	conn_row_fini(&conn);

	cr_assert(proxy_row_parse(SAMPLE_PROXY, strlen(SAMPLE_PROXY), &proxy, err));
	cr_expect_str_eq(proxy.method, "POST");
	cr_expect_str_eq(proxy.target, "/currencyconvertor.asmx");
	cr_expect_str_eq(proxy.soap_action, "urn:ConversionRate");
	cr_expect_null(proxy.host);
	cr_expect_eq(proxy.end_ns - proxy.start_ns, 131000);
	proxy_row_fini(&proxy);
}

/* ---- files ---- */

Test(records_reader, a_torn_last_line_is_no_line)
{
	struct sample s;
	struct flow_row row = {0};
	char path[128], err[RECORDS_ERROR_MAX];
	struct records *r;

	sample_begin(&s);
	sample_write(&s, "flows.ndjson", "{\"id\":\"1\"}\n{\"id\":\"2\"}\n{\"id\":\"3\"}");
	sample_path(&s, "flows.ndjson", path);
	r = records_open(path, err);
	cr_assert_not_null(r);
	cr_expect_eq(records_flow(r, NULL, &row, err), RECORDS_ROW);
	cr_expect_str_eq(row.id, "1");
	cr_expect_eq(records_flow(r, NULL, &row, err), RECORDS_ROW);
	cr_expect_str_eq(row.id, "2");
	cr_expect_eq(records_flow(r, NULL, &row, err), RECORDS_END);
	sample_write(&s, "flows.ndjson", "{\"id\":\"1\"}\n{\"id\":\"2\"}\n{\"id\":\"3\"}\n");
	cr_expect_eq(records_flow(r, NULL, &row, err), RECORDS_ROW);
	cr_expect_str_eq(row.id, "3");
	records_close(r);
	flow_row_fini(&row);
	sample_remove(&s);
}

Test(records_reader, a_bad_line_is_named_and_passed_over)
{
	struct sample s;
	struct flow_row row = {0};
	char path[128], want[200], err[RECORDS_ERROR_MAX];
	struct records *r;

	sample_begin(&s);
	sample_write(&s, "flows.ndjson", "{\"id\":\"1\"}\nnonsense\n{\"id\":\"3\"}\n");
	sample_path(&s, "flows.ndjson", path);
	r = records_open(path, err);
	cr_assert_not_null(r);
	cr_expect_eq(records_flow(r, NULL, &row, err), RECORDS_ROW);
	cr_expect_eq(records_flow(r, NULL, &row, err), RECORDS_BAD);
	snprintf(want, sizeof(want), "%s:2: not JSON: ", path);
	cr_expect_eq(strncmp(err, want, strlen(want)), 0, "%s", err);
	cr_expect_eq(records_flow(r, NULL, &row, err), RECORDS_ROW);
	cr_expect_str_eq(row.id, "3");
	records_close(r);
	flow_row_fini(&row);
	sample_remove(&s);
}

/* Longer than the buffer: 300000 frames; and only the line with the needle is read. */
Test(records_reader, long_lines_and_needles)
{
	struct sample s;
	struct flow_row row = {0};
	char path[128], err[RECORDS_ERROR_MAX];
	struct records *r;
	FILE *f;

	sample_begin(&s);
	sample_path(&s, "flows.ndjson", path);
	f = fopen(path, "w");
	cr_assert_not_null(f);
	for (int line = 1; line <= 3; line++) {
		fprintf(f,
			"{\"id\":\"%d\",\"client\":{\"request\":{\"seq\":1,\"len\":9,\"frames\":[1",
			line);
		for (unsigned i = 2; i <= 300000; i++)
			fprintf(f, ",%u", i);
		fprintf(f, "]}}}\n");
	}
	cr_assert_eq(fclose(f), 0);
	r = records_open(path, err);
	cr_assert_not_null(r);
	cr_expect_eq(records_flow(r, "\"id\":\"2\"", &row, err), RECORDS_ROW);
	cr_expect_str_eq(row.id, "2");
	cr_expect_eq(row.client.part[PART_REQUEST].frames.count, 300000);
	cr_expect_eq(records_flow(r, "\"id\":\"2\"", &row, err), RECORDS_END);
	records_close(r);
	flow_row_fini(&row);
	sample_remove(&s);
}

Test(records_reader, a_missing_file_is_named)
{
	char err[RECORDS_ERROR_MAX];

	cr_expect_null(records_open("/nonexistent/flows.ndjson", err));
	cr_expect_str_eq(err, "/nonexistent/flows.ndjson: No such file or directory");
}
