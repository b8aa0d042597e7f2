/*
 * lines.h -- writes whole lines to a file: buffered, appended, and never in the way.
 *
 * When the file cannot be written (disk full) lines are lost, counted and said once on stderr; a
 * line that was written in part is cut off again.
 */
#ifndef TRACE_LINES_H
#define TRACE_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"

#define LINES_ERROR_MAX 512

struct lines;

enum lines_mode {
	LINES_APPEND, /* a torn last line is cut first */
	LINES_NEW,    /* what was there goes */
};

/* NULL: err says why. */
struct lines *lines_open(const char *path, enum lines_mode mode,
			 char err[LINES_ERROR_MAX]) MUST_CHECK;

/* Nobody but its owner may read the file from now on. False with errno. */
bool lines_make_private(struct lines *l) MUST_CHECK;

/* One line with its newline. */
void lines_add(struct lines *l, const char *line, size_t len);

void lines_flush(struct lines *l);

/* Flush and close. Returns how many lines were lost. NULL is fine. */
uint64_t lines_close(struct lines *l);

#endif
