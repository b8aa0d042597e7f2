/*
 * tls_records.c -- from pieces of one direction to records.
 *
 * Invariant: in TLS_RECORDS_HEADER and TLS_RECORDS_BODY, `pieces.next` is known to lie head_len bytes
 * behind a record's begin, or `left` bytes before its end; in TLS_RECORDS_LOST nothing is known
 * before the next place.
 */
#include "trace/tls_records.h"

#include <stdlib.h>
#include <string.h>

#include "common/cursor.h"

#define MESSAGE_HEADER 4
#define HELLO_MIN      38 /* version, random, and lengths */

const char *tls_message_word(uint8_t type)
{
	switch (type) {
	case 0:
		return "HelloRequest";
	case TLS_CLIENT_HELLO:
		return "ClientHello";
	case TLS_SERVER_HELLO:
		return "ServerHello";
	case 4:
		return "NewSessionTicket";
	case TLS_CERTIFICATE:
		return "Certificate";
	case 12:
		return "ServerKeyExchange";
	case 13:
		return "CertificateRequest";
	case 14:
		return "ServerHelloDone";
	case 15:
		return "CertificateVerify";
	case 16:
		return "ClientKeyExchange";
	case TLS_FINISHED:
		return "Finished";
	case 22:
		return "CertificateStatus";
	default:
		return NULL;
	}
}

const char *tls_alert_word(uint8_t alert)
{
	static const struct {
		uint8_t alert;
		const char *word;
	} words[] = {
		{0, "close_notify"},
		{10, "unexpected_message"},
		{20, "bad_record_mac"},
		{22, "record_overflow"},
		{40, "handshake_failure"},
		{42, "bad_certificate"},
		{43, "unsupported_certificate"},
		{44, "certificate_revoked"},
		{45, "certificate_expired"},
		{46, "certificate_unknown"},
		{47, "illegal_parameter"},
		{48, "unknown_ca"},
		{49, "access_denied"},
		{50, "decode_error"},
		{51, "decrypt_error"},
		{70, "protocol_version"},
		{71, "insufficient_security"},
		{80, "internal_error"},
		{86, "inappropriate_fallback"},
		{90, "user_canceled"},
		{100, "no_renegotiation"},
		{109, "missing_extension"},
		{110, "unsupported_extension"},
		{112, "unrecognized_name"},
		{113, "bad_certificate_status_response"},
		{116, "certificate_required"},
		{120, "no_application_protocol"},
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (words[i].alert == alert)
			return words[i].word;
	return NULL;
}

/* ---- life ------------------------------------------------------------------------------------ */

void tls_records_init(struct tls_records *r, const struct tls_records_calls *calls)
{
	*r = (struct tls_records){.calls = *calls, .is_protected = true};
}

void tls_records_fini(struct tls_records *r)
{
	reassembly_fini(&r->pieces);
	free(r->hello);
	r->hello = NULL;
}

bool tls_records_begins(struct tls_records *r, uint64_t off)
{
	unsigned i = r->place_count;

	for (unsigned k = 0; k < r->place_count; k++)
		if (r->places[k] == off)
			return true;
	if (r->place_count == TLS_RECORDS_PLACES_MAX)
		return false;
	for (; i > 0 && r->places[i - 1] > off; i--)
		r->places[i] = r->places[i - 1];
	r->places[i] = off;
	r->place_count++;
	reassembly_init(&r->pieces, r->places[0]);
	return true;
}

bool tls_records_is_over(const struct tls_records *r)
{
	return r->state == TLS_RECORDS_LOST && r->place == r->place_count;
}

/* ---- handshake messages in clear ------------------------------------------------------------- */

static void drop_hello(struct tls_records *r)
{
	free(r->hello);
	r->hello = NULL;
	r->hello_len = r->hello_cap = 0;
}

static void lose_messages(struct tls_records *r)
{
	r->is_message_lost = true;
	r->message_len = 0;
	r->message_left = 0;
	drop_hello(r);
}

static void add_message(struct tls_record *t, uint8_t type)
{
	if (t->message_count < TLS_RECORD_MESSAGES_MAX)
		t->messages[t->message_count++] = type;
	else
		t->has_more_messages = true;
}

/* The message's header was read. */
static void begin_message(struct tls_records *r)
{
	struct cursor c = cursor_of(r->message, MESSAGE_HEADER);
	uint8_t type = cursor_u8(&c);

	r->message_left = (uint32_t)cursor_u8(&c) << 16;
	r->message_left |= cursor_be16(&c);
	add_message(&r->now, type);
	if ((type == TLS_CLIENT_HELLO || type == TLS_SERVER_HELLO) && r->message_left > 0 &&
	    r->message_left <= TLS_HELLO_MAX)
		r->hello = malloc(r->message_left);
	r->hello_len = 0;
	r->hello_cap = r->hello != NULL ? r->message_left : 0;
}

static void end_message(struct tls_records *r)
{
	struct tls_hello *hello = &r->now.hello;

	r->message_len = 0;
	if (r->hello == NULL)
		return;
	r->now.has_hello = r->message[0] == TLS_CLIENT_HELLO
				   ? tls_client_hello_read(r->hello, r->hello_len, hello)
				   : tls_server_hello_read(r->hello, r->hello_len, hello);
	if (!r->now.has_hello)
		*hello = (struct tls_hello){0};
	drop_hello(r);
}

/*
 * Behind a ChangeCipherSpec there is the Finished of TLS 1.2, encrypted, or another hello of TLS
 * 1.3 in clear (RFC 8446 appendix D.4), in a record of its own.
 */
static bool is_second_hello(const struct tls_records *r)
{
	struct cursor c = cursor_of(r->message, MESSAGE_HEADER);
	uint8_t type = cursor_u8(&c);
	uint32_t len = (uint32_t)cursor_u8(&c) << 16;

	len |= cursor_be16(&c);
	return (type == TLS_CLIENT_HELLO || type == TLS_SERVER_HELLO) && len > HELLO_MIN &&
	       len + MESSAGE_HEADER == r->now.len - TLS_RECORD_HEADER;
}

/* The next bytes of a message's header. Returns how many. */
static uint32_t read_message_header(struct tls_records *r, const uint8_t *bytes, uint32_t len)
{
	uint32_t n = MIN(len, (uint32_t)(MESSAGE_HEADER - r->message_len));

	memcpy(r->message + r->message_len, bytes, n);
	r->message_len += (uint8_t)n;
	if (r->message_len < MESSAGE_HEADER)
		return n;
	if (r->has_changed && !is_second_hello(r)) {
		r->message_len = 0;
		r->is_protected = true;
		add_message(&r->now, TLS_FINISHED);
		return n;
	}
	begin_message(r);
	if (r->message_left == 0)
		end_message(r);
	return n;
}

static uint32_t read_message_body(struct tls_records *r, const uint8_t *bytes, uint32_t len)
{
	uint32_t n = MIN(len, r->message_left);

	if (r->hello != NULL && bytes == NULL)
		drop_hello(r);
	if (r->hello != NULL) {
		memcpy(r->hello + r->hello_len, bytes, n);
		r->hello_len += n;
	}
	r->message_left -= n;
	if (r->message_left == 0)
		end_message(r);
	return n;
}

/* bytes may be NULL: they were not captured. */
static void read_handshake(struct tls_records *r, const uint8_t *bytes, uint32_t len)
{
	while (len > 0 && !r->is_protected && !r->is_message_lost) {
		uint32_t n;

		if (r->message_len == MESSAGE_HEADER) {
			n = read_message_body(r, bytes, len);
		} else if (bytes == NULL) {
			lose_messages(r);
			break;
		} else {
			n = read_message_header(r, bytes, len);
		}
		if (bytes != NULL)
			bytes += n;
		len -= n;
	}
}

/* ---- records --------------------------------------------------------------------------------- */

/* Whatever is known of the current record is told. */
static void tell(struct tls_records *r, bool is_whole)
{
	r->now.is_whole = is_whole;
	r->calls.record(r->calls.arg, &r->now);
}

static void expect_header(struct tls_records *r)
{
	r->state = TLS_RECORDS_HEADER;
	r->head_len = 0;
}

static void lose(struct tls_records *r)
{
	if (r->state == TLS_RECORDS_BODY)
		tell(r, false);
	r->state = TLS_RECORDS_LOST;
	lose_messages(r);
}

/* Is it a header of a version of TLS that there is? */
static bool is_header(const uint8_t head[TLS_RECORD_HEADER])
{
	uint32_t len = (uint32_t)head[3] << 8 | head[4];

	return head[0] >= TLS_CHANGE_CIPHER_SPEC && head[0] <= TLS_APPLICATION_DATA &&
	       head[1] == 3 && head[2] <= 4 && len > 0 && len <= TLS_RECORD_BODY_MAX;
}

static void end_record(struct tls_records *r)
{
	switch (r->now.content) {
	case TLS_CHANGE_CIPHER_SPEC:
		r->has_changed = true;
		break;
	case TLS_APPLICATION_DATA:
		r->is_protected = true;
		break;
	default:
		break;
	}
	tell(r, true);
	expect_header(r);
}

static void begin_record(struct tls_records *r)
{
	uint32_t body = (uint32_t)r->head[3] << 8 | r->head[4];

	r->now.content = r->head[0];
	r->now.len = TLS_RECORD_HEADER + body;
	r->now.is_alert_clear = r->now.content == TLS_ALERT && body == 2;
	r->left = body;
	r->state = TLS_RECORDS_BODY;
}

/* Returns how many bytes were read. */
static uint32_t read_header(struct tls_records *r, uint64_t off, const uint8_t *bytes, uint32_t len,
			    uint32_t tag)
{
	uint32_t n = MIN(len, (uint32_t)(TLS_RECORD_HEADER - r->head_len));

	if (bytes == NULL) {
		lose(r);
		return 0;
	}
	if (r->head_len == 0)
		r->now = (struct tls_record){.off = off, .tag = tag};
	memcpy(r->head + r->head_len, bytes, n);
	r->head_len += (uint8_t)n;
	if (r->head_len < TLS_RECORD_HEADER)
		return n;
	if (is_header(r->head))
		begin_record(r);
	else
		lose(r);
	return n;
}

static void read_alert(struct tls_records *r, const uint8_t *bytes, uint32_t len)
{
	for (uint32_t i = 0; i < len && r->now.is_alert_clear; i++) {
		if (bytes == NULL)
			r->now.is_alert_clear = false;
		else if (r->left - i == 2)
			r->now.alert_level = bytes[i];
		else
			r->now.alert = bytes[i];
	}
}

static uint32_t read_body(struct tls_records *r, const uint8_t *bytes, uint32_t len)
{
	uint32_t n = MIN(len, r->left);

	if (r->now.content == TLS_HANDSHAKE)
		read_handshake(r, bytes, n);
	else if (r->now.content == TLS_ALERT)
		read_alert(r, bytes, n);
	r->left -= n;
	if (r->left == 0)
		end_record(r);
	return n;
}

/* ---- places ---------------------------------------------------------------------------------- */

/* A record begins here, whatever was thought: if that is something else, nothing is known of it. */
static void arrive(struct tls_records *r, uint64_t off)
{
	bool is_expected = r->state == TLS_RECORDS_HEADER && r->head_len == 0;

	r->place++;
	if (is_expected)
		return;
	lose(r);
	if (off == 0) {
		r->is_from_start = true;
		r->is_protected = false;
		r->is_message_lost = false;
	} else {
		r->is_protected = true;
	}
	expect_header(r);
}

static uint64_t until_place(const struct tls_records *r, uint64_t off)
{
	return r->place < r->place_count ? r->places[r->place] - off : UINT64_MAX;
}

/* The bytes at pieces.next, in order; NULL: they were not captured. */
static void read(struct tls_records *r, const uint8_t *bytes, uint64_t len, uint32_t tag)
{
	uint64_t off = r->pieces.next;

	while (len > 0) {
		uint64_t most;
		uint32_t n;

		if (until_place(r, off) == 0)
			arrive(r, off);
		most = MIN(len, until_place(r, off));
		n = (uint32_t)MIN(most, UINT32_MAX);
		if (r->state == TLS_RECORDS_HEADER)
			n = read_header(r, off, bytes, n, tag);
		else if (r->state == TLS_RECORDS_BODY)
			n = read_body(r, bytes, n);
		off += n;
		len -= n;
		if (bytes != NULL)
			bytes += n;
	}
}

/* ---- pieces ---------------------------------------------------------------------------------- */

static void take(struct tls_records *r, const struct piece *p)
{
	read(r, (const uint8_t *)p->bytes, p->len, (uint32_t)p->ack);
	reassembly_take(&r->pieces, p->len);
}

static void pump(struct tls_records *r)
{
	struct piece p;

	while (reassembly_first(&r->pieces, &p))
		take(r, &p);
}

/* What is missing before the first piece that is kept will not come. */
static void give_up_gap(struct tls_records *r)
{
	uint64_t gap = reassembly_gap(&r->pieces);

	if (gap == 0)
		return;
	read(r, NULL, gap, 0);
	reassembly_take(&r->pieces, gap);
	pump(r);
}

static void add_piece(struct tls_records *r, struct piece *p)
{
	uint64_t old = r->pieces.next > p->off ? r->pieces.next - p->off : 0;

	if (p->len <= old || tls_records_is_over(r))
		return;
	p->off += old;
	p->len -= old;
	if (p->bytes != NULL)
		p->bytes += old;
	if (reassembly_is_next(&r->pieces, p)) {
		take(r, p);
		return;
	}
	while (!reassembly_keep(&r->pieces, p) && reassembly_gap(&r->pieces) > 0)
		give_up_gap(r);
	pump(r);
}

void tls_records_add(struct tls_records *r, uint64_t off, uint32_t len, const uint8_t *bytes,
		     uint32_t captured, uint32_t tag)
{
	struct piece p = {.off = off, .len = MIN(captured, len), .ack = tag};
	struct piece cut = {.off = off + p.len, .len = len - p.len, .ack = tag};

	if (r->place_count == 0)
		return;
	p.bytes = (const char *)bytes;
	if (p.len > 0)
		add_piece(r, &p);
	if (cut.len > 0)
		add_piece(r, &cut);
}

void tls_records_end(struct tls_records *r)
{
	while (reassembly_gap(&r->pieces) > 0)
		give_up_gap(r);
	lose(r);
	r->place = r->place_count;
}
