/*
 * http_tls.h -- a connection in a capture without a log that speaks TLS: no HTTP is read from it, but
 * where its handshake lies, as far as that is in clear.
 *
 * It is known by its client's first byte, which begins no request, and by the ClientHello behind it;
 * so only connections whose beginning was captured are known. The Finished are known up to TLS 1.2,
 * where a ChangeCipherSpec stands before them. Whether the handshake succeeded is known when both
 * are, or a fatal alert in clear is.
 */
#ifndef TRACE_HTTP_TLS_H
#define TRACE_HTTP_TLS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attrib.h"
#include "trace/http_conn.h"

struct http_tls;

/* Are these the client's first bytes of a connection that speaks TLS? */
static inline bool http_tls_begins(const struct http_conn *c, unsigned side, const struct piece *p)
{
	return p->off == 0 && side == c->view.client && p->bytes != NULL &&
	       (uint8_t)*p->bytes == 0x16;
}

/* From now on c->tls reads. False: no memory. */
bool http_tls_start(struct http_conn *c) MUST_CHECK;
void http_tls_free(struct http_tls *t); /* NULL is fine */

/* The next bytes of that side. c is hopeless when it is no TLS after all. */
void http_tls_read(struct http_conn *c, unsigned side, const struct piece *p);

/* After reading: is there anything to tell now? */
void http_tls_settle(struct http_conn *c);

/* All was told that there is to tell: nothing needs to be read any more. */
bool http_tls_is_told(const struct http_tls *t) MUST_CHECK;

/* The connection is over, or the capture. */
void http_tls_end(struct http_conn *c);

#endif
