/*
 * dns_server.c -- answers DNS queries as a test tells it to (RFC 1035 section 4).
 *
 * Reads just enough of a query: its id and its one question, which is copied back. Never follows
 * compression pointers, since questions have none.
 *
 * Invariant: script and counts change under the lock only.
 */
#include "tests/lib/dns_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cursor.h"

#define HEADER_BYTES   12
#define MESSAGE_MAX    4096
#define TYPE_A         1
#define TYPE_CNAME     5
#define TYPE_AAAA      28
#define RCODE_SERVFAIL 2
#define RCODE_NXDOMAIN 3
#define TCP_WAIT_MS    2000

struct dns_server {
	int udp;
	int tcp;
	int stop[2]; /* pipe: closing the writing end ends the thread */
	char address[32];
	pthread_t thread;
	pthread_mutex_t lock;
	struct dns_script script;
	struct dns_counts counts;
};

/* A message being written. It is large enough for everything a script can ask for. */
struct message {
	uint8_t bytes[MESSAGE_MAX];
	size_t len;
};

struct question {
	const uint8_t *text; /* name, type and class as they stood in the query */
	size_t len;
	uint16_t id;
	uint16_t type;
};

static void put(struct message *m, const void *bytes, size_t len)
{
	if (len > sizeof(m->bytes) - m->len)
		abort();
	memcpy(m->bytes + m->len, bytes, len);
	m->len += len;
}

static void put16(struct message *m, unsigned v)
{
	put(m, (uint8_t[]){(uint8_t)(v >> 8), (uint8_t)v}, 2);
}

static bool question_read(struct question *q, const uint8_t *bytes, size_t len)
{
	struct cursor c = cursor_of(bytes, len);
	uint8_t label;

	q->id = cursor_be16(&c);
	cursor_skip(&c, HEADER_BYTES - 2);
	q->text = c.at;
	while (!c.failed && (label = cursor_u8(&c)) != 0)
		cursor_skip(&c, label);
	q->type = cursor_be16(&c);
	cursor_skip(&c, 2);
	q->len = (size_t)(c.at - q->text);
	return !c.failed;
}

/* A record's beginning, up to its data. name: a compression pointer. */
static void put_record(struct message *m, uint16_t name, unsigned type, uint32_t ttl, unsigned len)
{
	put16(m, name);
	put16(m, type);
	put16(m, 1); /* IN */
	put16(m, ttl >> 16);
	put16(m, ttl & 0xffff);
	put16(m, len);
}

static void put_addresses(struct message *m, const struct question *q, const struct dns_script *s)
{
	uint16_t name = 0xc000 | HEADER_BYTES;

	if (s->cname_ttl_s > 0) {
		put_record(m, name, TYPE_CNAME, s->cname_ttl_s, 7);
		name = (uint16_t)(0xc000 | m->len);
		put(m, "\5alias", 7);
	}
	for (unsigned i = 0; i < s->count; i++) {
		uint8_t ip4[4] = {192, 0, 2, (uint8_t)(s->first + i)};
		uint8_t ip6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = (uint8_t)(s->first + i)};

		if (q->type == TYPE_A) {
			put_record(m, name, TYPE_A, s->ttl_s, 4);
			put(m, ip4, 4);
		} else {
			put_record(m, name, TYPE_AAAA, s->ttl_s, 16);
			put(m, ip6, 16);
		}
	}
}

/* False: say nothing. */
static bool reply_write(struct message *m, const struct question *q, const struct dns_script *s,
			bool tcp)
{
	enum dns_reply reply = q->type == TYPE_A ? s->a : s->aaaa;
	bool truncated = !tcp && (reply == DNS_TRUNCATED || reply == DNS_TRUNCATED_CUT);
	bool full =
		reply == DNS_ADDRESSES || reply == DNS_CUT_SHORT || (tcp && reply == DNS_TRUNCATED);
	unsigned flags = 0x8180; /* a response; recursion was desired and can be had */

	if (reply == DNS_SILENT || (tcp && reply == DNS_TRUNCATED_CUT))
		return false;
	if (reply == DNS_NXDOMAIN)
		flags |= RCODE_NXDOMAIN;
	if (reply == DNS_SERVFAIL)
		flags |= RCODE_SERVFAIL;
	if (truncated)
		flags |= 0x0200;
	m->len = 0;
	put16(m, q->id);
	put16(m, flags);
	put16(m, 1);
	put16(m, full ? s->count + (s->cname_ttl_s > 0) : 0);
	put16(m, 0);
	put16(m, 0);
	put(m, q->text, q->len);
	if (full)
		put_addresses(m, q, s);
	if (reply == DNS_CUT_SHORT)
		m->len -= 3;
	return true;
}

/* Count the query and look what is to be answered. False: nothing. */
static bool query_handle(struct dns_server *s, const uint8_t *bytes, size_t len, bool tcp,
			 struct message *m)
{
	struct dns_script script;
	struct question q;
	bool ignored;

	if (!question_read(&q, bytes, len))
		return false;
	pthread_mutex_lock(&s->lock);
	s->counts.tcp += tcp;
	s->counts.a += !tcp && q.type == TYPE_A;
	s->counts.aaaa += !tcp && q.type == TYPE_AAAA;
	ignored = s->script.ignore > 0;
	s->script.ignore -= ignored;
	script = s->script;
	pthread_mutex_unlock(&s->lock);
	return !ignored && reply_write(m, &q, &script, tcp);
}

static void udp_serve(struct dns_server *s)
{
	struct sockaddr_in peer;
	socklen_t peer_len = sizeof(peer);
	uint8_t query[MESSAGE_MAX];
	struct message m;
	ssize_t n = recvfrom(s->udp, query, sizeof(query), 0, (struct sockaddr *)&peer, &peer_len);

	if (n <= 0 || !query_handle(s, query, (size_t)n, false, &m))
		return;
	/* The one who asked may be gone. */
	(void)!sendto(s->udp, m.bytes, m.len, 0, (struct sockaddr *)&peer, peer_len);
}

static bool tcp_read(int fd, uint8_t *out, size_t len)
{
	for (size_t got = 0; got < len;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t n;

		if (poll(&p, 1, TCP_WAIT_MS) != 1)
			return false;
		n = recv(fd, out + got, len - got, 0);
		if (n <= 0)
			return false;
		got += (size_t)n;
	}
	return true;
}

/* All queries of one connection, until it ends or falls silent. */
static void tcp_serve(struct dns_server *s)
{
	int fd = accept4(s->tcp, NULL, NULL, SOCK_CLOEXEC);
	uint8_t query[MESSAGE_MAX];
	uint8_t prefix[2];
	struct message m;
	size_t len;

	if (fd < 0)
		return;
	while (tcp_read(fd, prefix, 2)) {
		len = (size_t)prefix[0] << 8 | prefix[1];
		if (len > sizeof(query) || !tcp_read(fd, query, len))
			break;
		if (!query_handle(s, query, len, true, &m))
			break;
		prefix[0] = (uint8_t)(m.len >> 8);
		prefix[1] = (uint8_t)m.len;
		if (send(fd, prefix, 2, MSG_NOSIGNAL | MSG_MORE) != 2 ||
		    send(fd, m.bytes, m.len, MSG_NOSIGNAL) != (ssize_t)m.len)
			break;
	}
	close(fd);
}

static void *server_run(void *arg)
{
	struct dns_server *s = arg;
	struct pollfd p[3] = {
		{.fd = s->stop[0], .events = POLLIN},
		{.fd = s->udp, .events = POLLIN},
		{.fd = s->tcp, .events = POLLIN},
	};

	while (poll(p, 3, -1) > 0 && p[0].revents == 0) {
		if (p[1].revents != 0)
			udp_serve(s);
		if (p[2].revents != 0)
			tcp_serve(s);
	}
	return NULL;
}

/* Both protocols on one port: what the kernel gives to UDP may be taken for TCP, then try again. */
static bool sockets_open(struct dns_server *s)
{
	for (int i = 0; i < 20; i++) {
		struct sockaddr_in sin = {.sin_family = AF_INET,
					  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		socklen_t len = sizeof(sin);

		s->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		s->tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (s->udp >= 0 && s->tcp >= 0 &&
		    bind(s->udp, (struct sockaddr *)&sin, sizeof(sin)) == 0 &&
		    getsockname(s->udp, (struct sockaddr *)&sin, &len) == 0 &&
		    bind(s->tcp, (struct sockaddr *)&sin, sizeof(sin)) == 0 &&
		    listen(s->tcp, 8) == 0) {
			snprintf(s->address, sizeof(s->address), "127.0.0.1:%u",
				 (unsigned)ntohs(sin.sin_port));
			return true;
		}
		close(s->udp);
		close(s->tcp);
	}
	return false;
}

struct dns_server *dns_server_start(const struct dns_script *script)
{
	struct dns_server *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->script = *script;
	if (!sockets_open(s))
		goto fail;
	if (pipe(s->stop) != 0)
		goto fail_sockets;
	pthread_mutex_init(&s->lock, NULL);
	if (pthread_create(&s->thread, NULL, server_run, s) == 0)
		return s;
	pthread_mutex_destroy(&s->lock);
	close(s->stop[0]);
	close(s->stop[1]);
fail_sockets:
	close(s->udp);
	close(s->tcp);
fail:
	free(s);
	return NULL;
}

void dns_server_stop(struct dns_server *s)
{
	close(s->stop[1]);
	pthread_join(s->thread, NULL);
	close(s->stop[0]);
	close(s->udp);
	close(s->tcp);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

void dns_server_tell(struct dns_server *s, const struct dns_script *script)
{
	pthread_mutex_lock(&s->lock);
	s->script = *script;
	s->counts = (struct dns_counts){0};
	pthread_mutex_unlock(&s->lock);
}

const char *dns_server_address(const struct dns_server *s)
{
	return s->address;
}

struct dns_counts dns_server_counts(struct dns_server *s)
{
	struct dns_counts counts;

	pthread_mutex_lock(&s->lock);
	counts = s->counts;
	pthread_mutex_unlock(&s->lock);
	return counts;
}
