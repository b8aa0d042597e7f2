/*
 * rates.h -- exchange rates of currencies, read from a CSV file.
 *
 * Lines are "date,currency,units per euro", in any order; # begins a comment, the first line may be
 * a header. Per currency the latest date wins. The euro is always known.
 */
#ifndef TESTS_TOOLS_LIB_RATES_H
#define TESTS_TOOLS_LIB_RATES_H

#include <stdbool.h>
#include <stddef.h>

#include "common/attrib.h"

struct rates;

/* NULL: `error` says why, with file and line. */
struct rates *rates_load(const char *path, char *error, size_t error_size) MUST_CHECK;
void rates_free(struct rates *r);

bool rates_knows(const struct rates *r, const char *currency);

/* How many units of `to` one unit of `from` is. False: one of them is unknown. */
bool rates_convert(const struct rates *r, const char *from, const char *to,
		   double *rate) MUST_CHECK;

#endif
