/*
 * access_file.c -- opens the access log and writes whole lines to it, whatever it is and however
 * full the disk.
 *
 * Never told apart by name: what fstat() says decides. Everything opened by path is non-blocking
 * (FIFOs are opened for reading too, so that no reader is needed to open them and none is missed
 * when it leaves); standard output is shared with others and left as it is, so a pipe there is
 * waited for and written in pieces that cannot block.
 *
 * Invariant: after access_file_write() the file ends with a newline, or needs_newline is set.
 */
#include "proxy/access_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "proxy/access_line.h"

#define WAIT_MS 200

static bool is_standard_output(const char *path)
{
	return strcmp(path, "-") == 0;
}

static const char *name_of(const struct access_file *f)
{
	return is_standard_output(f->path) ? "standard output" : f->path;
}

static int open_path(const char *path)
{
	const int flags = O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	int fd;

	if (is_standard_output(path))
		return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	fd = open(path, O_RDWR | flags, 0644);
	if (fd < 0 && errno == EACCES)
		fd = open(path, O_WRONLY | flags, 0644);
	return fd;
}

/* Where the last line that ends begins to be followed by a torn one: past the last newline. */
static bool find_torn_line(int fd, off_t size, off_t *torn, char *first)
{
	char buf[4096];
	off_t at = size;

	while (at > 0) {
		size_t want = (size_t)MIN(at, (off_t)sizeof(buf));
		ssize_t n = pread(fd, buf, want, at - (off_t)want);
		const char *newline;

		if (n != (ssize_t)want)
			return false;
		newline = memrchr(buf, '\n', want);
		if (newline != NULL) {
			*torn = at - (off_t)want + (newline + 1 - buf);
			break;
		}
		at -= (off_t)want;
		*torn = at;
		/* A line of ours is never that long: no need to look for where it begins. */
		if (size - at > ACCESS_LINE_MAX)
			break;
	}
	return *torn == size || pread(fd, first, 1, *torn) == 1;
}

/*
 * A crash or a full disk leaves half a line at most. Half a line of ours begins with a brace and is
 * no longer than a line; anything else was written by someone else and is only ended.
 */
static void mend_torn_line(struct access_file *f, off_t size)
{
	off_t torn = 0;
	char first = '\0';

	if (size == 0 || !find_torn_line(f->fd, size, &torn, &first) || torn == size)
		return;
	if (first == '{' && size - torn <= ACCESS_LINE_MAX && ftruncate(f->fd, torn) == 0)
		log_warning("access log %s: half a line at its end was cut off (%lld bytes)",
			    name_of(f), (long long)(size - torn));
	else
		f->needs_newline = true;
}

static bool open_file(struct access_file *f)
{
	struct stat st;

	f->fd = open_path(f->path);
	if (f->fd < 0 || fstat(f->fd, &st) != 0) {
		log_error("access log %s: cannot be opened: %s", name_of(f), strerror(errno));
		if (f->fd >= 0)
			close(f->fd);
		f->fd = -1;
		return false;
	}
	f->is_regular = S_ISREG(st.st_mode);
	f->needs_newline = false;
	f->piece_max = SSIZE_MAX;
	if (is_standard_output(f->path) && !f->is_regular)
		f->piece_max = PIPE_BUF;
	if (f->is_regular && !is_standard_output(f->path))
		mend_torn_line(f, st.st_size);
	return true;
}

bool access_file_open(struct access_file *f, const char *path)
{
	*f = (struct access_file){.path = strdup(path), .fd = -1};
	if (f->path == NULL) {
		log_error("access log: no memory");
		return false;
	}
	if (open_file(f))
		return true;
	free(f->path);
	f->path = NULL;
	return false;
}

bool access_file_reopen(struct access_file *f)
{
	struct access_file again = {.path = f->path, .fd = -1};

	if (!open_file(&again))
		return false;
	close(f->fd);
	*f = again;
	return true;
}

void access_file_close(struct access_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	free(f->path);
	*f = (struct access_file){.fd = -1};
}

uint64_t access_file_count_lines(const char *bytes, size_t len)
{
	const char *end = bytes + len;
	uint64_t n = 0;

	while (bytes < end && (bytes = memchr(bytes, '\n', (size_t)(end - bytes))) != NULL) {
		bytes++;
		n++;
	}
	return n;
}

/* True when the file may take something now; false: given up. */
static bool wait_writable(struct access_file *f, access_file_patience patience, void *arg,
			  uint32_t *waited_ms)
{
	for (;;) {
		struct pollfd p = {.fd = f->fd, .events = POLLOUT};
		int n = poll(&p, 1, WAIT_MS);

		if (n > 0 || (n < 0 && errno != EINTR))
			return true;
		if (n == 0)
			*waited_ms += WAIT_MS;
		if (!patience(arg, *waited_ms))
			return false;
	}
}

/* One write() that does not block: bytes taken, 0 to try again, or -1 with f->error set. */
static ssize_t write_piece(struct access_file *f, const char *bytes, size_t len,
			   access_file_patience patience, void *arg, uint32_t *waited_ms)
{
	bool must_wait = f->piece_max != SSIZE_MAX;
	ssize_t n = -1;

	if (!must_wait) {
		n = write(f->fd, bytes, len);
		must_wait = n < 0 && errno == EAGAIN;
	}
	if (must_wait) {
		if (!wait_writable(f, patience, arg, waited_ms)) {
			f->error = ETIMEDOUT;
			return -1;
		}
		n = write(f->fd, bytes, MIN(len, f->piece_max));
	}
	if (n > 0)
		return n;
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	f->error = n < 0 ? errno : EIO;
	return -1;
}

/* Returns how many bytes the file took; fewer than len: f->error says why. */
static size_t write_bytes(struct access_file *f, const char *bytes, size_t len,
			  access_file_patience patience, void *arg)
{
	uint32_t waited_ms = 0;
	size_t at = 0;

	while (at < len) {
		ssize_t n = write_piece(f, bytes + at, len - at, patience, arg, &waited_ms);

		if (n < 0)
			break;
		at += (size_t)n;
		if (n > 0)
			waited_ms = 0;
	}
	return at;
}

/* Take back the last `partial` bytes, which are ours and no whole line. */
static void cut_back(struct access_file *f, size_t partial)
{
	struct stat st;
	off_t end = lseek(f->fd, 0, SEEK_CUR);

	f->needs_newline = true;
	if (!f->is_regular || end < (off_t)partial || fstat(f->fd, &st) != 0 || st.st_size != end)
		return;
	if (ftruncate(f->fd, end - (off_t)partial) != 0)
		return;
	/* Standard output may be a file without O_APPEND: write on where it ends now. */
	if (lseek(f->fd, end - (off_t)partial, SEEK_SET) >= 0)
		f->needs_newline = false;
}

uint64_t access_file_write(struct access_file *f, const char *bytes, size_t len,
			   access_file_patience patience, void *arg)
{
	const char *newline;
	size_t taken, whole;

	if (f->needs_newline) {
		if (write_bytes(f, "\n", 1, patience, arg) != 1)
			return access_file_count_lines(bytes, len);
		f->needs_newline = false;
	}
	taken = write_bytes(f, bytes, len, patience, arg);
	if (taken == len)
		return 0;
	newline = memrchr(bytes, '\n', taken);
	whole = newline != NULL ? (size_t)(newline + 1 - bytes) : 0;
	if (whole < taken)
		cut_back(f, taken - whole);
	return access_file_count_lines(bytes + whole, len - whole);
}
