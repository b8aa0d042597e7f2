/*
 * client.h -- one client connection: its requests in order, one exchange at a time.
 *
 * Belongs to one worker. Closed clients are freed at the end of the loop turn (client_reap()).
 */
#ifndef PROXY_CLIENT_H
#define PROXY_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/attrib.h"
#include "proxy/accepted.h"
#include "proxy/buf.h"
#include "proxy/conn.h"
#include "proxy/reason.h"
#include "proxy/timeouts.h"

struct relay;
struct worker;

enum client_state {
	CLIENT_TLS,      /* its handshake is not over */
	CLIENT_IDLE,     /* between exchanges: no byte of a request */
	CLIENT_HEAD,     /* a request head has begun to come (or blank lines before it) */
	CLIENT_EXCHANGE, /* the relay has a complete head, or answers a bad one */
	CLIENT_LINGER,   /* our direction is shut: what still comes is discarded */
	CLIENT_CLOSED,   /* freed at the end of this loop turn */
};

struct client {
	TAILQ_ENTRY(client) link;  /* all clients, or the dead */
	TAILQ_ENTRY(client) again; /* to run in the next turn */
	TAILQ_ENTRY(client) mute;  /* those that have never asked for anything */
	struct conn conn;
	struct worker *w;
	enum client_state state;
	struct buf in;     /* read, not used yet; offsets: it ends at conn.read_off */
	bool in_looked_at; /* the head reader has seen all of `in` */
	bool is_again;
	bool is_mute;
	bool is_plain_on_tls; /* HTTP came where TLS was expected */
	bool refused;         /* beyond max_connections */
	uint64_t came_ns;     /* monotonic */
	uint64_t read_ns;     /* of the newest read */
	struct relay *relay;  /* CLIENT_HEAD, CLIENT_EXCHANGE */
	struct timeout phase_limit;
	struct timeout linger_limit;
};

/* Take over an accepted socket. False: no memory; answered 503 and closed. refuse: answer 503 at once. */
bool client_new(struct worker *w, const struct accepted *a, bool refuse) MUST_CHECK;

/* Go on as far as possible now. */
void client_run(struct client *c);

/* End it now, whatever it does. An exchange under way is reported as `why`. */
void client_close(struct client *c, enum reason why, bool reset);

/* Graceful stop: idle connections close, others after their exchange. */
void client_drain(struct client *c);

/* Free those that were closed in this turn. */
void client_reap(struct worker *w);

#endif
