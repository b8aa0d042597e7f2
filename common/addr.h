/*
 * addr.h -- one end of a TCP connection: IPv4 or IPv6 address and port, as a value.
 *
 * Fixed size and free of padding, so that it may be compared with memcmp() and sent over the tap.
 * An IPv4-mapped IPv6 address is stored as the IPv4 address it maps.
 */
#ifndef COMMON_ADDR_H
#define COMMON_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "common/attrib.h"

enum addr_family {
	ADDR_NONE = 0,
	ADDR_IP4 = 4,
	ADDR_IP6 = 6,
};

struct addr {
	uint8_t ip[16];    /* network order; IPv4 in the first four, the rest zero */
	uint16_t port;     /* host order */
	uint8_t family;    /* enum addr_family */
	uint8_t zero;      /* always 0 */
	uint32_t scope_id; /* of a link-local IPv6 address, else 0; no part of addr_equal() */
};

#define ADDR_TEXT_MAX 60 /* "[...%4294967295]:65535" and the NUL */

/* Longest text of an addr; the NUL is written but not counted in the result. */
size_t addr_format(const struct addr *a, char out[ADDR_TEXT_MAX]);

/* The same without brackets and port: what X-Forwarded-For carries. */
size_t addr_format_ip(const struct addr *a, char out[ADDR_TEXT_MAX]);

/* "127.0.0.1:80", "[::1]:80", "[fe80::1%2]:80". Names are refused. */
bool addr_parse(const char *text, size_t len, struct addr *a) MUST_CHECK;

/* An address without port, brackets allowed around IPv6; port is set as given. */
bool addr_parse_ip(const char *text, size_t len, uint16_t port, struct addr *a) MUST_CHECK;

/* ADDR_NONE for any other family. */
void addr_from_sockaddr(struct addr *a, const struct sockaddr *sa);

/* Returns the length for bind() and connect(). */
socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *ss);

bool addr_is_loopback(const struct addr *a);
bool addr_is_wildcard(const struct addr *a);

static inline bool addr_equal(const struct addr *a, const struct addr *b)
{
	return memcmp(a, b, offsetof(struct addr, zero)) == 0;
}

/* Total order over what addr_equal() compares. */
static inline int addr_compare(const struct addr *a, const struct addr *b)
{
	return memcmp(a, b, offsetof(struct addr, zero));
}

#endif
