/*
 * tls_context_test.c -- handshakes with what the stores were made into: who is shown to whom, who is
 * believed, what can be resumed.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/attrib.h"
#include "proxy/tls_context.h"
#include "scratch.h"
#include "tls_maker.h"
#include "tls_pair.h"

static struct scratch dir;
static struct config cfg;
static struct made ca, other_ca;

static void set(const char *section, const char *key, const char *value)
{
	char err[CONFIG_ERROR_MAX];

	cr_assert(config_set(&cfg, section, key, value, err), "%s", err);
}

static void setup(void)
{
	scratch_make(&dir);
	ca = make((struct plan){.cn = "Test CA", .ca = true});
	other_ca = make((struct plan){.cn = "Other CA", .ca = true});
	config_defaults(&cfg);
	set("proxy", "listen", "https://127.0.0.1:0");
}

static void teardown(void)
{
	unmake(&ca);
	unmake(&other_ca);
	scratch_remove(&dir);
}

TestSuite(tls_context, .init = setup, .fini = teardown);

/* A keystore of m, named file, goes into the configuration. */
static void add_keystore(const char *file, const struct made *m)
{
	write_key(scratch_path(&dir, file), m->key, NULL);
	write_cert(scratch_path(&dir, file), m->cert);
	set("tls", "keystore", scratch_path(&dir, file));
	cfg.given = UINT64_MAX;
}

static struct made add_identity(const char *file, struct plan p)
{
	struct made m;

	if (p.by == NULL)
		p.by = &ca;
	m = make(p);
	add_keystore(file, &m);
	return m;
}

static void trust(const struct made *m)
{
	write_cert(scratch_path(&dir, "trust"), m->cert);
	set("tls", "truststore", scratch_path(&dir, "trust"));
}

static struct tls_context *load(void)
{
	char err[CONFIG_ERROR_MAX] = "";
	struct tls_context *t = tls_context_load(&cfg, err);

	cr_assert(t != NULL, "%s", err);
	return t;
}

/* ---- peers of the proxy ------------------------------------------------------------------------ */

/* A client that trusts the CA; name NULL: it asks for none. */
static SSL *client_of(SSL_CTX *ctx, const char *name)
{
	SSL *ssl = SSL_new(ctx);

	SSL_set_connect_state(ssl);
	if (name != NULL)
		cr_assert(SSL_set_tlsext_host_name(ssl, name));
	return ssl;
}

static SSL_CTX *client_ctx(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	SSL_CTX_set_security_level(ctx, 0);
	SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
	return ctx;
}

static SSL_CTX *with_identity(SSL_CTX *ctx, const struct made *m)
{
	cr_assert(SSL_CTX_use_certificate(ctx, m->cert) && SSL_CTX_use_PrivateKey(ctx, m->key));
	return ctx;
}

/* Common name of what the peer showed. */
static const char *shown(const SSL *ssl)
{
	static char name[100];
	X509 *cert = SSL_get0_peer_certificate(ssl);

	if (cert == NULL)
		return "nothing";
	X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, name, sizeof(name));
	return name;
}

static const char *shown_for(struct tls_context *t, SSL_CTX *ctx, const char *name)
{
	struct pair p = pair_of(client_of(ctx, name), tls_context_accept(t));
	const char *cn;

	cr_assert(pair_shake(&p), "%s: %s %s", name, p.client_error, p.server_error);
	cn = shown(p.client);
	pair_free(&p);
	return cn;
}

/* ---- who is shown ------------------------------------------------------------------------------ */

Test(tls_context, the_name_chooses_the_certificate)
{
	struct made m[4] = {
		add_identity("1", (struct plan){.cn = "first.example", .san = "DNS:a.example"}),
		add_identity("2", (struct plan){.cn = "wild", .san = "DNS:*.shop.example"}),
		add_identity("3", (struct plan){.cn = "exact",
						.san = "DNS:www.SHOP.example,"
						       "DNS:b.example"}),
		add_identity("4", (struct plan){.cn = "only.cn.example"}),
	};
	struct tls_context *t = load();
	SSL_CTX *ctx = client_ctx();

	cr_expect_str_eq(shown_for(t, ctx, "a.example"), "first.example");
	cr_expect_str_eq(shown_for(t, ctx, "www.shop.example"), "exact");
	cr_expect_str_eq(shown_for(t, ctx, "WWW.shop.EXAMPLE"), "exact");
	cr_expect_str_eq(shown_for(t, ctx, "other.shop.example"), "wild");
	cr_expect_str_eq(shown_for(t, ctx, "b.example"), "exact");
	cr_expect_str_eq(shown_for(t, ctx, "only.cn.example"), "only.cn.example");
	cr_expect_str_eq(shown_for(t, ctx, "unknown.example"), "first.example");
	cr_expect_str_eq(shown_for(t, ctx, "a.b.shop.example"), "first.example");
	cr_expect_str_eq(shown_for(t, ctx, NULL), "first.example");
	/* The first has DNS names: its common name is none. */
	cr_expect_str_eq(shown_for(t, ctx, "first.example"), "first.example");
	SSL_CTX_free(ctx);
	tls_context_unref(t);
	for (size_t i = 0; i < ARRAY_LEN(m); i++)
		unmake(&m[i]);
}

Test(tls_context, a_common_name_beside_dns_names_is_none)
{
	struct made first = add_identity("1", (struct plan){.cn = "first", .san = "DNS:a.example"});
	struct made second =
		add_identity("2", (struct plan){.cn = "cn.example", .san = "DNS:b.example"});
	struct tls_context *t = load();
	SSL_CTX *ctx = client_ctx();

	cr_expect_str_eq(shown_for(t, ctx, "b.example"), "cn.example");
	cr_expect_str_eq(shown_for(t, ctx, "cn.example"), "first");
	SSL_CTX_free(ctx);
	tls_context_unref(t);
	unmake(&first);
	unmake(&second);
}

Test(tls_context, two_kinds_of_keys_for_the_same_names)
{
	struct made rsa = add_identity(
		"1", (struct plan){.cn = "rsa", .san = "DNS:a.example", .rsa_bits = 2048});
	struct made ec = add_identity("2", (struct plan){.cn = "ec", .san = "DNS:A.example"});
	struct tls_context *t = load();
	SSL_CTX *ctx = client_ctx();

	SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
	cr_assert(SSL_CTX_set_cipher_list(ctx, "ECDHE-RSA-AES128-GCM-SHA256"));
	cr_expect_str_eq(shown_for(t, ctx, "a.example"), "rsa");
	cr_assert(SSL_CTX_set_cipher_list(ctx, "ECDHE-ECDSA-AES128-GCM-SHA256"));
	cr_expect_str_eq(shown_for(t, ctx, "a.example"), "ec");
	SSL_CTX_free(ctx);
	tls_context_unref(t);
	unmake(&rsa);
	unmake(&ec);
}

Test(tls_context, the_chain_is_shown_from_the_nearest_up_and_without_the_root)
{
	struct made upper = make((struct plan){.cn = "Upper", .by = &ca, .ca = true});
	struct made lower = make((struct plan){.cn = "Lower", .by = &upper, .ca = true});
	struct made leaf = make((struct plan){.cn = "leaf", .by = &lower});
	SSL_CTX *ctx = client_ctx();
	STACK_OF(X509) * chain;
	struct tls_context *t;
	struct pair p;

	/* In the wrong order, and one of them only in the truststore. */
	write_cert(scratch_path(&dir, "1"), ca.cert);
	write_cert(scratch_path(&dir, "1"), lower.cert);
	add_keystore("1", &leaf);
	trust(&upper);
	t = load();
	p = pair_of(client_of(ctx, NULL), tls_context_accept(t));
	cr_assert(pair_shake(&p));
	chain = SSL_get_peer_cert_chain(p.client);
	cr_assert_eq(sk_X509_num(chain), 3);
	cr_expect_eq(X509_cmp(sk_X509_value(chain, 0), leaf.cert), 0);
	cr_expect_eq(X509_cmp(sk_X509_value(chain, 1), lower.cert), 0);
	cr_expect_eq(X509_cmp(sk_X509_value(chain, 2), upper.cert), 0);
	pair_free(&p);
	SSL_CTX_free(ctx);
	tls_context_unref(t);
	unmake(&upper);
	unmake(&lower);
	unmake(&leaf);
}

/* ---- what is spoken ---------------------------------------------------------------------------- */

Test(tls_context, http_1_1_or_nothing)
{
	static const unsigned char both[] = "\x02h2\x08http/1.1";
	static const unsigned char h2[] = "\x02h2";
	struct made m = add_identity("1", (struct plan){.cn = "a"});
	struct tls_context *t = load();
	SSL_CTX *ctx = client_ctx();
	const unsigned char *alpn;
	struct pair p;
	unsigned len;

	SSL_CTX_set_alpn_protos(ctx, both, sizeof(both) - 1);
	p = pair_of(client_of(ctx, NULL), tls_context_accept(t));
	cr_assert(pair_shake(&p));
	SSL_get0_alpn_selected(p.client, &alpn, &len);
	cr_expect(len == 8 && memcmp(alpn, "http/1.1", 8) == 0);
	pair_free(&p);
	SSL_CTX_set_alpn_protos(ctx, h2, sizeof(h2) - 1);
	p = pair_of(client_of(ctx, NULL), tls_context_accept(t));
	cr_expect(!pair_shake(&p));
	cr_expect_str_eq(p.client_error, "tlsv1 alert no application protocol");
	pair_free(&p);
	SSL_CTX_free(ctx);
	tls_context_unref(t);
	unmake(&m);
}

/* Both sides of the handshake at that version; cipher NULL: the usual ones. */
static bool speaks(struct tls_context *t, int version, const char *cipher)
{
	SSL_CTX *ctx = client_ctx();
	struct pair p;
	bool fine;

	SSL_CTX_set_min_proto_version(ctx, version);
	SSL_CTX_set_max_proto_version(ctx, version);
	if (cipher != NULL)
		cr_assert(SSL_CTX_set_cipher_list(ctx, cipher));
	p = pair_of(client_of(ctx, NULL), tls_context_accept(t));
	fine = pair_shake(&p);
	pair_free(&p);
	SSL_CTX_free(ctx);
	return fine;
}

Test(tls_context, versions_and_ciphers)
{
	struct made m = add_identity("1", (struct plan){.cn = "a", .rsa_bits = 2048});
	struct tls_context *t = load();

	cr_expect(speaks(t, TLS1_3_VERSION, NULL));
	cr_expect(speaks(t, TLS1_2_VERSION, NULL));
	cr_expect(!speaks(t, TLS1_1_VERSION, NULL));
	cr_expect(!speaks(t, TLS1_VERSION, NULL));
	cr_expect(speaks(t, TLS1_2_VERSION, "ECDHE-RSA-CHACHA20-POLY1305"));
	cr_expect(speaks(t, TLS1_2_VERSION, "DHE-RSA-AES128-GCM-SHA256"));
	cr_expect(!speaks(t, TLS1_2_VERSION, "AES128-GCM-SHA256"));
	cr_expect(!speaks(t, TLS1_2_VERSION, "ECDHE-RSA-AES128-SHA256"));
	cr_expect(!speaks(t, TLS1_2_VERSION, "AES128-SHA"));
	tls_context_unref(t);
	set("tls", "min_version", "1.3");
	t = load();
	cr_expect(speaks(t, TLS1_3_VERSION, NULL));
	cr_expect(!speaks(t, TLS1_2_VERSION, NULL));
	tls_context_unref(t);
	unmake(&m);
}

Test(tls_context, no_renegotiation)
{
	struct made m = add_identity("1", (struct plan){.cn = "a"});
	struct tls_context *t = load();
	SSL_CTX *ctx = client_ctx();
	struct pair p;
	char byte[1];

	SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
	p = pair_of(client_of(ctx, NULL), tls_context_accept(t));
	cr_assert(pair_shake(&p));
	cr_assert(SSL_renegotiate(p.client));
	cr_assert(pair_step(p.client, &p.client_error));
	cr_expect_eq(SSL_read(p.server, byte, 1), -1);
	cr_expect(!pair_step(p.client, &p.client_error));
	cr_expect_str_eq(p.client_error, "no renegotiation");
	pair_free(&p);
	SSL_CTX_free(ctx);
	tls_context_unref(t);
	unmake(&m);
}

/* ---- resumption -------------------------------------------------------------------------------- */

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

Test(tls_context, resumption_1_3)
{
	check_resumption(TLS1_3_VERSION);
}

Test(tls_context, resumption_1_2)
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

Test(tls_context, sessions_do_not_outlive_the_question_to_the_client)
{
	check_no_way_round_client_auth(TLS1_3_VERSION);
}

Test(tls_context, sessions_do_not_outlive_the_question_to_the_client_1_2)
{
	check_no_way_round_client_auth(TLS1_2_VERSION);
}

Test(tls_context, a_resumed_session_still_knows_the_client)
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

/* ---- clients that are asked -------------------------------------------------------------------- */

/* NULL: let in; else why not. who NULL: shows nothing. */
static const char *refused(struct tls_context *t, const struct made *who, int version)
{
	SSL_CTX *ctx = client_ctx();
	const char *why = NULL;
	struct pair p;

	SSL_CTX_set_max_proto_version(ctx, version);
	if (who != NULL)
		with_identity(ctx, who);
	p = pair_of(client_of(ctx, NULL), tls_context_accept(t));
	if (!pair_shake(&p))
		why = p.server_error != NULL ? p.server_error : "?";
	else if (who != NULL)
		cr_expect_eq(SSL_get_verify_result(p.server), X509_V_OK);
	pair_free(&p);
	SSL_CTX_free(ctx);
	return why;
}

static void expect_clients(const char *mode, bool bare)
{
	struct made a = add_identity("1", (struct plan){.cn = "a"});
	struct made good = make((struct plan){.cn = "good", .by = &ca, .eku = "clientAuth"});
	struct made others = make((struct plan){.cn = "good", .by = &other_ca});
	struct made own = make((struct plan){.cn = "good"});
	struct made old =
		make((struct plan){.cn = "old", .by = &ca, .begins_s = -7200, .ends_s = -3600});
	struct made young =
		make((struct plan){.cn = "young", .by = &ca, .begins_s = 3600, .ends_s = 7200});
	struct made wrong = make((struct plan){.cn = "server", .by = &ca, .eku = "serverAuth"});
	struct made weak = make((struct plan){.cn = "weak", .by = &ca, .rsa_bits = 1024});
	struct made *bad[] = {&others, &own, &old, &young, &wrong, &weak};
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	struct tls_context *t;

	trust(&ca);
	set("tls", "client_auth", mode);
	t = load();
	for (size_t v = 0; v < ARRAY_LEN(versions); v++) {
		const char *why = refused(t, NULL, versions[v]);

		if (bare)
			cr_expect(why == NULL, "%s", why);
		else
			cr_expect_str_eq(why, "peer did not return a certificate");
		why = refused(t, &good, versions[v]);
		cr_expect(why == NULL, "%s", why);
		for (size_t i = 0; i < ARRAY_LEN(bad); i++)
			cr_expect_str_eq(refused(t, bad[i], versions[v]),
					 "certificate verify failed", "bad one %zu", i);
	}
	tls_context_unref(t);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		unmake(bad[i]);
	unmake(&good);
	unmake(&a);
}

Test(tls_context, clients_that_must_show_a_certificate)
{
	expect_clients("required", false);
}

Test(tls_context, clients_that_may_show_a_certificate)
{
	expect_clients("optional", true);
}

Test(tls_context, clients_are_not_asked_unless_told_so)
{
	struct made a = add_identity("1", (struct plan){.cn = "a"});
	struct made any = make((struct plan){.cn = "any"});
	struct tls_context *t;

	trust(&ca);
	t = load();
	cr_expect(refused(t, NULL, TLS1_3_VERSION) == NULL);
	cr_expect(refused(t, &any, TLS1_3_VERSION) == NULL);
	tls_context_unref(t);
	unmake(&a);
	unmake(&any);
}

/* ---- backends ---------------------------------------------------------------------------------- */

static int want_client_cert(int ok, X509_STORE_CTX *ctx)
{
	(void)ok;
	(void)ctx;
	return 1;
}

static SSL *server_of(const struct made *m, X509 *intermediate)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	SSL *ssl;

	SSL_CTX_set_security_level(ctx, 0);
	with_identity(ctx, m);
	if (intermediate != NULL)
		cr_assert(SSL_CTX_add1_chain_cert(ctx, intermediate));
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, want_client_cert);
	ssl = SSL_new(ctx);
	SSL_CTX_free(ctx);
	SSL_set_accept_state(ssl);
	return ssl;
}

/* NULL: believed; else why not, in OpenSSL's words. */
static const char *disbelieved(struct tls_context *t, const struct made *m, X509 *intermediate)
{
	struct pair p = pair_of(tls_context_connect(t), server_of(m, intermediate));
	const char *why = NULL;
	long result;

	if (!pair_shake(&p)) {
		result = SSL_get_verify_result(p.client);
		why = result != X509_V_OK ? X509_verify_cert_error_string(result) : p.client_error;
	}
	pair_free(&p);
	return why;
}

static struct tls_context *load_backend(const char *url)
{
	config_source_begin(&cfg);
	set("proxy", "listen", "127.0.0.1:0");
	set("proxy", "backend", url);
	return load();
}

static void expect_backend(struct plan p, const char *url, const char *why)
{
	struct tls_context *t = load_backend(url);
	struct made m;
	const char *got;

	if (p.by == NULL)
		p.by = &ca;
	m = make(p);
	got = disbelieved(t, &m, NULL);
	if (why == NULL)
		cr_expect(got == NULL, "%s at %s: %s", p.san, url, got);
	else
		cr_expect_str_eq(got, why, "%s at %s: %s", p.san, url, got);
	unmake(&m);
	tls_context_unref(t);
}

Test(tls_context, backends_are_verified_by_name)
{
	const char *host = "hostname mismatch";
	const char *ip = "IP address mismatch";

	trust(&ca);
	expect_backend((struct plan){.san = "DNS:api.example"}, "https://api.example", NULL);
	expect_backend((struct plan){.san = "DNS:API.example"}, "https://api.EXAMPLE", NULL);
	expect_backend((struct plan){.san = "DNS:api.example"}, "https://api.example.:8443", NULL);
	expect_backend((struct plan){.san = "DNS:*.example.org"}, "https://api.example.org", NULL);
	expect_backend((struct plan){.san = "DNS:*.example.org"}, "https://a.b.example.org", host);
	expect_backend((struct plan){.san = "DNS:a*.example.org"}, "https://api.example.org", host);
	expect_backend((struct plan){.san = "DNS:api.example"}, "https://other.example", host);
	expect_backend((struct plan){.cn = "api.example"}, "https://api.example", NULL);
	expect_backend((struct plan){.cn = "api.example", .san = "DNS:b.example"},
		       "https://api.example", host);
	expect_backend((struct plan){.san = "IP:127.0.0.1"}, "https://127.0.0.1:8443", NULL);
	expect_backend((struct plan){.san = "IP:127.0.0.2"}, "https://127.0.0.1:8443", ip);
	expect_backend((struct plan){.san = "DNS:127.0.0.1"}, "https://127.0.0.1:8443", ip);
	expect_backend((struct plan){.cn = "127.0.0.1"}, "https://127.0.0.1:8443", ip);
	expect_backend((struct plan){.san = "IP:::1"}, "https://[::1]", NULL);
	expect_backend((struct plan){.san = "IP:::2"}, "https://[::1]", ip);
}

Test(tls_context, backends_are_verified_by_chain)
{
	const char *url = "https://api.example";

	trust(&ca);
	expect_backend((struct plan){.cn = "api.example", .by = &other_ca}, url,
		       "unable to get local issuer certificate");
	expect_backend((struct plan){.cn = "api.example", .begins_s = -7200, .ends_s = -3600}, url,
		       "certificate has expired");
	expect_backend((struct plan){.cn = "api.example", .begins_s = 3600, .ends_s = 7200}, url,
		       "certificate is not yet valid");
	expect_backend((struct plan){.cn = "api.example", .eku = "clientAuth"}, url,
		       "unsuitable certificate purpose");
	expect_backend((struct plan){.cn = "api.example", .eku = "serverAuth"}, url, NULL);
	expect_backend((struct plan){.cn = "api.example", .rsa_bits = 1024}, url,
		       "EE certificate key too weak");
	expect_backend((struct plan){.cn = "api.example", .rsa_bits = 2048}, url, NULL);
}

Test(tls_context, intermediates_come_from_the_backend_or_the_truststore)
{
	struct made middle = make((struct plan){.cn = "Middle", .by = &ca, .ca = true});
	struct made m = make((struct plan){.cn = "api.example", .by = &middle});
	struct made own = make((struct plan){.cn = "api.example"});
	struct tls_context *t;

	trust(&ca);
	t = load_backend("https://api.example");
	cr_expect(disbelieved(t, &m, middle.cert) == NULL);
	cr_expect_str_eq(disbelieved(t, &m, NULL), "unable to get local issuer certificate");
	cr_expect_str_eq(disbelieved(t, &own, NULL), "self-signed certificate");
	tls_context_unref(t);
	/* What stands in the truststore is trusted: an intermediate alone, and a certificate itself. */
	cr_assert(unlink(scratch_path(&dir, "trust")) == 0);
	trust(&middle);
	write_cert(scratch_path(&dir, "trust"), own.cert);
	t = load();
	cr_expect(disbelieved(t, &m, NULL) == NULL);
	cr_expect(disbelieved(t, &own, NULL) == NULL);
	tls_context_unref(t);
	unmake(&middle);
	unmake(&m);
	unmake(&own);
}

Test(tls_context, without_a_truststore_the_systems_is_asked)
{
	struct tls_context *t;
	struct made m = make((struct plan){.cn = "api.example", .by = &ca});

	setenv("SSL_CERT_FILE", scratch_path(&dir, "system"), 1);
	write_cert(scratch_path(&dir, "system"), ca.cert);
	t = load_backend("https://api.example");
	cr_expect(disbelieved(t, &m, NULL) == NULL);
	tls_context_unref(t);
	unsetenv("SSL_CERT_FILE");
	t = load();
	cr_expect_str_eq(disbelieved(t, &m, NULL), "unable to get local issuer certificate");
	tls_context_unref(t);
	unmake(&m);
}

Test(tls_context, verify_none_believes_anybody)
{
	struct made m = make((struct plan){.cn = "other.example", .by = &other_ca});
	struct tls_context *t;

	trust(&ca);
	set("tls", "verify", "none");
	t = load_backend("https://api.example");
	cr_expect(disbelieved(t, &m, NULL) == NULL);
	tls_context_unref(t);
	unmake(&m);
}

Test(tls_context, the_first_identity_is_shown_to_a_backend_that_asks)
{
	struct made first = add_identity("1", (struct plan){.cn = "first"});
	struct made second = add_identity("2", (struct plan){.cn = "second"});
	struct made m = make((struct plan){.cn = "api.example", .by = &ca});
	struct tls_context *t;
	struct pair p;

	trust(&ca);
	t = load_backend("https://api.example:8443");
	p = pair_of(tls_context_connect(t), server_of(&m, NULL));
	cr_assert(pair_shake(&p), "%s", p.client_error);
	cr_expect_str_eq(shown(p.server), "first");
	cr_expect_str_eq(SSL_get_servername(p.server, TLSEXT_NAMETYPE_host_name), "api.example");
	pair_free(&p);
	tls_context_unref(t);
	t = load_backend("https://127.0.0.1:8443");
	set("tls", "verify", "none");
	p = pair_of(tls_context_connect(t), server_of(&m, NULL));
	(void)pair_shake(&p);
	cr_expect(SSL_get_servername(p.server, TLSEXT_NAMETYPE_host_name) == NULL);
	pair_free(&p);
	tls_context_unref(t);
	unmake(&first);
	unmake(&second);
	unmake(&m);
}

/* ---- life -------------------------------------------------------------------------------------- */

Test(tls_context, connections_outlive_the_context_they_were_made_from)
{
	struct made a = add_identity("1", (struct plan){.cn = "a", .san = "DNS:a.example"});
	struct made b = add_identity("2", (struct plan){.cn = "b", .san = "DNS:b.example"});
	struct tls_context *t = load();
	SSL_CTX *ctx = client_ctx();
	struct pair p = pair_of(client_of(ctx, "b.example"), tls_context_accept(t));

	tls_context_unref(t);
	cr_assert(pair_shake(&p));
	cr_expect_str_eq(shown(p.client), "b");
	cr_expect(pair_say(p.server, p.client, "hello"));
	pair_free(&p);
	SSL_CTX_free(ctx);
	unmake(&a);
	unmake(&b);
}

Test(tls_context, plain_http_needs_nothing)
{
	char err[CONFIG_ERROR_MAX];
	struct tls_context *a, *b;

	config_defaults(&cfg);
	a = tls_context_load(&cfg, err);
	b = tls_context_load(&cfg, err);
	cr_expect(a != NULL && a == b);
	tls_context_unref(a);
	tls_context_unref(b);
	a = tls_context_load(&cfg, err);
	cr_expect_eq(a, b);
	tls_context_unref(a);
	tls_context_unref(NULL);
}

Test(tls_context, a_store_that_is_named_is_read)
{
	char err[CONFIG_ERROR_MAX];

	config_defaults(&cfg);
	set("tls", "keystore", "/nowhere/a.p12");
	cr_expect(tls_context_load(&cfg, err) == NULL);
	cr_expect_str_eq(err, "[tls] keystore = \"/nowhere/a.p12\": No such file or directory");
	config_defaults(&cfg);
	set("tls", "truststore", "/nowhere/t.p12");
	cr_expect(tls_context_load(&cfg, err) == NULL);
	cr_expect_str_eq(err, "[tls] truststore = \"/nowhere/t.p12\": No such file or directory");
}
