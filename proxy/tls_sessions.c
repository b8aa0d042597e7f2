/*
 * tls_sessions.c -- the sessions of a worker that may be resumed towards the backend, the newest
 * used first.
 *
 * One of TLS 1.3 is used once (RFC 8446 appendix C.4), one of TLS 1.2 as long as it works. Never
 * used with another context than the one that it was made with: what was verified then, and by
 * which authorities, holds for that one alone.
 */
#include "proxy/tls_context.h"
#include "proxy/tls_parts.h"

void tls_sessions_forget(struct tls_io *io)
{
	while (io->session_count > 0)
		SSL_SESSION_free(io->sessions[--io->session_count]);
	tls_context_unref(io->sessions_of);
	io->sessions_of = NULL;
}

/* Takes over the session. */
static void session_keep(struct tls_io *io, SSL_SESSION *session)
{
	if (io->session_count == TLS_SESSIONS_MAX) {
		SSL_SESSION_free(io->sessions[0]);
		for (unsigned i = 1; i < TLS_SESSIONS_MAX; i++)
			io->sessions[i - 1] = io->sessions[i];
		io->session_count--;
	}
	io->sessions[io->session_count++] = session;
}

void tls_sessions_offer(struct tls *t)
{
	struct tls_io *io = t->io;
	SSL_SESSION *newest;

	if (io->sessions_of != t->ctx) {
		tls_sessions_forget(io);
		io->sessions_of = tls_context_ref(t->ctx);
	}
	if (io->session_count == 0)
		return;
	newest = io->sessions[io->session_count - 1];
	/* A session that cannot be set is of no use; the handshake is then a full one. */
	(void)SSL_set_session(t->ssl, newest);
	if (SSL_SESSION_get_protocol_version(newest) < TLS1_3_VERSION)
		return;
	io->session_count--;
	SSL_SESSION_free(newest);
}

int tls_session_new(SSL *ssl, SSL_SESSION *session)
{
	struct tls *t = SSL_get_app_data(ssl);

	if (t == NULL || t->io->sessions_of != t->ctx || SSL_SESSION_is_resumable(session) != 1)
		return 0;
	session_keep(t->io, session);
	return 1;
}
