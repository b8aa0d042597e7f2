/*
 * log.h -- what a program says to its operator: one line on stderr, written whole.
 *
 * Not the access log. Never on the request path.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include "common/attrib.h"

/* The name before every line, "flowproxy" or "flowtrace". Kept, not copied. */
void log_init(const char *program);

/* "flowproxy: error: ..." */
void log_error(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* "flowproxy: warning: ..." */
void log_warning(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* "flowproxy: ..." */
void log_notice(const char *fmt, ...) PRINTF_LIKE(1, 2);

#endif
