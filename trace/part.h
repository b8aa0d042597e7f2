/*
 * part.h -- the parts of one leg of an exchange, and which way their bytes go.
 */
#ifndef TRACE_PART_H
#define TRACE_PART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/exchange_record.h"

enum part_kind {
	PART_REQUEST,
	PART_INTERIM,
	PART_RESPONSE,
	PART_TUNNEL_UP,
	PART_TUNNEL_DOWN,
	PART_KINDS,
};

static inline const struct byte_range *leg_range(const struct leg_record *l, enum part_kind kind)
{
	static const uint16_t at[PART_KINDS] = {
		[PART_REQUEST] = offsetof(struct leg_record, request),
		[PART_INTERIM] = offsetof(struct leg_record, interim),
		[PART_RESPONSE] = offsetof(struct leg_record, response),
		[PART_TUNNEL_UP] = offsetof(struct leg_record, tunnel_up),
		[PART_TUNNEL_DOWN] = offsetof(struct leg_record, tunnel_down),
	};

	return (const void *)((const char *)l + at[kind]);
}

/* Did the proxy send these bytes on that leg? If not, its peer did. */
static inline bool part_is_ours(enum tap_leg leg, enum part_kind kind)
{
	bool goes_up = kind == PART_REQUEST || kind == PART_TUNNEL_UP;

	return goes_up == (leg == TAP_BACKEND);
}

/* The parts whose bytes go one way on a leg: up (towards the backend) or down. */
struct part_way {
	unsigned count;
	enum part_kind kinds[3];
};

static inline const struct part_way *part_way(enum tap_leg leg, bool ours)
{
	static const struct part_way up = {2, {PART_REQUEST, PART_TUNNEL_UP}};
	static const struct part_way down = {3, {PART_INTERIM, PART_RESPONSE, PART_TUNNEL_DOWN}};

	return (leg == TAP_BACKEND) == ours ? &up : &down;
}

/* As the dump's comments say it. */
static inline const char *part_word(enum part_kind kind)
{
	static const char *const words[PART_KINDS] = {"request", "interim", "response", "tunnel-up",
						      "tunnel-down"};

	return words[kind];
}

#endif
