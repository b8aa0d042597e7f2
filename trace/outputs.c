/*
 * outputs.c -- opens the files of a run. Never overwrites an earlier dump.
 */
#include "trace/outputs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DUMPS_MAX 100000

bool outputs_path(char out[OUTPUTS_PATH_MAX], const char *dir, const char *name)
{
	int len = snprintf(out, OUTPUTS_PATH_MAX, "%s/%s", dir, name);

	return len > 0 && len < OUTPUTS_PATH_MAX;
}

/* One thread only: for a moment nobody else may be creating files. */
mode_t outputs_public_mode(void)
{
	mode_t mask = umask(077);

	umask(mask);
	return 0644 & ~mask;
}

bool outputs_make_dir(const char *dir, char err[OUTPUTS_ERROR_MAX])
{
	struct stat st;

	if (mkdir(dir, 0755) == 0 ||
	    (errno == EEXIST && stat(dir, &st) == 0 && S_ISDIR(st.st_mode)))
		return true;
	snprintf(err, OUTPUTS_ERROR_MAX, "%.400s: %s", dir, strerror(errno));
	return false;
}

static struct lines *open_lines(const struct outputs_options *with, const char *name,
				char err[OUTPUTS_ERROR_MAX])
{
	char path[OUTPUTS_PATH_MAX];
	struct lines *l;

	if (!outputs_path(path, with->dir, name)) {
		snprintf(err, OUTPUTS_ERROR_MAX, "--out: the path is too long");
		return NULL;
	}
	l = lines_open(path, LINES_APPEND, err);
	if (l == NULL || !with->is_private || lines_make_private(l))
		return l;
	snprintf(err, OUTPUTS_ERROR_MAX, "%.400s: cannot be made private: %s", path,
		 strerror(errno));
	(void)lines_close(l);
	return NULL;
}

/* The first name that is free. */
static int create_dump(struct outputs *o, const struct outputs_options *with,
		       char err[OUTPUTS_ERROR_MAX])
{
	mode_t mode = with->is_private ? 0600 : 0644;
	char path[OUTPUTS_PATH_MAX];
	int fd;

	for (unsigned i = 1; i < DUMPS_MAX; i++) {
		if (i == 1)
			snprintf(o->dump_name, sizeof(o->dump_name), "dump.pcapng");
		else
			snprintf(o->dump_name, sizeof(o->dump_name), "dump-%u.pcapng", i);
		if (!outputs_path(path, with->dir, o->dump_name)) {
			snprintf(err, OUTPUTS_ERROR_MAX, "--out: the path is too long");
			return -1;
		}
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, mode);
		if (fd >= 0)
			return fd;
		if (errno != EEXIST)
			break;
	}
	snprintf(err, OUTPUTS_ERROR_MAX, "%.400s: %s", path, strerror(errno));
	return -1;
}

static bool open_dump(struct outputs *o, const struct outputs_options *with,
		      char err[OUTPUTS_ERROR_MAX])
{
	int fd = create_dump(o, with, err);

	if (fd < 0)
		return false;
	o->dump = pcapng_new(fd, APPLICATION_NAME);
	if (o->dump != NULL)
		return true;
	snprintf(err, OUTPUTS_ERROR_MAX, "%.200s/%.50s cannot be written: %s", with->dir,
		 o->dump_name, strerror(errno));
	return false;
}

/* Frames count within a dump: what tells of them bears its number. */
static bool open_segments(struct outputs *o, const struct outputs_options *with,
			  char err[OUTPUTS_ERROR_MAX])
{
	char name[OUTPUTS_NAME_MAX] = "segments.ndjson";
	unsigned number;

	if (sscanf(o->dump_name, "dump-%u.pcapng", &number) == 1)
		snprintf(name, sizeof(name), "segments-%u.ndjson", number);
	o->segments = open_lines(with, name, err);
	return o->segments != NULL;
}

bool outputs_open_live(struct outputs *o, const struct outputs_options *with,
		       char err[OUTPUTS_ERROR_MAX])
{
	*o = (struct outputs){0};
	if (!outputs_make_dir(with->dir, err))
		return false;
	o->flows = open_lines(with, "flows.ndjson", err);
	if (o->flows != NULL)
		o->conns = open_lines(with, "conns.ndjson", err);
	if (o->conns != NULL && (!with->with_dump || open_dump(o, with, err)) &&
	    (!with->with_segments || open_segments(o, with, err)))
		return true;
	outputs_close(o);
	return false;
}

void outputs_close(struct outputs *o)
{
	(void)lines_close(o->flows);
	(void)lines_close(o->conns);
	(void)pcapng_close(o->dump);
	(void)lines_close(o->segments);
	o->flows = o->conns = o->segments = NULL;
	o->dump = NULL;
}
