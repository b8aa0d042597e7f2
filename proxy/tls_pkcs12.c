/*
 * tls_pkcs12.c -- reads keys and certificates from PKCS#12 (RFC 7292), with those algorithms too
 * that OpenSSL keeps in its legacy provider (older Java and Windows wrote nothing else).
 *
 * The provider is loaded into a library context that lives as long as one reading: what TLS
 * connections may use is never widened by it.
 */
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pkcs12.h>
#include <openssl/provider.h>

#include "proxy/tls_entries.h"

#define NESTING_MAX 4

struct pfx {
	OSSL_LIB_CTX *library;
	OSSL_PROVIDER *standard, *legacy; /* legacy: NULL where it is not installed */
	PKCS12 *p12;
	const char *password; /* NULL: none, which is not the empty one */
	int password_len;
	const struct tls_reading *r;
	struct tls_entries *e;
	char *why;
};

static void pfx_close(struct pfx *p)
{
	PKCS12_free(p->p12);
	if (p->legacy != NULL)
		OSSL_PROVIDER_unload(p->legacy);
	if (p->standard != NULL)
		OSSL_PROVIDER_unload(p->standard);
	OSSL_LIB_CTX_free(p->library);
}

static bool pfx_open(struct pfx *p)
{
	const unsigned char *at = p->r->bytes;

	p->library = OSSL_LIB_CTX_new();
	if (p->library != NULL)
		p->standard = OSSL_PROVIDER_load(p->library, "default");
	if (p->standard != NULL)
		p->legacy = OSSL_PROVIDER_load(p->library, "legacy");
	ERR_clear_error();
	if (p->standard != NULL)
		p->p12 = PKCS12_init_ex(NID_pkcs7_data, p->library, NULL);
	if (p->p12 != NULL && d2i_PKCS12(&p->p12, &at, (long)p->r->len) != NULL)
		return true;
	tls_entries_damaged("it", p->why);
	return false;
}

/* Old algorithms without the provider, or some that are newer than this OpenSSL. */
static bool pfx_unsupported(const struct pfx *p)
{
	if (p->legacy != NULL)
		snprintf(p->why, TLS_WHY_MAX,
			 "it is protected in a way that this OpenSSL does not know");
	else
		snprintf(p->why, TLS_WHY_MAX,
			 "it is protected by old algorithms, and OpenSSL's legacy provider is not "
			 "installed; where it is: `openssl pkcs12 -legacy -nodes -in %.60s | "
			 "openssl pkcs12 -export -out NEW`",
			 p->r->path);
	return false;
}

static bool pfx_bags(struct pfx *p, const STACK_OF(PKCS12_SAFEBAG) * bags, int depth);

static bool pfx_key(struct pfx *p, const PKCS8_PRIV_KEY_INFO *info)
{
	EVP_PKEY *key = info != NULL ? EVP_PKCS82PKEY(info) : NULL;

	if (key != NULL)
		return tls_entries_add_key(p->e, key, p->why);
	if (tls_entries_unsupported())
		return pfx_unsupported(p);
	snprintf(p->why, TLS_WHY_MAX, "a private key in it cannot be read");
	return false;
}

static bool pfx_shrouded_key(struct pfx *p, const PKCS12_SAFEBAG *bag)
{
	PKCS8_PRIV_KEY_INFO *info;
	bool fine;

	info = PKCS12_decrypt_skey_ex(bag, p->password, p->password_len, p->library, NULL);
	if (info == NULL && !tls_entries_unsupported()) {
		snprintf(p->why, TLS_WHY_MAX,
			 "a private key in it has another password than the store");
		return false;
	}
	fine = info != NULL ? pfx_key(p, info) : pfx_unsupported(p);
	PKCS8_PRIV_KEY_INFO_free(info);
	return fine;
}

static bool pfx_cert(struct pfx *p, const PKCS12_SAFEBAG *bag)
{
	X509 *cert;

	if (PKCS12_SAFEBAG_get_bag_nid(bag) != NID_x509Certificate)
		return true;
	cert = PKCS12_SAFEBAG_get1_cert(bag);
	if (cert != NULL)
		return tls_entries_add_cert(p->e, cert, p->why);
	tls_entries_damaged("a certificate in it", p->why);
	return false;
}

static bool pfx_bag(struct pfx *p, const PKCS12_SAFEBAG *bag, int depth)
{
	switch (PKCS12_SAFEBAG_get_nid(bag)) {
	case NID_keyBag:
		return !p->r->keys || pfx_key(p, PKCS12_SAFEBAG_get0_p8inf(bag));
	case NID_pkcs8ShroudedKeyBag:
		return !p->r->keys || pfx_shrouded_key(p, bag);
	case NID_certBag:
		return pfx_cert(p, bag);
	case NID_safeContentsBag:
		return depth >= NESTING_MAX ||
		       pfx_bags(p, PKCS12_SAFEBAG_get0_safes(bag), depth + 1);
	case NID_crlBag:
		p->e->crl_count++;
		return true;
	default:
		return true;
	}
}

static bool pfx_bags(struct pfx *p, const STACK_OF(PKCS12_SAFEBAG) * bags, int depth)
{
	for (int i = 0; i < sk_PKCS12_SAFEBAG_num(bags); i++)
		if (!pfx_bag(p, sk_PKCS12_SAFEBAG_value(bags, i), depth))
			return false;
	return true;
}

static bool pfx_safe(struct pfx *p, PKCS7 *safe)
{
	STACK_OF(PKCS12_SAFEBAG) *bags = NULL;
	bool fine;

	if (PKCS7_type_is_data(safe))
		bags = PKCS12_unpack_p7data(safe);
	else if (PKCS7_type_is_encrypted(safe))
		bags = PKCS12_unpack_p7encdata(safe, p->password, p->password_len);
	else
		return true;
	if (bags == NULL && tls_entries_unsupported())
		return pfx_unsupported(p);
	if (bags == NULL) {
		snprintf(p->why, TLS_WHY_MAX,
			 "it cannot be decrypted: damaged, or its parts have "
			 "different passwords");
		return false;
	}
	fine = pfx_bags(p, bags, 0);
	sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
	return fine;
}

static bool pfx_safes(struct pfx *p)
{
	STACK_OF(PKCS7) *safes = PKCS12_unpack_authsafes(p->p12);
	bool fine = safes != NULL;

	if (safes == NULL)
		tls_entries_damaged("it", p->why);
	for (int i = 0; fine && i < sk_PKCS7_num(safes); i++)
		fine = pfx_safe(p, sk_PKCS7_value(safes, i));
	sk_PKCS7_pop_free(safes, PKCS7_free);
	return fine;
}

static bool pfx_try(struct pfx *p, const char *password, size_t len)
{
	p->password = password;
	p->password_len = (int)len;
	return PKCS12_verify_mac(p->p12, password, (int)len);
}

/* The one password that the store's own check accepts: those that were given, the empty one, none. */
static bool pfx_unlock(struct pfx *p)
{
	const struct tls_reading *r = p->r;

	for (size_t i = 0; i < r->secret_count; i++)
		if (pfx_try(p, r->secrets[i].text, r->secrets[i].len)) {
			p->e->locked = r->secrets[i].len > 0;
			return true;
		}
	if (pfx_try(p, "", 0) || pfx_try(p, NULL, 0))
		return true;
	if (ERR_peek_error() != 0)
		return pfx_unsupported(p);
	tls_entries_locked(r, p->why);
	return false;
}

/* Without a check of its own (which is rare) the first password must do. */
static void pfx_assume(struct pfx *p)
{
	const struct tls_reading *r = p->r;

	if (r->secret_count > 0) {
		p->password = r->secrets[0].text;
		p->password_len = (int)r->secrets[0].len;
	}
}

bool tls_entries_pkcs12(struct tls_entries *e, const struct tls_reading *r, char why[TLS_WHY_MAX])
{
	struct pfx p = {.r = r, .e = e, .why = why};
	bool fine = pfx_open(&p);

	if (fine && PKCS12_mac_present(p.p12))
		fine = pfx_unlock(&p);
	else if (fine)
		pfx_assume(&p);
	fine = fine && pfx_safes(&p);
	pfx_close(&p);
	ERR_clear_error();
	return fine;
}
