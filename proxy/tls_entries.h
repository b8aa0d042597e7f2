/*
 * tls_entries.h -- what stands in one file of keys and certificates, in the file's order, and the
 * two readers that find it. Private to tls_store.c and the readers.
 */
#ifndef PROXY_TLS_ENTRIES_H
#define PROXY_TLS_ENTRIES_H

#include <stdbool.h>
#include <stddef.h>

#include "common/attrib.h"
#include "proxy/tls_secret.h"

#define TLS_ENTRIES_KEYS_MAX 32
#define TLS_WHY_MAX          320

struct evp_pkey_st;
struct stack_st_X509;
struct x509_st;

struct tls_entries {
	struct stack_st_X509 *certs;
	struct evp_pkey_st *keys[TLS_ENTRIES_KEYS_MAX];
	size_t key_count;
	size_t crl_count; /* revocation lists, which are only counted */
	bool locked;      /* one of the keys was protected by a password */
};

/* What a reader is asked for. */
struct tls_reading {
	const void *bytes;
	size_t len;
	const char *path;                 /* for the commands in why */
	const char *password_key;         /* "keystorepassword" */
	const struct tls_secret *secrets; /* each is tried, then none */
	size_t secret_count;
	bool keys; /* wanted; if not, they are skipped */
};

/* False: why is half a sentence that goes behind the file's name. Frees nothing of e. */
bool tls_entries_pem(struct tls_entries *e, const struct tls_reading *r,
		     char why[TLS_WHY_MAX]) MUST_CHECK;
bool tls_entries_pkcs12(struct tls_entries *e, const struct tls_reading *r,
			char why[TLS_WHY_MAX]) MUST_CHECK;

/* Take one over, also when that fails (false, and why): too many, or no memory. */
bool tls_entries_add_cert(struct tls_entries *e, struct x509_st *cert,
			  char why[TLS_WHY_MAX]) MUST_CHECK;
bool tls_entries_add_key(struct tls_entries *e, struct evp_pkey_st *key,
			 char why[TLS_WHY_MAX]) MUST_CHECK;

/* Why no password opened it: there was none, or they are wrong. */
void tls_entries_locked(const struct tls_reading *r, char why[TLS_WHY_MAX]);

/* "what cannot be read: OpenSSL's reason". Empties its queue of errors. */
void tls_entries_damaged(const char *what, char why[TLS_WHY_MAX]);

/* The queue of errors says that an algorithm is unknown to this OpenSSL. */
bool tls_entries_unsupported(void);

#endif
