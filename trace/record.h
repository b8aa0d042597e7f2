/*
 * record.h -- lines of flows.ndjson and conns.ndjson (design section 6).
 *
 * Beyond the design's text:
 * - `anchor` says how the sequence numbers of the connection are known: "syn" (or SYN/ACK captured),
 *   "position" (of one direction at least, by positions that the proxy told and the packets prove;
 *   the dump notes them, see anchor_note.h), "none". It counts for an exchange when the packet that
 *   proved it is stamped up to `settled`. Parts of a direction without are null; bytes that passed
 *   before the capture are missing_bytes, and acked_in is null when the ACK may have as well.
 *   "first-packet" (without a log): offsets count from the first packet of the connection.
 * - Without a log `run` and `backend` are null, "client" is the only leg, and `close` is by "client" or
 *   "server".
 * - `handshake` stands on a leg only for the first exchange on its connection (nth 1); its frames
 *   are those that were seen, `us` is null unless the SYN and the last ACK both were.
 * - `tls` stands where `handshake` does, of a connection that speaks TLS, and says of each of four
 *   messages which frames carried its records for the first time, and the microseconds from the
 *   first packet of the ClientHello to the first with the message's last byte: null where some of it
 *   was not seen, or packets were lost before. `us` of the whole runs to the last Finished.
 *   null: plain, or nobody told. It does not stand in `tries`.
 * - `acked_us` runs from the first frame that carried the last byte to the first ACK that covers
 *   it; it is negative when the capture shows them the other way round. Without an ACK up to
 *   `settled`, acked_in and acked_us are null and `ack_why` says "reset" (the connection was) or
 *   "not-seen".
 * - `close` stands on a leg when the first FIN or RST of the connection is stamped not before the
 *   exchange's first frame and not after the later of its end and of the last acknowledgement of
 *   its bytes; on the last exchange of a connection, not after `settled`. Its frames are the FINs,
 *   their ACKs and the RSTs up to there.
 * - `tries` of the backend are earlier attempts, as the leg itself, with their `end`. `tunnel`
 *   stands only when there was one.
 * - `labels` and `ws` stand on a leg when something remarkable concerns its bytes: tally.h.
 * - `phases_why` stands only when a phase is null, and names the moment that is missing.
 * - `lost_us` stands only when bytes of the exchange were held up: for each phase in which they were
 *   {"retransmission": us, "zero_window": us}, at most as long as the phase (waits.h says from when
 *   to when); both may be part of the same time.
 * - In conns.ndjson a connection that was found by its bytes has "matched":"bytes" and "wire", the
 *   addresses that the packets have.
 * - In conns.ndjson `conn`, `run`, `opened` are null for a connection to a listener that the proxy
 *   never told of; `ids` are the first 1000. `ws_shift` is what has to be added, modulo 2^32,
 *   to Wireshark's relative numbers to get ours: 0 where they are the same, else an object with a
 *   number for what `local` and what `peer` has sent; null where it is not known.
 */
#ifndef TRACE_RECORD_H
#define TRACE_RECORD_H

#include <stdbool.h>
#include <stddef.h>

#include "common/attrib.h"
#include "trace/correlate.h"
#include "trace/finding.h"

/* A line of text that grows as needed. Empty when all zero. */
struct record_text {
	char *at;
	size_t len;
	size_t cap;
};
void record_text_fini(struct record_text *t);

/* dump: file name, or NULL when there is none. False: no memory. */
bool record_exchange(struct record_text *out, const struct finding *e, const char *dump) MUST_CHECK;

struct record_conn {
	const struct conn_finding *e;
	const char *dump;
	bool has_run; /* of a connection that was not told of */
	uint32_t run;
};
bool record_conn(struct record_text *out, const struct record_conn *r) MUST_CHECK;

#endif
