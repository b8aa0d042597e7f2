/*
 * anchor_note.h -- what anchors of a connection the dump notes on a packet of it, as a comment, so
 * that the dump tells offline what the proxy's positions told the live run.
 *
 *     anchor seq=4026531840@622 ack=77000@1204      the sender's byte 622 has that number, and the
 *                                                   receiver's byte 1204 that one
 *     anchor seq=none                               what was said of the sender's bytes was wrong
 *
 * It holds from that packet on, for all bytes of the connection.
 */
#ifndef TRACE_ANCHOR_NOTE_H
#define TRACE_ANCHOR_NOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"
#include "trace/anchor.h"

#define ANCHOR_NOTE_PREFIX   "anchor "
#define ANCHOR_NOTE_TEXT_MAX 96

/* Of the bytes that the packet's sender sends, and of those that it acknowledges. */
enum anchor_note_end {
	NOTE_SENDER,
	NOTE_RECEIVER,
	NOTE_ENDS,
};

struct anchor_note {
	enum anchor_change change[NOTE_ENDS];
	struct anchor_point at[NOTE_ENDS];
};

/* out is the text, ended by a NUL. At least one end has changed. */
void anchor_note_write(const struct anchor_note *note, char out[ANCHOR_NOTE_TEXT_MAX]);

/* False: it is no such note. */
bool anchor_note_read(const void *text, size_t len, struct anchor_note *out) MUST_CHECK;

#endif
