/*
 * memory.c -- compares what the process occupies with what is allocated, and trims the difference.
 *
 * Never trims what is small, and not again and again what cannot be given back: memory between two
 * blocks that are still in use.
 */
#include "common/memory.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#define MEMORY_SMALL_BYTES (16 << 20) /* a process up to this size is left alone */
#define MEMORY_SLACK_BYTES (8 << 20)  /* free memory that malloc may keep */

/* Resident bytes of this process that are no file's and no ring's; 0 when they are not known. */
static size_t memory_resident(void)
{
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	unsigned long size, resident, shared;
	char text[128];
	ssize_t n;

	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	if (sscanf(text, "%lu %lu %lu", &size, &resident, &shared) != 3 || shared > resident)
		return 0;
	return (resident - shared) * (size_t)sysconf(_SC_PAGESIZE);
}

size_t memory_allocated(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

/* Resident, but allocated by nobody. */
static size_t memory_unused(void)
{
	size_t allocated = memory_allocated();
	size_t resident = memory_resident();

	return resident > allocated ? resident - allocated : 0;
}

void memory_give_back(struct memory *m)
{
	m->stuck_bytes -= m->stuck_bytes / 8;
	if (memory_resident() <= MEMORY_SMALL_BYTES ||
	    memory_unused() <= m->stuck_bytes + MEMORY_SLACK_BYTES)
		return;
	(void)malloc_trim(0);
	m->stuck_bytes = memory_unused();
}
