/*
 * tls_stream.h -- TLS for a server that has a blocking thread for each connection.
 *
 * The only tool module that knows OpenSSL besides the load client. TLS 1.2 and 1.3, one certificate,
 * nobody is verified.
 */
#ifndef TESTS_TOOLS_LIB_TLS_STREAM_H
#define TESTS_TOOLS_LIB_TLS_STREAM_H

#include <stddef.h>
#include <sys/types.h>

#include "common/attrib.h"

struct tls_server;
struct tls_stream;

/* From two PEM files: the certificate with its chain, and its key. NULL: one line on stderr said why. */
struct tls_server *tls_server_new(const char *program, const char *cert,
				  const char *key) MUST_CHECK;
void tls_server_free(struct tls_server *s);

/*
 * Shake hands on a connected socket, which becomes non-blocking and stays the caller's. NULL: it did
 * not succeed, within ms for each wait.
 */
struct tls_stream *tls_stream_accept(struct tls_server *s, int fd, int ms) MUST_CHECK;

/* Up to len bytes within ms; 0: the peer has closed. -1: an error, or too late. */
ssize_t tls_stream_read(struct tls_stream *t, char *data, size_t len, int ms) MUST_CHECK;

/* All of it within ms for each wait, or -1. */
int tls_stream_write(struct tls_stream *t, const char *data, size_t len, int ms) MUST_CHECK;

/* Tell the peer, by close_notify, that no more will come; nothing when it has told us. */
void tls_stream_end(struct tls_stream *t);

/* NULL is fine. The socket is left open. */
void tls_stream_free(struct tls_stream *t);

#endif
