/*
 * dump.c -- the comment queue before the pcapng writer.
 *
 * The bytes of a TLS handshake are told when it is over, and its secrets before that: they stand in
 * the file before its first message of the accepting side, as Wireshark needs them.
 *
 * Invariant: packets leave in the order they came, each once. The first of the queue is the only
 * one that is asked about. Secrets leave before any packet that leaves after they came.
 */
#include "trace/dump.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/log.h"
#include "trace/key_log.h"

/* Link, IPv4 and nothing of what may follow: what is kept of a packet in which no TCP was found. */
#define OTHER_HEADER_BYTES 34

/* Of secrets, in one block; more do not wait for a packet. */
#define SECRETS_BYTES 65536

struct waiting {
	STAILQ_ENTRY(waiting) link;
	struct dump_packet packet;
	uint8_t bytes[];
};

STAILQ_HEAD(waiting_list, waiting);

struct dump {
	struct dump_options o;
	struct pcapng *w;
	bool has_file;
	bool has_said; /* that packets are lost */
	uint64_t bytes;
	struct waiting_list queue;
	struct dump_counters count;
	struct comments comments;
	struct comment_ids ids;
	struct segments *segments; /* NULL: not wanted */
	struct key_log secrets;    /* to be written before the next packet */
};

struct dump *dump_new(struct pcapng *w, const struct dump_options *o)
{
	struct dump *d = calloc(1, sizeof(*d));

	if (d == NULL) {
		(void)pcapng_close(w);
		return NULL;
	}
	d->o = *o;
	d->w = w;
	d->has_file = w != NULL;
	STAILQ_INIT(&d->queue);
	if (o->segments == NULL)
		return d;
	d->segments = segments_new(o->segments);
	d->comments.ids = &d->ids;
	if (d->segments != NULL)
		return d;
	dump_free(d);
	return NULL;
}

struct pcapng *dump_file(struct dump *d)
{
	return d->w;
}

bool dump_is_empty(const struct dump *d)
{
	return STAILQ_EMPTY(&d->queue);
}

void dump_counters(const struct dump *d, struct dump_counters *out)
{
	*out = d->count;
}

static void lose(struct dump *d, const char *why)
{
	d->count.lost++;
	if (!d->has_said)
		log_error("the dump: %s: packets are lost", why);
	d->has_said = true;
}

static uint32_t kept_bytes(const struct dump *d, const struct dump_packet *packet)
{
	uint32_t keep;

	if (d->o.payload == DUMP_FULL)
		return packet->p.cap_len;
	keep = packet->payload_off > 0 ? packet->payload_off : OTHER_HEADER_BYTES;
	return MIN(packet->p.cap_len, keep);
}

static void write_secrets(struct dump *d)
{
	if (!pcapng_secrets(d->w, PCAPNG_SECRETS_TLS, d->secrets.text, d->secrets.len))
		d->count.closed++;
	key_log_clear(&d->secrets);
}

void dump_secret(struct dump *d, const char *line, size_t len)
{
	if (!d->has_file)
		return;
	if (!key_log_add(&d->secrets, line, len))
		d->count.closed++;
	if (d->secrets.len >= SECRETS_BYTES)
		write_secrets(d);
}

static void write_packet(struct dump *d, const struct dump_packet *packet, const uint8_t *bytes,
			 bool is_told)
{
	char note[ANCHOR_NOTE_TEXT_MAX];
	struct packet p = packet->p;

	if (UNLIKELY(d->secrets.len > 0))
		write_secrets(d);
	d->count.packets++;
	if (!is_told)
		d->count.uncommented++;
	if (!d->has_file && packet->segment == NULL)
		return;
	comments_write(&packet->place, &d->comments);
	if (packet->segment != NULL &&
	    !segments_write(d->segments, packet->segment, d->ids.at, d->ids.count))
		d->count.unlined++;
	if (!d->has_file)
		return;
	p.bytes = bytes;
	p.cap_len = kept_bytes(d, packet);
	/* On loopback both ends are this machine's: the proxy's own addresses tell. */
	if (p.direction == PACKET_DIRECTION_UNKNOWN && packet->place.track != NULL)
		p.direction = track_direction(packet->place.track, packet->place.from);
	if (packet->note != NULL) {
		anchor_note_write(packet->note, note);
		d->comments.at[d->comments.count++] = (struct pcapng_comment){note, strlen(note)};
	}
	if (!pcapng_packet(d->w, &p, d->comments.at, d->comments.count))
		lose(d, "it cannot be written");
}

/* ---- the queue ------------------------------------------------------------------------------- */

static void queue_pop(struct dump *d, bool is_told)
{
	struct waiting *w = STAILQ_FIRST(&d->queue);

	STAILQ_REMOVE_HEAD(&d->queue, link);
	d->bytes -= sizeof(*w) + kept_bytes(d, &w->packet);
	write_packet(d, &w->packet, w->bytes, is_told);
	if (w->packet.place.track != NULL)
		track_unref(w->packet.place.track);
	free((void *)(uintptr_t)w->packet.note);
	free((void *)(uintptr_t)w->packet.segment);
	free(w);
}

/* Notes are rare, so that the queue has no room for them. */
static const struct anchor_note *copy_note(const struct anchor_note *note)
{
	struct anchor_note *copy = note != NULL ? malloc(sizeof(*copy)) : NULL;

	if (copy != NULL)
		*copy = *note;
	return copy;
}

static const struct segment_line *copy_line(struct dump *d, const struct segment_line *line)
{
	struct segment_line *copy = line != NULL ? malloc(sizeof(*copy)) : NULL;

	if (copy != NULL)
		*copy = *line;
	else if (line != NULL)
		d->count.unlined++;
	return copy;
}

static bool queue_push(struct dump *d, const struct dump_packet *packet)
{
	uint32_t keep = kept_bytes(d, packet);
	struct waiting *w = malloc(sizeof(*w) + keep);

	if (w == NULL)
		return false;
	w->packet = *packet;
	memcpy(w->bytes, packet->p.bytes, keep);
	w->packet.p.bytes = NULL;
	w->packet.note = copy_note(packet->note);
	w->packet.segment = copy_line(d, packet->segment);
	if (packet->place.track != NULL)
		track_ref(packet->place.track);
	STAILQ_INSERT_TAIL(&d->queue, w, link);
	d->bytes += sizeof(*w) + keep;
	return true;
}

static bool may_wait(const struct dump *d)
{
	return d->o.hold_ns > 0 && d->bytes < d->o.queue_bytes;
}

/* Whoever is first, whether it was told or not. */
static void queue_force(struct dump *d)
{
	queue_pop(d, comments_are_told(&STAILQ_FIRST(&d->queue)->packet.place));
}

void dump_limit(struct dump *d, uint64_t queue_bytes)
{
	d->o.queue_bytes = queue_bytes;
	while (!STAILQ_EMPTY(&d->queue) && d->bytes > queue_bytes)
		queue_force(d);
}

uint64_t dump_bytes(const struct dump *d)
{
	return d->bytes;
}

void dump_put(struct dump *d, const struct dump_packet *packet)
{
	if (STAILQ_EMPTY(&d->queue)) {
		bool is_told = comments_are_told(&packet->place);

		if (is_told || !may_wait(d)) {
			write_packet(d, packet, packet->p.bytes, is_told);
			return;
		}
	}
	while (!STAILQ_EMPTY(&d->queue) && d->bytes >= d->o.queue_bytes)
		queue_force(d);
	if (!queue_push(d, packet)) {
		dump_drain(d);
		write_packet(d, packet, packet->p.bytes, comments_are_told(&packet->place));
	}
}

void dump_release(struct dump *d, uint64_t now_ns)
{
	const struct waiting *w;

	while ((w = STAILQ_FIRST(&d->queue)) != NULL) {
		bool is_late = w->packet.p.ts_ns + d->o.hold_ns <= now_ns;
		bool is_told = comments_are_told(&w->packet.place);

		if (!is_late && !is_told)
			return;
		queue_pop(d, is_told);
	}
}

void dump_drain(struct dump *d)
{
	while (!STAILQ_EMPTY(&d->queue))
		queue_force(d);
	if (d->secrets.len > 0)
		write_secrets(d);
}

void dump_flush(struct dump *d)
{
	if (d->has_file && !pcapng_flush(d->w) && !d->has_said) {
		log_error("the dump cannot be written: packets are lost");
		d->has_said = true;
	}
}

void dump_free(struct dump *d)
{
	if (d == NULL)
		return;
	dump_drain(d);
	if (!pcapng_close(d->w) && !d->has_said)
		log_error("the dump could not be written to its end");
	segments_free(d->segments);
	key_log_fini(&d->secrets);
	comment_ids_fini(&d->ids);
	free(d);
}
