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
	const char *word;
	enum reason reason;
	uint16_t status;
} public_words[] = {
	{"done", REASON_DONE, 0},
	{"client-eof", REASON_CLIENT_EOF, 0},
	{"client-reset", REASON_CLIENT_RESET, 0},
	{"client-stalled", REASON_CLIENT_STALLED, 0},
	{"header-timeout", REASON_HEADER_TIMEOUT, 408},
	{"body-timeout", REASON_BODY_TIMEOUT, 408},
	{"bad-request", REASON_BAD_REQUEST, 400},
	{"missing-host", REASON_MISSING_HOST, 400},
	{"method-refused", REASON_METHOD_REFUSED, 405},
	{"method-unknown", REASON_METHOD_UNKNOWN, 501},
	{"version-refused", REASON_VERSION_REFUSED, 505},
	{"coding-refused", REASON_CODING_REFUSED, 501},
	{"target-too-long", REASON_TARGET_TOO_LONG, 414},
	{"head-too-large", REASON_HEAD_TOO_LARGE, 431},
	{"body-too-large", REASON_BODY_TOO_LARGE, 413},
	{"answered-here", REASON_ANSWERED_HERE, 200},
	{"overload", REASON_OVERLOAD, 503},
	{"no-descriptor", REASON_NO_DESCRIPTOR, 503},
	{"no-memory", REASON_NO_MEMORY, 503},
	{"shutdown", REASON_SHUTDOWN, 503},
	{"backend-eof", REASON_BACKEND_EOF, 502},
	{"backend-reset", REASON_BACKEND_RESET, 502},
	{"backend-timeout", REASON_BACKEND_TIMEOUT, 504},
	{"backend-stalled", REASON_BACKEND_STALLED, 504},
	{"bad-response", REASON_BAD_RESPONSE, 502},
	{"response-head-too-large", REASON_RESPONSE_HEAD_TOO_LARGE, 502},
	{"too-many-interim", REASON_TOO_MANY_INTERIM, 502},
	{"resolve-failed", REASON_RESOLVE_FAILED, 502},
	{"connect-refused", REASON_CONNECT_REFUSED, 502},
	{"connect-failed", REASON_CONNECT_FAILED, 502},
	{"connect-timeout", REASON_CONNECT_TIMEOUT, 504},
	{"request-timeout", REASON_REQUEST_TIMEOUT, 504},
	{"backend-tls-failed", REASON_BACKEND_TLS_FAILED, 502},
	{"backend-unverified", REASON_BACKEND_UNVERIFIED, 502},
	{"tls-handshake", REASON_TLS_HANDSHAKE, 0},
	{"tls-timeout", REASON_TLS_TIMEOUT, 0},
	{"tls-unverified", REASON_TLS_UNVERIFIED, 0},
	{"tls-on-plain", REASON_TLS_ON_PLAIN, 0},
	{"plain-on-tls", REASON_PLAIN_ON_TLS, 400},
	{"tunnel-client", REASON_TUNNEL_CLIENT, 101},
	{"tunnel-backend", REASON_TUNNEL_BACKEND, 101},
	{"tunnel-timeout", REASON_TUNNEL_TIMEOUT, 101},
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
