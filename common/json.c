/*
 * json.c -- the JSON writer: digits, escapes and commas.
 *
 * Invariant: at <= end, and nothing is written once `full` is set.
 */
#include "common/json.h"

#include "common/clock.h"
#include "common/json_plain.h"

static bool room(struct json *j, size_t need)
{
	if (UNLIKELY(j->full || (size_t)(j->end - j->at) < need)) {
		j->full = true;
		return false;
	}
	return true;
}

static void put(struct json *j, const char *bytes, size_t len)
{
	if (room(j, len)) {
		memcpy(j->at, bytes, len);
		j->at += len;
	}
}

static void put_char(struct json *j, char c)
{
	if (room(j, 1))
		*j->at++ = c;
}

static void value_begin(struct json *j)
{
	if (j->comma)
		put_char(j, ',');
	j->comma = true;
}

void json_raw(struct json *j, const char *bytes, size_t len)
{
	put(j, bytes, len);
	j->comma = true;
}

void json_object_begin(struct json *j)
{
	value_begin(j);
	put_char(j, '{');
	j->comma = false;
}

void json_object_end(struct json *j)
{
	put_char(j, '}');
	j->comma = true;
}

void json_array_begin(struct json *j)
{
	value_begin(j);
	put_char(j, '[');
	j->comma = false;
}

void json_array_end(struct json *j)
{
	put_char(j, ']');
	j->comma = true;
}

void json_key(struct json *j, const char *key)
{
	value_begin(j);
	put_char(j, '"');
	put(j, key, strlen(key));
	put(j, "\":", 2);
	j->comma = false;
}

void json_null(struct json *j)
{
	value_begin(j);
	put(j, "null", 4);
}

void json_bool(struct json *j, bool value)
{
	value_begin(j);
	put(j, value ? "true" : "false", value ? 4 : 5);
}

static void put_u64(struct json *j, uint64_t value)
{
	char digits[20];
	size_t n = sizeof(digits);

	do {
		digits[--n] = (char)('0' + value % 10);
		value /= 10;
	} while (value != 0);
	put(j, digits + n, sizeof(digits) - n);
}

void json_u64(struct json *j, uint64_t value)
{
	value_begin(j);
	put_u64(j, value);
}

void json_i64(struct json *j, int64_t value)
{
	value_begin(j);
	if (value < 0)
		put_char(j, '-');
	put_u64(j, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

static const char hex[] = "0123456789abcdef";

/* Bytes of the well-formed UTF-8 sequence at p (Unicode 15, table 3-7), or 0. */
static size_t utf8_len(const uint8_t *p, size_t left)
{
	uint8_t lo = 0x80, hi = 0xbf;
	size_t n;

	if (p[0] >= 0xc2 && p[0] <= 0xdf) {
		n = 2;
	} else if (p[0] >= 0xe0 && p[0] <= 0xef) {
		n = 3;
		lo = p[0] == 0xe0 ? 0xa0 : 0x80;
		hi = p[0] == 0xed ? 0x9f : 0xbf;
	} else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
		n = 4;
		lo = p[0] == 0xf0 ? 0x90 : 0x80;
		hi = p[0] == 0xf4 ? 0x8f : 0xbf;
	} else {
		return 0;
	}
	if (left < n || p[1] < lo || p[1] > hi)
		return 0;
	for (size_t i = 2; i < n; i++)
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	return n;
}

static void put_escaped(struct json *j, uint8_t c)
{
	static const char short_of[] = "btn\0fr"; /* 0x08 to 0x0d */

	if (c == '"' || c == '\\') {
		char e[2] = {'\\', (char)c};

		put(j, e, 2);
	} else if (c >= 0x08 && c <= 0x0d && short_of[c - 0x08] != '\0') {
		char e[2] = {'\\', short_of[c - 0x08]};

		put(j, e, 2);
	} else {
		char e[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};

		put(j, e, 6);
	}
}

static bool is_plain(uint8_t c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* Writes what starts at p and returns how many bytes that was. */
static size_t put_special(struct json *j, const uint8_t *p, size_t left)
{
	size_t n;

	if (p[0] < 0x80) {
		put_escaped(j, p[0]);
		return 1;
	}
	n = utf8_len(p, left);
	if (n == 0) {
		char e[5] = {'\\', '\\', 'x', hex[p[0] >> 4], hex[p[0] & 15]};

		put(j, e, 5);
		return 1;
	}
	if (n == 3 && p[0] == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9)) {
		put(j, p[2] == 0xa8 ? "\\u2028" : "\\u2029", 6);
		return 3;
	}
	put(j, (const char *)p, n);
	return n;
}

void json_string(struct json *j, const char *bytes, size_t len)
{
	const uint8_t *p = (const uint8_t *)bytes;
	size_t i = 0;

	value_begin(j);
	put_char(j, '"');
	while (i < len) {
		size_t run = i;

		while (run < len && is_plain(p[run]))
			run++;
		put(j, bytes + i, run - i);
		i = run;
		if (i < len)
			i += put_special(j, p + i, len - i);
	}
	put_char(j, '"');
}

static bool is_all_plain(const char *bytes, size_t len)
{
	uint64_t word;
	size_t i = 0;

	for (; i + sizeof(word) <= len; i += sizeof(word)) {
		memcpy(&word, bytes + i, sizeof(word));
		if (json_special_bytes(word) != 0)
			return false;
	}
	word = JSON_PLAIN_EACH('a');
	memcpy(&word, bytes + i, len - i);
	return json_special_bytes(word) == 0;
}

char *json_put_string(char *p, const char *bytes, size_t len)
{
	struct json j;

	if (UNLIKELY(!is_all_plain(bytes, len))) {
		json_init(&j, p, 6 * len + 2);
		json_string(&j, bytes, len);
		return p + json_len(&j);
	}
	*p++ = '"';
	memcpy(p, bytes, len);
	p += len;
	*p++ = '"';
	return p;
}

void json_text(struct json *j, const char *text)
{
	json_string(j, text, strlen(text));
}

static void put_hex(struct json *j, uint64_t value, unsigned digits)
{
	char text[18];

	text[0] = '"';
	for (unsigned i = 0; i < digits; i++)
		text[1 + i] = hex[value >> (4 * (digits - 1 - i)) & 15];
	text[1 + digits] = '"';
	value_begin(j);
	put(j, text, digits + 2);
}

void json_hex64(struct json *j, uint64_t value)
{
	put_hex(j, value, 16);
}

void json_hex32(struct json *j, uint32_t value)
{
	put_hex(j, value, 8);
}

void json_clock(struct json *j, uint64_t real_ns)
{
	char text[CLOCK_TEXT_LEN + 2];

	text[0] = '"';
	clock_format(real_ns, text + 1);
	text[CLOCK_TEXT_LEN + 1] = '"';
	value_begin(j);
	put(j, text, sizeof(text));
}

void json_addr(struct json *j, const struct addr *a)
{
	char text[ADDR_TEXT_MAX];

	if (a->family == ADDR_NONE)
		json_null(j);
	else
		json_string(j, text, addr_format(a, text));
}

void json_newline(struct json *j)
{
	put_char(j, '\n');
	j->comma = false;
}
