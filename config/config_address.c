/*
 * config_address.c -- reads the addresses of listeners and of the backend.
 *
 * Text in, values out: never looks a name up and opens no socket.
 *
 * Invariant: a value that is refused leaves the configuration as it was.
 */
#include "config/config_address.h"

#include <stdio.h>
#include <string.h>

#define HOST_TEXT_MAX   253 /* RFC 1035 section 2.3.4, without the root's dot */
#define LABEL_MAX       63
#define HTTP_PORT       80
#define HTTPS_PORT      443
#define PORT_DIGITS_MAX 5

/* The pieces of [SCHEME://]HOST[:PORT], pointing into the value. */
struct url {
	bool scheme; /* there was one */
	bool tls;
	bool brackets; /* around host, which is without them */
	const char *host;
	size_t host_len;
	int port; /* -1: not given */
};

static bool all_digits(const char *text, size_t len)
{
	return len > 0 && strspn(text, "0123456789") >= len;
}

static bool port_parse(const char *text, size_t len, int *port)
{
	int v = 0;

	if (!all_digits(text, len) || len > PORT_DIGITS_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		v = v * 10 + (text[i] - '0');
	if (v > UINT16_MAX)
		return false;
	*port = v;
	return true;
}

static const char *url_scheme(struct url *u, const char *value, const char **rest)
{
	const char *sep = strstr(value, "://");

	*rest = value;
	if (sep == NULL)
		return NULL;
	u->scheme = true;
	*rest = sep + 3;
	if (strncasecmp(value, "http://", 7) == 0)
		return NULL;
	u->tls = true;
	if (strncasecmp(value, "https://", 8) == 0)
		return NULL;
	return "only http:// and https:// are known";
}

/* HOST[:PORT] in text[0, len). */
static const char *url_authority(struct url *u, const char *text, size_t len)
{
	const char *end;

	if (len > 0 && text[0] == '[') {
		end = memchr(text, ']', len);
		if (end == NULL)
			return "the closing bracket of the IPv6 address is missing";
		u->brackets = true;
		u->host = text + 1;
		u->host_len = (size_t)(end - u->host);
		end++;
	} else {
		end = memchr(text, ':', len);
		if (end != NULL && memrchr(text, ':', len) != end)
			return "an IPv6 address stands in brackets: [::1]:8585";
		if (end == NULL)
			end = text + len;
		u->host = text;
		u->host_len = (size_t)(end - text);
	}
	if (end == text + len)
		return NULL;
	if (*end != ':' || !port_parse(end + 1, (size_t)(text + len - end - 1), &u->port))
		return "the port is a whole number up to 65535";
	return NULL;
}

/* NULL, or what is wrong. */
static const char *url_split(struct url *u, const char *value)
{
	const char *text;
	const char *why;
	size_t len;

	*u = (struct url){.port = -1};
	why = url_scheme(u, value, &text);
	if (why != NULL)
		return why;
	len = strcspn(text, "/?#");
	if (memchr(text, '@', len) != NULL)
		return "no user name or password may stand in it";
	if (text[len] != '\0' && !(u->scheme && strcmp(text + len, "/") == 0))
		return "no path, query or fragment may stand in it";
	why = url_authority(u, text, len);
	if (why == NULL && u->port < 0 && u->scheme)
		u->port = u->tls ? HTTPS_PORT : HTTP_PORT;
	return why;
}

/* An address as it stood in a URL; RFC 6874 writes the % before a zone as %25. */
static bool url_address(const struct url *u, struct addr *a)
{
	char text[CONFIG_NAME_MAX];
	char *zone;
	size_t len = u->host_len;

	if (len == 0 || len >= sizeof(text))
		return false;
	memcpy(text, u->host, len);
	text[len] = '\0';
	if (!u->brackets)
		return strchr(text, ':') == NULL && addr_parse_ip(text, len, (uint16_t)u->port, a);
	zone = strstr(text, "%25");
	if (zone != NULL && zone[3] != '\0') {
		memmove(zone + 1, zone + 3, strlen(zone + 3) + 1);
		len -= 2;
	}
	return addr_parse_ip(text, len, (uint16_t)u->port, a) && a->family == ADDR_IP6;
}

static bool url_host_is(const struct url *u, const char *name)
{
	return !u->brackets && u->host_len == strlen(name) &&
	       strncasecmp(u->host, name, u->host_len) == 0;
}

static struct config_listen listen_entry(const struct url *u, enum addr_family family, uint8_t last)
{
	struct config_listen l = {.tls = u->tls};

	l.addr.family = (uint8_t)family;
	l.addr.port = (uint16_t)u->port;
	if (family == ADDR_IP4 && last != 0) {
		l.addr.ip[0] = 127;
		l.addr.ip[3] = last;
	} else {
		l.addr.ip[15] = last;
	}
	l.optional = family == ADDR_IP6;
	return l;
}

/* Binding both would fail, or one would hide the other. */
static bool listen_overlaps(const struct config_listen *a, const struct config_listen *b)
{
	if (a->addr.family != b->addr.family || a->addr.port != b->addr.port || a->addr.port == 0)
		return false;
	if (addr_is_wildcard(&a->addr) || addr_is_wildcard(&b->addr))
		return true;
	return addr_equal(&a->addr, &b->addr) && a->addr.scope_id == b->addr.scope_id;
}

static const char *listen_append(struct config_proxy *p, const struct config_listen *entries,
				 uint32_t count)
{
	if (p->listen_count + count > CONFIG_LISTEN_MAX)
		return "too many listeners, there may be 16 addresses";
	for (uint32_t i = 0; i < count; i++)
		for (uint32_t k = 0; k < p->listen_count; k++)
			if (listen_overlaps(&entries[i], &p->listen[k]))
				return "an earlier listen covers the same address and port";
	memcpy(p->listen + p->listen_count, entries, count * sizeof(*entries));
	p->listen_count += count;
	return NULL;
}

const char *config_listen_add(struct config_proxy *p, const char *value)
{
	struct config_listen entries[2] = {0};
	const char *why;
	struct url u;
	uint8_t last;

	why = url_split(&u, value);
	if (why != NULL)
		return why;
	if (!u.scheme && u.port < 0 && !u.brackets && port_parse(u.host, u.host_len, &u.port))
		u.host_len = 0;
	if (u.port < 0)
		return "a port is missing: ADDR:PORT, or PORT for all addresses";
	if (u.brackets ||
	    !(u.host_len == 0 || url_host_is(&u, "*") || url_host_is(&u, "localhost"))) {
		entries[0].tls = u.tls;
		if (!url_address(&u, &entries[0].addr))
			return "an address of this machine is expected (or * for all, or "
			       "localhost), then :PORT";
		return listen_append(p, entries, 1);
	}
	last = url_host_is(&u, "localhost");
	entries[0] = listen_entry(&u, ADDR_IP4, last);
	entries[1] = listen_entry(&u, ADDR_IP6, last);
	return listen_append(p, entries, 2);
}

/* Letters, digits, - and _ in labels of 1 to 63; one dot may end it. */
static bool name_valid(const char *name, size_t len)
{
	size_t label = 0;

	if (len > 0 && name[len - 1] == '.')
		len--;
	if (len == 0 || len > HOST_TEXT_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		char ch = name[i];

		if (ch == '.') {
			if (label == 0)
				return false;
			label = 0;
			continue;
		}
		if (!((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || ch == '-' ||
		      ch == '_' || (ch >= '0' && ch <= '9')))
			return false;
		if (++label > LABEL_MAX)
			return false;
	}
	return label > 0;
}

/* "127.1", "256.1.1.1" and "8080" are mistyped addresses: no top-level domain is a number. */
static bool name_ends_in_number(const char *name, size_t len)
{
	const char *dot;

	if (len > 0 && name[len - 1] == '.')
		len--;
	dot = memrchr(name, '.', len);
	if (dot == NULL)
		return all_digits(name, len);
	return all_digits(dot + 1, (size_t)(name + len - dot - 1));
}

/* What the Host field says: the zone of an address is nobody else's business (RFC 6874 section 1). */
static void backend_authority(struct config_backend *b, bool brackets)
{
	int host_len = (int)strcspn(b->host, brackets ? "%" : "");
	const char *open = brackets ? "[" : "";
	const char *close = brackets ? "]" : "";

	if (b->port == (b->tls ? HTTPS_PORT : HTTP_PORT))
		snprintf(b->authority, sizeof(b->authority), "%s%.*s%s", open, host_len, b->host,
			 close);
	else
		snprintf(b->authority, sizeof(b->authority), "%s%.*s%s:%u", open, host_len, b->host,
			 close, (unsigned)b->port);
}

const char *config_backend_parse(struct config_backend *b, const char *value)
{
	struct config_backend r = {0};
	const char *why;
	struct url u;

	why = url_split(&u, value);
	if (why != NULL)
		return why;
	if (u.host_len == 0)
		return "a host is missing: http://HOST[:PORT]";
	if (u.port < 0)
		return "a port is missing: HOST:PORT, or http://HOST for port 80";
	if (u.port == 0)
		return "port 0 cannot be connected to";
	r.literal = url_address(&u, &r.addr);
	if (!r.literal) {
		if (u.brackets)
			return "no valid IPv6 address stands in the brackets";
		if (name_ends_in_number(u.host, u.host_len))
			return "the host is neither a name nor a whole IPv4 address";
		if (!name_valid(u.host, u.host_len))
			return "the host is not a valid name: http://HOST[:PORT]";
	}
	memcpy(r.host, u.host, u.host_len);
	r.port = (uint16_t)u.port;
	r.tls = u.tls;
	backend_authority(&r, u.brackets);
	*b = r;
	return NULL;
}
