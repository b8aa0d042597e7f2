/*
 * Two ends of TLS over memory. What an end says of the records that carried what it read is
 * compared with the records that really went over, counted here from their heads.
 */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "proxy/conn.h"
#include "proxy/tap.h"
#include "proxy/tls.h"
#include "proxy/tls_context.h"
#include "proxy/tls_parts.h"

#define WIRE_MAX    (1024 * 1024)
#define RECORDS_MAX 4096
#define HEAD        5

/* One direction: all bytes that ever went over. */
struct wire {
	uint8_t *bytes;
	size_t len;
	size_t given; /* of them, to the other end */
};

struct ends {
	struct conn_list conns;
	struct event_base *base;
	struct tap *tap;
	struct tls_io *client_io, *server_io;
	struct tls_context *ctx;
	struct conn conn;
	struct tls *client, *server;
	struct wire up, down;
};

/* ---- certificates ---- */

static void add_extension(X509 *cert, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *e;

	X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	cr_assert_not_null(e);
	X509_add_ext(cert, e, -1);
	X509_EXTENSION_free(e);
}

/* A self-signed identity for localhost, as PEM with its key. */
static void write_identity(const char *path)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	FILE *f = fopen(path, "w");

	cr_assert(key != NULL && cert != NULL && f != NULL);
	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -60);
	X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
	X509_set_pubkey(cert, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
				   (const unsigned char *)"localhost", -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(cert));
	add_extension(cert, NID_subject_alt_name, "DNS:localhost");
	add_extension(cert, NID_basic_constraints, "critical,CA:TRUE");
	cr_assert_gt(X509_sign(cert, key, EVP_sha256()), 0);
	PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
	PEM_write_X509(f, cert);
	fclose(f);
	chmod(path, 0600);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static struct tls_context *load_context(const char *min_version)
{
	char path[] = "/tmp/fp-tls-XXXXXX";
	char err[CONFIG_ERROR_MAX];
	struct config *cfg = malloc(sizeof(*cfg));
	struct tls_context *ctx;

	close(mkstemp(path));
	write_identity(path);
	config_defaults(cfg);
	config_source_begin(cfg);
	cr_assert(config_set(cfg, "proxy", "listen", "https://127.0.0.1:0", err), "%s", err);
	cr_assert(config_set(cfg, "proxy", "backend", "https://localhost:1", err), "%s", err);
	cr_assert(config_set(cfg, "tls", "keystore", path, err), "%s", err);
	cr_assert(config_set(cfg, "tls", "truststore", path, err), "%s", err);
	cr_assert(config_set(cfg, "tls", "min_version", min_version, err), "%s", err);
	ctx = tls_context_load(cfg, err);
	cr_assert_not_null(ctx, "%s", err);
	unlink(path);
	free(cfg);
	return ctx;
}

/* ---- the wires ---- */

static void wire_take(struct wire *w, struct tls *from)
{
	struct iovec out = tls_output(from);

	cr_assert_leq(w->len + out.iov_len, WIRE_MAX);
	memcpy(w->bytes + w->len, out.iov_base, out.iov_len);
	w->len += out.iov_len;
	tls_output_done(from);
}

/* Hand over the next bytes, at most so many. How many it were. */
static size_t wire_give(struct wire *w, struct tls *to, size_t most)
{
	size_t n = MIN(most, w->len - w->given);

	if (n > 0) {
		memcpy(tls_input(to), w->bytes + w->given, n);
		tls_received(to, n);
		w->given += n;
	}
	return n;
}

/* The record that holds the byte at `off`, and where it ends. */
static void record_at(const struct wire *w, size_t off, size_t *first, size_t *past)
{
	size_t at = 0;

	for (;;) {
		size_t len = HEAD + ((size_t)w->bytes[at + 3] << 8 | w->bytes[at + 4]);

		if (off < at + len) {
			*first = at;
			*past = at + len;
			return;
		}
		at += len;
		cr_assert_lt(at, w->len);
	}
}

static void ends_new(struct ends *e, const char *min_version)
{
	*e = (struct ends){.conn = {.fd = -1, .id = 1}};
	TAILQ_INIT(&e->conns);
	e->base = event_base_new();
	e->tap = tap_new(e->base, 0, 1, &e->conns);
	e->client_io = tls_io_new(e->tap);
	e->server_io = tls_io_new(e->tap);
	e->ctx = load_context(min_version);
	e->up.bytes = malloc(WIRE_MAX);
	e->down.bytes = malloc(WIRE_MAX);
	e->client = tls_new(e->client_io, e->ctx, TLS_CONNECTS, &e->conn);
	e->server = tls_new(e->server_io, e->ctx, TLS_ACCEPTS, &e->conn);
	cr_assert(e->client != NULL && e->server != NULL);
}

static void ends_free(struct ends *e)
{
	tls_free(e->client);
	tls_free(e->server);
	tls_io_free(e->client_io);
	tls_io_free(e->server_io);
	tls_context_unref(e->ctx);
	tap_free(e->tap);
	event_base_free(e->base);
	free(e->up.bytes);
	free(e->down.bytes);
}

/* Both ends, in pieces of so many bytes, until nothing moves. */
static void ends_shake(struct ends *e, size_t piece)
{
	enum tls_handshake client, server;
	bool moved = true;

	while (moved) {
		client = tls_handshake(e->client);
		wire_take(&e->up, e->client);
		moved = wire_give(&e->up, e->server, piece) > 0;
		server = tls_handshake(e->server);
		wire_take(&e->down, e->server);
		if (client != TLS_HANDSHAKE_DONE)
			moved |= wire_give(&e->down, e->client, piece) > 0;
	}
	cr_assert_eq(client, TLS_HANDSHAKE_DONE);
	cr_assert_eq(server, TLS_HANDSHAKE_DONE);
}

static const struct byte_range *mark(const struct tls *t, enum tls_mark what)
{
	return &tls_marks_of(t)->at[what];
}

/* ---- tests ---- */

static void check_marks(const struct ends *e)
{
	for (unsigned i = 0; i < TLS_MARK_COUNT; i++) {
		const struct byte_range *c = mark(e->client, i), *s = mark(e->server, i);
		const struct wire *w = i == TLS_MARK_CLIENT_HELLO || i == TLS_MARK_CLIENT_FINISHED
					       ? &e->up
					       : &e->down;
		size_t first, past;

		cr_expect_eq(c->first, s->first, "mark %u: %zu, %zu", i, (size_t)c->first,
			     (size_t)s->first);
		cr_expect_eq(c->past, s->past, "mark %u: %zu, %zu", i, (size_t)c->past,
			     (size_t)s->past);
		record_at(w, c->first, &first, &past);
		cr_expect_eq(first, c->first, "mark %u", i);
		cr_expect_eq(past, c->past, "mark %u", i);
	}
	cr_expect_eq(mark(e->client, TLS_MARK_CLIENT_HELLO)->first, 0);
	cr_expect_eq(mark(e->client, TLS_MARK_SERVER_HELLO)->first, 0);
}

static void handshake_is_marked(const char *version, uint16_t number)
{
	static const size_t pieces[] = {1, 7, 100, 100000};

	for (unsigned i = 0; i < ARRAY_LEN(pieces); i++) {
		struct ends e;

		ends_new(&e, version);
		if (number == TLS_VERSION_12)
			SSL_set_max_proto_version(e.client->ssl, TLS1_2_VERSION);
		ends_shake(&e, pieces[i]);
		cr_expect_eq(tls_marks_of(e.client)->version, number);
		cr_expect_eq(tls_marks_of(e.server)->version, number);
		check_marks(&e);
		ends_free(&e);
	}
}

Test(tls, which_records_carried_the_handshake_of_1_3)
{
	handshake_is_marked("1.3", TLS_VERSION_13);
}

Test(tls, which_records_carried_the_handshake_of_1_2)
{
	handshake_is_marked("1.2", TLS_VERSION_12);
}

/* What a record has besides its bytes: head, type and tag of 1.3; head and tag of ChaCha20 in 1.2. */
#define OVERHEAD_13 (HEAD + 1 + 16)
#define OVERHEAD_12 (HEAD + 16)

/* A stream of bytes that was cut into records: where is the one with this byte? */
static void truth(const struct wire *w, size_t from, size_t overhead, size_t byte, size_t *first,
		  size_t *past)
{
	size_t at = from, bytes = 0;

	for (;;) {
		size_t len;

		cr_assert_lt(at, w->len);
		len = HEAD + ((size_t)w->bytes[at + 3] << 8 | w->bytes[at + 4]);
		bytes += len - overhead;
		if (byte < bytes) {
			*first = at;
			*past = at + len;
			return;
		}
		at += len;
	}
}

/* The byte that comes next may begin a message too, when a part of its record has come. */
static void check_next(const struct ends *e, size_t from, size_t overhead, size_t total,
		       size_t sent)
{
	size_t first, past;

	if (total == sent)
		return;
	truth(&e->up, from, overhead, total, &first, &past);
	cr_assert_eq(tls_first_off(e->server, 0), first);
}

/* At any byte of the newest read a message may begin or end. */
static void check_offsets(const struct ends *e, size_t from, size_t overhead, size_t read,
			  size_t total)
{
	size_t first, past;

	for (size_t behind = 1; behind <= read; behind += 1 + read / 13) {
		truth(&e->up, from, overhead, total - behind, &first, &past);
		cr_assert_eq(tls_first_off(e->server, behind), first);
		if (behind < read) {
			truth(&e->up, from, overhead, total - behind - 1, &first, &past);
			cr_assert_eq(tls_past_off(e->server, behind), past);
		}
	}
	truth(&e->up, from, overhead, total - 1, &first, &past);
	cr_assert_eq(tls_past_off(e->server, 0), past);
}

static const size_t message_sizes[] = {1, 100, 16384, 16385, 40000, 3, 3, 3, 70000, 5};

static size_t write_messages(struct ends *e, const char *bytes)
{
	size_t total = 0;

	for (unsigned i = 0; i < ARRAY_LEN(message_sizes); i++) {
		/* Two parts, which share records where that saves one. */
		size_t half = message_sizes[i] / 3;
		const struct iovec parts[] = {{(void *)(uintptr_t)(bytes + total), half},
					      {(void *)(uintptr_t)(bytes + total + half),
					       message_sizes[i] - half}};

		cr_assert(tls_write(e->client, parts, 2));
		wire_take(&e->up, e->client);
		total += message_sizes[i];
	}
	return total;
}

static void read_messages(uint16_t version, size_t piece, size_t cap)
{
	size_t overhead = version == TLS_VERSION_13 ? OVERHEAD_13 : OVERHEAD_12;
	char *bytes = malloc(WIRE_MAX), *got = malloc(WIRE_MAX);
	size_t total = 0, sent, from;
	struct ends e;

	for (size_t i = 0; i < WIRE_MAX; i++)
		bytes[i] = (char)(i * 7 + i / 251);
	ends_new(&e, "1.2");
	if (version == TLS_VERSION_12) {
		SSL_set_max_proto_version(e.client->ssl, TLS1_2_VERSION);
		SSL_set_cipher_list(e.client->ssl, "ECDHE-ECDSA-CHACHA20-POLY1305");
	}
	ends_shake(&e, 100000);
	from = e.up.len;
	sent = write_messages(&e, bytes);
	while (total < sent) {
		ssize_t n = tls_read(e.server, got + total, cap);

		cr_assert_geq(n, 0);
		if (n == TLS_AGAIN) {
			check_next(&e, from, overhead, total, sent);
			cr_assert_gt(wire_give(&e.up, e.server, piece), 0);
			continue;
		}
		total += (size_t)n;
		check_offsets(&e, from, overhead, (size_t)n, total);
		check_next(&e, from, overhead, total, sent);
	}
	cr_expect_arr_eq(got, bytes, sent);
	ends_free(&e);
	free(bytes);
	free(got);
}

Test(tls, offsets_are_those_of_records)
{
	static const size_t pieces[] = {1, 50, 5000, 40000, TLS_INPUT_MAX};
	static const size_t caps[] = {1, 100, 16384, 65536, WIRE_MAX / 2};

	for (unsigned p = 1; p < ARRAY_LEN(pieces); p++)
		for (unsigned c = 1; c < ARRAY_LEN(caps); c++) {
			read_messages(TLS_VERSION_13, pieces[p], caps[c]);
			read_messages(TLS_VERSION_12, pieces[p], caps[c]);
		}
	read_messages(TLS_VERSION_13, pieces[0], caps[4]);
	read_messages(TLS_VERSION_13, pieces[4], caps[0]);
}

/* A small message is one record, whatever it is made of. */
Test(tls, parts_share_a_record)
{
	char bytes[] = "headbodytail";
	const struct iovec parts[] = {{bytes, 4}, {bytes + 4, 4}, {bytes + 8, 4}};
	size_t first, past, from;
	struct ends e;

	ends_new(&e, "1.3");
	ends_shake(&e, 100000);
	from = e.up.len;
	cr_assert(tls_write(e.client, parts, 3));
	wire_take(&e.up, e.client);
	record_at(&e.up, from, &first, &past);
	cr_expect_eq(first, from);
	cr_expect_eq(past, e.up.len);
	ends_free(&e);
}

Test(tls, what_ends_without_a_notice_is_not_closed)
{
	char byte;
	struct ends e;

	ends_new(&e, "1.3");
	ends_shake(&e, 100000);
	cr_expect_eq(tls_read(e.server, &byte, 1), TLS_AGAIN);
	tls_close_notify(e.client);
	wire_take(&e.up, e.client);
	cr_assert_gt(wire_give(&e.up, e.server, WIRE_MAX), 0);
	cr_expect_eq(tls_read(e.server, &byte, 1), TLS_CLOSED);
	ends_free(&e);
}

Test(tls, a_damaged_record_fails_and_says_why)
{
	char bytes[] = "hello";
	const struct iovec part = {bytes, 5};
	struct buf text = {0};
	char byte;
	struct ends e;

	ends_new(&e, "1.3");
	ends_shake(&e, 100000);
	cr_assert(tls_write(e.client, &part, 1));
	wire_take(&e.up, e.client);
	e.up.bytes[e.up.len - 1] ^= 1;
	wire_give(&e.up, e.server, WIRE_MAX);
	cr_expect_eq(tls_read(e.server, &byte, 1), TLS_FAILED);
	cr_expect_gt(tls_output(e.server).iov_len, 0, "an alert");
	cr_assert(tls_describe(e.server, &text));
	cr_assert(buf_append(&text, "", 1));
	cr_expect_not_null(strstr(buf_at(&text), "\"error\":\"decryption failed"), "%s",
			   buf_at(&text));
	buf_fini(&text);
	ends_free(&e);
}

/* A session of the first connection shortens the second's handshake. */
Test(tls, sessions_are_resumed)
{
	char bytes[] = "x";
	const struct iovec part = {bytes, 1};
	char byte;
	struct ends e;

	ends_new(&e, "1.3");
	ends_shake(&e, 100000);
	cr_expect_eq(tls_marks_of(e.client)->resumed, 0);
	cr_assert(tls_write(e.server, &part, 1));
	wire_take(&e.down, e.server);
	wire_give(&e.down, e.client, WIRE_MAX);
	cr_assert_eq(tls_read(e.client, &byte, 1), 1);
	tls_free(e.client);
	tls_free(e.server);
	e.up.len = e.up.given = e.down.len = e.down.given = 0;
	e.client = tls_new(e.client_io, e.ctx, TLS_CONNECTS, &e.conn);
	e.server = tls_new(e.server_io, e.ctx, TLS_ACCEPTS, &e.conn);
	ends_shake(&e, 100000);
	cr_expect_eq(tls_marks_of(e.client)->resumed, 1);
	cr_expect_eq(tls_marks_of(e.server)->resumed, 1);
	check_marks(&e);
	ends_free(&e);
}

/* Key updates cost the one who gets them much more than the one who sends them. */
Test(tls, who_sends_nothing_but_key_updates_is_cut)
{
	const size_t enough = 256 * (size_t)1024;
	ssize_t n = TLS_AGAIN;
	char byte;
	struct ends e;

	ends_new(&e, "1.3");
	ends_shake(&e, 100000);
	while (n == TLS_AGAIN && e.up.len < enough) {
		cr_assert_eq(SSL_key_update(e.client->ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		cr_assert_eq(SSL_do_handshake(e.client->ssl), 1);
		wire_take(&e.up, e.client);
		wire_give(&e.up, e.server, WIRE_MAX);
		n = tls_read(e.server, &byte, 1);
	}
	cr_expect_eq(n, TLS_FAILED);
	cr_expect_eq(tls_read(e.server, &byte, 1), TLS_FAILED);
	ends_free(&e);
}

Test(tls, key_updates_between_data_are_welcome)
{
	char bytes[] = "x";
	const struct iovec part = {bytes, 1};
	char byte;
	struct ends e;

	ends_new(&e, "1.3");
	ends_shake(&e, 100000);
	for (int i = 0; i < 4000; i++) {
		cr_assert_eq(SSL_key_update(e.client->ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		cr_assert(tls_write(e.client, &part, 1));
		wire_take(&e.up, e.client);
		wire_give(&e.up, e.server, WIRE_MAX);
		cr_assert_eq(tls_read(e.server, &byte, 1), 1, "after %d", i);
	}
	ends_free(&e);
}
