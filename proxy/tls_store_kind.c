/*
 * tls_store_kind.c -- tells stores apart by their bytes.
 *
 * Decides nothing about what a store holds: what is called PKCS#12 here may yet be damaged.
 */
#include "proxy/tls_store_kind.h"

#include <string.h>

#include "common/cursor.h"

#define JKS_MAGIC    0xfeedfeed
#define JCEKS_MAGIC  0xcececece
#define DER_SEQUENCE 0x30
#define DER_INTEGER  0x02
#define PFX_VERSION  3 /* RFC 7292 section 4 */

static const char pem_begin[] = "-----BEGIN ";

static int is_space(uint8_t b)
{
	return b == ' ' || b == '\t' || b == '\r' || b == '\n';
}

static int is_blank(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!is_space(bytes[i]))
			return 0;
	return 1;
}

/* A line of it begins so; comments, text and a byte order mark may stand before. */
static int has_pem(const uint8_t *bytes, size_t len)
{
	const size_t n = sizeof(pem_begin) - 1;
	const uint8_t *end = bytes + len;
	const uint8_t *at = bytes;

	while ((at = memmem(at, (size_t)(end - at), pem_begin, n)) != NULL) {
		if (at == bytes || at[-1] == '\n' || at[-1] == '\r')
			return 1;
		if (at == bytes + 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0)
			return 1;
		at += n;
	}
	return 0;
}

/* The length of what a SEQUENCE holds, in any of its forms, the indefinite one included. */
static void skip_length(struct cursor *c)
{
	uint8_t first = cursor_u8(c);

	if (first > 0x80)
		cursor_skip(c, first & 0x7f);
}

/* PFX ::= SEQUENCE { version INTEGER {v3(3)}, ... } */
static int is_pfx(struct cursor c)
{
	cursor_skip(&c, 1);
	skip_length(&c);
	return cursor_u8(&c) == DER_INTEGER && cursor_u8(&c) == 1 && cursor_u8(&c) == PFX_VERSION &&
	       !c.failed;
}

enum tls_store_kind tls_store_kind(const void *bytes, size_t len)
{
	struct cursor c = cursor_of(bytes, len);
	struct cursor magic = c;
	uint32_t first = cursor_be32(&magic);

	if (is_blank(bytes, len))
		return TLS_STORE_EMPTY;
	if (!magic.failed && first == JKS_MAGIC)
		return TLS_STORE_JKS;
	if (!magic.failed && first == JCEKS_MAGIC)
		return TLS_STORE_JCEKS;
	if (has_pem(bytes, len))
		return TLS_STORE_PEM;
	if (c.at[0] == DER_SEQUENCE)
		return is_pfx(c) ? TLS_STORE_PKCS12 : TLS_STORE_DER;
	return TLS_STORE_UNKNOWN;
}
