/*
 * scratch.h -- a directory of its own for a test, and the files in it.
 */
#ifndef TESTS_UNIT_PROXY_SCRATCH_H
#define TESTS_UNIT_PROXY_SCRATCH_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct scratch {
	char dir[64];
	char path[128]; /* of the file last named */
};

static inline void scratch_make(struct scratch *s)
{
	snprintf(s->dir, sizeof(s->dir), "/tmp/flowproxy-unit-XXXXXX");
	cr_assert(mkdtemp(s->dir) != NULL);
}

/* The path of a file in it; valid until the next one is named. */
static inline const char *scratch_path(struct scratch *s, const char *name)
{
	snprintf(s->path, sizeof(s->path), "%s/%s", s->dir, name);
	return s->path;
}

/* Remove the files in it, and the directory. */
static inline void scratch_remove(const struct scratch *s)
{
	DIR *d = opendir(s->dir);
	const struct dirent *e;

	cr_assert(d != NULL);
	while ((e = readdir(d)) != NULL)
		(void)unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	cr_expect(rmdir(s->dir) == 0);
}

static inline void file_write(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	cr_assert(fd >= 0);
	cr_assert(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

/* The whole file, with a NUL behind it; to be freed. */
static inline char *file_read(const char *path, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *text;

	cr_assert(fd >= 0 && fstat(fd, &st) == 0, "%s", path);
	text = malloc((size_t)st.st_size + 1);
	cr_assert(text != NULL && read(fd, text, (size_t)st.st_size) == st.st_size);
	close(fd);
	text[st.st_size] = '\0';
	if (len != NULL)
		*len = (size_t)st.st_size;
	return text;
}

#endif
