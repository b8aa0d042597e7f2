/*
 * acceptor.c -- accept(), its errors, and its pauses.
 *
 * Never spins: when accept() fails for lack of something, the listeners rest for 100 ms.
 */
#include "proxy/acceptor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/event.h>

#include "common/clock.h"
#include "common/log.h"
#include "proxy/listeners.h"

#define ACCEPT_BATCH     64
#define ACCEPT_STOP_MOST (64 * ACCEPT_BATCH)
#define ACCEPT_PAUSE_MS  100

struct listener {
	struct acceptor *owner;
	struct event *event;
	int fd;
	bool tls;
	bool wildcard; /* the local address differs per connection */
	struct addr local;
};

struct acceptor {
	struct event_base *base;
	struct acceptor_calls calls;
	struct event *pause;
	struct listener *listeners;
	unsigned count;
	bool running;
	bool resting;
	uint64_t said_ns; /* last time the lack was said */
};

static void acceptor_rest(struct acceptor *a)
{
	struct timeval delay = {0, ACCEPT_PAUSE_MS * 1000L};

	if (a->resting)
		return;
	a->resting = true;
	for (unsigned i = 0; i < a->count; i++)
		event_del(a->listeners[i].event);
	event_add(a->pause, &delay);
}

static void acceptor_lacks(struct acceptor *a, int error)
{
	uint64_t now_ns = clock_mono_ns();

	if (a->said_ns == 0 || now_ns - a->said_ns > 10 * NS_PER_S) {
		a->said_ns = now_ns;
		log_warning("accept: %s; pausing for %d ms at a time", strerror(error),
			    ACCEPT_PAUSE_MS);
	}
	acceptor_rest(a);
}

static void acceptor_resume(evutil_socket_t fd, short what, void *arg)
{
	struct acceptor *a = arg;

	(void)fd;
	(void)what;
	a->resting = false;
	if (!a->running)
		return;
	for (unsigned i = 0; i < a->count; i++) {
		errno = 0;
		if (event_add(a->listeners[i].event, NULL) != 0) {
			acceptor_lacks(a, errno != 0 ? errno : ENOMEM);
			return;
		}
	}
}

static void local_address(const struct listener *l, int fd, struct addr *local)
{
	struct sockaddr_storage ss = {0};
	socklen_t len = sizeof(ss);

	*local = l->local;
	if (l->wildcard && getsockname(fd, (struct sockaddr *)&ss, &len) == 0)
		addr_from_sockaddr(local, (const struct sockaddr *)&ss);
}

/*
 * What a failed accept means: true, this connection is gone, go on with the next (accept(2) lists the
 * errors of the network that a new socket may bring along); false: no more now.
 */
static bool listener_accept_failed(struct acceptor *a, int error)
{
	switch (error) {
	case EAGAIN:
		return false;
	case EINTR:
	case ECONNABORTED:
	case EPERM:
	case EPROTO:
	case ENOPROTOOPT:
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ENONET:
	case EOPNOTSUPP:
		return true;
	default:
		/* EMFILE, ENFILE, ENOBUFS, ENOMEM: it will not be better at once. */
		acceptor_lacks(a, error);
		return false;
	}
}

/* One connection. False: no more now. */
static bool listener_accept(struct listener *l)
{
	struct acceptor *a = l->owner;
	struct sockaddr_storage ss = {0};
	socklen_t len = sizeof(ss);
	struct accepted c = {.tls = l->tls};

	if (!a->calls.room(a->calls.arg)) {
		acceptor_rest(a);
		return false;
	}
	c.fd = accept4(l->fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (c.fd < 0)
		return listener_accept_failed(a, errno);
	addr_from_sockaddr(&c.peer, (const struct sockaddr *)&ss);
	local_address(l, c.fd, &c.local);
	c.opened_ns = clock_real_ns();
	a->calls.accepted(a->calls.arg, &c);
	return true;
}

static void listener_event(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;

	(void)fd;
	(void)what;
	for (int i = 0; i < ACCEPT_BATCH; i++)
		if (!listener_accept(l))
			return;
}

static bool listener_init(struct listener *l, struct acceptor *a, int fd, bool tls)
{
	struct sockaddr_storage ss = {0};
	socklen_t len = sizeof(ss);

	l->owner = a;
	l->fd = fd;
	l->tls = tls;
	if (getsockname(fd, (struct sockaddr *)&ss, &len) == 0)
		addr_from_sockaddr(&l->local, (const struct sockaddr *)&ss);
	l->wildcard = addr_is_wildcard(&l->local);
	l->event = event_new(a->base, fd, EV_READ | EV_PERSIST, listener_event, l);
	return l->event != NULL;
}

struct acceptor *acceptor_new(struct event_base *base, const struct listeners *listeners,
			      const struct acceptor_calls *calls)
{
	struct acceptor *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return NULL;
	a->base = base;
	a->calls = *calls;
	a->pause = evtimer_new(base, acceptor_resume, a);
	a->listeners = calloc(listeners->count, sizeof(*a->listeners));
	if (a->pause == NULL || a->listeners == NULL)
		goto fail;
	for (unsigned i = 0; i < listeners->count; i++) {
		if (!listener_init(&a->listeners[i], a, listeners->fds[i], listeners->tls[i]))
			goto fail;
		a->count++;
	}
	return a;
fail:
	acceptor_free(a);
	return NULL;
}

void acceptor_free(struct acceptor *a)
{
	if (a == NULL)
		return;
	for (unsigned i = 0; a->listeners != NULL && i < a->count; i++)
		event_free(a->listeners[i].event);
	if (a->pause != NULL)
		event_free(a->pause);
	free(a->listeners);
	free(a);
}

void acceptor_start(struct acceptor *a)
{
	a->running = true;
	acceptor_resume(-1, 0, a);
}

void acceptor_stop(struct acceptor *a)
{
	if (!a->running)
		return;
	a->running = false;
	/* Connections that the kernel has made already would be reset when the socket closes. */
	for (unsigned i = 0; i < a->count; i++)
		for (int n = 0; n < ACCEPT_STOP_MOST && listener_accept(&a->listeners[i]); n++)
			;
	for (unsigned i = 0; i < a->count; i++) {
		event_del(a->listeners[i].event);
		/* From now on a connection is refused; the descriptor is the owner's. */
		(void)shutdown(a->listeners[i].fd, SHUT_RDWR);
	}
	event_del(a->pause);
}
