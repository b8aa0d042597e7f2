/*
 * http_framing.h -- what the fields of a complete head mean: body framing, persistence, Host,
 * upgrade, and which fields Connection nominates (RFC 9110 section 7, RFC 9112 sections 6 and 9).
 *
 * Private to the codec.
 */
#ifndef COMMON_HTTP_FRAMING_H
#define COMMON_HTTP_FRAMING_H

#include <stdbool.h>

#include "common/attrib.h"
#include "common/http_head.h"

/*
 * Look at h->fields, whose names and values are set, and fill in their ids and everything of h that
 * depends on them. Nothing ambiguous passes: what two readers could frame differently is a fault.
 */
enum http_fault http_framing_read(struct http_head *h, const char *bytes,
				  enum http_method request_method, bool request_upgrade) MUST_CHECK;

#endif
