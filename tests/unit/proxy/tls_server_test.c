/*
 * tls_server_test.c -- handshakes of a listener: which certificate is shown, what is spoken, which
 * clients are let in.
 */
#include "tls_rig.h"

TestSuite(tls_server, .init = setup, .fini = teardown);

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

Test(tls_server, the_name_chooses_the_certificate)
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

Test(tls_server, a_common_name_beside_dns_names_is_none)
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

Test(tls_server, two_kinds_of_keys_for_the_same_names)
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

Test(tls_server, the_chain_is_shown_from_the_nearest_up_and_without_the_root)
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

Test(tls_server, http_1_1_or_nothing)
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

Test(tls_server, versions_and_ciphers)
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

Test(tls_server, no_renegotiation)
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

Test(tls_server, clients_that_must_show_a_certificate)
{
	expect_clients("required", false);
}

Test(tls_server, clients_that_may_show_a_certificate)
{
	expect_clients("optional", true);
}

Test(tls_server, clients_are_not_asked_unless_told_so)
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
