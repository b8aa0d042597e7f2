/*
 * tls_cert.h -- what a certificate says: its names, its subject, its dates, who stands behind it.
 */
#ifndef PROXY_TLS_CERT_H
#define PROXY_TLS_CERT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/attrib.h"

struct stack_st_X509;
struct tls_names;
struct x509_st;

#define TLS_DATE_MAX 40

/* "CN=shop.example,O=..." as RFC 2253 writes it, cut where it does not fit. */
void tls_cert_subject(const struct x509_st *cert, char *out, size_t size);

/*
 * Add the host names it is for: the DNS names of its subjectAltName, or, where there is none, its
 * common name. False: no memory.
 */
bool tls_cert_names(const struct x509_st *cert, struct tls_names *names, unsigned value) MUST_CHECK;

/* Its dates, "2026-11-24 15:04:05 UTC". */
void tls_cert_begin(const struct x509_st *cert, char out[TLS_DATE_MAX]);
void tls_cert_end(const struct x509_st *cert, char out[TLS_DATE_MAX]);
/* Valid by now, and not yet over. */
bool tls_cert_begun(const struct x509_st *cert);
bool tls_cert_ended(const struct x509_st *cert);
/* Less than two weeks and less than a third of its life are left. */
bool tls_cert_ends_soon(const struct x509_st *cert);

/*
 * Those who signed it, the nearest first, as far as they stand in one of the two (either may be
 * NULL); without the root, which whoever verifies has. The caller frees it with its certificates.
 * NULL: no memory.
 */
struct stack_st_X509 *tls_cert_chain(struct x509_st *cert, struct stack_st_X509 *here,
				     struct stack_st_X509 *there) MUST_CHECK;

#endif
