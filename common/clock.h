/*
 * clock.h -- the two clocks, in nanoseconds, and how a moment is written.
 *
 * CLOCK_REALTIME joins with capture stamps; CLOCK_MONOTONIC measures durations. Never mix them
 * in one subtraction.
 */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"

uint64_t clock_mono_ns(void);
uint64_t clock_real_ns(void);

/* "2026-11-23T08:15:04.123456789Z" (RFC 3339) without a terminating NUL. */
#define CLOCK_TEXT_LEN 30
void clock_format(uint64_t real_ns, char out[CLOCK_TEXT_LEN]);

/* Read what clock_format() wrote. False when the text is anything else. */
bool clock_parse(const char *text, size_t len, uint64_t *real_ns) MUST_CHECK;

#endif
