/*
 * config_test.c -- keys one by one: defaults, limits, words, and the sentence each refusal gives.
 */
#include "config/config.h"

#include <criterion/criterion.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

TestSuite(config);

static void expect_set(struct config *c, const char *section, const char *key, const char *value)
{
	char err[CONFIG_ERROR_MAX] = "";

	cr_expect(config_set(c, section, key, value, err), "%s", err);
}

/* Refused with exactly that sentence, and nothing has changed. */
static void expect_refused(const char *section, const char *key, const char *value,
			   const char *sentence)
{
	char err[CONFIG_ERROR_MAX] = "";
	struct config before;
	struct config c;

	config_defaults(&c);
	before = c;
	cr_expect(!config_set(&c, section, key, value, err), "%s.%s=%s is taken", section, key,
		  value);
	cr_expect_str_eq(err, sentence);
	cr_expect_arr_eq(&c, &before, sizeof(c));
}

/* The defaults as design and manual state them, independent of the table. */
Test(config, defaults)
{
	struct config c;

	memset(&c, 0xa5, sizeof(c));
	config_defaults(&c);
	cr_expect_str_empty(c.proxy.user);
	cr_expect_eq(c.proxy.missing_host, CONFIG_MISSING_HOST_ACCEPT);
	cr_expect_eq(c.proxy.host_header, CONFIG_HOST_HEADER_CLIENT);
	cr_expect_eq(c.proxy.request_ids, CONFIG_REQUEST_IDS_MAKE);
	cr_expect_eq(c.proxy.pool_size, 1024);
	cr_expect_eq(c.proxy.max_header_bytes, 65536);
	cr_expect_eq(c.proxy.max_headers, 256);
	cr_expect_eq(c.proxy.max_body_bytes, 0);
	cr_expect_eq(c.proxy.max_connections, 0);
	cr_expect_eq(c.proxy.header_timeout_ms, 10000);
	cr_expect_eq(c.proxy.idle_timeout_ms, 75000);
	cr_expect_eq(c.proxy.body_timeout_ms, 60000);
	cr_expect_eq(c.proxy.send_timeout_ms, 60000);
	cr_expect_eq(c.proxy.connect_timeout_ms, 5000);
	cr_expect_eq(c.proxy.backend_timeout_ms, 60000);
	cr_expect_eq(c.proxy.pool_idle_ms, 30000);
	cr_expect_eq(c.proxy.tunnel_timeout_ms, 3600000);
	cr_expect_eq(c.proxy.request_timeout_ms, 0);
	cr_expect_eq(c.proxy.max_requests, 0);
	cr_expect_eq(c.proxy.max_age_ms, 0);
	cr_expect_eq(c.proxy.stop_ms, 10000);
	cr_expect_str_empty(c.log.access_log);
	cr_expect_eq(c.log.soap, CONFIG_SOAP_ACTION);
	cr_expect_str_empty(c.trace.dir);
	cr_expect_str_empty(c.trace.control);
	cr_expect_eq(c.trace.interface_count, 0);
	cr_expect_eq(c.trace.payload, CONFIG_PAYLOAD_FULL);
	cr_expect_eq(c.trace.buffer_mb, 64);
	cr_expect_eq(c.trace.hold_ms, 2000);
	cr_expect_eq(c.given, 0);
}

Test(config, default_addresses)
{
	char text[ADDR_TEXT_MAX];
	struct config c;

	config_defaults(&c);
	cr_assert_eq(c.proxy.listen_count, 2);
	addr_format(&c.proxy.listen[0].addr, text);
	cr_expect_str_eq(text, "127.0.0.1:8585");
	cr_expect(!c.proxy.listen[0].optional);
	addr_format(&c.proxy.listen[1].addr, text);
	cr_expect_str_eq(text, "[::1]:8585");
	cr_expect(c.proxy.listen[1].optional);
	cr_expect(!c.proxy.listen[0].tls && !c.proxy.listen[1].tls);
	cr_expect(c.proxy.backend.literal);
	cr_expect_str_eq(c.proxy.backend.host, "127.0.0.1");
	cr_expect_str_eq(c.proxy.backend.authority, "127.0.0.1:8080");
	cr_expect_eq(c.proxy.backend.port, 8080);
}

Test(config, workers_auto_counts_what_this_process_may_use)
{
	cpu_set_t one;
	cpu_set_t all;
	struct config c;
	int cpu = 0;

	cr_assert(sched_getaffinity(0, sizeof(all), &all) == 0);
	config_defaults(&c);
	cr_expect_eq(c.proxy.workers, (uint32_t)MIN(CPU_COUNT(&all), 256));
	while (!CPU_ISSET(cpu, &all))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	cr_assert(sched_setaffinity(0, sizeof(one), &one) == 0);
	expect_set(&c, "proxy", "workers", "7");
	cr_expect_eq(c.proxy.workers, 7);
	expect_set(&c, "proxy", "workers", "auto");
	cr_expect_eq(c.proxy.workers, 1);
}

struct limits {
	const char *section;
	const char *key;
	const char *least;
	const char *most;
	const char *below; /* NULL: nothing is */
	const char *above;
	size_t offset;
};

#define LIMITS(s, k, least, most, below, above)                                 \
	{                                                                       \
#s, #k, least, most, below, above, offsetof(struct config, s.k) \
	}

static const struct limits all_limits[] = {
	LIMITS(proxy, workers, "1", "256", "0", "257"),
	LIMITS(proxy, pool_size, "0", "1000000", NULL, "1000001"),
	LIMITS(proxy, max_header_bytes, "1024", "1048576", "1023", "1048577"),
	LIMITS(proxy, max_headers, "8", "4096", "7", "4097"),
	LIMITS(proxy, max_connections, "1", "10000000", "0", "10000001"),
	LIMITS(proxy, header_timeout_ms, "1", "86400000", "0", "86400001"),
	LIMITS(proxy, idle_timeout_ms, "1", "86400000", "0", "86400001"),
	LIMITS(proxy, body_timeout_ms, "1", "86400000", "0", "86400001"),
	LIMITS(proxy, send_timeout_ms, "1", "86400000", "0", "86400001"),
	LIMITS(proxy, connect_timeout_ms, "1", "86400000", "0", "86400001"),
	LIMITS(proxy, backend_timeout_ms, "1", "86400000", "0", "86400001"),
	LIMITS(proxy, pool_idle_ms, "1", "86400000", "0", "86400001"),
	LIMITS(proxy, tunnel_timeout_ms, "1", "86400000", "0", "86400001"),
	LIMITS(proxy, request_timeout_ms, "0", "86400000", NULL, "86400001"),
	LIMITS(proxy, max_requests, "0", "1000000000", NULL, "1000000001"),
	LIMITS(proxy, max_age_ms, "0", "86400000", NULL, "86400001"),
	LIMITS(proxy, stop_ms, "1", "86400000", "0", "86400001"),
	LIMITS(trace, buffer_mb, "1", "4096", "0", "4097"),
	LIMITS(trace, hold_ms, "100", "60000", "99", "60001"),
};

static uint32_t number_at(const struct config *c, size_t offset)
{
	uint32_t v;

	memcpy(&v, (const char *)c + offset, sizeof(v));
	return v;
}

Test(config, numbers_keep_their_limits_and_go_where_they_belong)
{
	for (size_t i = 0; i < ARRAY_LEN(all_limits); i++) {
		const struct limits *l = &all_limits[i];
		char err[CONFIG_ERROR_MAX];
		struct config c;

		config_defaults(&c);
		expect_set(&c, l->section, l->key, l->least);
		cr_expect_eq(number_at(&c, l->offset), strtoul(l->least, NULL, 10), "%s", l->key);
		expect_set(&c, l->section, l->key, l->most);
		cr_expect_eq(number_at(&c, l->offset), strtoul(l->most, NULL, 10), "%s", l->key);
		cr_expect(l->below == NULL || !config_set(&c, l->section, l->key, l->below, err),
			  "%s", l->key);
		cr_expect(!config_set(&c, l->section, l->key, l->above, err), "%s", l->key);
		cr_expect_eq(number_at(&c, l->offset), strtoul(l->most, NULL, 10), "%s", l->key);
	}
}

Test(config, a_body_may_have_63_bits)
{
	struct config c;

	config_defaults(&c);
	expect_set(&c, "proxy", "max_body_bytes", "9223372036854775807");
	cr_expect_eq(c.proxy.max_body_bytes, INT64_MAX);
	expect_set(&c, "proxy", "max_body_bytes", "0");
	cr_expect_eq(c.proxy.max_body_bytes, 0);
	expect_refused("proxy", "max_body_bytes", "9223372036854775808",
		       "[proxy] max_body_bytes = \"9223372036854775808\": a whole number from 0 to "
		       "9223372036854775807");
}

Test(config, numbers_are_digits_and_nothing_else)
{
	static const char *const bad[] = {
		"",
		" 1",
		"1 ",
		"+1",
		"-1",
		"0x10",
		"1e3",
		"1.0",
		"10s",
		"1_0",
		"auto",
		"1\xc2\xa0",
		"18446744073709551617",
		"99999999999999999999999999999999999999",
	};
	char sentence[CONFIG_ERROR_MAX];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		snprintf(sentence, sizeof(sentence),
			 "[trace] hold_ms = \"%s\": a whole number from 100 to 60000", bad[i]);
		expect_refused("trace", "hold_ms", bad[i], sentence);
	}
	expect_refused("proxy", "workers", "x",
		       "[proxy] workers = \"x\": a whole number from 1 to 256, or auto");
}

Test(config, max_connections_auto)
{
	struct config c;

	config_defaults(&c);
	expect_set(&c, "proxy", "max_connections", "7");
	cr_expect_eq(c.proxy.max_connections, 7);
	expect_set(&c, "proxy", "max_connections", "auto");
	cr_expect_eq(c.proxy.max_connections, 0);
}

Test(config, words)
{
	struct config c;

	config_defaults(&c);
	expect_set(&c, "proxy", "missing_host", "reject");
	cr_expect_eq(c.proxy.missing_host, CONFIG_MISSING_HOST_REJECT);
	expect_set(&c, "proxy", "missing_host", "accept");
	cr_expect_eq(c.proxy.missing_host, CONFIG_MISSING_HOST_ACCEPT);
	expect_set(&c, "proxy", "host_header", "backend");
	cr_expect_eq(c.proxy.host_header, CONFIG_HOST_HEADER_BACKEND);
	expect_set(&c, "proxy", "request_ids", "keep");
	cr_expect_eq(c.proxy.request_ids, CONFIG_REQUEST_IDS_KEEP);
	expect_set(&c, "log", "soap", "off");
	cr_expect_eq(c.log.soap, CONFIG_SOAP_OFF);
	expect_set(&c, "log", "soap", "full");
	cr_expect_eq(c.log.soap, CONFIG_SOAP_FULL);
	expect_refused("log", "soap", "all", "[log] soap = \"all\": action or full or off");
	expect_set(&c, "trace", "payload", "headers");
	cr_expect_eq(c.trace.payload, CONFIG_PAYLOAD_HEADERS);
	expect_set(&c, "trace", "payload", "none");
	cr_expect_eq(c.trace.payload, CONFIG_PAYLOAD_NONE);
	expect_set(&c, "trace", "secrets", "on");
	cr_expect_eq(c.trace.secrets, CONFIG_SECRETS_ON);
	expect_set(&c, "trace", "secrets", "off");
	cr_expect_eq(c.trace.secrets, CONFIG_SECRETS_OFF);
	expect_refused("trace", "secrets", "yes", "[trace] secrets = \"yes\": off or on");
	expect_set(&c, "trace", "keep", "all");
	expect_refused("proxy", "host_header", "Client",
		       "[proxy] host_header = \"Client\": client or backend");
	expect_refused("trace", "payload", "", "[trace] payload = \"\": full or headers or none");
}

Test(config, what_this_version_cannot_do_is_said)
{
	expect_refused("trace", "keep", "tail",
		       "[trace] keep = \"tail\": this version keeps every packet; all");
}

Test(config, tls_keys_may_be_empty_or_say_the_default)
{
	static const char *const keys[] = {"keystore",           "keystorepassword", "truststore",
					   "truststorepassword", "verify",           "client_auth",
					   "min_version"};
	struct config before;
	struct config c;

	config_defaults(&c);
	before = c;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		expect_set(&c, "tls", keys[i], "");
	expect_set(&c, "tls", "verify", "full");
	expect_set(&c, "tls", "client_auth", "none");
	expect_set(&c, "tls", "min_version", "1.2");
	config_source_begin(&c);
	cr_expect_arr_eq(&c, &before, sizeof(c));
}

Test(config, tls_words)
{
	struct config c;

	config_defaults(&c);
	expect_set(&c, "tls", "verify", "none");
	cr_expect_eq(c.tls.verify, CONFIG_VERIFY_NONE);
	expect_set(&c, "tls", "verify", "");
	cr_expect_eq(c.tls.verify, CONFIG_VERIFY_FULL);
	expect_set(&c, "tls", "client_auth", "optional");
	cr_expect_eq(c.tls.client_auth, CONFIG_CLIENT_AUTH_OPTIONAL);
	expect_set(&c, "tls", "client_auth", "required");
	cr_expect_eq(c.tls.client_auth, CONFIG_CLIENT_AUTH_REQUIRED);
	expect_set(&c, "tls", "client_auth", "");
	cr_expect_eq(c.tls.client_auth, CONFIG_CLIENT_AUTH_NONE);
	expect_set(&c, "tls", "min_version", "1.3");
	cr_expect_eq(c.tls.min_version, CONFIG_MIN_VERSION_13);
	expect_set(&c, "tls", "min_version", "");
	cr_expect_eq(c.tls.min_version, CONFIG_MIN_VERSION_12);
	expect_refused("tls", "min_version", "1.1", "[tls] min_version = \"1.1\": 1.2 or 1.3");
	expect_refused("tls", "verify", "peer", "[tls] verify = \"peer\": full or none");
	expect_refused("tls", "client_auth", "yes",
		       "[tls] client_auth = \"yes\": none or optional or required");
}

Test(config, keystores_add_up_and_a_later_source_begins_anew)
{
	struct config c;

	config_defaults(&c);
	cr_expect_eq(c.tls.keystore_count, 0);
	config_source_begin(&c);
	expect_set(&c, "tls", "keystore", "a.pem");
	expect_set(&c, "tls", "keystore", "b.p12");
	expect_set(&c, "tls", "keystorepassword", "one");
	expect_set(&c, "tls", "keystorepassword", "two");
	cr_assert_eq(c.tls.keystore_count, 2);
	cr_expect_str_eq(c.tls.keystore[0], "a.pem");
	cr_expect_str_eq(c.tls.keystore[1], "b.p12");
	cr_assert_eq(c.tls.keystorepassword_count, 2);
	cr_expect_str_eq(c.tls.keystorepassword[1], "two");
	config_source_begin(&c);
	expect_set(&c, "tls", "keystore", "c.pem");
	cr_assert_eq(c.tls.keystore_count, 1);
	cr_expect_str_eq(c.tls.keystore[0], "c.pem");
	cr_expect_str_eq(c.tls.keystore[1], "");
	cr_expect_eq(c.tls.keystorepassword_count, 2);
	config_source_begin(&c);
	expect_set(&c, "tls", "keystore", "");
	cr_expect_eq(c.tls.keystore_count, 0);
	cr_expect_str_eq(c.tls.keystore[0], "");
}

Test(config, sixteen_keystores_are_enough)
{
	char err[CONFIG_ERROR_MAX];
	struct config c;

	config_defaults(&c);
	config_source_begin(&c);
	for (int i = 0; i < CONFIG_STORES_MAX; i++)
		expect_set(&c, "tls", "keystore", "a.pem");
	cr_assert(!config_set(&c, "tls", "keystore", "last.pem", err));
	cr_expect_str_eq(err, "[tls] keystore = \"last.pem\": at most 16 of them");
	cr_expect_eq(c.tls.keystore_count, CONFIG_STORES_MAX);
}

Test(config, passwords_are_not_repeated)
{
	char err[CONFIG_ERROR_MAX];
	char secret[2001];
	struct config c;

	config_defaults(&c);
	memset(secret, 'x', sizeof(secret) - 1);
	secret[sizeof(secret) - 1] = '\0';
	memcpy(secret, "hunter2", 7);
	cr_assert(!config_set(&c, "tls", "keystorepassword", secret, err));
	cr_expect_str_eq(err, "[tls] keystorepassword: at most 1023 bytes, these are 2000");
	cr_assert(!config_set(&c, "tls", "truststorepassword", secret, err));
	cr_expect_str_eq(err, "[tls] truststorepassword: at most 1023 bytes, these are 2000");
	cr_assert(!config_set(&c, "tls", "truststorepassword", "hunter2\n", err));
	cr_expect(strstr(err, "hunter2") == NULL, "%s", err);
}

Test(config, the_nearest_key_is_named)
{
	expect_refused("proxy", "worker", "1",
		       "[proxy] worker: no such key; did you mean workers?");
	expect_refused("proxy", "max_header", "1",
		       "[proxy] max_header: no such key; did you mean "
		       "max_headers?");
	expect_refused("proxy", "header_timeout", "1", "[proxy] header_timeout: no such key");
	expect_refused("log", "workers", "1",
		       "[log] workers: no such key; did you mean workers in [proxy]?");
	expect_refused("proxy", "colour", "1", "[proxy] colour: no such key");
	expect_refused("proxy", "", "1", "[proxy] : no such key");
	expect_refused("Proxy", "workers", "1", "[Proxy]: no such section; did you mean [proxy]?");
	expect_refused("network", "workers", "1",
		       "[network]: no such section; there are [proxy], [tls], [log] and [trace]");
	expect_refused(
		"proxy",
		"a_key_that_is_so_long_that_it_is_far_from_every_key_that_exists_in_the_table"
		"_of_keys",
		"1",
		"[proxy] a_key_that_is_so_long_that_it_is_far_from_every_key_that_exists_in_"
		"the_table_of_...: no such key");
}

Test(config, control_characters_are_refused)
{
	expect_refused("trace", "dir", "a\nb",
		       "[trace] dir: a control character stands in the value");
	expect_refused("trace", "dir", "a\x7f",
		       "[trace] dir: a control character stands in the value");
	expect_refused("proxy", "a\033[2Jb", "1", "[proxy] a?[2Jb: no such key");
}

Test(config, text_that_does_not_fit_is_refused_and_not_cut)
{
	char longest[CONFIG_PATH_MAX];
	char too_long[CONFIG_PATH_MAX + 1];
	char err[CONFIG_ERROR_MAX];
	struct config c;

	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	memset(too_long, 'x', sizeof(too_long) - 1);
	too_long[sizeof(too_long) - 1] = '\0';
	config_defaults(&c);
	expect_set(&c, "log", "access_log", longest);
	cr_expect_str_eq(c.log.access_log, longest);
	cr_expect(!config_set(&c, "log", "access_log", too_long, err));
	cr_expect(strstr(err, "at most 4095 bytes, these are 4096") != NULL, "%s", err);
	cr_expect_str_eq(c.log.access_log, longest);
	expect_set(&c, "proxy", "user", "www-data");
	cr_expect_str_eq(c.proxy.user, "www-data");
	expect_set(&c, "trace", "control", "/run/flowproxy.sock");
	cr_expect_str_eq(c.trace.control, "/run/flowproxy.sock");
}

static void expect_interfaces(const char *value, uint32_t count, const char *first,
			      const char *last)
{
	struct config c;

	config_defaults(&c);
	expect_set(&c, "trace", "interfaces", "old0,old1");
	expect_set(&c, "trace", "interfaces", value);
	cr_assert_eq(c.trace.interface_count, count, "%s", value);
	if (count > 0) {
		cr_expect_str_eq(c.trace.interfaces[0], first);
		cr_expect_str_eq(c.trace.interfaces[count - 1], last);
	}
}

Test(config, interfaces)
{
	expect_interfaces("auto", 0, NULL, NULL);
	expect_interfaces("", 0, NULL, NULL);
	expect_interfaces("lo", 1, "lo", "lo");
	expect_interfaces("lo,eth0", 2, "lo", "eth0");
	expect_interfaces("lo eth0", 2, "lo", "eth0");
	expect_interfaces(" lo ,\teth0 wlan0, ", 3, "lo", "wlan0");
	expect_interfaces("a b c d e f g h i j k l m n o fifteen_letters", 16, "a",
			  "fifteen_letters");
	expect_refused(
		"trace", "interfaces", "sixteen_letters_",
		"[trace] interfaces = \"sixteen_letters_\": an interface name has at most 15 "
		"characters and no slash");
	expect_refused("trace", "interfaces", "../x",
		       "[trace] interfaces = \"../x\": an interface name has at most 15 characters "
		       "and no slash");
	expect_refused("trace", "interfaces", "lo,lo",
		       "[trace] interfaces = \"lo,lo\": each interface stands there once");
	expect_refused("trace", "interfaces", "lo auto",
		       "[trace] interfaces = \"lo auto\": auto stands alone, or names do");
	expect_refused("trace", "interfaces", "a b c d e f g h i j k l m n o p q",
		       "[trace] interfaces = \"a b c d e f g h i j k l m n o p q\": at most 16 "
		       "interfaces");
}

Test(config, the_first_listen_of_a_source_replaces)
{
	struct config c;

	config_defaults(&c);
	config_source_begin(&c);
	expect_set(&c, "proxy", "listen", "127.0.0.1:1001");
	expect_set(&c, "proxy", "listen", "127.0.0.1:1002");
	cr_assert_eq(c.proxy.listen_count, 2);
	cr_expect_eq(c.proxy.listen[0].addr.port, 1001);
	cr_expect_eq(c.proxy.listen[1].addr.port, 1002);
	config_source_begin(&c);
	expect_set(&c, "proxy", "workers", "3");
	cr_expect_eq(c.proxy.listen_count, 2);
	expect_set(&c, "proxy", "listen", "127.0.0.1:1003");
	cr_assert_eq(c.proxy.listen_count, 1);
	cr_expect_eq(c.proxy.listen[0].addr.port, 1003);
}

Test(config, a_refused_listen_leaves_the_list)
{
	char err[CONFIG_ERROR_MAX];
	struct config c;

	config_defaults(&c);
	config_source_begin(&c);
	cr_expect(!config_set(&c, "proxy", "listen", "nonsense", err));
	cr_expect_eq(c.proxy.listen_count, 2);
	expect_set(&c, "proxy", "listen", "127.0.0.1:1001");
	cr_expect_eq(c.proxy.listen_count, 1, "the refused one was not the first");
}

Test(config, the_last_backend_counts)
{
	struct config c;

	config_defaults(&c);
	config_source_begin(&c);
	expect_set(&c, "proxy", "backend", "http://one.example");
	expect_set(&c, "proxy", "backend", "http://two.example");
	cr_expect_str_eq(c.proxy.backend.authority, "two.example");
}

static void expect_option_refused(const char *assignment, const char *sentence)
{
	char err[CONFIG_ERROR_MAX] = "";
	struct config c;

	config_defaults(&c);
	cr_expect(!config_set_option(&c, assignment, err), "%s is taken", assignment);
	cr_expect_str_eq(err, sentence);
}

Test(config, options)
{
	char err[CONFIG_ERROR_MAX] = "";
	struct config c;

	config_defaults(&c);
	cr_expect(config_set_option(&c, "proxy.stop_ms=5", err), "%s", err);
	cr_expect_eq(c.proxy.stop_ms, 5);
	cr_expect(config_set_option(&c, "trace.dir=/a=b.c", err), "%s", err);
	cr_expect_str_eq(c.trace.dir, "/a=b.c");
	cr_expect(config_set_option(&c, "trace.dir=", err), "%s", err);
	cr_expect_str_empty(c.trace.dir);
	expect_option_refused("proxy", "\"proxy\": SECTION.KEY=VALUE is expected");
	expect_option_refused("proxy.workers", "\"proxy.workers\": SECTION.KEY=VALUE is expected");
	expect_option_refused("workers=1.5", "\"workers=1.5\": SECTION.KEY=VALUE is expected");
	expect_option_refused("", "\"\": SECTION.KEY=VALUE is expected");
	expect_option_refused("proxy.=1", "[proxy] : no such key");
	expect_option_refused(
		"ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss.k=1",
		"\"ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss.k"
		"...\": no such section or key");
	expect_option_refused("proxy.workers=x",
			      "[proxy] workers = \"x\": a whole number from 1 to 256, or auto");
}
