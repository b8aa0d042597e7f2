/*
 * tls_finding.c -- asks the streams of a connection for the four ranges.
 */
#include "trace/tls_finding.h"

#include <stdlib.h>

const char *tls_mark_word(enum tls_mark mark)
{
	static const char *const words[TLS_MARK_COUNT] = {"client_hello", "server_hello",
							  "server_finished", "client_finished"};

	return words[mark];
}

const char *tls_version_word(uint16_t version)
{
	switch (version) {
	case TLS_VERSION_12:
		return "1.2";
	case TLS_VERSION_13:
		return "1.3";
	default:
		return NULL;
	}
}

struct tls_finding *tls_finding_new(const struct tls_marks *marks)
{
	struct tls_finding *t = calloc(1, sizeof(*t));

	if (t != NULL)
		t->marks = *marks;
	return t;
}

void tls_finding_free(struct tls_finding *t)
{
	if (t == NULL)
		return;
	for (unsigned i = 0; i < TLS_MARK_COUNT; i++)
		frame_list_fini(&t->at[i].frames);
	free(t);
}

static void gather_message(struct tls_message_finding *m, const struct stream *s,
			   const struct byte_range *range, uint64_t until_ns)
{
	struct stream_range seen = {0};

	if (!byte_range_exists(range) || range->past == range->first)
		return;
	stream_query(s, range, until_ns, &seen);
	if (seen.known) {
		m->frames = seen.carried;
		seen.carried = (struct frame_list){0};
		m->is_whole = seen.missing_bytes == 0;
		m->first_ns = seen.first_ns;
		m->last_ns = seen.last_ns;
	}
	stream_range_fini(&seen);
}

void tls_finding_gather(struct tls_finding *t, const struct flow *f, enum tap_leg leg,
			unsigned our_side, uint64_t until_ns)
{
	t->is_gathered = true;
	for (unsigned i = 0; i < TLS_MARK_COUNT; i++) {
		unsigned side = tls_mark_is_ours(leg, i) ? our_side : 1 - our_side;

		gather_message(&t->at[i], f->side[side].stream, &t->marks.at[i], until_ns);
	}
}

/* In TLS 1.3, and when an older session is resumed, the client's comes last; else the server's. */
uint64_t tls_finding_end_ns(const struct tls_finding *t)
{
	const struct tls_message_finding *server = &t->at[TLS_MARK_SERVER_FINISHED];
	const struct tls_message_finding *client = &t->at[TLS_MARK_CLIENT_FINISHED];

	if (t->marks.failed == 1 || !server->is_whole || !client->is_whole)
		return 0;
	return MAX(server->last_ns, client->last_ns);
}

static bool us_since_hello(const struct tls_finding *t, uint64_t ns, uint64_t *us)
{
	uint64_t hello_ns = t->at[TLS_MARK_CLIENT_HELLO].first_ns;

	if (hello_ns == 0 || ns < hello_ns || t->is_doubtful)
		return false;
	*us = (ns - hello_ns) / NS_PER_US;
	return true;
}

bool tls_finding_us(const struct tls_finding *t, enum tls_mark mark, uint64_t *us)
{
	return t->at[mark].is_whole && us_since_hello(t, t->at[mark].last_ns, us);
}

bool tls_finding_total_us(const struct tls_finding *t, uint64_t *us)
{
	return us_since_hello(t, tls_finding_end_ns(t), us);
}
