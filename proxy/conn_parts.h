/*
 * conn_parts.h -- the two halves of conn.h: the socket (conn.c), and TLS over it (conn_tls.c).
 */
#ifndef PROXY_CONN_PARTS_H
#define PROXY_CONN_PARTS_H

#include "proxy/conn.h"

/* As conn_read() and conn_send(), of the bytes on the wire. */
ssize_t conn_recv(struct conn *c, char *bytes, size_t cap) MUST_CHECK;
bool conn_send_plain(struct conn *c, const struct iovec *parts, int count) MUST_CHECK;

/* The same of what is in the records. */
ssize_t conn_read_tls(struct conn *c, char *bytes, size_t cap) MUST_CHECK;
bool conn_send_tls(struct conn *c, const struct iovec *parts, int count) MUST_CHECK;

/* Say that nothing follows. False: the connection failed. */
bool conn_end_tls(struct conn *c) MUST_CHECK;

/* Let go of it. reset: without a word. */
void conn_close_tls(struct conn *c, bool reset);

#endif
