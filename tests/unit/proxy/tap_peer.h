/*
 * tap_peer.h -- the tracer's side of the tap, for tests: receives messages and checks their frame.
 */
#ifndef TESTS_UNIT_PROXY_TAP_PEER_H
#define TESTS_UNIT_PROXY_TAP_PEER_H

#include <criterion/criterion.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/attrib.h"
#include "trace/event.h"

struct tap_peer {
	int fd;
	uint32_t run;
	uint16_t worker;
	uint64_t messages; /* received so far; also the next number */
	uint64_t dropped;  /* as the last message said */
	uint64_t lost;     /* sum of what each said of the place before it */
	size_t lost_at;    /* where the first of these messages begins in `records` */
	size_t largest;    /* message */
	uint8_t *records;  /* back to back, all that came */
	size_t len;
	size_t cap;
	size_t at; /* of the next one to look at */
};

static inline void tap_peer_init(struct tap_peer *p, int fd, uint32_t run, uint16_t worker)
{
	*p = (struct tap_peer){.fd = fd, .run = run, .worker = worker};
}

static inline void tap_peer_fini(struct tap_peer *p)
{
	free(p->records);
	p->records = NULL;
}

static inline void tap_peer_keep(struct tap_peer *p, const uint8_t *records, size_t len)
{
	if (len == 0)
		return;
	if (p->len + len > p->cap) {
		p->cap = 2 * (p->len + len);
		p->records = realloc(p->records, p->cap);
		cr_assert(p->records != NULL);
	}
	memcpy(p->records + p->len, records, len);
	p->len += len;
}

/* Every record whole, in a length that is a multiple of 8. */
static inline void tap_peer_check_records(const uint8_t *bytes, size_t len)
{
	while (len > 0) {
		struct tap_record r;

		cr_assert(len >= sizeof(r), "a torn record's head");
		memcpy(&r, bytes, sizeof(r));
		cr_assert(r.len >= sizeof(r) && r.len % 8 == 0 && r.len <= len,
			  "record of type %u: length %u of %zu", r.type, r.len, len);
		cr_assert_eq(r.zero, 0);
		bytes += r.len;
		len -= r.len;
	}
}

/* One message, if there is one. False: nothing to read now, or the end. */
static inline bool tap_peer_receive(struct tap_peer *p)
{
	static uint8_t bytes[TAP_MESSAGE_MAX + 1];
	struct tap_message head;
	ssize_t n = recv(p->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n <= 0)
		return false;
	cr_assert((size_t)n >= sizeof(head) && n <= TAP_MESSAGE_MAX, "%zd bytes", n);
	memcpy(&head, bytes, sizeof(head));
	cr_assert(head.magic == TAP_MAGIC && head.version == TAP_VERSION);
	cr_assert_eq(head.worker, p->worker);
	cr_assert_eq(head.run, p->run);
	cr_assert_eq(head.number, p->messages);
	cr_assert_geq(head.dropped, p->dropped);
	p->messages++;
	p->dropped = head.dropped;
	if (head.lost_before > 0 && p->lost == 0)
		p->lost_at = p->len;
	p->lost += head.lost_before;
	cr_assert_leq(p->lost, p->dropped);
	p->largest = MAX(p->largest, (size_t)n);
	tap_peer_check_records(bytes + sizeof(head), (size_t)n - sizeof(head));
	tap_peer_keep(p, bytes + sizeof(head), (size_t)n - sizeof(head));
	return true;
}

static inline void tap_peer_receive_all(struct tap_peer *p)
{
	while (tap_peer_receive(p))
		;
}

/* The type of the next record, 0 when there is none. */
static inline unsigned tap_peer_type(const struct tap_peer *p)
{
	struct tap_record r;

	if (p->at == p->len)
		return 0;
	memcpy(&r, p->records + p->at, sizeof(r));
	return r.type;
}

/* The next record must be of that type and size; it is copied to out. */
static inline void tap_peer_take(struct tap_peer *p, unsigned type, void *out, size_t size)
{
	struct tap_record r;

	cr_assert_eq(tap_peer_type(p), type, "type %u, not %u", tap_peer_type(p), type);
	memcpy(&r, p->records + p->at, sizeof(r));
	cr_assert_eq(r.len, size);
	memcpy(out, p->records + p->at, size);
	p->at += size;
}

/* Send one message with records back to back. */
static inline void tap_peer_send(const struct tap_peer *p, const void *records, size_t len)
{
	static uint8_t bytes[TAP_MESSAGE_MAX];
	struct tap_message head = {
		.magic = TAP_MAGIC, .version = TAP_VERSION, .worker = p->worker, .run = p->run};

	cr_assert(sizeof(head) + len <= sizeof(bytes));
	memcpy(bytes, &head, sizeof(head));
	if (len > 0)
		memcpy(bytes + sizeof(head), records, len);
	cr_assert_eq(send(p->fd, bytes, sizeof(head) + len, MSG_NOSIGNAL),
		     (ssize_t)(sizeof(head) + len));
}

/* TAP_ASK, TAP_ANCHORED: a head and a connection. */
static inline void tap_peer_send_conn(const struct tap_peer *p, enum tap_type type, uint64_t conn)
{
	struct tap_ask ask = {.r = {.type = (uint16_t)type, .len = sizeof(ask)}, .conn = conn};

	tap_peer_send(p, &ask, sizeof(ask));
}

#endif
