/*
 * anchor_note.c -- writes and reads the text of an anchor note. A note that is not exactly of this
 * form is none.
 */
#include "trace/anchor_note.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/cursor.h"

static const char *const end_words[NOTE_ENDS] = {"seq=", "ack="};
static const char none_word[] = "none";

void anchor_note_write(const struct anchor_note *note, char out[ANCHOR_NOTE_TEXT_MAX])
{
	size_t len = (size_t)snprintf(out, ANCHOR_NOTE_TEXT_MAX, "anchor");

	for (unsigned i = 0; i < NOTE_ENDS; i++) {
		if (note->change[i] == ANCHOR_FOUND)
			len += (size_t)snprintf(out + len, ANCHOR_NOTE_TEXT_MAX - len,
						" %s%" PRIu32 "@%" PRIu64, end_words[i],
						note->at[i].seq, note->at[i].off);
		else if (note->change[i] == ANCHOR_WITHDRAWN)
			len += (size_t)snprintf(out + len, ANCHOR_NOTE_TEXT_MAX - len, " %s%s",
						end_words[i], none_word);
	}
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool take_word(struct cursor *c, const char *word)
{
	size_t len = strlen(word);

	if (cursor_left(c) < len || memcmp(c->at, word, len) != 0)
		return false;
	cursor_skip(c, len);
	return true;
}

static bool take_number(struct cursor *c, uint64_t most, uint64_t *out)
{
	bool any = false;

	*out = 0;
	while (cursor_left(c) > 0 && *c->at >= '0' && *c->at <= '9') {
		uint64_t digit = (uint64_t)(cursor_u8(c) - '0');

		if (*out > (most - digit) / 10)
			return false;
		*out = *out * 10 + digit;
		any = true;
	}
	return any;
}

static bool take_value(struct cursor *c, struct anchor_note *out, unsigned end)
{
	uint64_t seq;

	if (take_word(c, none_word)) {
		out->change[end] = ANCHOR_WITHDRAWN;
		return true;
	}
	if (!take_number(c, UINT32_MAX, &seq) || !take_word(c, "@") ||
	    !take_number(c, UINT64_MAX / 4, &out->at[end].off))
		return false;
	out->change[end] = ANCHOR_FOUND;
	out->at[end].seq = (uint32_t)seq;
	return true;
}

static bool take_end(struct cursor *c, struct anchor_note *out)
{
	for (unsigned i = 0; i < NOTE_ENDS; i++)
		if (out->change[i] == ANCHOR_NOTHING && take_word(c, end_words[i]))
			return take_value(c, out, i);
	return false;
}

bool anchor_note_read(const void *text, size_t len, struct anchor_note *out)
{
	struct cursor c = cursor_of(text, len);

	*out = (struct anchor_note){0};
	if (!take_word(&c, ANCHOR_NOTE_PREFIX) || !take_end(&c, out))
		return false;
	if (cursor_left(&c) == 0)
		return true;
	return take_word(&c, " ") && take_end(&c, out) && cursor_left(&c) == 0;
}
