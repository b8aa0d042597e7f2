/*
 * bound.h -- keeps what a live tracer holds within its buffer.
 *
 * Beside the rings it holds packets (in the sorter, and while they wait for their comments) and what
 * is known of exchanges until they settle. Packets take what exchanges leave, half of the buffer
 * each at most; what is more is written early, without its comments. When exchanges alone fill the
 * buffer, those that wait longest are given out before they have settled. Nothing is lost by either.
 */
#ifndef TRACE_BOUND_H
#define TRACE_BOUND_H

#include <stddef.h>
#include <stdint.h>

#include "common/memory.h"
#include "trace/pipeline.h"

/* Exchanges may have so much even when the buffer is smaller. */
#define BOUND_EXCHANGES_MIN (16U * 1024 * 1024)

struct bound {
	size_t buffer;  /* bytes */
	size_t base;    /* allocated when nothing was held */
	size_t packets; /* bytes that the sorter, and as many that the queue may hold now */
	uint64_t weighed_ns;
	uint64_t given_back_ns;
	struct memory memory;
};

/* When everything is set up, and nothing is held yet. */
void bound_init(struct bound *b, size_t buffer_bytes);

/* To be called often: weighs now and then, and has p make room when it is due. */
void bound_keep(struct bound *b, struct pipeline *p, size_t sorter_bytes, uint64_t now_ns);

#endif
