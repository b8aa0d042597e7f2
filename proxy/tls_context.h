/*
 * tls_context.h -- the certificates, keys and settings that TLS connections are made from: read
 * once, shared by all threads, never changed.
 *
 * Reading the stores again makes a new one; connections that were made from the old one keep it.
 */
#ifndef PROXY_TLS_CONTEXT_H
#define PROXY_TLS_CONTEXT_H

#include "common/attrib.h"
#include "config/config.h"

struct tls_context;
struct ssl_st;

/*
 * Read the stores that cfg names, for what cfg speaks TLS on: listeners, the backend, or nothing
 * (then there is a context too, of nothing). NULL: err says in one sentence which file and what to
 * do. Prints warnings (an unverified backend, a certificate that ends soon) through common/log.
 */
struct tls_context *tls_context_load(const struct config *cfg,
				     char err[CONFIG_ERROR_MAX]) MUST_CHECK;

/*
 * The same again, later: sessions that began with old can be resumed with the new one. Where cfg
 * names no store and speaks no TLS the result is old itself.
 */
struct tls_context *tls_context_reload(struct tls_context *old, const struct config *cfg,
				       char err[CONFIG_ERROR_MAX]) MUST_CHECK;

/*
 * After rights were given up: warn of each file that could not be read again, by whoever this
 * process is now.
 */
void tls_context_check_rights(const struct config *cfg);

/* Any thread. The last one frees it; NULL is fine. */
struct tls_context *tls_context_ref(struct tls_context *t);
void tls_context_unref(struct tls_context *t);

/*
 * One connection's OpenSSL state, to be freed by SSL_free(): of a listener (certificate by SNI,
 * ALPN, tickets, client_auth), or towards the backend (name and chain are verified, SNI, ALPN).
 * NULL: no memory. It needs t no longer than the handshake lasts.
 */
struct ssl_st *tls_context_accept(struct tls_context *t) MUST_CHECK;
struct ssl_st *tls_context_connect(struct tls_context *t) MUST_CHECK;

#endif
