/*
 * addr_test.c -- addresses as text, as sockaddr, compared.
 */
#include "common/addr.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>

Test(addr, text_and_back)
{
	static const struct {
		const char *text;
		const char *ip;
		enum addr_family family;
		uint16_t port;
	} known[] = {
		{"127.0.0.1:8585", "127.0.0.1", ADDR_IP4, 8585},
		{"0.0.0.0:0", "0.0.0.0", ADDR_IP4, 0},
		{"255.255.255.255:65535", "255.255.255.255", ADDR_IP4, 65535},
		{"[::1]:8585", "::1", ADDR_IP6, 8585},
		{"[2001:db8::7]:80", "2001:db8::7", ADDR_IP6, 80},
		{"[fe80::1%7]:80", "fe80::1%7", ADDR_IP6, 80},
		{"[::]:1", "::", ADDR_IP6, 1},
		{"[1111:2222:3333:4444:5555:6666:7777:8888%4294967295]:65535",
		 "1111:2222:3333:4444:5555:6666:7777:8888%4294967295", ADDR_IP6, 65535},
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		char text[ADDR_TEXT_MAX];
		struct addr a;
		size_t len = strlen(known[i].text);

		cr_assert(addr_parse(known[i].text, len, &a), "%s", known[i].text);
		cr_assert_eq(a.family, known[i].family);
		cr_assert_eq(a.port, known[i].port);
		cr_assert_eq(a.zero, 0);
		cr_assert_lt(len, ADDR_TEXT_MAX);
		cr_assert_eq(addr_format(&a, text), len);
		cr_assert_str_eq(text, known[i].text);
		cr_assert_eq(addr_format_ip(&a, text), strlen(known[i].ip));
		cr_assert_str_eq(text, known[i].ip);
	}
}

Test(addr, text_that_is_no_address)
{
	static const char *const texts[] = {
		"",
		"127.0.0.1",
		"127.0.0.1:",
		":80",
		"127.0.0.1:65536",
		"127.0.0.1:-1",
		"127.0.0.1:8x",
		"127.0.0:80",
		"localhost:80",
		"::1:80",
		"[::1]",
		"[::1:80",
		"::1]:80",
		"[]:80",
		"[127.0.0.1]:80",
		"[::g]:80",
		"[fe80::1%]:80",
		"[fe80::1%none-such]:80",
		"1.2.3.4%1:80",
		" 1.2.3.4:80",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct addr a;

		cr_assert_not(addr_parse(texts[i], strlen(texts[i]), &a), "%s", texts[i]);
	}
}

Test(addr, ip_without_port)
{
	struct addr a;

	cr_assert(addr_parse_ip("10.1.2.3", 8, 80, &a));
	cr_assert_eq(a.port, 80);
	cr_assert_eq(a.family, ADDR_IP4);
	cr_assert_arr_eq(a.ip, ((uint8_t[16]){10, 1, 2, 3}), 16, "the rest is zero");
	cr_assert(addr_parse_ip("::1", 3, 80, &a));
	cr_assert_eq(a.family, ADDR_IP6);
	cr_assert(addr_parse_ip("[::1]", 5, 80, &a));
	cr_assert_not(addr_parse_ip("::1:80:", 7, 80, &a));
	cr_assert_not(addr_parse_ip("name", 4, 80, &a));
	/* the length counts, not a NUL */
	cr_assert(addr_parse_ip("10.1.2.34", 8, 80, &a));
	cr_assert_eq(a.ip[3], 3);
}

Test(addr, sockaddr_and_back)
{
	static const char *const texts[] = {"127.0.0.1:8585", "[2001:db8::7]:80", "[fe80::1%7]:80"};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct addr a, b;
		struct sockaddr_storage ss;
		socklen_t len;

		cr_assert(addr_parse(texts[i], strlen(texts[i]), &a));
		len = addr_to_sockaddr(&a, &ss);
		cr_assert_eq(len, a.family == ADDR_IP4 ? sizeof(struct sockaddr_in)
						       : sizeof(struct sockaddr_in6));
		addr_from_sockaddr(&b, (struct sockaddr *)&ss);
		cr_assert_arr_eq(&a, &b, sizeof(a));
	}
}

Test(addr, mapped_ip6_is_ip4)
{
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(80)};
	struct addr a, b;

	inet_pton(AF_INET6, "::ffff:10.1.2.3", &in6.sin6_addr);
	addr_from_sockaddr(&a, (struct sockaddr *)&in6);
	cr_assert(addr_parse("10.1.2.3:80", 11, &b));
	cr_assert_arr_eq(&a, &b, sizeof(a));
}

Test(addr, other_families_are_none)
{
	struct sockaddr sa = {.sa_family = AF_UNIX};
	struct addr a;
	char text[ADDR_TEXT_MAX];

	memset(&a, 0xff, sizeof(a));
	addr_from_sockaddr(&a, &sa);
	cr_assert_eq(a.family, ADDR_NONE);
	cr_assert_eq(a.port, 0);
	cr_assert_eq(addr_format_ip(&a, text), 1);
	cr_assert_str_eq(text, "-");
	cr_assert_not(addr_is_loopback(&a));
	cr_assert_not(addr_is_wildcard(&a));
}

static struct addr parsed(const char *text)
{
	struct addr a;

	cr_assert(addr_parse(text, strlen(text), &a));
	return a;
}

Test(addr, comparison)
{
	struct addr a = parsed("[fe80::1%7]:80"), b = parsed("[fe80::1%8]:80");
	struct addr c = parsed("[fe80::1%7]:81");

	cr_assert(addr_equal(&a, &b), "the scope is no part of it");
	cr_assert_not(addr_equal(&a, &c));
	cr_assert_eq(addr_compare(&a, &b), 0);
	cr_assert_neq(addr_compare(&a, &c), 0);
	cr_assert_eq(addr_compare(&a, &c) < 0, addr_compare(&c, &a) > 0);
	a = parsed("1.2.3.4:5");
	b = parsed("[102:304::]:5");
	cr_assert_not(addr_equal(&a, &b), "the same bytes in another family");
}

Test(addr, loopback_and_wildcard)
{
	static const struct {
		const char *text;
		bool loopback, wildcard;
	} known[] = {
		{"127.0.0.1:1", true, false}, {"127.9.9.9:1", true, false},
		{"[::1]:1", true, false},     {"0.0.0.0:1", false, true},
		{"[::]:1", false, true},      {"128.0.0.1:1", false, false},
		{"[::2]:1", false, false},    {"[1::]:1", false, false},
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		struct addr a = parsed(known[i].text);

		cr_assert_eq(addr_is_loopback(&a), known[i].loopback, "%s", known[i].text);
		cr_assert_eq(addr_is_wildcard(&a), known[i].wildcard, "%s", known[i].text);
	}
}
