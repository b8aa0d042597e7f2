/*
 * tally.h -- the labels of one exchange on one leg: for every remarkable word how often, and in
 * which frames. Ours and Wireshark's.
 */
#ifndef TRACE_TALLY_H
#define TRACE_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trace/label.h"
#include "trace/wslabel.h"

#define TALLY_FRAMES_MAX 100 /* of one word; the count is exact */

/* What is told elsewhere or goes without saying. */
#define LABEL_ORDINARY \
	(LABEL_SYN | LABEL_FIN | LABEL_RST | LABEL_NEW | LABEL_ACK | LABEL_CAPTURE_DUPLICATE)

struct tally_word {
	uint64_t count;
	uint32_t frame_count;
	uint32_t frames[TALLY_FRAMES_MAX]; /* the first ones, ascending */
};

struct tally {
	bool has_labels, has_ws;
	struct tally_word label[LABEL_COUNT];
	struct tally_word ws[WSLABEL_COUNT];
};

void tally_reset(struct tally *t);

/* A frame with these words, each frame once per word. */
void tally_add(struct tally *t, uint32_t frame, uint32_t label, uint32_t ws);

/* Bytes that tally_put() needs at most. NULL: none. */
size_t tally_max(const struct tally *t);

/* The members `labels` and `ws` of a leg, as far as they are not empty, each behind a comma. */
char *tally_put(char *p, const struct tally *t);

#endif
