/*
 * anchor_note_fuzz.c -- any bytes as the text of an anchor note: what is taken for one is written
 * again as a note that says the same.
 */
// links: trace
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "trace/anchor_note.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[ANCHOR_NOTE_TEXT_MAX];
	struct anchor_note note, again;

	if (!anchor_note_read(data, size, &note))
		return 0;
	anchor_note_write(&note, text);
	assert(anchor_note_read(text, strlen(text), &again));
	for (unsigned i = 0; i < NOTE_ENDS; i++) {
		assert(again.change[i] == note.change[i]);
		assert(again.at[i].seq == note.at[i].seq && again.at[i].off == note.at[i].off);
	}
	return 0;
}
