/*
 * phases.c -- the cuts of design section 9.
 *
 * A cut whose moment no packet shows is unknown, and so are the two phases beside it; the cuts
 * around it are then held apart by the nearest known ones. Nothing is guessed.
 */
#include "trace/phases.h"

#include "common/attrib.h"

/* In order of time. */
enum cut {
	CUT_S,  /* request begins */
	CUT_U,  /* request received */
	CUT_H0, /* backend handshake begins */
	CUT_H1, /* and ends */
	CUT_Q,  /* request at the backend */
	CUT_P,  /* response begins at the backend */
	CUT_R,  /* response begins at the client */
	CUT_D,  /* response sent by the backend */
	CUT_F,  /* response received */
	CUT_E,  /* and acknowledged */
	CUTS,
};

_Static_assert(CUTS == PHASE_PIECES + 1, "a cut before, between and after the pieces");

struct cuts {
	const struct phase_input *in;
	bool known[CUTS];
	uint64_t ns[CUTS];
};

const char *phase_word(enum phase p)
{
	static const char *const words[PHASES] = {"upload",   "proxy_request",  "handshake",
						  "think",    "proxy_response", "backend_send",
						  "download", "delivery"};

	return words[p];
}

const char *phase_moment_word(enum phase_moment m)
{
	static const char *const words[PHASE_MOMENTS] = {
		"client_request_first",  "client_request_last",   "backend_syn",
		"backend_handshake_end", "backend_request_last",  "backend_response_first",
		"backend_response_last", "client_response_first", "client_response_last",
		"client_response_acked"};

	return words[m];
}

enum phase phase_of_piece(unsigned i)
{
	static const enum phase phases[PHASE_PIECES] = {PHASE_UPLOAD,       PHASE_PROXY_REQUEST,
							PHASE_HANDSHAKE,    PHASE_PROXY_REQUEST,
							PHASE_THINK,        PHASE_PROXY_RESPONSE,
							PHASE_BACKEND_SEND, PHASE_DOWNLOAD,
							PHASE_DELIVERY};

	return phases[i];
}

static bool seen(const struct cuts *c, enum phase_moment m)
{
	return c->in->state[m] == MOMENT_SEEN;
}

static bool absent(const struct cuts *c, enum phase_moment m)
{
	return c->in->state[m] == MOMENT_ABSENT;
}

/* The latest known cut before `cut`. S is always known. */
static uint64_t floor_of(const struct cuts *c, enum cut cut)
{
	unsigned i = cut;

	do
		i--;
	while (!c->known[i]);
	return c->ns[i];
}

/* What the cuts before p may not pass: p, or what is known to come after it. */
static uint64_t ceiling(const struct cuts *c)
{
	if (c->known[CUT_P])
		return c->ns[CUT_P];
	return c->known[CUT_R] ? c->ns[CUT_R] : UINT64_MAX;
}

static void set_cut(struct cuts *c, enum cut cut, uint64_t ns)
{
	c->known[cut] = true;
	c->ns[cut] = ns;
}

static void copy_cut(struct cuts *c, enum cut cut, enum cut from)
{
	if (c->known[from])
		set_cut(c, cut, c->ns[from]);
}

/* min(ceiling, max(cut before, moment)) */
static void cut_before_p(struct cuts *c, enum cut cut, enum phase_moment m)
{
	if (seen(c, m))
		set_cut(c, cut, MIN(ceiling(c), MAX(floor_of(c, cut), c->in->at_ns[m])));
}

static void cut_response_begin(struct cuts *c)
{
	/* A response made by the proxy has no begin at the backend. */
	enum phase_moment p = absent(c, MOMENT_B_P0) ? MOMENT_C_P0 : MOMENT_B_P0;

	if (seen(c, p))
		set_cut(c, CUT_P, MAX(c->ns[CUT_S], c->in->at_ns[p]));
	if (seen(c, MOMENT_C_P0))
		set_cut(c, CUT_R, MAX(floor_of(c, CUT_R), c->in->at_ns[MOMENT_C_P0]));
}

static void cut_request(struct cuts *c)
{
	cut_before_p(c, CUT_U, MOMENT_C_R1);
	if (absent(c, MOMENT_B_SYN)) {
		copy_cut(c, CUT_H0, CUT_U);
		copy_cut(c, CUT_H1, CUT_U);
	} else {
		cut_before_p(c, CUT_H0, MOMENT_B_SYN);
		/* A handshake that never came to its end lasted until the answer. */
		if (absent(c, MOMENT_B_H))
			copy_cut(c, CUT_H1, CUT_P);
		else
			cut_before_p(c, CUT_H1, MOMENT_B_H);
	}
	/* When the backend was sent nothing, the time was the proxy's own; without a proxy the server's. */
	if (absent(c, MOMENT_B_R1))
		copy_cut(c, CUT_Q, c->in->is_one_leg ? CUT_H1 : CUT_P);
	else
		cut_before_p(c, CUT_Q, MOMENT_B_R1);
}

static void cut_response_end(struct cuts *c)
{
	const uint64_t *at_ns = c->in->at_ns;

	if (absent(c, MOMENT_B_P1))
		copy_cut(c, CUT_D, CUT_R);
	else if (seen(c, MOMENT_B_P1) && seen(c, MOMENT_C_P1))
		set_cut(c, CUT_D,
			MAX(floor_of(c, CUT_D), MIN(at_ns[MOMENT_B_P1], at_ns[MOMENT_C_P1])));
	if (seen(c, MOMENT_C_P1))
		set_cut(c, CUT_F, MAX(floor_of(c, CUT_F), at_ns[MOMENT_C_P1]));
	if (seen(c, MOMENT_C_P1A))
		set_cut(c, CUT_E, at_ns[MOMENT_C_P1A]);
}

static int64_t us_after(const struct cuts *c, uint64_t ns)
{
	int64_t diff = (int64_t)(ns - c->ns[CUT_S]);

	/* Rounded down on both sides of zero. */
	return diff >= 0 ? diff / 1000 : -((-diff + 999) / 1000);
}

static int64_t span_us(const struct cuts *c, enum cut from, enum cut to)
{
	if (!c->known[from] || !c->known[to])
		return PHASE_UNKNOWN;
	return us_after(c, c->ns[to]) - us_after(c, c->ns[from]);
}

static void fill_phases(const struct cuts *c, struct phases *out)
{
	int64_t before = span_us(c, CUT_U, CUT_H0);
	int64_t after = span_us(c, CUT_H1, CUT_Q);
	bool all = true;

	out->us[PHASE_UPLOAD] = span_us(c, CUT_S, CUT_U);
	out->us[PHASE_PROXY_REQUEST] =
		before == PHASE_UNKNOWN || after == PHASE_UNKNOWN ? PHASE_UNKNOWN : before + after;
	out->us[PHASE_HANDSHAKE] = span_us(c, CUT_H0, CUT_H1);
	out->us[PHASE_THINK] = span_us(c, CUT_Q, CUT_P);
	out->us[PHASE_PROXY_RESPONSE] = span_us(c, CUT_P, CUT_R);
	out->us[PHASE_BACKEND_SEND] = span_us(c, CUT_R, CUT_D);
	out->us[PHASE_DOWNLOAD] = span_us(c, CUT_D, CUT_F);
	out->us[PHASE_DELIVERY] = span_us(c, CUT_F, CUT_E);
	for (unsigned i = 0; i < PHASES; i++) {
		all = all && out->us[i] != PHASE_UNKNOWN;
		out->any = out->any || out->us[i] != PHASE_UNKNOWN;
	}
	out->total_us = all ? span_us(c, CUT_S, CUT_E) : PHASE_UNKNOWN;
	for (unsigned i = 0; i < CUTS; i++)
		out->cut_ns[i] = c->known[i] ? c->ns[i] : 0;
}

/* The cut does not stand where its moment was. */
static void note_moved(const struct cuts *c, enum cut cut, enum phase_moment m, struct phases *out)
{
	if (!c->known[cut] || !seen(c, m) || c->ns[cut] == c->in->at_ns[m])
		return;
	out->moved |= (uint16_t)(1U << m);
	out->raw_us[m] = us_after(c, c->in->at_ns[m]);
}

static void note_overlap(const struct cuts *c, struct phases *out)
{
	note_moved(c, CUT_U, MOMENT_C_R1, out);
	note_moved(c, CUT_H0, MOMENT_B_SYN, out);
	note_moved(c, CUT_H1, MOMENT_B_H, out);
	note_moved(c, CUT_Q, MOMENT_B_R1, out);
	note_moved(c, CUT_P, MOMENT_B_P0, out);
	note_moved(c, CUT_R, MOMENT_C_P0, out);
	note_moved(c, CUT_F, MOMENT_C_P1, out);
	/* A response in one packet took no time to send: nothing overlaps with that. */
	if (seen(c, MOMENT_B_P0) && c->in->at_ns[MOMENT_B_P0] != c->in->at_ns[MOMENT_B_P1])
		note_moved(c, CUT_D, MOMENT_B_P1, out);
}

static void explain(const struct cuts *c, struct phases *out)
{
	if (out->total_us != PHASE_UNKNOWN)
		return;
	for (unsigned m = 0; m < PHASE_MOMENTS; m++) {
		if (c->in->state[m] != MOMENT_UNSEEN && c->in->state[m] != MOMENT_DOUBTFUL)
			continue;
		out->why = c->in->state[m] == MOMENT_UNSEEN
				   ? "not captured"
				   : "perhaps earlier, the capture lost packets";
		out->why_word = phase_moment_word(m);
		return;
	}
	out->why = "there was no response";
	if (absent(c, MOMENT_C_R0))
		out->why = "there was no request";
}

static void phases_clear(struct phases *out)
{
	*out = (struct phases){.total_us = PHASE_UNKNOWN};
	for (unsigned i = 0; i < PHASES; i++)
		out->us[i] = PHASE_UNKNOWN;
}

/* The ACK stands before what it acknowledges, or before what led to it. */
static bool ends_too_early(const struct cuts *c)
{
	return c->known[CUT_E] && c->ns[CUT_E] < floor_of(c, CUT_E);
}

void phases_compute(const struct phase_input *in, struct phases *out)
{
	struct cuts c = {.in = in};

	phases_clear(out);
	if (!seen(&c, MOMENT_C_R0)) {
		explain(&c, out);
		return;
	}
	set_cut(&c, CUT_S, in->at_ns[MOMENT_C_R0]);
	cut_response_begin(&c);
	cut_request(&c);
	cut_response_end(&c);
	if (ends_too_early(&c)) {
		out->why = "stamped before what it acknowledges (capture order, a clock, or loss)";
		out->why_word = phase_moment_word(MOMENT_C_P1A);
		return;
	}
	fill_phases(&c, out);
	note_overlap(&c, out);
	explain(&c, out);
}
