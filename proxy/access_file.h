/*
 * access_file.h -- the file behind the access log: regular file, FIFO, device or standard output.
 *
 * Takes whole lines and leaves whole lines: what could not be written is cut back or ended, so that
 * a line is in the file whole or not at all. Never blocks for longer than the caller's patience.
 * Used by one thread at a time; SIGPIPE must be blocked in it.
 */
#ifndef PROXY_ACCESS_FILE_H
#define PROXY_ACCESS_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attrib.h"

struct access_file {
	char *path;
	int fd;
	int error;          /* errno of the last write that lost something */
	size_t piece_max;   /* most bytes in one write() that cannot block */
	bool is_regular;    /* may be cut back */
	bool needs_newline; /* half a line stands at the end and could not be cut back */
};

/*
 * Asked about every 200 ms while the file takes nothing (a FIFO or pipe nobody reads), waited_ms
 * since it last took a byte. False: give the rest up.
 */
typedef bool (*access_file_patience)(void *arg, uint32_t waited_ms);

/*
 * Open for appending, created 0644; "-" is standard output. A torn last line of a regular file (no
 * newline at its end) is cut, or ended by a newline when it cannot be one of ours. False with a
 * line on stderr; then nothing is left to close.
 */
bool access_file_open(struct access_file *f, const char *path) MUST_CHECK;

/* Open the path again. False with a line on stderr, and the old file stays in use. */
bool access_file_reopen(struct access_file *f) MUST_CHECK;

void access_file_close(struct access_file *f);

/* Write whole lines. Returns how many of them are lost; f->error then says why. */
uint64_t access_file_write(struct access_file *f, const char *bytes, size_t len,
			   access_file_patience patience, void *arg) MUST_CHECK;

/* Newlines in bytes. */
uint64_t access_file_count_lines(const char *bytes, size_t len);

#endif
