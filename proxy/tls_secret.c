/*
 * tls_secret.c -- fetches passwords from files, the environment and the configuration itself.
 *
 * Invariant: no message of this file holds a byte of a password.
 */
#include "proxy/tls_secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char from_file[] = "file:";
static const char from_env[] = "env:";
static const char literally[] = "pass:";

/* What stands behind prefix, or NULL. */
static const char *behind(const char *spec, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(spec, prefix, len) == 0 ? spec + len : NULL;
}

static bool secret_set(struct tls_secret *out, const char *text, size_t len)
{
	if (len >= sizeof(out->text))
		return false;
	memcpy(out->text, text, len);
	out->text[len] = '\0';
	out->len = len;
	return true;
}

/* Up to size bytes; -1 with errno. */
static ssize_t read_head(int fd, char *bytes, size_t size)
{
	size_t len = 0;
	ssize_t n;

	do {
		n = read(fd, bytes + len, size - len);
		if (n > 0)
			len += (size_t)n;
	} while (len < size && (n > 0 || (n < 0 && errno == EINTR)));
	return n < 0 ? -1 : (ssize_t)len;
}

static bool fetch_file(struct tls_secret *out, const char *key, const char *path,
		       char err[CONFIG_ERROR_MAX])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char bytes[CONFIG_SECRET_MAX + 1];
	ssize_t n = fd < 0 ? -1 : read_head(fd, bytes, sizeof(bytes));
	const char *why = NULL;
	size_t len = 0;

	if (n < 0) {
		why = strerror(errno);
	} else {
		while (len < (size_t)n && bytes[len] != '\n')
			len++;
		if (len > 0 && bytes[len - 1] == '\r')
			len--;
		if (memchr(bytes, '\0', len) != NULL)
			why = "its first line holds a NUL, which no password does";
		else if (!secret_set(out, bytes, len))
			why = "its first line is too long for a password";
	}
	explicit_bzero(bytes, sizeof(bytes));
	if (fd >= 0)
		close(fd);
	if (why != NULL)
		snprintf(err, CONFIG_ERROR_MAX, "[tls] %s = file:%.200s: %s", key, path, why);
	return why == NULL;
}

static bool fetch_env(struct tls_secret *out, const char *key, const char *name,
		      char err[CONFIG_ERROR_MAX])
{
	const char *text = getenv(name);

	if (text != NULL && secret_set(out, text, strlen(text)))
		return true;
	snprintf(err, CONFIG_ERROR_MAX, "[tls] %s = env:%.200s: %s", key, name,
		 text == NULL ? "there is no such variable in the environment"
			      : "its value is too long for a password");
	return false;
}

bool tls_secret_fetch(struct tls_secret *out, const char *key, const char *spec,
		      char err[CONFIG_ERROR_MAX])
{
	const char *rest;

	out->len = 0;
	out->text[0] = '\0';
	rest = behind(spec, from_file);
	if (rest != NULL)
		return fetch_file(out, key, rest, err);
	rest = behind(spec, from_env);
	if (rest != NULL)
		return fetch_env(out, key, rest, err);
	rest = behind(spec, literally);
	if (rest == NULL)
		rest = spec;
	if (secret_set(out, rest, strlen(rest)))
		return true;
	snprintf(err, CONFIG_ERROR_MAX, "[tls] %s: too long for a password", key);
	return false;
}

void tls_secret_wipe(struct tls_secret *s)
{
	explicit_bzero(s, sizeof(*s));
}

const char *tls_secret_file(const char *spec)
{
	return behind(spec, from_file);
}
