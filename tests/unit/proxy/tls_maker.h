/*
 * tls_maker.h -- keys and certificates for tests, made where they are needed, and files of them.
 */
#ifndef TESTS_UNIT_PROXY_TLS_MAKER_H
#define TESTS_UNIT_PROXY_TLS_MAKER_H

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

struct made {
	EVP_PKEY *key;
	X509 *cert;
};

/* What a certificate shall say; what is left out is as usual. */
struct plan {
	const char *cn;
	const char *san;        /* "DNS:a.example,IP:127.0.0.1"; NULL: none */
	const char *eku;        /* "serverAuth" */
	const struct made *by;  /* NULL: itself */
	long begins_s, ends_s;  /* from now; 0 and 0: from an hour ago for 90 days */
	unsigned rsa_bits;      /* 0: a P-256 key */
	const EVP_PKEY *key_of; /* not NULL: this key, of which a reference is taken */
	bool ca;
};

static inline void made_extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	cr_assert(ext != NULL && X509_add_ext(cert, ext, -1), "%s", value);
	X509_EXTENSION_free(ext);
}

static inline EVP_PKEY *made_key(unsigned rsa_bits)
{
	EVP_PKEY *key = rsa_bits != 0 ? EVP_RSA_gen(rsa_bits) : EVP_EC_gen("P-256");

	cr_assert(key != NULL);
	return key;
}

static inline struct made make(struct plan p)
{
	static long serial = 1;
	struct made m = {.key = (EVP_PKEY *)(uintptr_t)p.key_of, .cert = X509_new()};
	X509_NAME *name = X509_NAME_new();
	const struct made *by = p.by != NULL ? p.by : &m;

	if (m.key != NULL)
		EVP_PKEY_up_ref(m.key);
	else
		m.key = made_key(p.rsa_bits);
	if (p.begins_s == 0 && p.ends_s == 0) {
		p.begins_s = -3600;
		p.ends_s = 90L * 24 * 3600;
	}
	X509_set_version(m.cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(m.cert), serial++);
	X509_gmtime_adj(X509_getm_notBefore(m.cert), p.begins_s);
	X509_gmtime_adj(X509_getm_notAfter(m.cert), p.ends_s);
	if (p.cn != NULL)
		X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)p.cn,
					   -1, -1, 0);
	X509_set_subject_name(m.cert, name);
	X509_set_issuer_name(m.cert, p.by != NULL ? X509_get_subject_name(by->cert) : name);
	X509_set_pubkey(m.cert, m.key);
	made_extend(m.cert, by->cert, NID_basic_constraints,
		    p.ca ? "critical,CA:TRUE" : "CA:FALSE");
	if (p.san != NULL)
		made_extend(m.cert, by->cert, NID_subject_alt_name, p.san);
	if (p.eku != NULL)
		made_extend(m.cert, by->cert, NID_ext_key_usage, p.eku);
	cr_assert(X509_sign(m.cert, by->key, EVP_sha256()) > 0);
	X509_NAME_free(name);
	return m;
}

static inline void unmake(struct made *m)
{
	EVP_PKEY_free(m->key);
	X509_free(m->cert);
}

/* Append to a file of that mode: a certificate, or a key (password NULL: in the clear). */
static inline BIO *made_file(const char *path, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, mode);
	BIO *bio = fd >= 0 ? BIO_new_fd(fd, BIO_CLOSE) : NULL;

	cr_assert(bio != NULL, "%s", path);
	return bio;
}

static inline void write_cert(const char *path, X509 *cert)
{
	BIO *bio = made_file(path, 0600);

	cr_assert(PEM_write_bio_X509(bio, cert));
	BIO_free(bio);
}

static inline void write_key(const char *path, EVP_PKEY *key, const char *password)
{
	BIO *bio = made_file(path, 0600);

	cr_assert(PEM_write_bio_PKCS8PrivateKey(bio, key, password ? EVP_aes_256_cbc() : NULL,
						password, password ? (int)strlen(password) : 0,
						NULL, NULL));
	BIO_free(bio);
}

/* The older way: the block itself is encrypted. */
static inline void write_old_key(const char *path, EVP_PKEY *key, const char *password)
{
	BIO *bio = made_file(path, 0600);

	cr_assert(PEM_write_bio_PrivateKey_traditional(
		bio, key, password ? EVP_aes_128_cbc() : NULL,
		(const unsigned char *)(uintptr_t)password, password ? (int)strlen(password) : 0,
		NULL, NULL));
	BIO_free(bio);
}

/* Key and certificate of m (or neither), and others. */
static inline void write_p12(const char *path, const struct made *m, STACK_OF(X509) * others,
			     const char *password, bool with_key)
{
	PKCS12 *p12 = PKCS12_create(password, "one", with_key ? m->key : NULL,
				    with_key ? m->cert : NULL, others, 0, 0, 1000, 1000, 0);
	BIO *bio = made_file(path, 0600);

	cr_assert(p12 != NULL && i2d_PKCS12_bio(bio, p12));
	PKCS12_free(p12);
	BIO_free(bio);
}

#endif
