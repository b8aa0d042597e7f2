/*
 * log_feed.c -- the two readings of the log.
 *
 * The log's own clock at a line is the latest end of an exchange up to that line: it only goes
 * forward. A line is read when that clock is at most AHEAD_NS behind the packets' time; so an
 * exchange whose begin lies no more than SHORT_NS before the clock of its line is known in time,
 * and any other is given at the start.
 *
 * Invariant: `held` is the next line of the second reading, unless that is over.
 */
#include "trace/log_feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "trace/log_line.h"

#define SHORT_NS (3 * NS_PER_S)
#define AHEAD_NS (5 * NS_PER_S)
/*
 * A capture of another host may be stamped by a clock that is behind the proxy's: a log that is not
 * dense is read further ahead, by two blocks of lines at most.
 */
#define FAR_NS      (60 * NS_PER_S)
#define BLOCK_LINES 8192U
#define BATCH       256U

struct log_feed {
	struct log_feed_calls calls;
	struct log_reader *reader;
	char fault[LOG_ERROR_MAX];
	bool has_fault;

	/* By the first reading. */
	uint64_t *early; /* numbers of lines that were given at the start, ascending */
	size_t early_count;
	size_t early_cap;
	uint32_t run;
	uint64_t lines;
	bool has_one_run;

	/* The second one. */
	bool is_over;
	size_t early_next;
	uint64_t clock_ns;
	struct exchange_record held;
	struct log_tls held_tls;
	uint64_t held_ns; /* the log's clock there */

	uint64_t given;
	uint64_t block_ns; /* the log's clock where the last block of lines began */
};

static void keep_fault(struct log_feed *f, const char *why)
{
	if (!f->has_fault)
		snprintf(f->fault, sizeof(f->fault), "%s", why);
	f->has_fault = true;
}

/* ---- the first reading ----------------------------------------------------------------------- */

static void note_run(struct log_feed *f, uint32_t run)
{
	f->has_one_run = f->lines == 0 || (f->has_one_run && f->run == run);
	f->run = run;
	f->lines++;
}

static bool note_early(struct log_feed *f, uint64_t number)
{
	if (f->early_count == f->early_cap) {
		size_t cap = f->early_cap > 0 ? 2 * f->early_cap : 64;
		uint64_t *grown = realloc(f->early, cap * sizeof(*grown));

		if (grown == NULL)
			return false;
		f->early = grown;
		f->early_cap = cap;
	}
	f->early[f->early_count++] = number;
	return true;
}

/* Begin and end of the exchange in the line. False: the line cannot be read. */
static bool read_times(const char *line, size_t len, struct log_line_times *t)
{
	struct exchange_record x;
	struct log_tls tls;
	char why[LOG_ERROR_MAX];

	if (log_line_read_times(line, len, t))
		return true;
	if (!log_line_parse(line, len, &x, &tls, why))
		return false;
	*t = (struct log_line_times){x.run, x.start_ns, exchange_end_ns(x.start_ns, x.at_us)};
	return true;
}

/* What is wrong with a line is the second reading's to say. False: no memory. */
static bool give_early(struct log_feed *f, struct log_reader *r)
{
	char err[LOG_ERROR_MAX];
	uint64_t clock_ns = 0;
	struct log_line_times t;
	struct exchange_record x;
	struct log_tls tls;
	const char *line;
	size_t len;

	while (log_reader_line(r, &line, &len, err) == LOG_RECORD && read_times(line, len, &t)) {
		note_run(f, t.run);
		clock_ns = MAX(clock_ns, t.end_ns);
		if (clock_ns - t.start_ns <= SHORT_NS)
			continue;
		if (!log_line_parse(line, len, &x, &tls, err))
			break;
		if (!note_early(f, log_reader_number(r)))
			return false;
		f->calls.exchange(f->calls.arg, &x, &tls);
	}
	return true;
}

/* ---- the second reading ---------------------------------------------------------------------- */

/* The next line that was not given at the start becomes the held one. */
static void hold_next(struct log_feed *f)
{
	char err[LOG_ERROR_MAX];

	for (;;) {
		enum log_result result = log_reader_next(f->reader, &f->held, &f->held_tls, err);

		if (result == LOG_BROKEN)
			keep_fault(f, err);
		if (result != LOG_RECORD) {
			f->is_over = true;
			return;
		}
		f->clock_ns = MAX(f->clock_ns, exchange_end_ns(f->held.start_ns, f->held.at_us));
		if (f->early_next == f->early_count ||
		    f->early[f->early_next] != log_reader_number(f->reader))
			break;
		f->early_next++;
	}
	f->held_ns = f->clock_ns;
}

static void give_held(struct log_feed *f)
{
	if (f->given++ % BLOCK_LINES == 0)
		f->block_ns = f->held_ns;
	f->calls.exchange(f->calls.arg, &f->held, &f->held_tls);
	hold_next(f);
}

static void give_until(struct log_feed *f, uint64_t ns)
{
	for (unsigned n = 1; !f->is_over && f->held_ns <= ns; n++) {
		give_held(f);
		if (n % BATCH == 0 && !f->is_over)
			f->calls.known(f->calls.arg, f->held_ns - MIN(f->held_ns, AHEAD_NS));
	}
}

static void give_far(struct log_feed *f, uint64_t ns)
{
	while (!f->is_over && f->held_ns <= ns + FAR_NS && f->block_ns <= ns + AHEAD_NS)
		give_held(f);
}

void log_feed_until(struct log_feed *f, uint64_t ns)
{
	if (f->is_over || f->held_ns > ns + FAR_NS)
		return;
	give_until(f, ns + AHEAD_NS);
	give_far(f, ns);
}

void log_feed_rest(struct log_feed *f)
{
	give_until(f, UINT64_MAX);
}

/* ---- a log that is read once ----------------------------------------------------------------- */

static void give_all(struct log_feed *f)
{
	for (hold_next(f); !f->is_over; give_held(f))
		note_run(f, f->held.run);
}

/* ---- life ------------------------------------------------------------------------------------ */

static bool is_regular(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static bool read_twice(struct log_feed *f, const char *path, char err[LOG_ERROR_MAX])
{
	struct log_reader *first = log_reader_open(path, err);
	bool done;

	if (first == NULL)
		return false;
	done = give_early(f, first);
	log_reader_close(first);
	if (done)
		hold_next(f);
	else
		snprintf(err, LOG_ERROR_MAX, "%s: no memory", path);
	return done;
}

struct log_feed *log_feed_open(const char *path, const struct log_feed_calls *calls,
			       char err[LOG_ERROR_MAX])
{
	struct log_feed *f = calloc(1, sizeof(*f));

	if (f == NULL) {
		snprintf(err, LOG_ERROR_MAX, "%s: no memory", path);
		return NULL;
	}
	f->calls = *calls;
	f->reader = log_reader_open(path, err);
	if (f->reader == NULL || (is_regular(path) && !read_twice(f, path, err))) {
		log_feed_close(f);
		return NULL;
	}
	if (!is_regular(path))
		give_all(f);
	return f;
}

void log_feed_close(struct log_feed *f)
{
	if (f == NULL)
		return;
	log_reader_close(f->reader);
	free(f->early);
	free(f);
}

bool log_feed_run(const struct log_feed *f, uint32_t *run)
{
	*run = f->run;
	return f->has_one_run;
}

bool log_feed_is_torn(const struct log_feed *f)
{
	return log_reader_is_torn(f->reader);
}

const char *log_feed_fault(const struct log_feed *f)
{
	return f->has_fault ? f->fault : NULL;
}
