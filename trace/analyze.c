/*
 * analyze.c -- reads the packets, and the log just ahead of them, through the same pipeline as a
 * live run.
 *
 * Files that it makes get their names when they are complete: what stood there before stays until
 * then, and may be an input. Key material of the inputs goes into the copy, and then nobody but its
 * owner may read any of the files.
 */
#include "trace/analyze.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "trace/log_feed.h"
#include "trace/merge.h"
#include "trace/outputs.h"
#include "trace/pipeline.h"
#include "trace/show.h"

#define MERGED_NAME "dump.pcapng"
#define PART_SUFFIX ".part"
/* Packets of one file are nearly in order of time: nothing comes so much behind the newest. */
#define DISORDER_NS NS_PER_S
/* So seldom it is looked what has settled meanwhile: as often as a live run does, or oftener. */
#define CLOCK_STEP_NS NS_PER_MS
/* Without a log a packet waits for its exchange in the annotated copy's queue. */
#define QUEUE_BYTES (64U * 1024 * 1024)

struct analyze {
	const struct analyze_options *o;
	const char *out;                  /* o->out, or a folder of our own */
	char dump_name[OUTPUTS_NAME_MAX]; /* as the records name it */
	bool with_dump;                   /* an annotated copy is written */
	struct merge *merge;
	struct pipeline *pipeline;
	struct pcapng *dump; /* the pipeline's */
	struct lines *flows;
	struct lines *conns;
	struct lines *segments; /* NULL: not wanted */
	struct lines *found;    /* without a log: proxy.ndjson, from the packets */
	unsigned described;     /* interfaces that the dump knows */
	struct log_feed *log;   /* NULL: there is none */
	struct match *match;    /* NULL: without a log */
	uint64_t newest_ns;
	uint64_t clocked_ns; /* newest_ns when the clock was told last */
	bool is_over;        /* the last packet has passed */
	bool is_private;     /* there are secrets in the inputs */
	bool has_failed;
};

static bool complain(struct analyze *a, const char *text)
{
	log_error("%s", text);
	a->has_failed = true;
	return false;
}

/* ---- names ----------------------------------------------------------------------------------- */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

static bool is_same_file(const char *path, const char *other)
{
	struct stat a, b;

	return stat(path, &a) == 0 && stat(other, &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

static void cut_end(char *text, const char *end)
{
	if (ends_with(text, end))
		text[strlen(text) - strlen(end)] = '\0';
}

/*
 * The annotated copy of x.pcap and x.pcap.gz is x.pcapng; the capture itself when it stands in the
 * folder already.
 */
static bool name_dump(struct analyze *a)
{
	const char *base = base_name(a->o->captures[0]);
	size_t len;
	char path[OUTPUTS_PATH_MAX];

	if (a->o->capture_count > 1 || strcmp(base, "-") == 0)
		base = MERGED_NAME;
	len = strlen(base);
	if (len == 0 || len + sizeof(".pcapng") > sizeof(a->dump_name))
		return complain(a, "the name of the capture is too long");
	memcpy(a->dump_name, base, len + 1);
	if (a->o->out == NULL)
		return true;
	cut_end(a->dump_name, ".gz");
	cut_end(a->dump_name, ".zst");
	cut_end(a->dump_name, ".pcap");
	cut_end(a->dump_name, ".pcapng");
	strcat(a->dump_name, ".pcapng");
	if (!outputs_path(path, a->out, a->dump_name))
		return complain(a, "--out: the path is too long");
	a->with_dump = a->o->capture_count > 1 || !is_same_file(path, a->o->captures[0]);
	return true;
}

/* dir/name.part while it is written; the copy of the packets is private until then. */
static bool part_path(const struct analyze *a, const char *name, char out[OUTPUTS_PATH_MAX])
{
	int len = snprintf(out, OUTPUTS_PATH_MAX, "%s/%s" PART_SUFFIX, a->out, name);

	return len > 0 && len < OUTPUTS_PATH_MAX;
}

static void keep_part(struct analyze *a, const char *name)
{
	mode_t mode = a->is_private ? 0600 : outputs_public_mode();
	char part[OUTPUTS_PATH_MAX], path[OUTPUTS_PATH_MAX];

	if (!part_path(a, name, part) || !outputs_path(path, a->out, name) ||
	    (chmod(part, mode) == 0 && rename(part, path) == 0))
		return;
	log_error("%s: %s", path, strerror(errno));
	a->has_failed = true;
}

/* ---- start ----------------------------------------------------------------------------------- */

static struct lines *open_lines(struct analyze *a, const char *name)
{
	char path[OUTPUTS_PATH_MAX], err[LINES_ERROR_MAX];
	struct lines *l;

	if (!part_path(a, name, path)) {
		complain(a, "--out: the path is too long");
		return NULL;
	}
	l = lines_open(path, LINES_NEW, err);
	if (l == NULL)
		complain(a, err);
	return l;
}

static bool open_dump(struct analyze *a, struct pipeline_options *o)
{
	char path[OUTPUTS_PATH_MAX];
	int fd;

	if (!a->with_dump)
		return true;
	if (!part_path(a, a->dump_name, path))
		return complain(a, "--out: the path is too long");
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600);
	if (fd >= 0 && fchmod(fd, 0600) == 0)
		o->dump = pcapng_new(fd, APPLICATION_NAME);
	if (o->dump != NULL)
		return true;
	log_error("%s: %s", path, strerror(errno));
	a->has_failed = true;
	return false;
}

static void on_secrets(void *arg, uint32_t type, const void *bytes, size_t len)
{
	struct analyze *a = arg;

	a->is_private = true;
	if (a->dump != NULL && !pcapng_secrets(a->dump, type, bytes, len))
		a->has_failed = true; /* said when the file is closed */
}

static bool open_files(struct analyze *a)
{
	struct pipeline_options o = {.hold_ns = a->o->hold_ms * NS_PER_MS,
				     .dump_name = a->dump_name,
				     .queue_bytes = QUEUE_BYTES};
	char err[CAPTURE_FILE_ERROR_MAX];

	a->merge = merge_open(a->o->captures, a->o->capture_count, err);
	if (a->merge == NULL)
		return complain(a, err);
	merge_on_secrets(a->merge, on_secrets, a);
	a->flows = open_lines(a, "flows.ndjson");
	a->conns = a->flows != NULL ? open_lines(a, "conns.ndjson") : NULL;
	if (a->conns != NULL && a->o->log == NULL)
		a->found = open_lines(a, "proxy.ndjson");
	if (a->conns == NULL || (a->o->log == NULL && a->found == NULL) || !open_dump(a, &o))
		return false;
	o.exchanges = a->found;
	o.match = a->match;
	o.flows = a->flows;
	o.conns = a->conns;
	if (a->o->with_segments) {
		a->segments = open_lines(a, "segments.ndjson");
		if (a->segments == NULL)
			return false;
	}
	o.segments = a->segments;
	a->pipeline = pipeline_new(&o);
	if (a->pipeline == NULL)
		return complain(a, "no memory");
	a->dump = pipeline_dump(a->pipeline);
	return true;
}

/* ---- the log --------------------------------------------------------------------------------- */

static void on_exchange(void *arg, const struct exchange_record *x, const struct log_tls *tls)
{
	struct correlate *c = pipeline_correlate(((struct analyze *)arg)->pipeline);

	correlate_exchange(c, x);
	if (UNLIKELY(tls->is_there[TAP_CLIENT]))
		correlate_tls(c, x->run, x->client.conn, &tls->marks[TAP_CLIENT]);
	if (UNLIKELY(tls->is_there[TAP_BACKEND]))
		correlate_tls(c, x->run, x->backend.conn, &tls->marks[TAP_BACKEND]);
}

static void on_known(void *arg, uint64_t ns)
{
	struct analyze *a = arg;
	uint64_t newest_ns =
		a->is_over ? UINT64_MAX : a->newest_ns - MIN(a->newest_ns, DISORDER_NS);

	pipeline_clock(a->pipeline, MIN(ns, newest_ns), ns);
}

/* The run of connections that nobody told of is known when the log has one run only. */
static bool open_log(struct analyze *a)
{
	const struct log_feed_calls calls = {.arg = a, .exchange = on_exchange, .known = on_known};
	char err[LOG_ERROR_MAX];
	uint32_t run;

	if (a->o->log == NULL)
		return true;
	a->log = log_feed_open(a->o->log, &calls, err);
	if (a->log == NULL)
		return complain(a, err);
	if (log_feed_run(a->log, &run))
		pipeline_set_run(a->pipeline, run);
	return true;
}

static void say_log_end(struct analyze *a)
{
	if (a->log == NULL)
		return;
	if (log_feed_is_torn(a->log))
		log_notice("%s: its last line is torn and was left out", a->o->log);
	if (log_feed_fault(a->log) != NULL)
		complain(a, log_feed_fault(a->log));
}

/* ---- the packets ----------------------------------------------------------------------------- */

/* An interface may turn up in the middle of a file. */
static bool describe_interfaces(struct analyze *a)
{
	while (a->dump != NULL && a->described < merge_interfaces(a->merge)) {
		struct pcapng_interface i = {
			.name = merge_interface_name(a->merge, a->described),
			.link = merge_interface_link(a->merge, a->described),
		};

		if (i.name == NULL)
			i.name = "unknown";
		if (!pcapng_interface(a->dump, &i))
			return false;
		a->described++;
	}
	return true;
}

static bool read_packets(struct analyze *a)
{
	struct packet p;

	while (merge_next(a->merge, &p)) {
		if (!describe_interfaces(a))
			return complain(a, "the annotated capture cannot be written");
		a->newest_ns = MAX(a->newest_ns, p.ts_ns);
		if (a->log != NULL)
			log_feed_until(a->log, a->newest_ns);
		pipeline_packet(a->pipeline, &p);
		if (a->newest_ns < a->clocked_ns + CLOCK_STEP_NS || a->newest_ns <= DISORDER_NS)
			continue;
		a->clocked_ns = a->newest_ns;
		pipeline_clock(a->pipeline, a->newest_ns - DISORDER_NS, a->newest_ns);
	}
	a->is_over = true;
	if (a->log != NULL)
		log_feed_rest(a->log);
	pipeline_end(a->pipeline);
	return true;
}

/* ---- the end --------------------------------------------------------------------------------- */

static bool write_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		bytes += n;
		len -= (size_t)n;
	}
	return true;
}

static bool copy_bytes(int from, int to)
{
	char buf[65536];
	ssize_t n;

	while ((n = read(from, buf, sizeof(buf))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || !write_all(to, buf, (size_t)n))
			return false;
	}
	return true;
}

static bool is_file(const char *path)
{
	struct stat s;

	return stat(path, &s) == 0 && S_ISREG(s.st_mode);
}

/* So that the folder holds all that `show` needs. What tells everything once alone is no file. */
static void copy_log(struct analyze *a)
{
	char path[OUTPUTS_PATH_MAX], part[OUTPUTS_PATH_MAX];
	int from, to;
	bool copied = false;

	if (!outputs_path(path, a->out, "proxy.ndjson") || !part_path(a, "proxy.ndjson", part) ||
	    is_same_file(path, a->o->log) || !is_file(a->o->log))
		return;
	from = open(a->o->log, O_RDONLY | O_CLOEXEC);
	to = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (from >= 0 && to >= 0)
		copied = copy_bytes(from, to);
	if (!copied) {
		log_error("%s: %s", path, strerror(errno));
		a->has_failed = true;
	}
	if (from >= 0)
		close(from);
	if (to >= 0)
		close(to);
	if (copied)
		keep_part(a, "proxy.ndjson");
}

/* "connections 1, 2 and 5 speak TLS ..." */
static void say_tls(const struct http_feed_counters *n)
{
	unsigned shown = (unsigned)MIN(n->tls_count, HTTP_FEED_TLS_MAX);
	char list[HTTP_FEED_TLS_MAX * 24] = "", more[48] = "";
	size_t used = 0;

	if (n->tls_count > shown)
		snprintf(more, sizeof(more), " and %llu more",
			 (unsigned long long)(n->tls_count - shown));
	for (unsigned i = 0; i < shown; i++) {
		bool is_last = i + 1 == shown && more[0] == '\0';

		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%llu",
					 i == 0    ? ""
					 : is_last ? " and "
						   : ", ",
					 (unsigned long long)n->tls[i]);
	}
	if (n->tls_count > 0)
		log_notice("connection%s %s%s %s TLS, which is not decrypted here: no HTTP is read",
			   n->tls_count == 1 ? "" : "s", list, more,
			   n->tls_count == 1 ? "is" : "are");
}

static void say_end(struct analyze *a)
{
	struct pipeline_counters n;

	pipeline_counters(a->pipeline, &n);
	log_notice("%llu packets, %llu exchanges, %llu connections", (unsigned long long)n.packets,
		   (unsigned long long)(n.correlate.exchanges - n.outside),
		   (unsigned long long)n.correlate.conns);
	if (n.outside > 0)
		log_notice("%llu exchanges of the log lie outside the capture",
			   (unsigned long long)n.outside);
	if (n.incomplete > 0)
		log_notice("%llu IP datagrams were left out: fragments of them are missing",
			   (unsigned long long)n.incomplete);
	say_tls(&n.http);
	if (n.http.pairs.strays > 0)
		log_notice(
			"%llu responses belong to requests that the capture does not show, or to "
			"none that can be told",
			(unsigned long long)n.http.pairs.strays);
	if (n.lost > 0)
		log_warning("%llu packets and lines were not used: no memory, or a line twice",
			    (unsigned long long)n.lost);
	for (unsigned i = 0; i < merge_faults(a->merge); i++)
		complain(a, merge_fault(a->merge, i));
	say_log_end(a);
}

static void drop_part(struct analyze *a, const char *name)
{
	char part[OUTPUTS_PATH_MAX];

	if (part_path(a, name, part))
		unlink(part);
}

static void close_files(struct analyze *a, bool is_whole)
{
	void (*done)(struct analyze * a, const char *name) = is_whole ? keep_part : drop_part;

	pipeline_free(a->pipeline);
	log_feed_close(a->log);
	if (lines_close(a->flows) + lines_close(a->conns) + lines_close(a->segments) +
		    lines_close(a->found) >
	    0)
		a->has_failed = true;
	merge_close(a->merge);
	done(a, "flows.ndjson");
	done(a, "conns.ndjson");
	if (a->o->with_segments)
		done(a, "segments.ndjson");
	if (a->with_dump)
		done(a, a->dump_name);
	if (a->o->log == NULL)
		done(a, "proxy.ndjson");
	else if (is_whole)
		copy_log(a);
}

/* Anew, with what the first pass has found. */
static bool analyze_again(struct analyze *a)
{
	pipeline_free(a->pipeline);
	a->pipeline = NULL;
	log_feed_close(a->log);
	a->log = NULL;
	(void)lines_close(a->flows);
	(void)lines_close(a->conns);
	(void)lines_close(a->segments);
	merge_close(a->merge);
	a->merge = NULL;
	a->flows = a->conns = a->segments = NULL;
	a->described = 0;
	a->newest_ns = 0;
	a->clocked_ns = 0;
	a->is_over = false;
	return open_files(a) && open_log(a) && read_packets(a);
}

/* A pipe gives its packets once. */
static bool can_read_again(const struct analyze *a)
{
	struct stat st;

	for (unsigned i = 0; i < a->o->capture_count; i++)
		if (strcmp(a->o->captures[i], "-") == 0 || stat(a->o->captures[i], &st) != 0 ||
		    !S_ISREG(st.st_mode))
			return false;
	return stat(a->o->log, &st) == 0 && S_ISREG(st.st_mode);
}

/* Connections of the log that no flow has the addresses of are looked for by their bytes. */
static bool match_flows(struct analyze *a)
{
	char err[LOG_ERROR_MAX];
	struct match_counters n;
	bool has_found;

	if (a->match == NULL || !match_is_due(a->match))
		return true;
	if (!can_read_again(a)) {
		log_notice(
			"connections of the log may be in the capture under other addresses: to look "
			"for them, it must be a file");
		return true;
	}
	has_found = match_find(a->match, a->o->log, err);
	if (!has_found && err[0] != '\0')
		return complain(a, err);
	match_counters(a->match, &n);
	if (n.ambiguous > 0)
		log_notice(
			"%llu connections could not be told apart by their bytes, and were left out",
			(unsigned long long)n.ambiguous);
	return !has_found || analyze_again(a);
}

static void analyze(struct analyze *a)
{
	bool is_whole;

	if (a->o->log != NULL)
		a->match = match_new(!can_read_again(a));
	is_whole =
		name_dump(a) && open_files(a) && open_log(a) && read_packets(a) && match_flows(a);
	if (is_whole)
		say_end(a);
	close_files(a, is_whole);
	match_free(a->match);
}

/* ---- without a folder: one of our own, for as long as the table is printed ------------------- */

static void remove_folder(const char *dir)
{
	static const char *const names[] = {"flows.ndjson", "conns.ndjson", "proxy.ndjson"};
	char path[OUTPUTS_PATH_MAX];

	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		if (outputs_path(path, dir, names[i]))
			unlink(path);
		snprintf(path, sizeof(path), "%s/%s" PART_SUFFIX, dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
}

static void print_table(struct analyze *a)
{
	char folder[] = "/tmp/flowtrace.XXXXXX";
	char word[] = "show";
	char *argv[] = {word, folder, NULL};

	if (mkdtemp(folder) == NULL) {
		log_error("%s: %s", folder, strerror(errno));
		a->has_failed = true;
		return;
	}
	a->out = folder;
	analyze(a);
	if (show_main(2, argv) != 0)
		a->has_failed = true;
	remove_folder(folder);
}

int analyze_run(const struct analyze_options *o)
{
	struct analyze a = {.o = o, .out = o->out};
	char err[OUTPUTS_ERROR_MAX];

	if (o->out == NULL) {
		print_table(&a);
	} else if (outputs_make_dir(o->out, err)) {
		analyze(&a);
	} else {
		complain(&a, err);
	}
	return a.has_failed ? 1 : 0;
}
