/*
 * tls_resume.c -- seals and opens session tickets for the listeners, with the keys of tls_tickets.
 *
 * Tickets are all there is: nothing of a session is kept here. Early data is never taken, so a
 * ticket that is shown twice repeats no request.
 */
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

#include "common/clock.h"
#include "proxy/tls_context_parts.h"
#include "proxy/tls_tickets.h"

#define IV_BYTES 16

static int tickets_index = -1;

static void on_context_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index, long argl,
			    void *argp)
{
	(void)parent;
	(void)ad;
	(void)index;
	(void)argl;
	(void)argp;
	tls_tickets_unref(ptr);
}

static bool prepare(struct tls_ticket_key *key, const unsigned char *iv, EVP_CIPHER_CTX *cipher,
		    EVP_MAC_CTX *mac, bool seal)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof(key->mac)),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv, seal) &&
	       EVP_MAC_CTX_set_params(mac, params);
}

/* As SSL_CTX_set_tlsext_ticket_key_evp_cb(3) has it: 0 no ticket, 1 fine, 2 fine but renew. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
		     EVP_MAC_CTX *mac, int seal)
{
	struct tls_tickets *t = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), tickets_index);
	enum tls_ticket_state state = TLS_TICKET_UNKNOWN;
	uint64_t now_ns = clock_mono_ns();
	struct tls_ticket_key key;
	bool renew;

	if (seal && RAND_bytes(iv, IV_BYTES) > 0 && tls_tickets_seal(t, now_ns, &key)) {
		memcpy(name, key.name, sizeof(key.name));
		state = TLS_TICKET_GOOD;
	} else if (!seal) {
		state = tls_tickets_open(t, now_ns, name, &key);
	}
	if (state != TLS_TICKET_UNKNOWN && !prepare(&key, iv, cipher, mac, seal))
		state = TLS_TICKET_UNKNOWN;
	OPENSSL_cleanse(&key, sizeof(key));
	if (state == TLS_TICKET_UNKNOWN)
		return 0;
	/* With TLS 1.3 a client uses a ticket once (RFC 8446 appendix C.4). */
	renew = state == TLS_TICKET_RENEW || SSL_version(ssl) >= TLS1_3_VERSION;
	return !seal && renew ? 2 : 1;
}

bool tls_resume_install(SSL_CTX *ctx, struct tls_tickets *t)
{
	if (tickets_index < 0)
		tickets_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, on_context_free);
	if (tickets_index < 0 || !SSL_CTX_set_ex_data(ctx, tickets_index, tls_tickets_ref(t))) {
		tls_tickets_unref(t);
		return false;
	}
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	/* The second that OpenSSL would send costs a twentieth of a handshake, and few use it. */
	if (!SSL_CTX_set_num_tickets(ctx, 1))
		return false;
	SSL_CTX_set_timeout(ctx, TLS_TICKET_LIFETIME_S);
	return SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
}
