/*
 * evidence_tls.c -- feeds two record readers, and keeps what they tell as short notes.
 */
#include "trace/evidence_tls.h"

#include <stdlib.h>
#include <string.h>

#include "trace/tls_records.h"

struct evidence_tls {
	const struct evidence_wish *wish;
	struct evidence *out;
	struct tls_records way[2]; /* [1]: of the one who connected */
	bool no_memory;
};

/* ---- notes ----------------------------------------------------------------------------------- */

static struct evidence_record *add_note(struct evidence *e)
{
	if (e->record_count == e->record_cap) {
		unsigned cap = MAX(64, e->record_cap * 2);
		struct evidence_record *wider = realloc(e->records, cap * sizeof(*wider));

		if (wider == NULL)
			return NULL;
		e->records = wider;
		e->record_cap = cap;
	}
	return &e->records[e->record_count++];
}

static void on_record(void *arg, const struct tls_record *r)
{
	struct evidence_tls *t = arg;
	struct evidence_record *note = add_note(t->out);

	if (note == NULL) {
		t->no_memory = true;
		return;
	}
	*note = (struct evidence_record){
		.frame = r->tag,
		.len = r->len,
		.off = r->off,
		.content = r->content,
		.message_count = r->message_count,
		.has_more_messages = r->has_more_messages,
		.is_alert_clear = r->is_alert_clear,
		.alert = r->alert,
		.version = r->hello.version,
		.is_retry = r->hello.is_retry,
	};
	memcpy(note->messages, r->messages, sizeof(note->messages));
	if (r->hello.name[0] != '\0')
		note->name = strdup(r->hello.name);
	t->out->is_tls[t->wish->which] = true;
}

static int by_frame(const void *a, const void *b)
{
	const struct evidence_record *x = a, *y = b;

	if (x->frame != y->frame)
		return x->frame < y->frame ? -1 : 1;
	return x->off < y->off ? -1 : x->off > y->off;
}

/* Two legs of an exchange may be asked for on one connection: what both found is one record. */
void evidence_tls_sort(struct evidence *e)
{
	unsigned kept = 0;

	if (e->record_count == 0)
		return;
	qsort(e->records, e->record_count, sizeof(*e->records), by_frame);
	for (unsigned i = 0; i < e->record_count; i++) {
		if (kept > 0 && by_frame(&e->records[kept - 1], &e->records[i]) == 0)
			free(e->records[i].name);
		else
			e->records[kept++] = e->records[i];
	}
	e->record_count = kept;
}

const struct evidence_record *evidence_records(const struct evidence *e, uint32_t frame,
					       unsigned *count)
{
	unsigned low = 0, high = e->record_count;

	while (low < high) {
		unsigned middle = low + (high - low) / 2;

		if (e->records[middle].frame < frame)
			low = middle + 1;
		else
			high = middle;
	}
	*count = 0;
	while (low + *count < e->record_count && e->records[low + *count].frame == frame)
		(*count)++;
	return *count > 0 ? &e->records[low] : NULL;
}

/* ---- places ---------------------------------------------------------------------------------- */

static bool goes_up(enum part_kind kind)
{
	return kind == PART_REQUEST || kind == PART_TUNNEL_UP;
}

uint64_t evidence_first_off(const struct row_leg *leg, bool from_initiator)
{
	uint64_t first = UINT64_MAX;

	for (int k = 0; k < PART_KINDS; k++)
		if (leg->part[k].there && goes_up(k) == from_initiator)
			first = MIN(first, leg->part[k].seq - 1);
	return first;
}

static void name_places(struct evidence_tls *t)
{
	const struct row_leg *leg = t->wish->leg;

	/* There are fewer parts than places. */
	for (unsigned up = 0; up < 2 && leg->tls.there; up++)
		(void)!tls_records_begins(&t->way[up], 0);
	for (int k = 0; k < PART_KINDS; k++)
		if (leg->part[k].there)
			(void)!tls_records_begins(&t->way[goes_up(k)], leg->part[k].seq - 1);
}

/* ---- life ------------------------------------------------------------------------------------ */

struct evidence_tls *evidence_tls_new(const struct evidence_wish *wish, struct evidence *out)
{
	struct evidence_tls *t = calloc(1, sizeof(*t));
	struct tls_records_calls calls = {.arg = t, .record = on_record};

	if (t == NULL)
		return NULL;
	t->wish = wish;
	t->out = out;
	tls_records_init(&t->way[0], &calls);
	tls_records_init(&t->way[1], &calls);
	name_places(t);
	return t;
}

bool evidence_tls_free(struct evidence_tls *t)
{
	bool fine = true;

	if (t == NULL)
		return true;
	for (unsigned up = 0; up < 2; up++) {
		tls_records_end(&t->way[up]);
		tls_records_fini(&t->way[up]);
	}
	fine = !t->no_memory;
	free(t);
	return fine;
}

void evidence_tls_segment(struct evidence_tls *t, const struct segment *seg,
			  const struct flow_place *place, bool from_initiator)
{
	const struct stream_place *d = &place->data;
	uint32_t len = d->new_bytes + d->old_bytes;
	uint32_t before = seg->payload_len - MIN(len, seg->payload_len);
	uint32_t captured = seg->payload_captured - MIN(seg->payload_captured, before);

	if (d->known && len > 0)
		tls_records_add(&t->way[from_initiator], d->off, len,
				captured > 0 ? seg->payload + before : NULL, captured, seg->frame);
}
