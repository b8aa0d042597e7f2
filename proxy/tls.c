/*
 * tls.c -- OpenSSL between two memory buffers, by a BIO of our own.
 *
 * OpenSSL by itself reads five bytes, then a record's rest, and writes record by record; here one
 * recv() fills the input and one send() takes all output of a call. Never calls the system.
 *
 * Invariant: between two calls no ciphertext of this connection is in the worker's buffers.
 */
#include "proxy/tls.h"

#include <assert.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>

#include "common/clock.h"
#include "proxy/tap.h"
#include "proxy/tls_context.h"
#include "proxy/tls_parts.h"

/* ---- the BIO ------------------------------------------------------------------------------- */

static void framing_advance(struct tls_framing *f, const char *bytes, size_t len)
{
	while (len > 0) {
		size_t n;

		if (f->left == 0) {
			if (f->head_len == TLS_RECORD_HEAD)
				f->head_len = 0;
			if (f->head_len == 0)
				f->record_off = f->off;
			f->head[f->head_len++] = (uint8_t)*bytes;
			n = 1;
			if (f->head_len == TLS_RECORD_HEAD)
				f->left = (uint32_t)f->head[3] << 8 | f->head[4];
		} else {
			n = MIN(len, (size_t)f->left);
			f->left -= (uint32_t)n;
		}
		f->off += n;
		bytes += n;
		len -= n;
	}
}

static int bio_read(BIO *b, char *bytes, size_t cap, size_t *got)
{
	struct tls *t = BIO_get_data(b);

	BIO_clear_retry_flags(b);
	if (t->in_len == 0) {
		BIO_set_retry_read(b);
		return 0;
	}
	*got = MIN(cap, t->in_len);
	memcpy(bytes, t->in, *got);
	framing_advance(&t->framing, t->in, *got);
	t->in += *got;
	t->in_len -= *got;
	return 1;
}

static int bio_write(BIO *b, const char *bytes, size_t len, size_t *taken)
{
	struct tls *t = BIO_get_data(b);

	BIO_clear_retry_flags(b);
	if (!buf_append(&t->io->out, bytes, len)) {
		t->no_memory = true;
		return 0;
	}
	*taken = len;
	return 1;
}

static long bio_ctrl(BIO *b, int what, long number, void *arg)
{
	(void)b;
	(void)number;
	(void)arg;
	return what == BIO_CTRL_FLUSH;
}

static BIO_METHOD *bio_method;

static void bio_method_make(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "flowproxy");

	if (m == NULL)
		return;
	if (BIO_meth_set_read_ex(m, bio_read) != 1 || BIO_meth_set_write_ex(m, bio_write) != 1 ||
	    BIO_meth_set_ctrl(m, bio_ctrl) != 1) {
		BIO_meth_free(m);
		return;
	}
	bio_method = m;
}

static BIO *bio_new(struct tls *t)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	BIO *b;

	pthread_once(&once, bio_method_make);
	if (bio_method == NULL)
		return NULL;
	b = BIO_new(bio_method);
	if (b == NULL)
		return NULL;
	BIO_set_data(b, t);
	BIO_set_init(b, 1);
	return b;
}

/* ---- life ---------------------------------------------------------------------------------- */

struct tls_io *tls_io_new(struct tap *tap)
{
	struct tls_io *io = calloc(1, sizeof(*io));

	if (io == NULL)
		return NULL;
	io->tap = tap;
	io->in = malloc(TLS_INPUT_MAX);
	io->join = malloc(TLS_PLAINTEXT_MAX);
	if (io->in == NULL || io->join == NULL || !buf_reserve(&io->out, TLS_INPUT_MAX)) {
		tls_io_free(io);
		return NULL;
	}
	return io;
}

void tls_io_free(struct tls_io *io)
{
	if (io == NULL)
		return;
	tls_sessions_forget(io);
	buf_fini(&io->out);
	free(io->join);
	free(io->in);
	free(io);
}

struct tls *tls_new(struct tls_io *io, struct tls_context *ctx, enum tls_side side,
		    const struct conn *conn)
{
	struct tls *t = calloc(1, sizeof(*t));
	BIO *bio;

	if (t == NULL)
		return NULL;
	t->io = io;
	t->spans = t->spans_here;
	t->side = side;
	t->conn = conn;
	t->ctx = tls_context_ref(ctx);
	t->ssl = side == TLS_ACCEPTS ? tls_context_accept(ctx) : tls_context_connect(ctx);
	bio = t->ssl != NULL ? bio_new(t) : NULL;
	if (bio == NULL || SSL_set_app_data(t->ssl, t) != 1) {
		BIO_free(bio);
		tls_free(t);
		ERR_clear_error();
		return NULL;
	}
	SSL_set_bio(t->ssl, bio, bio);
	SSL_set_mode(t->ssl, SSL_MODE_RELEASE_BUFFERS);
	if (side == TLS_ACCEPTS) {
		SSL_set_accept_state(t->ssl);
	} else {
		SSL_set_connect_state(t->ssl);
		tls_sessions_offer(t);
	}
	tls_facts_begin(t);
	return t;
}

void tls_free(struct tls *t)
{
	if (t == NULL)
		return;
	/* Else OpenSSL takes a connection's cut for a reason never to resume its session. */
	if (!t->failed && t->ssl != NULL)
		SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(t->ssl);
	tls_context_unref(t->ctx);
	if (t->spans != t->spans_here)
		free(t->spans);
	buf_fini(&t->rest);
	OPENSSL_free(t->subject);
	free(t);
}

/* ---- ciphertext ---------------------------------------------------------------------------- */

char *tls_input(const struct tls *t)
{
	return t->io->in;
}

void tls_received(struct tls *t, size_t n)
{
	assert(t->in_len == 0);
	t->in = t->io->in;
	t->in_len = n;
	if (t->over)
		t->barren += (uint32_t)n;
}

/* What OpenSSL has not taken moves out of the worker's buffer. */
static bool keep_rest(struct tls *t)
{
	if (t->in_len == 0) {
		buf_fini(&t->rest);
		return true;
	}
	if (t->rest.data != NULL) {
		buf_consume(&t->rest, buf_left(&t->rest) - t->in_len);
		return true;
	}
	if (!buf_append(&t->rest, t->in, t->in_len)) {
		t->no_memory = true;
		return false;
	}
	t->in = buf_at(&t->rest);
	return true;
}

struct iovec tls_output(const struct tls *t)
{
	return (struct iovec){buf_at(&t->io->out), buf_left(&t->io->out)};
}

void tls_output_done(struct tls *t)
{
	buf_reset(&t->io->out, 2 * TLS_INPUT_MAX);
}

/* ---- handshake ----------------------------------------------------------------------------- */

static enum tls_handshake handshake_over(struct tls *t, bool failed)
{
	t->over = true;
	t->failed = failed;
	t->took_ns = clock_mono_ns() - t->began_ns;
	tls_facts_end(t, failed);
	ERR_clear_error();
	return failed ? TLS_HANDSHAKE_FAILED : TLS_HANDSHAKE_DONE;
}

enum tls_handshake tls_handshake(struct tls *t)
{
	int result, error;

	if (t->over)
		return t->failed ? TLS_HANDSHAKE_FAILED : TLS_HANDSHAKE_DONE;
	if (t->began_ns == 0)
		t->began_ns = clock_mono_ns();
	result = SSL_do_handshake(t->ssl);
	error = result == 1 ? SSL_ERROR_NONE : SSL_get_error(t->ssl, result);
	if (!keep_rest(t)) {
		t->error = "no memory";
		return handshake_over(t, true);
	}
	if (result == 1)
		return handshake_over(t, false);
	if (error == SSL_ERROR_WANT_READ)
		return TLS_HANDSHAKE_MORE;
	tls_facts_error(t);
	return handshake_over(t, true);
}

void tls_abandon(struct tls *t, const char *why)
{
	if (t->failed)
		return;
	t->error = why;
	if (t->over) {
		t->failed = true;
		return;
	}
	if (t->began_ns == 0)
		t->began_ns = clock_mono_ns();
	(void)handshake_over(t, true);
}

bool tls_lacks_memory(const struct tls *t)
{
	return t->no_memory;
}

bool tls_unverified(const struct tls *t)
{
	return t->unverified;
}

const struct tls_marks *tls_marks_of(const struct tls *t)
{
	return &t->marks;
}

void tls_keylog(const SSL *ssl, const char *line)
{
	const struct tls *t = SSL_get_app_data(ssl);

	if (t != NULL)
		tap_secret(t->io->tap, t->conn, line, strlen(line));
}

/* ---- reading ------------------------------------------------------------------------------- */

/* Is there room for one more? */
static bool make_span_room(struct tls *t)
{
	struct tls_span *more;

	if (t->span_count < TLS_SPANS_HERE || t->span_count == TLS_SPANS_MAX)
		return t->span_count < TLS_SPANS_MAX;
	if (t->spans != t->spans_here)
		return true;
	more = malloc(TLS_SPANS_MAX * sizeof(*more));
	if (more == NULL)
		return false;
	memcpy(more, t->spans_here, sizeof(t->spans_here));
	t->spans = more;
	return true;
}

/* The newest bytes came from the record that OpenSSL has asked for last. */
static void note_span(struct tls *t, size_t past_byte)
{
	const struct tls_framing *f = &t->framing;

	if (t->span_count == 0)
		t->read_base = f->record_off;
	t->spans[t->span_count++] = (struct tls_span){
		.first_off = (uint32_t)(f->record_off - t->read_base),
		.past_off = (uint32_t)(f->off - t->read_base),
		.past_byte = (uint32_t)past_byte,
	};
}

/* The peer has new keys and wants us to have some: now, so that no message shares that record. */
static void answer_key_update(struct tls *t)
{
	if (LIKELY(SSL_get_key_update_type(t->ssl) == SSL_KEY_UPDATE_NONE))
		return;
	(void)SSL_do_handshake(t->ssl);
	/* Should it have failed, the next write does too. */
	ERR_clear_error();
}

/* A peer may renew its keys; one that does nothing else only wants to keep us busy. */
static bool is_barren(struct tls *t)
{
	if (LIKELY(t->barren <= TLS_BARREN_MAX))
		return false;
	t->error = "too many records without data";
	t->failed = true;
	return true;
}

static ssize_t read_failed(struct tls *t)
{
	switch (SSL_get_error(t->ssl, 0)) {
	case SSL_ERROR_WANT_READ:
		return TLS_AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return TLS_CLOSED;
	default:
		break;
	}
	tls_facts_error(t);
	t->failed = true;
	return TLS_FAILED;
}

/* The spans of the read before this one, but for where its last byte came from. */
static void forget_spans(struct tls *t)
{
	if (t->span_count > 0)
		t->before_off = t->read_base + t->spans[t->span_count - 1].first_off;
	t->span_count = 0;
}

ssize_t tls_read(struct tls *t, char *bytes, size_t cap)
{
	size_t got = 0;
	ssize_t result = TLS_AGAIN;
	bool fresh = true;

	if (t->failed)
		return TLS_FAILED;
	while (got < cap) {
		size_t n = 0;

		if (SSL_read_ex(t->ssl, bytes + got, MIN(cap - got, (size_t)INT_MAX), &n) != 1) {
			result = read_failed(t);
			break;
		}
		if (fresh)
			forget_spans(t);
		fresh = false;
		got += n;
		note_span(t, got);
		if (!tls_has_more(t) || !make_span_room(t))
			break;
	}
	answer_key_update(t);
	if (!keep_rest(t)) {
		t->failed = true;
		return TLS_FAILED;
	}
	if (got == 0)
		return result == TLS_AGAIN && is_barren(t) ? TLS_FAILED : result;
	t->barren = 0;
	return (ssize_t)got;
}

bool tls_has_more(const struct tls *t)
{
	return t->in_len > 0 || SSL_pending(t->ssl) > 0 || t->failed ||
	       (SSL_get_shutdown(t->ssl) & SSL_RECEIVED_SHUTDOWN) != 0;
}

/* Of the record with the byte that comes next, as far as it has come. */
static uint64_t next_first_off(const struct tls *t)
{
	const struct tls_framing *f = &t->framing;
	bool is_cut = f->left > 0 || (f->head_len > 0 && f->head_len < TLS_RECORD_HEAD);

	if (t->span_count > 0 && SSL_pending(t->ssl) > 0)
		return t->read_base + t->spans[t->span_count - 1].first_off;
	return is_cut ? f->record_off : f->off;
}

uint64_t tls_first_off(const struct tls *t, size_t behind)
{
	size_t got;

	if (t->span_count == 0 || behind == 0)
		return next_first_off(t);
	got = t->spans[t->span_count - 1].past_byte;
	if (behind > got)
		return t->before_off;
	for (unsigned i = 0; i < t->span_count; i++)
		if (behind + t->spans[i].past_byte > got)
			return t->read_base + t->spans[i].first_off;
	return t->framing.off;
}

uint64_t tls_past_off(const struct tls *t, size_t behind)
{
	size_t got;

	/* Where nothing was read nothing ends behind where it would begin. */
	if (t->span_count == 0)
		return next_first_off(t);
	got = t->spans[t->span_count - 1].past_byte;
	for (unsigned i = 0; i < t->span_count; i++)
		if (behind + t->spans[i].past_byte >= got)
			return t->read_base + t->spans[i].past_off;
	return t->framing.off;
}

/* ---- writing ------------------------------------------------------------------------------- */

static bool write_bytes(struct tls *t, const char *bytes, size_t len)
{
	size_t taken = 0;

	if (len == 0)
		return true;
	if (SSL_write_ex(t->ssl, bytes, len, &taken) == 1)
		return true;
	tls_facts_error(t);
	t->failed = true;
	return false;
}

bool tls_write(struct tls *t, const struct iovec *parts, int count)
{
	char *join = t->io->join;
	size_t joined = 0;

	if (t->failed)
		return false;
	for (int i = 0; i < count; i++) {
		const char *bytes = parts[i].iov_base;
		size_t len = parts[i].iov_len;

		while (len > 0) {
			size_t n = MIN(len, TLS_PLAINTEXT_MAX - joined);

			/* What is alone in its records needs no copy; OpenSSL cuts it. */
			if (joined == 0 && (i == count - 1 || len >= TLS_PLAINTEXT_MAX)) {
				n = i == count - 1 ? len : len - len % TLS_PLAINTEXT_MAX;
				if (!write_bytes(t, bytes, n))
					return false;
			} else {
				memcpy(join + joined, bytes, n);
				joined += n;
			}
			if (joined == TLS_PLAINTEXT_MAX) {
				if (!write_bytes(t, join, joined))
					return false;
				joined = 0;
			}
			bytes += n;
			len -= n;
		}
	}
	return write_bytes(t, join, joined);
}

void tls_close_notify(struct tls *t)
{
	if (t->failed || !t->over || (SSL_get_shutdown(t->ssl) & SSL_SENT_SHUTDOWN) != 0)
		return;
	if (SSL_shutdown(t->ssl) < 0)
		ERR_clear_error();
}
