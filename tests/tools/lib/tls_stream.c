/*
 * tls_stream.c -- handshake, read and write with a bound on every wait.
 *
 * Invariant: after an error the stream is only freed; OpenSSL forbids anything else.
 */
#include "tests/tools/lib/tls_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

struct tls_server {
	SSL_CTX *ctx;
};

struct tls_stream {
	SSL *ssl;
	bool failed;
};

/* http/1.1 for who asks; who asks for other protocols only gets none. */
static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
		       const unsigned char *in, unsigned in_len, void *arg)
{
	static const unsigned char ours[] = "\x08http/1.1";
	unsigned char *chosen = NULL;

	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto(&chosen, out_len, ours, sizeof(ours) - 1, in, in_len) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_NOACK;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

struct tls_server *tls_server_new(const char *program, const char *cert, const char *key)
{
	struct tls_server *s = calloc(1, sizeof(*s));

	if (s != NULL)
		s->ctx = SSL_CTX_new(TLS_server_method());
	if (s == NULL || s->ctx == NULL || SSL_CTX_use_certificate_chain_file(s->ctx, cert) != 1 ||
	    SSL_CTX_use_PrivateKey_file(s->ctx, key, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_set_min_proto_version(s->ctx, TLS1_2_VERSION) != 1) {
		fprintf(stderr, "%s: %s, %s: %s\n", program, cert, key,
			ERR_reason_error_string(ERR_get_error()));
		tls_server_free(s);
		return NULL;
	}
	SSL_CTX_set_alpn_select_cb(s->ctx, choose_alpn, NULL);
	return s;
}

void tls_server_free(struct tls_server *s)
{
	if (s != NULL)
		SSL_CTX_free(s->ctx);
	free(s);
}

/* After a call that came to `result`: true when it may be called again. */
static bool stream_wait(struct tls_stream *t, int result, int ms)
{
	struct pollfd p = {.fd = SSL_get_fd(t->ssl)};
	int e = SSL_get_error(t->ssl, result), n;

	if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE) {
		t->failed = e != SSL_ERROR_ZERO_RETURN;
		ERR_clear_error();
		return false;
	}
	p.events = e == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
	do {
		n = poll(&p, 1, ms);
	} while (n < 0 && errno == EINTR);
	return n > 0;
}

struct tls_stream *tls_stream_accept(struct tls_server *s, int fd, int ms)
{
	struct tls_stream *t = calloc(1, sizeof(*t));
	int flags = fcntl(fd, F_GETFL), one = 1, n;

	if (t == NULL)
		return NULL;
	t->ssl = SSL_new(s->ctx);
	/* Else the first answer waits for the ACK of the tickets behind the handshake. */
	if (t->ssl == NULL || SSL_set_fd(t->ssl, fd) != 1 || flags < 0 ||
	    fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0) {
		tls_stream_free(t);
		return NULL;
	}
	do {
		n = SSL_accept(t->ssl);
		if (n == 1)
			return t;
	} while (stream_wait(t, n, ms));
	tls_stream_free(t);
	return NULL;
}

ssize_t tls_stream_read(struct tls_stream *t, char *data, size_t len, int ms)
{
	size_t got = 0;
	int n;

	do {
		n = SSL_read_ex(t->ssl, data, len, &got);
		if (n == 1)
			return (ssize_t)got;
	} while (stream_wait(t, n, ms));
	return SSL_get_shutdown(t->ssl) & SSL_RECEIVED_SHUTDOWN ? 0 : -1;
}

int tls_stream_write(struct tls_stream *t, const char *data, size_t len, int ms)
{
	size_t written = 0;
	int n;

	if (len == 0)
		return 0;
	do {
		n = SSL_write_ex(t->ssl, data, len, &written);
		if (n == 1)
			return 0;
	} while (stream_wait(t, n, ms));
	return -1;
}

/* Who has said the same reads no more: another byte would be answered by a reset. */
void tls_stream_end(struct tls_stream *t)
{
	if (!t->failed && SSL_is_init_finished(t->ssl) && SSL_get_shutdown(t->ssl) == 0)
		(void)SSL_shutdown(t->ssl);
	ERR_clear_error();
}

void tls_stream_free(struct tls_stream *t)
{
	if (t != NULL)
		SSL_free(t->ssl);
	free(t);
}
