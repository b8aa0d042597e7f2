/*
 * json_tree_fuzz.c -- what is read quickly jansson reads the same: a blank before the text makes it
 * jansson's.
 */
// links: trace
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "trace/json_tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const struct json_node *quick, const struct json_node *other)
{
	const struct json_node *a = quick->first, *b = other->first;
	char *text = json_tree_text(quick), *other_text = json_tree_text(other);

	assert(quick->type == other->type && quick->integer == other->integer);
	assert(quick->key_len == other->key_len);
	assert(quick->key_len == 0 || memcmp(quick->key, other->key, quick->key_len) == 0);
	if (quick->type == JSON_TREE_STRING)
		assert(quick->len == other->len &&
		       memcmp(quick->text, other->text, quick->len) == 0);
	else
		assert(strcmp(text, other_text) == 0);
	free(text);
	free(other_text);
	for (; a != NULL && b != NULL; a = a->next, b = b->next)
		check_same(a, b);
	assert(a == NULL && b == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct json_tree tree, other;
	char err[JSON_TREE_ERROR_MAX] = "";
	char *blank = malloc(size + 1);
	bool is_read = json_tree_read(&tree, (const char *)data, size, err);

	assert(is_read || err[0] != '\0');
	blank[0] = ' ';
	memcpy(blank + 1, data, size);
	if (is_read && tree.foreign == NULL) {
		assert(json_tree_read(&other, blank, size + 1, err) && other.foreign != NULL);
		check_same(tree.root, other.root);
		json_tree_free(&other);
	}
	if (is_read)
		json_tree_free(&tree);
	free(blank);
	return 0;
}
