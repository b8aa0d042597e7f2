/*
 * tally.c -- counts words and writes the counts. Decides nothing about whose they are.
 */
#include "trace/tally.h"

#include <string.h>

#include "common/put.h"

#define WORD_MAX  96 /* without the frames: the word, the count, quotes and brackets */
#define FRAME_MAX 11

void tally_reset(struct tally *t)
{
	t->has_labels = t->has_ws = false;
	for (unsigned i = 0; i < LABEL_COUNT; i++)
		t->label[i].count = t->label[i].frame_count = 0;
	for (unsigned i = 0; i < WSLABEL_COUNT; i++)
		t->ws[i].count = t->ws[i].frame_count = 0;
}

/* Of more frames than fit, the first stay. */
static void add_frame(struct tally_word *w, uint32_t frame)
{
	uint32_t i = w->frame_count;

	w->count++;
	if (i == TALLY_FRAMES_MAX && w->frames[i - 1] < frame)
		return;
	if (i == TALLY_FRAMES_MAX)
		i--;
	else
		w->frame_count++;
	for (; i > 0 && w->frames[i - 1] > frame; i--)
		w->frames[i] = w->frames[i - 1];
	w->frames[i] = frame;
}

void tally_add(struct tally *t, uint32_t frame, uint32_t label, uint32_t ws)
{
	t->has_labels |= label != 0;
	t->has_ws |= ws != 0;
	for (unsigned i = 0; label != 0; i++, label >>= 1)
		if (label & 1)
			add_frame(&t->label[i], frame);
	for (unsigned i = 0; ws != 0; i++, ws >>= 1)
		if (ws & 1)
			add_frame(&t->ws[i], frame);
}

static size_t words_max(const struct tally_word *words, unsigned count)
{
	size_t len = 0;

	for (unsigned i = 0; i < count; i++)
		if (words[i].count > 0)
			len += WORD_MAX + words[i].frame_count * FRAME_MAX;
	return len;
}

size_t tally_max(const struct tally *t)
{
	if (t == NULL || (!t->has_labels && !t->has_ws))
		return 0;
	return 32 + words_max(t->label, LABEL_COUNT) + words_max(t->ws, WSLABEL_COUNT);
}

static char *put_word(char *p, const char *word, const struct tally_word *w)
{
	*p++ = '"';
	p = put_bytes(p, word, strlen(word));
	p = PUT(p, "\":{\"count\":");
	p = put_decimal(p, w->count);
	p = PUT(p, ",\"frames\":[");
	for (uint32_t i = 0; i < w->frame_count; i++) {
		if (i > 0)
			*p++ = ',';
		p = put_decimal(p, w->frames[i]);
	}
	return PUT(p, "]}");
}

static char *put_words(char *p, const struct tally_word *words, unsigned count,
		       const char *(*word)(unsigned index))
{
	*p++ = '{';
	for (unsigned i = 0; i < count; i++) {
		if (words[i].count == 0)
			continue;
		if (p[-1] != '{')
			*p++ = ',';
		p = put_word(p, word(i), &words[i]);
	}
	*p++ = '}';
	return p;
}

char *tally_put(char *p, const struct tally *t)
{
	if (t == NULL)
		return p;
	if (t->has_labels) {
		p = PUT(p, ",\"labels\":");
		p = put_words(p, t->label, LABEL_COUNT, label_word);
	}
	if (t->has_ws) {
		p = PUT(p, ",\"ws\":");
		p = put_words(p, t->ws, WSLABEL_COUNT, wslabel_word);
	}
	return p;
}
