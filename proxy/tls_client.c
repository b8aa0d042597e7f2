/*
 * tls_client.c -- the OpenSSL context of connections to the backend: whom to trust, which name to
 * ask for, what to show when asked.
 */
#include <stdio.h>
#include <string.h>

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "proxy/tls_context_parts.h"
#include "proxy/tls_parts.h"

static const unsigned char alpn[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

/* A certificate is for a name or for an address; one kind is never taken for the other. */
static bool expect_name(SSL_CTX *ctx, const struct config_backend *b)
{
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);
	size_t len = strlen(b->host);

	if (b->literal)
		return X509_VERIFY_PARAM_set1_ip(param, b->addr.ip,
						 b->addr.family == ADDR_IP4 ? 4 : 16);
	if (len > 0 && b->host[len - 1] == '.')
		len--;
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return X509_VERIFY_PARAM_set1_host(param, b->host, len);
}

/* The first identity there is, for a backend that asks for one. */
static bool show_identity(SSL_CTX *ctx, const struct tls_material *m, char err[CONFIG_ERROR_MAX])
{
	return m->keystore_count == 0 || tls_settings_identity(ctx, m, 0, 0, err);
}

SSL_CTX *tls_client_new(const struct tls_material *m, char err[CONFIG_ERROR_MAX])
{
	bool verify = m->cfg->tls.verify == CONFIG_VERIFY_FULL;
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	if (ctx == NULL || !tls_settings_apply(ctx, m->cfg) || !tls_settings_trust(ctx, m) ||
	    (verify && !expect_name(ctx, &m->cfg->proxy.backend)) ||
	    SSL_CTX_set_alpn_protos(ctx, alpn, sizeof(alpn)) != 0) {
		tls_settings_fail(err, "[proxy] backend: OpenSSL cannot be prepared");
		goto fail;
	}
	/* Sessions are kept by who connects (tls_sessions.c), not by OpenSSL. */
	SSL_CTX_set_session_cache_mode(ctx,
				       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
	SSL_CTX_sess_set_new_cb(ctx, tls_session_new);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, tls_session_new);
	SSL_CTX_set_verify(ctx, verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	if (show_identity(ctx, m, err))
		return ctx;
fail:
	SSL_CTX_free(ctx);
	return NULL;
}
