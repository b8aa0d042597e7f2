/*
 * story.h -- `flowtrace show DIR --story`: what one would read by hand from log and capture, told with this run's own numbers:
 * connections, data transfer, reuse, piggybacked ACKs, termination, and how to look further.
 */
#ifndef TRACE_STORY_H
#define TRACE_STORY_H

#include "common/attrib.h"
#include "trace/records_paths.h"
#include "trace/records_reader.h"
#include "trace/screen.h"

/*
 * Tell of the newest run in flows. Returns the exit status: 1, with a line on stderr, when nothing can be told or
 * when the capture misses something that the story needs (what, stands at its end).
 */
int story_show(const struct screen *s, const struct records_paths *paths,
	       struct records *flows) MUST_CHECK;

#endif
