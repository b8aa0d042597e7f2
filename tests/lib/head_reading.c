/*
 * head_reading.c -- heads at once, byte by byte, in two pieces; compared as text.
 */
#include "tests/lib/head_reading.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/guarded.h"

static void print_slice(FILE *f, const char *name, const char *bytes, struct http_slice s)
{
	fprintf(f, "%s=%u+%u \"%.*s\"\n", name, s.off, s.len, (int)s.len,
		s.len > 0 ? bytes + s.off : "");
}

static void print_fields(FILE *f, const struct http_head *h, const char *bytes)
{
	for (uint32_t i = 0; i < h->field_count; i++) {
		fprintf(f, "field %u id=%d nominated=%d\n", i, h->fields[i].id,
			h->fields[i].nominated);
		print_slice(f, " name", bytes, h->fields[i].name);
		print_slice(f, " value", bytes, h->fields[i].value);
	}
}

char *head_describe(const struct http_head *h, const char *bytes, enum http_progress progress)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (f == NULL)
		abort();
	fprintf(f, "progress=%d kind=%d fault=%d minor=%d len=%u empty_lines=%u\n", progress,
		h->kind, h->fault, h->minor, h->len, h->empty_lines);
	fprintf(f, "keep_alive=%d,%d expect=%d upgrade=%d no_body=%d\n", h->keep_alive,
		h->keep_alive_asked, h->expect_continue, h->upgrade_websocket, h->no_body);
	fprintf(f, "framing=%d length=%d,%llu\n", h->framing, h->content_length_known,
		(unsigned long long)h->content_length);
	fprintf(f, "method=%d form=%d host=%d max_forwards=%u\n", h->method, h->target_form,
		h->host_present, h->max_forwards);
	print_slice(f, "method_text", bytes, h->method_text);
	print_slice(f, "target", bytes, h->target);
	print_slice(f, "authority", bytes, h->target_authority);
	print_slice(f, "path", bytes, h->target_path);
	print_slice(f, "host", bytes, h->host);
	fprintf(f, "status=%d keep_alive_timeout=%u\n", h->status, h->keep_alive_timeout_s);
	print_slice(f, "reason", bytes, h->reason);
	print_fields(f, h, bytes);
	fclose(f);
	return text;
}

/* step 0: all bytes at once; 1: byte by byte; n > 1: first n - 1 bytes, then the rest. */
static enum http_progress read_in_steps(struct http_head *h, const struct head_input *in,
					struct guarded *g, size_t step)
{
	struct http_limits limits = in->limits;
	enum http_progress progress = HTTP_MORE;
	size_t shown = 0;

	if (limits.max_head_bytes == 0)
		limits.max_head_bytes = 4096;
	if (limits.max_fields == 0)
		limits.max_fields = 32;
	if (!http_head_init(h, in->kind, &limits, in->request_method, in->request_upgrade))
		abort();
	while (progress == HTTP_MORE && shown < in->len) {
		if (step == 0 || (step > 1 && shown > 0))
			shown = in->len;
		else
			shown += step == 1 ? 1 : step - 1;
		progress = http_head_read(h, guarded_put(g, in->bytes, shown), shown);
	}
	return progress;
}

enum http_progress head_read_every_way(struct http_head *h, const struct head_input *in,
				       const char **differs)
{
	static char message[96];
	struct guarded *g = guarded_new(in->len + 1);
	enum http_progress progress = read_in_steps(h, in, g, 0);
	char *first = head_describe(h, in->bytes, progress);

	*differs = NULL;
	for (size_t step = 1; step <= in->len && *differs == NULL; step++) {
		char *other;

		progress = read_in_steps(h, in, g, step);
		other = head_describe(h, in->bytes, progress);
		if (strcmp(first, other) != 0) {
			snprintf(message, sizeof(message), "%s: split %zu of %zu differs",
				 step == 1 ? "byte by byte" : "in two", step - 1, in->len);
			*differs = message;
			fprintf(stderr, "at once:\n%s\notherwise:\n%s\n", first, other);
		}
		free(other);
	}
	free(first);
	guarded_free(g);
	return progress;
}

bool slice_is(const char *bytes, struct http_slice s, const char *text)
{
	return s.len == strlen(text) && memcmp(bytes + s.off, text, s.len) == 0;
}
