/*
 * pcapng.h -- writes pcapng (draft-ietf-opsawg-pcapng): section header, interfaces, packets with
 * comments, secrets, interface statistics. No custom blocks, no epb_verdict (packet-facts).
 *
 * Buffered; every flush ends on a whole block, so that a reader sees whole blocks at any moment.
 */
#ifndef TRACE_PCAPNG_H
#define TRACE_PCAPNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"
#include "trace/packet.h"

struct pcapng;

struct pcapng_interface {
	const char *name;
	const char *description; /* may be NULL */
	const char *filter;      /* may be NULL */
	uint16_t link;
	uint32_t snap_len; /* 0: no limit */
};

/* fd is owned from now on. Writes the section header. NULL: no memory, or the write failed. */
struct pcapng *pcapng_new(int fd, const char *application) MUST_CHECK;

/* Interfaces are numbered from 0 in the order they are added; before the first packet. */
bool pcapng_interface(struct pcapng *w, const struct pcapng_interface *i) MUST_CHECK;

struct pcapng_comment {
	const char *text;
	size_t len; /* what is beyond 65535 bytes is cut */
};

/*
 * comments: `count` texts, each its own opt_comment. p->iface, direction and dropped_before are
 * written.
 */
bool pcapng_packet(struct pcapng *w, const struct packet *p, const struct pcapng_comment *comments,
		   unsigned count) MUST_CHECK;

/*
 * Key material of type (PCAPNG_SECRETS_ as in the format's description), for packets behind it. Takes
 * no frame number. What the buffer held of it is wiped when it has left.
 */
#define PCAPNG_SECRETS_TLS 0x544c534bU /* text of a key log in the NSS format */
bool pcapng_secrets(struct pcapng *w, uint32_t type, const void *bytes, size_t len) MUST_CHECK;

struct pcapng_statistics {
	uint64_t ts_ns;    /* now: the end of the capture */
	uint64_t start_ns; /* when it began; 0: not known, not written */
	uint64_t received;
	uint64_t dropped;
};
bool pcapng_statistics(struct pcapng *w, uint32_t iface,
		       const struct pcapng_statistics *s) MUST_CHECK;

bool pcapng_flush(struct pcapng *w) MUST_CHECK;

/* Flush and close. False when anything since pcapng_new() failed. NULL is fine (true). */
bool pcapng_close(struct pcapng *w);

#endif
