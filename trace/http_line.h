/*
 * http_line.h -- an exchange that was read from packets, as a line of proxy.ndjson.
 */
#ifndef TRACE_HTTP_LINE_H
#define TRACE_HTTP_LINE_H

#include <stddef.h>

#include "common/attrib.h"
#include "trace/http_exchange.h"

/* Six texts of six bytes a byte at most, and what else stands in a line. */
#define HTTP_LINE_MAX (6 * 6 * HTTP_TEXT_MAX + 2048)

/* With its newline. Returns how many bytes it takes. */
size_t http_line_put(char out[HTTP_LINE_MAX], const struct http_exchange *e);

#endif
