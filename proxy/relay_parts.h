/*
 * relay_parts.h -- the parts of relay.h that relay.c drives: the way there, the way back, and the
 * tunnel after a 101.
 */
#ifndef PROXY_RELAY_PARTS_H
#define PROXY_RELAY_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"
#include "common/http_body.h"
#include "common/http_head.h"
#include "proxy/conn.h"
#include "proxy/reason.h"
#include "proxy/soap.h"

struct relay;

/* Read once from the client, as far as the request goes, and pass on. True when something moved. */
bool relay_request(struct relay *r) MUST_CHECK;

/* Read once from the backend and pass on. True when something moved. */
bool relay_response(struct relay *r) MUST_CHECK;

/* A 101 has come and is written in the worker's head buffer: send it; bytes[0, len) came behind it. */
void relay_tunnel_open(struct relay *r, size_t head_len, char *bytes, size_t len);

/* Move bytes both ways of a tunnel. True when something moved. */
bool relay_tunnel(struct relay *r) MUST_CHECK;

/*
 * Tell the tap where the heads end; what follows on both legs is the tunnel's, and its end record
 * comes late. r->up is there.
 */
void relay_tunnel_tell(struct relay *r);

/* How far the client got: the 101 and what went through the tunnel on its leg. */
void relay_tunnel_settle(struct relay *r);

/*
 * Of the bytes read last, `behind` ones belong to no request yet. Over TLS they may stand in one
 * record with bytes that do: the tap is told that, and when it is over.
 */
void relay_tell_shared(struct relay *r, size_t behind);

/* Bytes for the client: notes range and time, fails the exchange when the client is gone. */
void relay_send_client(struct relay *r, const struct iovec *parts, int count);

/* Why the client's connection failed. */
enum reason relay_client_reason(const struct relay *r);

/*
 * The body behind this head begins, which stands at bytes: with log.soap = full have it read as it
 * passes. NULL when nothing is to be read; the caller keeps and frees the reader.
 */
struct soap_reader *relay_watch(const struct relay *r, enum soap_side side,
				const struct http_head *h, const char *bytes,
				struct http_body *body) MUST_CHECK;

/* The size of the next read from one side, whose bytes went to the other. */
uint32_t relay_next_read_size(uint32_t size, const struct conn *from, const struct conn *to);

#endif
