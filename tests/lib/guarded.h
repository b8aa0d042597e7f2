/*
 * guarded.h -- memory that ends at a page nobody may touch, so that a parser that reads one byte too
 * far dies in the test.
 */
#ifndef TESTS_LIB_GUARDED_H
#define TESTS_LIB_GUARDED_H

#include <stddef.h>

struct guarded;

/* Room for max bytes; aborts when there is no memory. */
struct guarded *guarded_new(size_t max);
void guarded_free(struct guarded *g);

/* Copy len bytes so that the byte behind the last is out of bounds. What stood there before is gone. */
char *guarded_put(struct guarded *g, const void *bytes, size_t len);

#endif
