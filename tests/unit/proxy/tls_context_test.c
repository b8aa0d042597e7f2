/*
 * tls_context_test.c -- the life of what the stores are made into.
 */
#include "tls_rig.h"

TestSuite(tls_context, .init = setup, .fini = teardown);

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
