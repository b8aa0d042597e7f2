/*
 * tls_hello.h -- what the hello messages of a TLS handshake say in clear (RFC 8446 section 4.1).
 */
#ifndef TRACE_TLS_HELLO_H
#define TRACE_TLS_HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"

#define TLS_NAME_MAX 256

struct tls_hello {
	char name[TLS_NAME_MAX]; /* ClientHello: of the server it asks for; empty: none */
	uint16_t version;        /* ServerHello: the one that will be spoken */
	bool is_retry;           /* ServerHello: a HelloRetryRequest */
	bool is_resumed;         /* ServerHello of TLS 1.3: a session is resumed */
};

/* Bodies, without the message's header. False: malformed, out holds nothing of use. */
bool tls_client_hello_read(const uint8_t *body, size_t len, struct tls_hello *out) MUST_CHECK;
bool tls_server_hello_read(const uint8_t *body, size_t len, struct tls_hello *out) MUST_CHECK;

#endif
