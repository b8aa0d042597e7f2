/*
 * addr.c -- addresses to and from text and the socket API.
 *
 * Never resolves a name: text that is no literal address is refused.
 */
#include "common/addr.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>

#include "common/put.h"

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static size_t put_u32(char *out, uint32_t value)
{
	return (size_t)(put_decimal(out, value) - out);
}

/* By hand: inet_ntop() goes through printf, which costs a tenth of a request in the proxy. */
static size_t put_ip4(char *out, const uint8_t ip[4])
{
	char *p = put_decimal(out, ip[0]);

	for (unsigned i = 1; i < 4; i++) {
		*p++ = '.';
		p = put_decimal(p, ip[i]);
	}
	return (size_t)(p - out);
}

size_t addr_format_ip(const struct addr *a, char out[ADDR_TEXT_MAX])
{
	size_t n;

	if (a->family == ADDR_NONE) {
		out[0] = '-';
		out[1] = '\0';
		return 1;
	}
	if (a->family == ADDR_IP4) {
		n = put_ip4(out, a->ip);
		out[n] = '\0';
		return n;
	}
	inet_ntop(AF_INET6, a->ip, out, ADDR_TEXT_MAX);
	n = strlen(out);
	if (a->scope_id != 0) {
		out[n++] = '%';
		n += put_u32(out + n, a->scope_id);
		out[n] = '\0';
	}
	return n;
}

size_t addr_format(const struct addr *a, char out[ADDR_TEXT_MAX])
{
	size_t n = 0;

	if (a->family == ADDR_IP6) {
		char ip[ADDR_TEXT_MAX];
		size_t len = addr_format_ip(a, ip);

		out[n++] = '[';
		memcpy(out + n, ip, len);
		n += len;
		out[n++] = ']';
	} else {
		n = addr_format_ip(a, out);
	}
	out[n++] = ':';
	n += put_u32(out + n, a->port);
	out[n] = '\0';
	return n;
}

static bool parse_u32(const char *text, size_t len, uint32_t max, uint32_t *value)
{
	uint64_t v = 0;

	if (len == 0 || len > 10)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(text[i] - '0');
	}
	if (v > max)
		return false;
	*value = (uint32_t)v;
	return true;
}

static bool parse_scope(const char *text, size_t len, uint32_t *scope)
{
	char name[IF_NAMESIZE];

	if (parse_u32(text, len, UINT32_MAX, scope))
		return *scope != 0;
	if (len == 0 || len >= sizeof(name))
		return false;
	memcpy(name, text, len);
	name[len] = '\0';
	*scope = if_nametoindex(name);
	return *scope != 0;
}

bool addr_parse_ip(const char *text, size_t len, uint16_t port, struct addr *a)
{
	char ip[INET6_ADDRSTRLEN];
	const char *percent;
	struct addr r = {.port = port};

	if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
		r.family = ADDR_IP6;
	}
	percent = memchr(text, '%', len);
	if (percent != NULL) {
		if (!parse_scope(percent + 1, len - (size_t)(percent + 1 - text), &r.scope_id))
			return false;
		len = (size_t)(percent - text);
	}
	if (len == 0 || len >= sizeof(ip))
		return false;
	memcpy(ip, text, len);
	ip[len] = '\0';
	if (r.family == ADDR_NONE && percent == NULL && inet_pton(AF_INET, ip, r.ip) == 1)
		r.family = ADDR_IP4;
	else if (inet_pton(AF_INET6, ip, r.ip) == 1)
		r.family = ADDR_IP6;
	else
		return false;
	*a = r;
	return true;
}

bool addr_parse(const char *text, size_t len, struct addr *a)
{
	const char *colon = memrchr(text, ':', len);
	uint32_t port;
	size_t host;

	if (colon == NULL)
		return false;
	host = (size_t)(colon - text);
	if (!parse_u32(colon + 1, len - host - 1, 65535, &port))
		return false;
	if (host > 0 && text[0] != '[' && memchr(text, ':', host) != NULL)
		return false;
	return addr_parse_ip(text, host, (uint16_t)port, a);
}

void addr_from_sockaddr(struct addr *a, const struct sockaddr *sa)
{
	*a = (struct addr){0};
	if (sa->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, sa, sizeof(in));
		a->family = ADDR_IP4;
		a->port = ntohs(in.sin_port);
		memcpy(a->ip, &in.sin_addr, 4);
	} else if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, sa, sizeof(in6));
		a->port = ntohs(in6.sin6_port);
		if (memcmp(&in6.sin6_addr, mapped_prefix, sizeof(mapped_prefix)) == 0) {
			a->family = ADDR_IP4;
			memcpy(a->ip, in6.sin6_addr.s6_addr + 12, 4);
		} else {
			a->family = ADDR_IP6;
			a->scope_id = in6.sin6_scope_id;
			memcpy(a->ip, &in6.sin6_addr, 16);
		}
	}
}

socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *ss)
{
	memset(ss, 0, sizeof(*ss));
	if (a->family == ADDR_IP4) {
		struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(a->port)};

		memcpy(&in.sin_addr, a->ip, 4);
		memcpy(ss, &in, sizeof(in));
		return sizeof(in);
	}
	struct sockaddr_in6 in6 = {
		.sin6_family = AF_INET6, .sin6_port = htons(a->port), .sin6_scope_id = a->scope_id};

	memcpy(&in6.sin6_addr, a->ip, 16);
	memcpy(ss, &in6, sizeof(in6));
	return sizeof(in6);
}

bool addr_is_loopback(const struct addr *a)
{
	static const uint8_t one[16] = {[15] = 1};

	if (a->family == ADDR_IP4)
		return a->ip[0] == 127;
	return a->family == ADDR_IP6 && memcmp(a->ip, one, 16) == 0;
}

bool addr_is_wildcard(const struct addr *a)
{
	static const uint8_t zero[16];

	return a->family != ADDR_NONE && memcmp(a->ip, zero, 16) == 0;
}
