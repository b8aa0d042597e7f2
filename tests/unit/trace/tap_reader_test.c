/*
 * tap_reader_test.c -- messages of the tap: every record comes out as it went in, and no broken
 * byte gets past the checks or reads beyond its message.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace/tap_reader.h"

struct message {
	uint8_t bytes[TAP_MESSAGE_MAX];
	size_t len;
};

/* What came out, in order. */
struct heard {
	char order[32];
	unsigned count;
	struct tap_message head;
	struct tap_hello hello;
	struct tap_clock clock;
	struct tap_endpoint endpoint;
	struct tap_open open;
	struct tap_tls tls;
	struct tap_shared shared;
	struct tap_position position;
	struct tap_begin begin;
	struct tap_progress progress;
	struct tap_part_known part;
	struct tap_end end;
	struct tap_close close;
	struct tap_secret secret;
	char line[256];
	uint64_t lost_from_ns, lost_to_ns;
	struct tap_calls calls;
};

static void note(struct heard *h, const struct tap_message *m, char c)
{
	h->head = *m;
	if (h->count < sizeof(h->order) - 1)
		h->order[h->count++] = c;
}

#define HEAR(name, letter, type)                                                            \
	static void on_##name(void *arg, const struct tap_message *m, const struct type *r) \
	{                                                                                   \
		struct heard *h = arg;                                                      \
		note(h, m, letter);                                                         \
		h->name = *r;                                                               \
	}

HEAR(hello, 'h', tap_hello)
HEAR(clock, 'k', tap_clock)
HEAR(endpoint, 'e', tap_endpoint)
HEAR(open, 'o', tap_open)
HEAR(tls, 't', tap_tls)
HEAR(shared, 's', tap_shared)
HEAR(position, 'p', tap_position)
HEAR(begin, 'b', tap_begin)
HEAR(progress, 'g', tap_progress)
HEAR(part, 'a', tap_part_known)
HEAR(end, 'x', tap_end)
HEAR(close, 'c', tap_close)

static void on_secret(void *arg, const struct tap_message *m, const struct tap_secret *r,
		      const char *line)
{
	struct heard *h = arg;

	note(h, m, 's');
	h->secret = *r;
	snprintf(h->line, sizeof(h->line), "%.*s", (int)r->len, line);
}

static void on_busy(void *arg, const struct tap_message *m)
{
	note(arg, m, 'y');
}

static void on_lost(void *arg, const struct tap_message *m, uint64_t from_ns, uint64_t to_ns)
{
	struct heard *h = arg;

	note(h, m, 'L');
	h->lost_from_ns = from_ns;
	h->lost_to_ns = to_ns;
}

static struct heard *hearer(void)
{
	struct heard *h = calloc(1, sizeof(*h));

	cr_assert_not_null(h);
	h->calls = (struct tap_calls){.arg = h,
				      .hello = on_hello,
				      .clock = on_clock,
				      .endpoint = on_endpoint,
				      .open = on_open,
				      .tls = on_tls,
				      .shared = on_shared,
				      .position = on_position,
				      .begin = on_begin,
				      .progress = on_progress,
				      .part = on_part,
				      .end = on_end,
				      .close = on_close,
				      .secret = on_secret,
				      .lost = on_lost,
				      .busy = on_busy};
	return h;
}

static void begin_message(struct message *m)
{
	const struct tap_message head = {.magic = TAP_MAGIC,
					 .version = TAP_VERSION,
					 .worker = 2,
					 .run = 0x5d2c,
					 .number = 7,
					 .dropped = 3};

	memcpy(m->bytes, &head, sizeof(head));
	m->len = sizeof(head);
}

static void add(struct message *m, uint16_t type, void *record, size_t len)
{
	struct tap_record r = {.type = type, .len = (uint32_t)len, .mono_ns = 1000 + m->len};

	memcpy(record, &r, sizeof(r));
	memcpy(m->bytes + m->len, record, len);
	m->len += len;
}

/* Exactly as long as the message, so that a sanitizer sees a read behind it. */
static const char *read_it(const struct message *m, struct heard *h, uint64_t *mono_ns)
{
	uint8_t *exact = malloc(m->len);
	const char *fault;

	memcpy(exact, m->bytes, m->len);
	fault = tap_read(exact, m->len, &h->calls, mono_ns);
	free(exact);
	return fault;
}

static const struct addr local = {.ip = {127, 0, 0, 1}, .port = 8585, .family = ADDR_IP4};
static const struct addr peer = {.ip = {127, 0, 0, 1}, .port = 40000, .family = ADDR_IP4};

static struct exchange_record record(void)
{
	const struct leg_record none = {.request = byte_range_none(),
					.interim = byte_range_none(),
					.response = byte_range_none(),
					.tunnel_up = byte_range_none(),
					.tunnel_down = byte_range_none()};
	struct exchange_record x = {.id = 9, .run = 0x5d2c, .status = 200, .end = "done"};

	x.client = x.backend = none;
	x.client.conn = 1;
	x.client.nth = 1;
	x.client.local = local;
	x.client.peer = peer;
	x.client.request = (struct byte_range){0, 311};
	for (unsigned i = 0; i < MOMENT_COUNT; i++)
		x.at_us[i] = MOMENT_NEVER;
	return x;
}

/* A full handshake of TLS 1.3, but for a ServerHello that nobody saw. */
static struct tls_marks marks(void)
{
	struct tls_marks m = {.version = TLS_VERSION_13};

	m.at[TLS_MARK_CLIENT_HELLO] = (struct byte_range){0, 517};
	m.at[TLS_MARK_SERVER_HELLO] = byte_range_none();
	m.at[TLS_MARK_SERVER_FINISHED] = (struct byte_range){133, 1200};
	m.at[TLS_MARK_CLIENT_FINISHED] = (struct byte_range){523, 597};
	return m;
}

/* Between the last record of the message before and the first of this one; told once, in its place. */
Test(tap_reader, records_that_were_lost)
{
	struct tap_clock clock = {.real_ns = 6};
	struct heard *h = hearer();
	struct tap_message head;
	uint64_t mono_ns = 400;
	struct message m;

	begin_message(&m);
	memcpy(&head, m.bytes, sizeof(head));
	head.lost_before = 17;
	memcpy(m.bytes, &head, sizeof(head));
	add(&m, TAP_CLOCK, &clock, sizeof(clock)); /* stamped 1000 + where it stands */
	add(&m, TAP_CLOCK, &clock, sizeof(clock));
	cr_expect_null(read_it(&m, h, &mono_ns));
	cr_expect_str_eq(h->order, "Lkk");
	cr_expect_eq(h->lost_from_ns, 400);
	cr_expect_eq(h->lost_to_ns, 1000 + sizeof(head));
	cr_expect_eq(mono_ns, 1000 + sizeof(head) + sizeof(clock));
	h->calls.lost = NULL;
	cr_expect_null(read_it(&m, h, &mono_ns));
	free(h);
}

Test(tap_reader, every_record_in_order)
{
	struct tap_hello hello = {.real_ns = 5, .pid = 77, .workers = 4};
	struct tap_clock clock = {.real_ns = 6};
	struct tap_endpoint endpoint = {.addr = local, .leg = TAP_BACKEND, .named = 1, .last = 1};
	struct tap_open open = {.conn = 3, .opened_ns = 8, .local = local, .peer = peer};
	struct tap_tls tls = {.conn = 3, .sent_off = 1900, .tls = marks()};
	struct tap_shared shared = {.conn = 3, .off = 1900};
	struct tap_position position = {.conn = 3, .sent_off = 10, .read_off = 11, .drained = 1};
	struct tap_begin begin = {.id = 9, .conn = 3, .first = 12, .part = TAP_PART_CLIENT_REQUEST};
	struct tap_progress progress = {.id = 9, .conn = 3, .first = 12, .past = 20};
	struct tap_part_known part = {.id = 9, .conn = 3, .first = 12, .past = 30, .declared = 1};
	struct tap_end end = {.x = record()};
	struct tap_close close = {.conn = 3, .leg = TAP_CLIENT, .end = "done"};
	struct tap_record busy = {0};
	struct heard *h = hearer();
	struct message m;
	uint64_t mono_ns = 0;

	begin_message(&m);
	add(&m, TAP_HELLO, &hello, sizeof(hello));
	add(&m, TAP_CLOCK, &clock, sizeof(clock));
	add(&m, TAP_ENDPOINT, &endpoint, sizeof(endpoint));
	add(&m, TAP_OPEN, &open, sizeof(open));
	add(&m, TAP_TLS, &tls, sizeof(tls));
	add(&m, TAP_SHARED, &shared, sizeof(shared));
	add(&m, TAP_POSITION, &position, sizeof(position));
	add(&m, TAP_BEGIN, &begin, sizeof(begin));
	add(&m, TAP_PROGRESS, &progress, sizeof(progress));
	add(&m, TAP_PART, &part, sizeof(part));
	add(&m, TAP_END, &end, sizeof(end));
	add(&m, TAP_CLOSE, &close, sizeof(close));
	add(&m, TAP_BUSY, &busy, sizeof(busy));
	cr_expect_null(read_it(&m, h, &mono_ns));
	cr_expect_str_eq(h->order, "hkeotspbgaxcy");
	cr_expect_eq(mono_ns, 1000 + m.len - sizeof(busy));
	cr_expect_eq(h->head.run, 0x5d2c);
	cr_expect_eq(h->head.worker, 2);
	cr_expect_eq(h->head.dropped, 3);
	cr_expect_eq(memcmp(&h->hello, &hello, sizeof(hello)), 0);
	cr_expect_eq(memcmp(&h->clock, &clock, sizeof(clock)), 0);
	cr_expect_eq(memcmp(&h->endpoint, &endpoint, sizeof(endpoint)), 0);
	cr_expect_eq(memcmp(&h->open, &open, sizeof(open)), 0);
	cr_expect_eq(memcmp(&h->tls, &tls, sizeof(tls)), 0);
	cr_expect_eq(memcmp(&h->shared, &shared, sizeof(shared)), 0);
	cr_expect_eq(memcmp(&h->position, &position, sizeof(position)), 0);
	cr_expect_eq(memcmp(&h->begin, &begin, sizeof(begin)), 0);
	cr_expect_eq(memcmp(&h->progress, &progress, sizeof(progress)), 0);
	cr_expect_eq(memcmp(&h->part, &part, sizeof(part)), 0);
	cr_expect_eq(memcmp(&h->end, &end, tap_end_len(end.x.tries_count)), 0);
	cr_expect_eq(memcmp(&h->close, &close, sizeof(close)), 0);
	free(h);
}

Test(tap_reader, unknown_types_and_longer_records_are_fine)
{
	struct {
		struct tap_record r;
		uint64_t what[3];
	} unknown = {.what = {1, 2, 3}};
	struct {
		struct tap_clock c;
		uint64_t later;
	} longer = {.c = {.real_ns = 42}};
	struct heard *h = hearer();
	struct message m;
	uint64_t mono_ns = 0;

	begin_message(&m);
	add(&m, 40, &unknown, sizeof(unknown));
	add(&m, TAP_CLOCK, &longer, sizeof(longer));
	cr_expect_null(read_it(&m, h, &mono_ns));
	cr_expect_str_eq(h->order, "k");
	cr_expect_eq(h->clock.real_ns, 42);
	free(h);
}

static void refused(const struct message *m, const char *heard)
{
	struct heard *h = hearer();
	uint64_t mono_ns = 0;

	cr_expect_not_null(read_it(m, h, &mono_ns));
	cr_expect_str_eq(h->order, heard);
	free(h);
}

Test(tap_reader, head_of_another_version_is_refused)
{
	struct message m;

	begin_message(&m);
	m.bytes[0] ^= 1;
	refused(&m, "");
	begin_message(&m);
	m.bytes[4] ^= 2;
	refused(&m, "");
	begin_message(&m);
	m.len--;
	refused(&m, "");
}

Test(tap_reader, record_lengths_are_checked)
{
	struct tap_clock clock = {0};
	struct message m;
	const uint32_t lens[] = {0, 8, 15, 17, 32, 4096, UINT32_MAX, UINT32_MAX - 7};

	for (unsigned i = 0; i < sizeof(lens) / sizeof(*lens); i++) {
		begin_message(&m);
		add(&m, TAP_CLOCK, &clock, sizeof(clock));
		add(&m, TAP_CLOCK, &clock, sizeof(clock));
		memcpy(m.bytes + m.len - sizeof(clock) + 4, &lens[i], 4);
		refused(&m, "k");
	}
	begin_message(&m);
	add(&m, TAP_OPEN, &clock, sizeof(clock)); /* too short for an open */
	refused(&m, "");
}

static void refused_end(const struct exchange_record *x)
{
	struct tap_end end = {.x = *x};
	struct message m;

	begin_message(&m);
	add(&m, TAP_END, &end, sizeof(end));
	refused(&m, "");
	cr_expect_not_null(exchange_record_fault(x));
}

static void refused_tls(const struct tls_marks *marks, uint64_t conn)
{
	struct tap_tls tls = {.conn = conn, .tls = *marks};
	struct message m;

	begin_message(&m);
	add(&m, TAP_TLS, &tls, sizeof(tls));
	refused(&m, "");
}

Test(tap_reader, handshakes_that_cannot_have_been_are_refused)
{
	struct tls_marks m = marks();

	cr_expect_null(tls_marks_fault(&m));
	refused_tls(&m, 0);
	m.version = 0;
	cr_expect_null(tls_marks_fault(&m));
	m.version = 0x0302;
	refused_tls(&m, 3);
	m = marks();
	m.at[TLS_MARK_CLIENT_FINISHED] = (struct byte_range){597, 523};
	refused_tls(&m, 3);
	m = marks();
	m.at[TLS_MARK_SERVER_HELLO].past = 127; /* of none */
	refused_tls(&m, 3);
	m = marks();
	m.at[TLS_MARK_SERVER_HELLO] = (struct byte_range){0, UINT64_MAX - 1};
	refused_tls(&m, 3);
}

/* A secret's record: what it says its line's length is, and the line that follows. */
static void add_secret(struct message *m, uint64_t conn, uint32_t len, const char *line)
{
	struct {
		struct tap_secret head;
		char line[232];
	} r = {.head = {.conn = conn, .len = len}};

	strcpy(r.line, line);
	add(m, TAP_SECRET, &r, sizeof(r.head) + ((strlen(line) + 7) & ~(size_t)7));
}

Test(tap_reader, secrets)
{
	static const char line[] = "CLIENT_RANDOM 0011 2233";
	struct heard *h = hearer();
	struct message m;
	uint64_t mono_ns = 0;

	begin_message(&m);
	add_secret(&m, 3, sizeof(line) - 1, line);
	add_secret(&m, 4, 8, "12345678");
	cr_expect_null(read_it(&m, h, &mono_ns));
	cr_expect_str_eq(h->order, "ss");
	cr_expect_eq(h->secret.conn, 4);
	cr_expect_str_eq(h->line, "12345678");
	begin_message(&m);
	add_secret(&m, 3, sizeof(line) - 1, line);
	cr_expect_null(read_it(&m, h, &mono_ns));
	cr_expect_eq(h->secret.conn, 3);
	cr_expect_str_eq(h->line, line);
	h->calls.secret = NULL;
	cr_expect_null(read_it(&m, h, &mono_ns));
	cr_expect_str_eq(h->order, "sss");
	free(h);
}

static void refused_secret(uint64_t conn, uint32_t len, const char *line)
{
	struct message m;

	begin_message(&m);
	add_secret(&m, conn, len, line);
	refused(&m, "");
}

Test(tap_reader, secrets_that_are_no_lines_are_refused)
{
	refused_secret(0, 8, "12345678");
	refused_secret(3, 0, "12345678");
	refused_secret(3, 9, "12345678");
	refused_secret(3, UINT32_MAX, "12345678");
	refused_secret(3, 8, "1234567"); /* with its padding */
	refused_secret(3, 8, "1234\n678");
	refused_secret(3, 8,
		       "1234\x7f"
		       "678");
	refused_secret(3, 8,
		       "1234\xff"
		       "678");
}

Test(tap_reader, values_that_no_proxy_counts_are_refused)
{
	struct exchange_record x = record();

	cr_expect_null(exchange_record_fault(&x));
	x.client.request = (struct byte_range){10, 9};
	refused_end(&x);
	x = record();
	x.backend.response.past = 5; /* of none */
	refused_end(&x);
	x = record();
	x.tries_count = 3;
	refused_end(&x);
	x = record();
	memset(x.end, 'a', sizeof(x.end));
	refused_end(&x);
	x = record();
	x.tries_count = 1;
	x.tries[0].leg = x.backend;
	memset(x.tries[0].end, 'a', sizeof(x.tries[0].end));
	refused_end(&x);
	x = record();
	x.at_us[MOMENT_RESPONSE_END] = -1;
	refused_end(&x);
	x = record();
	x.client.peer.family = 99;
	refused_end(&x);
	x = record();
	x.client.conn = 0;
	refused_end(&x);
}

Test(tap_reader, enumerations_are_checked)
{
	struct tap_begin begin = {.part = TAP_PARTS};
	struct tap_begin long_head = {.head_len = 33};
	struct tap_progress progress = {.part = 0, .first = 5, .past = 4};
	struct tap_part_known part = {.part = 9};
	struct tap_open open = {.conn = 1, .leg = 2};
	struct tap_close close = {.leg = 2};
	struct tap_endpoint endpoint = {.leg = 7};
	struct message m;

	begin_message(&m);
	add(&m, TAP_BEGIN, &begin, sizeof(begin));
	refused(&m, "");
	begin_message(&m);
	add(&m, TAP_BEGIN, &long_head, sizeof(long_head));
	refused(&m, "");
	begin_message(&m);
	add(&m, TAP_PROGRESS, &progress, sizeof(progress));
	refused(&m, "");
	begin_message(&m);
	add(&m, TAP_PART, &part, sizeof(part));
	refused(&m, "");
	begin_message(&m);
	add(&m, TAP_OPEN, &open, sizeof(open));
	refused(&m, "");
	begin_message(&m);
	add(&m, TAP_CLOSE, &close, sizeof(close));
	refused(&m, "");
	begin_message(&m);
	add(&m, TAP_ENDPOINT, &endpoint, sizeof(endpoint));
	refused(&m, "");
}

/* Cut at every place: the records before the cut come, and nothing else. */
Test(tap_reader, cut_anywhere)
{
	struct tap_clock clock = {.real_ns = 6};
	struct tap_end end = {.x = record()};
	struct message m;
	size_t whole;

	begin_message(&m);
	add(&m, TAP_CLOCK, &clock, sizeof(clock));
	add(&m, TAP_END, &end, sizeof(end));
	whole = m.len;
	for (m.len = 1; m.len < whole; m.len++) {
		struct heard *h = hearer();
		size_t first = sizeof(struct tap_message) + sizeof(clock);
		bool at_border = m.len == sizeof(struct tap_message) || m.len == first;
		uint64_t mono_ns = 0;

		cr_assert_eq(read_it(&m, h, &mono_ns) == NULL, at_border);
		cr_assert_str_eq(h->order, m.len >= first ? "k" : "");
		free(h);
	}
}
