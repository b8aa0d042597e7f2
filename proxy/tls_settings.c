/*
 * tls_settings.c -- what every TLS connection of the proxy may and may not do, on either side.
 *
 * Versions and ciphers are those of Mozilla's "intermediate" recommendation, version 5.7.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "proxy/tls_cert.h"
#include "proxy/tls_context_parts.h"
#include "proxy/tls_parts.h"

#define SECURITY_LEVEL 2

static const char ciphers_13[] =
	"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

static const char ciphers_12[] =
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
	"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
	"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
	"DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-CHACHA20-POLY1305";

bool tls_settings_fail(char err[CONFIG_ERROR_MAX], const char *what)
{
	const char *reason = ERR_reason_error_string(ERR_peek_error());

	snprintf(err, CONFIG_ERROR_MAX, "%s: %s", what, reason != NULL ? reason : "no memory");
	ERR_clear_error();
	return false;
}

bool tls_settings_apply(SSL_CTX *ctx, const struct config *cfg)
{
	char groups[] = "X25519:P-256:P-384";
	bool only_13 = cfg->tls.min_version == CONFIG_MIN_VERSION_13;

	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_clear_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
	/* The chain that is shown is put together once, when the stores are read. */
	SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_security_level(ctx, SECURITY_LEVEL);
	if (cfg->trace.secrets == CONFIG_SECRETS_ON)
		SSL_CTX_set_keylog_callback(ctx, tls_keylog);
	if (cfg->trace.secrets == CONFIG_SECRETS_ON)
		SSL_CTX_set_keylog_callback(ctx, tls_keylog);
	return SSL_CTX_set_min_proto_version(ctx, only_13 ? TLS1_3_VERSION : TLS1_2_VERSION) &&
	       SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) &&
	       SSL_CTX_set_max_early_data(ctx, 0) && SSL_CTX_set_recv_max_early_data(ctx, 0) &&
	       SSL_CTX_set_ciphersuites(ctx, ciphers_13) &&
	       SSL_CTX_set_cipher_list(ctx, ciphers_12) && SSL_CTX_set1_groups_list(ctx, groups);
}

/* What stands in a truststore is trusted as it is, also when it is no root: as Java does. */
bool tls_settings_trust(SSL_CTX *ctx, const struct tls_material *m)
{
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);

	if (m->anchors == NULL)
		return SSL_CTX_set_default_verify_paths(ctx);
	SSL_CTX_set1_cert_store(ctx, m->anchors);
	return X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
}

static const char *from_env(const char *name, const char *otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? text : otherwise;
}

bool tls_settings_system_trusts(void)
{
	const char *file = from_env(X509_get_default_cert_file_env(), X509_get_default_cert_file());
	const char *path = from_env(X509_get_default_cert_dir_env(), X509_get_default_cert_dir());
	const struct dirent *entry;
	bool found = access(file, R_OK) == 0;
	DIR *dir = found ? NULL : opendir(path);

	/* Certificates are found there by a hash of their names: 1d3472b9.0 */
	while (!found && dir != NULL && (entry = readdir(dir)) != NULL)
		found = strspn(entry->d_name, "0123456789abcdef") == 8 && entry->d_name[8] == '.';
	if (dir != NULL)
		closedir(dir);
	return found;
}

bool tls_settings_identity(SSL_CTX *ctx, const struct tls_material *m, size_t k, size_t i,
			   char err[CONFIG_ERROR_MAX])
{
	const struct tls_store *s = m->keystores[k];
	const struct tls_identity *id = &s->identities[i];
	STACK_OF(X509) *there = m->trust != NULL ? m->trust->certs : NULL;
	STACK_OF(X509) *chain = tls_cert_chain(id->cert, s->certs, there);
	bool fine = chain != NULL && SSL_CTX_use_cert_and_key(ctx, id->cert, id->key, chain, 0);

	sk_X509_pop_free(chain, X509_free);
	if (!fine) {
		char what[300];

		snprintf(what, sizeof(what), "[tls] keystore = \"%.200s\": OpenSSL refuses it",
			 m->cfg->tls.keystore[k]);
		return tls_settings_fail(err, what);
	}
	return true;
}
