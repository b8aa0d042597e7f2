/*
 * http_fields.h -- the head of a request, from bytes to fields.
 */
#ifndef TESTS_TOOLS_LIB_HTTP_FIELDS_H
#define TESTS_TOOLS_LIB_HTTP_FIELDS_H

#include <stddef.h>

#include "common/attrib.h"
#include "tests/tools/lib/http_server.h"

/*
 * Parse a head: request line and fields, each ended by CR LF, without the empty line. 0, or the
 * status to answer with. Fields that this server has no use for are checked and forgotten.
 */
int http_fields_parse(const char *head, size_t len, struct http_request *req) MUST_CHECK;

#endif
