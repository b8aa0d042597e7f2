/*
 * dump_test.c -- the comment queue and the comments: what waits and how long, in which order it
 * leaves, and what is said of each packet. The pcapng is read back block by block.
 */
#include <fcntl.h>
#include <unistd.h>

#include "tests/unit/trace/talk.h"
#include "trace/dump.h"

#define HOLD_MS      2000
#define HEADER_BYTES 40

/* ---- a dump in a file, and what is in it ----------------------------------------------------- */

struct seen {
	uint64_t ts_ns;
	uint32_t cap_len, wire_len, flags;
	uint64_t drops;
	unsigned comment_count;
	char comment[20][COMMENT_TEXT_MAX];
	unsigned secrets; /* blocks before it */
};

struct bench {
	struct talk t;
	struct dump *d;
	char path[32];
	struct seen *packets;
	unsigned count;
	unsigned secrets_count; /* blocks of them, and all their text */
	char secrets[200000];
};

static void bench_init(struct bench *b, const struct dump_options *o)
{
	const struct pcapng_interface lo = {.name = "lo", .link = LINK_RAW};
	struct pcapng *w;
	int fd;

	memset(b, 0, sizeof(*b));
	talk_init(&b->t, HOLD_MS, true);
	strcpy(b->path, "/tmp/dump_test.XXXXXX");
	fd = mkstemp(b->path);
	cr_assert_geq(fd, 0);
	w = pcapng_new(fd, "test");
	cr_assert_not_null(w);
	cr_assert(pcapng_interface(w, &lo));
	b->d = dump_new(w, o);
	cr_assert_not_null(b->d);
}

static uint32_t u32_at(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static void read_options(struct seen *s, const uint8_t *p, const uint8_t *end)
{
	while (p + 4 <= end) {
		uint16_t code, len;

		memcpy(&code, p, 2);
		memcpy(&len, p + 2, 2);
		if (code == 0)
			return;
		if (code == 1)
			snprintf(s->comment[s->comment_count++], COMMENT_TEXT_MAX, "%.*s", len,
				 (const char *)p + 4);
		else if (code == 2)
			s->flags = u32_at(p + 4);
		else if (code == 4)
			memcpy(&s->drops, p + 4, 8);
		p += 4 + (len + 3) / 4 * 4;
	}
}

/* A block of secrets: type, length of the text, text, padding, no options. */
static void read_secrets(struct bench *b, const uint8_t *p)
{
	uint32_t len = u32_at(p + 12);

	cr_expect_eq(u32_at(p + 8), 0x544c534b);
	cr_assert_eq(u32_at(p + 4), 20 + (len + 3) / 4 * 4);
	cr_assert_eq(u32_at(p + u32_at(p + 4) - 4), u32_at(p + 4));
	for (uint32_t i = len; i % 4 != 0; i++)
		cr_expect_eq(p[16 + i], 0);
	strncat(b->secrets, (const char *)p + 16, len);
	b->secrets_count++;
}

static void read_back(struct bench *b)
{
	static uint8_t bytes[1 << 20];
	int fd = open(b->path, O_RDONLY);
	ssize_t len = read(fd, bytes, sizeof(bytes));

	close(fd);
	free(b->packets);
	b->packets = calloc(1000, sizeof(*b->packets));
	b->count = b->secrets_count = 0;
	b->secrets[0] = '\0';
	for (ssize_t i = 0; i + 12 <= len; i += u32_at(bytes + i + 4)) {
		const uint8_t *p = bytes + i;
		struct seen *s = &b->packets[b->count];

		if (u32_at(p) == 10)
			read_secrets(b, p);
		if (u32_at(p) != 6)
			continue;
		s->secrets = b->secrets_count;
		s->ts_ns = (uint64_t)u32_at(p + 12) << 32 | u32_at(p + 16);
		s->cap_len = u32_at(p + 20);
		s->wire_len = u32_at(p + 24);
		read_options(s, p + 28 + (s->cap_len + 3) / 4 * 4, p + u32_at(p + 4) - 4);
		b->count++;
	}
}

static void bench_fini(struct bench *b)
{
	dump_free(b->d);
	unlink(b->path);
	free(b->packets);
	talk_fini(&b->t);
}

/* How many packets stand in the file by now. */
static unsigned written(struct bench *b)
{
	dump_flush(b->d);
	read_back(b);
	return b->count;
}

/* ---- segments into the dump ------------------------------------------------------------------ */

static void pass(struct bench *b, struct wire *w, uint64_t us, unsigned from, uint32_t len)
{
	static uint8_t bytes[4096];
	struct segment seg = {
		.ts_ns = at(us),
		.frame = ++b->t.frame,
		.src = w->end[from],
		.dst = w->end[!from],
		.seq = (uint32_t)(w->isn[from] + 1 + w->sent[from]),
		.ack = (uint32_t)(w->isn[!from] + 1 + w->sent[!from]),
		.flags = TCP_ACK,
		.wscale = SEGMENT_NO_WSCALE,
		.payload_len = len,
	};
	struct dump_packet d = {.payload_off = HEADER_BYTES};
	struct flow_place place;

	w->sent[from] += len;
	cr_assert(flow_table_add(b->t.flows, &seg, &place));
	d.p = (struct packet){.ts_ns = seg.ts_ns,
			      .frame = seg.frame,
			      .link = LINK_RAW,
			      .cap_len = HEADER_BYTES + len,
			      .wire_len = HEADER_BYTES + len,
			      .bytes = bytes};
	d.place = (struct comment_place){
		.track = correlate_segment(b->t.c, &seg, &place),
		.from = place.from,
		.is_known = true,
		.len = len,
		.off = place.data.off,
		.acked_from = place.acked_from,
		.acked_past = place.acked_past,
	};
	dump_put(b->d, &d);
}

static void open_client(struct bench *b, const struct wire *w)
{
	struct tap_open open = {.conn = 1,
				.opened_ns = at(50),
				.local = w->end[1],
				.peer = w->end[0],
				.leg = TAP_CLIENT};

	correlate_open(b->t.c, RUN, &open);
}

static void begin(struct bench *b, uint64_t id, uint32_t nth, enum tap_part part, uint64_t first)
{
	struct tap_begin r = {
		.id = id, .conn = 1, .nth = nth, .part = (uint8_t)part, .first = first};

	correlate_begin(b->t.c, RUN, &r, at(100));
}

static void know(struct bench *b, uint64_t id, enum tap_part part, uint64_t first, uint64_t past)
{
	struct tap_part_known r = {
		.id = id, .conn = 1, .part = (uint8_t)part, .first = first, .past = past};

	ledger_part(correlate_ledger(b->t.c), RUN, &r);
}

static void end(struct bench *b, const struct wire *w, uint64_t id, uint32_t nth,
		struct byte_range request, struct byte_range response)
{
	struct exchange_record x = record_of(id, 100, 400);

	x.client = leg_on(w, 1, nth, 50);
	x.client.request = request;
	x.client.response = response;
	correlate_exchange(b->t.c, &x);
}

static const struct dump_options usual = {.hold_ns = HOLD_MS * NS_PER_MS, .queue_bytes = 1 << 20};

static uint64_t uncommented(const struct bench *b)
{
	struct dump_counters n;

	dump_counters(b->d, &n);
	return n.uncommented;
}

static void expect_comment(const struct bench *b, unsigned packet, unsigned i, const char *text)
{
	cr_assert_lt(packet, b->count);
	cr_assert_lt(i, b->packets[packet].comment_count, "packet %u: %s", packet, text);
	cr_expect_str_eq(b->packets[packet].comment[i], text);
}

Test(dump, packet_waits_until_its_bytes_are_told_and_all_behind_it_too)
{
	struct wire w = wire_client(40000), other = wire_client(40001);
	struct bench b;

	bench_init(&b, &usual);
	open_client(&b, &w);
	put_handshake(&b.t, &w, 0);
	put_handshake(&b.t, &other, 10);
	pass(&b, &w, 100, 0, 311);
	pass(&b, &other, 110, 1, 0); /* nothing to tell of it */
	dump_release(b.d, at(1000));
	cr_expect_eq(written(&b), 0);
	begin(&b, 0x9f3c51d27be40a18, 1, TAP_PART_CLIENT_REQUEST, 0);
	dump_release(b.d, at(1000));
	cr_assert_eq(written(&b), 2);
	cr_expect_eq(b.packets[0].ts_ns, at(100));
	cr_expect_eq(b.packets[1].ts_ns, at(110));
	expect_comment(&b, 0, 0, "req=9f3c51d27be40a18 leg=client part=request off=0-311");
	cr_expect_eq(b.packets[0].comment_count, 1);
	cr_expect_eq(b.packets[1].comment_count, 0);
	cr_expect_eq(uncommented(&b), 0);
	bench_fini(&b);
}

static void share(struct bench *b, uint64_t off)
{
	struct tap_shared r = {.conn = 1, .off = off};

	ledger_shared(correlate_ledger(b->t.c), RUN, &r);
}

/* Over TLS the packet waits until all requests of its one record have begun, and names them all. */
Test(dump, requests_that_share_a_record_are_all_named)
{
	struct wire w = wire_client(40000);
	struct bench b;

	bench_init(&b, &usual);
	open_client(&b, &w);
	put_handshake(&b.t, &w, 0);
	pass(&b, &w, 100, 0, 311);
	begin(&b, 1, 1, TAP_PART_CLIENT_REQUEST, 0);
	share(&b, 0);
	know(&b, 1, TAP_PART_CLIENT_REQUEST, 0, 311);
	end(&b, &w, 1, 1, (struct byte_range){0, 311}, (struct byte_range){0, 50});
	dump_release(b.d, at(1000));
	cr_expect_eq(written(&b), 0);
	begin(&b, 2, 2, TAP_PART_CLIENT_REQUEST, 0);
	dump_release(b.d, at(1000));
	cr_expect_eq(written(&b), 0);
	share(&b, UINT64_MAX);
	dump_release(b.d, at(1000));
	cr_assert_eq(written(&b), 1);
	expect_comment(&b, 0, 0, "req=0000000000000001 leg=client part=request off=0-311 of 311");
	expect_comment(&b, 0, 1, "req=0000000000000002 leg=client part=request off=0-311");
	cr_expect_eq(uncommented(&b), 0);
	bench_fini(&b);
}

Test(dump, length_is_said_when_it_is_known)
{
	struct wire w = wire_client(40000);
	struct bench b;

	bench_init(&b, &usual);
	open_client(&b, &w);
	put_handshake(&b.t, &w, 0);
	begin(&b, 0xab, 1, TAP_PART_CLIENT_REQUEST, 0);
	know(&b, 0xab, TAP_PART_CLIENT_REQUEST, 0, 1000);
	pass(&b, &w, 100, 0, 400);
	pass(&b, &w, 110, 0, 600);
	pass(&b, &w, 120, 1, 0);
	cr_assert_eq(written(&b), 3);
	expect_comment(&b, 0, 0, "req=00000000000000ab leg=client part=request off=0-400 of 1000");
	expect_comment(&b, 1, 0,
		       "req=00000000000000ab leg=client part=request off=400-1000 of 1000");
	expect_comment(&b, 2, 0, "req=00000000000000ab leg=client part=request ack=1000 of 1000");
	bench_fini(&b);
}

Test(dump, tunnel_is_told_by_its_begin_and_starts_behind_the_head)
{
	struct wire w = wire_client(40000);
	struct bench b;

	bench_init(&b, &usual);
	open_client(&b, &w);
	put_handshake(&b.t, &w, 0);
	begin(&b, 0xab, 1, TAP_PART_CLIENT_REQUEST, 0);
	know(&b, 0xab, TAP_PART_CLIENT_REQUEST, 0, 100);
	know(&b, 0xab, TAP_PART_CLIENT_RESPONSE, 0, 50);
	pass(&b, &w, 100, 0, 120);
	pass(&b, &w, 110, 1, 70);
	dump_release(b.d, at(1000));
	cr_expect_eq(written(&b), 0);
	begin(&b, 0xab, 1, TAP_PART_CLIENT_UP, 100);
	begin(&b, 0xab, 1, TAP_PART_CLIENT_DOWN, 50);
	pass(&b, &w, 900, 0, 5);
	dump_release(b.d, at(1000));
	cr_assert_eq(written(&b), 3);
	expect_comment(&b, 0, 0, "req=00000000000000ab leg=client part=request off=0-100 of 100");
	expect_comment(&b, 0, 1, "req=00000000000000ab leg=client part=tunnel-up off=0-20");
	expect_comment(&b, 1, 0, "req=00000000000000ab leg=client part=response off=0-50 of 50");
	expect_comment(&b, 1, 1, "req=00000000000000ab leg=client part=tunnel-down off=0-20");
	expect_comment(&b, 2, 0, "req=00000000000000ab leg=client part=tunnel-up off=20-25");
	cr_expect_eq(uncommented(&b), 0);
	bench_fini(&b);
}

Test(dump, response_that_acknowledges_says_both)
{
	struct wire w = wire_client(40000);
	struct bench b;

	bench_init(&b, &usual);
	open_client(&b, &w);
	put_handshake(&b.t, &w, 0);
	end(&b, &w, 0xab, 1, range(0, 100), range(0, 200));
	pass(&b, &w, 100, 0, 100);
	pass(&b, &w, 300, 1, 200);
	cr_assert_eq(written(&b), 2);
	cr_expect_eq(b.packets[1].comment_count, 2);
	expect_comment(&b, 1, 0, "req=00000000000000ab leg=client part=response off=0-200 of 200");
	expect_comment(&b, 1, 1, "req=00000000000000ab leg=client part=request ack=100 of 100");
	cr_expect_eq(b.packets[0].flags, 1, "from the client: inbound");
	cr_expect_eq(b.packets[1].flags, 2, "from the proxy: outbound");
	bench_fini(&b);
}

Test(dump, pipelined_requests_share_a_packet)
{
	struct wire w = wire_client(40000);
	struct bench b;

	bench_init(&b, &usual);
	open_client(&b, &w);
	put_handshake(&b.t, &w, 0);
	begin(&b, 1, 1, TAP_PART_CLIENT_REQUEST, 0);
	begin(&b, 2, 2, TAP_PART_CLIENT_REQUEST, 100);
	pass(&b, &w, 100, 0, 250);
	cr_assert_eq(written(&b), 1);
	cr_expect_eq(b.packets[0].comment_count, 2);
	expect_comment(&b, 0, 0, "req=0000000000000001 leg=client part=request off=0-100");
	expect_comment(&b, 0, 1, "req=0000000000000002 leg=client part=request off=0-150");
	bench_fini(&b);
}

Test(dump, more_than_sixteen_are_counted)
{
	struct wire w = wire_client(40000);
	struct bench b;

	bench_init(&b, &usual);
	open_client(&b, &w);
	put_handshake(&b.t, &w, 0);
	for (unsigned i = 1; i <= 19; i++)
		end(&b, &w, i, i, range(10 * i - 10, 10 * i), range(20 * i - 20, 20 * i));
	pass(&b, &w, 100, 0, 190);
	cr_assert_eq(written(&b), 1);
	cr_expect_eq(b.packets[0].comment_count, 17);
	expect_comment(&b, 0, 15, "req=0000000000000010 leg=client part=request off=0-10 of 10");
	expect_comment(&b, 0, 16, "and 3 more");
	bench_fini(&b);
}

Test(dump, any_of_many_exchanges_on_a_connection_is_found)
{
	struct wire w = wire_client(40000);
	struct bench b;

	bench_init(&b, &usual);
	open_client(&b, &w);
	put_handshake(&b.t, &w, 0);
	for (unsigned i = 1; i <= 300; i++) /* every third got no response */
		end(&b, &w, i, i, range(10 * i - 10, 10 * i),
		    i % 3 == 0 ? byte_range_none() : range(20 * i - 20, 20 * i));
	for (unsigned i = 1; i <= 300; i++)
		pass(&b, &w, 100 + i, 0, 10);
	cr_assert_eq(written(&b), 300);
	for (unsigned i = 1; i <= 300; i++) {
		char text[COMMENT_TEXT_MAX];

		snprintf(text, sizeof(text), "req=%016x leg=client part=request off=0-10 of 10", i);
		cr_assert_eq(b.packets[i - 1].comment_count, 1);
		expect_comment(&b, i - 1, 0, text);
	}
	bench_fini(&b);
}

Test(dump, waits_no_longer_than_hold)
{
	struct wire w = wire_client(40000);
	struct bench b;

	bench_init(&b, &usual);
	put_handshake(&b.t, &w, 0);
	pass(&b, &w, 100, 0, 311);
	dump_release(b.d, at(100) + HOLD_MS * NS_PER_MS - 1);
	cr_expect_eq(written(&b), 0);
	dump_release(b.d, at(100) + HOLD_MS * NS_PER_MS);
	cr_expect_eq(written(&b), 1);
	cr_expect_eq(b.packets[0].comment_count, 0);
	cr_expect_eq(uncommented(&b), 1);
	bench_fini(&b);
}

Test(dump, waits_only_while_the_queue_is_small)
{
	const struct dump_options small = {.hold_ns = HOLD_MS * NS_PER_MS, .queue_bytes = 20000};
	struct wire w = wire_client(40000);
	struct bench b;

	bench_init(&b, &small);
	put_handshake(&b.t, &w, 0);
	for (unsigned i = 0; i < 100; i++)
		pass(&b, &w, 100 + i, 0, 1000);
	cr_expect_gt(written(&b), 80);
	for (unsigned i = 0; i < b.count; i++)
		cr_expect_eq(b.packets[i].ts_ns, at(100 + i));
	cr_expect_eq(uncommented(&b), b.count);
	bench_fini(&b);
}

Test(dump, closed_connection_has_nothing_to_tell_any_more)
{
	struct wire w = wire_client(40000);
	struct tap_close close = {.conn = 1, .leg = TAP_CLIENT, .read_off = 100};
	struct bench b;

	bench_init(&b, &usual);
	open_client(&b, &w);
	put_handshake(&b.t, &w, 0);
	pass(&b, &w, 100, 0, 311);
	cr_expect_eq(written(&b), 0);
	correlate_close(b.t.c, RUN, &close);
	dump_release(b.d, at(200));
	cr_expect_eq(written(&b), 1);
	cr_expect_eq(uncommented(&b), 0);
	bench_fini(&b);
}

Test(dump, headers_only)
{
	const struct dump_options headers = {.queue_bytes = 1 << 20, .payload = DUMP_HEADERS};
	struct wire w = wire_client(40000);
	struct dump_packet other = {.p = {.ts_ns = at(200),
					  .link = LINK_RAW,
					  .cap_len = 100,
					  .wire_len = 100,
					  .dropped_before = 5,
					  .bytes = (const uint8_t[100]){0}}};
	struct bench b;

	bench_init(&b, &headers);
	put_handshake(&b.t, &w, 0);
	pass(&b, &w, 100, 0, 311);
	dump_put(b.d, &other);
	cr_assert_eq(written(&b), 2);
	cr_expect_eq(b.packets[0].cap_len, HEADER_BYTES);
	cr_expect_eq(b.packets[0].wire_len, HEADER_BYTES + 311);
	cr_expect_leq(b.packets[1].cap_len, 34, "no TCP was found in it: no payload either");
	cr_expect_eq(b.packets[1].wire_len, 100);
	cr_expect_eq(b.packets[1].drops, 5);
	bench_fini(&b);
}

Test(dump, what_waits_is_written_at_the_end_though_its_flow_is_gone)
{
	struct wire w = wire_backend(50000);
	struct bench b;

	bench_init(&b, &usual);
	put_handshake(&b.t, &w, 0);
	pass(&b, &w, 100, 0, 311);
	correlate_clock(b.t.c, at(3000000)); /* nobody named it: the flow is given up */
	cr_expect_eq(written(&b), 0);
	dump_drain(b.d);
	cr_expect_eq(written(&b), 1);
	cr_expect(dump_is_empty(b.d));
	bench_fini(&b);
}

/* ---- secrets --------------------------------------------------------------------------------- */

static void secret(struct bench *b, const char *line)
{
	dump_secret(b->d, line, strlen(line));
}

/* What is behind the handshake begins: its bytes are accounted for. */
static void begin_behind(struct bench *b, uint64_t client_past, uint64_t proxy_past)
{
	begin(b, 0xab, 1, TAP_PART_CLIENT_REQUEST, client_past);
	begin(b, 0xab, 1, TAP_PART_CLIENT_RESPONSE, proxy_past);
}

Test(dump, secrets_stand_before_the_hello_that_waits_for_them)
{
	struct wire w = wire_client(40000);
	struct bench b;

	bench_init(&b, &usual);
	open_client(&b, &w);
	put_handshake(&b.t, &w, 0);
	pass(&b, &w, 100, 0, 517); /* ClientHello */
	pass(&b, &w, 110, 1, 900); /* ServerHello and what follows */
	dump_release(b.d, at(1000));
	cr_expect_eq(written(&b), 0);
	secret(&b, "SERVER_HANDSHAKE_TRAFFIC_SECRET 00 01");
	secret(&b, "CLIENT_HANDSHAKE_TRAFFIC_SECRET 00 02");
	pass(&b, &w, 120, 0, 74); /* Finished */
	dump_release(b.d, at(1100));
	cr_expect_eq(written(&b), 0);
	secret(&b, "CLIENT_TRAFFIC_SECRET_0 00 04");
	begin_behind(&b, 591, 900);
	dump_release(b.d, at(1200));
	cr_assert_eq(written(&b), 3);
	cr_expect_eq(b.secrets_count, 1);
	cr_expect_eq(b.packets[0].secrets, 1);
	cr_expect_str_eq(b.secrets, "SERVER_HANDSHAKE_TRAFFIC_SECRET 00 01\n"
				    "CLIENT_HANDSHAKE_TRAFFIC_SECRET 00 02\n"
				    "CLIENT_TRAFFIC_SECRET_0 00 04\n");
	cr_expect_eq(uncommented(&b), 0);
	bench_fini(&b);
}

Test(dump, secrets_of_a_handshake_that_takes_longer_than_packets_wait)
{
	struct wire w = wire_client(40000);
	struct bench b;

	bench_init(&b, &usual);
	open_client(&b, &w);
	put_handshake(&b.t, &w, 0);
	pass(&b, &w, 100, 0, 517);
	pass(&b, &w, 110, 1, 900);
	secret(&b, "SERVER_HANDSHAKE_TRAFFIC_SECRET 00 01");
	dump_release(b.d, at(3000000));
	cr_assert_eq(written(&b), 2);
	cr_expect_eq(b.packets[0].secrets, 1);
	pass(&b, &w, 3000100, 0, 74);
	secret(&b, "CLIENT_TRAFFIC_SECRET_0 00 04");
	dump_release(b.d, at(3000200));
	cr_expect_eq(written(&b), 2);
	begin_behind(&b, 591, 900);
	dump_release(b.d, at(3000300));
	cr_assert_eq(written(&b), 3);
	cr_expect_eq(b.packets[2].secrets, 2);
	bench_fini(&b);
}

Test(dump, many_secrets_are_several_blocks_and_the_last_ones_are_written_at_the_end)
{
	struct bench b;
	char line[100], expected[sizeof(b.secrets)] = "";
	size_t len = 0;

	bench_init(&b, &usual);
	for (unsigned i = 0; i < 1500; i++) {
		snprintf(line, sizeof(line), "CLIENT_RANDOM %064u %08u", i, i);
		secret(&b, line);
		len += (size_t)snprintf(expected + len, sizeof(expected) - len, "%s\n", line);
	}
	cr_expect_eq(written(&b), 0);
	cr_expect_gt(b.secrets_count, 0);
	dump_drain(b.d);
	cr_expect_eq(written(&b), 0);
	cr_expect_eq(b.secrets_count, 3);
	cr_expect_str_eq(b.secrets, expected);
	bench_fini(&b);
}

Test(dump, without_a_file_secrets_are_forgotten)
{
	struct dump *d = dump_new(NULL, &usual);
	struct dump_counters n;

	cr_assert_not_null(d);
	dump_secret(d, "CLIENT_RANDOM 00 01", 19);
	dump_drain(d);
	dump_counters(d, &n);
	cr_expect_eq(n.closed, 0);
	dump_free(d);
}
