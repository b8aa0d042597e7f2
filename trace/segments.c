/*
 * segments.c -- writes the lines of segments.ndjson by hand: room for a line is made sure of once.
 * Decides nothing: what the words mean stands in label.h and wslabel.h.
 */
#include "trace/segments.h"

#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/put.h"

#define LINE_MAX_BYTES 2048 /* without the ids: all words and two addresses are less */
#define ID_MAX         19

struct segments {
	struct lines *out;
	char *text;
	size_t cap;
};

struct segments *segments_new(struct lines *out)
{
	struct segments *s = calloc(1, sizeof(*s));

	if (s != NULL)
		s->out = out;
	return s;
}

void segments_free(struct segments *s)
{
	if (s == NULL)
		return;
	free(s->text);
	free(s);
}

void segment_line_fill(struct segment_line *l, const struct segment *seg,
		       const struct flow_place *place)
{
	*l = (struct segment_line){
		.from = seg->src,
		.to = seg->dst,
		.frame = seg->frame,
		.stream = place->number,
		.seq = place->ws.seq,
		.ack = place->ws.ack,
		.len = seg->payload_framed,
		.window = place->ws.window,
		.label = place->label,
		.ws = place->ws.flags,
		.flags = seg->flags,
	};
}

static char *put_number(char *p, const char *key, size_t len, uint32_t value)
{
	p = put_bytes(p, key, len);
	return put_decimal(p, value);
}

#define NUMBER(p, key, value) put_number((p), ",\"" key "\":", sizeof(",\"" key "\":") - 1, (value))

/* "CEUAPRSF", of which those are set. */
static char *put_flags(char *p, uint8_t flags)
{
	static const char letters[8] = "CEUAPRSF";

	p = PUT(p, ",\"flags\":\"");
	for (unsigned i = 0; i < sizeof(letters); i++)
		if (flags & 0x80U >> i)
			*p++ = letters[i];
	*p++ = '"';
	return p;
}

static char *put_words(char *p, uint32_t set, const char *(*word)(unsigned index))
{
	*p++ = '[';
	for (unsigned i = 0; set != 0; i++, set >>= 1) {
		const char *text;

		if ((set & 1) == 0)
			continue;
		text = word(i);
		*p++ = '"';
		p = put_bytes(p, text, strlen(text));
		p = PUT(p, "\",");
	}
	if (p[-1] == ',')
		p--;
	*p++ = ']';
	return p;
}

static char *put_ids(char *p, const uint64_t *ids, uint32_t count)
{
	p = PUT(p, ",\"ids\":[");
	for (uint32_t i = 0; i < count; i++) {
		if (i > 0)
			*p++ = ',';
		*p++ = '"';
		p = put_hex64(p, ids[i]);
		*p++ = '"';
	}
	*p++ = ']';
	return p;
}

static char *put_ends(char *p, const struct segment_line *l)
{
	struct json j;

	p = PUT(p, ",\"from\":");
	json_init(&j, p, 128);
	json_addr(&j, &l->from);
	p = PUT(j.at, ",\"to\":");
	json_init(&j, p, 128);
	json_addr(&j, &l->to);
	return j.at;
}

static char *put_line(char *p, const struct segment_line *l, const uint64_t *ids, uint32_t id_count)
{
	p = PUT(p, "{\"frame\":");
	p = put_decimal(p, l->frame);
	p = NUMBER(p, "stream", l->stream);
	p = put_ends(p, l);
	p = put_flags(p, l->flags);
	p = NUMBER(p, "seq", l->seq);
	p = NUMBER(p, "len", l->len);
	if (l->flags & TCP_ACK)
		p = NUMBER(p, "ack", l->ack);
	else
		p = PUT(p, ",\"ack\":null");
	p = NUMBER(p, "win", l->window);
	p = PUT(p, ",\"label\":");
	p = put_words(p, l->label, label_word);
	p = PUT(p, ",\"ws\":");
	p = put_words(p, l->ws, wslabel_word);
	p = put_ids(p, ids, id_count);
	return PUT(p, "}\n");
}

static bool make_room(struct segments *s, uint32_t id_count)
{
	size_t need = LINE_MAX_BYTES + (size_t)id_count * ID_MAX;
	char *text;

	if (need <= s->cap)
		return true;
	text = realloc(s->text, 2 * need);
	if (text == NULL)
		return false;
	s->text = text;
	s->cap = 2 * need;
	return true;
}

bool segments_write(struct segments *s, const struct segment_line *l, const uint64_t *ids,
		    uint32_t id_count)
{
	const char *end;

	if (!make_room(s, id_count))
		return false;
	end = put_line(s->text, l, ids, id_count);
	lines_add(s->out, s->text, (size_t)(end - s->text));
	return true;
}
