/*
 * tls_entries.c -- collects what the readers of stores find, and words what they could not.
 */
#include "proxy/tls_entries.h"

#include <stdio.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#define CERTS_MAX 10000

bool tls_entries_add_cert(struct tls_entries *e, X509 *cert, char why[TLS_WHY_MAX])
{
	if (sk_X509_num(e->certs) < CERTS_MAX && sk_X509_push(e->certs, cert) > 0)
		return true;
	X509_free(cert);
	snprintf(why, TLS_WHY_MAX, "more than %d certificates stand in it, or memory ran out",
		 CERTS_MAX);
	return false;
}

bool tls_entries_add_key(struct tls_entries *e, EVP_PKEY *key, char why[TLS_WHY_MAX])
{
	if (e->key_count < TLS_ENTRIES_KEYS_MAX) {
		e->keys[e->key_count++] = key;
		return true;
	}
	EVP_PKEY_free(key);
	snprintf(why, TLS_WHY_MAX, "more than %d private keys stand in it", TLS_ENTRIES_KEYS_MAX);
	return false;
}

void tls_entries_locked(const struct tls_reading *r, char why[TLS_WHY_MAX])
{
	if (r->secret_count == 0)
		snprintf(why, TLS_WHY_MAX, "a password protects it: set [tls] %s", r->password_key);
	else
		snprintf(why, TLS_WHY_MAX, "the password is wrong ([tls] %s)", r->password_key);
	ERR_clear_error();
}

void tls_entries_damaged(const char *what, char why[TLS_WHY_MAX])
{
	const char *reason = ERR_reason_error_string(ERR_peek_error());

	snprintf(why, TLS_WHY_MAX, "%s cannot be read: %s", what,
		 reason != NULL ? reason : "damaged");
	ERR_clear_error();
}

bool tls_entries_unsupported(void)
{
	bool found = false;
	unsigned long code;

	while ((code = ERR_get_error()) != 0) {
		int reason = ERR_GET_REASON(code);

		found |= reason == ERR_R_UNSUPPORTED;
		found |= ERR_GET_LIB(code) == ERR_LIB_EVP &&
			 (reason == EVP_R_UNSUPPORTED_ALGORITHM ||
			  reason == EVP_R_UNSUPPORTED_CIPHER ||
			  reason == EVP_R_UNKNOWN_PBE_ALGORITHM ||
			  reason == EVP_R_UNSUPPORTED_PRF || reason == EVP_R_UNKNOWN_CIPHER);
	}
	return found;
}
