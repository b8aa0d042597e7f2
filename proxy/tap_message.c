/*
 * tap_message.c -- frames of the tap, written by value and read through a cursor.
 *
 * The tracer is trusted no more than any other sender: every length is checked.
 */
#include "proxy/tap_message.h"

#include <string.h>

struct tap_message tap_message_head(uint32_t run, uint16_t worker)
{
	return (struct tap_message){
		.magic = TAP_MAGIC, .version = TAP_VERSION, .worker = worker, .run = run};
}

struct tap_record tap_record_head(enum tap_type type, size_t len, uint64_t mono_ns)
{
	return (struct tap_record){
		.type = (uint16_t)type, .len = (uint32_t)len, .mono_ns = mono_ns};
}

bool tap_message_open(const void *bytes, size_t len, struct cursor *c)
{
	const uint8_t *p;
	struct tap_message head;

	*c = cursor_of(bytes, len);
	p = cursor_take(c, sizeof(head));
	if (p == NULL)
		return false;
	memcpy(&head, p, sizeof(head));
	return head.magic == TAP_MAGIC && head.version == TAP_VERSION;
}

enum tap_next tap_message_next(struct cursor *c, uint16_t *type, struct cursor *body)
{
	const uint8_t *p;
	struct tap_record head;

	if (cursor_left(c) == 0)
		return TAP_NEXT_END;
	p = cursor_take(c, sizeof(head));
	if (p == NULL)
		return TAP_NEXT_BAD;
	memcpy(&head, p, sizeof(head));
	if (head.len < sizeof(head) || head.len % 8 != 0)
		return TAP_NEXT_BAD;
	*type = head.type;
	*body = cursor_sub(c, head.len - sizeof(head));
	return body->failed ? TAP_NEXT_BAD : TAP_NEXT_RECORD;
}

uint64_t tap_body_u64(struct cursor *body)
{
	const uint8_t *p = cursor_take(body, sizeof(uint64_t));
	uint64_t value = 0;

	if (p != NULL)
		memcpy(&value, p, sizeof(value));
	return value;
}
