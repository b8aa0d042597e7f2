/*
 * tls_hello.c -- hellos, field by field, through the cursor.
 *
 * A name is taken only if it is made of letters, digits, dots, hyphens and underscores, as names of
 * hosts are: it is printed.
 */
#include "trace/tls_hello.h"

#include <ctype.h>
#include <string.h>

#include "common/cursor.h"

#define RANDOM_BYTES          32

#define EXTENSION_SERVER_NAME 0
#define EXTENSION_PSK         41
#define EXTENSION_VERSIONS    43

/* The SHA-256 of "HelloRetryRequest" (RFC 8446 section 4.1.3). */
static const uint8_t retry_random[RANDOM_BYTES] = {0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11,
						   0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
						   0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e,
						   0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c};

static bool is_name(const uint8_t *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!isalnum(text[i]) && text[i] != '.' && text[i] != '-' && text[i] != '_')
			return false;
	return true;
}

/* The first name of type host_name (RFC 6066 section 3). */
static void read_name(struct cursor *extension, struct tls_hello *out)
{
	struct cursor list = cursor_sub(extension, cursor_be16(extension));

	while (!list.failed && cursor_left(&list) > 0) {
		uint8_t type = cursor_u8(&list);
		struct cursor name = cursor_sub(&list, cursor_be16(&list));
		size_t len = cursor_left(&name);

		if (name.failed || type != 0)
			continue;
		if (len < sizeof(out->name) && is_name(name.at, len))
			memcpy(out->name, name.at, len);
		return;
	}
}

bool tls_client_hello_read(const uint8_t *body, size_t len, struct tls_hello *out)
{
	struct cursor c = cursor_of(body, len), extensions;

	*out = (struct tls_hello){0};
	cursor_skip(&c, 2 + RANDOM_BYTES);
	cursor_skip(&c, cursor_u8(&c));   /* session */
	cursor_skip(&c, cursor_be16(&c)); /* cipher suites */
	cursor_skip(&c, cursor_u8(&c));   /* compression */
	if (c.failed)
		return false;
	if (cursor_left(&c) == 0)
		return true;
	extensions = cursor_sub(&c, cursor_be16(&c));
	while (!extensions.failed && cursor_left(&extensions) > 0) {
		uint16_t type = cursor_be16(&extensions);
		struct cursor extension = cursor_sub(&extensions, cursor_be16(&extensions));

		if (!extension.failed && type == EXTENSION_SERVER_NAME)
			read_name(&extension, out);
	}
	return !extensions.failed;
}

bool tls_server_hello_read(const uint8_t *body, size_t len, struct tls_hello *out)
{
	struct cursor c = cursor_of(body, len), extensions;
	const uint8_t *random;

	*out = (struct tls_hello){.version = cursor_be16(&c)};
	random = cursor_take(&c, RANDOM_BYTES);
	cursor_skip(&c, cursor_u8(&c)); /* session */
	cursor_skip(&c, 3);             /* cipher suite, compression */
	if (c.failed)
		return false;
	out->is_retry = memcmp(random, retry_random, RANDOM_BYTES) == 0;
	if (cursor_left(&c) == 0)
		return true;
	extensions = cursor_sub(&c, cursor_be16(&c));
	while (!extensions.failed && cursor_left(&extensions) > 0) {
		uint16_t type = cursor_be16(&extensions);
		struct cursor extension = cursor_sub(&extensions, cursor_be16(&extensions));

		if (!extension.failed && type == EXTENSION_VERSIONS && cursor_left(&extension) == 2)
			out->version = cursor_be16(&extension);
		else if (!extension.failed && type == EXTENSION_PSK)
			out->is_resumed = true;
	}
	return !extensions.failed;
}
