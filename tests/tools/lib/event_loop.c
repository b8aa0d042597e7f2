/*
 * event_loop.c -- an epoll loop that ends on SIGTERM, SIGINT or when it is told to.
 *
 * Keeps nothing but the signal's descriptor; the watched objects belong to the tool.
 */
#include "tests/tools/lib/event_loop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

#define EVENTS_MAX 256

static bool ended;

static void on_signal(struct watched *w, uint32_t events)
{
	(void)w;
	(void)events;
	ended = true;
}

void event_loop_end(void)
{
	ended = true;
}

bool event_loop_add(int epoll, struct watched *w, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.ptr = w};

	return epoll_ctl(epoll, EPOLL_CTL_ADD, w->fd, &e) == 0;
}

int event_loop_open(void)
{
	static struct watched signals = {.ready = on_signal};
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (epoll < 0 || pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
		return -1;
	signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals.fd < 0 || !event_loop_add(epoll, &signals, EPOLLIN))
		return -1;
	return epoll;
}

void event_loop_run(int epoll, void (*idle)(void), const bool *busy)
{
	struct epoll_event events[EVENTS_MAX];

	while (!ended) {
		int n = epoll_wait(epoll, events, EVENTS_MAX, *busy ? 0 : -1);

		if (n < 0 && errno != EINTR)
			return;
		for (int i = 0; i < n; i++) {
			struct watched *w = events[i].data.ptr;

			w->ready(w, events[i].events);
		}
		idle();
	}
}
