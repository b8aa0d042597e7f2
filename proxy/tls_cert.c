/*
 * tls_cert.c -- reads what is needed out of X.509 certificates.
 */
#include "proxy/tls_cert.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "proxy/tls_names.h"

#define CHAIN_MAX    10
#define SOON_DAYS    14
#define SOON_PART    3
#define SECONDS_DAYS (24L * 60 * 60)

void tls_cert_subject(const X509 *cert, char *out, size_t size)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text = NULL;
	long len = 0;

	out[0] = '\0';
	if (bio != NULL &&
	    X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253) >= 0)
		len = BIO_get_mem_data(bio, &text);
	if (len > 0) {
		size_t n = MIN((size_t)len, size - 1);

		memcpy(out, text, n);
		out[n] = '\0';
	}
	BIO_free(bio);
}

static bool add_name(struct tls_names *names, const ASN1_STRING *name, unsigned value)
{
	const char *text = (const char *)ASN1_STRING_get0_data(name);

	return tls_names_add(names, text, (size_t)ASN1_STRING_length(name), value);
}

/* The last of them, as is usual. */
static bool add_common_name(const X509 *cert, struct tls_names *names, unsigned value)
{
	const X509_NAME *subject = X509_get_subject_name(cert);
	int at = -1;
	int last = -1;
	unsigned char *text = NULL;
	bool fine = true;
	int len;

	while ((at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0)
		last = at;
	if (last < 0)
		return true;
	len = ASN1_STRING_to_UTF8(&text,
				  X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, last)));
	if (len > 0)
		fine = tls_names_add(names, (const char *)text, (size_t)len, value);
	OPENSSL_free(text);
	return fine;
}

bool tls_cert_names(const X509 *cert, struct tls_names *names, unsigned value)
{
	GENERAL_NAMES *all = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	bool fine = true;

	if (all == NULL)
		return add_common_name(cert, names, value);
	for (int i = 0; fine && i < sk_GENERAL_NAME_num(all); i++) {
		const GENERAL_NAME *one = sk_GENERAL_NAME_value(all, i);

		if (one->type == GEN_DNS)
			fine = add_name(names, one->d.dNSName, value);
	}
	GENERAL_NAMES_free(all);
	return fine;
}

static void date_text(const ASN1_TIME *t, char out[TLS_DATE_MAX])
{
	struct tm tm;

	if (!ASN1_TIME_to_tm(t, &tm) ||
	    strftime(out, TLS_DATE_MAX, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
		snprintf(out, TLS_DATE_MAX, "an unreadable date");
}

void tls_cert_begin(const X509 *cert, char out[TLS_DATE_MAX])
{
	date_text(X509_get0_notBefore(cert), out);
}

void tls_cert_end(const X509 *cert, char out[TLS_DATE_MAX])
{
	date_text(X509_get0_notAfter(cert), out);
}

bool tls_cert_begun(const X509 *cert)
{
	return X509_cmp_current_time(X509_get0_notBefore(cert)) < 0;
}

bool tls_cert_ended(const X509 *cert)
{
	return X509_cmp_current_time(X509_get0_notAfter(cert)) < 0;
}

bool tls_cert_ends_soon(const X509 *cert)
{
	const ASN1_TIME *end = X509_get0_notAfter(cert);
	int days, seconds, life_days, life_seconds;
	long left, life;

	if (!ASN1_TIME_diff(&days, &seconds, NULL, end) ||
	    !ASN1_TIME_diff(&life_days, &life_seconds, X509_get0_notBefore(cert), end))
		return false;
	left = days * SECONDS_DAYS + seconds;
	life = life_days * SECONDS_DAYS + life_seconds;
	return left < SOON_DAYS * SECONDS_DAYS && left < life / SOON_PART;
}

static bool is_self_signed(X509 *cert)
{
	return X509_self_signed(cert, 0) == 1;
}

static X509 *issuer_in(const X509 *cert, const STACK_OF(X509) * among)
{
	for (int i = 0; i < sk_X509_num(among); i++) {
		X509 *one = sk_X509_value(among, i);

		if (X509_check_issued(one, (X509 *)(uintptr_t)cert) == X509_V_OK)
			return one;
	}
	return NULL;
}

STACK_OF(X509) * tls_cert_chain(X509 *cert, STACK_OF(X509) * here, STACK_OF(X509) * there)
{
	STACK_OF(X509) *chain = sk_X509_new_null();
	X509 *at = cert;

	while (chain != NULL && !is_self_signed(at) && sk_X509_num(chain) < CHAIN_MAX) {
		X509 *issuer = issuer_in(at, here);

		if (issuer == NULL)
			issuer = issuer_in(at, there);
		if (issuer == NULL || is_self_signed(issuer))
			break;
		if (!X509_add_cert(chain, issuer, X509_ADD_FLAG_UP_REF)) {
			sk_X509_pop_free(chain, X509_free);
			return NULL;
		}
		at = issuer;
	}
	return chain;
}
