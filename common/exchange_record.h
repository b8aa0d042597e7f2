/*
 * exchange_record.h -- what the proxy knows of one exchange when it is over: the values of one line
 * of proxy.ndjson and of one `end` record of the tap.
 *
 * Plain values without pointers: the proxy fills it, the access log prints it, the tap carries it,
 * and the tracer gets the same numbers from the tap (live) and from the log (offline).
 *
 * Offsets count the bytes of one direction of one TCP connection from 0 at the first byte after the
 * SYN, so that seq = ISN + 1 + offset mod 2^32. Ranges are half-open.
 */
#ifndef COMMON_EXCHANGE_RECORD_H
#define COMMON_EXCHANGE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/attrib.h"

#define BYTE_RANGE_NONE UINT64_MAX

/* [first, past), or no byte at all: first == BYTE_RANGE_NONE (null in the files). */
struct byte_range {
	uint64_t first;
	uint64_t past;
};

static inline struct byte_range byte_range_none(void)
{
	return (struct byte_range){BYTE_RANGE_NONE, BYTE_RANGE_NONE};
}

static inline bool byte_range_exists(const struct byte_range *r)
{
	return r->first != BYTE_RANGE_NONE;
}

/* 0: no byte at all. */
static inline uint64_t byte_range_past(const struct byte_range *r)
{
	return byte_range_exists(r) ? r->past : 0;
}

/* Numbers that travel over the tap (trace/event.h): values are never renumbered. */
enum tap_leg {
	TAP_CLIENT = 0,
	TAP_BACKEND = 1,
};

/* The four ranges of an exchange, and the four of a tunnel. */
enum tap_part {
	TAP_PART_CLIENT_REQUEST,
	TAP_PART_BACKEND_REQUEST,
	TAP_PART_BACKEND_RESPONSE,
	TAP_PART_CLIENT_RESPONSE,
	TAP_PART_CLIENT_UP,
	TAP_PART_BACKEND_UP,
	TAP_PART_BACKEND_DOWN,
	TAP_PART_CLIENT_DOWN,
	TAP_PARTS,
};

/* The moments of at_us, in the order of the log line. */
enum exchange_moment {
	MOMENT_REQUEST_END,
	MOMENT_BACKEND_READY,
	MOMENT_BACKEND_REQUEST_END,
	MOMENT_BACKEND_RESPONSE_START,
	MOMENT_BACKEND_RESPONSE_END,
	MOMENT_RESPONSE_END,
	MOMENT_COUNT,
};

#define MOMENT_NEVER INT64_MIN

/* One leg's part in an exchange. conn == 0: there is none (no backend was reached for). */
struct leg_record {
	uint64_t conn; /* number of the connection within the run, from 1 */
	uint32_t nth;  /* exchange on that connection, from 1 */
	uint32_t reused;
	uint64_t opened_ns; /* CLOCK_REALTIME: after accept(), before connect() */
	struct addr local;  /* the proxy's end */
	struct addr peer;
	struct byte_range request;
	struct byte_range interim; /* all 1xx responses before the final one */
	struct byte_range response;
	struct byte_range tunnel_up; /* after a 101: bytes from the client's side, none otherwise */
	struct byte_range tunnel_down;
};

/* A leg of which nothing is known yet. */
static inline struct leg_record leg_record_none(void)
{
	return (struct leg_record){.request = byte_range_none(),
				   .interim = byte_range_none(),
				   .response = byte_range_none(),
				   .tunnel_up = byte_range_none(),
				   .tunnel_down = byte_range_none()};
}

/* A backend attempt before the last. */
struct try_record {
	struct leg_record leg;
	char end[24]; /* the word, NUL-terminated */
};

#define EXCHANGE_ATTEMPTS_MAX 3

struct exchange_record {
	uint64_t id;
	uint32_t run;
	uint16_t status; /* what the client was sent; 0: no response head left (null in the log) */
	uint8_t attempts;
	uint8_t tries_count;
	uint64_t start_ns;           /* CLOCK_REALTIME of the read that brought the first byte */
	char end[24];                /* the word, NUL-terminated */
	int64_t at_us[MOMENT_COUNT]; /* since start, or MOMENT_NEVER */
	uint64_t request_body_bytes; /* payload, without chunk framing */
	uint64_t response_body_bytes;
	struct leg_record client;
	struct leg_record backend;
	struct try_record tries[EXCHANGE_ATTEMPTS_MAX - 1]; /* the first tries_count */
};

/* CLOCK_REALTIME of the last moment that came. */
static inline uint64_t exchange_end_ns(uint64_t start_ns, const int64_t at_us[MOMENT_COUNT])
{
	int64_t last_us = 0;

	for (unsigned i = 0; i < MOMENT_COUNT; i++)
		last_us = MAX(last_us, at_us[i]);
	return start_ns + (uint64_t)last_us * NS_PER_US;
}

/* How much of the record is meaningful: tries that were not made are left out of copies. */
static inline size_t exchange_record_len(unsigned tries_count)
{
	return offsetof(struct exchange_record, tries) + tries_count * sizeof(struct try_record);
}

#endif
