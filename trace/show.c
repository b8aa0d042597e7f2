/*
 * show.c -- the command: options, which files, which of the three views.
 *
 * Never changes a file. A line that is no record is said once, passed over, and makes the exit
 * status 1.
 */
#include "trace/show.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "trace/evidence.h"
#include "trace/ladder.h"
#include "trace/records_join.h"
#include "trace/records_paths.h"
#include "trace/records_reader.h"
#include "trace/screen.h"
#include "trace/story.h"
#include "trace/table.h"

#define CANDIDATES_MAX 5

struct options {
	const char *of;
	const char *id;
	bool story;
};

/* What went wrong so far without ending the work. */
struct troubles {
	uint64_t count;
};

static const char usage_text[] =
	"usage: flowtrace show DIR|FLOWS        table of the exchanges\n"
	"       flowtrace show DIR|FLOWS ID     one exchange, segment by segment\n"
	"       flowtrace show DIR|FLOWS --story\n"
	"                                       the newest run, told from handshake to close\n"
	"\n"
	"DIR is a folder that `flowproxy --trace DIR` or `flowtrace analyze` wrote; FLOWS its\n"
	"flows.ndjson, beside which proxy.ndjson, conns.ndjson and the dump are looked for. ID is the\n"
	"id of an exchange or as many of its first digits as no other has.\n"
	"\n"
	"  --story      connections, data transfer, reuse, piggybacked ACKs, termination;\n"
	"               exit status 1 when the capture misses some of it\n"
	"  -h, --help   this text\n"
	"\n"
	"In the table: `backend` is connection#exchange, with * when the connection was made for it;\n"
	"`resent` the bytes that were sent again; a total with ~ is by the proxy's clock, others by\n"
	"the packets. Colours appear on a terminal unless NO_COLOR is set.\n";

/* ---- the table ---- */

static void say_trouble(struct troubles *t, const char *err)
{
	if (t->count++ == 0)
		log_error("%s", err);
}

/* NULL with nothing said when the file is not there. */
static struct records_join *open_join(const struct records_paths *paths, struct troubles *t)
{
	char err[RECORDS_ERROR_MAX];
	struct records_join *join;

	if (access(paths->proxy, F_OK) != 0 && errno == ENOENT)
		return NULL;
	join = records_join_new(paths->proxy, err);
	if (join == NULL)
		say_trouble(t, err);
	return join;
}

static void print_table(const struct screen *s, struct records *flows, struct records_join *join,
			struct troubles *t)
{
	char err[RECORDS_ERROR_MAX];
	struct flow_row flow = {0};
	enum records_result result;
	struct table table;

	table_begin(&table, s);
	do {
		result = records_flow(flows, NULL, &flow, err);
		if (result == RECORDS_ROW)
			table_add(&table, &flow,
				  join != NULL ? records_join_find(join, &flow) : NULL);
		else if (result != RECORDS_END)
			say_trouble(t, err);
	} while ((result == RECORDS_ROW || result == RECORDS_BAD) && !ferror(s->out));
	flow_row_fini(&flow);
	table_end(&table);
	if (join != NULL && records_join_error(join) != NULL)
		say_trouble(t, records_join_error(join));
}

static int show_table(const struct screen *s, const struct records_paths *paths,
		      struct records *flows)
{
	struct troubles troubles = {0};
	struct records_join *join = open_join(paths, &troubles);

	print_table(s, flows, join, &troubles);
	records_join_free(join);
	return troubles.count > 0 ? 1 : 0;
}

/* ---- one exchange ---- */

/* The exchanges whose ids begin with what was asked for. */
struct matches {
	char ids[CANDIDATES_MAX][ROW_KEY_MAX];
	unsigned count;      /* may be larger than CANDIDATES_MAX */
	struct flow_row row; /* the newest of the first id */
};

static void note_match(struct matches *m, struct flow_row *row)
{
	for (unsigned i = 0; i < MIN(m->count, CANDIDATES_MAX); i++) {
		if (strcmp(m->ids[i], row->id) != 0)
			continue;
		if (i == 0) {
			flow_row_fini(&m->row);
			m->row = *row;
			*row = (struct flow_row){0};
		}
		return;
	}
	if (m->count < CANDIDATES_MAX)
		memcpy(m->ids[m->count], row->id, ROW_KEY_MAX);
	if (m->count++ == 0) {
		m->row = *row;
		*row = (struct flow_row){0};
	}
}

static bool find_matches(struct records *flows, const char *id, struct matches *m)
{
	char needle[ROW_KEY_MAX + 1], err[RECORDS_ERROR_MAX];
	struct flow_row row = {0};
	enum records_result result;

	snprintf(needle, sizeof(needle), "\"%s", id);
	do {
		result = records_flow(flows, needle, &row, err);
		if (result == RECORDS_ROW && strncmp(row.id, id, strlen(id)) == 0)
			note_match(m, &row);
	} while (result == RECORDS_ROW || result == RECORDS_BAD);
	flow_row_fini(&row);
	if (result == RECORDS_FAILED)
		log_error("%s", err);
	return result == RECORDS_END;
}

static void say_ambiguous(const char *id, const struct matches *m)
{
	char list[CANDIDATES_MAX * (ROW_KEY_MAX + 2)] = "";
	char more[32] = "";
	size_t used = 0;

	for (unsigned i = 0; i < MIN(m->count, CANDIDATES_MAX); i++)
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s",
					 i > 0 ? ", " : "", m->ids[i]);
	if (m->count > CANDIDATES_MAX)
		snprintf(more, sizeof(more), " and %u more", m->count - CANDIDATES_MAX);
	log_error("%s begins several ids: %s%s; give more digits", id, list, more);
}

/* Its log line; false: there is none, and row is empty. */
static bool find_proxy_row(const struct records_paths *paths, const struct flow_row *flow,
			   struct proxy_row *row)
{
	char needle[ROW_KEY_MAX + 3], err[RECORDS_ERROR_MAX];
	struct records *records = records_open(paths->proxy, err);
	enum records_result result = RECORDS_END;

	if (records == NULL)
		return false;
	snprintf(needle, sizeof(needle), "\"%s\"", flow->id);
	do {
		result = records_proxy(records, needle, row, err);
		if (result == RECORDS_ROW && strcmp(row->id, flow->id) == 0 &&
		    strcmp(row->run, flow->run) == 0)
			break;
	} while (result == RECORDS_ROW || result == RECORDS_BAD);
	records_close(records);
	if (result != RECORDS_ROW)
		proxy_row_fini(row);
	return result == RECORDS_ROW;
}

static int print_exchange(const struct screen *s, const struct records_paths *paths,
			  const struct flow_row *flow)
{
	struct evidence_wish wishes[LADDER_WISHES];
	unsigned count = ladder_wishes(flow, wishes);
	char dump[PATH_MAX], err[EVIDENCE_ERROR_MAX];
	struct proxy_row proxy = {0};
	struct evidence evidence = {0};
	bool logged = find_proxy_row(paths, flow, &proxy), seen = false;

	snprintf(err, sizeof(err), "the record names no dump");
	if (records_paths_dump(paths, flow->dump, dump))
		seen = evidence_read(dump, wishes, count, &evidence, err);
	evidence.has_no_proxy = flow->run[0] == '\0' && !flow->backend.there;
	ladder_print(s, flow, logged ? &proxy : NULL, wishes, count, seen ? &evidence : NULL);
	fflush(s->out);
	if (err[0] != '\0')
		log_error("%s", err);
	evidence_fini(&evidence);
	proxy_row_fini(&proxy);
	return err[0] != '\0' ? 1 : 0;
}

static int show_exchange(const struct screen *s, const struct records_paths *paths,
			 struct records *flows, const char *id)
{
	struct matches m = {0};
	int status = 1;

	if (!find_matches(flows, id, &m))
		goto out;
	if (m.count == 0)
		log_error("%s: no exchange with an id that begins with %s", paths->flows, id);
	else if (m.count > 1)
		say_ambiguous(id, &m);
	else
		status = print_exchange(s, paths, &m.row);
out:
	flow_row_fini(&m.row);
	return status;
}

/* ---- the command ---- */

static bool is_id_prefix(const char *id)
{
	size_t len = strlen(id);

	return len > 0 && len <= 16 && strspn(id, "0123456789abcdefABCDEF") == len;
}

static bool read_options(int argc, char **argv, struct options *o, int *status)
{
	static const struct option longs[] = {
		{"story", no_argument, NULL, 's'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int c;

	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		if (c == 'h') {
			fputs(usage_text, stdout);
			*status = 0;
			return false;
		}
		if (c != 's') {
			log_error("show: there is no option %s (flowtrace show -h)",
				  argv[optind - 1]);
			return false;
		}
		o->story = true;
	}
	o->of = optind < argc ? argv[optind] : NULL;
	o->id = optind + 1 < argc ? argv[optind + 1] : NULL;
	if (o->of == NULL || optind + 2 < argc || (o->story && o->id != NULL)) {
		log_error("show: give a folder or a flows.ndjson, then an id or --story or neither "
			  "(flowtrace show -h)");
		return false;
	}
	if (o->id != NULL && !is_id_prefix(o->id)) {
		log_error("show: \"%s\" is no id: it has up to 16 hexadecimal digits", o->id);
		return false;
	}
	return true;
}

static int show_files(const struct screen *s, const struct options *o,
		      const struct records_paths *paths)
{
	char err[RECORDS_ERROR_MAX], id[ROW_KEY_MAX] = "";
	struct records *flows = records_open(paths->flows, err);
	int status;

	if (flows == NULL) {
		log_error("%s; `flowproxy --trace DIR` or `flowtrace analyze` writes it", err);
		return 1;
	}
	for (size_t i = 0; o->id != NULL && o->id[i] != '\0'; i++)
		id[i] = (char)tolower((unsigned char)o->id[i]);
	if (o->story)
		status = story_show(s, paths, flows);
	else if (o->id != NULL)
		status = show_exchange(s, paths, flows, id);
	else
		status = show_table(s, paths, flows);
	records_close(flows);
	return status;
}

int show_main(int argc, char **argv)
{
	struct options options = {0};
	struct records_paths paths;
	struct screen screen;
	int status = 2;

	if (!read_options(argc, argv, &options, &status))
		return status;
	if (!records_paths_init(&paths, options.of)) {
		log_error("show: the name of the folder is too long");
		return 2;
	}
	signal(SIGPIPE, SIG_DFL); /* `flowtrace show DIR | head` ends quietly */
	screen_init(&screen, stdout);
	status = show_files(&screen, &options, &paths);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		log_error("standard output: %s", strerror(errno));
		status = 1;
	}
	return status;
}
