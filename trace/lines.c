/*
 * lines.c -- NDJSON files.
 *
 * Invariant: the file ends with a newline after every flush that succeeded, and the buffer holds
 * whole lines only.
 */
#include "trace/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"

#define BUFFER_BYTES (256 * 1024)

struct lines {
	char *path;
	int fd;
	bool is_regular;
	bool has_said; /* that lines are lost */
	uint64_t lost;
	uint64_t pending; /* lines in buf */
	size_t len;
	char buf[BUFFER_BYTES];
};

/* Cut what follows the last newline. */
static bool cut_torn_line(int fd, off_t size)
{
	char buf[4096];
	off_t at = size;

	while (at > 0) {
		size_t want = (size_t)MIN(at, (off_t)sizeof(buf));
		const char *newline;

		if (pread(fd, buf, want, at - (off_t)want) != (ssize_t)want)
			return false;
		newline = memrchr(buf, '\n', want);
		if (newline != NULL) {
			at += newline + 1 - (buf + want);
			break;
		}
		at -= (off_t)want;
	}
	return at == size || ftruncate(fd, at) == 0;
}

static int open_file(const char *path, enum lines_mode mode, char err[LINES_ERROR_MAX])
{
	int flags = O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY;
	int fd = open(path, mode == LINES_NEW ? flags | O_TRUNC : flags, 0644);
	struct stat st;

	if (fd < 0) {
		snprintf(err, LINES_ERROR_MAX, "%s: %s", path, strerror(errno));
		return -1;
	}
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && !cut_torn_line(fd, st.st_size)) {
		snprintf(err, LINES_ERROR_MAX, "%s: cannot cut its torn last line: %s", path,
			 strerror(errno));
		close(fd);
		return -1;
	}
	return fd;
}

struct lines *lines_open(const char *path, enum lines_mode mode, char err[LINES_ERROR_MAX])
{
	struct lines *l;
	struct stat st;
	int fd = open_file(path, mode, err);

	if (fd < 0)
		return NULL;
	l = calloc(1, sizeof(*l));
	if (l != NULL)
		l->path = strdup(path);
	if (l == NULL || l->path == NULL) {
		snprintf(err, LINES_ERROR_MAX, "%s: no memory", path);
		free(l);
		close(fd);
		return NULL;
	}
	l->fd = fd;
	l->is_regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
	return l;
}

/* errno says why when it failed; written receives what the file took. */
static bool write_all(int fd, const char *bytes, size_t len, size_t *written)
{
	*written = 0;
	while (*written < len) {
		ssize_t n = write(fd, bytes + *written, len - *written);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		*written += (size_t)n;
	}
	return true;
}

/* Lines that were not written as a whole leave no trace in the file. */
static void write_lines(struct lines *l, const char *bytes, size_t len, uint64_t count)
{
	size_t written;
	off_t end;

	if (write_all(l->fd, bytes, len, &written))
		return;
	l->lost += count;
	if (!l->has_said)
		log_error("%s: %s: records are lost", l->path, strerror(errno));
	l->has_said = true;
	if (written == 0 || !l->is_regular)
		return;
	end = lseek(l->fd, 0, SEEK_END);
	if (end >= (off_t)written && ftruncate(l->fd, end - (off_t)written) != 0)
		log_error("%s: %s: it may hold half a line", l->path, strerror(errno));
}

void lines_flush(struct lines *l)
{
	if (l->len > 0)
		write_lines(l, l->buf, l->len, l->pending);
	l->len = 0;
	l->pending = 0;
}

bool lines_make_private(struct lines *l)
{
	return fchmod(l->fd, 0600) == 0;
}

void lines_add(struct lines *l, const char *line, size_t len)
{
	if (len > sizeof(l->buf) - l->len)
		lines_flush(l);
	if (len > sizeof(l->buf)) {
		write_lines(l, line, len, 1);
		return;
	}
	memcpy(l->buf + l->len, line, len);
	l->len += len;
	l->pending++;
}

uint64_t lines_close(struct lines *l)
{
	uint64_t lost;

	if (l == NULL)
		return 0;
	lines_flush(l);
	lost = l->lost;
	close(l->fd);
	free(l->path);
	free(l);
	return lost;
}
