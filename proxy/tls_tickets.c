/*
 * tls_tickets.c -- keeps the keys of session tickets by age.
 *
 * A key is made when a ticket is to be sealed and the newest is too old for it: so there is always
 * one that was used last, and it outlives every ticket that it sealed.
 *
 * Invariant: keys[0, count) are sorted from the newest to the oldest.
 */
#include "proxy/tls_tickets.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define ROTATE_NS   (TLS_TICKET_ROTATE_S * NS_PER_S)
#define LIFETIME_NS (TLS_TICKET_LIFETIME_S * NS_PER_S)
#define KEYS_MAX    ((TLS_TICKET_ROTATE_S + TLS_TICKET_LIFETIME_S) / TLS_TICKET_ROTATE_S + 1)

struct aged_key {
	struct tls_ticket_key key;
	uint64_t made_ns;
};

struct tls_tickets {
	atomic_uint refs;
	pthread_mutex_t lock;
	unsigned count;
	struct aged_key keys[KEYS_MAX];
};

struct tls_tickets *tls_tickets_new(void)
{
	struct tls_tickets *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	atomic_init(&t->refs, 1);
	pthread_mutex_init(&t->lock, NULL);
	return t;
}

struct tls_tickets *tls_tickets_ref(struct tls_tickets *t)
{
	if (t != NULL)
		atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void tls_tickets_unref(struct tls_tickets *t)
{
	if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
		return;
	pthread_mutex_destroy(&t->lock);
	explicit_bzero(t, sizeof(*t));
	free(t);
}

/* Forget what no living ticket was sealed with. */
static void tickets_expire(struct tls_tickets *t, uint64_t now_ns)
{
	while (t->count > 0) {
		struct aged_key *last = &t->keys[t->count - 1];

		if (now_ns < last->made_ns + ROTATE_NS + LIFETIME_NS)
			break;
		explicit_bzero(last, sizeof(*last));
		t->count--;
	}
}

static bool tickets_rotate(struct tls_tickets *t, uint64_t now_ns)
{
	struct aged_key fresh = {.made_ns = now_ns};

	if (getrandom(&fresh.key, sizeof(fresh.key), 0) != sizeof(fresh.key))
		return false;
	if (t->count == KEYS_MAX)
		t->count--;
	memmove(t->keys + 1, t->keys, t->count * sizeof(t->keys[0]));
	t->keys[0] = fresh;
	t->count++;
	explicit_bzero(&fresh, sizeof(fresh));
	return true;
}

bool tls_tickets_seal(struct tls_tickets *t, uint64_t now_ns, struct tls_ticket_key *out)
{
	bool fine = true;

	pthread_mutex_lock(&t->lock);
	tickets_expire(t, now_ns);
	if (t->count == 0 || now_ns >= t->keys[0].made_ns + ROTATE_NS)
		fine = tickets_rotate(t, now_ns);
	if (fine)
		*out = t->keys[0].key;
	pthread_mutex_unlock(&t->lock);
	return fine;
}

enum tls_ticket_state tls_tickets_open(struct tls_tickets *t, uint64_t now_ns,
				       const uint8_t name[TLS_TICKET_NAME],
				       struct tls_ticket_key *out)
{
	enum tls_ticket_state state = TLS_TICKET_UNKNOWN;

	pthread_mutex_lock(&t->lock);
	tickets_expire(t, now_ns);
	for (unsigned i = 0; i < t->count; i++) {
		if (memcmp(t->keys[i].key.name, name, TLS_TICKET_NAME) != 0)
			continue;
		*out = t->keys[i].key;
		state = i == 0 && now_ns < t->keys[0].made_ns + ROTATE_NS ? TLS_TICKET_GOOD
									  : TLS_TICKET_RENEW;
		break;
	}
	pthread_mutex_unlock(&t->lock);
	return state;
}
