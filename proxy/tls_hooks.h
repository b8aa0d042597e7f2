/*
 * tls_hooks.h -- what OpenSSL tells of a connection while it works, told on to proxy/tls.c, which
 * knows the connection. The contexts are built with these as callbacks.
 */
#ifndef PROXY_TLS_HOOKS_H
#define PROXY_TLS_HOOKS_H

struct ssl_st;
struct ssl_session_st;

/* One line of the key log, without its end. Called only with [trace] secrets = on. */
void tls_keylog(const struct ssl_st *ssl, const char *line);

/* The backend gave a session that can be resumed. 1: the reference was taken over; 0: not wanted. */
int tls_session_new(struct ssl_st *ssl, struct ssl_session_st *session);

#endif
