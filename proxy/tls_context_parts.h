/*
 * tls_context_parts.h -- how the files that build a tls_context share the work. Private to them.
 */
#ifndef PROXY_TLS_CONTEXT_PARTS_H
#define PROXY_TLS_CONTEXT_PARTS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/attrib.h"
#include "config/config.h"
#include "proxy/tls_store.h"

struct ssl_ctx_st;
struct tls_tickets;
struct x509_store_st;

/* Everything that was read. */
struct tls_material {
	const struct config *cfg;
	struct tls_store *keystores[CONFIG_STORES_MAX]; /* in the order of cfg */
	size_t keystore_count;
	struct tls_store *trust;       /* NULL: none was given */
	struct x509_store_st *anchors; /* of trust */
	struct tls_tickets *tickets;
};

/* What both sides have in common: versions, ciphers, curves, what is never done. */
bool tls_settings_apply(struct ssl_ctx_st *ctx, const struct config *cfg) MUST_CHECK;

/* Trust what m trusts; false: no memory. */
bool tls_settings_trust(struct ssl_ctx_st *ctx, const struct tls_material *m) MUST_CHECK;

/* Is there anything in what OpenSSL takes for the system's truststore? */
bool tls_settings_system_trusts(void);

/*
 * Have ctx show identity number i of keystore number k, with its chain. False: err says why OpenSSL
 * will not.
 */
bool tls_settings_identity(struct ssl_ctx_st *ctx, const struct tls_material *m, size_t k, size_t i,
			   char err[CONFIG_ERROR_MAX]) MUST_CHECK;

/* "what: OpenSSL's reason" to err; empties its queue. Returns false. */
bool tls_settings_fail(char err[CONFIG_ERROR_MAX], const char *what);

/* Have ctx resume sessions by tickets that t's keys seal; it keeps a reference. */
bool tls_resume_install(struct ssl_ctx_st *ctx, struct tls_tickets *t) MUST_CHECK;

/* For the listeners: the context that every connection begins with; it knows the others. */
struct ssl_ctx_st *tls_server_new(const struct tls_material *m,
				  char err[CONFIG_ERROR_MAX]) MUST_CHECK;

/* Towards the backend. */
struct ssl_ctx_st *tls_client_new(const struct tls_material *m,
				  char err[CONFIG_ERROR_MAX]) MUST_CHECK;

#endif
