/*
 * capture_file_fuzz.c -- any bytes as a capture file.
 *
 * Whatever they are: packets lie in memory, frames ascend, interfaces are known when a packet of
 * theirs comes, and a broken file ends with one sentence that names a place inside it.
 */
// links: trace
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "trace/capture_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint8_t sink;

static void check_packet(const struct capture_file *f, const struct packet *p, uint32_t last_frame)
{
	uint8_t sum = 0;

	assert(p->frame > last_frame);
	assert(p->iface < capture_file_interfaces(f));
	assert(p->link == capture_file_interface_link(f, p->iface));
	assert(p->direction <= PACKET_OUTBOUND);
	for (uint32_t i = 0; i < p->cap_len; i++)
		sum ^= p->bytes[i];
	sink = sum;
}

static void check_error(const char *err, size_t size)
{
	const char *place = strstr(err, ": byte ");

	assert(memchr(err, '\0', CAPTURE_FILE_ERROR_MAX) != NULL);
	assert(strchr(err, '\n') == NULL);
	assert(place != NULL);
	assert(strstr(place, " unpacked: ") != NULL || strtoull(place + 7, NULL, 10) <= size);
}

/* All bytes are there. */
static void check_secrets(void *arg, uint32_t type, const void *bytes, size_t len)
{
	uint8_t sum = (uint8_t)type;

	(void)arg;
	for (size_t i = 0; i < len; i++)
		sum ^= ((const uint8_t *)bytes)[i];
	sink = sum;
}

static void read_file(const char *path, size_t size)
{
	char err[CAPTURE_FILE_ERROR_MAX];
	struct capture_file *f = capture_file_open(path, err);
	enum capture_file_result r;
	uint32_t last_frame = 0;
	struct packet p;

	if (f == NULL) {
		check_error(err, size);
		return;
	}
	capture_file_on_secrets(f, check_secrets, NULL);
	while ((r = capture_file_next(f, &p, err)) == CAPTURE_FILE_PACKET) {
		check_packet(f, &p, last_frame);
		last_frame = p.frame;
	}
	if (r == CAPTURE_FILE_BROKEN)
		check_error(err, size);
	assert(capture_file_next(f, &p, err) == CAPTURE_FILE_END);
	for (unsigned i = 0; i <= capture_file_interfaces(f); i++) {
		const char *name = capture_file_interface_name(f, i);

		assert(name == NULL || strlen(name) <= size);
	}
	capture_file_close(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	char path[64];

	if (fd < 0)
		fd = memfd_create("capture", MFD_CLOEXEC);
	assert(fd >= 0);
	assert(ftruncate(fd, 0) == 0);
	assert(pwrite(fd, data, size, 0) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	read_file(path, size);
	return 0;
}
