/*
 * anchor_note_test.c -- the text of an anchor note, there and back, and what is none.
 */
#include "trace/anchor_note.h"

#include <criterion/criterion.h>
#include <string.h>

static const struct anchor_note both = {
	.change = {ANCHOR_FOUND, ANCHOR_FOUND},
	.at = {{.seq = 4026531840U, .off = 622}, {.seq = 77000, .off = (9ULL << 32) + 5}},
};

static void there_and_back(const struct anchor_note *note, const char *want)
{
	char text[ANCHOR_NOTE_TEXT_MAX];
	struct anchor_note got;

	anchor_note_write(note, text);
	cr_expect_str_eq(text, want);
	cr_assert(anchor_note_read(text, strlen(text), &got));
	for (unsigned i = 0; i < NOTE_ENDS; i++) {
		cr_expect_eq(got.change[i], note->change[i]);
		cr_expect_eq(got.at[i].seq, note->at[i].seq);
		cr_expect_eq(got.at[i].off, note->at[i].off);
	}
}

Test(anchor_note, there_and_back)
{
	struct anchor_note note = {.change = {ANCHOR_NOTHING, ANCHOR_FOUND},
				   .at = {[NOTE_RECEIVER] = {.seq = UINT32_MAX, .off = 0}}};

	there_and_back(&both, "anchor seq=4026531840@622 ack=77000@38654705669");
	there_and_back(&note, "anchor ack=4294967295@0");
	note.change[NOTE_RECEIVER] = ANCHOR_NOTHING;
	note.at[NOTE_RECEIVER].seq = 0;
	note.change[NOTE_SENDER] = ANCHOR_WITHDRAWN;
	there_and_back(&note, "anchor seq=none");
	note.change[NOTE_RECEIVER] = ANCHOR_WITHDRAWN;
	there_and_back(&note, "anchor seq=none ack=none");
	note.change[NOTE_RECEIVER] = ANCHOR_FOUND;
	note.at[NOTE_RECEIVER] = (struct anchor_point){.seq = 1, .off = UINT64_MAX / 4};
	there_and_back(&note, "anchor seq=none ack=1@4611686018427387903");
}

Test(anchor_note, every_cut_is_none_or_the_first_half)
{
	char text[ANCHOR_NOTE_TEXT_MAX];
	struct anchor_note got;
	size_t len, half;

	anchor_note_write(&both, text);
	len = strlen(text);
	half = (size_t)(strstr(text, " ack") - text);
	for (size_t n = 0; n < len; n++) {
		bool is_number = n > strlen("anchor seq=4026531840@") && n <= half;
		bool is_other = n > strlen("anchor seq=4026531840@622 ack=77000@");

		cr_expect_eq(anchor_note_read(text, n, &got), is_number || is_other, "%zu", n);
	}
}

Test(anchor_note, what_is_none)
{
	static const char *const texts[] = {
		"",
		"anchor",
		"anchor ",
		"anchor seq=",
		"anchor seq=1",
		"anchor seq=1@",
		"anchor seq=@1",
		"anchor seq=-1@1",
		"anchor seq=+1@1",
		"anchor seq= 1@1",
		"anchor seq=0x1@1",
		"anchor seq=4294967296@1",
		"anchor seq=1@18446744073709551616",
		"anchor seq=1@4611686018427387904",
		"anchor seq=1@1 ",
		"anchor seq=1@1 seq=2@2",
		"anchor seq=1@1  ack=2@2",
		"anchor seq=1@1 ack=2@2 ",
		"anchor seq=1@1 ack=2@2 ack=3@3",
		"anchor seq=nonesuch",
		"anchor of=1@1",
		"Anchor seq=1@1",
		"req=9f3c51d27be40a18 leg=backend part=request off=0-311 of 311",
	};
	struct anchor_note got;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		cr_expect(!anchor_note_read(texts[i], strlen(texts[i]), &got), "%s", texts[i]);
}
