/*
 * tls_context.c -- reads the stores and makes of them what connections begin with.
 *
 * Reading and building is the main thread's; afterwards nothing of it changes but the count of
 * those who use it.
 */
#include "proxy/tls_context.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "common/log.h"
#include "proxy/tls_cert.h"
#include "proxy/tls_context_parts.h"
#include "proxy/tls_tickets.h"

struct tls_context {
	atomic_uint refs;
	struct tls_tickets *tickets;
	SSL_CTX *server;           /* NULL: no listener speaks TLS */
	SSL_CTX *client;           /* NULL: the backend does not */
	char sni[CONFIG_NAME_MAX]; /* what to ask the backend for; empty: nothing */
};

/* Of a proxy that has nothing to do with TLS. Its first reference is never given back. */
static struct tls_context nothing = {.refs = 1};

/* ---- reading ----------------------------------------------------------------------------------- */

struct secrets {
	struct tls_secret list[CONFIG_STORES_MAX];
	size_t count;
};

static bool secrets_fetch(struct secrets *s, const struct config_tls *cfg,
			  char err[CONFIG_ERROR_MAX])
{
	for (uint32_t i = 0; i < cfg->keystorepassword_count; i++) {
		if (!tls_secret_fetch(&s->list[i], "keystorepassword", cfg->keystorepassword[i],
				      err))
			return false;
		s->count++;
	}
	return true;
}

static bool read_keystores(struct tls_material *m, char err[CONFIG_ERROR_MAX])
{
	const struct config_tls *cfg = &m->cfg->tls;
	struct secrets *s = calloc(1, sizeof(*s));
	bool fine;

	if (s == NULL)
		return tls_settings_fail(err, "[tls] keystore");
	fine = secrets_fetch(s, cfg, err);
	for (uint32_t i = 0; fine && i < cfg->keystore_count; i++) {
		struct tls_store *one =
			tls_store_keystore(cfg->keystore[i], s->list, s->count, err);

		fine = one != NULL;
		if (fine)
			m->keystores[m->keystore_count++] = one;
	}
	explicit_bzero(s, sizeof(*s));
	free(s);
	return fine;
}

static bool read_truststore(struct tls_material *m, char err[CONFIG_ERROR_MAX])
{
	const struct config_tls *cfg = &m->cfg->tls;
	bool locked = cfg->truststorepassword[0] != '\0';
	struct tls_secret secret;
	bool fine = true;

	if (cfg->truststore[0] == '\0')
		return true;
	if (locked)
		fine = tls_secret_fetch(&secret, "truststorepassword", cfg->truststorepassword,
					err);
	if (fine)
		m->trust = tls_store_truststore(cfg->truststore, locked ? &secret : NULL, err);
	tls_secret_wipe(&secret);
	return m->trust != NULL;
}

static bool make_anchors(struct tls_material *m, char err[CONFIG_ERROR_MAX])
{
	bool fine = true;

	if (m->trust == NULL)
		return true;
	m->anchors = X509_STORE_new();
	for (int i = 0; m->anchors != NULL && fine && i < sk_X509_num(m->trust->certs); i++)
		fine = X509_STORE_add_cert(m->anchors, sk_X509_value(m->trust->certs, i));
	if (m->anchors != NULL && fine)
		return true;
	return tls_settings_fail(err, "[tls] truststore");
}

static void material_fini(struct tls_material *m)
{
	for (size_t i = 0; i < m->keystore_count; i++)
		tls_store_free(m->keystores[i]);
	tls_store_free(m->trust);
	X509_STORE_free(m->anchors);
}

/* ---- building ---------------------------------------------------------------------------------- */

static bool listens(const struct config *cfg)
{
	for (uint32_t i = 0; i < cfg->proxy.listen_count; i++)
		if (cfg->proxy.listen[i].tls)
			return true;
	return false;
}

/* A store that is named is read, also where nothing would use it: it may be wrong. */
static bool is_wanted(const struct config *cfg)
{
	return listens(cfg) || cfg->proxy.backend.tls || cfg->tls.keystore_count > 0 ||
	       cfg->tls.truststore[0] != '\0';
}

static bool build(struct tls_context *t, const struct tls_material *m, char err[CONFIG_ERROR_MAX])
{
	const struct config_backend *b = &m->cfg->proxy.backend;
	size_t len;

	if (listens(m->cfg)) {
		t->server = tls_server_new(m, err);
		if (t->server == NULL)
			return false;
	}
	if (!b->tls)
		return true;
	t->client = tls_client_new(m, err);
	len = strlen(b->host);
	if (!b->literal && len > 0) {
		memcpy(t->sni, b->host, len + 1);
		if (t->sni[len - 1] == '.')
			t->sni[len - 1] = '\0';
	}
	return t->client != NULL;
}

static void warn_identity(const struct tls_material *m, size_t k, const struct tls_identity *id)
{
	const char *path = m->cfg->tls.keystore[k];
	char subject[160];
	char when[TLS_DATE_MAX];

	tls_cert_subject(id->cert, subject, sizeof(subject));
	tls_cert_end(id->cert, when);
	if (tls_cert_ends_soon(id->cert))
		log_warning("[tls] keystore = \"%s\": its certificate (%s) expires on %s", path,
			    subject, when);
	if (listens(m->cfg) && X509_check_purpose(id->cert, X509_PURPOSE_SSL_SERVER, 0) != 1)
		log_warning("[tls] keystore = \"%s\": its certificate (%s) is not made for servers "
			    "(key usage): clients will refuse it",
			    path, subject);
}

/* s NULL: there is none. */
static void warn_store(const char *key, const char *path, const struct tls_store *s)
{
	if (s == NULL)
		return;
	if (s->exposed)
		log_warning("[tls] %s = \"%s\": everybody on this machine may use that file: only "
			    "its password protects the private key in it (chmod o= FILE)",
			    key, path);
	if (s->crl_count > 0)
		log_warning("[tls] %s = \"%s\": revocation lists stand in it, which are not used",
			    key, path);
}

/* A store that nobody would ask for was meant for something. */
static void warn_unused(const struct tls_material *m)
{
	const struct config *cfg = m->cfg;
	bool verifies = cfg->proxy.backend.tls && cfg->tls.verify == CONFIG_VERIFY_FULL;

	if (m->keystore_count > 0 && !listens(cfg) && !cfg->proxy.backend.tls)
		log_warning("[tls] keystore is set, but neither a listen nor the backend begins "
			    "with https://: everything is plain HTTP");
	else if (m->trust != NULL && !verifies && cfg->tls.client_auth == CONFIG_CLIENT_AUTH_NONE)
		log_warning("[tls] truststore is set, but neither a backend nor clients are "
			    "verified");
}

static void warn(const struct tls_material *m)
{
	const struct config *cfg = m->cfg;

	warn_store("truststore", cfg->tls.truststore, m->trust);
	for (size_t k = 0; k < m->keystore_count; k++)
		warn_store("keystore", cfg->tls.keystore[k], m->keystores[k]);
	for (size_t k = 0; k < m->keystore_count; k++)
		for (size_t i = 0; i < m->keystores[k]->identity_count; i++)
			warn_identity(m, k, &m->keystores[k]->identities[i]);
	warn_unused(m);
	if (cfg->proxy.backend.tls && cfg->tls.verify == CONFIG_VERIFY_FULL && m->trust == NULL &&
	    !tls_settings_system_trusts())
		log_warning(
			"[tls] truststore is not set, and this system trusts nobody (its package "
			"of CA certificates is missing): no backend will be believed");
	if (cfg->proxy.backend.tls && cfg->tls.verify == CONFIG_VERIFY_NONE)
		log_warning("[tls] verify = none: whoever answers for https://%s is believed",
			    cfg->proxy.backend.authority);
}

static struct tls_context *context_load(const struct config *cfg, struct tls_tickets *tickets,
					char err[CONFIG_ERROR_MAX])
{
	struct tls_material m = {.cfg = cfg};
	struct tls_context *t;
	bool fine;

	if (!is_wanted(cfg))
		return tls_context_ref(&nothing);
	t = calloc(1, sizeof(*t));
	if (t != NULL)
		t->tickets = tickets != NULL ? tls_tickets_ref(tickets) : tls_tickets_new();
	if (t == NULL || t->tickets == NULL) {
		free(t);
		tls_settings_fail(err, "[tls]");
		return NULL;
	}
	atomic_init(&t->refs, 1);
	m.tickets = t->tickets;
	fine = read_keystores(&m, err) && read_truststore(&m, err) && make_anchors(&m, err) &&
	       build(t, &m, err);
	if (fine)
		warn(&m);
	material_fini(&m);
	if (fine)
		return t;
	tls_context_unref(t);
	return NULL;
}

struct tls_context *tls_context_load(const struct config *cfg, char err[CONFIG_ERROR_MAX])
{
	return context_load(cfg, NULL, err);
}

struct tls_context *tls_context_reload(struct tls_context *old, const struct config *cfg,
				       char err[CONFIG_ERROR_MAX])
{
	return context_load(cfg, old->tickets, err);
}

struct tls_context *tls_context_ref(struct tls_context *t)
{
	if (t != NULL)
		atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void tls_context_unref(struct tls_context *t)
{
	if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
		return;
	SSL_CTX_free(t->server);
	SSL_CTX_free(t->client);
	tls_tickets_unref(t->tickets);
	free(t);
}

static void check_file(const char *key, const char *path)
{
	if (path == NULL || path[0] == '\0' || access(path, R_OK) == 0)
		return;
	log_warning("[tls] %s = \"%s\": %s, now that rights have been given up: SIGHUP will not be "
		    "able to read it again (chgrp, chmod g+r)",
		    key, path, strerror(errno));
}

void tls_context_check_rights(const struct config *cfg)
{
	const struct config_tls *c = &cfg->tls;

	for (uint32_t i = 0; i < c->keystore_count; i++)
		check_file("keystore", c->keystore[i]);
	for (uint32_t i = 0; i < c->keystorepassword_count; i++)
		check_file("keystorepassword", tls_secret_file(c->keystorepassword[i]));
	check_file("truststore", c->truststore);
	check_file("truststorepassword", tls_secret_file(c->truststorepassword));
}

/* ---- connections ------------------------------------------------------------------------------- */

SSL *tls_context_accept(struct tls_context *t)
{
	SSL *ssl = SSL_new(t->server);

	if (ssl != NULL)
		SSL_set_accept_state(ssl);
	return ssl;
}

SSL *tls_context_connect(struct tls_context *t)
{
	SSL *ssl = SSL_new(t->client);

	if (ssl != NULL && t->sni[0] != '\0' && !SSL_set_tlsext_host_name(ssl, t->sni)) {
		SSL_free(ssl);
		return NULL;
	}
	if (ssl != NULL)
		SSL_set_connect_state(ssl);
	return ssl;
}
