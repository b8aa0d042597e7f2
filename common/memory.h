/*
 * memory.h -- gives memory back to the kernel when a flood is over.
 *
 * What thousands of connections needed is freed with them, but malloc keeps it for the next ones.
 * Belongs to one thread: others only wait while their part is being given back.
 */
#ifndef COMMON_MEMORY_H
#define COMMON_MEMORY_H

#include <stddef.h>

/* Zero at first. */
struct memory {
	size_t stuck_bytes; /* what the last trim had to leave, fading: it is tried again later */
};

/* To be called every few seconds: cheap while there is little to give back. */
void memory_give_back(struct memory *m);

/* Bytes that the program has allocated, with what malloc needs for itself. */
size_t memory_allocated(void);

#endif
