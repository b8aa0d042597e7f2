/*
 * tls_store_kind.h -- what a file of keys and certificates is, told by its first bytes and not by
 * its name.
 */
#ifndef PROXY_TLS_STORE_KIND_H
#define PROXY_TLS_STORE_KIND_H

#include <stddef.h>

enum tls_store_kind {
	TLS_STORE_EMPTY,   /* nothing but white space */
	TLS_STORE_PEM,     /* a line that begins with -----BEGIN stands in it */
	TLS_STORE_PKCS12,  /* RFC 7292 */
	TLS_STORE_JKS,     /* Java's own, of keytool before Java 9 */
	TLS_STORE_JCEKS,   /* Java's other own */
	TLS_STORE_DER,     /* some other ASN.1 structure: a bare certificate or key */
	TLS_STORE_UNKNOWN, /* something else */
};

/* Looks at no more than it must, and never behind bytes[len]. */
enum tls_store_kind tls_store_kind(const void *bytes, size_t len);

#endif
