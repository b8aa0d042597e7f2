/*
 * tshark.h -- what tshark says of the TCP packets of a file, against decode and flow.
 */
#ifndef TESTS_UNIT_TRACE_TSHARK_H
#define TESTS_UNIT_TRACE_TSHARK_H

#include <criterion/criterion.h>

#include "tests/unit/trace/frames.h"
#include "trace/capture_file.h"
#include "trace/decode.h"
#include "trace/flow.h"

static inline void need_tshark(void)
{
	char out[16];

	if (frame_command("command -v tshark >/dev/null 2>&1", out, sizeof(out)) != 0)
		cr_skip_test("tshark is not installed");
}

/*
 * One line per TCP header: frame, tcp.stream, and of a segment len, seq, ack, window, and the
 * analysis flags that it has, each as "1" in a column of its own.
 */
static inline void tshark_our_lines(const char *path, FILE *out)
{
	char err[CAPTURE_FILE_ERROR_MAX] = "";
	struct capture_file *f = capture_file_open(path, err);
	struct fragments *fragments = fragments_new();
	struct flow_table *t = flow_table_new();
	struct packet p;

	cr_assert_not_null(f, "%s", err);
	cr_assert_not_null(fragments);
	cr_assert_not_null(t);
	while (capture_file_next(f, &p, err) == CAPTURE_FILE_PACKET) {
		struct flow_place place;
		struct segment seg;
		enum decode_result result = decode_next(fragments, &p, &seg);

		if (result == DECODE_HEADER)
			fprintf(out, "%u\t%u\t\n", p.frame, flow_table_note(t, &seg));
		if (result != DECODE_TCP)
			continue;
		cr_assert(flow_table_add(t, &seg, &place));
		fprintf(out, "%u\t%u\t%u\t%u\t%u\t%u", p.frame, place.number, seg.payload_framed,
			place.ws.seq, seg.flags & TCP_ACK ? place.ws.ack : seg.ack,
			place.ws.window);
		for (unsigned i = 0; i < WSLABEL_COUNT; i++)
			fprintf(out, "\t%s", place.ws.flags >> i & 1 ? "1" : "");
		fputc('\n', out);
	}
	flow_table_free(t);
	fragments_free(fragments);
	capture_file_close(f);
}

/* Cut headers have no stream. */
static inline bool tshark_has_stream(const char *line)
{
	const char *stream = strchr(line, '\t');

	cr_assert_not_null(stream, "%s", line);
	return stream[1] != '\t';
}

/* Of ours: nothing stands behind the stream. */
static inline bool tshark_is_header(const char *line)
{
	const char *stream = strchr(line, '\t');

	return stream != NULL && strcmp(strchrnul(stream + 1, '\t'), "\t\n") == 0;
}

static inline void tshark_drop_length(char *line)
{
	char *stream = strchr(line, '\t'), *len = stream != NULL ? strchr(stream + 1, '\t') : NULL;

	cr_assert_not_null(len, "%s", line);
	memcpy(len + 1, "\n", 2);
}

/* Its lines as ours are; what several headers of a frame say, the innermost does. */
static inline FILE *tshark_open(const char *path, const char *options)
{
	char command[2048];
	int len = snprintf(command, sizeof(command),
			   "tshark -n -o tcp.desegment_tcp_streams:FALSE %s -r '%s' -Y 'tcp && "
			   "!sflow' -T fields -E occurrence=l -e frame.number -e tcp.stream "
			   "-e tcp.len -e tcp.seq -e tcp.ack -e tcp.window_size",
			   options, path);

	for (unsigned i = 0; i < WSLABEL_COUNT; i++)
		len += snprintf(command + len, sizeof(command) - (size_t)len, " -e tcp.analysis.%s",
				wslabel_word(i));
	snprintf(command + len, sizeof(command) - (size_t)len, " 2>/dev/null");
	return popen(command, "r");
}

/* All that the lines hold is equal; `options` are tshark's. */
static inline void tshark_compare(const char *path, const char *options, unsigned least)
{
	char ours[256] = "", theirs[256] = "";
	FILE *mine = tmpfile(), *tshark;
	unsigned lines = 0;

	cr_assert_not_null(mine);
	tshark_our_lines(path, mine);
	rewind(mine);
	tshark = tshark_open(path, options);
	cr_assert_not_null(tshark);
	while (fgets(theirs, sizeof(theirs), tshark) != NULL) {
		if (!tshark_has_stream(theirs))
			continue;
		cr_assert_not_null(fgets(ours, sizeof(ours), mine), "%s: tshark has %s", path,
				   theirs);
		if (tshark_is_header(ours))
			tshark_drop_length(theirs);
		cr_assert_str_eq(ours, theirs, "%s: ours %s, theirs %s", path, ours, theirs);
		lines++;
	}
	cr_expect_null(fgets(ours, sizeof(ours), mine), "%s: tshark has not %s", path, ours);
	cr_expect_eq(pclose(tshark), 0);
	cr_expect_geq(lines, least, "%s: %u TCP packets", path, lines);
	fclose(mine);
}

#endif
