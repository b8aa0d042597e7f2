/*
 * clock.c -- the two clocks, and RFC 3339 stamps with nanoseconds.
 *
 * The civil date of the last second is remembered per thread, so that a stamp costs a few digits
 * and no gmtime() or timegm(). Never used: any clock that needs a system call.
 */
#include "common/clock.h"

#include <string.h>
#include <time.h>

#include "common/digits.h"
#include "common/put.h"

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t clock_mono_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t clock_real_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

void clock_format(uint64_t real_ns, char out[CLOCK_TEXT_LEN])
{
	static _Thread_local uint64_t cached_s = UINT64_MAX;
	static _Thread_local char cached[20];
	uint64_t s = real_ns / NS_PER_S;

	if (s != cached_s) {
		time_t t = (time_t)s;
		struct tm tm;

		gmtime_r(&t, &tm);
		(void)put_digits(cached, (uint32_t)(tm.tm_year + 1900), 4);
		(void)put_digits(cached + 5, (uint32_t)(tm.tm_mon + 1), 2);
		(void)put_digits(cached + 8, (uint32_t)tm.tm_mday, 2);
		(void)put_digits(cached + 11, (uint32_t)tm.tm_hour, 2);
		(void)put_digits(cached + 14, (uint32_t)tm.tm_min, 2);
		(void)put_digits(cached + 17, (uint32_t)tm.tm_sec, 2);
		cached[4] = cached[7] = '-';
		cached[10] = 'T';
		cached[13] = cached[16] = ':';
		cached[19] = '.';
		cached_s = s;
	}
	memcpy(out, cached, sizeof(cached));
	(void)put_digits(out + 20, (uint32_t)(real_ns % NS_PER_S), 9);
	out[29] = 'Z';
}

static inline bool take_digits(const char *text, unsigned digits, uint32_t *value)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < digits; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		v = v * 10 + (uint32_t)(text[i] - '0');
	}
	*value = v;
	return true;
}

/* Seconds of "2026-11-23T08:15:04". */
static bool parse_seconds(const char *text, uint64_t *seconds)
{
	uint32_t year, month, day, hour, minute, second;
	struct tm tm = {0};
	time_t t;

	if (text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' ||
	    text[16] != ':')
		return false;
	if (!take_digits(text, 4, &year) || !take_digits(text + 5, 2, &month) ||
	    !take_digits(text + 8, 2, &day) || !take_digits(text + 11, 2, &hour) ||
	    !take_digits(text + 14, 2, &minute) || !take_digits(text + 17, 2, &second))
		return false;
	if (year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 ||
	    minute > 59 || second > 60)
		return false;
	tm.tm_year = (int)year - 1900;
	tm.tm_mon = (int)month - 1;
	tm.tm_mday = (int)day;
	tm.tm_hour = (int)hour;
	tm.tm_min = (int)minute;
	tm.tm_sec = (int)second;
	t = timegm(&tm);
	if (t < 0 || (uint64_t)t > UINT64_MAX / NS_PER_S - 1)
		return false;
	*seconds = (uint64_t)t;
	return true;
}

static inline bool take_nanoseconds(const char *text, uint32_t *ns)
{
	uint64_t word = digits_load(text);
	uint8_t last = (uint8_t)(text[8] - '0');

	*ns = digits_value(word, 8) * 10 + last;
	return digits_count(word) == 8 && last <= 9;
}

/* Text of seconds and what it says, of stamps that were read before. */
struct read_second {
	char text[19];
	uint64_t seconds;
};

/* Stamps that are read one after the other are mostly of a few seconds, too. */
bool clock_parse(const char *text, size_t len, uint64_t *real_ns)
{
	static _Thread_local struct read_second cache[8];
	struct read_second *r;
	uint32_t ns;

	if (len != CLOCK_TEXT_LEN || text[19] != '.' || text[29] != 'Z' ||
	    !take_nanoseconds(text + 20, &ns))
		return false;
	r = &cache[(uint8_t)text[18] % ARRAY_LEN(cache)];
	if (memcmp(text, r->text, sizeof(r->text)) != 0) {
		if (!parse_seconds(text, &r->seconds))
			return false;
		memcpy(r->text, text, sizeof(r->text));
	}
	*real_ns = r->seconds * NS_PER_S + ns;
	return true;
}
