/*
 * tap_ring.h -- records that wait to leave, packed into messages as they will be sent.
 *
 * 64 messages of 64 KiB. A record is written once, where it is sent from; a message leaves when the
 * caller likes, full or not. When all of them are full a record is dropped and counted; the count
 * is in the head of every message. Knows no socket.
 *
 * Invariant: a message holds whole records only, in the order they came; those from head to tail
 * wait, and only tail's grows.
 */
#ifndef PROXY_TAP_RING_H
#define PROXY_TAP_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"
#include "trace/event.h"

#define TAP_RING_SLOTS 64
#define TAP_RING_BYTES ((size_t)TAP_RING_SLOTS * TAP_MESSAGE_MAX)

struct tap_ring {
	char *bytes; /* NULL: not there */
	uint32_t head;
	uint32_t tail;
	uint32_t len[TAP_RING_SLOTS];  /* with the message's head */
	uint32_t lost[TAP_RING_SLOTS]; /* records dropped just before the message's first */
	bool secret[TAP_RING_SLOTS];   /* holds one: wiped when it has left */
	uint32_t lost_now;             /* since the last record; 0 but while the ring is full */
	struct tap_message next_head;  /* of the next message that leaves */
};

/* Maps the memory. False: none to be had. */
bool tap_ring_init(struct tap_ring *r, uint32_t run, uint16_t worker) MUST_CHECK;
void tap_ring_fini(struct tap_ring *r);

/* Where a record of len bytes (a multiple of 8) is to be written; NULL: dropped and counted. */
void *tap_ring_add(struct tap_ring *r, size_t len) MUST_CHECK;

/* The same of a secret, which is not counted when there is no room: the caller keeps it. */
void *tap_ring_add_secret(struct tap_ring *r, size_t len) MUST_CHECK;

/* A record is dropped, and counted. */
void tap_ring_drop(struct tap_ring *r);

/* The oldest message, ready to send; NULL: nothing waits. It stays until tap_ring_sent(). */
const void *tap_ring_message(struct tap_ring *r, size_t *len) MUST_CHECK;
void tap_ring_sent(struct tap_ring *r);

/* More than `bytes` of records wait. */
static inline bool tap_ring_exceeds(const struct tap_ring *r, size_t bytes)
{
	return r->head != r->tail || r->len[r->tail] >= sizeof(struct tap_message) + bytes;
}

static inline bool tap_ring_empty(const struct tap_ring *r)
{
	return !tap_ring_exceeds(r, 1);
}

#endif
