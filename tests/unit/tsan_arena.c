/*
 * tsan_arena.c -- let Criterion start under ThreadSanitizer.
 *
 * Criterion shares memory with its test processes at an address it draws by rand_r() and maps
 * fixed, 2^24 bytes a step above 0x200000000000. ThreadSanitizer lets a program map only what its
 * shadow memory covers, and refuses nearly all of those addresses. This rand_r() stands before
 * libc's and draws only from the covered part, 0x550000000000 to 0x568000000000. It is linked into
 * the unit tests of SANITIZE=thread and nowhere else.
 */
#include <stdlib.h>

#define ARENA_STEPS_FIRST 0x350000U
#define ARENA_STEPS_COUNT 0x18000U

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): libc's name is reserved */
int rand_r(unsigned int *seed)
{
	*seed = *seed * 1664525U + 1013904223U;
	return (int)(ARENA_STEPS_FIRST + (*seed >> 8) % ARENA_STEPS_COUNT);
}
