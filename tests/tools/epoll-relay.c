/*
 * epoll-relay.c -- a bare TCP relay: the floor that the bench measures a proxy against.
 *
 * One backend connection per client connection; bytes pass through a 64 KiB buffer in as few
 * system calls as a relay can make (wait, read, write). It knows nothing of HTTP, keeps no log and
 * no timers. One thread, edge-triggered epoll, sockets registered once.
 *
 * Invariant: a side is read only while the other side has taken everything read before.
 */
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/tools/lib/event_loop.h"
#include "tests/tools/lib/listener.h"
#include "tests/tools/lib/options.h"

#define PROGRAM      "epoll-relay"
#define READ_BYTES   65536
#define READS_AT_ONE 64 /* then the others get their turn */

struct pair;

/* One socket and the way from it to the other side. */
struct side {
	struct watched watched; /* first */
	struct pair *pair;
	struct side *other;
	char *kept; /* read here, not yet taken by the other side; NULL: nothing */
	size_t kept_off;
	size_t kept_len;
	bool connected;
	bool readable; /* may have more to read */
	bool hup;      /* the peer's FIN is in the socket, perhaps behind bytes */
	bool eof;      /* read here */
	bool eof_told; /* to the other side */
};

struct pair {
	struct side client;
	struct side backend;
	struct pair *next; /* in the list of the dead or of those that have work left */
	LIST_ENTRY(pair) live;
	bool dead;
	bool queued;
};

static int epoll_fd;
static struct sockaddr_storage backend_addr;
static socklen_t backend_len;
static LIST_HEAD(, pair) live_list;
static struct pair *dead_list;
static struct pair *work_list;
static bool work_left;
static char scratch[READ_BYTES];

static void pair_end(struct pair *p)
{
	if (p->dead)
		return;
	p->dead = true;
	close(p->client.watched.fd);
	close(p->backend.watched.fd);
}

static void pair_free(struct pair *p)
{
	LIST_REMOVE(p, live);
	free(p->client.kept);
	free(p->backend.kept);
	free(p);
}

/* ---- moving bytes ---- */

/* Give the other side what it did not take before. True: nothing is kept any more. */
static bool kept_flush(struct side *from)
{
	ssize_t n;

	if (from->kept == NULL)
		return true;
	n = send(from->other->watched.fd, from->kept + from->kept_off,
		 from->kept_len - from->kept_off, MSG_NOSIGNAL);
	if (n < 0) {
		if (errno != EAGAIN)
			pair_end(from->pair);
		return false;
	}
	from->kept_off += (size_t)n;
	if (from->kept_off < from->kept_len)
		return false;
	free(from->kept);
	from->kept = NULL;
	return true;
}

/* Send from the scratch buffer, keep what is left. True: all was taken. */
static bool forward(struct side *from, size_t len)
{
	ssize_t n = send(from->other->watched.fd, scratch, len, MSG_NOSIGNAL);

	if (n == (ssize_t)len)
		return true;
	if (n < 0 && errno != EAGAIN) {
		pair_end(from->pair);
		return false;
	}
	if (n < 0)
		n = 0;
	from->kept = malloc(len - (size_t)n);
	if (from->kept == NULL) {
		pair_end(from->pair);
		return false;
	}
	from->kept_off = 0;
	from->kept_len = len - (size_t)n;
	memcpy(from->kept, scratch + n, from->kept_len);
	return false;
}

static void eof_tell(struct side *from)
{
	if (!from->eof || from->eof_told || from->kept != NULL)
		return;
	from->eof_told = true;
	shutdown(from->other->watched.fd, SHUT_WR);
	if (from->other->eof_told)
		pair_end(from->pair);
}

/* Move what can be moved from this side to the other. */
static void side_move(struct side *from)
{
	struct pair *p = from->pair;

	if (p->dead || !from->other->connected || !kept_flush(from))
		return;
	for (int reads = 0; from->readable && !from->eof; reads++) {
		ssize_t n;

		if (reads == READS_AT_ONE)
			return;
		n = recv(from->watched.fd, scratch, sizeof(scratch), 0);
		if (n < 0) {
			from->readable = false;
			if (errno != EAGAIN)
				pair_end(p);
			break;
		}
		if (n == 0) {
			from->eof = true;
			break;
		}
		/* A short read emptied the socket; what comes later is an event of its own. */
		if ((size_t)n < sizeof(scratch) && !from->hup)
			from->readable = false;
		if (!forward(from, (size_t)n))
			return;
	}
	if (!p->dead)
		eof_tell(from);
}

static bool side_has_work(const struct side *s)
{
	return s->readable && !s->eof && s->kept == NULL && s->other->connected;
}

static void pair_queue(struct pair *p)
{
	if (p->queued)
		return;
	if (!p->dead && !side_has_work(&p->client) && !side_has_work(&p->backend))
		return;
	p->queued = true;
	p->next = p->dead ? dead_list : work_list;
	if (p->dead) {
		dead_list = p;
	} else {
		work_list = p;
		work_left = true;
	}
}

static void side_ready(struct watched *w, uint32_t events)
{
	struct side *s = (struct side *)w;
	struct pair *p = s->pair;

	if (p->dead)
		return;
	if (events & EPOLLERR) {
		pair_end(p);
		pair_queue(p);
		return;
	}
	if (events & EPOLLOUT)
		s->connected = true;
	if (events & (EPOLLRDHUP | EPOLLHUP))
		s->hup = true;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP))
		s->readable = true;
	if (s->readable)
		side_move(s);
	if (events & EPOLLOUT)
		side_move(s->other);
	pair_queue(p);
}

/* Once a turn: pairs that stopped at READS_AT_ONE go on, those that ended are freed. */
static void turn_end(void)
{
	struct pair *list = work_list;

	work_list = NULL;
	work_left = false;
	while (list != NULL) {
		struct pair *p = list;

		list = p->next;
		p->queued = false;
		side_move(&p->client);
		side_move(&p->backend);
		pair_queue(p);
	}
	while (dead_list != NULL) {
		struct pair *p = dead_list;

		dead_list = p->next;
		pair_free(p);
	}
}

/* ---- connections ---- */

static void side_init(struct side *s, struct pair *p, struct side *other, int fd)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	s->watched.ready = side_ready;
	s->watched.fd = fd;
	s->pair = p;
	s->other = other;
}

static int backend_connect(void)
{
	int fd = socket(backend_addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&backend_addr, backend_len) == 0 || errno == EINPROGRESS)
		return fd;
	close(fd);
	return -1;
}

/* False: fd is still the caller's. */
static bool pair_start(int fd)
{
	const uint32_t events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
	struct pair *p = calloc(1, sizeof(*p));
	int backend = p != NULL ? backend_connect() : -1;

	if (backend < 0) {
		free(p);
		return false;
	}
	side_init(&p->client, p, &p->backend, fd);
	side_init(&p->backend, p, &p->client, backend);
	p->client.connected = true;
	LIST_INSERT_HEAD(&live_list, p, live);
	if (!event_loop_add(epoll_fd, &p->client.watched, events) ||
	    !event_loop_add(epoll_fd, &p->backend.watched, events)) {
		pair_end(p);
		pair_queue(p);
	}
	return true;
}

static void accept_ready(struct watched *w, uint32_t events)
{
	int fd;

	(void)events;
	while ((fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		if (!pair_start(fd))
			close(fd);
	}
}

/* ---- start ---- */

static void usage(FILE *out)
{
	fputs("usage: " PROGRAM " [options] ADDR:PORT\n"
	      "Passes each connection on to ADDR:PORT.\n"
	      "  --listen ADDR       address to listen on (default: 127.0.0.1)\n"
	      "  --port N            port, 0 lets the system choose (default: 0)\n"
	      "  -h, --help          this text\n",
	      out);
}

struct settings {
	const char *listen;
	uint16_t port;
};

static void read_backend(int argc, char **argv)
{
	struct addr backend;

	if (optind + 1 != argc) {
		usage(stderr);
		exit(2);
	}
	if (!addr_parse(argv[optind], strlen(argv[optind]), &backend)) {
		fprintf(stderr, PROGRAM ": %s: ADDR:PORT is wanted\n", argv[optind]);
		exit(2);
	}
	backend_len = addr_to_sockaddr(&backend, &backend_addr);
}

static void read_options(int argc, char **argv, struct settings *set)
{
	static const struct option options[] = {
		{"listen", required_argument, NULL, 'l'},
		{"port", required_argument, NULL, 'p'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int o;

	while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (o) {
		case 'l':
			set->listen = optarg;
			break;
		case 'p':
			set->port = (uint16_t)option_number(PROGRAM, "--port", optarg, 65535);
			break;
		case 'h':
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			exit(2);
		}
	}
	read_backend(argc, argv);
}

int main(int argc, char **argv)
{
	static struct watched listener = {.ready = accept_ready};
	struct settings set = {.listen = "127.0.0.1"};

	read_options(argc, argv, &set);
	epoll_fd = event_loop_open();
	listener.fd = listener_open(PROGRAM, set.listen, set.port);
	if (listener.fd < 0)
		return 1;
	if (epoll_fd < 0 || !event_loop_add(epoll_fd, &listener, EPOLLIN)) {
		fprintf(stderr, PROGRAM ": epoll: %s\n", strerror(errno));
		return 1;
	}
	event_loop_run(epoll_fd, turn_end, &work_left);
	while (!LIST_EMPTY(&live_list)) {
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it does not follow le_prev */
		pair_end(LIST_FIRST(&live_list));
		pair_free(LIST_FIRST(&live_list));
	}
	return 0;
}
