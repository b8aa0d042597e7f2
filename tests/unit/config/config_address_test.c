/*
 * config_address_test.c -- what listen and backend values stand for, and which are refused.
 */
#include "config/config_address.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

TestSuite(config_address);

/* "127.0.0.1:80 [::1]:80?" -- an entry that is optional ends in ?, one with TLS in +. */
static void listen_text(const struct config_proxy *p, char *out, size_t cap)
{
	size_t used = 0;

	out[0] = '\0';
	for (uint32_t i = 0; i < p->listen_count; i++) {
		char text[ADDR_TEXT_MAX];

		addr_format(&p->listen[i].addr, text);
		used += (size_t)snprintf(out + used, cap - used, "%s%s%s%s", i > 0 ? " " : "", text,
					 p->listen[i].optional ? "?" : "",
					 p->listen[i].tls ? "+" : "");
		cr_assert(used < cap);
	}
}

static void expect_listen(const char *value, const char *entries)
{
	struct config_proxy p = {0};
	const char *why = config_listen_add(&p, value);
	char text[1024];

	cr_expect(why == NULL, "%s: %s", value, why);
	listen_text(&p, text, sizeof(text));
	cr_expect_str_eq(text, entries, "%s gives %s instead of %s", value, text, entries);
}

Test(config_address, listen_values)
{
	expect_listen("http://127.0.0.1:8585", "127.0.0.1:8585");
	expect_listen("http://127.0.0.1:8585/", "127.0.0.1:8585");
	expect_listen("HTTP://127.0.0.1:8585", "127.0.0.1:8585");
	expect_listen("http://127.0.0.1", "127.0.0.1:80");
	expect_listen("https://127.0.0.1", "127.0.0.1:443+");
	expect_listen("https://[::1]:8443/", "[::1]:8443+");
	expect_listen("127.0.0.1:8585", "127.0.0.1:8585");
	expect_listen("0.0.0.0:8585", "0.0.0.0:8585");
	expect_listen("[::1]:8585", "[::1]:8585");
	expect_listen("[::]:8585", "[::]:8585");
	expect_listen("192.0.2.1:0", "192.0.2.1:0");
	expect_listen("192.0.2.1:65535", "192.0.2.1:65535");
	expect_listen("8585", "0.0.0.0:8585 [::]:8585?");
	expect_listen(":8585", "0.0.0.0:8585 [::]:8585?");
	expect_listen("*:8585", "0.0.0.0:8585 [::]:8585?");
	expect_listen("http://*:8585", "0.0.0.0:8585 [::]:8585?");
	expect_listen("https://*:8585", "0.0.0.0:8585+ [::]:8585?+");
	expect_listen("0", "0.0.0.0:0 [::]:0?");
	expect_listen("localhost:8585", "127.0.0.1:8585 [::1]:8585?");
	expect_listen("LocalHost:8585", "127.0.0.1:8585 [::1]:8585?");
	expect_listen("http://localhost:8585", "127.0.0.1:8585 [::1]:8585?");
	expect_listen("[fe80::1%1]:8585", "[fe80::1%1]:8585");
	expect_listen("http://[fe80::1%251]:8585", "[fe80::1%1]:8585");
}

static void expect_listen_refused(const char *value, const char *part)
{
	struct config_proxy p = {0};
	const char *why = config_listen_add(&p, value);

	cr_assert(why != NULL, "%s is taken", value);
	cr_expect(strstr(why, part) != NULL, "%s: %s", value, why);
	cr_expect_eq(p.listen_count, 0);
}

Test(config_address, listen_values_that_are_refused)
{
	expect_listen_refused("", "port is missing");
	expect_listen_refused("127.0.0.1", "port is missing");
	expect_listen_refused("localhost", "port is missing");
	expect_listen_refused("[::1]", "port is missing");
	expect_listen_refused("65536", "port is missing");
	expect_listen_refused("127.0.0.1:", "whole number");
	expect_listen_refused("127.0.0.1:65536", "whole number");
	expect_listen_refused("127.0.0.1:000080", "whole number");
	expect_listen_refused("127.0.0.1:http", "whole number");
	expect_listen_refused("127.0.0.1:+80", "whole number");
	expect_listen_refused("127.0.0.1: 80", "whole number");
	expect_listen_refused("[::1]8585", "whole number");
	expect_listen_refused("::1:8585", "brackets");
	expect_listen_refused("[::1:8585", "closing bracket");
	expect_listen_refused("www.example.org:80", "address of this machine");
	expect_listen_refused("127.1:80", "address of this machine");
	expect_listen_refused("[127.0.0.1]:80", "address of this machine");
	expect_listen_refused("[localhost]:80", "address of this machine");
	expect_listen_refused("[]:80", "address of this machine");
	expect_listen_refused("[*]:80", "address of this machine");
	expect_listen_refused("127.0.0.1%1:80", "address of this machine");
	expect_listen_refused("http://8585", "address of this machine");
	expect_listen_refused("ftp://127.0.0.1:80", "only http:// and https://");
	expect_listen_refused("://127.0.0.1:80", "only http:// and https://");
	expect_listen_refused("http://u:p@127.0.0.1:80", "no user name");
	expect_listen_refused("http://127.0.0.1:80/x", "no path");
	expect_listen_refused("http://127.0.0.1:80?x", "no path");
	expect_listen_refused("http://127.0.0.1:80#x", "no path");
	expect_listen_refused("127.0.0.1:80/", "no path");
	expect_listen_refused("127.0.0.1:80 # comment", "no path");
}

static const char *listen_add_two(const char *one, const char *two)
{
	struct config_proxy p = {0};
	const char *why = config_listen_add(&p, one);

	cr_assert(why == NULL, "%s", why);
	return config_listen_add(&p, two);
}

Test(config_address, listeners_may_not_cover_each_other)
{
	cr_expect(listen_add_two("127.0.0.1:80", "127.0.0.1:80") != NULL);
	cr_expect(listen_add_two("127.0.0.1:80", "localhost:80") != NULL);
	cr_expect(listen_add_two("80", "127.0.0.1:80") != NULL);
	cr_expect(listen_add_two("[::1]:80", "80") != NULL);
	cr_expect(listen_add_two("[fe80::1%1]:80", "[fe80::1%1]:80") != NULL);
	cr_expect(listen_add_two("https://127.0.0.1:80", "http://127.0.0.1:80") != NULL);
	cr_expect(listen_add_two("127.0.0.1:80", "127.0.0.1:81") == NULL);
	cr_expect(listen_add_two("127.0.0.1:80", "[::1]:80") == NULL);
	cr_expect(listen_add_two("127.0.0.1:80", "127.0.0.2:80") == NULL);
	cr_expect(listen_add_two("0.0.0.0:80", "[::]:80") == NULL);
	cr_expect(listen_add_two("127.0.0.1:0", "127.0.0.1:0") == NULL, "two ports chosen freely");
	cr_expect(listen_add_two("[fe80::1%1]:80", "[fe80::1%2]:80") == NULL);
}

Test(config_address, sixteen_listeners)
{
	struct config_proxy p = {0};
	struct config_proxy full;
	char value[32];

	for (int i = 1; i < CONFIG_LISTEN_MAX; i++) {
		snprintf(value, sizeof(value), "127.0.0.1:%d", i);
		cr_assert(config_listen_add(&p, value) == NULL);
	}
	full = p;
	cr_expect(config_listen_add(&p, "localhost:99") != NULL, "half of it would fit");
	cr_expect_arr_eq(&p, &full, sizeof(p));
	cr_expect(config_listen_add(&p, "127.0.0.1:99") == NULL);
	cr_expect_eq(p.listen_count, CONFIG_LISTEN_MAX);
	cr_expect(config_listen_add(&p, "127.0.0.1:100") != NULL);
}

static void expect_backend(const char *value, const char *host, const char *authority,
			   unsigned port, const char *literal)
{
	struct config_backend b;
	char text[ADDR_TEXT_MAX] = "";
	const char *why;

	memset(&b, 0xa5, sizeof(b));
	why = config_backend_parse(&b, value);
	cr_assert(why == NULL, "%s: %s", value, why);
	cr_expect_str_eq(b.host, host);
	cr_expect_str_eq(b.authority, authority);
	cr_expect_eq(b.port, port, "%s", value);
	cr_expect_eq(b.literal, literal != NULL, "%s", value);
	cr_expect_eq(b.tls, strncasecmp(value, "https:", 6) == 0);
	if (literal != NULL) {
		addr_format(&b.addr, text);
		cr_expect_str_eq(text, literal);
	}
}

Test(config_address, backends)
{
	expect_backend("http://127.0.0.1:8080", "127.0.0.1", "127.0.0.1:8080", 8080,
		       "127.0.0.1:8080");
	expect_backend("http://127.0.0.1:8080/", "127.0.0.1", "127.0.0.1:8080", 8080,
		       "127.0.0.1:8080");
	expect_backend("http://127.0.0.1", "127.0.0.1", "127.0.0.1", 80, "127.0.0.1:80");
	expect_backend("http://127.0.0.1:80", "127.0.0.1", "127.0.0.1", 80, "127.0.0.1:80");
	expect_backend("http://127.0.0.1:443", "127.0.0.1", "127.0.0.1:443", 443, "127.0.0.1:443");
	expect_backend("https://www.example.org", "www.example.org", "www.example.org", 443, NULL);
	expect_backend("https://www.example.org:80", "www.example.org", "www.example.org:80", 80,
		       NULL);
	expect_backend("http://[::1]:8080", "::1", "[::1]:8080", 8080, "[::1]:8080");
	expect_backend("http://[::1]", "::1", "[::1]", 80, "[::1]:80");
	expect_backend("[::1]:8080", "::1", "[::1]:8080", 8080, "[::1]:8080");
	expect_backend("http://[fe80::1%251]:8080", "fe80::1%251", "[fe80::1]:8080", 8080,
		       "[fe80::1%1]:8080");
	expect_backend("www.example.org:8080", "www.example.org", "www.example.org:8080", 8080,
		       NULL);
	expect_backend("localhost:80", "localhost", "localhost", 80, NULL);
	expect_backend("http://App_1:9", "App_1", "App_1:9", 9, NULL);
	expect_backend("http://example.org.", "example.org.", "example.org.", 80, NULL);
	expect_backend("http://3com.example", "3com.example", "3com.example", 80, NULL);
}

static void expect_backend_refused(const char *value, const char *part)
{
	struct config_backend b = {.host = "before", .port = 9};
	const struct config_backend before = b;
	const char *why = config_backend_parse(&b, value);

	cr_assert(why != NULL, "%s is taken", value);
	cr_expect(strstr(why, part) != NULL, "%s: %s", value, why);
	cr_expect_arr_eq(&b, &before, sizeof(b));
}

Test(config_address, backends_that_are_refused)
{
	expect_backend_refused("", "host is missing");
	expect_backend_refused("http://", "host is missing");
	expect_backend_refused("http://:8080", "host is missing");
	expect_backend_refused(":8080", "host is missing");
	expect_backend_refused("8080", "port is missing");
	expect_backend_refused("www.example.org", "port is missing");
	expect_backend_refused("127.0.0.1", "port is missing");
	expect_backend_refused("http://a:0", "port 0");
	expect_backend_refused("http://a:65536", "whole number");
	expect_backend_refused("http://a:", "whole number");
	expect_backend_refused("http://a:1:2", "brackets");
	expect_backend_refused("http://user@a", "no user name");
	expect_backend_refused("http://user:password@a", "no user name");
	expect_backend_refused("http://a/service", "no path");
	expect_backend_refused("http://a//", "no path");
	expect_backend_refused("http://a?q", "no path");
	expect_backend_refused("http://a/?q", "no path");
	expect_backend_refused("http://a#f", "no path");
	expect_backend_refused("a:80/", "no path");
	expect_backend_refused("ws://a", "only http:// and https://");
	expect_backend_refused("http://*:80", "not a valid name");
	expect_backend_refused("http://a b:80", "not a valid name");
	expect_backend_refused("http://a..b", "not a valid name");
	expect_backend_refused("http://.a", "not a valid name");
	expect_backend_refused("http://.", "not a valid name");
	expect_backend_refused("http://a%20b", "not a valid name");
	expect_backend_refused("http://m\xc3\xbcller.example", "not a valid name");
	expect_backend_refused("http://127.1", "neither a name nor");
	expect_backend_refused("http://256.0.0.1", "neither a name nor");
	expect_backend_refused("http://1.2.3.4.", "neither a name nor");
	expect_backend_refused("http://8080", "neither a name nor");
	expect_backend_refused("http://[127.0.0.1]", "IPv6");
	expect_backend_refused("http://[a.example]:80", "IPv6");
	expect_backend_refused("http://[", "closing bracket");
}

Test(config_address, names_up_to_253_bytes_in_labels_up_to_63)
{
	struct config_backend b;
	char value[400];
	char label[65];

	memset(label, 'x', sizeof(label) - 1);
	label[64] = '\0';
	snprintf(value, sizeof(value), "http://%.63s.%.63s.%.63s.%.61s:65535", label, label, label,
		 label);
	cr_expect(config_backend_parse(&b, value) == NULL);
	cr_expect_eq(strlen(b.host), 253);
	cr_expect_eq(strlen(b.authority), 253 + 6);
	snprintf(value, sizeof(value), "http://%.63s.%.63s.%.63s.%.61s.:65535", label, label, label,
		 label);
	cr_expect(config_backend_parse(&b, value) == NULL, "the root's dot is one more");
	snprintf(value, sizeof(value), "http://%.63s.%.63s.%.63s.%.62s:65535", label, label, label,
		 label);
	cr_expect(config_backend_parse(&b, value) != NULL);
	snprintf(value, sizeof(value), "http://%.64s:80", label);
	cr_expect(config_backend_parse(&b, value) != NULL);
}
