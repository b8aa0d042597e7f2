/*
 * reason_test.c -- the table of end words: public words, statuses, sentences.
 */
#include "proxy/reason.h"

#include <criterion/criterion.h>
#include <string.h>

#include "common/attrib.h"
#include "common/exchange_record.h"

/* README's table: word and the status before a response head has left. */
static const struct {
	enum reason reason;
	const char *word;
	uint16_t status;
} public_words[] = {
	{REASON_DONE, "done", 0},
	{REASON_CLIENT_EOF, "client-eof", 0},
	{REASON_CLIENT_RESET, "client-reset", 0},
	{REASON_CLIENT_STALLED, "client-stalled", 0},
	{REASON_HEADER_TIMEOUT, "header-timeout", 408},
	{REASON_BODY_TIMEOUT, "body-timeout", 408},
	{REASON_BAD_REQUEST, "bad-request", 400},
	{REASON_MISSING_HOST, "missing-host", 400},
	{REASON_METHOD_REFUSED, "method-refused", 405},
	{REASON_METHOD_UNKNOWN, "method-unknown", 501},
	{REASON_VERSION_REFUSED, "version-refused", 505},
	{REASON_CODING_REFUSED, "coding-refused", 501},
	{REASON_TARGET_TOO_LONG, "target-too-long", 414},
	{REASON_HEAD_TOO_LARGE, "head-too-large", 431},
	{REASON_BODY_TOO_LARGE, "body-too-large", 413},
	{REASON_ANSWERED_HERE, "answered-here", 200},
	{REASON_OVERLOAD, "overload", 503},
	{REASON_NO_DESCRIPTOR, "no-descriptor", 503},
	{REASON_NO_MEMORY, "no-memory", 503},
	{REASON_SHUTDOWN, "shutdown", 503},
	{REASON_BACKEND_EOF, "backend-eof", 502},
	{REASON_BACKEND_RESET, "backend-reset", 502},
	{REASON_BACKEND_TIMEOUT, "backend-timeout", 504},
	{REASON_BACKEND_STALLED, "backend-stalled", 504},
	{REASON_BAD_RESPONSE, "bad-response", 502},
	{REASON_RESPONSE_HEAD_TOO_LARGE, "response-head-too-large", 502},
	{REASON_TOO_MANY_INTERIM, "too-many-interim", 502},
	{REASON_RESOLVE_FAILED, "resolve-failed", 502},
	{REASON_CONNECT_REFUSED, "connect-refused", 502},
	{REASON_CONNECT_FAILED, "connect-failed", 502},
	{REASON_CONNECT_TIMEOUT, "connect-timeout", 504},
	{REASON_REQUEST_TIMEOUT, "request-timeout", 504},
	{REASON_BACKEND_TLS_FAILED, "backend-tls-failed", 502},
	{REASON_BACKEND_UNVERIFIED, "backend-unverified", 502},
	{REASON_TLS_HANDSHAKE, "tls-handshake", 0},
	{REASON_TLS_TIMEOUT, "tls-timeout", 0},
	{REASON_TLS_UNVERIFIED, "tls-unverified", 0},
	{REASON_TLS_ON_PLAIN, "tls-on-plain", 0},
	{REASON_PLAIN_ON_TLS, "plain-on-tls", 400},
	{REASON_TUNNEL_CLIENT, "tunnel-client", 101},
	{REASON_TUNNEL_BACKEND, "tunnel-backend", 101},
	{REASON_TUNNEL_TIMEOUT, "tunnel-timeout", 101},
};

Test(reason, words_and_statuses_are_public)
{
	for (size_t i = 0; i < ARRAY_LEN(public_words); i++) {
		const struct reason_info *info = reason_info(public_words[i].reason);

		cr_assert_str_eq(info->word, public_words[i].word);
		cr_assert_eq(info->status, public_words[i].status, "%s", info->word);
	}
}

Test(reason, words_differ_and_fit_the_record)
{
	struct exchange_record record;

	for (int a = 0; a < REASON_COUNT; a++) {
		const char *word = reason_info((enum reason)a)->word;

		cr_assert_lt(strlen(word), sizeof(record.end), "%s", word);
		cr_assert_eq(strspn(word, "abcdefghijklmnopqrstuvwxyz-"), strlen(word), "%s", word);
		for (int b = 0; b < a; b++)
			cr_assert_str_neq(word, reason_info((enum reason)b)->word);
	}
}

/* An error that is answered says why; 200 and 101 have nothing to explain. */
Test(reason, answers_have_a_sentence)
{
	for (int r = 0; r < REASON_COUNT; r++) {
		const struct reason_info *info = reason_info((enum reason)r);

		cr_assert_eq(info->sentence[0] != '\0', info->status >= 400, "%s", info->word);
	}
}
