/*
 * tap_message.h -- the frame around tap records (trace/event.h): writing a message's head, and
 * reading what a tracer sent.
 *
 * Shared by the workers' taps and the hub. Holds no state and knows no socket.
 */
#ifndef PROXY_TAP_MESSAGE_H
#define PROXY_TAP_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"
#include "common/cursor.h"
#include "trace/event.h"

/* A message's head; number and dropped are zero. */
struct tap_message tap_message_head(uint32_t run, uint16_t worker);

/* A record's head: its type and whole length, at that monotonic moment. */
struct tap_record tap_record_head(enum tap_type type, size_t len, uint64_t mono_ns);

/*
 * Begin to read a message: c then stands at its first record. False: not of this version, or too
 * short.
 */
bool tap_message_open(const void *bytes, size_t len, struct cursor *c) MUST_CHECK;

enum tap_next {
	TAP_NEXT_RECORD,
	TAP_NEXT_END, /* no record left */
	TAP_NEXT_BAD, /* malformed; nothing behind it can be trusted */
};

/*
 * The next record: its type (perhaps one not known here), and a cursor over what follows its head.
 */
enum tap_next tap_message_next(struct cursor *c, uint16_t *type, struct cursor *body) MUST_CHECK;

/* A 64-bit number in native order, as records carry them. */
uint64_t tap_body_u64(struct cursor *body);

#endif
