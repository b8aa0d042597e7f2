/*
 * screen.h -- what may be written to where `flowtrace show` prints: colours, characters beyond ASCII, and
 * text from outside cut to a width.
 *
 * Nothing from a file reaches a terminal but through screen_fit(): control and invisible characters
 * become '?'.
 */
#ifndef TRACE_SCREEN_H
#define TRACE_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/attrib.h"
#include "trace/stream.h"

/* No line is longer, whatever the terminal. */
#define SCREEN_COLUMNS 100

enum paint {
	PAINT_OFF, /* back to normal */
	PAINT_BOLD,
	PAINT_DIM,
	PAINT_RED,
	PAINT_GREEN,
	PAINT_YELLOW,
	PAINT_CYAN,
};

struct screen {
	FILE *out; /* not owned */
	bool utf8; /* the locale is UTF-8 */
	bool colours;
};

/*
 * Takes over the environment's LC_CTYPE. Colours when out is a terminal, NO_COLOR is unset or empty and TERM is not dumb.
 */
void screen_init(struct screen *s, FILE *out);

/* The escape sequence, or "" without colours. */
const char *screen_paint(const struct screen *s, enum paint p);

/*
 * Text of len bytes in at most `columns` columns, cut in the middle ("…", without UTF-8 "...")
 * when it is longer; no NUL is needed or minded. Returns the columns used. out is cut at cap too.
 */
unsigned screen_fit(const struct screen *s, const char *text, size_t len, unsigned columns,
		    char *out, size_t cap);

/*
 * A line made of pieces: one that does not fit begins another line, `indent` columns in. Pieces are plain ASCII.
 */
struct screen_line {
	const struct screen *screen;
	unsigned indent;
	unsigned column;
	bool empty; /* nothing on this line yet: no separator is due */
};

/* head is printed first, in columns of its own up to indent. */
void screen_line_begin(struct screen_line *l, const struct screen *s, unsigned indent,
		       const char *head);
/* separator stands between this piece and the one before, also at the end of a line. */
void screen_line_put(struct screen_line *l, const char *separator, const char *fmt, ...)
	PRINTF_LIKE(3, 4);
void screen_line_end(struct screen_line *l);

#define SCREEN_NUMBER_MAX 24

/* Three significant digits and a unit, at most 7 columns up to some days: "431 us", "4.31 ms", "12.3 s". */
const char *screen_us(int64_t us, char out[SCREEN_NUMBER_MAX]);

/* At most 5 columns: "0", "1448", "65.5k", "1.25M". */
const char *screen_bytes(uint64_t bytes, char out[SCREEN_NUMBER_MAX]);

/* "14, 20-24, 31", cut to the columns with "and N more"; "none" when empty. At least one range stands. */
void screen_frames(const struct frame_list *frames, unsigned columns, char *out, size_t cap);

#endif
