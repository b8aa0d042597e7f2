/*
 * head_memo.h -- reads heads, and knows again those that it has read: on connections that stay open
 * most of them come again byte for byte, and reading one costs far more than comparing it.
 *
 * The answer is that of http_observe_head() always. Holds HEAD_MEMO_SLOTS heads of HEAD_MEMO_BYTES at
 * most, each in the one place that its bytes tell.
 */
#ifndef TRACE_HEAD_MEMO_H
#define TRACE_HEAD_MEMO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"
#include "common/http_head.h"

#define HEAD_MEMO_SLOTS 64
#define HEAD_MEMO_BYTES 2048

struct head_memo_slot {
	struct http_head head;
	char *bytes;  /* NULL: none was read yet; HEAD_MEMO_BYTES */
	uint32_t len; /* 0: holds none */
};

/* Zero at first. */
struct head_memo {
	const struct http_head *head; /* of the last call that answered true */
	struct http_head large;       /* too long to be known again */
	struct head_memo_slot slots[HEAD_MEMO_SLOTS];
};

/*
 * As http_observe_head(). m->head is valid until the next call; its slices are into these bytes.
 */
bool head_memo_read(struct head_memo *m, enum http_kind kind, const char *bytes,
		    size_t len) MUST_CHECK;
void head_memo_fini(struct head_memo *m);

#endif
