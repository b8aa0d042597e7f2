/*
 * media_type.h -- the value of a Content-Type field: type and parameters (RFC 9110 section 8.3.1).
 *
 * Pure functions over bytes that the caller knows the end of. Read leniently, since what is wrong in
 * it is the receiver's business: white space around "=", unquoted values with bytes that no token
 * may hold, and parameters that are none (passed over).
 */
#ifndef COMMON_MEDIA_TYPE_H
#define COMMON_MEDIA_TYPE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/attrib.h"

/* A parameter's value, without its quotes; in a quoted one a backslash may stand before a byte. */
struct media_param {
	const char *bytes;
	size_t len;
	bool quoted;
};

/* Is it this type/subtype, in any case of letters and with any parameters? */
bool media_type_is(const char *value, size_t len, const char *lower);

/*
 * The first parameter of that name (in any case of letters; `lower` is in lower case). False when
 * there is none. p points into the value.
 */
bool media_type_param(const char *value, size_t len, const char *lower,
		      struct media_param *p) MUST_CHECK;

/* Copy at most cap bytes of the parameter's value, quoted pairs resolved. Returns how many. */
size_t media_param_copy(const struct media_param *p, char *out, size_t cap);

#endif
