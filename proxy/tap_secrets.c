/*
 * tap_secrets.c -- key log lines as records, and the list of those that wait.
 *
 * Never keeps a line longer than it must: what has moved is wiped, and so is memory that is let go.
 *
 * Invariant: bytes[at, len) are whole records in the order they came; while there are any, none
 * goes into the ring before them.
 */
#include "proxy/tap_secrets.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/tap_message.h"

#define CAP_FIRST 16384

void tap_secrets_fini(struct tap_secrets *s)
{
	if (s->bytes != NULL)
		explicit_bzero(s->bytes, s->len);
	free(s->bytes);
	*s = (struct tap_secrets){0};
}

/*
 * No exporter's secret, which opens no record, and none of early data, which is never taken. Secrets
 * after a key update are derived from these.
 */
bool tap_secrets_is_useful(const char *line, size_t len)
{
	static const char *const labels[] = {
		"CLIENT_RANDOM ",
		"CLIENT_HANDSHAKE_TRAFFIC_SECRET ",
		"SERVER_HANDSHAKE_TRAFFIC_SECRET ",
		"CLIENT_TRAFFIC_SECRET_0 ",
		"SERVER_TRAFFIC_SECRET_0 ",
	};

	if (len > TAP_SECRET_LINE_MAX || memchr(line, '\n', len) != NULL)
		return false;
	for (unsigned i = 0; i < ARRAY_LEN(labels); i++) {
		size_t label_len = strlen(labels[i]);

		if (len > label_len && memcmp(line, labels[i], label_len) == 0)
			return true;
	}
	return false;
}

bool tap_secrets_move(struct tap_secrets *s, struct tap_ring *r)
{
	while (tap_secrets_wait(s)) {
		struct tap_record head;
		char *to;

		memcpy(&head, s->bytes + s->at, sizeof(head));
		to = tap_ring_add_secret(r, head.len);
		if (to == NULL)
			return false;
		memcpy(to, s->bytes + s->at, head.len);
		s->at += head.len;
	}
	tap_secrets_fini(s);
	return true;
}

/* Not realloc(), which would leave a copy behind. */
static bool make_room(struct tap_secrets *s, size_t len)
{
	size_t waits = s->len - s->at, cap = s->cap > 0 ? s->cap : CAP_FIRST;
	char *bytes;

	if (s->cap - s->len >= len)
		return true;
	while (cap - waits < len)
		cap *= 2;
	if (cap > TAP_SECRETS_MAX)
		return false;
	bytes = malloc(cap);
	if (bytes == NULL)
		return false;
	if (waits > 0)
		memcpy(bytes, s->bytes + s->at, waits);
	tap_secrets_fini(s);
	*s = (struct tap_secrets){.bytes = bytes, .len = waits, .cap = cap};
	return true;
}

static void write_record(char *to, size_t record_len, const struct tap_secret *head,
			 const char *line)
{
	memcpy(to, head, sizeof(*head));
	memcpy(to + sizeof(*head), line, head->len);
	memset(to + sizeof(*head) + head->len, 0, record_len - sizeof(*head) - head->len);
}

bool tap_secrets_add(struct tap_secrets *s, struct tap_ring *r, uint64_t conn, const char *line,
		     size_t len, uint64_t mono_ns)
{
	size_t record_len = sizeof(struct tap_secret) + ((len + 7) & ~(size_t)7);
	const struct tap_secret head = {
		.r = tap_record_head(TAP_SECRET, record_len, mono_ns),
		.conn = conn,
		.len = (uint32_t)len,
	};
	char *to = tap_secrets_move(s, r) ? tap_ring_add_secret(r, record_len) : NULL;

	if (to == NULL) {
		if (!make_room(s, record_len))
			return false;
		to = s->bytes + s->len;
		s->len += record_len;
	}
	write_record(to, record_len, &head, line);
	return true;
}
