/*
 * tls_names.h -- host names and what each leads to: exact ones before wildcards, letters of either
 * case alike, of two equal ones the first.
 */
#ifndef PROXY_TLS_NAMES_H
#define PROXY_TLS_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "common/attrib.h"

#define TLS_NAME_MAX 255

struct tls_names;

struct tls_names *tls_names_new(void) MUST_CHECK;
/* NULL is fine. */
void tls_names_free(struct tls_names *t);

/*
 * name    a host name as a certificate has it, "*." in front for all names one label deeper; no
 *         NUL is needed behind it. What is no such name is passed over.
 *
 * False: no memory.
 */
bool tls_names_add(struct tls_names *t, const char *name, size_t len, unsigned value) MUST_CHECK;

/* Is name covered? Then *value is what it leads to. A dot at its end does not count. */
bool tls_names_find(const struct tls_names *t, const char *name, size_t len,
		    unsigned *value) MUST_CHECK;

/* The same names, whatever they lead to. */
bool tls_names_equal(const struct tls_names *a, const struct tls_names *b) MUST_CHECK;
size_t tls_names_count(const struct tls_names *t);

#endif
