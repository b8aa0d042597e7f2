/*
 * log_feed.h -- gives the log's exchanges to the correlator just ahead of the packets, so that what
 * is in memory follows what is open and not the length of the log.
 *
 * A line is written when its exchange ends, but its packets begin when it began. So the log is read
 * twice: first for the few exchanges that took long, or whose lines stand out of order; these are
 * known before the first packet. The others are read when the packets come near. A log that cannot
 * be read twice (a pipe) is known as a whole before the first packet.
 */
#ifndef TRACE_LOG_FEED_H
#define TRACE_LOG_FEED_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attrib.h"
#include "common/exchange_record.h"
#include "trace/log_reader.h"

struct log_feed;

struct log_feed_calls {
	void *arg;
	void (*exchange)(void *arg, const struct exchange_record *x, const struct log_tls *tls);
	/*
	 * Every exchange that ended up to ns has been given: the packet clock may go there. Called
	 * now and then while many lines are read at once.
	 */
	void (*known)(void *arg, uint64_t ns);
};

/* NULL: err says why. The long ones have been given when it returns. */
struct log_feed *log_feed_open(const char *path, const struct log_feed_calls *calls,
			       char err[LOG_ERROR_MAX]) MUST_CHECK;
void log_feed_close(struct log_feed *f);

/* Packets stamped up to ns come now. Cheap when there is nothing to do. */
void log_feed_until(struct log_feed *f, uint64_t ns);

/* No packet comes any more: give all that is left. */
void log_feed_rest(struct log_feed *f);

/* The one run that all lines are of; false: several, or none. Known from the start. */
bool log_feed_run(const struct log_feed *f, uint32_t *run);

bool log_feed_is_torn(const struct log_feed *f);

/* What is wrong in the log, with file and line; NULL: nothing so far. Known when it was reached. */
const char *log_feed_fault(const struct log_feed *f);

#endif
