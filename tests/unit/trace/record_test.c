/*
 * record_test.c -- what the correlator's tests do not show of the lines: absent legs, tunnels,
 * overlaps, long lists of frames, and connections with many exchanges.
 */
#include "tests/unit/trace/talk.h"

static struct finding nothing(const struct exchange_record *x)
{
	struct finding e = {.x = x};

	e.phases.total_us = PHASE_UNKNOWN;
	for (unsigned i = 0; i < PHASES; i++)
		e.phases.us[i] = PHASE_UNKNOWN;
	return e;
}

static const char *line_of(struct record_text *text, const struct finding *e, const char *dump)
{
	cr_assert(record_exchange(text, e, dump));
	cr_assert_lt(text->len, text->cap);
	text->at[text->len] = '\0';
	return text->at;
}

Test(record, nothing_known)
{
	struct exchange_record x = record_of(0xab, 0, 10);
	struct record_text text = {0};
	struct finding e = nothing(&x);

	x.status = 0;
	memcpy(x.end, "tap-lost", sizeof("tap-lost"));
	e.phases.why = "there was no request";
	cr_expect_str_eq(line_of(&text, &e, NULL),
			 "{\"v\":1,\"run\":\"00005d2c\",\"id\":\"00000000000000ab\",\"dump\":null,"
			 "\"start\":\"2023-11-14T22:13:20.000000000Z\",\"status\":null,"
			 "\"end\":\"tap-lost\",\"client\":null,\"backend\":null,"
			 "\"phases_us\":null,\"phases_why\":\"there was no request\","
			 "\"overlap\":null,\"verdict\":null,\"drops\":0}\n");
	record_text_fini(&text);
}

Test(record, overlap_names_moments_with_raw_times)
{
	struct exchange_record x = record_of(1, 0, 10);
	struct record_text text = {0};
	struct finding e = nothing(&x);

	e.phases = (struct phases){.any = true, .total_us = 700};
	e.phases.us[PHASE_UPLOAD] = 700;
	e.phases.moved = 1U << MOMENT_C_R1 | 1U << MOMENT_B_SYN;
	e.phases.raw_us[MOMENT_C_R1] = 3000;
	e.phases.raw_us[MOMENT_B_SYN] = -20;
	has(line_of(&text, &e, "d"),
	    "\"overlap\":{\"client_request_last\":3000,\"backend_syn\":-20},\"verdict\":\"upload\"");
	record_text_fini(&text);
}

Test(record, tunnel_stands_when_there_was_one)
{
	struct wire w = wire_client(40000);
	struct exchange_record x = record_of(1, 0, 10);
	struct record_text text = {0};
	struct finding e = nothing(&x);

	x.client = leg_on(&w, 1, 1, 0);
	e.client.place.leg = &x.client;
	cr_expect_null(strstr(line_of(&text, &e, "d"), "tunnel"));
	e.client.part[PART_TUNNEL_UP].exists = true;
	e.client.part[PART_TUNNEL_UP].range = range(10, 30);
	e.client.part[PART_TUNNEL_UP].seen.known = true;
	follows(line_of(&text, &e, "d"), "\"tunnel\":",
		"{\"up\":{\"seq\":11,\"len\":20,\"next_seq\":31,\"frames\":[],\"acked_in\":null,"
		"\"acked_us\":null,\"retransmitted_bytes\":0,\"retransmitted_in\":[],"
		"\"missing_bytes\":0},\"down\":null},\"close\":null}");
	record_text_fini(&text);
}

Test(record, acknowledgement_before_its_data_is_negative)
{
	struct wire w = wire_client(40000);
	struct exchange_record x = record_of(1, 0, 10);
	struct record_text text = {0};
	struct finding e = nothing(&x);
	struct part_finding *p = &e.client.part[PART_REQUEST];

	x.client = leg_on(&w, 1, 1, 0);
	e.client.place.leg = &x.client;
	p->exists = true;
	p->range = range(0, 1);
	p->seen.known = true;
	p->seen.last_frame = 5;
	p->seen.last_ns = T0 + 2500;
	p->seen.acked_frame = 4;
	p->seen.acked_ns = T0;
	has(line_of(&text, &e, "d"), "\"acked_in\":4,\"acked_us\":-3,");
	record_text_fini(&text);
}

Test(record, line_grows_with_its_frames)
{
	struct wire w = wire_client(40000);
	struct exchange_record x = record_of(1, 0, 10);
	struct record_text text = {0};
	struct finding e = nothing(&x);
	struct part_finding *p = &e.client.part[PART_RESPONSE];
	const char *line;
	unsigned commas = 0;

	x.client = leg_on(&w, 1, 1, 0);
	e.client.place.leg = &x.client;
	p->exists = true;
	p->range = range(0, 1 << 30);
	p->seen.known = true;
	for (uint32_t i = 1; i <= 100000; i++)
		cr_assert(frame_list_add(&p->seen.carried, i));
	line = behind(line_of(&text, &e, "d"), "\"frames\":[");
	for (; *line != ']'; line++)
		commas += *line == ',';
	cr_expect_eq(commas, 99999);
	cr_expect_eq(text.at[text.len - 1], '\n');
	finding_fini(&e);
	record_text_fini(&text);
}

Test(record, ids_of_a_connection_are_the_first_thousand)
{
	struct wire w = wire_client(40000);
	struct talk t;
	const char *p;
	unsigned ids = 0;

	talk_init(&t, 100, false);
	for (uint32_t i = 1; i <= 1010; i++) {
		struct exchange_record x = record_of(i, i * 100, i * 100 + 50);

		x.client = leg_on(&w, 1, i, 50);
		x.client.request = range(10 * i - 10, 10 * i);
		correlate_exchange(t.c, &x);
	}
	put_handshake(&t, &w, 0);
	correlate_end(t.c);
	cr_assert_eq(t.conn_count, 1);
	has(t.conn[0], "\"exchanges\":1010,");
	for (p = behind(t.conn[0], "\"ids\":["); *p != ']'; p++)
		ids += *p == ',';
	cr_expect_eq(ids, 999);
	talk_fini(&t);
}
