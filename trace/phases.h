/*
 * phases.h -- cuts the time of one exchange into phases, by the moments its packets showed.
 *
 * Pure arithmetic (design section 9). Every phase lies between two cuts, no cut lies before the one
 * before it, and so the phases sum to the total exactly and none is negative.
 */
#ifndef TRACE_PHASES_H
#define TRACE_PHASES_H

#include <stdbool.h>
#include <stdint.h>

/* First packets with the first or last byte of a message, and the first ACK of its last byte. */
enum phase_moment {
	MOMENT_C_R0, /* client leg, request: first byte */
	MOMENT_C_R1, /* last byte */
	MOMENT_B_SYN,
	MOMENT_B_H, /* end of the handshake */
	MOMENT_B_R1,
	MOMENT_B_P0,
	MOMENT_B_P1,
	MOMENT_C_P0,
	MOMENT_C_P1,
	MOMENT_C_P1A, /* client leg, final response: ACK of its last byte */
	PHASE_MOMENTS,
};

enum moment_state {
	MOMENT_ABSENT,   /* there is no such moment: no handshake was made, nothing was sent */
	MOMENT_UNSEEN,   /* there is one, but no packet shows it */
	MOMENT_DOUBTFUL, /* a packet shows it, but packets before that were lost: it may be older */
	MOMENT_SEEN,
};

struct phase_input {
	bool is_one_leg; /* no proxy: `think` is the server's time, all B moments are absent */
	enum moment_state state[PHASE_MOMENTS];
	uint64_t at_ns[PHASE_MOMENTS];
};

enum phase {
	PHASE_UPLOAD,
	PHASE_PROXY_REQUEST,
	PHASE_HANDSHAKE,
	PHASE_THINK,
	PHASE_PROXY_RESPONSE,
	PHASE_BACKEND_SEND,
	PHASE_DOWNLOAD,
	PHASE_DELIVERY,
	PHASES,
};

#define PHASE_UNKNOWN (-1)

/* The pieces that the total is cut into, in order of time; proxy_request has two of them. */
#define PHASE_PIECES 9

struct phases {
	bool any;             /* at least one phase is known */
	int64_t total_us;     /* PHASE_UNKNOWN unless all of them are known */
	int64_t us[PHASES];   /* or PHASE_UNKNOWN */
	const char *why;      /* why something is not known: a kind of sentence; NULL: all is */
	const char *why_word; /* the moment it speaks of, or NULL */

	uint64_t cut_ns[PHASE_PIECES + 1]; /* between the pieces; 0: not known */

	/* Cuts that were moved, with their raw microseconds after C.R0. */
	uint16_t moved; /* bit per enum phase_moment */
	int64_t raw_us[PHASE_MOMENTS];
};

/* The phase that piece i, from cut i to cut i + 1, belongs to. */
enum phase phase_of_piece(unsigned i);

void phases_compute(const struct phase_input *in, struct phases *out);

/* The names in the files. */
const char *phase_word(enum phase p);
const char *phase_moment_word(enum phase_moment m);

#endif
