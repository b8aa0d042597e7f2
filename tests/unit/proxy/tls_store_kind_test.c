/*
 * tls_store_kind_test.c -- stores are told apart by their bytes, and by no more of them than there
 * are.
 */
#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

#include "common/attrib.h"
#include "proxy/tls_store_kind.h"
#include "tests/lib/guarded.h"

struct sample {
	const char *bytes;
	size_t len;
	enum tls_store_kind kind;
};

#define SAMPLE(text, k)                       \
	{                                     \
		(text), sizeof(text) - 1, (k) \
	}

static const struct sample samples[] = {
	SAMPLE("", TLS_STORE_EMPTY),
	SAMPLE("\n \t\r\n", TLS_STORE_EMPTY),
	SAMPLE("-----BEGIN CERTIFICATE-----\n", TLS_STORE_PEM),
	SAMPLE("Bag Attributes\n  friendlyName: a\n-----BEGIN X-----", TLS_STORE_PEM),
	SAMPLE("\xef\xbb\xbf-----BEGIN CERTIFICATE-----\r\n", TLS_STORE_PEM),
	SAMPLE("a\r-----BEGIN X", TLS_STORE_PEM),
	SAMPLE("no -----BEGIN X", TLS_STORE_UNKNOWN),
	SAMPLE("-----BEGIN", TLS_STORE_UNKNOWN),
	SAMPLE("-----BEGI", TLS_STORE_UNKNOWN),
	SAMPLE("key", TLS_STORE_UNKNOWN),
	SAMPLE("\xfe\xed\xfe\xed\0\0\0\2", TLS_STORE_JKS),
	SAMPLE("\xfe\xed\xfe\xed", TLS_STORE_JKS),
	SAMPLE("\xfe\xed\xfe", TLS_STORE_UNKNOWN),
	SAMPLE("\xfe\xed\xfe\xce", TLS_STORE_UNKNOWN),
	SAMPLE("\xce\xce\xce\xce\0\0\0\2", TLS_STORE_JCEKS),
	/* 30 82 09 C0 02 01 03: a PFX of 2496 bytes */
	SAMPLE("\x30\x82\x09\xc0\x02\x01\x03\x30", TLS_STORE_PKCS12),
	SAMPLE("\x30\x05\x02\x01\x03", TLS_STORE_PKCS12),
	SAMPLE("\x30\x80\x02\x01\x03", TLS_STORE_PKCS12), /* indefinite length */
	SAMPLE("\x30\x05\x02\x01\x02", TLS_STORE_DER),
	SAMPLE("\x30\x82\x03\x50\x30\x82", TLS_STORE_DER), /* a certificate */
	SAMPLE("\x30\x82\x09\xc0\x02\x01", TLS_STORE_DER), /* cut */
	SAMPLE("\x30\xff\x02\x01\x03", TLS_STORE_DER),
	SAMPLE("\x30", TLS_STORE_DER),
	SAMPLE("\0", TLS_STORE_UNKNOWN),
};

Test(tls_store_kind, is_told_by_the_first_bytes)
{
	struct guarded *g = guarded_new(256);

	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		const void *bytes = guarded_put(g, samples[i].bytes, samples[i].len);

		cr_expect_eq(tls_store_kind(bytes, samples[i].len), samples[i].kind, "sample %zu",
			     i);
	}
	guarded_free(g);
}

Test(tls_store_kind, looks_at_every_prefix_of_it)
{
	struct guarded *g = guarded_new(256);

	for (size_t i = 0; i < ARRAY_LEN(samples); i++)
		for (size_t len = 0; len <= samples[i].len; len++)
			(void)tls_store_kind(guarded_put(g, samples[i].bytes, len), len);
	guarded_free(g);
}
