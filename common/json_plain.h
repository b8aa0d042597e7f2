/*
 * json_plain.h -- which bytes a JSON text holds as they are, eight at a time.
 */
#ifndef COMMON_JSON_PLAIN_H
#define COMMON_JSON_PLAIN_H

#include <stdint.h>

/* The same byte in all eight places. */
#define JSON_PLAIN_EACH(byte) (0x0101010101010101ULL * (uint8_t)(byte))

/*
 * Nonzero if one of the eight bytes is a control, '"', '\\', 0x7f or above: what is escaped, ends a
 * text, or is no ASCII. May be nonzero for less.
 */
static inline uint64_t json_special_bytes(uint64_t v)
{
	uint64_t quote = v ^ JSON_PLAIN_EACH('"');
	uint64_t backslash = v ^ JSON_PLAIN_EACH('\\');

	return ((v - JSON_PLAIN_EACH(0x20)) | (quote - JSON_PLAIN_EACH(1)) |
		(backslash - JSON_PLAIN_EACH(1)) | (v + JSON_PLAIN_EACH(1)) | v) &
	       JSON_PLAIN_EACH(0x80);
}

#endif
