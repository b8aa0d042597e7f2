/*
 * log.c -- operator messages, one write() a line, from any thread.
 *
 * Lines never mix because each leaves in one write; a line is cut at 1 KiB.
 */
#include "common/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static const char *program_name = "flowproxy";

void log_init(const char *program)
{
	program_name = program;
}

static void log_line(const char *kind, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);

static void log_line(const char *kind, const char *fmt, va_list ap)
{
	char line[1024];
	int n = snprintf(line, sizeof(line), "%s: %s", program_name, kind);
	size_t used = n > 0 ? MIN((size_t)n, sizeof(line) - 1) : 0;

	n = vsnprintf(line + used, sizeof(line) - used, fmt, ap);
	if (n > 0)
		used = MIN(used + (size_t)n, sizeof(line) - 2);
	line[used++] = '\n';
	/* Nobody can be told that stderr is gone. */
	if (write(STDERR_FILENO, line, used) < 0)
		return;
}

void log_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_line("error: ", fmt, ap);
	va_end(ap);
}

void log_warning(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_line("warning: ", fmt, ap);
	va_end(ap);
}

void log_notice(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_line("", fmt, ap);
	va_end(ap);
}
