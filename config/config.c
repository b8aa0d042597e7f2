/*
 * config.c -- the one table of keys: what each is called, where it goes, what it may be, and its
 * default.
 *
 * Defaults are the table's own texts read by the same functions as everybody's values. Reads no
 * file and touches nothing outside struct config.
 *
 * Invariant: a value that is refused leaves the configuration as it was.
 */
#include "config/config.h"

#include <assert.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config/config_address.h"
#include "config/config_key.h"
#include "config/config_words.h"

#define WORKERS_MAX 256
#define DAY_MS      86400000
#define LEN_MAX     65 /* of what edit_distance() compares */

enum key_kind {
	KEY_LISTEN,
	KEY_BACKEND,
	KEY_U32,
	KEY_U64,
	KEY_AUTO_U32, /* a number or "auto" */
	KEY_CHOICE,   /* stored as an enum; not stored where size is 0 */
	KEY_TEXT,     /* size bytes with the NUL */
	KEY_LIST,     /* of such texts: max of them at the most */
	KEY_INTERFACES,
};

struct key {
	const char *section;
	const char *name;
	const char *standard; /* the default, as it would stand in a file */
	uint64_t min;
	uint64_t max;
	const struct config_word *choices; /* ended by a NULL word */
	size_t offset;                     /* in struct config */
	size_t size;
	size_t count_offset; /* of a list: how many there are, a uint32_t in struct config */
	enum key_kind kind;
	bool repeats; /* may stand several times in a file */
	bool secret;  /* its value is never repeated */
};

#define AT(field)    .offset = offsetof(struct config, field)
#define KEY(s, n)    .section = #s, .name = #n
#define SIZED(field) AT(field), .size = sizeof(((struct config *)NULL)->field)

#define NUMBER(s, n, def, lo, hi)                                                              \
	{                                                                                      \
		KEY(s, n), AT(s.n), .kind = KEY_U32, .standard = def, .min = (lo), .max = (hi) \
	}
#define AUTO_NUMBER(s, n, lo, hi)                                                          \
	{                                                                                  \
		KEY(s, n), AT(s.n), .kind = KEY_AUTO_U32, .standard = "auto", .min = (lo), \
				    .max = (hi)                                            \
	}
#define WORDS(s, n, def, list)                                                                \
	{                                                                                     \
		KEY(s, n), SIZED(s.n), .kind = KEY_CHOICE, .standard = def, .choices = (list) \
	}
#define UNSTORED(s, n, def, list)                                                 \
	{                                                                         \
		KEY(s, n), .kind = KEY_CHOICE, .standard = def, .choices = (list) \
	}
#define TEXT(s, n)                                                      \
	{                                                               \
		KEY(s, n), SIZED(s.n), .kind = KEY_TEXT, .standard = "" \
	}
#define SECRET(s, n)                                                                    \
	{                                                                               \
		KEY(s, n), SIZED(s.n), .kind = KEY_TEXT, .standard = "", .secret = true \
	}
#define LIST(s, n, hidden)                                                                \
	{                                                                                 \
		KEY(s, n), AT(s.n), .size = sizeof(((struct config *)NULL)->s.n[0]),      \
				    .max = ARRAY_LEN(((struct config *)NULL)->s.n),       \
				    .count_offset = offsetof(struct config, s.n##_count), \
				    .kind = KEY_LIST, .standard = "", .repeats = true,    \
				    .secret = (hidden)                                    \
	}

static const struct key keys[] = {
	{KEY(proxy, listen), .kind = KEY_LISTEN, .standard = "localhost:8585", .repeats = true},
	{KEY(proxy, backend), .kind = KEY_BACKEND, .standard = "http://127.0.0.1:8080"},
	AUTO_NUMBER(proxy, workers, 1, WORKERS_MAX),
	TEXT(proxy, user),
	WORDS(proxy, missing_host, "accept", config_words_missing_host),
	WORDS(proxy, host_header, "client", config_words_host_header),
	WORDS(proxy, request_ids, "make", config_words_request_ids),
	NUMBER(proxy, pool_size, "1024", 0, 1000000),
	NUMBER(proxy, max_header_bytes, "65536", 1024, 1048576),
	NUMBER(proxy, max_headers, "256", 8, 4096),
	{KEY(proxy, max_body_bytes), AT(proxy.max_body_bytes), .kind = KEY_U64, .standard = "0",
	 .max = INT64_MAX},
	AUTO_NUMBER(proxy, max_connections, 1, 10000000),
	NUMBER(proxy, header_timeout_ms, "10000", 1, DAY_MS),
	NUMBER(proxy, idle_timeout_ms, "75000", 1, DAY_MS),
	NUMBER(proxy, body_timeout_ms, "60000", 1, DAY_MS),
	NUMBER(proxy, send_timeout_ms, "60000", 1, DAY_MS),
	NUMBER(proxy, connect_timeout_ms, "5000", 1, DAY_MS),
	NUMBER(proxy, backend_timeout_ms, "60000", 1, DAY_MS),
	NUMBER(proxy, pool_idle_ms, "30000", 1, DAY_MS),
	NUMBER(proxy, tunnel_timeout_ms, "3600000", 1, DAY_MS),
	NUMBER(proxy, request_timeout_ms, "0", 0, DAY_MS),
	NUMBER(proxy, max_requests, "0", 0, 1000000000),
	NUMBER(proxy, max_age_ms, "0", 0, DAY_MS),
	NUMBER(proxy, stop_ms, "10000", 1, DAY_MS),

	LIST(tls, keystore, false),
	LIST(tls, keystorepassword, true),
	TEXT(tls, truststore),
	SECRET(tls, truststorepassword),
	WORDS(tls, verify, "full", config_words_verify),
	WORDS(tls, client_auth, "none", config_words_client_auth),
	WORDS(tls, min_version, "1.2", config_words_min_version),

	TEXT(log, access_log),
	WORDS(log, soap, "action", config_words_soap),

	TEXT(trace, dir),
	TEXT(trace, control),
	{KEY(trace, interfaces), .kind = KEY_INTERFACES, .standard = "auto"},
	WORDS(trace, payload, "full", config_words_payload),
	WORDS(trace, secrets, "off", config_words_secrets),
	NUMBER(trace, buffer_mb, "64", 1, 4096),
	NUMBER(trace, hold_ms, "2000", 100, 60000),
	UNSTORED(trace, keep, "all", config_words_keep),
};

_Static_assert(ARRAY_LEN(keys) <= 64, "one bit each in config.given");

/* ---- sentences --------------------------------------------------------------------------------- */

bool config_error(char err[CONFIG_ERROR_MAX], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, CONFIG_ERROR_MAX, fmt, ap);
	va_end(ap);
	return false;
}

struct config_quoted config_quote(const char *text)
{
	struct config_quoted q;
	size_t room = sizeof(q.text) - 4;
	size_t n = 0;

	for (; text[n] != '\0' && n < room; n++)
		q.text[n] = (unsigned char)text[n] < 0x20 || text[n] == 0x7f ? '?' : text[n];
	memcpy(q.text + n, "...", sizeof("..."));
	if (text[n] == '\0')
		q.text[n] = '\0';
	return q;
}

/* `[proxy] workers = "x": why`; of a password, which it says nothing of: `[tls] key: why` */
static bool key_refuse(char err[CONFIG_ERROR_MAX], const struct key *k, const char *value,
		       const char *why)
{
	if (k->secret)
		return config_error(err, "[%s] %s: %s", k->section, k->name, why);
	return config_error(err, "[%s] %s = \"%s\": %s", k->section, k->name,
			    config_quote(value).text, why);
}

/* Levenshtein's distance; long names are far from everything. */
static size_t edit_distance(const char *a, const char *b)
{
	size_t row[LEN_MAX + 1];
	size_t b_len = strlen(b);

	if (strlen(a) > LEN_MAX || b_len > LEN_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= b_len; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1] != '\0'; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			size_t change = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			row[j] = MIN(MIN(row[j], row[j - 1]) + 1, change);
		}
	}
	return row[b_len];
}

/* Two slips of the finger are close, in short names one. */
static bool is_close(size_t distance, const char *name)
{
	return distance <= (strlen(name) > 5 ? 2 : 1);
}

static bool refuse_section(char err[CONFIG_ERROR_MAX], const char *section)
{
	const char *nearest = NULL;
	size_t best = SIZE_MAX;

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		size_t d = edit_distance(section, keys[i].section);

		if (d < best) {
			best = d;
			nearest = keys[i].section;
		}
	}
	if (nearest != NULL && is_close(best, nearest))
		return config_error(err, "[%s]: no such section; did you mean [%s]?",
				    config_quote(section).text, nearest);
	return config_error(err,
			    "[%s]: no such section; there are [proxy], [tls], [log] and [trace]",
			    config_quote(section).text);
}

static bool refuse_key(char err[CONFIG_ERROR_MAX], const char *section, const char *name)
{
	const struct config_quoted quoted = config_quote(name);
	const struct key *nearest = NULL;
	size_t best = SIZE_MAX;
	bool section_known = false;

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		bool here = strcmp(keys[i].section, section) == 0;
		size_t d = edit_distance(name, keys[i].name);

		section_known |= here;
		if (d < best || (d == best && here)) {
			best = d;
			nearest = &keys[i];
		}
	}
	if (!section_known)
		return refuse_section(err, section);
	if (nearest == NULL || !is_close(best, nearest->name))
		return config_error(err, "[%s] %s: no such key", section, quoted.text);
	if (strcmp(nearest->section, section) == 0)
		return config_error(err, "[%s] %s: no such key; did you mean %s?", section,
				    quoted.text, nearest->name);
	return config_error(err, "[%s] %s: no such key; did you mean %s in [%s]?", section,
			    quoted.text, nearest->name, nearest->section);
}

/* ---- values ------------------------------------------------------------------------------------ */

/* The processors this process may run on, as many as there may be workers. */
static uint32_t workers_auto(void)
{
	cpu_set_t set;
	long n;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		n = CPU_COUNT(&set);
	else /* EINVAL: more processors than a cpu_set_t can name */
		n = sysconf(_SC_NPROCESSORS_ONLN);
	return n < 1 ? 1 : (uint32_t)MIN(n, WORKERS_MAX);
}

/* Decimal digits only: no sign, no space, no unit. */
static bool number_parse(const char *text, uint64_t *value)
{
	uint64_t v = 0;

	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return false;
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*text - '0'), &v))
			return false;
	}
	*value = v;
	return true;
}

static bool set_number(const struct key *k, void *field, const char *value,
		       char err[CONFIG_ERROR_MAX])
{
	bool or_auto = k->kind == KEY_AUTO_U32;
	char why[96];
	uint32_t v32;
	uint64_t v;

	if (or_auto && strcmp(value, "auto") == 0) {
		/* The one other such key, max_connections, is derived at start: 0. */
		v = strcmp(k->name, "workers") == 0 ? workers_auto() : 0;
	} else if (!number_parse(value, &v) || v < k->min || v > k->max) {
		snprintf(why, sizeof(why), "a whole number from %llu to %llu%s",
			 (unsigned long long)k->min, (unsigned long long)k->max,
			 or_auto ? ", or auto" : "");
		return key_refuse(err, k, value, why);
	}
	if (k->kind == KEY_U64) {
		memcpy(field, &v, sizeof(v));
		return true;
	}
	v32 = (uint32_t)v;
	memcpy(field, &v32, sizeof(v32));
	return true;
}

static bool set_choice(const struct key *k, void *field, const char *value,
		       char err[CONFIG_ERROR_MAX])
{
	char why[128] = "";
	size_t used = 0;

	for (const struct config_word *o = k->choices; o->word != NULL; o++) {
		if (strcmp(o->word, value) == 0) {
			if (o->refusal != NULL)
				return key_refuse(err, k, value, o->refusal);
			memcpy(field, &o->value, k->size);
			return true;
		}
		if (o->word[0] == '\0' || o->refusal != NULL)
			continue;
		used += (size_t)snprintf(why + used, sizeof(why) - used, "%s%s",
					 used > 0 ? " or " : "", o->word);
		assert(used < sizeof(why));
	}
	return key_refuse(err, k, value, why);
}

static bool set_text(const struct key *k, char *field, const char *value,
		     char err[CONFIG_ERROR_MAX])
{
	size_t len = strlen(value);
	char why[64];

	if (len >= k->size) {
		snprintf(why, sizeof(why), "at most %zu bytes, these are %zu", k->size - 1, len);
		return key_refuse(err, k, value, why);
	}
	memcpy(field, value, len + 1);
	return true;
}

/* Add to the list, or begin it anew; an empty value adds nothing. */
static bool set_list(struct config *c, const struct key *k, bool first, const char *value,
		     char err[CONFIG_ERROR_MAX])
{
	char *texts = (char *)c + k->offset;
	char why[64];
	uint32_t count;

	memcpy(&count, (char *)c + k->count_offset, sizeof(count));
	if (first)
		count = 0;
	if (count == k->max) {
		snprintf(why, sizeof(why), "at most %llu of them", (unsigned long long)k->max);
		return key_refuse(err, k, value, why);
	}
	if (!set_text(k, texts + count * k->size, value, err))
		return false;
	count += value[0] != '\0';
	memset(texts + count * k->size, 0, (k->max - count) * k->size);
	memcpy((char *)c + k->count_offset, &count, sizeof(count));
	return true;
}

static const char *interface_add(struct config_trace *t, const char *name, size_t len)
{
	if (len >= sizeof(t->interfaces[0]) || memchr(name, '/', len) != NULL)
		return "an interface name has at most 15 characters and no slash";
	if (len == 4 && memcmp(name, "auto", len) == 0)
		return "auto stands alone, or names do";
	if (t->interface_count == CONFIG_INTERFACES_MAX)
		return "at most 16 interfaces";
	for (uint32_t i = 0; i < t->interface_count; i++)
		if (strlen(t->interfaces[i]) == len && memcmp(t->interfaces[i], name, len) == 0)
			return "each interface stands there once";
	memcpy(t->interfaces[t->interface_count++], name, len);
	return NULL;
}

/* Names with commas or white space between; nothing at all is auto. */
static bool set_interfaces(const struct key *k, struct config_trace *t, const char *value,
			   char err[CONFIG_ERROR_MAX])
{
	static const char between[] = ", \t";
	struct config_trace r = *t;
	const char *at = value;

	r.interface_count = 0;
	memset(r.interfaces, 0, sizeof(r.interfaces));
	if (strcmp(value, "auto") == 0)
		at += strlen(at);
	for (at += strspn(at, between); *at != '\0'; at += strspn(at, between)) {
		size_t len = strcspn(at, between);
		const char *why = interface_add(&r, at, len);

		if (why != NULL)
			return key_refuse(err, k, value, why);
		at += len;
	}
	*t = r;
	return true;
}

static bool set_listen(struct config *c, const struct key *k, bool first, const char *value,
		       char err[CONFIG_ERROR_MAX])
{
	struct config_proxy r = c->proxy;
	const char *why;

	if (first) {
		r.listen_count = 0;
		memset(r.listen, 0, sizeof(r.listen));
	}
	why = config_listen_add(&r, value);
	if (why != NULL)
		return key_refuse(err, k, value, why);
	c->proxy = r;
	return true;
}

static bool set_backend(struct config *c, const struct key *k, const char *value,
			char err[CONFIG_ERROR_MAX])
{
	const char *why = config_backend_parse(&c->proxy.backend, value);

	return why == NULL || key_refuse(err, k, value, why);
}

/* first: no value of this source was set yet. */
static bool key_set(struct config *c, const struct key *k, bool first, const char *value,
		    char err[CONFIG_ERROR_MAX])
{
	void *field = (char *)c + k->offset;

	switch (k->kind) {
	case KEY_LISTEN:
		return set_listen(c, k, first, value, err);
	case KEY_BACKEND:
		return set_backend(c, k, value, err);
	case KEY_U32:
	case KEY_U64:
	case KEY_AUTO_U32:
		return set_number(k, field, value, err);
	case KEY_CHOICE:
		return set_choice(k, field, value, err);
	case KEY_TEXT:
		return set_text(k, field, value, err);
	case KEY_LIST:
		return set_list(c, k, first, value, err);
	case KEY_INTERFACES:
		return set_interfaces(k, &c->trace, value, err);
	}
	return false;
}

/* ---- what others call -------------------------------------------------------------------------- */

static const struct key *key_find(const char *section, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (strcmp(keys[i].section, section) == 0 && strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

bool config_section_check(const char *section, char err[CONFIG_ERROR_MAX])
{
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (strcmp(keys[i].section, section) == 0)
			return true;
	return refuse_section(err, section);
}

static uint64_t key_bit(const struct key *k)
{
	return UINT64_C(1) << (k - keys);
}

void config_defaults(struct config *c)
{
	char err[CONFIG_ERROR_MAX];

	memset(c, 0, sizeof(*c));
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		bool fine = key_set(c, &keys[i], true, keys[i].standard, err);

		assert(fine);
		(void)fine;
	}
}

void config_source_begin(struct config *c)
{
	c->given = 0;
}

bool config_key_repeated(const struct config *c, const char *section, const char *key)
{
	const struct key *k = key_find(section, key);

	return k != NULL && !k->repeats && (c->given & key_bit(k)) != 0;
}

bool config_set(struct config *c, const char *section, const char *key, const char *value,
		char err[CONFIG_ERROR_MAX])
{
	const struct key *k = key_find(section, key);

	if (k == NULL)
		return refuse_key(err, section, key);
	for (const char *p = value; *p != '\0'; p++)
		if (((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7f)
			return config_error(err, "[%s] %s: a control character stands in the value",
					    k->section, k->name);
	if (!key_set(c, k, (c->given & key_bit(k)) == 0, value, err))
		return false;
	c->given |= key_bit(k);
	return true;
}

bool config_set_option(struct config *c, const char *assignment, char err[CONFIG_ERROR_MAX])
{
	const char *equals = strchr(assignment, '=');
	const char *dot = strchr(assignment, '.');
	char section[LEN_MAX];
	char key[LEN_MAX];
	size_t section_len;
	size_t key_len;

	if (equals == NULL || dot == NULL || dot > equals)
		return config_error(err, "\"%s\": SECTION.KEY=VALUE is expected",
				    config_quote(assignment).text);
	section_len = (size_t)(dot - assignment);
	key_len = (size_t)(equals - dot - 1);
	if (section_len >= sizeof(section) || key_len >= sizeof(key))
		return config_error(err, "\"%s\": no such section or key",
				    config_quote(assignment).text);
	memcpy(section, assignment, section_len);
	section[section_len] = '\0';
	memcpy(key, dot + 1, key_len);
	key[key_len] = '\0';
	return config_set(c, section, key, equals + 1, err);
}
