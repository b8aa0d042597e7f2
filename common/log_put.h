/*
 * log_put.h -- values of proxy.ndjson as its lines have them, written by hand: who writes a line
 * (the proxy, and the tracer when there is no log) writes them alike.
 *
 * As in put.h: written at p, where there is room for sure; returns where the next byte goes.
 */
#ifndef COMMON_LOG_PUT_H
#define COMMON_LOG_PUT_H

#include "common/addr.h"
#include "common/clock.h"
#include "common/exchange_record.h"
#include "common/put.h"

/* A moment, in quotes. */
static inline char *put_clock(char *p, uint64_t real_ns)
{
	*p++ = '"';
	clock_format(real_ns, p);
	p += CLOCK_TEXT_LEN;
	*p++ = '"';
	return p;
}

/* "127.0.0.1:8585" in quotes, or null. */
static inline char *put_addr(char *p, const struct addr *a)
{
	if (a->family == ADDR_NONE)
		return PUT(p, "null");
	*p++ = '"';
	p += addr_format(a, p);
	*p++ = '"';
	return p;
}

/* [first,past], or null. */
static inline char *put_range(char *p, const struct byte_range *r)
{
	if (!byte_range_exists(r))
		return PUT(p, "null");
	*p++ = '[';
	p = put_decimal(p, r->first);
	*p++ = ',';
	p = put_decimal(p, r->past);
	*p++ = ']';
	return p;
}

#endif
