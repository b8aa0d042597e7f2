/*
 * tls_tickets.h -- the keys that session tickets (RFC 5077, RFC 8446 section 4.6.1) are sealed
 * with: shared by all threads, made anew as time passes, forgotten when no ticket needs them.
 *
 * Keys live in memory alone. A process that starts knows none of an earlier one's tickets; stores
 * that are read again (SIGHUP) leave the keys as they are.
 */
#ifndef PROXY_TLS_TICKETS_H
#define PROXY_TLS_TICKETS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attrib.h"

#define TLS_TICKET_LIFETIME_S 7200 /* a session may be resumed for so long */
#define TLS_TICKET_ROTATE_S   3600 /* a key seals tickets for so long */
#define TLS_TICKET_NAME       16

struct tls_ticket_key {
	uint8_t name[TLS_TICKET_NAME]; /* stands in the ticket, in the clear */
	uint8_t cipher[32];            /* AES-256 */
	uint8_t mac[32];               /* HMAC-SHA-256 */
};

enum tls_ticket_state {
	TLS_TICKET_UNKNOWN, /* no key of ours, or one that has been forgotten */
	TLS_TICKET_GOOD,
	TLS_TICKET_RENEW, /* good, but a newer key has come since: give another ticket */
};

struct tls_tickets;

/* NULL: no memory. */
struct tls_tickets *tls_tickets_new(void) MUST_CHECK;
/* Any thread; NULL is fine. The last one wipes the keys. */
struct tls_tickets *tls_tickets_ref(struct tls_tickets *t);
void tls_tickets_unref(struct tls_tickets *t);

/* The key to seal a ticket with. now_ns: CLOCK_MONOTONIC. False: the system gave no random bytes. */
bool tls_tickets_seal(struct tls_tickets *t, uint64_t now_ns,
		      struct tls_ticket_key *out) MUST_CHECK;

/* The key of that name. */
enum tls_ticket_state tls_tickets_open(struct tls_tickets *t, uint64_t now_ns,
				       const uint8_t name[TLS_TICKET_NAME],
				       struct tls_ticket_key *out) MUST_CHECK;

#endif
