/*
 * config_file.c -- reads the INI file, with inih.
 *
 * inih asks for its lines one by one, and gets them from next_line(): so this file knows the
 * number of the line that a value came from, and what inih would silently cut, join or skip is
 * refused (long lines, NUL bytes, text behind a section's name) or made an ordinary line (leading
 * white space, which inih takes for a continuation of the value above).
 *
 * Invariant: the first error ends the reading, and names the line it is in.
 */
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/config_key.h"

#define FILE_BYTES_MAX (1024 * 1024)
#define LINE_BYTES_MAX 8192

/*
 * Some builds of inih (Debian's) let the program choose how long a line may be, others have it
 * compiled in, most often as 200. Where the variable does not exist its address is NULL.
 */
/* NOLINTNEXTLINE(readability-redundant-declaration) */
extern int ini_max_line __attribute__((weak));

struct reading {
	struct config *config;
	const char *at; /* the next line begins here */
	const char *end;
	unsigned line;       /* number of the line inih got last */
	unsigned error_line; /* 0: none yet */
	char *sentence;      /* CONFIG_ERROR_MAX bytes, set with error_line */
};

static void reading_fail(struct reading *r, const char *sentence)
{
	if (r->error_line != 0)
		return;
	r->error_line = r->line;
	if (sentence != r->sentence)
		config_error(r->sentence, "%s", sentence);
}

static bool is_blank(char ch)
{
	return ch == ' ' || ch == '\t' || ch == '\r' || ch == '\n';
}

/*
 * inih looks no further than "]" and says nothing of a section without keys: here only a comment may
 * follow, and the section must be one of ours.
 */
static bool section_fine(struct reading *r, const char *line)
{
	const char *end = strchr(line, ']');
	char name[64];
	const char *p;

	if (line[0] != '[' || end == NULL)
		return true;
	for (p = end + 1; is_blank(*p);)
		p++;
	if (*p != '\0' && *p != ';' && *p != '#') {
		reading_fail(r, "only a comment may stand behind the section's name");
		return false;
	}
	snprintf(name, sizeof(name), "%.*s", (int)MIN(end - line - 1, 60), line + 1);
	if (config_section_check(name, r->sentence))
		return true;
	reading_fail(r, r->sentence);
	return false;
}

/* fgets() over memory, for inih: NULL at the end, and when the line cannot be read faithfully. */
static char *next_line(char *out, int size, void *arg)
{
	struct reading *r = arg;
	const char *text = r->at;
	const char *newline;
	size_t len;

	if (r->error_line != 0 || r->at == r->end)
		return NULL;
	r->line++;
	newline = memchr(text, '\n', (size_t)(r->end - text));
	r->at = newline != NULL ? newline + 1 : r->end;
	while (text < r->at && is_blank(*text) && *text != '\n')
		text++;
	len = (size_t)(r->at - text);
	if (memchr(text, '\0', len) != NULL) {
		reading_fail(r, "a NUL byte stands in this line; is it a text file?");
		return NULL;
	}
	if (len >= (size_t)size) {
		char why[64];

		snprintf(why, sizeof(why), "the line is longer than %d bytes", size - 2);
		reading_fail(r, why);
		return NULL;
	}
	memcpy(out, text, len);
	out[len] = '\0';
	return section_fine(r, out) ? out : NULL;
}

/* White space and # inside a value: a comment that would silently become part of it. */
static bool looks_commented(const char *value)
{
	for (const char *p = strchr(value, '#'); p != NULL; p = strchr(p + 1, '#'))
		if (p == value || is_blank(p[-1]))
			return true;
	return false;
}

/* inih's callback. What it returns becomes an error of inih's own, which comes too late to be used. */
static int take_value(void *arg, const char *section, const char *name, const char *value)
{
	struct reading *r = arg;

	if (r->error_line != 0)
		return 1;
	if (section[0] == '\0') {
		config_error(r->sentence, "%s stands before any [section]",
			     config_quote(name).text);
		reading_fail(r, r->sentence);
	} else if (config_key_repeated(r->config, section, name)) {
		config_error(r->sentence, "[%s] %s stands in this file already", section, name);
		reading_fail(r, r->sentence);
	} else if (looks_commented(value)) {
		config_error(r->sentence,
			     "[%s] %s: a comment behind a value begins with ; (# would be part of "
			     "the value)",
			     config_quote(section).text, config_quote(name).text);
		reading_fail(r, r->sentence);
	} else if (!config_set(r->config, section, name, value, r->sentence)) {
		reading_fail(r, r->sentence);
	}
	return 1;
}

bool config_read_text(struct config *c, const char *name, const char *text, size_t len,
		      char err[CONFIG_ERROR_MAX])
{
	char sentence[CONFIG_ERROR_MAX];
	struct reading r = {.config = c, .at = text, .end = text + len, .sentence = sentence};
	int syntax_line;

	if (&ini_max_line != NULL && ini_max_line < LINE_BYTES_MAX)
		ini_max_line = LINE_BYTES_MAX;
	if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
		r.at += 3; /* the mark that some editors put before UTF-8 */
	config_source_begin(c);
	syntax_line = ini_parse_stream(next_line, &r, take_value, &r);
	if (syntax_line < 0)
		return config_error(err, "%s: not enough memory", name);
	if (syntax_line > 0 && (r.error_line == 0 || (unsigned)syntax_line < r.error_line))
		return config_error(err, "%s:%d: [section], key = value or a comment is expected",
				    name, syntax_line);
	if (r.error_line != 0)
		return config_error(err, "%s:%u: %s", name, r.error_line, sentence);
	return true;
}

/* Everything in the file, allocated; *len may be FILE_BYTES_MAX + 1 when it is longer. */
static char *file_load(FILE *f, size_t *len)
{
	char *text = malloc(FILE_BYTES_MAX + 1);

	if (text == NULL)
		return NULL;
	*len = fread(text, 1, FILE_BYTES_MAX + 1, f);
	if (ferror(f)) {
		int saved = errno;

		free(text);
		errno = saved;
		return NULL;
	}
	return text;
}

bool config_read_file(struct config *c, const char *path, char err[CONFIG_ERROR_MAX])
{
	FILE *f = fopen(path, "re");
	char *text;
	size_t len;
	bool fine;

	if (f == NULL)
		return config_error(err, "%s: %s", path, strerror(errno));
	text = file_load(f, &len);
	if (text == NULL)
		config_error(err, "%s: %s", path, strerror(errno));
	fclose(f);
	if (text == NULL)
		return false;
	if (len > FILE_BYTES_MAX)
		fine = config_error(err, "%s: longer than 1 MiB", path);
	else
		fine = config_read_text(c, path, text, len, err);
	free(text);
	return fine;
}
