/*
 * tls_secret.h -- a password of the configuration, fetched from where it stands.
 *
 * Never says what it is, and wipes what it no longer needs.
 */
#ifndef PROXY_TLS_SECRET_H
#define PROXY_TLS_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#include "common/attrib.h"
#include "config/config.h"

struct tls_secret {
	size_t len;
	char text[CONFIG_SECRET_MAX]; /* with a NUL behind it */
};

/*
 * spec    as it stands in the configuration: file:PATH (the first line of that file), env:NAME,
 *         pass:TEXT, or the password itself
 * key     the configuration's key, "keystorepassword", for err
 *
 * False: err says in one sentence what is missing, and out is empty.
 */
bool tls_secret_fetch(struct tls_secret *out, const char *key, const char *spec,
		      char err[CONFIG_ERROR_MAX]) MUST_CHECK;

void tls_secret_wipe(struct tls_secret *s);

/* The file that spec names, or NULL. */
const char *tls_secret_file(const char *spec);

#endif
