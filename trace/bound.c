/*
 * bound.c -- weighs what is allocated, and tells what has to go.
 *
 * malloc is asked, since what an exchange takes is spread over many lists. Knows no clock: it is
 * told the time.
 */
#include "trace/bound.h"

#include "common/attrib.h"

#define WEIGH_NS     (50 * NS_PER_MS)
#define GIVE_BACK_NS (2 * NS_PER_S)

void bound_init(struct bound *b, size_t buffer_bytes)
{
	*b = (struct bound){
		.buffer = buffer_bytes, .base = memory_allocated(), .packets = buffer_bytes / 2};
}

/*
 * Of the exchanges that wait, how many have to go for the rest to fit again: known bytes for all. The
 * gaps that malloc leaves between lists that grow take up to a third of what is allocated.
 */
static size_t excess(const struct bound *b, size_t known, size_t waiting)
{
	size_t limit = MAX(b->buffer, BOUND_EXCHANGES_MIN) / 4 * 3;
	size_t aim = limit / 8 * 7;

	if (known <= limit)
		return 0;
	return (size_t)((double)waiting * (double)(known - aim) / (double)known);
}

void bound_keep(struct bound *b, struct pipeline *p, size_t sorter_bytes, uint64_t now_ns)
{
	size_t held, packets, known;

	if (now_ns - b->weighed_ns < WEIGH_NS)
		return;
	b->weighed_ns = now_ns;
	if (now_ns - b->given_back_ns >= GIVE_BACK_NS) {
		b->given_back_ns = now_ns;
		memory_give_back(&b->memory);
	}
	held = memory_allocated();
	held -= MIN(held, b->base);
	packets = sorter_bytes + (size_t)pipeline_bytes(p);
	known = held - MIN(held, packets);
	b->packets = MAX(b->buffer - MIN(b->buffer, known), b->buffer / 8) / 2;
	pipeline_limit(p, b->packets, excess(b, known, correlate_waiting(pipeline_correlate(p))));
}
