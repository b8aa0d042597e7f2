/*
 * tls_store_test.c -- PKCS#12 and PEM in all the ways they are written, and each mistake with its
 * own sentence.
 */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/stat.h>

#include "common/attrib.h"
#include "proxy/tls_store.h"
#include "scratch.h"
#include "tls_maker.h"

static struct scratch dir;
static char path[128];
static struct made ca, leaf;

static void setup(void)
{
	scratch_make(&dir);
	snprintf(path, sizeof(path), "%s", scratch_path(&dir, "store"));
	ca = make((struct plan){.cn = "Test CA", .ca = true});
	leaf = make((struct plan){.cn = "leaf", .san = "DNS:shop.example", .by = &ca});
}

static void teardown(void)
{
	unmake(&ca);
	unmake(&leaf);
	scratch_remove(&dir);
}

TestSuite(tls_store, .init = setup, .fini = teardown);

static struct tls_secret secret_of(const char *text)
{
	struct tls_secret s = {.len = strlen(text)};

	memcpy(s.text, text, s.len + 1);
	return s;
}

/* password NULL: none */
static struct tls_store *open_store(const char *password, char err[CONFIG_ERROR_MAX])
{
	struct tls_secret s = secret_of(password != NULL ? password : "");

	err[0] = '\0';
	return tls_store_keystore(path, &s, password != NULL, err);
}

/* The one identity is the leaf; there are that many certificates. */
static void expect_leaf(const char *password, int certs)
{
	char err[CONFIG_ERROR_MAX];
	struct tls_store *s = open_store(password, err);

	cr_assert(s != NULL, "%s", err);
	cr_assert_eq(s->identity_count, 1);
	cr_expect_eq(X509_cmp(s->identities[0].cert, leaf.cert), 0);
	cr_expect_eq(EVP_PKEY_eq(s->identities[0].key, leaf.key), 1);
	cr_expect_eq(sk_X509_num(s->certs), certs);
	tls_store_free(s);
}

/* Refused with that sentence behind the file's name. */
static void expect_refused(const char *password, const char *why)
{
	char err[CONFIG_ERROR_MAX];
	char whole[CONFIG_ERROR_MAX];
	struct tls_store *s = open_store(password, err);

	snprintf(whole, sizeof(whole), "[tls] keystore = \"%s\": %s", path, why);
	cr_expect(s == NULL);
	cr_expect_str_eq(err, whole);
	cr_expect(strchr(err, '\n') == NULL);
	tls_store_free(s);
}

static void append(const char *text)
{
	FILE *f = fopen(path, "a");

	cr_assert(f != NULL);
	fputs(text, f);
	fclose(f);
	cr_assert(chmod(path, 0600) == 0);
}

static void again(void)
{
	cr_assert(unlink(path) == 0);
}

Test(tls_store, pem_in_any_order_with_text_between)
{
	write_key(path, leaf.key, NULL);
	write_cert(path, leaf.cert);
	expect_leaf(NULL, 1);
	expect_leaf("not needed", 1);
	again();
	append("# the chain\n");
	write_cert(path, ca.cert);
	append("Bag Attributes\n    friendlyName: leaf\n");
	write_cert(path, leaf.cert);
	append("\n\nkey:\n");
	write_old_key(path, leaf.key, NULL);
	append("trailing text without an end");
	expect_leaf(NULL, 2);
}

Test(tls_store, pem_keys_with_a_password)
{
	write_cert(path, leaf.cert);
	write_key(path, leaf.key, "geheim");
	expect_leaf("geheim", 1);
	expect_refused("falsch", "the password is wrong ([tls] keystorepassword)");
	expect_refused("", "the password is wrong ([tls] keystorepassword)");
	expect_refused(NULL, "a password protects it: set [tls] keystorepassword");
	again();
	write_old_key(path, leaf.key, "geheim");
	write_cert(path, leaf.cert);
	expect_leaf("geheim", 1);
	expect_refused("falsch", "the password is wrong ([tls] keystorepassword)");
	expect_refused(NULL, "a password protects it: set [tls] keystorepassword");
}

Test(tls_store, each_password_is_tried)
{
	struct tls_secret list[3] = {secret_of("one"), secret_of("two"), secret_of("three")};
	char err[CONFIG_ERROR_MAX];
	struct tls_store *s;

	write_p12(path, &leaf, NULL, "three", true);
	s = tls_store_keystore(path, list, 3, err);
	cr_expect(s != NULL, "%s", err);
	tls_store_free(s);
	s = tls_store_keystore(path, list, 2, err);
	cr_expect(s == NULL);
	again();
	write_key(path, leaf.key, "two");
	write_cert(path, leaf.cert);
	s = tls_store_keystore(path, list, 3, err);
	cr_expect(s != NULL, "%s", err);
	tls_store_free(s);
}

Test(tls_store, pkcs12)
{
	STACK_OF(X509) *others = sk_X509_new_null();

	sk_X509_push(others, ca.cert);
	write_p12(path, &leaf, others, "geheim", true);
	expect_leaf("geheim", 2);
	expect_refused("falsch", "the password is wrong ([tls] keystorepassword)");
	expect_refused(NULL, "a password protects it: set [tls] keystorepassword");
	again();
	write_p12(path, &leaf, NULL, "", true);
	expect_leaf(NULL, 1);
	expect_leaf("", 1);
	expect_leaf("not needed", 1);
	again();
	write_p12(path, &leaf, NULL, NULL, true);
	expect_leaf(NULL, 1);
	again();
	write_p12(path, &leaf, others, "geheim", false);
	expect_refused("geheim", "no private key stands in it");
	sk_X509_free(others);
}

/* RC2 with 40 bits, as Java before 8u301 and Windows wrote it. */
Test(tls_store, pkcs12_of_old)
{
	OSSL_LIB_CTX *library = OSSL_LIB_CTX_new();
	OSSL_PROVIDER *standard = OSSL_PROVIDER_load(library, "default");
	OSSL_PROVIDER *legacy = OSSL_PROVIDER_load(library, "legacy");
	PKCS12 *p12;
	BIO *bio;

	cr_assert(standard != NULL && legacy != NULL);
	p12 = PKCS12_create_ex("geheim", "one", leaf.key, leaf.cert, NULL,
			       NID_pbe_WithSHA1And3_Key_TripleDES_CBC,
			       NID_pbe_WithSHA1And40BitRC2_CBC, 1000, 1000, 0, library, NULL);
	bio = made_file(path, 0600);
	cr_assert(p12 != NULL && i2d_PKCS12_bio(bio, p12));
	BIO_free(bio);
	PKCS12_free(p12);
	OSSL_PROVIDER_unload(legacy);
	OSSL_PROVIDER_unload(standard);
	OSSL_LIB_CTX_free(library);
	expect_leaf("geheim", 1);
	expect_refused("falsch", "the password is wrong ([tls] keystorepassword)");
}

Test(tls_store, several_keys_are_several_identities)
{
	struct made other = make((struct plan){.cn = "other", .rsa_bits = 2048});
	char err[CONFIG_ERROR_MAX];
	struct tls_store *s;

	write_cert(path, other.cert);
	write_key(path, leaf.key, NULL);
	write_cert(path, leaf.cert);
	write_key(path, other.key, NULL);
	s = open_store(NULL, err);
	cr_assert(s != NULL, "%s", err);
	cr_assert_eq(s->identity_count, 2);
	cr_expect_eq(X509_cmp(s->identities[0].cert, leaf.cert), 0);
	cr_expect_eq(X509_cmp(s->identities[1].cert, other.cert), 0);
	tls_store_free(s);
	unmake(&other);
}

Test(tls_store, what_lacks)
{
	write_key(path, leaf.key, NULL);
	expect_refused(NULL, "no certificate stands in it");
	again();
	write_cert(path, leaf.cert);
	expect_refused(NULL, "no private key stands in it");
	again();
	append("-----BEGIN DH PARAMETERS-----\nMAYCAQsCAQI=\n-----END DH PARAMETERS-----\n");
	expect_refused(NULL, "neither a private key nor a certificate stands in it");
	again();
	write_key(path, ca.key, NULL);
	write_cert(path, leaf.cert);
	expect_refused(NULL, "its private key and its certificate do not belong together");
	again();
	append("");
	expect_refused(NULL, "it is empty");
	again();
	expect_refused(NULL, "No such file or directory");
	cr_assert(mkdir(path, 0700) == 0);
	expect_refused(NULL, "it is a directory; a PKCS#12 or PEM file is expected");
	cr_assert(rmdir(path) == 0);
	cr_assert(mkfifo(path, 0600) == 0);
	expect_refused(NULL, "it is no regular file, so it could not be read again");
}

Test(tls_store, what_it_is_instead)
{
	char why[CONFIG_ERROR_MAX];
	BIO *bio;

	append("\xfe\xed\xfe\xed and so on");
	snprintf(why, sizeof(why),
		 "it is a Java keystore (JKS); convert it: keytool -importkeystore -srckeystore %s "
		 "-srcstoretype JKS -destkeystore %s.p12 -deststoretype PKCS12",
		 path, path);
	expect_refused("any", why);
	again();
	append("hello");
	expect_refused(NULL, "it is neither PKCS#12 nor PEM");
	again();
	bio = made_file(path, 0600);
	cr_assert(i2d_X509_bio(bio, leaf.cert));
	BIO_free(bio);
	snprintf(why, sizeof(why),
		 "it is a bare DER file; make it PEM: openssl x509 -inform DER -in %s -out %s.pem "
		 "(of a key: openssl pkey)",
		 path, path);
	expect_refused(NULL, why);
}

Test(tls_store, damaged_files_say_where)
{
	char err[CONFIG_ERROR_MAX];
	struct tls_store *s;

	write_cert(path, leaf.cert);
	append("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
	s = open_store(NULL, err);
	cr_expect(s == NULL);
	cr_expect(strstr(err, "\": its PEM block 2 (CERTIFICATE) cannot be read: ") != NULL, "%s",
		  err);
	again();
	write_cert(path, leaf.cert);
	append("-----BEGIN CERTIFICATE-----\nMIIB");
	s = open_store(NULL, err);
	cr_expect(s == NULL);
	cr_expect(strstr(err, "\": its PEM block 2 cannot be read: ") != NULL, "%s", err);
	again();
	write_p12(path, &leaf, NULL, "geheim", true);
	cr_assert(truncate(path, 300) == 0);
	s = open_store("geheim", err);
	cr_expect(s == NULL);
	cr_expect(strstr(err, "\": it cannot be read: ") != NULL, "%s", err);
}

Test(tls_store, every_truncation_and_flip_is_survived)
{
	char err[CONFIG_ERROR_MAX];
	size_t len;
	char *whole;

	write_p12(path, &leaf, NULL, "geheim", true);
	whole = file_read(path, &len);
	for (size_t i = 0; i < len; i += 7) {
		int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

		whole[i] = (char)(whole[i] ^ 0x41);
		cr_assert(fd >= 0 && write(fd, whole, i % 2 == 0 ? len : i) >= 0);
		close(fd);
		whole[i] = (char)(whole[i] ^ 0x41);
		tls_store_free(open_store("geheim", err));
	}
	free(whole);
}

static void expect_cert_refused(struct plan p, const char *why)
{
	struct made m = make(p);

	write_key(path, m.key, NULL);
	write_cert(path, m.cert);
	expect_refused(NULL, why);
	again();
	unmake(&m);
}

Test(tls_store, certificates_that_serve_nobody)
{
	char err[CONFIG_ERROR_MAX];
	struct tls_store *s;
	struct made m;

	m = make((struct plan){.cn = "old", .begins_s = -864000, .ends_s = -60});
	write_key(path, m.key, NULL);
	write_cert(path, m.cert);
	s = open_store(NULL, err);
	cr_expect(s == NULL);
	cr_expect(strstr(err, "\": its certificate (CN=old) expired on 20") != NULL, "%s", err);
	again();
	unmake(&m);
	m = make((struct plan){.cn = "young", .begins_s = 3600, .ends_s = 7200});
	write_key(path, m.key, NULL);
	write_cert(path, m.cert);
	s = open_store(NULL, err);
	cr_expect(s == NULL);
	cr_expect(strstr(err, "\": its certificate (CN=young) is not valid before 20") != NULL,
		  "%s", err);
	cr_expect(strcmp(err + strlen(err) - 4, " UTC") == 0, "%s", err);
	again();
	unmake(&m);
	expect_cert_refused((struct plan){.cn = "weak", .rsa_bits = 1024},
			    "its RSA key has 1024 bits, which is too weak (RSA needs 2048, a curve "
			    "224)");
}

Test(tls_store, a_key_that_everybody_may_read)
{
	char err[CONFIG_ERROR_MAX];
	struct tls_store *s;

	write_key(path, leaf.key, NULL);
	write_cert(path, leaf.cert);
	cr_assert(chmod(path, 0604) == 0);
	expect_refused(NULL, "everybody on this machine may use that file, and an unprotected "
			     "private key stands in it: chmod o= FILE");
	cr_assert(chmod(path, 0640) == 0);
	expect_leaf(NULL, 1);
	again();
	write_p12(path, &leaf, NULL, "geheim", true);
	cr_assert(chmod(path, 0644) == 0);
	s = open_store("geheim", err);
	cr_assert(s != NULL, "%s", err);
	cr_expect(s->exposed);
	tls_store_free(s);
	again();
	write_p12(path, &leaf, NULL, "", true);
	cr_assert(chmod(path, 0644) == 0);
	cr_expect(open_store("", err) == NULL);
}

static void expect_trust(const char *password, int certs)
{
	struct tls_secret secret = secret_of(password != NULL ? password : "");
	char err[CONFIG_ERROR_MAX] = "";
	struct tls_store *s = tls_store_truststore(path, password != NULL ? &secret : NULL, err);

	cr_assert(s != NULL, "%s", err);
	cr_expect_eq(sk_X509_num(s->certs), certs);
	cr_expect_eq(s->identity_count, 0);
	cr_expect(!s->exposed);
	tls_store_free(s);
}

Test(tls_store, truststores)
{
	STACK_OF(X509) *others = sk_X509_new_null();
	char err[CONFIG_ERROR_MAX];

	write_cert(path, ca.cert);
	write_cert(path, leaf.cert);
	cr_assert(chmod(path, 0644) == 0);
	expect_trust(NULL, 2);
	expect_trust("not needed", 2);
	write_key(path, leaf.key, "passed over");
	expect_trust(NULL, 2);
	again();
	write_key(path, leaf.key, NULL);
	cr_expect(tls_store_truststore(path, NULL, err) == NULL);
	cr_expect(strstr(err, "[tls] truststore = \"") == err, "%s", err);
	cr_expect(strstr(err, "\": no certificate stands in it") != NULL, "%s", err);
	again();
	sk_X509_push(others, ca.cert);
	write_p12(path, &leaf, others, "changeit", false);
	expect_trust("changeit", 1);
	cr_expect(tls_store_truststore(path, NULL, err) == NULL);
	cr_expect(strstr(err, "a password protects it: set [tls] truststorepassword") != NULL, "%s",
		  err);
	sk_X509_free(others);
}
