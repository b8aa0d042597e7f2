/*
 * tls_pem.c -- reads keys and certificates from PEM text (RFC 7468), in any order, with anything
 * between the blocks.
 *
 * Blocks that are neither key, certificate nor revocation list (parameters, requests, public keys)
 * are passed over.
 */
#include <stdio.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>

#include "proxy/tls_entries.h"

/* One block: its name, its "Proc-Type" lines, and what it encodes. */
struct block {
	char *name;
	char *header;
	unsigned char *data;
	long len;
};

static void block_free(struct block *b)
{
	OPENSSL_free(b->name);
	OPENSSL_free(b->header);
	OPENSSL_clear_free(b->data, b->len > 0 ? (size_t)b->len : 0);
	*b = (struct block){0};
}

static bool is_one_of(const char *name, const char *const *names)
{
	for (; *names != NULL; names++)
		if (strcmp(name, *names) == 0)
			return true;
	return false;
}

static bool damaged(const struct block *b, unsigned number, char why[TLS_WHY_MAX])
{
	char what[80];

	snprintf(what, sizeof(what), "its PEM block %u (%.40s)", number, b->name);
	tls_entries_damaged(what, why);
	return false;
}

static X509 *block_cert(const struct block *b)
{
	const unsigned char *at = b->data;

	if (strcmp(b->name, PEM_STRING_X509_TRUSTED) == 0)
		return d2i_X509_AUX(NULL, &at, b->len);
	return d2i_X509(NULL, &at, b->len);
}

static EVP_PKEY *plain_key(const unsigned char *data, long len)
{
	return d2i_AutoPrivateKey(NULL, &data, len);
}

/* PKCS#8, whose encryption is its own (RFC 5958). */
static EVP_PKEY *pkcs8_key(const struct block *b, const struct tls_secret *s)
{
	const unsigned char *at = b->data;
	X509_SIG *sig = d2i_X509_SIG(NULL, &at, b->len);
	PKCS8_PRIV_KEY_INFO *info;
	EVP_PKEY *key = NULL;

	if (sig == NULL)
		return NULL;
	info = PKCS8_decrypt(sig, s->text, (int)s->len);
	if (info != NULL)
		key = EVP_PKCS82PKEY(info);
	PKCS8_PRIV_KEY_INFO_free(info);
	X509_SIG_free(sig);
	return key;
}

static int give_password(char *buf, int size, int rwflag, void *arg)
{
	const struct tls_secret *s = arg;

	(void)rwflag;
	if (s->len > (size_t)size)
		return -1;
	memcpy(buf, s->text, s->len);
	return (int)s->len;
}

/* The older way: the PEM block's own encryption (RFC 1421). It is undone in a copy. */
static EVP_PKEY *proc_type_key(const struct block *b, const struct tls_secret *s)
{
	unsigned char *copy = OPENSSL_memdup(b->data, (size_t)b->len);
	struct tls_secret secret = *s;
	EVP_CIPHER_INFO cipher;
	EVP_PKEY *key = NULL;
	long len = b->len;

	if (copy != NULL && PEM_get_EVP_CIPHER_INFO(b->header, &cipher) &&
	    PEM_do_header(&cipher, copy, &len, give_password, &secret))
		key = plain_key(copy, len);
	OPENSSL_clear_free(copy, (size_t)b->len);
	tls_secret_wipe(&secret);
	return key;
}

static bool add_locked_key(struct tls_entries *e, const struct tls_reading *r,
			   const struct block *b, char why[TLS_WHY_MAX])
{
	EVP_PKEY *(*open)(const struct block *, const struct tls_secret *) =
		b->header[0] != '\0' ? proc_type_key : pkcs8_key;
	bool unsupported = false;

	e->locked = true;
	for (size_t i = 0; i < r->secret_count; i++) {
		EVP_PKEY *key = open(b, &r->secrets[i]);

		unsupported |= key == NULL && tls_entries_unsupported();
		ERR_clear_error();
		if (key != NULL)
			return tls_entries_add_key(e, key, why);
	}
	if (!unsupported) {
		tls_entries_locked(r, why);
		return false;
	}
	snprintf(why, TLS_WHY_MAX,
		 "its key is encrypted in a way that OpenSSL no longer has: encrypt it anew with "
		 "`openssl pkcs8 -topk8 -provider legacy -provider default -in %.60s`",
		 r->path);
	return false;
}

static bool add_key(struct tls_entries *e, const struct tls_reading *r, const struct block *b,
		    unsigned number, char why[TLS_WHY_MAX])
{
	EVP_PKEY *key;

	if (!r->keys)
		return true;
	if (strcmp(b->name, PEM_STRING_PKCS8) == 0 || strstr(b->header, "ENCRYPTED") != NULL)
		return add_locked_key(e, r, b, why);
	key = plain_key(b->data, b->len);
	return key != NULL ? tls_entries_add_key(e, key, why) : damaged(b, number, why);
}

static bool add_block(struct tls_entries *e, const struct tls_reading *r, const struct block *b,
		      unsigned number, char why[TLS_WHY_MAX])
{
	static const char *const certs[] = {PEM_STRING_X509, PEM_STRING_X509_OLD,
					    PEM_STRING_X509_TRUSTED, NULL};
	static const char *const keys[] = {PEM_STRING_PKCS8,        PEM_STRING_PKCS8INF,
					   PEM_STRING_RSA,          PEM_STRING_DSA,
					   PEM_STRING_ECPRIVATEKEY, NULL};

	if (is_one_of(b->name, certs)) {
		X509 *cert = block_cert(b);

		return cert != NULL ? tls_entries_add_cert(e, cert, why) : damaged(b, number, why);
	}
	if (is_one_of(b->name, keys))
		return add_key(e, r, b, number, why);
	e->crl_count += strcmp(b->name, PEM_STRING_X509_CRL) == 0;
	return true;
}

bool tls_entries_pem(struct tls_entries *e, const struct tls_reading *r, char why[TLS_WHY_MAX])
{
	BIO *bio = BIO_new_mem_buf(r->bytes, (int)r->len);
	struct block b = {0};
	unsigned number = 0;
	bool fine = bio != NULL;

	ERR_clear_error();
	while (fine && PEM_read_bio(bio, &b.name, &b.header, &b.data, &b.len)) {
		fine = add_block(e, r, &b, ++number, why);
		block_free(&b);
	}
	BIO_free(bio);
	/* NO_START_LINE: there is no further block. */
	if (fine && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
		char what[40];

		snprintf(what, sizeof(what), "its PEM block %u", number + 1);
		tls_entries_damaged(what, why);
		fine = false;
	} else if (bio == NULL) {
		snprintf(why, TLS_WHY_MAX, "no memory");
	}
	ERR_clear_error();
	return fine;
}
