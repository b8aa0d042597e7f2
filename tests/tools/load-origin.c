/*
 * load-origin.c -- a backend that answers as fast as one core can, for the bench.
 *
 * Any request gets 200 and a canned body: /N asks for N bytes, any other path gets --size. It
 * reads heads only as far as it must (length, path, end of the connection), so it is for load on
 * loopback and nothing else. One thread, epoll, edge-triggered.
 *
 * Invariant: a connection with an answer under way reads no request.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/tools/lib/event_loop.h"
#include "tests/tools/lib/listener.h"
#include "tests/tools/lib/options.h"

#define PROGRAM      "load-origin"
#define INPUT_MAX    16384
#define HEAD_OUT_MAX 192
#define BODY_BLOCK   (256 * 1024)
#define SIZE_MAX_SET (1UL << 40)

struct conn {
	struct watched watched; /* first */
	LIST_ENTRY(conn) list;  /* live_list, or dead_list until the turn's end */
	bool dead;
	bool close_after; /* the answer under way is the last one */
	size_t have;      /* bytes in input */
	uint64_t skip;    /* body bytes of the request still to come */
	size_t head_off;  /* what left of the answer's head */
	size_t head_len;  /* 0: no answer under way */
	uint64_t body_left;
	char head[HEAD_OUT_MAX];
	char input[INPUT_MAX];
};

static int epoll_fd;
static char body_block[BODY_BLOCK];
static uint64_t default_size = 382;
static LIST_HEAD(conn_list, conn) live_list, dead_list;

static void conn_end(struct conn *c)
{
	if (c->dead)
		return;
	c->dead = true;
	close(c->watched.fd);
	LIST_REMOVE(c, list);
	LIST_INSERT_HEAD(&dead_list, c, list);
}

static void reap(void)
{
	while (!LIST_EMPTY(&dead_list)) {
		struct conn *c = LIST_FIRST(&dead_list);

		LIST_REMOVE(c, list);
		free(c);
	}
}

/* ---- the answer ---- */

static void answer_begin(struct conn *c, uint64_t size, bool last)
{
	int n = snprintf(c->head, sizeof(c->head),
			 "HTTP/1.1 200 OK\r\nServer: load-origin\r\nContent-Type: text/xml; "
			 "charset=utf-8\r\nContent-Length: %llu\r\n%s\r\n",
			 (unsigned long long)size, last ? "Connection: close\r\n" : "");

	c->head_len = (size_t)n;
	c->head_off = 0;
	c->body_left = size;
	c->close_after = last;
}

/* Send what the socket takes. False: the connection has ended. */
static bool answer_send(struct conn *c)
{
	while (c->head_len > 0) {
		size_t block = c->body_left < BODY_BLOCK ? (size_t)c->body_left : BODY_BLOCK;
		struct iovec parts[] = {{c->head + c->head_off, c->head_len - c->head_off},
					{body_block, block}};
		struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
		ssize_t n = sendmsg(c->watched.fd, &message, MSG_NOSIGNAL);
		size_t of_head;

		if (n < 0 && errno == EAGAIN)
			return true;
		if (n < 0) {
			conn_end(c);
			return false;
		}
		of_head = MIN((size_t)n, c->head_len - c->head_off);
		c->head_off += of_head;
		c->body_left -= (size_t)n - of_head;
		if (c->head_off == c->head_len && c->body_left == 0)
			c->head_len = 0;
	}
	if (c->close_after) {
		conn_end(c);
		return false;
	}
	return true;
}

/* ---- the request ---- */

/* The value of a field of the head, or NULL. `name` is in lower case and ends with a colon. */
static const char *field_value(const char *head, const char *end, const char *name)
{
	size_t n = strlen(name);

	for (const char *line = head; line < end;) {
		const char *eol = memchr(line, '\n', (size_t)(end - line));

		if (eol == NULL)
			return NULL;
		line = eol + 1;
		if ((size_t)(end - line) > n && strncasecmp(line, name, n) == 0) {
			for (line += n; line < end && *line == ' '; line++)
				;
			return line;
		}
	}
	return NULL;
}

/* At most 12 digits, as many as stand there; false when there is none. */
static bool digits(const char *at, const char *end, uint64_t *value)
{
	const char *p = at;

	*value = 0;
	for (; p < end && p - at < 12 && *p >= '0' && *p <= '9'; p++)
		*value = *value * 10 + (uint64_t)(*p - '0');
	return p > at;
}

static bool value_is(const char *value, const char *end, const char *word)
{
	size_t n = strlen(word);

	return value != NULL && (size_t)(end - value) > n && strncasecmp(value, word, n) == 0;
}

/* The size that the path asks for; the method and one space stand before it. */
static uint64_t asked_size(const char *head, const char *end)
{
	const char *path = memchr(head, ' ', (size_t)(end - head));
	uint64_t size;

	if (path == NULL || end - path < 3 || path[1] != '/' || !digits(path + 2, end, &size))
		return default_size;
	return size;
}

/* `end` is behind the empty line. False: this server cannot read such a request. */
static bool request_take(struct conn *c, const char *end)
{
	const char *length = field_value(c->input, end, "content-length:");
	const char *connection = field_value(c->input, end, "connection:");
	const char *line_end = memchr(c->input, '\r', (size_t)(end - c->input));
	bool old = line_end - c->input > 8 && memcmp(line_end - 8, "HTTP/1.0", 8) == 0;
	uint64_t body = 0;

	if (field_value(c->input, end, "transfer-encoding:") != NULL)
		return false;
	if (length != NULL && !digits(length, end, &body))
		return false;
	answer_begin(c, asked_size(c->input, end),
		     old ? !value_is(connection, end, "keep-alive")
			 : value_is(connection, end, "close"));
	if (memcmp(c->input, "HEAD ", 5) == 0)
		c->body_left = 0;
	c->skip = body;
	return true;
}

static void input_drop(struct conn *c, size_t n)
{
	c->have -= n;
	if (c->have > 0)
		memmove(c->input, c->input + n, c->have);
}

static void skip_body(struct conn *c)
{
	size_t n = c->skip < c->have ? (size_t)c->skip : c->have;

	c->skip -= n;
	input_drop(c, n);
}

/* Take and answer what has been read. False: the connection has ended. */
static bool input_use(struct conn *c)
{
	for (;;) {
		const char *end;

		skip_body(c);
		if (c->skip > 0)
			return true;
		if (c->head_len > 0) {
			if (!answer_send(c))
				return false;
			if (c->head_len > 0)
				return true;
		}
		if (c->have == 0)
			return true;
		end = memmem(c->input, c->have, "\r\n\r\n", 4);
		if (end == NULL)
			return true;
		if (!request_take(c, end + 4)) {
			conn_end(c);
			return false;
		}
		input_drop(c, (size_t)(end + 4 - c->input));
	}
}

static void conn_ready(struct watched *w, uint32_t events)
{
	struct conn *c = (struct conn *)w;

	(void)events;
	if (c->dead || !input_use(c))
		return;
	while (c->have < INPUT_MAX) {
		size_t room = INPUT_MAX - c->have;
		ssize_t n = recv(w->fd, c->input + c->have, room, 0);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			conn_end(c);
			return;
		}
		c->have += (size_t)n;
		if (!input_use(c) || (c->head_len > 0 && c->skip == 0) ||
		    ((size_t)n < room && (events & EPOLLRDHUP) == 0))
			return;
	}
	if (c->head_len == 0)
		conn_end(c); /* a head that does not fit */
}

static void accept_ready(struct watched *w, uint32_t events)
{
	struct conn *c;
	int fd;

	(void)events;
	while ((fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		c = malloc(sizeof(*c));
		if (c == NULL) {
			close(fd);
			continue;
		}
		memset(c, 0, offsetof(struct conn, input));
		c->watched.ready = conn_ready;
		c->watched.fd = fd;
		LIST_INSERT_HEAD(&live_list, c, list);
		if (!event_loop_add(epoll_fd, &c->watched,
				    EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET))
			conn_end(c);
	}
}

/* ---- start ---- */

static void usage(FILE *out)
{
	fputs("usage: " PROGRAM " [options]\n"
	      "A backend for the bench: every request gets a canned answer.\n"
	      "  /N                  as path asks for a body of N bytes\n"
	      "  --size N            body of any other path (default: 382)\n"
	      "  --listen ADDR       address to listen on (default: 127.0.0.1)\n"
	      "  --port N            port, 0 lets the system choose (default: 0)\n"
	      "  -h, --help          this text\n",
	      out);
}

struct settings {
	const char *listen;
	uint16_t port;
};

static void read_options(int argc, char **argv, struct settings *set)
{
	static const struct option options[] = {
		{"size", required_argument, NULL, 's'},
		{"listen", required_argument, NULL, 'l'},
		{"port", required_argument, NULL, 'p'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int o;

	while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (o) {
		case 's':
			default_size = option_number(PROGRAM, "--size", optarg, SIZE_MAX_SET);
			break;
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
	if (optind < argc) {
		fprintf(stderr, PROGRAM ": %s: no such argument\n", argv[optind]);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	static struct watched listener = {.ready = accept_ready};
	static const bool never = false;
	struct settings set = {.listen = "127.0.0.1"};

	read_options(argc, argv, &set);
	memset(body_block, 'x', sizeof(body_block));
	epoll_fd = event_loop_open();
	listener.fd = listener_open(PROGRAM, set.listen, set.port);
	if (listener.fd < 0)
		return 1;
	if (epoll_fd < 0 || !event_loop_add(epoll_fd, &listener, EPOLLIN)) {
		fprintf(stderr, PROGRAM ": epoll: %s\n", strerror(errno));
		return 1;
	}
	event_loop_run(epoll_fd, reap, &never);
	while (!LIST_EMPTY(&live_list))
		conn_end(LIST_FIRST(&live_list));
	reap();
	return 0;
}
