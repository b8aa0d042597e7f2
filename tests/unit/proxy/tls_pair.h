/*
 * tls_pair.h -- two OpenSSL connections that talk to each other through memory.
 */
#ifndef TESTS_UNIT_PROXY_TLS_PAIR_H
#define TESTS_UNIT_PROXY_TLS_PAIR_H

#include <criterion/criterion.h>
#include <stdbool.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

struct pair {
	SSL *client, *server;
	const char *client_error, *server_error; /* OpenSSL's reasons; NULL: none */
};

/* Takes both over. */
static inline struct pair pair_of(SSL *client, SSL *server)
{
	BIO *a = NULL, *b = NULL;

	cr_assert(client != NULL && server != NULL);
	cr_assert(BIO_new_bio_pair(&a, 1 << 20, &b, 1 << 20));
	SSL_set_bio(client, a, a);
	SSL_set_bio(server, b, b);
	return (struct pair){.client = client, .server = server};
}

static inline void pair_free(struct pair *p)
{
	SSL_free(p->client);
	SSL_free(p->server);
	ERR_clear_error();
}

/* One step of one side; true: it is done or waits for the other. */
static inline bool pair_step(SSL *ssl, const char **error)
{
	int r;

	ERR_clear_error();
	r = SSL_do_handshake(ssl);
	if (r == 1 || SSL_get_error(ssl, r) == SSL_ERROR_WANT_READ)
		return true;
	*error = ERR_reason_error_string(ERR_peek_error());
	if (*error == NULL)
		*error = "closed";
	return false;
}

/* Both sides are done. With TLS 1.3 a client is done before the server has looked at its certificate. */
static inline bool pair_shake(struct pair *p)
{
	for (int i = 0; i < 10; i++) {
		bool fine = pair_step(p->client, &p->client_error);

		fine = pair_step(p->server, &p->server_error) && fine;
		if (!fine) {
			if (p->client_error == NULL)
				(void)pair_step(p->client, &p->client_error);
			return false;
		}
	}
	return SSL_is_init_finished(p->client) && SSL_is_init_finished(p->server);
}

/* text goes over and is read there; tickets come along. */
static inline bool pair_say(SSL *from, SSL *to, const char *text)
{
	char got[100];
	int len = (int)strlen(text);

	return SSL_write(from, text, len) == len && SSL_read(to, got, sizeof(got)) == len &&
	       memcmp(got, text, (size_t)len) == 0;
}

#endif
