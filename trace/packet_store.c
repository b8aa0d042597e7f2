/*
 * packet_store.c -- slabs of packet bytes.
 *
 * Never moves bytes once they are kept.
 *
 * Invariant: a slab is the one being filled, or holds packets, or is on the spare list.
 */
#include "trace/packet_store.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SLAB_BYTES (512U * 1024)
#define SPARE_MAX  16U

struct packet_slab {
	struct packet_slab *next;
	uint32_t packets; /* that are kept in it */
	uint32_t used;
	uint32_t cap;
	uint8_t bytes[];
};

static struct packet_slab *slab_new(uint32_t cap)
{
	struct packet_slab *slab = malloc(sizeof(*slab) + cap);

	if (slab != NULL)
		*slab = (struct packet_slab){.cap = cap};
	return slab;
}

/* Nothing is in it any more. */
static void slab_give(struct packet_store *s, struct packet_slab *slab)
{
	if (slab->cap != SLAB_BYTES || s->spare_count >= SPARE_MAX) {
		free(slab);
		return;
	}
	slab->used = 0;
	slab->next = s->spare;
	s->spare = slab;
	s->spare_count++;
}

static struct packet_slab *slab_take(struct packet_store *s, uint32_t len)
{
	struct packet_slab *slab = s->spare;

	if (len > SLAB_BYTES || slab == NULL)
		return slab_new(MAX(len, SLAB_BYTES));
	s->spare = slab->next;
	s->spare_count--;
	return slab;
}

void packet_store_fini(struct packet_store *s)
{
	free(s->filling);
	while (s->spare != NULL) {
		struct packet_slab *slab = s->spare;

		s->spare = slab->next;
		free(slab);
	}
	*s = (struct packet_store){0};
}

const uint8_t *packet_store_keep(struct packet_store *s, const uint8_t *bytes, uint32_t len,
				 struct packet_slab **slab)
{
	struct packet_slab *filling = s->filling;
	uint8_t *at;

	if (filling == NULL || filling->cap - filling->used < len) {
		struct packet_slab *next = slab_take(s, len);

		if (next == NULL)
			return NULL;
		s->filling = next;
		if (filling != NULL && filling->packets == 0)
			slab_give(s, filling);
		filling = next;
	}
	at = filling->bytes + filling->used;
	if (len > 0)
		memcpy(at, bytes, len);
	filling->used += len;
	filling->packets++;
	*slab = filling;
	return at;
}

void packet_store_drop(struct packet_store *s, struct packet_slab *slab)
{
	if (--slab->packets > 0)
		return;
	if (slab == s->filling)
		slab->used = 0;
	else
		slab_give(s, slab);
}
