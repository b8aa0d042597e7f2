/*
 * dump.h -- the annotated pcapng dump: packets wait in one queue until the proxy has told whose
 * bytes they carry, and leave it in frame order with their comments.
 *
 * A packet waits at most hold_ns after its stamp, and only while the queue is below its bound; then
 * it is written without comments and counted. Knows no clock: it is told the time.
 */
#ifndef TRACE_DUMP_H
#define TRACE_DUMP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attrib.h"
#include "trace/anchor_note.h"
#include "trace/comments.h"
#include "trace/packet.h"
#include "trace/pcapng.h"
#include "trace/segments.h"

enum dump_payload {
	DUMP_FULL,
	DUMP_HEADERS, /* the bytes behind the TCP header are cut; wire_len stays */
};

struct dump_options {
	uint64_t hold_ns; /* 0: nothing waits */
	uint64_t queue_bytes;
	enum dump_payload payload;
	struct lines *segments; /* segments.ndjson, or NULL; stays the caller's */
};

struct dump;

/*
 * w is owned from now on, also when this fails. NULL w: nothing is written, packets are only
 * counted.
 */
struct dump *dump_new(struct pcapng *w, const struct dump_options *o) MUST_CHECK;

/* A packet's place, and where its payload begins (0: no TCP was found in it). */
struct dump_packet {
	struct packet p;
	struct comment_place place;
	uint32_t payload_off;
	const struct anchor_note *note;     /* NULL: none; valid for the call */
	const struct segment_line *segment; /* the same; NULL also when no such lines are wanted */
};

/* In frame order. Bytes are copied when it has to wait; a reference to the track is held then. */
void dump_put(struct dump *d, const struct dump_packet *packet);

/*
 * A line of a TLS key log, without its end: it will stand before all packets that wait, and those to
 * come.
 */
void dump_secret(struct dump *d, const char *line, size_t len);

/* Write what has been told by now, and what has waited long enough at now_ns. */
void dump_release(struct dump *d, uint64_t now_ns);

/* Make what has left the queue visible to readers of the file. */
void dump_flush(struct dump *d);

/* Write all that waits. */
void dump_drain(struct dump *d);

/* From now on the queue may hold so many bytes, and what it holds now. */
void dump_limit(struct dump *d, uint64_t queue_bytes);
uint64_t dump_bytes(const struct dump *d);

bool dump_is_empty(const struct dump *d);
struct pcapng *dump_file(struct dump *d);

struct dump_counters {
	uint64_t packets;
	uint64_t uncommented; /* carried bytes that nobody had told of in time */
	uint64_t lost;        /* not written: the disk is full, or no memory */
	uint64_t unlined;     /* not in segments.ndjson: no memory */
	uint64_t closed;      /* secrets that are missing: no memory */
};
void dump_counters(const struct dump *d, struct dump_counters *out);

/* What waits is written; the file is closed. NULL is fine. */
void dump_free(struct dump *d);

#endif
