/*
 * media_type.c -- one pass over `type/subtype *( OWS ";" OWS name "=" value )`.
 *
 * A ";" within a quoted string ends no parameter, and a name is only looked for where one may stand,
 * so that nobody's value is taken for a parameter.
 */
#include "common/media_type.h"

#include "common/http_fields.h"

static const char *skip_blanks(const char *at, const char *end)
{
	while (at < end && http_is_blank(*at))
		at++;
	return at;
}

/* The closing quote, or the end when there is none. `at` is behind the opening one. */
static const char *quote_close(const char *at, const char *end)
{
	while (at < end && *at != '"')
		at += *at == '\\' && end - at > 1 ? 2 : 1;
	return at;
}

/* The ";" that ends what stands here, or the end. */
static const char *param_end(const char *at, const char *end)
{
	for (; at < end && *at != ';'; at++) {
		if (*at == '"')
			at = quote_close(at + 1, end);
		if (at == end)
			break;
	}
	return at;
}

bool media_type_is(const char *value, size_t len, const char *lower)
{
	const char *end = value + len;
	const char *past = value;

	while (past < end && *past != ';' && !http_is_blank(*past))
		past++;
	return http_text_is(value, (size_t)(past - value), lower);
}

static void value_read(const char *at, const char *end, struct media_param *p)
{
	const char *past = at;

	p->quoted = at < end && *at == '"';
	if (p->quoted) {
		past = quote_close(++at, end);
	} else {
		while (past < end && *past != ';' && !http_is_blank(*past))
			past++;
	}
	p->bytes = at;
	p->len = (size_t)(past - at);
}

bool media_type_param(const char *value, size_t len, const char *lower, struct media_param *p)
{
	const char *end = value + len;
	const char *at = param_end(value, end);

	while (at < end) {
		const char *name = skip_blanks(at + 1, end);
		const char *past = name;

		while (past < end && http_is_tchar(*past))
			past++;
		at = skip_blanks(past, end);
		if (at < end && *at == '=' && http_text_is(name, (size_t)(past - name), lower)) {
			value_read(skip_blanks(at + 1, end), end, p);
			return true;
		}
		at = param_end(at, end);
	}
	return false;
}

size_t media_param_copy(const struct media_param *p, char *out, size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; i < p->len && n < cap; i++) {
		if (p->quoted && p->bytes[i] == '\\' && i + 1 < p->len)
			i++;
		out[n++] = p->bytes[i];
	}
	return n;
}
