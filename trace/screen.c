/*
 * screen.c -- widths, cuts, colours and short numbers for `flowtrace show`.
 *
 * Characters are measured with the C library's tables (wcwidth), so LC_CTYPE decides what can be
 * shown. It never writes to the screen itself.
 */
#include "trace/screen.h"

#include <inttypes.h>
#include <limits.h>
#include <locale.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

static bool locale_is_utf8(void)
{
	mbstate_t state = {0};
	wchar_t c = 0;

	return mbrtowc(&c, "\xe2\x80\xa6", 3, &state) == 3 && c == 0x2026;
}

void screen_init(struct screen *s, FILE *out)
{
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	setlocale(LC_CTYPE, "");
	s->out = out;
	s->utf8 = locale_is_utf8();
	s->colours = isatty(fileno(out)) && (no_color == NULL || no_color[0] == '\0') &&
		     term != NULL && strcmp(term, "dumb") != 0;
}

const char *screen_paint(const struct screen *s, enum paint p)
{
	static const char *const codes[] = {
		[PAINT_OFF] = "\033[0m",   [PAINT_BOLD] = "\033[1m",   [PAINT_DIM] = "\033[2m",
		[PAINT_RED] = "\033[31m",  [PAINT_GREEN] = "\033[32m", [PAINT_YELLOW] = "\033[33m",
		[PAINT_CYAN] = "\033[36m",
	};

	return s->colours ? codes[p] : "";
}

/* ---- text from outside ---- */

/* One character as it will be written. */
struct glyph {
	char bytes[MB_LEN_MAX];
	unsigned len;
	unsigned columns;
	size_t taken; /* bytes of the text it stands for */
};

static void next_glyph(const struct screen *s, const char *text, size_t len, struct glyph *g)
{
	unsigned char first = (unsigned char)text[0];
	mbstate_t state = {0};
	wchar_t c = 0;
	size_t n = 1;
	int width = -1;

	if (first < 0x80) {
		width = first >= 0x20 && first != 0x7f ? 1 : -1;
	} else if (s->utf8) {
		n = mbrtowc(&c, text, MIN(len, (size_t)MB_LEN_MAX), &state);
		if (n == 0 || n > MB_LEN_MAX)
			n = 1;
		else
			width = wcwidth(c);
	} else {
		while (n < len && ((unsigned char)text[n] & 0xc0) == 0x80)
			n++;
	}
	g->taken = n;
	g->len = width > 0 ? (unsigned)n : 1;
	g->columns = width > 0 ? (unsigned)width : 1;
	if (width > 0)
		memcpy(g->bytes, text, n);
	else
		g->bytes[0] = '?';
}

static unsigned columns_of(const struct screen *s, const char *text, size_t len)
{
	unsigned columns = 0;
	struct glyph g;

	for (size_t at = 0; at < len; at += g.taken) {
		next_glyph(s, text + at, len - at, &g);
		columns += g.columns;
	}
	return columns;
}

struct fitted {
	char *at;
	char *end; /* keeps room for the NUL */
	unsigned columns;
};

static void fitted_put(struct fitted *f, const char *bytes, size_t len, unsigned columns)
{
	if ((size_t)(f->end - f->at) < len)
		return;
	memcpy(f->at, bytes, len);
	f->at += len;
	f->columns += columns;
}

/* Copy what lies in the columns [from, past) of the text. */
static void fitted_copy(struct fitted *f, const struct screen *s, const char *text, size_t len,
			unsigned from, unsigned past)
{
	unsigned column = 0;
	struct glyph g;

	for (size_t at = 0; at < len && column < past; at += g.taken) {
		next_glyph(s, text + at, len - at, &g);
		if (column >= from && column + g.columns <= past)
			fitted_put(f, g.bytes, g.len, g.columns);
		column += g.columns;
	}
}

unsigned screen_fit(const struct screen *s, const char *text, size_t len, unsigned columns,
		    char *out, size_t cap)
{
	struct fitted f = {.at = out, .end = out + cap - 1};
	unsigned mark = s->utf8 ? 1 : 3;
	unsigned whole = columns_of(s, text, len);

	if (whole <= columns) {
		fitted_copy(&f, s, text, len, 0, whole);
	} else if (columns < mark + 2) {
		fitted_copy(&f, s, text, len, 0, columns);
	} else {
		unsigned head = (columns - mark + 1) / 2;
		unsigned tail = columns - mark - head;

		fitted_copy(&f, s, text, len, 0, head);
		fitted_put(&f, s->utf8 ? "\xe2\x80\xa6" : "...", 3, mark);
		fitted_copy(&f, s, text, len, whole - tail, whole);
	}
	*f.at = '\0';
	return f.columns;
}

/* ---- lines of pieces ---- */

void screen_line_begin(struct screen_line *l, const struct screen *s, unsigned indent,
		       const char *head)
{
	*l = (struct screen_line){.screen = s, .indent = indent, .column = indent, .empty = true};
	fprintf(s->out, "%-*s", (int)indent, head);
}

void screen_line_put(struct screen_line *l, const char *separator, const char *fmt, ...)
{
	FILE *out = l->screen->out;
	char piece[SCREEN_COLUMNS + 1];
	unsigned separator_len = (unsigned)strlen(separator), len;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(piece, sizeof(piece), fmt, ap);
	va_end(ap);
	len = (unsigned)strlen(piece);
	if (!l->empty && l->column + separator_len + len + 1 > SCREEN_COLUMNS) {
		while (separator_len > 0 && separator[separator_len - 1] == ' ')
			separator_len--;
		fprintf(out, "%.*s\n%*s%s", (int)separator_len, separator, (int)l->indent, "",
			piece);
		l->column = l->indent + len;
		return;
	}
	if (!l->empty)
		l->column += (unsigned)fprintf(out, "%s", separator);
	l->column += (unsigned)fprintf(out, "%s", piece);
	l->empty = false;
}

void screen_line_end(struct screen_line *l)
{
	fprintf(l->screen->out, "\n");
}

/* ---- numbers ---- */

/* value / unit in three significant digits. */
static void three_digits(uint64_t value, uint64_t unit, const char *name, char *out)
{
	uint64_t hundredths = value / unit * 100 + value % unit / (unit / 100);

	if (hundredths < 1000)
		snprintf(out, SCREEN_NUMBER_MAX, "%" PRIu64 ".%02" PRIu64 "%s", hundredths / 100,
			 hundredths % 100, name);
	else if (hundredths < 10000)
		snprintf(out, SCREEN_NUMBER_MAX, "%" PRIu64 ".%" PRIu64 "%s", hundredths / 100,
			 hundredths % 100 / 10, name);
	else
		snprintf(out, SCREEN_NUMBER_MAX, "%" PRIu64 "%s", hundredths / 100, name);
}

const char *screen_us(int64_t us, char out[SCREEN_NUMBER_MAX])
{
	if (us < 1000)
		snprintf(out, SCREEN_NUMBER_MAX, "%" PRId64 " us", us);
	else if (us < 1000000)
		three_digits((uint64_t)us, 1000, " ms", out);
	else
		three_digits((uint64_t)us, 1000000, " s", out);
	return out;
}

const char *screen_bytes(uint64_t bytes, char out[SCREEN_NUMBER_MAX])
{
	static const char *const names[] = {"k", "M", "G", "T", "P", "E"};
	uint64_t unit = 1000;
	size_t n = 0;

	if (bytes < 100000) {
		snprintf(out, SCREEN_NUMBER_MAX, "%" PRIu64, bytes);
		return out;
	}
	while (bytes / unit >= 1000 && n + 1 < ARRAY_LEN(names)) {
		unit *= 1000;
		n++;
	}
	three_digits(bytes, unit, names[n], out);
	return out;
}

void screen_frames(const struct frame_list *frames, unsigned columns, char *out, size_t cap)
{
	size_t used = 0;
	uint32_t i = 0;

	snprintf(out, cap, "none");
	while (i < frames->count) {
		uint32_t first = frames->frames[i], last = first, next = i + 1;
		char range[48];
		size_t len, rest;

		while (next < frames->count && frames->frames[next] == last + 1) {
			last++;
			next++;
		}
		len = (size_t)snprintf(range, sizeof(range), "%s%u", i > 0 ? ", " : "", first);
		if (last > first)
			len += (size_t)snprintf(range + len, sizeof(range) - len, "-%u", last);
		rest = next == frames->count
			       ? 0
			       : (size_t)snprintf(NULL, 0, " and %u more", frames->count - next);
		if (i > 0 && used + len + rest > columns)
			break;
		used += (size_t)snprintf(out + used, cap - used, "%s", range);
		if (used >= cap)
			return;
		i = next;
	}
	if (i > 0 && i < frames->count)
		snprintf(out + used, cap - used, " and %u more", frames->count - i);
}
