/*
 * client_parts.h -- the parts of client.h: requests one after the other (client.c), and the
 * handshake before them (client_tls.c).
 */
#ifndef PROXY_CLIENT_PARTS_H
#define PROXY_CLIENT_PARTS_H

#include "proxy/client.h"

/* Its next state: legal moves only (asserted). */
void client_set(struct client *c, enum client_state to);

/* What a relay calls when something has happened: arg is the client. */
void client_wake(void *arg);

/* Beyond max_connections: answered without having been read. */
void client_refuse(struct client *c);

/* No memory for an exchange: answered without one. bytes are what the client has sent so far. */
void client_turn_away(struct client *c, const char *bytes, size_t len, enum reason why);

/* The first state: TLS begins, if the listener says so. c->w is known. False: no memory. */
bool client_tls_begin(struct client *c, const struct accepted *a) MUST_CHECK;

/* One step of the handshake. False: there is nothing more to do now. */
bool client_tls_shake(struct client *c) MUST_CHECK;

/* Its time is over. */
void client_tls_over(struct client *c);

#endif
