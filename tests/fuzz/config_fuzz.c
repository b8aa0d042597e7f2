/*
 * config_fuzz.c -- any bytes as configuration file, and what must hold whatever they say.
 *
 * A refused file names itself and a line; an accepted one gives a configuration within its limits,
 * and reading it again gives the same.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, size_t size)
{
	assert(memchr(text, '\0', size) != NULL);
}

static void check_tls(const struct config_tls *t)
{
	assert(t->keystore_count <= CONFIG_STORES_MAX);
	assert(t->keystorepassword_count <= CONFIG_STORES_MAX);
	for (uint32_t i = 0; i < CONFIG_STORES_MAX; i++) {
		check_text(t->keystore[i], sizeof(t->keystore[i]));
		check_text(t->keystorepassword[i], sizeof(t->keystorepassword[i]));
		assert((t->keystore[i][0] != '\0') == (i < t->keystore_count));
		assert((t->keystorepassword[i][0] != '\0') == (i < t->keystorepassword_count));
	}
	check_text(t->truststore, sizeof(t->truststore));
	check_text(t->truststorepassword, sizeof(t->truststorepassword));
	assert(t->verify <= CONFIG_VERIFY_NONE && t->min_version <= CONFIG_MIN_VERSION_13);
	assert(t->client_auth <= CONFIG_CLIENT_AUTH_REQUIRED);
}

static void check_accepted(const struct config *c)
{
	check_tls(&c->tls);
	assert(c->proxy.listen_count >= 1 && c->proxy.listen_count <= CONFIG_LISTEN_MAX);
	for (uint32_t i = 0; i < c->proxy.listen_count; i++)
		assert(c->proxy.listen[i].addr.family != ADDR_NONE);
	check_text(c->proxy.backend.host, sizeof(c->proxy.backend.host));
	check_text(c->proxy.backend.authority, sizeof(c->proxy.backend.authority));
	assert(c->proxy.backend.host[0] != '\0' && c->proxy.backend.port != 0);
	assert(!c->proxy.backend.literal || c->proxy.backend.addr.family != ADDR_NONE);
	assert(strpbrk(c->proxy.backend.authority, " \t\r\n/@?#") == NULL);
	assert(c->proxy.workers >= 1 && c->proxy.workers <= 256);
	assert(c->proxy.max_header_bytes >= 1024 && c->proxy.header_timeout_ms >= 1);
	check_text(c->proxy.user, sizeof(c->proxy.user));
	check_text(c->log.access_log, sizeof(c->log.access_log));
	check_text(c->trace.dir, sizeof(c->trace.dir));
	check_text(c->trace.control, sizeof(c->trace.control));
	assert(c->trace.interface_count <= CONFIG_INTERFACES_MAX);
	for (uint32_t i = 0; i < c->trace.interface_count; i++) {
		check_text(c->trace.interfaces[i], sizeof(c->trace.interfaces[i]));
		assert(c->trace.interfaces[i][0] != '\0');
	}
}

/* The input's first line, as --set would get it. */
static void try_option(const char *text, size_t len)
{
	char assignment[256];
	char err[CONFIG_ERROR_MAX] = "";
	struct config c;

	len = MIN(len, sizeof(assignment) - 1);
	memcpy(assignment, text, len);
	assignment[len] = '\0';
	config_defaults(&c);
	if (config_set_option(&c, assignment, err))
		check_accepted(&c);
	else
		assert(err[0] != '\0');
}

/* Padding included: config_defaults() clears it, and nothing writes there afterwards. */
static bool same_bytes(const void *a, const void *b, size_t size)
{
	return memcmp(a, b, size) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	char err[CONFIG_ERROR_MAX] = "";
	struct config first;
	struct config second;

	try_option(text, size);
	config_defaults(&first);
	if (!config_read_text(&first, "f", text, size, err)) {
		assert(strncmp(err, "f:", 2) == 0 && strchr(err, '\n') == NULL);
		return 0;
	}
	check_accepted(&first);
	config_defaults(&second);
	assert(config_read_text(&second, "f", text, size, err));
	assert(same_bytes(&first, &second, sizeof(first)));
	return 0;
}
