/*
 * tls_server.c -- the OpenSSL contexts of the listeners: one for each set of names, found by the
 * name that a client asks for.
 *
 * Identities for the same names, each with another kind of key, stand in one context, so that
 * OpenSSL shows each client the one that it can check. Every connection begins with the first
 * context and moves to another before its session is looked up: session ids and tickets of one
 * identity are worth nothing with another.
 *
 * The first context owns the table of names and keeps the other contexts alive.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/dh.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>

#include "common/cursor.h"
#include "common/log.h"
#include "proxy/tls_cert.h"
#include "proxy/tls_context_parts.h"
#include "proxy/tls_names.h"

#define GROUPS_MAX       (CONFIG_STORES_MAX * 32)
#define CLIENT_CAS_BYTES (16 * 1024)

/* One set of names. */
struct group {
	SSL_CTX *ctx; /* NULL of the first: it owns this */
	struct tls_names *names;
	EVP_MD_CTX *digest; /* of what a session must not outlive; NULL once it is taken */
};

/* What the first context leads to. */
struct sni {
	struct tls_names *names; /* to an index of groups */
	struct group *groups;
	unsigned group_count;
};

static int sni_index = -1;

static void sni_free(struct sni *s)
{
	if (s == NULL)
		return;
	for (unsigned i = 0; i < s->group_count; i++) {
		SSL_CTX_free(s->groups[i].ctx);
		tls_names_free(s->groups[i].names);
		EVP_MD_CTX_free(s->groups[i].digest);
	}
	free(s->groups);
	tls_names_free(s->names);
	free(s);
}

static void on_context_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index, long argl,
			    void *argp)
{
	(void)parent;
	(void)ad;
	(void)index;
	(void)argl;
	(void)argp;
	sni_free(ptr);
}

/* ---- during a handshake ------------------------------------------------------------------------ */

/* The host name of a server_name extension (RFC 6066 section 3), or NULL. */
static const char *hello_name(SSL *ssl, size_t *len)
{
	const unsigned char *bytes;
	struct cursor c, list;
	size_t size;

	if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &bytes, &size))
		return NULL;
	c = cursor_of(bytes, size);
	list = cursor_sub(&c, cursor_be16(&c));
	if (cursor_u8(&list) != TLSEXT_NAMETYPE_host_name)
		return NULL;
	*len = cursor_be16(&list);
	return (const char *)cursor_take(&list, *len);
}

/*
 * Before OpenSSL has looked at anything else: move to the context of the name. A hello that is not
 * well formed is left to OpenSSL, which refuses it.
 */
static int on_client_hello(SSL *ssl, int *alert, void *arg)
{
	const struct sni *s = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), sni_index);
	const char *name;
	unsigned index;
	size_t len = 0;

	(void)alert;
	(void)arg;
	name = s != NULL ? hello_name(ssl, &len) : NULL;
	if (name != NULL && tls_names_find(s->names, name, len, &index) && index != 0)
		SSL_set_SSL_CTX(ssl, s->groups[index].ctx);
	return SSL_CLIENT_HELLO_SUCCESS;
}

/* The name is taken note of, so that a resumed session knows it too. */
static int on_server_name(SSL *ssl, int *alert, void *arg)
{
	(void)ssl;
	(void)alert;
	(void)arg;
	return SSL_TLSEXT_ERR_OK;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
		   const unsigned char *in, unsigned in_len, void *arg)
{
	static const unsigned char ours[] = "http/1.1";
	struct cursor c = cursor_of(in, in_len);

	(void)ssl;
	(void)arg;
	while (cursor_left(&c) > 0 && !c.failed) {
		uint8_t len = cursor_u8(&c);
		const uint8_t *one = cursor_take(&c, len);

		if (one != NULL && len == sizeof(ours) - 1 && memcmp(one, ours, len) == 0) {
			*out = one;
			*out_len = len;
			return SSL_TLSEXT_ERR_OK;
		}
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* ---- one context ------------------------------------------------------------------------------- */

/* The finite field of RFC 7919 with 2048 bits, for the DHE ciphers. */
static bool set_dh(SSL_CTX *ctx)
{
	char name[] = "ffdhe2048";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, name, 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_PKEY_CTX *gen = EVP_PKEY_CTX_new_from_name(NULL, "DH", NULL);
	EVP_PKEY *dh = NULL;
	bool fine;

	fine = gen != NULL && EVP_PKEY_paramgen_init(gen) > 0 &&
	       EVP_PKEY_CTX_set_params(gen, params) > 0 && EVP_PKEY_paramgen(gen, &dh) > 0 &&
	       SSL_CTX_set0_tmp_dh_pkey(ctx, dh);
	if (!fine)
		EVP_PKEY_free(dh);
	EVP_PKEY_CTX_free(gen);
	return fine;
}

/* Whose certificates may be shown, told to the clients; left out when that would be a long list. */
static bool set_client_cas(SSL_CTX *ctx, const STACK_OF(X509) * certs)
{
	STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
	size_t total = 0;

	for (int i = 0; names != NULL && i < sk_X509_num(certs); i++) {
		X509_NAME *name = X509_NAME_dup(X509_get_subject_name(sk_X509_value(certs, i)));

		if (name == NULL || !sk_X509_NAME_push(names, name)) {
			X509_NAME_free(name);
			sk_X509_NAME_pop_free(names, X509_NAME_free);
			return false;
		}
		total += (size_t)i2d_X509_NAME(name, NULL);
	}
	if (total > CLIENT_CAS_BYTES)
		sk_X509_NAME_pop_free(names, X509_NAME_free);
	else
		SSL_CTX_set_client_CA_list(ctx, names);
	return names != NULL;
}

static bool set_client_auth(SSL_CTX *ctx, const struct tls_material *m)
{
	int mode = SSL_VERIFY_NONE;

	if (m->cfg->tls.client_auth == CONFIG_CLIENT_AUTH_NONE || m->trust == NULL)
		return true;
	mode = SSL_VERIFY_PEER;
	if (m->cfg->tls.client_auth == CONFIG_CLIENT_AUTH_REQUIRED)
		mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	SSL_CTX_set_verify(ctx, mode, NULL);
	return tls_settings_trust(ctx, m) && set_client_cas(ctx, m->trust->certs);
}

static SSL_CTX *context_new(const struct tls_material *m)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (ctx == NULL || !tls_settings_apply(ctx, m->cfg) || !set_dh(ctx) ||
	    !set_client_auth(ctx, m) || !tls_resume_install(ctx, m->tickets)) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	SSL_CTX_set_client_hello_cb(ctx, on_client_hello, NULL);
	SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
	SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
	return ctx;
}

/* ---- groups ------------------------------------------------------------------------------------ */

static bool digest_cert(EVP_MD_CTX *digest, const X509 *cert)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	return X509_digest(cert, EVP_sha256(), hash, &len) && EVP_DigestUpdate(digest, hash, len);
}

/* A session goes on only with the same identities and the same question to the client. */
static bool digest_begin(struct group *g, const struct tls_material *m)
{
	int auth = (int)m->cfg->tls.client_auth;
	bool fine;

	g->digest = EVP_MD_CTX_new();
	fine = g->digest != NULL && EVP_DigestInit_ex(g->digest, EVP_sha256(), NULL) &&
	       EVP_DigestUpdate(g->digest, &auth, sizeof(auth));
	for (int i = 0; fine && auth != 0 && i < sk_X509_num(m->trust->certs); i++)
		fine = digest_cert(g->digest, sk_X509_value(m->trust->certs, i));
	return fine;
}

static bool digest_take(struct group *g, SSL_CTX *ctx)
{
	unsigned char id[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	return EVP_DigestFinal_ex(g->digest, id, &len) &&
	       SSL_CTX_set_session_id_context(ctx, id, MIN(len, SSL_MAX_SID_CTX_LENGTH));
}

/* That group's context has an identity with this kind of key. */
static bool group_has(const struct group *g, const EVP_PKEY *key)
{
	SSL_CTX *ctx = g->ctx;
	bool found = false;

	SSL_CTX_set_current_cert(ctx, SSL_CERT_SET_FIRST);
	do {
		const EVP_PKEY *one = SSL_CTX_get0_privatekey(ctx);

		found |= one != NULL && EVP_PKEY_get_base_id(one) == EVP_PKEY_get_base_id(key);
	} while (!found && SSL_CTX_set_current_cert(ctx, SSL_CERT_SET_NEXT));
	return found;
}

static struct group *group_add(struct sni *s, const struct tls_material *m, struct tls_names *names)
{
	struct group *g = &s->groups[s->group_count];

	if (s->group_count == GROUPS_MAX)
		return NULL;
	*g = (struct group){.ctx = context_new(m), .names = names};
	s->group_count++;
	return g->ctx != NULL && digest_begin(g, m) ? g : NULL;
}

/* The group for these names (which it takes over), with room for that kind of key. */
static struct group *group_for(struct sni *s, const struct tls_material *m, struct tls_names *names,
			       const EVP_PKEY *key)
{
	for (unsigned i = 0; i < s->group_count; i++) {
		struct group *g = &s->groups[i];

		if (tls_names_equal(g->names, names) && !group_has(g, key)) {
			tls_names_free(names);
			return g;
		}
	}
	return group_add(s, m, names);
}

/* What an earlier one has in all respects would never be shown. */
static void warn_shadowed(const struct sni *s, const struct tls_material *m, size_t k,
			  const struct tls_names *names, const EVP_PKEY *key)
{
	for (unsigned i = 0; i < s->group_count; i++)
		if (tls_names_equal(s->groups[i].names, names) && group_has(&s->groups[i], key)) {
			log_warning("[tls] keystore = \"%s\": an earlier certificate has the same "
				    "names and kind of key: this one is never shown",
				    m->cfg->tls.keystore[k]);
			return;
		}
}

static bool add_identity(struct sni *s, const struct tls_material *m, size_t k, size_t i,
			 char err[CONFIG_ERROR_MAX])
{
	const struct tls_identity *id = &m->keystores[k]->identities[i];
	struct tls_names *names = tls_names_new();
	struct group *g = NULL;

	if (names != NULL && tls_cert_names(id->cert, names, 0)) {
		warn_shadowed(s, m, k, names, id->key);
		g = group_for(s, m, names, id->key);
	} else {
		tls_names_free(names);
	}
	if (g == NULL || !digest_cert(g->digest, id->cert) ||
	    !tls_cert_names(id->cert, s->names, (unsigned)(g - s->groups)))
		return tls_settings_fail(err, "[tls] keystore: OpenSSL cannot be prepared");
	return tls_settings_identity(g->ctx, m, k, i, err);
}

static struct sni *sni_new(const struct tls_material *m, char err[CONFIG_ERROR_MAX])
{
	struct sni *s = calloc(1, sizeof(*s));
	bool fine;

	if (s != NULL) {
		s->groups = calloc(GROUPS_MAX, sizeof(*s->groups));
		s->names = tls_names_new();
	}
	fine = s != NULL && s->groups != NULL && s->names != NULL;
	if (!fine)
		tls_settings_fail(err, "[tls] keystore");
	for (size_t k = 0; fine && k < m->keystore_count; k++)
		for (size_t i = 0; fine && i < m->keystores[k]->identity_count; i++)
			fine = add_identity(s, m, k, i, err);
	for (unsigned i = 0; fine && i < s->group_count; i++) {
		fine = digest_take(&s->groups[i], s->groups[i].ctx);
		if (!fine)
			tls_settings_fail(err, "[tls] keystore");
	}
	if (fine)
		return s;
	sni_free(s);
	return NULL;
}

SSL_CTX *tls_server_new(const struct tls_material *m, char err[CONFIG_ERROR_MAX])
{
	struct sni *s = sni_new(m, err);
	SSL_CTX *first;

	if (s == NULL)
		return NULL;
	if (sni_index < 0)
		sni_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, on_context_free);
	first = s->groups[0].ctx;
	if (sni_index < 0 || !SSL_CTX_set_ex_data(first, sni_index, s)) {
		tls_settings_fail(err, "[tls] keystore");
		sni_free(s);
		return NULL;
	}
	s->groups[0].ctx = NULL;
	return first;
}
