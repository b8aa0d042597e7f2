/*
 * capture_route.c -- interfaces by address and by route, from getifaddrs() and rtnetlink.
 *
 * Sends no packet and keeps no socket open.
 */
#include "trace/capture_route.h"

#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "common/cursor.h"

#define REPLY_MAX 32768

/* ---- rtnetlink ---- */

/* Ask the kernel; its answer without the message header, failed when it is not of that type. */
static struct cursor ask_kernel(const void *request, size_t len, uint16_t type,
				uint8_t reply[REPLY_MAX])
{
	struct timeval patience = {.tv_sec = 2};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct cursor c = {.failed = true};
	struct nlmsghdr head;
	ssize_t n = -1;

	if (fd < 0)
		return c;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (send(fd, request, len, 0) == (ssize_t)len)
		n = recv(fd, reply, REPLY_MAX, 0);
	close(fd);
	if (n < (ssize_t)sizeof(head))
		return c;
	memcpy(&head, reply, sizeof(head));
	if (head.nlmsg_type != type || head.nlmsg_len > (size_t)n)
		return c;
	c = cursor_of(reply, head.nlmsg_len);
	cursor_skip(&c, NLMSG_HDRLEN);
	return c;
}

/* The 32-bit attribute of that type, or 0. */
static uint32_t find_attribute(struct cursor c, uint16_t type)
{
	while (cursor_left(&c) >= sizeof(struct rtattr)) {
		uint16_t len = cursor_native16(&c), found = cursor_native16(&c);
		struct cursor value;

		if (len < sizeof(struct rtattr))
			return 0;
		value = cursor_sub(&c, len - sizeof(struct rtattr));
		if (found == type)
			return cursor_native32(&value);
		cursor_skip(&c, MIN(-len & 3U, cursor_left(&c)));
	}
	return 0;
}

enum route {
	ROUTE_NONE,
	ROUTE_LOCAL,
	ROUTE_OUT,
};

static enum route find_route(const struct addr *a, char name[IF_NAMESIZE])
{
	struct {
		struct nlmsghdr head;
		struct rtmsg route;
		struct rtattr attribute;
		uint8_t ip[16];
	} ask = {0};
	unsigned ip_len = a->family == ADDR_IP4 ? 4 : 16;
	uint8_t reply[REPLY_MAX];
	struct rtmsg answer;
	const uint8_t *bytes;
	struct cursor c;

	ask.head.nlmsg_len = (uint32_t)(offsetof(__typeof__(ask), ip) + ip_len);
	ask.head.nlmsg_type = RTM_GETROUTE;
	ask.head.nlmsg_flags = NLM_F_REQUEST;
	ask.route.rtm_family = a->family == ADDR_IP4 ? AF_INET : AF_INET6;
	ask.route.rtm_dst_len = (unsigned char)(ip_len * 8);
	ask.attribute.rta_type = RTA_DST;
	ask.attribute.rta_len = (unsigned short)(sizeof(ask.attribute) + ip_len);
	memcpy(ask.ip, a->ip, ip_len);
	c = ask_kernel(&ask, ask.head.nlmsg_len, RTM_NEWROUTE, reply);
	bytes = cursor_take(&c, sizeof(answer));
	if (bytes == NULL)
		return ROUTE_NONE;
	memcpy(&answer, bytes, sizeof(answer));
	if (answer.rtm_type == RTN_LOCAL)
		return ROUTE_LOCAL;
	return if_indextoname(find_attribute(c, RTA_OIF), name) != NULL ? ROUTE_OUT : ROUTE_NONE;
}

/* True for a port of a bridge or bond: its packets are the master's too. */
static bool has_master(const char *name)
{
	struct {
		struct nlmsghdr head;
		struct ifinfomsg link;
	} ask = {0};
	uint8_t reply[REPLY_MAX];
	struct cursor c;

	ask.head.nlmsg_len = sizeof(ask);
	ask.head.nlmsg_type = RTM_GETLINK;
	ask.head.nlmsg_flags = NLM_F_REQUEST;
	ask.link.ifi_index = (int)if_nametoindex(name);
	c = ask_kernel(&ask, sizeof(ask), RTM_NEWLINK, reply);
	cursor_skip(&c, sizeof(struct ifinfomsg));
	return !c.failed && find_attribute(c, IFLA_MASTER) != 0;
}

/* ---- names ---- */

bool capture_add_name(struct capture_names *names, const char *name, bool needed)
{
	for (unsigned i = 0; i < names->count; i++) {
		if (strcmp(names->name[i], name) == 0) {
			names->needed[i] |= needed;
			return true;
		}
	}
	if (names->count == CAPTURE_MAX || strlen(name) >= IF_NAMESIZE)
		return false;
	strcpy(names->name[names->count], name);
	names->needed[names->count] = needed;
	names->count++;
	return true;
}

static bool add_loopback(struct capture_names *names, const struct ifaddrs *all, bool needed)
{
	for (const struct ifaddrs *i = all; i != NULL; i = i->ifa_next)
		if ((i->ifa_flags & IFF_LOOPBACK) && (i->ifa_flags & IFF_UP))
			return capture_add_name(names, i->ifa_name, needed);
	return true;
}

static bool add_all(struct capture_names *names, const struct ifaddrs *all)
{
	for (const struct ifaddrs *i = all; i != NULL; i = i->ifa_next)
		if ((i->ifa_flags & IFF_UP) && !has_master(i->ifa_name) &&
		    !capture_add_name(names, i->ifa_name, false))
			return false;
	return true;
}

/* The interface that has the address. Who connects from this machine comes through loopback. */
static bool add_owner(struct capture_names *names, const struct ifaddrs *all, const struct addr *a)
{
	for (const struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
		struct addr own = {0};

		if (i->ifa_addr != NULL)
			addr_from_sockaddr(&own, i->ifa_addr);
		own.port = a->port;
		if (addr_equal(&own, a) && (own.scope_id == a->scope_id || a->scope_id == 0) &&
		    !capture_add_name(names, i->ifa_name, true))
			return false;
	}
	return true;
}

static bool add_peer(struct capture_names *names, const struct ifaddrs *all, const struct addr *a)
{
	char name[IF_NAMESIZE];

	if (addr_is_loopback(a) || addr_is_wildcard(a))
		return add_loopback(names, all, true);
	if (a->scope_id != 0)
		return if_indextoname(a->scope_id, name) == NULL ||
		       capture_add_name(names, name, true);
	switch (find_route(a, name)) {
	case ROUTE_LOCAL:
		return add_loopback(names, all, true);
	case ROUTE_OUT:
		return capture_add_name(names, name, true);
	default:
		return true;
	}
}

static bool add_endpoint(struct capture_names *names, const struct ifaddrs *all,
			 const struct capture_endpoint *e)
{
	if (!e->listener)
		return add_peer(names, all, &e->addr);
	if (addr_is_wildcard(&e->addr))
		return add_all(names, all);
	if (addr_is_loopback(&e->addr))
		return add_loopback(names, all, true);
	return add_owner(names, all, &e->addr) && add_loopback(names, all, false);
}

bool capture_find_interfaces(const struct capture_endpoint *endpoints, unsigned count,
			     struct capture_names *names, char err[CAPTURE_ERROR_MAX])
{
	struct ifaddrs *all;
	bool fits = true;

	*names = (struct capture_names){0};
	if (getifaddrs(&all) != 0) {
		snprintf(err, CAPTURE_ERROR_MAX, "cannot list the interfaces: %m");
		return false;
	}
	for (unsigned i = 0; i < count && fits; i++)
		fits = add_endpoint(names, all, &endpoints[i]);
	freeifaddrs(all);
	if (!fits)
		snprintf(err, CAPTURE_ERROR_MAX,
			 "more than %d interfaces could be captured: name those that matter "
			 "(interfaces in section [trace])",
			 CAPTURE_MAX);
	else if (names->count == 0)
		snprintf(err, CAPTURE_ERROR_MAX,
			 "no interface leads to the proxy's addresses: name those to capture "
			 "(interfaces in section [trace])");
	return fits && names->count > 0;
}

bool capture_is_loopback(const char *name)
{
	struct ifaddrs *all;
	bool found = false;

	if (getifaddrs(&all) != 0)
		return false;
	for (const struct ifaddrs *i = all; i != NULL && !found; i = i->ifa_next)
		found = (i->ifa_flags & IFF_LOOPBACK) && strcmp(i->ifa_name, name) == 0;
	freeifaddrs(all);
	return found;
}

/* ---- own addresses ---- */

static int compare_addrs(const void *a, const void *b)
{
	return addr_compare(a, b);
}

void capture_locals_read(struct capture_locals *l)
{
	struct ifaddrs *all;
	struct addr *addrs;
	unsigned count = 0;

	if (getifaddrs(&all) != 0)
		return;
	for (const struct ifaddrs *i = all; i != NULL; i = i->ifa_next)
		count++;
	addrs = calloc(count + 1, sizeof(*addrs));
	if (addrs != NULL) {
		count = 0;
		for (const struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
			if (i->ifa_addr != NULL)
				addr_from_sockaddr(&addrs[count], i->ifa_addr);
			if (addrs[count].family != ADDR_NONE)
				count++;
		}
		qsort(addrs, count, sizeof(*addrs), compare_addrs);
		free(l->addrs);
		l->addrs = addrs;
		l->count = count;
	}
	freeifaddrs(all);
}

void capture_locals_fini(struct capture_locals *l)
{
	free(l->addrs);
	*l = (struct capture_locals){0};
}

bool capture_locals_have(const struct capture_locals *l, const struct addr *a)
{
	struct addr wanted = *a;

	wanted.port = 0;
	return l->count > 0 &&
	       bsearch(&wanted, l->addrs, l->count, sizeof(wanted), compare_addrs) != NULL;
}
