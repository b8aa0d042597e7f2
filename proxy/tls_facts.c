/*
 * tls_facts.c -- what a handshake was like: which records carried which messages, what was agreed
 * on, who the peer is, why it failed; and how the log says so.
 *
 * Listens to OpenSSL's message callback until the handshake is over, not longer: it costs a call
 * for every record.
 */
#include <limits.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log_put.h"
#include "common/put.h"
#include "proxy/tls_parts.h"

/* Texts of the peer's are cut at that many bytes. */
#define TEXT_MAX 1024

/* Everything of the log's object but its texts. */
#define DESCRIBE_MAX 512

/* ---- the records of the handshake ------------------------------------------------------------ */

/* A record of ours, whose head has just been written. */
static void note_sent_record(struct tls *t, const uint8_t *head)
{
	t->out_record_off = t->out_off;
	t->out_off += TLS_RECORD_HEAD + ((uint32_t)head[3] << 8 | head[4]);
}

/*
 * A record of the peer's, whose head has just been read: a message may have begun in one before it.
 * With TLS 1.3 those that are encrypted call themselves data.
 */
static void note_received_record(struct tls *t, uint8_t type)
{
	if (type != SSL3_RT_HANDSHAKE && type != SSL3_RT_APPLICATION_DATA)
		return;
	if (!t->in_message)
		t->in_message_off = t->framing.record_off;
	t->in_message = true;
}

static void note_mark(struct tls *t, enum tls_mark what, bool sent, bool keep)
{
	struct byte_range *r = &t->marks.at[what];
	uint64_t first = sent ? t->out_record_off : t->in_message_off;
	uint64_t past = sent ? t->out_off : t->framing.off;

	if (!keep || !byte_range_exists(r))
		*r = (struct byte_range){first, past};
}

static void note_message(struct tls *t, uint8_t type, bool sent)
{
	bool by_server = sent == (t->side == TLS_ACCEPTS);

	switch (type) {
	case SSL3_MT_CLIENT_HELLO:
		note_mark(t, TLS_MARK_CLIENT_HELLO, sent, true);
		break;
	case SSL3_MT_SERVER_HELLO:
		note_mark(t, TLS_MARK_SERVER_HELLO, sent, false);
		break;
	case SSL3_MT_FINISHED:
		note_mark(t, by_server ? TLS_MARK_SERVER_FINISHED : TLS_MARK_CLIENT_FINISHED, sent,
			  true);
		break;
	default:
		break;
	}
	if (sent)
		return;
	/* The next one may begin in the same record. */
	t->in_message = false;
	t->in_message_off = t->framing.record_off;
}

static void on_message(int sent, int version, int content, const void *bytes, size_t len, SSL *ssl,
		       void *arg)
{
	struct tls *t = arg;

	(void)version;
	(void)ssl;
	if (content == SSL3_RT_HEADER && sent && len >= TLS_RECORD_HEAD)
		note_sent_record(t, bytes);
	else if (content == SSL3_RT_HEADER && len >= TLS_RECORD_HEAD)
		note_received_record(t, *(const uint8_t *)bytes);
	else if (content == SSL3_RT_HANDSHAKE && len > 0)
		note_message(t, *(const uint8_t *)bytes, sent != 0);
}

void tls_facts_begin(struct tls *t)
{
	for (unsigned i = 0; i < TLS_MARK_COUNT; i++)
		t->marks.at[i] = byte_range_none();
	SSL_set_msg_callback(t->ssl, on_message);
	SSL_set_msg_callback_arg(t->ssl, t);
}

/* ---- what came of it ------------------------------------------------------------------------ */

void tls_facts_error(struct tls *t)
{
	unsigned long code = ERR_peek_error();
	const char *text = ERR_reason_error_string(code);

	if (ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE)
		t->no_memory = true;
	if (text == NULL)
		text = t->no_memory ? "no memory" : "the TLS library gives no reason";
	if (t->error == NULL)
		t->error = text;
	t->unverified = ERR_GET_LIB(code) == ERR_LIB_SSL &&
			(ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED ||
			 ERR_GET_REASON(code) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE);
	ERR_clear_error();
}

/*
 * RFC 2253, in UTF-8; controls are escaped. Whole, since a backend decides by it; only the log cuts
 * it. To be freed by OPENSSL_free().
 */
static char *subject_of(const X509 *cert)
{
	BIO *out = BIO_new(BIO_s_mem());
	char *copy = NULL;
	char *text;
	long len;

	if (out != NULL && X509_NAME_print_ex(out, X509_get_subject_name(cert), 0,
					      XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >= 0) {
		len = BIO_get_mem_data(out, &text);
		copy = OPENSSL_strndup(text, (size_t)len);
	}
	BIO_free(out);
	ERR_clear_error();
	return copy;
}

static void note_peer(struct tls *t)
{
	X509 *cert = SSL_get1_peer_certificate(t->ssl);

	if (cert != NULL)
		t->subject = subject_of(cert);
	X509_free(cert);
}

void tls_facts_end(struct tls *t, bool failed)
{
	SSL_set_msg_callback(t->ssl, NULL);
	t->marks.failed = failed && !tls_marks_complete(&t->marks);
	note_peer(t);
	if (SSL_get_current_cipher(t->ssl) == NULL)
		return;
	t->marks.version = (uint16_t)SSL_version(t->ssl);
	t->marks.resumed = !failed && SSL_session_reused(t->ssl) == 1;
}

const char *tls_verified_subject(const struct tls *t)
{
	bool verified = !t->failed && (SSL_get_verify_mode(t->ssl) & SSL_VERIFY_PEER) != 0 &&
			SSL_get_verify_result(t->ssl) == X509_V_OK;

	return verified ? t->subject : NULL;
}

/* ---- the log's object ------------------------------------------------------------------------ */

static char *put_text(char *p, const char *text)
{
	return text != NULL ? json_put_string(p, text, strnlen(text, TEXT_MAX)) : PUT(p, "null");
}

static char *put_version(char *p, uint16_t version)
{
	switch (version) {
	case 0:
		return PUT(p, "null");
	case TLS_VERSION_12:
		return PUT(p, "\"1.2\"");
	case TLS_VERSION_13:
		return PUT(p, "\"1.3\"");
	default:
		return PUT(p, "\"other\"");
	}
}

static char *put_alpn(char *p, const SSL *ssl)
{
	const unsigned char *name = NULL;
	unsigned len = 0;

	SSL_get0_alpn_selected(ssl, &name, &len);
	return len > 0 ? json_put_string(p, (const char *)name, len) : PUT(p, "null");
}

static const char *verification(const struct tls *t)
{
	long result = SSL_get_verify_result(t->ssl);

	if ((SSL_get_verify_mode(t->ssl) & SSL_VERIFY_PEER) == 0)
		return "none";
	if (result != X509_V_OK)
		return X509_verify_cert_error_string(result);
	return t->subject != NULL ? "ok" : "none";
}

static char *put_marks(char *p, const struct tls_marks *m)
{
	p = PUT(p, ",\"client_hello\":");
	p = put_range(p, &m->at[TLS_MARK_CLIENT_HELLO]);
	p = PUT(p, ",\"server_hello\":");
	p = put_range(p, &m->at[TLS_MARK_SERVER_HELLO]);
	p = PUT(p, ",\"server_finished\":");
	p = put_range(p, &m->at[TLS_MARK_SERVER_FINISHED]);
	p = PUT(p, ",\"client_finished\":");
	p = put_range(p, &m->at[TLS_MARK_CLIENT_FINISHED]);
	*p++ = '}';
	return p;
}

static char *put_handshake(char *p, const struct tls *t)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(t->ssl);

	p = PUT(p, "{\"version\":");
	p = put_version(p, t->marks.version);
	p = PUT(p, ",\"cipher\":");
	p = put_text(p, cipher != NULL ? SSL_CIPHER_get_name(cipher) : NULL);
	p = PUT(p, ",\"sni\":");
	p = put_text(p, SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name));
	p = PUT(p, ",\"alpn\":");
	p = put_alpn(p, t->ssl);
	p = t->marks.resumed ? PUT(p, ",\"resumed\":true") : PUT(p, ",\"resumed\":false");
	p = PUT(p, ",\"handshake_us\":");
	return t->over ? put_decimal(p, t->took_ns / NS_PER_US) : PUT(p, "null");
}

bool tls_describe(const struct tls *t, struct buf *out)
{
	char *p;

	/* SNI, subject, verification, error: each may be escaped whole. */
	if (!buf_reserve(out, DESCRIBE_MAX + 4 * (6 * TEXT_MAX + 2)))
		return false;
	p = put_handshake(out->data + out->len, t);
	p = PUT(p, ",\"subject\":");
	p = put_text(p, t->subject);
	p = PUT(p, ",\"verify\":");
	p = put_text(p, verification(t));
	p = PUT(p, ",\"error\":");
	p = put_text(p, t->error);
	p = put_marks(p, &t->marks);
	out->len = (uint32_t)(p - out->data);
	return true;
}
