/*
 * tap_reader.c -- messages and records of the tap, by value.
 *
 * Nothing is read but through the cursor, and no record is passed on before it was checked.
 */
#include "trace/tap_reader.h"

#include <string.h>

#include "common/cursor.h"

/* A record of later make may be longer than ours; a shorter one is none. */
static bool take(struct cursor *body, void *out, size_t len)
{
	const uint8_t *p = cursor_take(body, len);

	if (p != NULL)
		memcpy(out, p, len);
	return p != NULL;
}

static bool addr_is_sound(const struct addr *a)
{
	return a->zero == 0 &&
	       (a->family == ADDR_NONE || a->family == ADDR_IP4 || a->family == ADDR_IP6);
}

static bool range_is_sound(const struct byte_range *r)
{
	if (!byte_range_exists(r))
		return r->past == BYTE_RANGE_NONE;
	return r->first <= r->past && r->past < BYTE_RANGE_NONE / 2;
}

static const char *leg_fault(const struct leg_record *l)
{
	if (!range_is_sound(&l->request) || !range_is_sound(&l->interim) ||
	    !range_is_sound(&l->response) || !range_is_sound(&l->tunnel_up) ||
	    !range_is_sound(&l->tunnel_down))
		return "a range ends before it begins";
	if (!addr_is_sound(&l->local) || !addr_is_sound(&l->peer))
		return "an address of no known family";
	return NULL;
}

const char *tls_marks_fault(const struct tls_marks *m)
{
	if (m->version != 0 && m->version != TLS_VERSION_12 && m->version != TLS_VERSION_13)
		return "a version of TLS that is not spoken here";
	for (unsigned i = 0; i < TLS_MARK_COUNT; i++)
		if (!range_is_sound(&m->at[i]))
			return "a range ends before it begins";
	return NULL;
}

static bool word_is_sound(const char word[24])
{
	return memchr(word, '\0', 24) != NULL;
}

const char *exchange_record_fault(const struct exchange_record *x)
{
	const char *fault = leg_fault(&x->client);

	if (fault == NULL)
		fault = leg_fault(&x->backend);
	if (x->tries_count > ARRAY_LEN(x->tries))
		return "more tries than there can be";
	for (unsigned i = 0; fault == NULL && i < x->tries_count; i++) {
		fault = leg_fault(&x->tries[i].leg);
		if (!word_is_sound(x->tries[i].end))
			return "a word without an end";
	}
	for (unsigned i = 0; i < MOMENT_COUNT; i++)
		if (x->at_us[i] != MOMENT_NEVER &&
		    (x->at_us[i] < 0 || x->at_us[i] > INT64_MAX / 1000000))
			return "a moment before the start, or too late";
	if (!word_is_sound(x->end))
		return "a word without an end";
	if (x->client.conn == 0)
		return "no client connection";
	return fault;
}

/* ---- records --------------------------------------------------------------------------------- */

static const char too_short[] = "a record is too short for its type";

static const char *read_open(struct cursor *body, const struct tap_message *m,
			     const struct tap_calls *calls)
{
	struct tap_open r;

	if (!take(body, &r, sizeof(r)))
		return too_short;
	if (r.leg > TAP_BACKEND || !addr_is_sound(&r.local) || !addr_is_sound(&r.peer) ||
	    r.conn == 0)
		return "an open record names no connection";
	if (calls->open != NULL)
		calls->open(calls->arg, m, &r);
	return NULL;
}

static const char *read_tls(struct cursor *body, const struct tap_message *m,
			    const struct tap_calls *calls)
{
	struct tap_tls r;
	const char *fault;

	if (!take(body, &r, sizeof(r)))
		return too_short;
	fault = r.conn == 0 || r.sent_off >= BYTE_RANGE_NONE / 4 ? "a handshake of no connection"
								 : tls_marks_fault(&r.tls);
	if (fault == NULL && calls->tls != NULL)
		calls->tls(calls->arg, m, &r);
	return fault;
}

static const char *read_begin(struct cursor *body, const struct tap_message *m,
			      const struct tap_calls *calls)
{
	struct tap_begin r;

	if (!take(body, &r, sizeof(r)))
		return too_short;
	if (r.part >= TAP_PARTS || r.head_len > sizeof(r.head) || r.first >= BYTE_RANGE_NONE / 2)
		return "a begin record of no known part";
	if (calls->begin != NULL)
		calls->begin(calls->arg, m, &r);
	return NULL;
}

static const char *read_progress(struct cursor *body, const struct tap_message *m,
				 const struct tap_calls *calls)
{
	const struct byte_range none = byte_range_none();
	struct tap_progress r;
	struct byte_range range;

	if (!take(body, &r, sizeof(r)))
		return too_short;
	range = (struct byte_range){r.first, r.past};
	if (r.part >= TAP_PARTS || !range_is_sound(&range) || r.first == none.first)
		return "a progress record without a range";
	if (calls->progress != NULL)
		calls->progress(calls->arg, m, &r);
	return NULL;
}

static const char *read_part(struct cursor *body, const struct tap_message *m,
			     const struct tap_calls *calls)
{
	struct tap_part_known r;
	struct byte_range range;

	if (!take(body, &r, sizeof(r)))
		return too_short;
	range = (struct byte_range){r.first, r.past};
	if (r.part >= TAP_PARTS || !range_is_sound(&range) || !byte_range_exists(&range))
		return "a part record without a range";
	if (calls->part != NULL)
		calls->part(calls->arg, m, &r);
	return NULL;
}

/* What stands between `end` and the tries that it names must have come. */
static bool take_end(struct cursor *body, struct tap_end *r)
{
	size_t tries_len;

	if (!take(body, r, tap_end_len(0)))
		return false;
	if (r->x.tries_count > ARRAY_LEN(r->x.tries))
		return true; /* refused as a whole */
	tries_len = tap_end_len(r->x.tries_count) - tap_end_len(0);
	return take(body, r->x.tries, tries_len);
}

static const char *read_end(struct cursor *body, const struct tap_message *m,
			    const struct tap_calls *calls)
{
	struct tap_end r;
	const char *fault;

	if (!take_end(body, &r))
		return too_short;
	fault = exchange_record_fault(&r.x);
	if (fault == NULL && calls->end != NULL)
		calls->end(calls->arg, m, &r);
	return fault;
}

static const char *read_close(struct cursor *body, const struct tap_message *m,
			      const struct tap_calls *calls)
{
	struct tap_close r;

	if (!take(body, &r, sizeof(r)))
		return too_short;
	if (r.leg > TAP_BACKEND || !word_is_sound(r.end))
		return "a close record of no known leg";
	if (calls->close != NULL)
		calls->close(calls->arg, m, &r);
	return NULL;
}

static bool is_text(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] < ' ' || text[i] > '~')
			return false;
	return true;
}

static const char *read_secret(struct cursor *body, const struct tap_message *m,
			       const struct tap_calls *calls)
{
	struct tap_secret r;
	const char *line;

	if (!take(body, &r, sizeof(r)))
		return too_short;
	line = (const char *)cursor_take(body, r.len);
	if (line == NULL)
		return too_short;
	if (r.conn == 0 || r.len == 0 || !is_text(line, r.len))
		return "a secret that is no line of a key log";
	if (calls->secret != NULL)
		calls->secret(calls->arg, m, &r, line);
	return NULL;
}

static const char *read_shared(struct cursor *body, const struct tap_message *m,
			       const struct tap_calls *calls)
{
	struct tap_shared r;

	if (!take(body, &r, sizeof(r)))
		return too_short;
	if (r.conn == 0 || (r.off >= BYTE_RANGE_NONE / 4 && r.off != UINT64_MAX))
		return "shared bytes of no connection";
	if (calls->shared != NULL)
		calls->shared(calls->arg, m, &r);
	return NULL;
}

static const char *read_endpoint(struct cursor *body, const struct tap_message *m,
				 const struct tap_calls *calls)
{
	struct tap_endpoint r;

	if (!take(body, &r, sizeof(r)))
		return too_short;
	if (r.leg > TAP_BACKEND || !addr_is_sound(&r.addr))
		return "an endpoint of no known leg";
	if (calls->endpoint != NULL)
		calls->endpoint(calls->arg, m, &r);
	return NULL;
}

static const char *read_position(struct cursor *body, const struct tap_message *m,
				 const struct tap_calls *calls)
{
	struct tap_position r;

	if (!take(body, &r, sizeof(r)))
		return too_short;
	if (r.sent_off >= BYTE_RANGE_NONE / 4 || r.read_off >= BYTE_RANGE_NONE / 4 || r.conn == 0)
		return "a position of no connection";
	if (calls->position != NULL)
		calls->position(calls->arg, m, &r);
	return NULL;
}

static const char *read_hello(struct cursor *body, const struct tap_message *m,
			      const struct tap_calls *calls)
{
	struct tap_hello r;

	if (!take(body, &r, sizeof(r)))
		return too_short;
	if (calls->hello != NULL)
		calls->hello(calls->arg, m, &r);
	return NULL;
}

static const char *read_clock(struct cursor *body, const struct tap_message *m,
			      const struct tap_calls *calls)
{
	struct tap_clock r;

	if (!take(body, &r, sizeof(r)))
		return too_short;
	if (calls->clock != NULL)
		calls->clock(calls->arg, m, &r);
	return NULL;
}

static const char *read_record(uint16_t type, struct cursor *body, const struct tap_message *m,
			       const struct tap_calls *calls)
{
	switch (type) {
	case TAP_HELLO:
		return read_hello(body, m, calls);
	case TAP_CLOCK:
		return read_clock(body, m, calls);
	case TAP_ENDPOINT:
		return read_endpoint(body, m, calls);
	case TAP_OPEN:
		return read_open(body, m, calls);
	case TAP_SHARED:
		return read_shared(body, m, calls);
	case TAP_TLS:
		return read_tls(body, m, calls);
	case TAP_POSITION:
		return read_position(body, m, calls);
	case TAP_BEGIN:
		return read_begin(body, m, calls);
	case TAP_PROGRESS:
		return read_progress(body, m, calls);
	case TAP_PART:
		return read_part(body, m, calls);
	case TAP_END:
		return read_end(body, m, calls);
	case TAP_CLOSE:
		return read_close(body, m, calls);
	case TAP_SECRET:
		return read_secret(body, m, calls);
	case TAP_BUSY:
		if (calls->busy != NULL)
			calls->busy(calls->arg, m);
		return NULL;
	default:
		return NULL;
	}
}

/* ---- messages -------------------------------------------------------------------------------- */

static bool read_head(struct cursor *c, struct tap_message *m)
{
	return take(c, m, sizeof(*m)) && m->magic == TAP_MAGIC && m->version == TAP_VERSION;
}

bool tap_read_head(const void *bytes, size_t len, struct tap_message *m)
{
	struct cursor c = cursor_of(bytes, len);

	return read_head(&c, m);
}

const char *tap_read(const void *bytes, size_t len, const struct tap_calls *calls,
		     uint64_t *mono_ns)
{
	struct cursor c = cursor_of(bytes, len);
	struct tap_message m;
	const char *fault = NULL;

	if (!read_head(&c, &m))
		return "it is no message of this version of the tap";
	while (fault == NULL && cursor_left(&c) > 0) {
		struct cursor peek = c;
		struct tap_record head;
		struct cursor body;

		if (!take(&peek, &head, sizeof(head)) || head.len < sizeof(head) ||
		    head.len % 8 != 0)
			return "a record has no sound length";
		body = cursor_sub(&c, head.len);
		if (body.failed)
			return "a record ends behind its message";
		if (m.lost_before > 0 && calls->lost != NULL)
			calls->lost(calls->arg, &m, *mono_ns, head.mono_ns);
		m.lost_before = 0;
		*mono_ns = head.mono_ns;
		fault = read_record(head.type, &body, &m, calls);
	}
	return fault;
}
