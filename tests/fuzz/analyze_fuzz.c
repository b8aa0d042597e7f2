/*
 * analyze_fuzz.c -- any log and any capture through the whole of `analyze`, twice.
 *
 * Input: a byte (bit 0: with a log), two of the log's length, the log, the capture. Whatever they
 * are, the same input gives the same records, and what was written can be read again: the records
 * by `show`'s reader, the annotated capture to its last packet.
 */
// links: trace
#include <assert.h>
#include <fcntl.h>
#include <sanitizer/common_interface_defs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/cursor.h"
#include "common/log.h"
#include "trace/analyze.h"
#include "trace/capture_file.h"

#define TEXT_MAX (4U << 20)

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In memory, where there is such a folder: thousands of files are made. */
static char folder[64] = "/dev/shm/analyze_fuzz.XXXXXX";
static int told, silent; /* standard error, and nowhere */

static char *in(const char *name)
{
	static char paths[4][128];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static void clean_up(void)
{
	static const char *const names[] = {"flows.ndjson",    "conns.ndjson", "proxy.ndjson",
					    "segments.ndjson", "in.ndjson",    "in.pcap",
					    "in.pcapng"};

	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		unlink(in(names[i]));
	rmdir(folder);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	log_init("analyze");
	told = dup(STDERR_FILENO);
	silent = open("/dev/null", O_WRONLY | O_CLOEXEC);
	assert(told >= 0 && silent >= 0);
	if (mkdtemp(folder) == NULL) {
		strcpy(folder, "/tmp/analyze_fuzz.XXXXXX");
		assert(mkdtemp(folder) != NULL);
	}
	__sanitizer_set_report_fd((void *)(intptr_t)told);
	return atexit(clean_up);
}

static void write_file(const char *name, const uint8_t *bytes, size_t len)
{
	int fd = open(in(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert(fd >= 0 && write(fd, bytes, len) == (ssize_t)len && close(fd) == 0);
}

static size_t read_text(const char *name, char *to)
{
	FILE *f = fopen(in(name), "re");
	size_t len;

	assert(f != NULL);
	len = fread(to, 1, TEXT_MAX, f);
	fclose(f);
	assert(len < TEXT_MAX);
	return len;
}

/* The records of all files, one behind the other. */
static size_t run(bool with_log, char *text)
{
	char *const captures[] = {in("in.pcap")};
	struct analyze_options o = {.log = with_log ? in("in.ndjson") : NULL,
				    .captures = captures,
				    .capture_count = 1,
				    .out = folder,
				    .hold_ms = 2000,
				    .with_segments = true};
	size_t len;
	int status;

	unlink(in("flows.ndjson"));
	dup2(silent, STDERR_FILENO);
	status = analyze_run(&o);
	dup2(told, STDERR_FILENO);
	assert(status == 0 || status == 1);
	if (access(in("flows.ndjson"), F_OK) != 0)
		return 0; /* the capture is none */
	len = read_text("flows.ndjson", text);
	len += read_text("conns.ndjson", text + len);
	return len + read_text("segments.ndjson", text + len);
}

/* One line after the other, each an object. */
static void check_lines(const char *text, size_t len)
{
	while (len > 0) {
		const char *end = memchr(text, '\n', len);

		assert(end != NULL && end - text > 2 && text[0] == '{' && end[-1] == '}');
		len -= (size_t)(end + 1 - text);
		text = end + 1;
	}
}

static void check_dump(void)
{
	char err[CAPTURE_FILE_ERROR_MAX];
	struct capture_file *f = capture_file_open(in("in.pcapng"), err);
	enum capture_file_result result;
	struct packet p;

	assert(f != NULL);
	while ((result = capture_file_next(f, &p, err)) == CAPTURE_FILE_PACKET)
		;
	assert(result == CAPTURE_FILE_END);
	capture_file_close(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char first[3 * TEXT_MAX], second[3 * TEXT_MAX];
	struct cursor c = cursor_of(data, size);
	bool with_log = cursor_u8(&c) & 1;
	size_t log_len = cursor_be16(&c), len;

	log_len = MIN(log_len, cursor_left(&c));
	write_file("in.ndjson", c.at, log_len);
	cursor_skip(&c, log_len);
	write_file("in.pcap", c.at, cursor_left(&c));
	len = run(with_log, first);
	assert(run(with_log, second) == len && memcmp(first, second, len) == 0);
	if (len == 0)
		return 0;
	check_lines(first, len);
	check_dump();
	return 0;
}
