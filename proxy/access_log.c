/*
 * access_log.c -- blocks of log lines on their way from the workers to the file.
 *
 * A worker fills one block at a time and hands it over when it is full or 10 ms old; the thread
 * writes it with one write() and gives it back. The lock is held for a few pointer moves a block,
 * never over a line and never over a write, so the request path waits for nothing: a worker that
 * finds none of its blocks free loses the line and counts it.
 *
 * Invariant: a block is in one place: a worker's current one, its list of free ones, the queue, or
 * the thread's hands. It holds whole lines only.
 */
#include "proxy/access_log.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

#include "common/clock.h"
#include "common/log.h"
#include "proxy/access_file.h"
#include "proxy/access_line.h"

#define BLOCK_BYTES      (256 * 1024)
#define BLOCKS           4
#define BLOCK_AGE_NS     (10 * NS_PER_MS)
#define SAY_EVERY_NS     NS_PER_S
#define STOP_PATIENCE_MS 1000

_Static_assert(ACCESS_LINE_MAX <= BLOCK_BYTES, "any line fits an empty block");

struct block {
	STAILQ_ENTRY(block) next;
	struct access_writer *owner;
	size_t len;
	char *bytes;
};

STAILQ_HEAD(block_list, block);

struct access_writer {
	struct access_log *log; /* NULL: nothing is kept */
	struct block *current;  /* being filled, or NULL */
	uint64_t born_ns;       /* of the current block's first line */
	struct block_list free; /* under log->lock */
	unsigned handed_over;   /* blocks in the queue or in the thread's hands; under log->lock */
	bool abandoned;         /* the worker is gone: free what comes back; under log->lock */
	struct block blocks[BLOCKS];
};

struct access_log {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct block_list queue; /* under lock */
	bool stop;               /* under lock */
	bool reopen;             /* under lock */
	atomic_bool stopping;
	_Atomic uint64_t lost;
	/* the thread's own */
	struct access_file file;
	uint64_t said;    /* of lost */
	uint64_t said_ns; /* when, monotonic */
	bool gave_up;     /* stopping, and the file takes nothing */
};

/* ---- the thread ------------------------------------------------------------------------------ */

static const char *why_lost(const struct access_log *log)
{
	if (log->file.error == 0)
		return "they came faster than they could be written";
	return log->file.error == ETIMEDOUT ? "nobody reads it" : strerror(log->file.error);
}

/* Say what was lost since the last time, at most once a second, or now. */
static void say_lost(struct access_log *log, bool now)
{
	uint64_t lost = atomic_load(&log->lost);
	uint64_t now_ns;

	if (lost == log->said)
		return;
	now_ns = clock_mono_ns();
	if (!now && log->said_ns != 0 && now_ns - log->said_ns < SAY_EVERY_NS)
		return;
	log_warning("access log %s: %llu lines lost, %llu so far: %s", log->file.path,
		    (unsigned long long)(lost - log->said), (unsigned long long)lost,
		    why_lost(log));
	log->said = lost;
	log->said_ns = now_ns;
}

static bool patience(void *arg, uint32_t waited_ms)
{
	struct access_log *log = arg;

	say_lost(log, false);
	if (!atomic_load(&log->stopping) || waited_ms < STOP_PATIENCE_MS)
		return true;
	log->gave_up = true;
	return false;
}

static void write_block(struct access_log *log, const struct block *b)
{
	uint64_t lost;

	log->file.error = 0;
	if (log->gave_up) {
		log->file.error = ETIMEDOUT;
		lost = access_file_count_lines(b->bytes, b->len);
	} else {
		lost = access_file_write(&log->file, b->bytes, b->len, patience, log);
	}
	if (lost > 0)
		atomic_fetch_add(&log->lost, lost);
	say_lost(log, false);
}

static void writer_destroy(struct access_writer *w)
{
	for (unsigned i = 0; i < BLOCKS; i++)
		free(w->blocks[i].bytes);
	free(w);
}

/* Under the lock. */
static void give_back(struct block *b)
{
	struct access_writer *w = b->owner;

	b->len = 0;
	STAILQ_INSERT_HEAD(&w->free, b, next);
	w->handed_over--;
	if (w->abandoned && w->handed_over == 0)
		writer_destroy(w);
}

/* Under the lock. Sleeps until there is something to do, or a second at most with losses to say. */
static void wait_for_work(struct access_log *log)
{
	struct timespec until;

	if (!STAILQ_EMPTY(&log->queue) || log->stop || log->reopen)
		return;
	if (atomic_load(&log->lost) == log->said) {
		pthread_cond_wait(&log->wake, &log->lock);
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec++;
	pthread_cond_timedwait(&log->wake, &log->lock, &until);
}

/* Under the lock, which is let go while the file is busy. False: stopped and nothing left. */
static bool work_once(struct access_log *log)
{
	struct block *b = STAILQ_FIRST(&log->queue);

	if (log->reopen) {
		log->reopen = false;
		pthread_mutex_unlock(&log->lock);
		/* When it fails it has said so, and the old file is good. */
		if (access_file_reopen(&log->file))
			log_notice("access log %s: opened again", log->file.path);
		pthread_mutex_lock(&log->lock);
		return true;
	}
	if (b == NULL)
		return !log->stop;
	STAILQ_REMOVE_HEAD(&log->queue, next);
	pthread_mutex_unlock(&log->lock);
	write_block(log, b);
	pthread_mutex_lock(&log->lock);
	give_back(b);
	return true;
}

static void *log_thread(void *arg)
{
	struct access_log *log = arg;

	pthread_mutex_lock(&log->lock);
	do {
		wait_for_work(log);
		if (STAILQ_EMPTY(&log->queue))
			say_lost(log, false);
	} while (work_once(log));
	pthread_mutex_unlock(&log->lock);
	say_lost(log, true);
	return NULL;
}

/* ---- opening and closing --------------------------------------------------------------------- */

/* The thread takes no signal: they are the main thread's, and SIGPIPE nobody's. */
static int start_thread(struct access_log *log)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&log->thread, NULL, log_thread, log);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error == 0)
		pthread_setname_np(log->thread, "access-log");
	return error;
}

static void init_locks(struct access_log *log)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&log->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&log->wake, &attr);
	pthread_condattr_destroy(&attr);
}

static void log_destroy(struct access_log *log)
{
	access_file_close(&log->file);
	pthread_cond_destroy(&log->wake);
	pthread_mutex_destroy(&log->lock);
	free(log);
}

struct access_log *access_log_open(const char *path)
{
	struct access_log *log = calloc(1, sizeof(*log));
	int error;

	if (log == NULL) {
		log_error("access log %s: no memory", path);
		return NULL;
	}
	if (!access_file_open(&log->file, path)) {
		free(log);
		return NULL;
	}
	STAILQ_INIT(&log->queue);
	init_locks(log);
	error = start_thread(log);
	if (error != 0) {
		log_error("access log %s: no thread: %s", path, strerror(error));
		log_destroy(log);
		return NULL;
	}
	return log;
}

void access_log_close(struct access_log *log)
{
	if (log == NULL)
		return;
	atomic_store(&log->stopping, true);
	pthread_mutex_lock(&log->lock);
	log->stop = true;
	pthread_cond_signal(&log->wake);
	pthread_mutex_unlock(&log->lock);
	pthread_join(log->thread, NULL);
	log_destroy(log);
}

void access_log_reopen(struct access_log *log)
{
	pthread_mutex_lock(&log->lock);
	log->reopen = true;
	pthread_cond_signal(&log->wake);
	pthread_mutex_unlock(&log->lock);
}

uint64_t access_log_lost(const struct access_log *log)
{
	return atomic_load(&log->lost);
}

/* ---- a worker's end -------------------------------------------------------------------------- */

struct access_writer *access_writer_new(struct access_log *log)
{
	struct access_writer *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->log = log;
	STAILQ_INIT(&w->free);
	for (unsigned i = 0; log != NULL && i < BLOCKS; i++) {
		struct block *b = &w->blocks[i];

		b->owner = w;
		b->bytes = aligned_alloc(4096, BLOCK_BYTES);
		if (b->bytes == NULL) {
			writer_destroy(w);
			return NULL;
		}
		/*
		 * Touched now, so that no request waits for a page. Not with zero: a compiler may
		 * turn that into calloc(), whose pages are untouched.
		 */
		memset(b->bytes, '\n', BLOCK_BYTES);
		STAILQ_INSERT_TAIL(&w->free, b, next);
	}
	return w;
}

static void hand_over(struct access_writer *w)
{
	struct access_log *log = w->log;

	pthread_mutex_lock(&log->lock);
	STAILQ_INSERT_TAIL(&log->queue, w->current, next);
	w->handed_over++;
	pthread_cond_signal(&log->wake);
	pthread_mutex_unlock(&log->lock);
	w->current = NULL;
}

/* A block with nothing in it, or NULL: all of them wait to be written. */
static struct block *take_block(struct access_writer *w)
{
	struct block *b;

	pthread_mutex_lock(&w->log->lock);
	b = STAILQ_FIRST(&w->free);
	if (b != NULL)
		STAILQ_REMOVE_HEAD(&w->free, next);
	pthread_mutex_unlock(&w->log->lock);
	return b;
}

void access_writer_free(struct access_writer *w)
{
	bool idle;

	if (w == NULL)
		return;
	if (w->log == NULL) {
		writer_destroy(w);
		return;
	}
	if (w->current != NULL && w->current->len > 0)
		hand_over(w);
	pthread_mutex_lock(&w->log->lock);
	w->abandoned = true;
	idle = w->handed_over == 0;
	pthread_mutex_unlock(&w->log->lock);
	/* Else the thread frees it with the last block that it gives back. */
	if (idle)
		writer_destroy(w);
}

void access_writer_add(struct access_writer *w, const struct access_line *line, uint64_t now_ns)
{
	struct block *b = w->current;
	size_t len;

	if (w->log == NULL)
		return;
	if (b != NULL && BLOCK_BYTES - b->len < access_line_max(line))
		hand_over(w);
	if (w->current == NULL)
		w->current = take_block(w);
	b = w->current;
	if (b == NULL) {
		atomic_fetch_add(&w->log->lost, 1);
		return;
	}
	if (b->len == 0)
		w->born_ns = now_ns;
	len = access_line_format(line, b->bytes + b->len, BLOCK_BYTES - b->len);
	assert(len > 0);
	b->len += len;
}

/* Has the thread something of ours that it has not written yet? */
static bool is_behind(struct access_writer *w)
{
	bool behind;

	pthread_mutex_lock(&w->log->lock);
	behind = w->handed_over > 0;
	pthread_mutex_unlock(&w->log->lock);
	return behind;
}

/*
 * A thread that is behind gets no more blocks for their age alone: handed over nearly empty, they
 * would run out within a few of these moments, and lines be lost on a machine that is merely busy.
 */
uint64_t access_writer_tick(struct access_writer *w, uint64_t now_ns)
{
	if (w->current == NULL || w->current->len == 0)
		return UINT64_MAX;
	if (now_ns < w->born_ns + BLOCK_AGE_NS)
		return w->born_ns + BLOCK_AGE_NS;
	if (is_behind(w))
		return now_ns + BLOCK_AGE_NS;
	hand_over(w);
	return UINT64_MAX;
}
