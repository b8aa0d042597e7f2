/*
 * guarded.c -- one mapping, its last page PROT_NONE.
 */
#include "tests/lib/guarded.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct guarded {
	char *map;
	size_t bytes; /* before the page that nobody may touch */
	size_t map_bytes;
};

struct guarded *guarded_new(size_t max)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct guarded *g = malloc(sizeof(*g));

	if (g == NULL)
		abort();
	g->bytes = (max + page) / page * page;
	g->map_bytes = g->bytes + page;
	g->map = mmap(NULL, g->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		      0);
	if (g->map == MAP_FAILED || mprotect(g->map + g->bytes, page, PROT_NONE) != 0)
		abort();
	return g;
}

void guarded_free(struct guarded *g)
{
	if (g == NULL)
		return;
	munmap(g->map, g->map_bytes);
	free(g);
}

char *guarded_put(struct guarded *g, const void *bytes, size_t len)
{
	char *at = g->map + g->bytes - len;

	if (len > g->bytes)
		abort();
	memset(g->map, 0x55, g->bytes - len);
	if (len > 0)
		memcpy(at, bytes, len);
	return at;
}
