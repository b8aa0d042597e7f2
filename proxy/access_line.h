/*
 * access_line.h -- the text of one line of proxy.ndjson.
 *
 * What a line is made of (struct access_line) and access_line_format() itself are told in
 * access_log.h; this is what the writer needs besides.
 */
#ifndef PROXY_ACCESS_LINE_H
#define PROXY_ACCESS_LINE_H

#include <stddef.h>

#include "proxy/access_log.h"

/* Texts from outside are cut at that many bytes. */
#define ACCESS_TEXT_MAX 2048

/*
 * No line is longer than that, whatever the texts are (fragments as access_fragment() makes them).
 */
#define ACCESS_LINE_MAX (128 * 1024)

/* The most bytes that this line can need. Cheap: looks at lengths only. */
size_t access_line_max(const struct access_line *line);

#endif
