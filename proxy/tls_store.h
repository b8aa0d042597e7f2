/*
 * tls_store.h -- one file of keys and certificates, read, checked and sorted into identities.
 *
 * PKCS#12 and PEM, told apart by their bytes. A store is what its file was when it was read.
 */
#ifndef PROXY_TLS_STORE_H
#define PROXY_TLS_STORE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/attrib.h"
#include "config/config.h"
#include "proxy/tls_secret.h"

struct evp_pkey_st;
struct stack_st_X509;
struct x509_st;

/* A private key and its certificate. */
struct tls_identity {
	struct x509_st *cert;
	struct evp_pkey_st *key;
};

struct tls_store {
	struct stack_st_X509 *certs; /* all of them, in the file's order */
	struct tls_identity *identities;
	size_t identity_count; /* in the order of the keys */
	size_t crl_count;      /* revocation lists, which are not used */
	bool exposed;          /* everybody on this machine may read the protected keys in it */
};

/*
 * A file with at least one key, each with its certificate, valid now and strong enough; an unprotected
 * key must be readable by nobody who is neither its owner nor of its group. NULL: err says in one sentence which file, what
 * is wrong with it and what to do. secrets are tried one after the other.
 */
struct tls_store *tls_store_keystore(const char *path, const struct tls_secret *secrets,
				     size_t count, char err[CONFIG_ERROR_MAX]) MUST_CHECK;

/* A file with at least one certificate; keys in it are passed over. secret may be NULL. */
struct tls_store *tls_store_truststore(const char *path, const struct tls_secret *secret,
				       char err[CONFIG_ERROR_MAX]) MUST_CHECK;

/* NULL is fine. */
void tls_store_free(struct tls_store *s);

#endif
