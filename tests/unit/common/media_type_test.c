/*
 * media_type_test.c -- types and parameters of Content-Type values, and what is not taken for one.
 */
#include "common/media_type.h"

#include <criterion/criterion.h>
#include <string.h>

#include "tests/lib/guarded.h"

TestSuite(media_type, .timeout = 10);

Test(media_type, the_type_in_any_case_and_with_parameters)
{
	static const struct {
		const char *value;
		bool is;
	} known[] = {
		{"text/xml", true},
		{"Text/XML", true},
		{"text/xml;charset=utf-8", true},
		{"text/xml ; charset=utf-8", true},
		{"text/xml\t", true},
		{"text/xml2", false},
		{"text/xm", false},
		{"application/soap+xml; type=\"text/xml\"", false},
		{"", false},
		{";text/xml", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		cr_expect_eq(media_type_is(known[i].value, strlen(known[i].value), "text/xml"),
			     known[i].is, "%s", known[i].value);
}

/* Every value ends at a page that must not be read. */
static const char *param(const char *value, const char *name)
{
	static char text[256];
	struct guarded *g = guarded_new(512);
	size_t len = strlen(value);
	const char *bytes = guarded_put(g, value, len);
	struct media_param p;
	const char *found = NULL;

	if (media_type_param(bytes, len, name, &p)) {
		cr_assert(p.bytes >= bytes && p.bytes + p.len <= bytes + len);
		text[media_param_copy(&p, text, sizeof(text) - 1)] = '\0';
		found = text;
	}
	guarded_free(g);
	return found;
}

Test(media_type, a_parameter_wherever_it_stands)
{
	static const struct {
		const char *value;
		const char *action;
	} known[] = {
		{"application/soap+xml; action=urn:x", "urn:x"},
		{"application/soap+xml;action=urn:x", "urn:x"},
		{"application/soap+xml; charset=utf-8; action=\"urn:x\"", "urn:x"},
		{"application/soap+xml; action=\"urn:x\"; charset=utf-8", "urn:x"},
		{"application/soap+xml; ACTION=\"urn:x\"", "urn:x"},
		{"application/soap+xml ;\taction = \"urn:x\" ;b", "urn:x"},
		{"application/soap+xml; action=http://a/b?c=d;q", "http://a/b?c=d"},
		{"application/soap+xml; action=urn:x ; q=1", "urn:x"},
		{"application/soap+xml; action=\"a;action=b\"; action=c", "a;action=b"},
		{"application/soap+xml; x=\"; action=no\"; action=yes", "yes"},
		{"application/soap+xml; x=\"\\\"; action=no\"; action=yes", "yes"},
		{"application/soap+xml; action=\"a\\\"b\\\\c\"", "a\"b\\c"},
		{"application/soap+xml; ; action=\"\"", ""},
		{"application/soap+xml; action=", ""},
		{"application/soap+xml; action; action=x", "x"},
		{"application/soap+xml; in action=no; action=yes", "yes"},
		{"application/soap+xml; action=\"open", "open"},
		{"application/soap+xml; action=\"open\\\"", "open\""},
		{"application/soap+xml; action=\"open\\", "open\\"},
		{"application/soap+xml; action=\"", ""},
		{"application/soap+xml; x=\"open; action=no", NULL},
		{"application/soap+xml; myaction=no", NULL},
		{"application/soap+xml; action", NULL},
		{"application/soap+xml action=no", NULL},
		{"action=no", NULL},
		{";", NULL},
		{"", NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		const char *got = param(known[i].value, "action");

		if (known[i].action == NULL)
			cr_expect_null(got, "%s: %s", known[i].value, got);
		else
			cr_expect(got != NULL && strcmp(got, known[i].action) == 0, "%s: %s",
				  known[i].value, got);
	}
}

Test(media_type, a_copy_stops_where_there_is_no_room)
{
	static const char value[] = "a/b; c=\"x\\\"yz\"";
	struct media_param p;
	char out[4] = "....";

	cr_assert(media_type_param(value, strlen(value), "c", &p));
	cr_expect_eq(media_param_copy(&p, out, 3), 3);
	cr_expect_arr_eq(out, "x\"y.", 4);
}
