/*
 * tls_resume_test.c -- what can be resumed by a ticket, and what must not be.
 */
#include "tls_rig.h"

TestSuite(tls_resume, .init = setup, .fini = teardown);

static SSL_SESSION *kept;

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	SSL_SESSION_free(kept);
	kept = session;
	return 1;
}

static SSL_CTX *resuming_client(int version)
{
	SSL_CTX *ctx = client_ctx();

	SSL_CTX_set_max_proto_version(ctx, version);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, keep_session);
	return ctx;
}

/* One connection, with the session that is kept if there is one: was it resumed? */
static bool resumes(struct tls_context *t, SSL_CTX *ctx, const char *name)
{
	struct pair p = pair_of(client_of(ctx, name), tls_context_accept(t));
	bool resumed;

	if (kept != NULL)
		cr_assert(SSL_set_session(p.client, kept));
	cr_assert(pair_shake(&p), "%s %s", p.client_error, p.server_error);
	cr_expect(pair_say(p.server, p.client, "hello"));
	cr_expect(pair_say(p.client, p.server, "hello"));
	resumed = SSL_session_reused(p.client);
	cr_expect_eq(resumed, SSL_session_reused(p.server));
	if (name != NULL)
		cr_expect_str_eq(SSL_get_servername(p.server, TLSEXT_NAMETYPE_host_name), name);
	SSL_shutdown(p.client);
	SSL_shutdown(p.server);
	pair_free(&p);
	return resumed;
}

static void forget(void)
{
	SSL_SESSION_free(kept);
	kept = NULL;
}

static struct tls_context *reload(struct tls_context *old)
{
	char err[CONFIG_ERROR_MAX] = "";
	struct tls_context *t = tls_context_reload(old, &cfg, err);

	cr_assert(t != NULL, "%s", err);
	tls_context_unref(old);
	return t;
}

static void check_resumption(int version)
{
	struct made a = add_identity("1", (struct plan){.cn = "a", .san = "DNS:a.example"});
	struct made b = add_identity("2", (struct plan){.cn = "b", .san = "DNS:b.example"});
	SSL_CTX *ctx = resuming_client(version);
	struct tls_context *t = load();

	cr_expect(!resumes(t, ctx, "a.example"));
	cr_expect(resumes(t, ctx, "a.example"));
	cr_expect(resumes(t, ctx, "a.example"));
	/* Stores that are read again leave the tickets good, as long as they hold the same. */
	t = reload(t);
	cr_expect(resumes(t, ctx, "a.example"));
	/* Another identity is another server. */
	cr_expect(!resumes(t, ctx, "b.example"));
	cr_expect(resumes(t, ctx, "b.example"));
	cr_expect(!resumes(t, ctx, "a.example"));
	/* Another process knows nothing of it. */
	tls_context_unref(t);
	t = load();
	cr_expect(!resumes(t, ctx, "a.example"));
	forget();
	SSL_CTX_free(ctx);
	tls_context_unref(t);
	unmake(&a);
	unmake(&b);
}

Test(tls_resume, resumption_1_3)
{
	check_resumption(TLS1_3_VERSION);
}

Test(tls_resume, resumption_1_2)
{
	check_resumption(TLS1_2_VERSION);
}

static void check_no_way_round_client_auth(int version)
{
	struct made a = add_identity("1", (struct plan){.cn = "a"});
	struct made client = make((struct plan){.cn = "me", .by = &ca});
	SSL_CTX *ctx = with_identity(resuming_client(version), &client);
	struct tls_context *t;

	trust(&ca);
	t = load();
	cr_expect(!resumes(t, ctx, "a"));
	cr_expect(resumes(t, ctx, "a"));
	/* What began without the question ends with it. */
	set("tls", "client_auth", "required");
	t = reload(t);
	cr_expect(!resumes(t, ctx, "a"));
	cr_expect(resumes(t, ctx, "a"));
	/* Others are believed now. */
	write_cert(scratch_path(&dir, "trust"), other_ca.cert);
	t = reload(t);
	cr_expect(!resumes(t, ctx, "a"));
	forget();
	SSL_CTX_free(ctx);
	tls_context_unref(t);
	unmake(&a);
	unmake(&client);
}

Test(tls_resume, sessions_do_not_outlive_the_question_to_the_client)
{
	check_no_way_round_client_auth(TLS1_3_VERSION);
}

Test(tls_resume, sessions_do_not_outlive_the_question_to_the_client_1_2)
{
	check_no_way_round_client_auth(TLS1_2_VERSION);
}

Test(tls_resume, a_resumed_session_still_knows_the_client)
{
	struct made a = add_identity("1", (struct plan){.cn = "a"});
	struct made client = make((struct plan){.cn = "me", .by = &ca});
	SSL_CTX *ctx = with_identity(resuming_client(TLS1_3_VERSION), &client);
	struct tls_context *t;
	struct pair p;

	trust(&ca);
	set("tls", "client_auth", "required");
	t = load();
	cr_expect(!resumes(t, ctx, "a"));
	p = pair_of(client_of(ctx, "a"), tls_context_accept(t));
	SSL_set_session(p.client, kept);
	cr_assert(pair_shake(&p) && SSL_session_reused(p.server));
	cr_expect_str_eq(shown(p.server), "me");
	pair_free(&p);
	forget();
	SSL_CTX_free(ctx);
	tls_context_unref(t);
	unmake(&a);
	unmake(&client);
}
