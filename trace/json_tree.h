/*
 * json_tree.h -- one line of JSON as a tree of values, for those who look at many members of it.
 *
 * What our own programs write (no white space, nothing escaped, whole numbers) is read at once, and
 * points into the line; of any other text it is jansson that says what it means.
 */
#ifndef TRACE_JSON_TREE_H
#define TRACE_JSON_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"

#define JSON_TREE_NODES     512 /* a line with more is no quick one */
#define JSON_TREE_ERROR_MAX 256

enum json_node_type {
	JSON_TREE_NULL,
	JSON_TREE_FALSE,
	JSON_TREE_TRUE,
	JSON_TREE_INTEGER,
	JSON_TREE_REAL,
	JSON_TREE_STRING,
	JSON_TREE_ARRAY,
	JSON_TREE_OBJECT,
};

/* A value. All functions take NULL for one that is not there. */
struct json_node {
	enum json_node_type type;
	uint32_t key_len;
	const char *key;  /* in an object; not ended by a NUL */
	const char *text; /* a string's bytes; of other own values as they stand in the line */
	size_t len;
	int64_t integer;
	struct json_node *next;  /* in the same array or object */
	struct json_node *first; /* of those in it */
	const void *foreign;     /* jansson's, or NULL */
};

struct json_tree {
	struct json_node *root;
	void *foreign;           /* jansson's root, or NULL */
	struct json_node *extra; /* its nodes */
	unsigned count;
	struct json_node own[JSON_TREE_NODES];
};

/* The nodes point into the line. False: err says why in a few words, nothing is to be freed. */
bool json_tree_read(struct json_tree *t, const char *line, size_t len,
		    char err[JSON_TREE_ERROR_MAX]) MUST_CHECK;
void json_tree_free(struct json_tree *t);

/* The member of an object; NULL: there is none, or it is no object. */
const struct json_node *json_tree_get(const struct json_node *o, const char *key);

/* The first in an array or object, to go on with ->next; NULL for anything else. */
static inline const struct json_node *json_tree_first(const struct json_node *o)
{
	return o != NULL && o->type >= JSON_TREE_ARRAY ? o->first : NULL;
}

static inline bool json_tree_is(const struct json_node *n, enum json_node_type type)
{
	return n != NULL && n->type == type;
}

/* 0 for what is no whole number. */
static inline int64_t json_tree_integer(const struct json_node *n)
{
	return json_tree_is(n, JSON_TREE_INTEGER) ? n->integer : 0;
}

/* The value as JSON without white space. NULL: no memory. free() it. */
char *json_tree_text(const struct json_node *n);

#endif
