/* A tree read quickly, and by jansson: the same values. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "trace/json_tree.h"

static struct json_tree tree;

/* Text that ends where its memory ends. Is it read, and quickly? */
static void expect(const char *text, bool is_read, bool is_quick)
{
	size_t len = strlen(text);
	char *copy = malloc(len + (len == 0)), err[JSON_TREE_ERROR_MAX] = "";

	memcpy(copy, text, len);
	cr_assert_eq(json_tree_read(&tree, copy, len, err), is_read, "%s", text);
	cr_expect_eq(is_read, err[0] == '\0', "%s", text);
	if (is_read) {
		cr_expect_eq(tree.foreign == NULL, is_quick, "%s", text);
		json_tree_free(&tree);
	}
	free(copy);
}

Test(json_tree, what_is_quick)
{
	expect("{\"a\":1,\"b\":[2,-3,{}],\"c\":{\"d\":null,\"e\":true,\"f\":false}}\n", true, true);
	expect("[]", true, true);
	expect("{\"a\": 1}", true, false);
	expect("{\"a\":1.5}", true, false);
	expect("{\"a\":1e3}", true, false);
	expect("{\"a\":-0}", true, false);
	expect("{\"a\":\"\\u00e4\"}", true, false);
	expect("{\"a\":\"\xc3\xa4\"}", true, false);
	expect("{\"a\":1,\"a\":2}", true, false);
	expect("{\"a\":1234567890123456789}", true, false);
	expect("[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]", true, false);
}

Test(json_tree, what_is_none)
{
	static const char *const texts[] = {"",
					    "1",
					    "\"a\"",
					    "{",
					    "{\"a\"",
					    "{\"a\":",
					    "{\"a\":1",
					    "{\"a\":1,",
					    "{\"a\":1,}",
					    "{\"a\":01}",
					    "{\"a\":12345678901234567890123}",
					    "{\"a\":tru}",
					    "{a:1}",
					    "[1,]",
					    "[1 2]",
					    "{\"a\":1}}",
					    "{\"a\":\"\xff\"}",
					    "{\"a\":\"b",
					    "[-]",
					    "{\"a\":\"\x01\"}",
					    "nonsense"};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		expect(texts[i], false, false);
}

/* The values, whoever has read them. */
static void expect_values(const char *text, bool is_quick)
{
	char err[JSON_TREE_ERROR_MAX], *dumped;
	const struct json_node *list;

	cr_assert(json_tree_read(&tree, text, strlen(text), err), "%s", err);
	cr_expect_eq(tree.foreign == NULL, is_quick);
	cr_expect_eq(json_tree_integer(json_tree_get(tree.root, "n")), -42);
	cr_expect_eq(json_tree_integer(json_tree_get(tree.root, "s")), 0);
	cr_expect_eq(json_tree_get(tree.root, "s")->len, 3);
	cr_expect_eq(memcmp(json_tree_get(tree.root, "s")->text, "abc", 3), 0);
	cr_expect(json_tree_is(json_tree_get(tree.root, "t"), JSON_TREE_TRUE));
	cr_expect_null(json_tree_get(tree.root, "none"));
	cr_expect_null(json_tree_get(json_tree_get(tree.root, "n"), "n"));
	list = json_tree_first(json_tree_get(tree.root, "l"));
	cr_expect_eq(json_tree_integer(list), 1);
	cr_expect_eq(json_tree_integer(list->next->first), 2);
	cr_expect_null(list->next->next);
	dumped = json_tree_text(json_tree_get(tree.root, "l"));
	cr_expect_str_eq(dumped, "[1,{\"x\":2}]");
	free(dumped);
	json_tree_free(&tree);
}

Test(json_tree, values)
{
	expect_values("{\"n\":-42,\"s\":\"abc\",\"t\":true,\"l\":[1,{\"x\":2}]}", true);
	expect_values(" {\"n\": -42, \"s\": \"abc\", \"t\": true, \"l\": [1, {\"x\": 2}]}", false);
}

/* More values than a quick tree has room for. */
Test(json_tree, a_long_list)
{
	static char text[4 * JSON_TREE_NODES];
	char err[JSON_TREE_ERROR_MAX];
	size_t len = 0, count = 0;

	text[len++] = '[';
	for (unsigned i = 0; i < JSON_TREE_NODES + 10; i++) {
		memcpy(text + len, i > 0 ? ",7" : "7", 2);
		len += i > 0 ? 2 : 1;
	}
	text[len++] = ']';
	cr_assert(json_tree_read(&tree, text, len, err));
	cr_expect_not_null(tree.foreign);
	for (const struct json_node *n = json_tree_first(tree.root); n != NULL; n = n->next)
		count += json_tree_integer(n) == 7;
	cr_expect_eq(count, JSON_TREE_NODES + 10);
	json_tree_free(&tree);
}
