/*
 * tls_client_test.c -- handshakes with a backend: who is believed, and what it is shown.
 */
#include "tls_rig.h"

TestSuite(tls_client, .init = setup, .fini = teardown);

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

Test(tls_client, backends_are_verified_by_name)
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

Test(tls_client, backends_are_verified_by_chain)
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

Test(tls_client, intermediates_come_from_the_backend_or_the_truststore)
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

Test(tls_client, without_a_truststore_the_systems_is_asked)
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

Test(tls_client, verify_none_believes_anybody)
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

Test(tls_client, the_first_identity_is_shown_to_a_backend_that_asks)
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
