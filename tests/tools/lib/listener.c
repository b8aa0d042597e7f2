/*
 * listener.c -- open, bind and announce a listening socket.
 *
 * Resolves no names: tests run on literal addresses, and mostly on loopback.
 */
#include "tests/tools/lib/listener.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int listener_bind(const struct addr *at)
{
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(at, &ss);
	int one = 1;
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
	    bind(fd, (struct sockaddr *)&ss, len) == 0 && listen(fd, 4096) == 0)
		return fd;
	close(fd);
	return -1;
}

static void listener_announce(int fd)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	char text[ADDR_TEXT_MAX];
	struct addr at;

	memset(&ss, 0, sizeof(ss));
	getsockname(fd, (struct sockaddr *)&ss, &len);
	addr_from_sockaddr(&at, (struct sockaddr *)&ss);
	addr_format(&at, text);
	printf("listening on %s\n", text);
	fflush(stdout);
}

int listener_open(const char *program, const char *address, uint16_t port)
{
	struct addr at;
	int fd;

	if (!addr_parse_ip(address, strlen(address), port, &at)) {
		fprintf(stderr, "%s: --listen %s: not an IP address\n", program, address);
		return -1;
	}
	fd = listener_bind(&at);
	if (fd < 0) {
		fprintf(stderr, "%s: cannot listen on %s port %u: %s\n", program, address, port,
			strerror(errno));
		return -1;
	}
	listener_announce(fd);
	return fd;
}
