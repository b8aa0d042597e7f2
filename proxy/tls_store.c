/*
 * tls_store.c -- reads a file of keys and certificates and refuses what could not serve.
 *
 * What an operator may have done wrong is said here, each mistake in a sentence of its own; how the
 * bytes of PKCS#12 and PEM are read stands in tls_pkcs12.c and tls_pem.c.
 */
#include "proxy/tls_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "proxy/tls_cert.h"
#include "proxy/tls_entries.h"
#include "proxy/tls_store_kind.h"

#define FILE_MAX_BYTES    (16 * 1024 * 1024)
#define SECURITY_BITS_MIN 112 /* OpenSSL's security level 2: RSA from 2048 bits, curves from 224 */
#define PATH_SHOWN        160

struct file {
	char *bytes;
	size_t len;
	bool exposed; /* to everybody on this machine */
};

/* Half a sentence in why becomes a whole one in err. */
static void say(char err[CONFIG_ERROR_MAX], const char *key, const char *path, const char *why)
{
	size_t len = strlen(path);
	const char *shown = len > PATH_SHOWN ? path + len - PATH_SHOWN : path;

	snprintf(err, CONFIG_ERROR_MAX, "[tls] %s = \"%s%s\": %s", key, shown == path ? "" : "...",
		 shown, why);
}

static void file_wipe(struct file *f)
{
	if (f->bytes != NULL)
		explicit_bzero(f->bytes, f->len);
	free(f->bytes);
}

static const char *file_refusal(const struct stat *st)
{
	if (S_ISDIR(st->st_mode))
		return "it is a directory; a PKCS#12 or PEM file is expected";
	if (!S_ISREG(st->st_mode))
		return "it is no regular file, so it could not be read again";
	if (st->st_size > FILE_MAX_BYTES)
		return "it has more than 16 MiB, which no store has";
	return NULL;
}

/* NULL, or why not. Files that shrink meanwhile are shorter, what grows is cut. */
static const char *file_slurp(struct file *f, int fd, size_t size)
{
	f->bytes = malloc(size + 1);
	if (f->bytes == NULL)
		return "no memory";
	while (f->len < size) {
		ssize_t n = read(fd, f->bytes + f->len, size - f->len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return strerror(errno);
		if (n == 0)
			break;
		f->len += (size_t)n;
	}
	f->bytes[f->len] = '\0';
	return NULL;
}

static const char *file_read(struct file *f, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	const char *why;
	struct stat st;

	if (fd < 0)
		return strerror(errno);
	why = fstat(fd, &st) != 0 ? strerror(errno) : file_refusal(&st);
	if (why == NULL) {
		f->exposed = (st.st_mode & S_IRWXO) != 0;
		why = file_slurp(f, fd, (size_t)st.st_size);
	}
	close(fd);
	return why;
}

static bool refuse_java(const char *path, const char *format, char why[TLS_WHY_MAX])
{
	snprintf(
		why, TLS_WHY_MAX,
		"it is a Java keystore (%s); convert it: keytool -importkeystore -srckeystore %.80s "
		"-srcstoretype %s -destkeystore %.80s.p12 -deststoretype PKCS12",
		format, path, format, path);
	return false;
}

/* Fills e, or says why not. */
static bool read_entries(struct tls_entries *e, const struct tls_reading *r, char why[TLS_WHY_MAX])
{
	switch (tls_store_kind(r->bytes, r->len)) {
	case TLS_STORE_PEM:
		return tls_entries_pem(e, r, why);
	case TLS_STORE_PKCS12:
		return tls_entries_pkcs12(e, r, why);
	case TLS_STORE_JKS:
		return refuse_java(r->path, "JKS", why);
	case TLS_STORE_JCEKS:
		return refuse_java(r->path, "JCEKS", why);
	case TLS_STORE_EMPTY:
		snprintf(why, TLS_WHY_MAX, "it is empty");
		return false;
	case TLS_STORE_DER:
		snprintf(why, TLS_WHY_MAX,
			 "it is a bare DER file; make it PEM: openssl x509 -inform DER -in %.100s "
			 "-out %.100s.pem (of a key: openssl pkey)",
			 r->path, r->path);
		return false;
	case TLS_STORE_UNKNOWN:
		break;
	}
	snprintf(why, TLS_WHY_MAX, "it is neither PKCS#12 nor PEM");
	return false;
}

static void entries_fini(struct tls_entries *e)
{
	sk_X509_pop_free(e->certs, X509_free);
	for (size_t i = 0; i < e->key_count; i++)
		EVP_PKEY_free(e->keys[i]);
}

static bool check_validity(const X509 *cert, char why[TLS_WHY_MAX])
{
	char subject[120];
	char when[TLS_DATE_MAX];

	tls_cert_subject(cert, subject, sizeof(subject));
	if (tls_cert_ended(cert)) {
		tls_cert_end(cert, when);
		snprintf(why, TLS_WHY_MAX, "its certificate (%s) expired on %s", subject, when);
		return false;
	}
	if (!tls_cert_begun(cert)) {
		tls_cert_begin(cert, when);
		snprintf(why, TLS_WHY_MAX, "its certificate (%s) is not valid before %s", subject,
			 when);
		return false;
	}
	return true;
}

static bool check_strength(const EVP_PKEY *key, char why[TLS_WHY_MAX])
{
	if (EVP_PKEY_get_security_bits(key) >= SECURITY_BITS_MIN)
		return true;
	snprintf(why, TLS_WHY_MAX,
		 "its %s key has %d bits, which is too weak (RSA needs 2048, a curve 224)",
		 EVP_PKEY_get0_type_name(key), EVP_PKEY_get_bits(key));
	return false;
}

static X509 *cert_of_key(const struct tls_entries *e, const EVP_PKEY *key)
{
	for (int i = 0; i < sk_X509_num(e->certs); i++) {
		X509 *cert = sk_X509_value(e->certs, i);
		EVP_PKEY *public = X509_get0_pubkey(cert);

		if (public != NULL && EVP_PKEY_eq(public, key) == 1)
			return cert;
	}
	return NULL;
}

/* Each key of e becomes an identity of s. */
static bool make_identities(struct tls_store *s, const struct tls_entries *e, char why[TLS_WHY_MAX])
{
	s->identities = calloc(MAX(e->key_count, 1), sizeof(*s->identities));
	if (s->identities == NULL) {
		snprintf(why, TLS_WHY_MAX, "no memory");
		return false;
	}
	for (size_t i = 0; i < e->key_count; i++) {
		struct tls_identity *id = &s->identities[i];

		id->cert = cert_of_key(e, e->keys[i]);
		if (id->cert == NULL) {
			snprintf(why, TLS_WHY_MAX,
				 "its private key and its certificate do not belong together");
			return false;
		}
		id->key = e->keys[i];
		if (!EVP_PKEY_up_ref(id->key))
			return false;
		s->identity_count++;
		if (!check_strength(id->key, why) || !check_validity(id->cert, why))
			return false;
	}
	return true;
}

static bool check_complete(const struct tls_entries *e, bool keys, char why[TLS_WHY_MAX])
{
	const char *lack = NULL;

	if (sk_X509_num(e->certs) == 0)
		lack = keys && e->key_count == 0 ? "neither a private key nor a certificate stands "
						   "in it"
						 : "no certificate stands in it";
	else if (keys && e->key_count == 0)
		lack = "no private key stands in it";
	if (lack != NULL)
		snprintf(why, TLS_WHY_MAX, "%s", lack);
	return lack == NULL;
}

/* A key that everybody may read is nobody's secret; one with a password still has that. */
static bool check_exposed(const struct tls_entries *e, const struct file *f, char why[TLS_WHY_MAX])
{
	if (!f->exposed || e->key_count == 0 || e->locked)
		return true;
	snprintf(
		why, TLS_WHY_MAX,
		"everybody on this machine may use that file, and an unprotected private key stands "
		"in it: chmod o= FILE");
	return false;
}

/* Takes the certificates out of e. */
static struct tls_store *store_of(struct tls_entries *e, bool keys, char why[TLS_WHY_MAX])
{
	struct tls_store *s = calloc(1, sizeof(*s));

	if (s == NULL) {
		snprintf(why, TLS_WHY_MAX, "no memory");
		return NULL;
	}
	if (!check_complete(e, keys, why) || !make_identities(s, e, why)) {
		tls_store_free(s);
		return NULL;
	}
	s->certs = e->certs;
	s->crl_count = e->crl_count;
	e->certs = NULL;
	return s;
}

static struct tls_store *store_read(const char *path, struct tls_reading *r, char why[TLS_WHY_MAX])
{
	struct tls_entries e = {.certs = sk_X509_new_null()};
	struct tls_store *s = NULL;
	struct file f = {0};
	const char *refused = e.certs == NULL ? "no memory" : file_read(&f, path);

	r->path = path;
	r->bytes = f.bytes;
	r->len = f.len;
	if (refused != NULL)
		snprintf(why, TLS_WHY_MAX, "%s", refused);
	else if (read_entries(&e, r, why) && check_exposed(&e, &f, why))
		s = store_of(&e, r->keys, why);
	if (s != NULL)
		s->exposed = f.exposed && e.key_count > 0;
	entries_fini(&e);
	file_wipe(&f);
	return s;
}

struct tls_store *tls_store_keystore(const char *path, const struct tls_secret *secrets,
				     size_t count, char err[CONFIG_ERROR_MAX])
{
	struct tls_reading r = {.password_key = "keystorepassword",
				.secrets = secrets,
				.secret_count = count,
				.keys = true};
	char why[TLS_WHY_MAX] = "";
	struct tls_store *s = store_read(path, &r, why);

	if (s == NULL)
		say(err, "keystore", path, why);
	return s;
}

struct tls_store *tls_store_truststore(const char *path, const struct tls_secret *secret,
				       char err[CONFIG_ERROR_MAX])
{
	struct tls_reading r = {.password_key = "truststorepassword",
				.secrets = secret,
				.secret_count = secret != NULL};
	char why[TLS_WHY_MAX] = "";
	struct tls_store *s = store_read(path, &r, why);

	if (s == NULL)
		say(err, "truststore", path, why);
	return s;
}

void tls_store_free(struct tls_store *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->identity_count; i++)
		EVP_PKEY_free(s->identities[i].key);
	free(s->identities);
	sk_X509_pop_free(s->certs, X509_free);
	free(s);
}
