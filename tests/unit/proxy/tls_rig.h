/*
 * tls_rig.h -- a configuration, stores in a directory of their own, and peers for what is made of
 * them.
 */
#ifndef TESTS_UNIT_PROXY_TLS_RIG_H
#define TESTS_UNIT_PROXY_TLS_RIG_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/attrib.h"
#include "proxy/tls_context.h"
#include "scratch.h"
#include "tls_maker.h"
#include "tls_pair.h"

static struct scratch dir;
static struct config cfg;
static struct made ca, other_ca;

static inline void set(const char *section, const char *key, const char *value)
{
	char err[CONFIG_ERROR_MAX];

	cr_assert(config_set(&cfg, section, key, value, err), "%s", err);
}

static inline void setup(void)
{
	scratch_make(&dir);
	ca = make((struct plan){.cn = "Test CA", .ca = true});
	other_ca = make((struct plan){.cn = "Other CA", .ca = true});
	config_defaults(&cfg);
	set("proxy", "listen", "https://127.0.0.1:0");
}

static inline void teardown(void)
{
	unmake(&ca);
	unmake(&other_ca);
	scratch_remove(&dir);
}

/* A keystore of m, named file, goes into the configuration. */
static inline void add_keystore(const char *file, const struct made *m)
{
	write_key(scratch_path(&dir, file), m->key, NULL);
	write_cert(scratch_path(&dir, file), m->cert);
	set("tls", "keystore", scratch_path(&dir, file));
	cfg.given = UINT64_MAX;
}

static inline struct made add_identity(const char *file, struct plan p)
{
	struct made m;

	if (p.by == NULL)
		p.by = &ca;
	m = make(p);
	add_keystore(file, &m);
	return m;
}

static inline void trust(const struct made *m)
{
	write_cert(scratch_path(&dir, "trust"), m->cert);
	set("tls", "truststore", scratch_path(&dir, "trust"));
}

static inline struct tls_context *load(void)
{
	char err[CONFIG_ERROR_MAX] = "";
	struct tls_context *t = tls_context_load(&cfg, err);

	cr_assert(t != NULL, "%s", err);
	return t;
}

/* ---- peers of the proxy ------------------------------------------------------------------------ */

/* A client that trusts the CA; name NULL: it asks for none. */
static inline SSL *client_of(SSL_CTX *ctx, const char *name)
{
	SSL *ssl = SSL_new(ctx);

	SSL_set_connect_state(ssl);
	if (name != NULL)
		cr_assert(SSL_set_tlsext_host_name(ssl, (void *)(uintptr_t)name));
	return ssl;
}

static inline SSL_CTX *client_ctx(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	SSL_CTX_set_security_level(ctx, 0);
	SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
	return ctx;
}

static inline SSL_CTX *with_identity(SSL_CTX *ctx, const struct made *m)
{
	cr_assert(SSL_CTX_use_certificate(ctx, m->cert) && SSL_CTX_use_PrivateKey(ctx, m->key));
	return ctx;
}

/* Common name of what the peer showed. */
static inline const char *shown(const SSL *ssl)
{
	static char name[100];
	X509 *cert = SSL_get0_peer_certificate(ssl);

	if (cert == NULL)
		return "nothing";
	X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, name, sizeof(name));
	return name;
}

#endif
