/*
 * pipeline.h -- the way of a packet after it was sorted: number, decode, flow, correlate, dump; and
 * of a finding into its file. The same for `capture` and `analyze`.
 */
#ifndef TRACE_PIPELINE_H
#define TRACE_PIPELINE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attrib.h"
#include "trace/correlate.h"
#include "trace/dump.h"
#include "trace/http_feed.h"
#include "trace/lines.h"
#include "trace/match.h"
#include "trace/packet.h"
#include "trace/pcapng.h"

struct pipeline_options {
	bool is_live;                /* see correlate_options */
	struct anchoring *anchoring; /* see correlate_options */
	/* No log: exchanges are read from the packets, and their lines written here. NULL: not so */
	struct lines *exchanges;
	/* Finds flows of the log's connections by their bytes, or has found them. NULL: not so */
	struct match *match;
	bool has_run; /* run is that of every record */
	uint32_t run;
	uint64_t hold_ns;
	const char *dump_name; /* in the records; NULL: null. Kept, not copied */
	struct lines *flows;   /* both stay the caller's */
	struct lines *conns;
	struct lines *segments; /* NULL: not wanted; the caller's, too */
	struct pcapng *dump;    /* NULL: none. Owned, also when pipeline_new() fails */
	enum dump_payload payload;
	uint64_t queue_bytes;
};

struct pipeline;

struct pipeline *pipeline_new(const struct pipeline_options *o) MUST_CHECK;
void pipeline_free(struct pipeline *p);

/* Offline, when the log has been read: the one run that it is of. */
void pipeline_set_run(struct pipeline *p, uint32_t run);

struct correlate *pipeline_correlate(struct pipeline *p);
struct pcapng *pipeline_dump(struct pipeline *p);

/*
 * The next packet. Its frame is counted when it is 0. Live, one of a connection that nobody named
 * is passed over.
 */
void pipeline_packet(struct pipeline *p, const struct packet *packet);

/* A line of a TLS key log, as dump_secret(). */
void pipeline_secret(struct pipeline *p, const char *line, size_t len);

/* clock_ns as correlate_clock(); now_ns: the present, for packets that wait in the dump's queue. */
void pipeline_clock(struct pipeline *p, uint64_t clock_ns, uint64_t now_ns);

/*
 * Memory is short: packets that wait for their comments may take queue_bytes, and so many exchanges
 * are given out before they settle (correlate_hurry()).
 */
void pipeline_limit(struct pipeline *p, uint64_t queue_bytes, size_t hurry);
/* Bytes of packets that wait. */
uint64_t pipeline_bytes(const struct pipeline *p);

/* To the files: what is due there. */
void pipeline_flush(struct pipeline *p);

/* No packet and no record comes any more. */
void pipeline_end(struct pipeline *p);

/* Nothing waits for time to pass. */
bool pipeline_is_idle(const struct pipeline *p);

struct pipeline_counters {
	uint64_t packets;     /* numbered */
	uint64_t passed_over; /* of connections that nobody named */
	uint64_t broken;      /* cut or malformed: not followed */
	uint64_t incomplete;  /* datagrams of which fragments were missing: not followed */
	uint64_t lost;        /* memory was missing */
	uint64_t outside; /* exchanges that the capture shows nothing of, and was not there for */
	struct correlate_counters correlate;
	struct dump_counters dump;
	struct http_feed_counters http; /* all zero unless exchanges are read from packets */
};
void pipeline_counters(const struct pipeline *p, struct pipeline_counters *out);

#endif
