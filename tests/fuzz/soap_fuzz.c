/*
 * soap_fuzz.c -- whatever a body holds and in whatever pieces it comes, the same is read out of it,
 * and no more than was agreed.
 *
 * Input: a byte of choices, a byte for the pieces, then the body.
 */
// links: proxy
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/http_head.h"
#include "proxy/soap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                        \
	do {                                                                    \
		if (!(condition)) {                                             \
			fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
			abort();                                                \
		}                                                               \
	} while (0)

static const char *const heads[] = {
	"HTTP/1.1 500 E\r\nContent-Type: text/xml\r\n\r\n",
	"HTTP/1.1 500 E\r\nContent-Type: multipart/related; boundary=b\r\n\r\n",
	"HTTP/1.1 500 E\r\nContent-Type: application/soap+xml; charset=iso-8859-1\r\n\r\n",
	"HTTP/1.1 500 E\r\nContent-Type: multipart/related; boundary=\"--\\\"\"\r\n\r\n",
};

static struct soap_reader *reader(uint8_t choice, enum soap_side side)
{
	static const struct http_limits limits = {65536, 256};
	static struct http_head head;
	const char *text = heads[choice >> 1 & 3];
	struct soap_reader *r;

	CHECK(http_head_init(&head, HTTP_RESPONSE, &limits, HTTP_METHOD_POST, false));
	CHECK(http_head_read(&head, text, strlen(text)) == HTTP_DONE);
	r = soap_reader_new(side, &head, text);
	CHECK(r != NULL);
	return r;
}

/* A copy of its own, so that a byte too far is found. */
static void feed(struct soap_reader *r, const char *bytes, size_t len)
{
	char *piece = malloc(len > 0 ? len : 1);

	CHECK(piece != NULL);
	memcpy(piece, bytes, len);
	soap_reader_feed(r, piece, len);
	free(piece);
}

/* In two, or in pieces of up to 64 bytes. */
static void feed_pieces(struct soap_reader *r, const char *bytes, size_t len, uint8_t seed)
{
	size_t at = 0;

	if (seed & 128) {
		at = len * (seed & 127) / 127;
		feed(r, bytes, at);
		feed(r, bytes + at, len - at);
		return;
	}
	for (uint32_t n = seed; at < len; n = n * 2654435761U + 12345) {
		size_t step = seed < 2 ? 1 : 1 + (n >> 16) % 64;

		step = step > len - at ? len - at : step;
		feed(r, bytes + at, step);
		at += step;
	}
}

/* Whole characters, as far as their first bytes and what follows them tell. */
static void check_utf8(const char *bytes, size_t len)
{
	for (size_t i = 0; i < len;) {
		uint8_t c = (uint8_t)bytes[i];
		size_t n = c < 0x80 ? 1 : (c < 0xe0 ? 2 : (c < 0xf0 ? 3 : 4));

		CHECK(c < 0x80 || c >= 0xc2);
		CHECK(i + n <= len);
		for (size_t k = 1; k < n; k++)
			CHECK(((uint8_t)bytes[i + k] & 0xc0) == 0x80);
		i += n;
	}
}

static void check_same(const struct soap_reader *a, const struct soap_reader *b,
		       enum soap_side side)
{
	for (int i = 0; i < SOAP_WHAT_COUNT; i++) {
		const struct soap_text *s = soap_reader_text(a, (enum soap_what)i);
		const struct soap_text *t = soap_reader_text(b, (enum soap_what)i);

		CHECK(s->known == t->known);
		CHECK(!s->known || (i == SOAP_OPERATION) == (side == SOAP_REQUEST));
		if (!s->known)
			continue;
		CHECK(s->len == t->len && s->cut == t->cut);
		CHECK(s->len <= SOAP_TEXT_MAX);
		CHECK(memcmp(s->bytes, t->bytes, s->len) == 0);
		check_utf8(s->bytes, s->len);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *bytes = (const char *)data + 2;
	struct soap_reader *whole, *pieces;
	enum soap_side side;

	if (size < 2)
		return 0;
	side = data[0] & 1 ? SOAP_RESPONSE : SOAP_REQUEST;
	whole = reader(data[0], side);
	pieces = reader(data[0], side);
	feed(whole, bytes, size - 2);
	feed_pieces(pieces, bytes, size - 2, data[1]);
	if (data[0] & 128) { /* freed in the midst of it: nothing is left over */
		soap_reader_free(pieces);
		soap_reader_free(whole);
		return 0;
	}
	soap_reader_end(whole);
	soap_reader_end(pieces);
	check_same(whole, pieces, side);
	soap_reader_free(whole);
	soap_reader_free(pieces);
	return 0;
}
