/*
 * json_tree.c -- the quick reading, and jansson's tree made the same.
 *
 * Never accepts quickly what jansson would refuse or understand otherwise: whatever is out of the
 * ordinary is left to it.
 *
 * Invariant: the nodes of a quick reading stand in own, in the order of the text.
 */
#include "trace/json_tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/digits.h"
#include "common/json_plain.h"

#define DEPTH_MAX  16
#define DIGITS_MAX 18

/* ---- quick ----------------------------------------------------------------------------------- */

struct quick {
	struct json_tree *tree;
	const char *at;
	const char *end;
};

static struct json_node *read_value(struct quick *q, unsigned depth);

static bool skip(struct quick *q, char c)
{
	if (q->at == q->end || *q->at != c)
		return false;
	q->at++;
	return true;
}

static bool skip_word(struct quick *q, const char *word, size_t len)
{
	if ((size_t)(q->end - q->at) < len || memcmp(q->at, word, len) != 0)
		return false;
	q->at += len;
	return true;
}

/* Behind the opening quote, to behind the closing one: plain ASCII only. */
static bool read_plain(struct quick *q, const char **text, size_t *len)
{
	const char *p = q->at;

	while ((size_t)(q->end - p) >= sizeof(uint64_t) && json_special_bytes(digits_load(p)) == 0)
		p += sizeof(uint64_t);
	while (p < q->end && *p >= 0x20 && *p < 0x7f && *p != '"' && *p != '\\')
		p++;
	if (p == q->end || *p != '"')
		return false;
	*text = q->at;
	*len = (size_t)(p - q->at);
	q->at = p + 1;
	return true;
}

static bool read_integer(struct quick *q, int64_t *value)
{
	bool is_negative = skip(q, '-');
	const char *from = q->at;
	uint64_t v = 0;

	while (q->at < q->end && (uint8_t)(*q->at - '0') <= 9 && q->at - from <= DIGITS_MAX)
		v = v * 10 + (uint8_t)(*q->at++ - '0');
	if (q->at == from || q->at - from > DIGITS_MAX || (*from == '0' && q->at - from > 1) ||
	    (is_negative && v == 0))
		return false;
	*value = is_negative ? -(int64_t)v : (int64_t)v;
	/* A fraction or an exponent makes it another number. */
	return q->at == q->end || (*q->at != '.' && *q->at != 'e' && *q->at != 'E');
}

/* jansson lets the last of two members with one name count: rare enough to ask it. */
static bool has_member(const struct json_node *o, const char *key, size_t len)
{
	for (const struct json_node *n = o->first; n != NULL; n = n->next)
		if (n->key_len == len && memcmp(n->key, key, len) == 0)
			return true;
	return false;
}

static bool read_member(struct quick *q, const struct json_node *o, struct json_node ***link,
			unsigned depth)
{
	const char *key = NULL;
	size_t key_len = 0;
	struct json_node *n;

	if (o->type == JSON_TREE_OBJECT && (!skip(q, '"') || !read_plain(q, &key, &key_len) ||
					    !skip(q, ':') || has_member(o, key, key_len)))
		return false;
	n = read_value(q, depth + 1);
	if (n == NULL)
		return false;
	n->key = key;
	n->key_len = (uint32_t)key_len;
	**link = n;
	*link = &n->next;
	return true;
}

/* Behind the opening bracket. */
static bool read_members(struct quick *q, struct json_node *o, unsigned depth)
{
	char closing = o->type == JSON_TREE_OBJECT ? '}' : ']';
	struct json_node **link = &o->first;

	if (skip(q, closing))
		return true;
	do {
		if (!read_member(q, o, &link, depth))
			return false;
	} while (skip(q, ','));
	return skip(q, closing);
}

static bool read_word(struct quick *q, struct json_node *n)
{
	static const struct {
		const char *word;
		size_t len;
		enum json_node_type type;
	} words[] = {{"null", 4, JSON_TREE_NULL},
		     {"true", 4, JSON_TREE_TRUE},
		     {"false", 5, JSON_TREE_FALSE}};

	for (unsigned i = 0; i < ARRAY_LEN(words); i++) {
		n->type = words[i].type;
		if (skip_word(q, words[i].word, words[i].len))
			return true;
	}
	n->type = JSON_TREE_INTEGER;
	return read_integer(q, &n->integer);
}

static bool read_typed(struct quick *q, struct json_node *n, unsigned depth)
{
	if (skip(q, '"')) {
		n->type = JSON_TREE_STRING;
		return read_plain(q, &n->text, &n->len);
	}
	if (skip(q, '{'))
		n->type = JSON_TREE_OBJECT;
	else if (skip(q, '['))
		n->type = JSON_TREE_ARRAY;
	else
		return read_word(q, n);
	return read_members(q, n, depth);
}

/* NULL: it is no quick one. */
static struct json_node *read_value(struct quick *q, unsigned depth)
{
	struct json_tree *t = q->tree;
	const char *from = q->at;
	struct json_node *n;

	if (depth == DEPTH_MAX || t->count == JSON_TREE_NODES)
		return NULL;
	n = &t->own[t->count++];
	*n = (struct json_node){0};
	if (!read_typed(q, n, depth))
		return NULL;
	if (n->type != JSON_TREE_STRING) {
		n->text = from;
		n->len = (size_t)(q->at - from);
	}
	return n;
}

static bool read_quickly(struct json_tree *t, const char *line, size_t len)
{
	struct quick q = {.tree = t, .at = line, .end = line + len};

	t->count = 0;
	t->root = len > 0 && (*line == '{' || *line == '[') ? read_value(&q, 0) : NULL;
	(void)skip(&q, '\n');
	return t->root != NULL && q.at == q.end;
}

/* ---- jansson's ------------------------------------------------------------------------------- */

static size_t count_nodes(const json_t *v)
{
	size_t count = 1, i;
	const char *key;
	json_t *each;

	json_object_foreach((json_t *)(uintptr_t)v, key, each) count += count_nodes(each);
	json_array_foreach(v, i, each) count += count_nodes(each);
	return count;
}

static enum json_node_type type_of(const json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		return JSON_TREE_OBJECT;
	case JSON_ARRAY:
		return JSON_TREE_ARRAY;
	case JSON_STRING:
		return JSON_TREE_STRING;
	case JSON_INTEGER:
		return JSON_TREE_INTEGER;
	case JSON_REAL:
		return JSON_TREE_REAL;
	case JSON_TRUE:
		return JSON_TREE_TRUE;
	case JSON_FALSE:
		return JSON_TREE_FALSE;
	case JSON_NULL:
		break;
	}
	return JSON_TREE_NULL;
}

static struct json_node *copy_node(struct json_tree *t, const json_t *v);

static void copy_members(struct json_tree *t, struct json_node *n, const json_t *v)
{
	struct json_node **link = &n->first;
	const char *key;
	json_t *each;
	size_t i;

	json_object_foreach((json_t *)(uintptr_t)v, key, each)
	{
		*link = copy_node(t, each);
		(*link)->key = key;
		(*link)->key_len = (uint32_t)strlen(key);
		link = &(*link)->next;
	}
	json_array_foreach(v, i, each)
	{
		*link = copy_node(t, each);
		link = &(*link)->next;
	}
}

static struct json_node *copy_node(struct json_tree *t, const json_t *v)
{
	struct json_node *n = &t->extra[t->count++];

	n->type = type_of(v);
	n->foreign = v;
	n->text = json_string_value(v);
	n->len = json_string_length(v);
	n->integer = json_integer_value(v);
	copy_members(t, n, v);
	return n;
}

static bool read_by_jansson(struct json_tree *t, const char *line, size_t len,
			    char err[JSON_TREE_ERROR_MAX])
{
	json_error_t error;
	json_t *root = json_loadb(line, len, JSON_ALLOW_NUL, &error);

	if (root == NULL) {
		snprintf(err, JSON_TREE_ERROR_MAX, "not JSON: %s", error.text);
		return false;
	}
	t->count = 0;
	t->extra = calloc(count_nodes(root), sizeof(*t->extra));
	if (t->extra == NULL) {
		json_decref(root);
		snprintf(err, JSON_TREE_ERROR_MAX, "no memory");
		return false;
	}
	t->foreign = root;
	t->root = copy_node(t, root);
	return true;
}

/* ---- both ------------------------------------------------------------------------------------ */

bool json_tree_read(struct json_tree *t, const char *line, size_t len,
		    char err[JSON_TREE_ERROR_MAX])
{
	t->foreign = NULL;
	t->extra = NULL;
	return read_quickly(t, line, len) || read_by_jansson(t, line, len, err);
}

void json_tree_free(struct json_tree *t)
{
	json_decref(t->foreign);
	free(t->extra);
	t->foreign = NULL;
	t->extra = NULL;
	t->root = NULL;
}

const struct json_node *json_tree_get(const struct json_node *o, const char *key)
{
	size_t len = strlen(key);

	if (!json_tree_is(o, JSON_TREE_OBJECT))
		return NULL;
	for (const struct json_node *n = o->first; n != NULL; n = n->next)
		if (n->key_len == len && memcmp(n->key, key, len) == 0)
			return n;
	return NULL;
}

char *json_tree_text(const struct json_node *n)
{
	if (n->foreign != NULL)
		return json_dumps(n->foreign, JSON_COMPACT | JSON_ENCODE_ANY);
	return strndup(n->text, n->len);
}
