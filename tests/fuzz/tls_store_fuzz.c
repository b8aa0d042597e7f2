/*
 * tls_store_fuzz.c -- any bytes as keystore and as truststore: they are refused in one line, or they
 * give what was promised of a store.
 *
 * Input: a byte of choices (what of a good key and certificate stands before and behind), then the
 * bytes. What is PKCS#12 is told apart and no more: how often its key derivation is repeated is a
 * number in it, which would keep a fuzzer busy for hours.
 */
// links: proxy
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "proxy/tls_store.h"
#include "proxy/tls_store_kind.h"
#include "tests/fuzz/strict_http.h" /* CHECK */

#define INPUT_MAX 8192

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* PEM of a key and of its certificate, made once. */
static char *key_text, *cert_text;
static size_t key_len, cert_len;

static char *text_of(BIO *bio, size_t *len)
{
	char *at, *copy;

	*len = (size_t)BIO_get_mem_data(bio, &at);
	copy = malloc(*len);
	CHECK(copy != NULL);
	memcpy(copy, at, *len);
	BIO_free(bio);
	return copy;
}

static void make_identity(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	BIO *key_bio = BIO_new(BIO_s_mem()), *cert_bio = BIO_new(BIO_s_mem());
	X509 *cert = X509_new();

	X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
	X509_gmtime_adj(X509_getm_notAfter(cert), 24L * 3600);
	X509_set_pubkey(cert, key);
	CHECK(X509_sign(cert, key, EVP_sha256()) > 0);
	CHECK(PEM_write_bio_PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL));
	CHECK(PEM_write_bio_X509(cert_bio, cert));
	key_text = text_of(key_bio, &key_len);
	cert_text = text_of(cert_bio, &cert_len);
	X509_free(cert);
	EVP_PKEY_free(key);
}

/* By a second, plainer reading. */
static void check_kind(const char *bytes, size_t len, enum tls_store_kind kind)
{
	static const char *const magics[] = {"\xfe\xed\xfe\xed", "\xce\xce\xce\xce"};
	size_t blank = 0;

	while (blank < len && memchr(" \t\r\n", bytes[blank], 4) != NULL)
		blank++;
	CHECK((kind == TLS_STORE_EMPTY) == (blank == len));
	for (int i = 0; i < 2; i++)
		CHECK((kind == (i == 0 ? TLS_STORE_JKS : TLS_STORE_JCEKS)) ==
		      (len >= 4 && memcmp(bytes, magics[i], 4) == 0));
	if (kind == TLS_STORE_PEM)
		CHECK(memmem(bytes, len, "-----BEGIN ", 11) != NULL);
	if (kind == TLS_STORE_PKCS12)
		CHECK(memmem(bytes, len, "\x02\x01\x03", 3) != NULL);
	if (kind == TLS_STORE_PKCS12 || kind == TLS_STORE_DER)
		CHECK(bytes[0] == 0x30);
}

static void check_refusal(const char *err)
{
	CHECK(strncmp(err, "[tls] ", 6) == 0 && strlen(err) < CONFIG_ERROR_MAX);
	for (; *err != '\0'; err++)
		CHECK((unsigned char)*err >= ' ');
}

static void try_keystore(const char *path, const struct tls_secret *secret, bool good)
{
	char err[CONFIG_ERROR_MAX] = "";
	struct tls_store *s = tls_store_keystore(path, secret, 1, err);

	if (s == NULL) {
		CHECK(!good);
		check_refusal(err);
		return;
	}
	CHECK(s->identity_count > 0);
	for (size_t i = 0; i < s->identity_count; i++)
		CHECK(X509_check_private_key(s->identities[i].cert, s->identities[i].key));
	tls_store_free(s);
}

static void try_truststore(const char *path, const struct tls_secret *secret, bool good)
{
	char err[CONFIG_ERROR_MAX] = "";
	struct tls_store *s = tls_store_truststore(path, secret, err);

	if (s == NULL) {
		CHECK(!good);
		check_refusal(err);
		return;
	}
	CHECK(s->identity_count == 0 && sk_X509_num(s->certs) > 0);
	tls_store_free(s);
}

static size_t append(char *at, size_t len, const char *text, size_t text_len, bool wanted)
{
	if (!wanted)
		return len;
	memcpy(at + len, text, text_len);
	return len + text_len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct tls_secret secret = {.len = 4, .text = "pass"};
	static char bytes[INPUT_MAX + 4096];
	enum tls_store_kind kind;
	bool comment, key, cert;
	size_t len = 0;
	char path[32];
	int fd;

	if (size < 1 || size > INPUT_MAX)
		return 0;
	if (key_text == NULL)
		make_identity();
	kind = tls_store_kind(data + 1, size - 1);
	check_kind((const char *)data + 1, size - 1, kind);
	if (kind == TLS_STORE_PKCS12)
		return 0;
	key = (data[0] & 3) != 0;
	cert = (data[0] & 12) != 0;
	/* Text that begins no block changes nothing. */
	comment = memmem(data + 1, size - 1, "-----", 5) == NULL;
	len = append(bytes, len, key_text, key_len, data[0] & 1);
	len = append(bytes, len, cert_text, cert_len, data[0] & 4);
	len = append(bytes, len, (const char *)data + 1, size - 1, true);
	len = append(bytes, len, "\n", 1, true);
	len = append(bytes, len, key_text, key_len, data[0] & 2);
	len = append(bytes, len, cert_text, cert_len, data[0] & 8);
	fd = memfd_create("store", MFD_CLOEXEC);
	CHECK(fd >= 0 && fchmod(fd, 0600) == 0 && write(fd, bytes, len) == (ssize_t)len);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	kind = tls_store_kind(bytes, len);
	if (kind != TLS_STORE_PKCS12) {
		bool pem = kind == TLS_STORE_PEM;

		try_keystore(path, &secret, pem && comment && key && cert);
		try_truststore(path, &secret, pem && comment && cert);
	}
	close(fd);
	return 0;
}
