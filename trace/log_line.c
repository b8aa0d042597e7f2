/*
 * log_line.c -- one line of proxy.ndjson, piece by piece.
 *
 * Never reads behind the line, and never accepts what jansson would refuse: whatever is not exactly
 * as the proxy writes it fails, and failing is sticky.
 */
#include "trace/log_line.h"

#include <string.h>

#include "common/clock.h"
#include "common/digits.h"
#include "common/json_plain.h"

#define LEG_ENDS_MAX   160 /* two addresses and a stamp, with their keys */
#define LEG_ENDS_KNOWN 256

struct reader {
	const char *at;
	const char *end;
	bool failed;
};

/* ---- pieces ---------------------------------------------------------------------------------- */

static inline bool skip_text(struct reader *r, const char *text, size_t len)
{
	if ((size_t)(r->end - r->at) < len || memcmp(r->at, text, len) != 0)
		return false;
	r->at += len;
	return true;
}

/* A text of our own that may follow here; what must follow here. */
#define SKIP(r, text) skip_text(r, text, sizeof(text) - 1)
#define NEED(r, text) ((r)->failed |= !SKIP(r, text))

/* A whole number without sign or leading zero, of at most 18 digits: digit by digit. */
static uint64_t read_long(struct reader *r)
{
	const char *p = r->at;
	uint64_t v = 0;

	while (p < r->end && (uint8_t)(*p - '0') <= 9 && p - r->at < 19)
		v = v * 10 + (uint8_t)(*p++ - '0');
	if (p == r->at || p - r->at > 18 || (*r->at == '0' && p - r->at > 1))
		r->failed = true;
	r->at = p;
	return v;
}

/* The same, at once when it has less than eight digits. */
static inline uint64_t read_u64(struct reader *r)
{
	uint64_t word;
	unsigned n;

	if ((size_t)(r->end - r->at) < sizeof(word))
		return read_long(r);
	word = digits_load(r->at);
	n = digits_count(word);
	if (n == 0 || n == 8)
		return read_long(r);
	if (*r->at == '0' && n > 1)
		r->failed = true;
	r->at += n;
	return digits_value(word, n);
}

static inline uint64_t read_between(struct reader *r, uint64_t low, uint64_t high)
{
	uint64_t v = read_u64(r);

	r->failed |= v < low || v > high;
	return v;
}

static inline uint64_t read_hex(struct reader *r, size_t digits)
{
	uint64_t v = 0;

	if ((size_t)(r->end - r->at) < digits) {
		r->failed = true;
		return 0;
	}
	for (size_t i = 0; i < digits; i++) {
		uint8_t c = (uint8_t)*r->at++;
		uint8_t letter = (uint8_t)(c - 'a');

		r->failed |= (uint8_t)(c - '0') > 9 && letter > 5;
		v = v << 4 | (letter <= 5 ? letter + 10U : c & 15U);
	}
	return v;
}

static inline uint64_t read_clock(struct reader *r)
{
	uint64_t ns = 0;

	if ((size_t)(r->end - r->at) < CLOCK_TEXT_LEN + 2 || r->at[0] != '"' ||
	    r->at[CLOCK_TEXT_LEN + 1] != '"' || !clock_parse(r->at + 1, CLOCK_TEXT_LEN, &ns)) {
		r->failed = true;
		return 0;
	}
	r->at += CLOCK_TEXT_LEN + 2;
	return ns;
}

/* The characters of a text up to its closing quote, which is passed. Escapes are another form. */
static inline size_t read_plain(struct reader *r)
{
	const char *from = r->at, *p = from;
	uint64_t special = 0;

	while ((size_t)(r->end - p) >= sizeof(uint64_t)) {
		special = json_special_bytes(digits_load(p));
		if (special != 0)
			break;
		p += sizeof(uint64_t);
	}
	/* Of the bytes that it tells of the first is one for sure. */
	p += special != 0 ? __builtin_ctzll(special) / 8 : 0;
	if (special == 0 || *p != '"')
		r->failed = true;
	else
		p++;
	r->at = p;
	return (size_t)(p - from) - !r->failed;
}

static inline void skip_text_or_null(struct reader *r)
{
	if (SKIP(r, "\""))
		(void)read_plain(r);
	else
		NEED(r, "null");
}

static inline void read_word(struct reader *r, char out[24])
{
	const char *from = r->at;
	size_t len = read_plain(r);

	if (len == 0 || len >= 24)
		r->failed = true;
	else if (!r->failed)
		memcpy(out, from, len);
}

/* At most 255 or 65535, as `most` says, and the character behind it. */
static inline bool read_small(struct reader *r, uint32_t most, char behind, uint32_t *out)
{
	uint64_t word = digits_load(r->at);
	unsigned n = digits_count(word);

	if (n == 0 || n > 5 || (*r->at == '0' && n > 1) || r->at[n] != behind)
		return false;
	*out = digits_value(word, n);
	r->at += n + 1;
	return *out <= most;
}

#define IP4_ROOM 32 /* the longest address, and what is read at once behind its last digit */

/* IPv4 by hand, up to the closing quote; other families are rare enough for the general parser. */
static inline bool read_ip4(struct reader *r, struct addr *out)
{
	struct reader ahead = *r;
	uint32_t v = 0;

	if ((size_t)(r->end - r->at) < IP4_ROOM)
		return false;
	for (unsigned i = 0; i < 4; i++) {
		if (!read_small(&ahead, 255, i < 3 ? '.' : ':', &v))
			return false;
		out->ip[i] = (uint8_t)v;
	}
	if (!read_small(&ahead, 65535, '"', &v))
		return false;
	out->port = (uint16_t)v;
	out->family = ADDR_IP4;
	r->at = ahead.at;
	return true;
}

static inline void read_addr(struct reader *r, struct addr *out)
{
	const char *from;
	size_t len;

	*out = (struct addr){0};
	if (SKIP(r, "null"))
		return;
	NEED(r, "\"");
	if (r->failed || read_ip4(r, out))
		return;
	*out = (struct addr){0};
	from = r->at;
	len = read_plain(r);
	r->failed = r->failed || !addr_parse(from, len, out);
}

static inline struct byte_range read_range(struct reader *r)
{
	struct byte_range range;

	if (SKIP(r, "null"))
		return byte_range_none();
	NEED(r, "[");
	range.first = read_u64(r);
	NEED(r, ",");
	range.past = read_u64(r);
	NEED(r, "]");
	r->failed |= range.past <= range.first;
	return range;
}

static inline int64_t read_moment(struct reader *r)
{
	if (SKIP(r, "null"))
		return MOMENT_NEVER;
	return (int64_t)read_between(r, 0, INT64_MAX / 1000000);
}

/* ---- the line -------------------------------------------------------------------------------- */

static void read_request(struct reader *r, struct exchange_record *x)
{
	NEED(r, "{\"v\":1,\"run\":\"");
	x->run = (uint32_t)read_hex(r, 8);
	NEED(r, "\",\"id\":\"");
	x->id = read_hex(r, 16);
	NEED(r, "\",\"start\":");
	x->start_ns = read_clock(r);
	NEED(r, ",\"method\":");
	skip_text_or_null(r);
	NEED(r, ",\"target\":");
	skip_text_or_null(r);
	NEED(r, ",\"version\":");
	skip_text_or_null(r);
	NEED(r, ",\"host\":");
	skip_text_or_null(r);
	NEED(r, ",\"request_id\":");
	skip_text_or_null(r);
	NEED(r, ",\"traceparent\":");
	skip_text_or_null(r);
	NEED(r, ",\"soap\":{\"action\":");
	skip_text_or_null(r);
	NEED(r, ",\"operation\":");
	skip_text_or_null(r);
	NEED(r, ",\"fault\":null},\"status\":");
	x->status = SKIP(r, "null") ? 0 : (uint16_t)read_between(r, 100, 999);
	NEED(r, ",\"end\":\"");
	read_word(r, x->end);
}

static bool read_bool(struct reader *r)
{
	if (SKIP(r, "true"))
		return true;
	NEED(r, "false");
	return false;
}

static uint16_t read_tls_version(struct reader *r)
{
	if (SKIP(r, "\"1.3\""))
		return TLS_VERSION_13;
	if (SKIP(r, "\"1.2\""))
		return TLS_VERSION_12;
	NEED(r, "null");
	return 0;
}

/* Behind "version": what nobody needs here. */
static void skip_tls_names(struct reader *r)
{
	NEED(r, ",\"cipher\":");
	skip_text_or_null(r);
	NEED(r, ",\"sni\":");
	skip_text_or_null(r);
	NEED(r, ",\"alpn\":");
	skip_text_or_null(r);
}

static void skip_tls_peer(struct reader *r)
{
	NEED(r, ",\"handshake_us\":");
	if (!SKIP(r, "null"))
		(void)read_u64(r);
	NEED(r, ",\"subject\":");
	skip_text_or_null(r);
	NEED(r, ",\"verify\":");
	skip_text_or_null(r);
}

static void read_tls(struct reader *r, struct tls_marks *m)
{
	bool is_fine;

	NEED(r, "{\"version\":");
	m->version = read_tls_version(r);
	skip_tls_names(r);
	NEED(r, ",\"resumed\":");
	m->resumed = read_bool(r);
	skip_tls_peer(r);
	NEED(r, ",\"error\":");
	is_fine = SKIP(r, "null");
	if (!is_fine)
		skip_text_or_null(r);
	NEED(r, ",\"client_hello\":");
	m->at[TLS_MARK_CLIENT_HELLO] = read_range(r);
	NEED(r, ",\"server_hello\":");
	m->at[TLS_MARK_SERVER_HELLO] = read_range(r);
	NEED(r, ",\"server_finished\":");
	m->at[TLS_MARK_SERVER_FINISHED] = read_range(r);
	NEED(r, ",\"client_finished\":");
	m->at[TLS_MARK_CLIENT_FINISHED] = read_range(r);
	m->failed = !is_fine && !tls_marks_complete(m);
	NEED(r, "}");
}

/* Of a connection: the same text in each of its lines, and what it says. */
struct leg_ends {
	char text[LEG_ENDS_MAX];
	uint32_t len; /* 0: none was read yet */
	struct addr local;
	struct addr peer;
	uint64_t opened_ns;
};

static void read_ends(struct reader *r, struct leg_record *leg)
{
	NEED(r, ",\"local\":");
	read_addr(r, &leg->local);
	NEED(r, ",\"peer\":");
	read_addr(r, &leg->peer);
	NEED(r, ",\"opened\":");
	leg->opened_ns = read_clock(r);
}

static void know_ends(struct leg_ends *e, const char *text, size_t len,
		      const struct leg_record *leg)
{
	e->len = 0;
	if (len > sizeof(e->text))
		return;
	memcpy(e->text, text, len);
	e->len = (uint32_t)len;
	e->local = leg->local;
	e->peer = leg->peer;
	e->opened_ns = leg->opened_ns;
}

/* Lines of one connection come again and again: what was read once is compared. */
static void read_known_ends(struct reader *r, struct leg_record *leg)
{
	static _Thread_local struct leg_ends cache[LEG_ENDS_KNOWN];
	struct leg_ends *e = &cache[leg->conn % ARRAY_LEN(cache)];
	const char *from = r->at;

	if (e->len > 0 && skip_text(r, e->text, e->len)) {
		leg->local = e->local;
		leg->peer = e->peer;
		leg->opened_ns = e->opened_ns;
		return;
	}
	read_ends(r, leg);
	if (!r->failed)
		know_ends(e, from, (size_t)(r->at - from), leg);
}

static void read_leg(struct reader *r, struct leg_record *leg, struct log_tls *tls, bool is_backend)
{
	*leg = leg_record_none();
	NEED(r, "{\"conn\":");
	leg->conn = read_between(r, 1, INT64_MAX);
	NEED(r, ",\"nth\":");
	leg->nth = (uint32_t)read_between(r, 1, UINT32_MAX);
	if (is_backend) {
		NEED(r, ",\"reused\":");
		leg->reused = read_bool(r);
	}
	read_known_ends(r, leg);
	if (!SKIP(r, ",\"tls\":null,\"request\":")) {
		NEED(r, ",\"tls\":");
		tls->is_there[is_backend] = true;
		read_tls(r, &tls->marks[is_backend]);
		NEED(r, ",\"request\":");
	}
	leg->request = read_range(r);
	NEED(r, ",\"interim\":");
	leg->interim = read_range(r);
	NEED(r, ",\"response\":");
	leg->response = read_range(r);
}

static void read_backend(struct reader *r, struct exchange_record *x, struct log_tls *tls)
{
	if (SKIP(r, "null")) {
		x->backend = leg_record_none();
		return;
	}
	read_leg(r, &x->backend, tls, true);
	NEED(r, ",\"attempts\":");
	x->attempts = (uint8_t)read_between(r, 1, UINT8_MAX);
	NEED(r, ",\"tries\":[]}");
}

static void read_moments(struct reader *r, int64_t at_us[MOMENT_COUNT])
{
	NEED(r, "\"at_us\":{\"request_end\":");
	at_us[MOMENT_REQUEST_END] = read_moment(r);
	NEED(r, ",\"backend_ready\":");
	at_us[MOMENT_BACKEND_READY] = read_moment(r);
	NEED(r, ",\"backend_request_end\":");
	at_us[MOMENT_BACKEND_REQUEST_END] = read_moment(r);
	NEED(r, ",\"backend_response_start\":");
	at_us[MOMENT_BACKEND_RESPONSE_START] = read_moment(r);
	NEED(r, ",\"backend_response_end\":");
	at_us[MOMENT_BACKEND_RESPONSE_END] = read_moment(r);
	NEED(r, ",\"response_end\":");
	at_us[MOMENT_RESPONSE_END] = read_moment(r);
	NEED(r, "},\"bytes\":{\"request_body\":");
}

static void read_bytes(struct reader *r, struct exchange_record *x)
{
	x->request_body_bytes = read_u64(r);
	NEED(r, ",\"response_body\":");
	x->response_body_bytes = read_u64(r);
	NEED(r, "}}\n");
}

bool log_line_read(const char *line, size_t len, struct exchange_record *x, struct log_tls *tls)
{
	struct reader r = {.at = line, .end = line + len};

	memset(x, 0, sizeof(*x));
	memset(tls, 0, sizeof(*tls));
	read_request(&r, x);
	if (r.failed)
		return false;
	NEED(&r, ",\"client\":");
	read_leg(&r, &x->client, tls, false);
	NEED(&r, "},\"backend\":");
	if (r.failed)
		return false;
	read_backend(&r, x, tls);
	NEED(&r, ",");
	read_moments(&r, x->at_us);
	read_bytes(&r, x);
	return !r.failed && r.at == r.end;
}

/* ---- the times ------------------------------------------------------------------------------- */

#define TAIL_MAX 400 /* from "at_us" on: keys, six moments, two numbers */

/* Where "at_us" stands: the last but one object of the line begins behind it. NULL: nowhere near. */
static const char *find_moments(const char *line, size_t len)
{
	static const char key[] = "\"at_us\":";
	const char *least = len > TAIL_MAX ? line + len - TAIL_MAX : line;
	const char *at = memrchr(least, '{', (size_t)(line + len - least));

	if (at != NULL)
		at = memrchr(least, '{', (size_t)(at - least));
	if (at == NULL || (size_t)(at - least) < sizeof(key) - 1)
		return NULL;
	return at - (sizeof(key) - 1);
}

bool log_line_read_times(const char *line, size_t len, struct log_line_times *t)
{
	struct reader r = {.at = line, .end = line + len};
	int64_t at_us[MOMENT_COUNT];

	NEED(&r, "{\"v\":1,\"run\":\"");
	t->run = (uint32_t)read_hex(&r, 8);
	NEED(&r, "\",\"id\":\"");
	(void)read_hex(&r, 16);
	NEED(&r, "\",\"start\":");
	t->start_ns = read_clock(&r);
	if (r.failed)
		return false;
	r.at = find_moments(line, len);
	if (r.at == NULL)
		return false;
	read_moments(&r, at_us);
	t->end_ns = exchange_end_ns(t->start_ns, at_us);
	return !r.failed;
}
