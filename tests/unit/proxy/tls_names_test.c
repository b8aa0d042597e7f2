/*
 * tls_names_test.c -- exact before wildcard, either case, the first of two.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/attrib.h"
#include "proxy/tls_names.h"

static void add(struct tls_names *t, const char *name, unsigned value)
{
	cr_assert(tls_names_add(t, name, strlen(name), value));
}

/* -1: not covered. */
static int find(const struct tls_names *t, const char *name)
{
	unsigned value = 0;

	return tls_names_find(t, name, strlen(name), &value) ? (int)value : -1;
}

Test(tls_names, exact_comes_before_wildcard)
{
	struct tls_names *t = tls_names_new();

	add(t, "*.example.org", 1);
	add(t, "www.example.org", 2);
	add(t, "EXAMPLE.org", 3);
	add(t, "*.deep.example.org", 4);
	cr_expect_eq(find(t, "www.example.org"), 2);
	cr_expect_eq(find(t, "WWW.Example.ORG"), 2);
	cr_expect_eq(find(t, "www.example.org."), 2);
	cr_expect_eq(find(t, "other.example.org"), 1);
	cr_expect_eq(find(t, "Other.Example.Org"), 1);
	cr_expect_eq(find(t, "example.org"), 3);
	cr_expect_eq(find(t, "a.deep.example.org"), 4);
	cr_expect_eq(find(t, "deep.example.org"), 1);
	cr_expect_eq(find(t, "a.b.example.org"), -1);
	cr_expect_eq(find(t, ".example.org"), -1);
	cr_expect_eq(find(t, "*.example.org"), -1);
	cr_expect_eq(find(t, "org"), -1);
	cr_expect_eq(find(t, ""), -1);
	cr_expect_eq(find(t, "."), -1);
	tls_names_free(t);
}

Test(tls_names, of_equal_ones_the_first)
{
	struct tls_names *t = tls_names_new();

	add(t, "a.example", 7);
	add(t, "A.EXAMPLE.", 8);
	cr_expect_eq(find(t, "a.example"), 7);
	cr_expect_eq(tls_names_count(t), 1);
	tls_names_free(t);
}

Test(tls_names, what_is_no_name_is_passed_over)
{
	static const char *const bad[] = {"",
					  "*",
					  "*.org",
					  "w*.example.org",
					  "a.*.example",
					  "*.*.example",
					  "*a.example.org",
					  "a b.example",
					  "\xc3\xa4.example"};
	char longest[TLS_NAME_MAX + 2];
	struct tls_names *t = tls_names_new();

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		add(t, bad[i], 1);
	cr_assert(tls_names_add(t, "a.example\0.evil", 15, 1));
	memset(longest, 'a', sizeof(longest));
	cr_assert(tls_names_add(t, longest, TLS_NAME_MAX + 1, 1));
	cr_expect_eq(tls_names_count(t), 0);
	cr_assert(tls_names_add(t, longest, TLS_NAME_MAX, 5));
	cr_expect_eq(tls_names_count(t), 1);
	tls_names_free(t);
}

Test(tls_names, of_many_each_is_found)
{
	struct tls_names *t = tls_names_new();
	char name[32];

	for (unsigned i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "n%u.example", i * 7919 % 1000);
		add(t, name, i * 7919 % 1000);
	}
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "n%u.example", i);
		cr_expect_eq(find(t, name), (int)i);
	}
	cr_expect_eq(find(t, "n1000.example"), -1);
	tls_names_free(t);
}

Test(tls_names, equal_sets_are_equal_in_any_order)
{
	struct tls_names *a = tls_names_new();
	struct tls_names *b = tls_names_new();

	cr_expect(tls_names_equal(a, b));
	add(a, "one.example", 1);
	add(a, "two.example", 1);
	add(b, "TWO.example", 2);
	cr_expect(!tls_names_equal(a, b));
	add(b, "one.example", 3);
	cr_expect(tls_names_equal(a, b));
	tls_names_free(a);
	tls_names_free(b);
	tls_names_free(NULL);
}
