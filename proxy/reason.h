/*
 * reason.h -- the one table of why an exchange or a connection ended: log word, counter and the
 * status sent when no response head has left yet (0: nothing is sent).
 *
 * The words are public (README, "end").
 */
#ifndef PROXY_REASON_H
#define PROXY_REASON_H

#include <stdint.h>

#define REASONS(X)                                                                                 \
	X(NONE, "none", 0, "")                                                                     \
	X(DONE, "done", 0, "")                                                                     \
	X(CLIENT_EOF, "client-eof", 0, "")                                                         \
	X(CLIENT_RESET, "client-reset", 0, "")                                                     \
	X(CLIENT_STALLED, "client-stalled", 0, "")                                                 \
	X(HEADER_TIMEOUT, "header-timeout", 408, "The request head did not arrive in time.")       \
	X(BODY_TIMEOUT, "body-timeout", 408, "The request body did not arrive in time.")           \
	X(BAD_REQUEST, "bad-request", 400, "The request is not valid HTTP.")                       \
	X(MISSING_HOST, "missing-host", 400, "The request has no Host field.")                     \
	X(METHOD_REFUSED, "method-refused", 405, "The method is not allowed here.")                \
	X(METHOD_UNKNOWN, "method-unknown", 501, "The method is not known.")                       \
	X(VERSION_REFUSED, "version-refused", 505, "The HTTP version is not supported.")           \
	X(CODING_REFUSED, "coding-refused", 501, "The transfer coding is not supported.")          \
	X(TARGET_TOO_LONG, "target-too-long", 414, "The request target is too long.")              \
	X(HEAD_TOO_LARGE, "head-too-large", 431, "The request head is too large.")                 \
	X(BODY_TOO_LARGE, "body-too-large", 413, "The request body is too large.")                 \
	X(ANSWERED_HERE, "answered-here", 200, "")                                                 \
	X(OVERLOAD, "overload", 503, "The proxy has too many connections.")                        \
	X(NO_DESCRIPTOR, "no-descriptor", 503, "The proxy has no free descriptor.")                \
	X(NO_MEMORY, "no-memory", 503, "The proxy has no memory left.")                            \
	X(SHUTDOWN, "shutdown", 503, "The proxy is stopping.")                                     \
	X(BACKEND_EOF, "backend-eof", 502, "The backend closed before its response was complete.") \
	X(BACKEND_RESET, "backend-reset", 502,                                                     \
	  "The backend reset the connection before its response was complete.")                    \
	X(BACKEND_TIMEOUT, "backend-timeout", 504, "The backend did not answer in time.")          \
	X(BACKEND_STALLED, "backend-stalled", 504,                                                 \
	  "The backend did not take the request in time.")                                         \
	X(BAD_RESPONSE, "bad-response", 502, "The backend's response is not valid HTTP.")          \
	X(RESPONSE_HEAD_TOO_LARGE, "response-head-too-large", 502,                                 \
	  "The backend's response head is too large.")                                             \
	X(TOO_MANY_INTERIM, "too-many-interim", 502,                                               \
	  "The backend sent too many interim responses.")                                          \
	X(RESOLVE_FAILED, "resolve-failed", 502, "The backend's name could not be resolved.")      \
	X(CONNECT_REFUSED, "connect-refused", 502, "The backend refused the connection.")          \
	X(CONNECT_FAILED, "connect-failed", 502, "The backend could not be reached.")              \
	X(CONNECT_TIMEOUT, "connect-timeout", 504, "The backend did not accept in time.")          \
	X(REQUEST_TIMEOUT, "request-timeout", 504, "The exchange took too long.")                  \
	X(BACKEND_TLS_FAILED, "backend-tls-failed", 502, "The backend's TLS handshake failed.")    \
	X(BACKEND_UNVERIFIED, "backend-unverified", 502, "The backend could not be verified.")     \
	X(TLS_HANDSHAKE, "tls-handshake", 0, "")                                                   \
	X(TLS_TIMEOUT, "tls-timeout", 0, "")                                                       \
	X(TLS_UNVERIFIED, "tls-unverified", 0, "")                                                 \
	X(TLS_ON_PLAIN, "tls-on-plain", 0, "")                                                     \
	X(PLAIN_ON_TLS, "plain-on-tls", 400, "This port speaks HTTPS.")                            \
	X(TUNNEL_CLIENT, "tunnel-client", 101, "")                                                 \
	X(TUNNEL_BACKEND, "tunnel-backend", 101, "")                                               \
	X(TUNNEL_TIMEOUT, "tunnel-timeout", 101, "")                                               \
	/* of idle connections: never in a log line, in the tap's close records and counters */    \
	X(IDLE_TIMEOUT, "idle-timeout", 0, "")                                                     \
	X(CLIENT_CLOSED, "client-closed", 0, "")                                                   \
	X(BACKEND_CLOSED, "backend-closed", 0, "")                                                 \
	X(POOL_FULL, "pool-full", 0, "")                                                           \
	X(ABANDONED, "abandoned", 0, "")

enum reason {
#define X(name, word, status, sentence) REASON_##name,
	REASONS(X)
#undef X
		REASON_COUNT,
};

struct reason_info {
	const char *word;
	const char *sentence; /* for the body of our own answer */
	uint16_t status;      /* before a response head has left; 0: close without an answer */
};

const struct reason_info *reason_info(enum reason r);

#endif
