/*
 * rates.c -- read dated rates and compute cross rates.
 *
 * Read once at start and never changed after, so that threads share it without a lock.
 *
 * Invariant: every currency stands once, with its latest rate, which is positive and finite.
 */
#include "tests/tools/lib/rates.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RATES_MAX 512
#define DATE_LEN  10

struct rate {
	char currency[4];
	char date[DATE_LEN + 1]; /* YYYY-MM-DD, so that text order is time order */
	double per_euro;
};

struct rates {
	size_t count;
	struct rate list[RATES_MAX];
};

static const struct rate *rates_find(const struct rates *r, const char *currency)
{
	for (size_t i = 0; i < r->count; i++) {
		if (strcmp(r->list[i].currency, currency) == 0)
			return &r->list[i];
	}
	return NULL;
}

static bool is_date(const char *text)
{
	static const char form[] = "0000-00-00";

	if (strlen(text) != DATE_LEN)
		return false;
	for (size_t i = 0; i < DATE_LEN; i++) {
		if (form[i] == '0' ? !isdigit((unsigned char)text[i]) : text[i] != form[i])
			return false;
	}
	return true;
}

static bool is_currency(const char *text)
{
	return strlen(text) == 3 && isupper((unsigned char)text[0]) &&
	       isupper((unsigned char)text[1]) && isupper((unsigned char)text[2]);
}

static char *trim(char *text)
{
	char *end;

	while (isspace((unsigned char)*text))
		text++;
	end = text + strlen(text);
	while (end > text && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return text;
}

/* Splits the line in place. NULL, or what is wrong with it. */
static const char *rate_parse(char *line, struct rate *rate)
{
	char *fields[3];
	char *rest = line;
	char *end = NULL;

	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		char *field = strsep(&rest, ",");

		if (field == NULL)
			return "three fields are wanted: date,currency,units per euro";
		fields[i] = trim(field);
	}
	if (rest != NULL)
		return "more than three fields";
	if (!is_date(fields[0]))
		return "the date is not YYYY-MM-DD";
	if (!is_currency(fields[1]))
		return "the currency is not three capital letters";
	errno = 0;
	rate->per_euro = strtod(fields[2], &end);
	if (end == fields[2] || *end != '\0' || errno != 0 || !isfinite(rate->per_euro) ||
	    rate->per_euro <= 0)
		return "the rate is not a positive number";
	memcpy(rate->date, fields[0], sizeof(rate->date));
	memcpy(rate->currency, fields[1], sizeof(rate->currency));
	return NULL;
}

static const char *rates_add(struct rates *r, const struct rate *rate)
{
	for (size_t i = 0; i < r->count; i++) {
		struct rate *known = &r->list[i];

		if (strcmp(known->currency, rate->currency) != 0)
			continue;
		if (strcmp(rate->date, known->date) == 0)
			return "a second rate of that currency and date";
		if (strcmp(rate->date, known->date) > 0)
			*known = *rate;
		return NULL;
	}
	if (r->count == RATES_MAX)
		return "too many currencies";
	r->list[r->count++] = *rate;
	return NULL;
}

static const char *rates_read_line(struct rates *r, char *line, size_t number)
{
	char *text = trim(line);
	struct rate rate;
	const char *wrong;

	if (*text == '\0' || *text == '#')
		return NULL;
	if (number == 1 && strncmp(text, "date,", 5) == 0)
		return NULL;
	wrong = rate_parse(text, &rate);
	return wrong != NULL ? wrong : rates_add(r, &rate);
}

static bool rates_read(struct rates *r, FILE *file, const char *path, char *error,
		       size_t error_size)
{
	size_t number = 0;
	size_t room = 0;
	char *line = NULL;
	const char *wrong = NULL;

	while (wrong == NULL && getline(&line, &room, file) >= 0)
		wrong = rates_read_line(r, line, ++number);
	free(line);
	if (wrong != NULL) {
		snprintf(error, error_size, "%s:%zu: %s", path, number, wrong);
		return false;
	}
	if (ferror(file)) {
		snprintf(error, error_size, "%s: %s", path, strerror(errno));
		return false;
	}
	return true;
}

struct rates *rates_load(const char *path, char *error, size_t error_size)
{
	FILE *file = fopen(path, "re");
	struct rates *r = NULL;

	if (file == NULL) {
		snprintf(error, error_size, "%s: %s", path, strerror(errno));
		return NULL;
	}
	r = calloc(1, sizeof(*r));
	if (r == NULL) {
		snprintf(error, error_size, "%s: no memory", path);
	} else if (!rates_read(r, file, path, error, error_size)) {
		rates_free(r);
		r = NULL;
	}
	fclose(file);
	return r;
}

void rates_free(struct rates *r)
{
	free(r);
}

static bool rates_per_euro(const struct rates *r, const char *currency, double *per_euro)
{
	const struct rate *rate = rates_find(r, currency);

	if (rate == NULL && strcmp(currency, "EUR") != 0)
		return false;
	*per_euro = rate != NULL ? rate->per_euro : 1.0;
	return true;
}

bool rates_knows(const struct rates *r, const char *currency)
{
	double ignored;

	return rates_per_euro(r, currency, &ignored);
}

bool rates_convert(const struct rates *r, const char *from, const char *to, double *rate)
{
	double from_per_euro;
	double to_per_euro;

	if (!rates_per_euro(r, from, &from_per_euro) || !rates_per_euro(r, to, &to_per_euro))
		return false;
	*rate = to_per_euro / from_per_euro;
	return true;
}
