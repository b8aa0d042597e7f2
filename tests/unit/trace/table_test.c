/*
 * table_test.c -- lines of the table, exactly; and that none is wider than the screen.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/trace/show_sample.h"
#include "trace/table.h"

static struct flow_row sample_row(void)
{
	struct flow_row row = {0};
	char err[ROW_ERROR_MAX];

	cr_assert(flow_row_parse(SAMPLE_FLOW, strlen(SAMPLE_FLOW), &row, err), "%s", err);
	return row;
}

static struct proxy_row sample_log(void)
{
	struct proxy_row row = {0};
	char err[ROW_ERROR_MAX];

	cr_assert(proxy_row_parse(SAMPLE_PROXY, strlen(SAMPLE_PROXY), &row, err), "%s", err);
	return row;
}

/* The table of one exchange. */
static char *table_of(const struct flow_row *flow, const struct proxy_row *proxy, bool utf8)
{
	struct printed p;
	struct table t;

	print_to(&p, utf8);
	table_begin(&t, &p.screen);
	table_add(&t, flow, proxy);
	table_end(&t);
	print_end(&p);
	return p.text;
}

Test(table, an_ordinary_exchange)
{
	struct flow_row flow = sample_row();
	struct proxy_row proxy = sample_log();
	char *text = table_of(&flow, &proxy, false);

	cr_expect_str_eq(
		text,
		"2026-11-30, times in UTC\n"
		"id       start        request                      got   total backend  resent where "
		"the time went\n"
		"9f3c51d2 08:15:04.000 POST /currencyconvertor.asmx 200  150 us 2#1*        600 "
		"proxy_request 30%\n"
		"\n"
		"1 exchange: 1 2xx; mean 150 us, longest 150 us (9f3c51d2); "
		"1 backend connection, reused 0 times\n"
		"600 bytes were sent again, in 1 exchange\n");
	free(text);
	flow_row_fini(&flow);
	proxy_row_fini(&proxy);
}

Test(table, without_a_log_line)
{
	struct flow_row flow = sample_row();
	char *text = table_of(&flow, NULL, false);

	expect_line(text,
		    "9f3c51d2 08:15:04.000 -                            200  150 us 2#1*      "
		    "  600 proxy_request 30%");
	free(text);
	flow_row_fini(&flow);
}

Test(table, phases_that_fit_are_named_by_size)
{
	struct flow_row flow = sample_row();
	struct proxy_row proxy = sample_log();
	char *text;

	memset(flow.phases_us, 0, sizeof(flow.phases_us));
	flow.total_us = 100000;
	flow.phases_us[PHASE_DELIVERY] = 4000;
	flow.phases_us[PHASE_THINK] = 93000;
	flow.phases_us[PHASE_UPLOAD] = 3000;
	text = table_of(&flow, &proxy, false);
	expect_line(text,
		    "9f3c51d2 08:15:04.000 POST /currencyconvertor.asmx 200  100 ms 2#1*      "
		    "  600 think 93%");
	free(text);
	flow.phases_us[PHASE_DELIVERY] = 0;
	flow.phases_us[PHASE_UPLOAD] = 7000;
	text = table_of(&flow, &proxy, false);
	expect_line(text,
		    "9f3c51d2 08:15:04.000 POST /currencyconvertor.asmx 200  100 ms 2#1*      "
		    "  600 think 93%, upload 7%");
	free(text);
	flow_row_fini(&flow);
	proxy_row_fini(&proxy);
}

/* No response, no backend, no total: the end word and the proxy's clock are what is left. */
Test(table, an_exchange_that_failed)
{
	struct flow_row flow = {.id = "00000000000000ff",
				.end = "response-head-too-large",
				.start_ns = SAMPLE_NS,
				.total_us = PHASE_UNKNOWN,
				.drops = 3};
	struct proxy_row proxy = {.start_ns = SAMPLE_NS, .end_ns = SAMPLE_NS + 4310000};
	char *text;

	proxy.method = strdup("GET");
	proxy.target = strdup("/");
	text = table_of(&flow, &proxy, false);
	expect_line(text,
		    "00000000 08:15:04.000 GET /                     -   ~4.31 ms -             0 "
		    "response-head-too-large");
	expect_line(text, "1 exchange: 1 without an answer");
	expect_line(text, "the capture lost packets during 1 exchange");
	free(text);
	proxy_row_fini(&proxy);
}

Test(table, why_there_are_no_phases)
{
	struct flow_row flow = sample_row();
	char *text;

	flow.total_us = PHASE_UNKNOWN;
	flow.phases_why = strdup("client_response_last_acked: not captured");
	flow.client.part[PART_REQUEST].missing_bytes = 1;
	text = table_of(&flow, NULL, true);
	cr_expect_not_null(strstr(text, "200       - 2#1*        600 not captured\n"), "%s", text);
	expect_line(text, "of 1 exchange bytes are missing in the capture");
	free(text);
	flow_row_fini(&flow);
}

Test(table, a_long_target_is_cut_in_the_middle)
{
	struct flow_row flow = sample_row();
	struct proxy_row proxy = sample_log();
	char *text;

	free(proxy.target);
	proxy.target = strdup("/services/of/many/words/currencyconvertor.asmx?WSDL");
	text = table_of(&flow, &proxy, true);
	cr_expect_not_null(strstr(text, "POST /services/o\u2026r.asmx?WSDL 200"), "%s", text);
	free(text);
	text = table_of(&flow, &proxy, false);
	cr_expect_not_null(strstr(text, "POST /services/....asmx?WSDL 200"), "%s", text);
	free(text);
	flow_row_fini(&flow);
	proxy_row_fini(&proxy);
}

/* The largest numbers a record may hold, and text of wide characters: print_end() measures. */
Test(table, whatever_it_is_it_fits)
{
	struct flow_row flow = sample_row();
	struct proxy_row proxy = sample_log();
	char *text;

	flow.backend.conn = UINT64_MAX;
	flow.backend.nth = UINT64_MAX;
	flow.status = 999;
	flow.total_us = INT64_MAX;
	flow.phases_us[PHASE_THINK] = INT64_MAX;
	flow.client.part[PART_REQUEST].retransmitted_bytes = UINT64_MAX / 2;
	flow.start_ns = UINT64_MAX;
	snprintf(flow.end, sizeof(flow.end), "request-timeout-and-much-more");
	proxy.target[3] = '\033';
	text = table_of(&flow, &proxy, true);
	cr_expect_null(strchr(text, '\033'));
	free(text);
	flow_row_fini(&flow);
	proxy_row_fini(&proxy);
}

Test(table, each_day_has_its_heading)
{
	struct flow_row flow = sample_row();
	struct printed p;
	struct table t;

	print_to(&p, false);
	table_begin(&t, &p.screen);
	table_add(&t, &flow, NULL);
	flow.start_ns += 20 * 3600 * NS_PER_S;
	flow.backend.reused = true;
	table_add(&t, &flow, NULL);
	flow.status = 503;
	table_add(&t, &flow, NULL);
	table_end(&t);
	print_end(&p);
	expect_line(p.text, "2026-11-30, times in UTC");
	expect_line(p.text, "2026-12-01, times in UTC");
	expect_line(p.text,
		    "9f3c51d2 04:15:04.000 -                            503  150 us 2#1     "
		    "    600 proxy_request 30%");
	expect_line(p.text, "3 exchanges: 2 2xx, 1 5xx; mean 150 us, longest 150 us (9f3c51d2);");
	expect_line(p.text, "1 backend connection, reused 2 times");
	free(p.text);
	flow_row_fini(&flow);
}

Test(table, nothing)
{
	struct printed p;
	struct table t;

	print_to(&p, false);
	table_begin(&t, &p.screen);
	table_end(&t);
	cr_expect_str_eq(print_end(&p), "no exchanges\n");
	free(p.text);
}
