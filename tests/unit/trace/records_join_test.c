/*
 * records_join_test.c -- log lines found for records, in order, out of order, and not at all.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/trace/show_sample.h"
#include "trace/records_join.h"

static void put_line(FILE *f, unsigned run, unsigned id, unsigned second)
{
	fprintf(f,
		"{\"run\":\"%08x\",\"id\":\"%016x\",\"start\":\"2026-11-30T%02u:%02u:%02u.000000000Z\","
		"\"target\":\"/%u/%u\"}\n",
		run, id, second / 3600, second / 60 % 60, second % 60, run, id);
}

static FILE *open_log(struct sample *s)
{
	char path[128];
	FILE *f;

	sample_begin(s);
	sample_path(s, "proxy.ndjson", path);
	f = fopen(path, "w");
	cr_assert_not_null(f);
	return f;
}

static struct records_join *open_join(struct sample *s, FILE *f)
{
	char path[128], err[RECORDS_ERROR_MAX];
	struct records_join *j;

	cr_assert_eq(fclose(f), 0);
	sample_path(s, "proxy.ndjson", path);
	j = records_join_new(path, err);
	cr_assert_not_null(j);
	return j;
}

/* The target found for that record; NULL: none. */
static const char *find(struct records_join *j, unsigned run, unsigned id, unsigned second)
{
	struct flow_row flow = {.start_ns = SAMPLE_NS};
	const struct proxy_row *row;

	snprintf(flow.run, sizeof(flow.run), "%08x", run);
	snprintf(flow.id, sizeof(flow.id), "%016x", id);
	flow.start_ns = SAMPLE_NS / (86400 * NS_PER_S) * 86400 * NS_PER_S + second * NS_PER_S;
	row = records_join_find(j, &flow);
	return row != NULL ? row->target : NULL;
}

Test(records_join, in_any_order)
{
	struct sample s;
	FILE *f = open_log(&s);
	struct records_join *j;

	for (unsigned id = 1; id <= 5; id++)
		put_line(f, 1, id, id);
	put_line(f, 2, 3, 6);
	j = open_join(&s, f);
	cr_expect_str_eq(find(j, 1, 2, 2), "/1/2");
	cr_expect_str_eq(find(j, 1, 1, 1), "/1/1");
	cr_expect_str_eq(find(j, 2, 3, 6), "/2/3");
	cr_expect_str_eq(find(j, 1, 3, 3), "/1/3");
	cr_expect_null(find(j, 3, 3, 3));
	cr_expect_str_eq(find(j, 1, 5, 5), "/1/5");
	cr_expect_null(records_join_error(j));
	records_join_free(j);
	sample_remove(&s);
}

/* More lines of a time long before than the window holds do not hide what is wanted. */
Test(records_join, old_lines_are_given_up)
{
	struct sample s;
	FILE *f = open_log(&s);
	struct records_join *j;

	put_line(f, 1, 1, 0);
	for (unsigned id = 2; id < 70000; id++)
		put_line(f, 1, id, 10);
	put_line(f, 2, 1, 1000);
	put_line(f, 2, 2, 1001);
	j = open_join(&s, f);
	cr_expect_str_eq(find(j, 2, 2, 1001), "/2/2");
	cr_expect_str_eq(find(j, 2, 1, 1000), "/2/1");
	records_join_free(j);
	sample_remove(&s);
}

/* A record without a line reads ahead only so far, and what it read is still found. */
Test(records_join, a_missing_line_costs_the_others_nothing)
{
	struct sample s;
	FILE *f = open_log(&s);
	struct records_join *j;

	for (unsigned id = 1; id <= 80000; id++)
		put_line(f, 1, id, 100 + id / 10000);
	j = open_join(&s, f);
	cr_expect_null(find(j, 9, 9, 100));
	for (unsigned id = 1; id <= 80000; id += 1) {
		char want[32];
		const char *got = find(j, 1, id, 100 + id / 10000);

		snprintf(want, sizeof(want), "/1/%u", id);
		cr_assert(got != NULL && strcmp(got, want) == 0, "%s: %s", want, got);
	}
	records_join_free(j);
	sample_remove(&s);
}

Test(records_join, a_bad_line_is_remembered)
{
	struct sample s;
	FILE *f = open_log(&s);
	struct records_join *j;

	fprintf(f, "{}\n");
	put_line(f, 1, 1, 1);
	j = open_join(&s, f);
	cr_expect_str_eq(find(j, 1, 1, 1), "/1/1");
	cr_assert_not_null(records_join_error(j));
	cr_expect_not_null(strstr(records_join_error(j), "proxy.ndjson:1: no \"id\""));
	records_join_free(j);
	sample_remove(&s);
}
