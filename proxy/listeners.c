/*
 * listeners.c -- bind and listen.
 *
 * SO_REUSEPORT is never set: it would let a second instance start silently. An IPv6 socket takes IPv6 only,
 * so that both wildcards can be bound.
 */
#include "proxy/listeners.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "proxy/conn.h"

#define LISTEN_BACKLOG 4096

/* The bound socket, or -1 with errno. */
static int bind_one(const struct addr *a)
{
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(a, &ss);
	int one = 1;
	int error;
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);

	if (fd < 0)
		return -1;
	conn_take_urgent(fd); /* what is accepted inherits it */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
	    (a->family != ADDR_IP6 ||
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) == 0) &&
	    bind(fd, (const struct sockaddr *)&ss, len) == 0)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

static bool lacks_ip6(int error)
{
	return error == EAFNOSUPPORT || error == EADDRNOTAVAIL;
}

bool listeners_bind(struct listeners *l, const struct config_proxy *cfg)
{
	char text[ADDR_TEXT_MAX];

	l->count = 0;
	for (uint32_t i = 0; i < cfg->listen_count; i++) {
		struct sockaddr_storage ss = {0};
		socklen_t len = sizeof(ss);
		struct addr want = cfg->listen[i].addr;
		int fd;

		/* Both halves of one listener get the same port when the kernel chooses it. */
		if (want.port == 0 && cfg->listen[i].optional && l->count > 0)
			want.port = l->addrs[l->count - 1].port;
		addr_format(&want, text);
		fd = bind_one(&want);
		if (fd < 0 && cfg->listen[i].optional && lacks_ip6(errno)) {
			log_notice("not listening on %s: %s", text, strerror(errno));
			continue;
		}
		if (fd < 0) {
			log_error("listen on %s: %s", text, strerror(errno));
			listeners_close(l);
			return false;
		}
		l->fds[l->count] = fd;
		l->tls[l->count] = cfg->listen[i].tls;
		l->addrs[l->count++] = want;
		if (getsockname(fd, (struct sockaddr *)&ss, &len) != 0) {
			log_error("listen on %s: its address: %s", text, strerror(errno));
			listeners_close(l);
			return false;
		}
		addr_from_sockaddr(&l->addrs[l->count - 1], (const struct sockaddr *)&ss);
	}
	if (l->count > 0)
		return true;
	log_error("there is no address to listen on");
	return false;
}

bool listeners_listen(struct listeners *l)
{
	char text[ADDR_TEXT_MAX];

	for (unsigned i = 0; i < l->count; i++) {
		addr_format(&l->addrs[i], text);
		if (listen(l->fds[i], LISTEN_BACKLOG) != 0) {
			log_error("listen on %s: %s", text, strerror(errno));
			return false;
		}
	}
	for (unsigned i = 0; i < l->count; i++) {
		addr_format(&l->addrs[i], text);
		log_notice("listening on %s://%s", l->tls[i] ? "https" : "http", text);
	}
	return true;
}

void listeners_close(struct listeners *l)
{
	for (unsigned i = 0; i < l->count; i++)
		close(l->fds[i]);
	l->count = 0;
}
