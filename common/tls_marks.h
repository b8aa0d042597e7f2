/*
 * tls_marks.h -- what the bytes of a connection say of its TLS handshake: which record carried which
 * of its messages.
 *
 * Ranges are offsets of the connection as everywhere (common/exchange_record.h), below TLS: from
 * the first byte of the first record that carried a byte of the message, past the last one's end.
 * The hellos are the first ClientHello and the last ServerHello (RFC 8446 section 4.1.4: there may
 * be a HelloRetryRequest between them). A message that never came has no range.
 */
#ifndef COMMON_TLS_MARKS_H
#define COMMON_TLS_MARKS_H

#include <stdint.h>

#include "common/exchange_record.h"

/* As on the wire; 0: not negotiated. */
#define TLS_VERSION_12 0x0303
#define TLS_VERSION_13 0x0304

/* Of resumed and failed, when they were read from packets; the proxy knows. */
#define TLS_UNKNOWN 2

enum tls_mark {
	TLS_MARK_CLIENT_HELLO,    /* in the bytes of the side that connected */
	TLS_MARK_SERVER_HELLO,    /* in the bytes of the side that accepted */
	TLS_MARK_SERVER_FINISHED, /* likewise */
	TLS_MARK_CLIENT_FINISHED,
	TLS_MARK_COUNT,
};

struct tls_marks {
	uint16_t version;
	uint8_t resumed;
	uint8_t failed; /* the handshake ended without success, before both had sent Finished */
	uint32_t zero;
	struct byte_range at[TLS_MARK_COUNT];
};

/* Have both sides sent their Finished? What fails later is not the handshake. */
static inline uint8_t tls_marks_complete(const struct tls_marks *m)
{
	return byte_range_exists(&m->at[TLS_MARK_SERVER_FINISHED]) &&
	       byte_range_exists(&m->at[TLS_MARK_CLIENT_FINISHED]);
}

#endif
