/*
 * ladder_tls.c -- words for TLS. Reads no bytes: what is known of the records stands in the evidence.
 */
#include "trace/ladder_tls.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "trace/tls_finding.h"
#include "trace/tls_records.h"

static void put(char *out, size_t cap, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Behind what stands there, as far as there is room. */
static void put(char *out, size_t cap, const char *fmt, ...)
{
	size_t used = strlen(out);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(out + used, cap - used, fmt, ap);
	va_end(ap);
}

void ladder_tls_item(const struct evidence_item *item, char out[LADDER_ITEM_MAX])
{
	static const char *const words[TLS_MARK_COUNT] = {"ClientHello", "ServerHello", "Finished",
							  "Finished"};
	const char *before = ": ";

	snprintf(out, LADDER_ITEM_MAX,
		 item->is_late ? "TLS behind the handshake" : "TLS handshake");
	for (int i = 0; i < TLS_MARK_COUNT; i++) {
		if ((item->marks >> i & 1) == 0)
			continue;
		put(out, LADDER_ITEM_MAX, "%s%s", before, words[i]);
		before = ", ";
	}
}

/* ---- records --------------------------------------------------------------------------------- */

/* Encrypted, and nothing but that is known of it. */
static bool is_sealed(const struct evidence_record *r)
{
	return r->content == TLS_APPLICATION_DATA;
}

static void put_message(char *out, const struct evidence_record *r, uint8_t type)
{
	const char *word = tls_message_word(type), *version = tls_version_word(r->version);

	if (type == TLS_SERVER_HELLO && r->is_retry)
		put(out, LADDER_RECORDS_MAX, "HelloRetryRequest");
	else if (word != NULL)
		put(out, LADDER_RECORDS_MAX, "%s", word);
	else
		put(out, LADDER_RECORDS_MAX, "message %u", type);
	if (type == TLS_SERVER_HELLO && version != NULL)
		put(out, LADDER_RECORDS_MAX, " (TLS %s)", version);
	if (type == TLS_CLIENT_HELLO && r->name != NULL)
		put(out, LADDER_RECORDS_MAX, " for %.64s", r->name);
}

static void put_handshake(char *out, const struct evidence_record *r)
{
	for (unsigned i = 0; i < r->message_count; i++) {
		if (i > 0)
			put(out, LADDER_RECORDS_MAX, "+");
		put_message(out, r, r->messages[i]);
	}
	if (r->has_more_messages)
		put(out, LADDER_RECORDS_MAX, "+...");
	if (r->message_count == 0)
		put(out, LADDER_RECORDS_MAX, "handshake");
}

/* Its size is left to the caller. */
static void put_record(char *out, const struct evidence_record *r)
{
	const char *alert = r->is_alert_clear ? tls_alert_word(r->alert) : NULL;

	switch (r->content) {
	case TLS_HANDSHAKE:
		put_handshake(out, r);
		break;
	case TLS_CHANGE_CIPHER_SPEC:
		put(out, LADDER_RECORDS_MAX, "ChangeCipherSpec");
		break;
	case TLS_ALERT:
		put(out, LADDER_RECORDS_MAX, "alert%s%s", alert != NULL ? " " : "",
		    alert != NULL ? alert : "");
		break;
	default:
		put(out, LADDER_RECORDS_MAX, "encrypted");
		break;
	}
}

/* Sealed ones that follow each other, from r on, as one. Returns how many. */
static unsigned put_sealed(char *out, const struct evidence_record *r, unsigned count)
{
	uint64_t bytes = 0;
	unsigned n = 0;

	while (n < count && is_sealed(&r[n]))
		bytes += r[n++].len;
	if (n > 1)
		put(out, LADDER_RECORDS_MAX, "%u ", n);
	put(out, LADDER_RECORDS_MAX, "encrypted %" PRIu64, bytes);
	return n;
}

/* What the row's items of TLS say that records do not: a Finished in them, or that it is over. */
static void put_items(char *out, const struct evidence *e, const struct evidence_row *row)
{
	const uint8_t finished = 1U << TLS_MARK_SERVER_FINISHED | 1U << TLS_MARK_CLIENT_FINISHED;

	for (unsigned i = 0; i < row->item_count; i++) {
		const struct evidence_item *item = &e->items[row->first_item + i];

		if (item->kind != EVIDENCE_TLS)
			continue;
		if ((item->marks & finished) != 0 && strstr(out, "Finished") == NULL)
			put(out, LADDER_RECORDS_MAX, " with Finished");
		if (item->is_late)
			put(out, LADDER_RECORDS_MAX, " behind the handshake");
		return;
	}
}

void ladder_tls_records(const struct evidence *e, const struct evidence_row *row,
			char out[LADDER_RECORDS_MAX])
{
	unsigned count, n;
	const struct evidence_record *r = evidence_records(e, row->frame, &count);
	const char *before = "TLS: ";

	out[0] = '\0';
	for (unsigned i = 0; r != NULL && i < count; i += n) {
		put(out, LADDER_RECORDS_MAX, "%s", before);
		before = ", ";
		n = 1;
		if (is_sealed(&r[i])) {
			n = put_sealed(out, r + i, count - i);
			continue;
		}
		put_record(out, &r[i]);
		put(out, LADDER_RECORDS_MAX, " %u", r[i].len);
	}
	if (out[0] != '\0')
		put_items(out, e, row);
}
