/*
 * tap_ring.c -- the ring of messages.
 *
 * While the tracer keeps up, one message's memory is used over and over, and stays in the cache;
 * the rest of the ring is touched only by a stall.
 */
#include "proxy/tap_ring.h"

#include <string.h>
#include <sys/mman.h>

#include "proxy/tap_message.h"

bool tap_ring_init(struct tap_ring *r, uint32_t run, uint16_t worker)
{
	void *bytes = mmap(NULL, TAP_RING_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*r = (struct tap_ring){.next_head = tap_message_head(run, worker)};
	if (bytes == MAP_FAILED)
		return false;
	r->bytes = bytes;
	r->len[0] = sizeof(struct tap_message);
	return true;
}

void tap_ring_fini(struct tap_ring *r)
{
	if (r->bytes != NULL)
		munmap(r->bytes, TAP_RING_BYTES);
	r->bytes = NULL;
}

static char *slot_at(const struct tap_ring *r, uint32_t slot)
{
	return r->bytes + (size_t)slot * TAP_MESSAGE_MAX;
}

void tap_ring_drop(struct tap_ring *r)
{
	r->next_head.dropped++;
	r->lost_now++;
}

/* Where len bytes go; NULL: all slots are full. */
static char *find_room(struct tap_ring *r, size_t len)
{
	uint32_t tail = r->tail;
	char *at;

	/* After a loss a new message begins, which tells of it. */
	if (UNLIKELY(r->len[tail] + len > TAP_MESSAGE_MAX || r->lost_now > 0)) {
		tail = (tail + 1) % TAP_RING_SLOTS;
		if (tail == r->head)
			return NULL;
		r->tail = tail;
		r->len[tail] = sizeof(struct tap_message);
		r->lost[tail] = r->lost_now;
		r->lost_now = 0;
	}
	at = slot_at(r, tail) + r->len[tail];
	r->len[tail] += (uint32_t)len;
	return at;
}

void *tap_ring_add(struct tap_ring *r, size_t len)
{
	char *at = find_room(r, len);

	if (UNLIKELY(at == NULL))
		tap_ring_drop(r);
	return at;
}

void *tap_ring_add_secret(struct tap_ring *r, size_t len)
{
	char *at = find_room(r, len);

	if (at != NULL)
		r->secret[r->tail] = true;
	return at;
}

const void *tap_ring_message(struct tap_ring *r, size_t *len)
{
	char *message = slot_at(r, r->head);

	if (tap_ring_empty(r))
		return NULL;
	r->next_head.lost_before = r->lost[r->head];
	memcpy(message, &r->next_head, sizeof(r->next_head));
	*len = r->len[r->head];
	return message;
}

void tap_ring_sent(struct tap_ring *r)
{
	r->next_head.number++;
	r->lost[r->head] = 0;
	if (UNLIKELY(r->secret[r->head])) {
		explicit_bzero(slot_at(r, r->head), r->len[r->head]);
		r->secret[r->head] = false;
	}
	if (r->head != r->tail)
		r->head = (r->head + 1) % TAP_RING_SLOTS;
	else
		r->len[r->head] = sizeof(struct tap_message);
}
