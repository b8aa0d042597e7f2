/*
 * sample_line.h -- a log line to start from: that of design section 6.
 */
#ifndef TESTS_UNIT_PROXY_SAMPLE_LINE_H
#define TESTS_UNIT_PROXY_SAMPLE_LINE_H

#include <criterion/criterion.h>
#include <string.h>

#include "proxy/access_log.h"

struct sample {
	struct exchange_record x;
	struct access_line line;
	char client_fragment[256];
	char backend_fragment[256];
};

static inline struct access_text sample_text(const char *text)
{
	return (struct access_text){text, strlen(text)};
}

static inline struct addr sample_addr(const char *text)
{
	struct addr a;

	cr_assert(addr_parse(text, strlen(text), &a), "%s", text);
	return a;
}

static inline struct access_text sample_fragment(const struct leg_record *leg, char out[256])
{
	size_t len = access_fragment(&leg->local, &leg->peer, leg->opened_ns, NULL, out, 256);

	cr_assert(len > 0);
	return (struct access_text){out, len};
}

static inline void sample_init(struct sample *s)
{
	memset(s, 0, sizeof(*s));
	s->x = (struct exchange_record){
		.id = 0x9f3c51d27be40a18,
		.run = 0x5d2c,
		.status = 200,
		.attempts = 1,
		.start_ns = 1795421704123456789ULL,
		.end = "done",
		.at_us = {9, 11, 25, 410, 412, 431},
		.request_body_bytes = 301,
		.response_body_bytes = 382,
		.client = {.conn = 3,
			   .nth = 2,
			   .opened_ns = 1795421704000000001ULL,
			   .local = sample_addr("127.0.0.1:8585"),
			   .peer = sample_addr("127.0.0.1:40112"),
			   .request = {622, 933},
			   .interim = byte_range_none(),
			   .response = {1204, 1786}},
		.backend = {.conn = 5,
			    .nth = 2,
			    .reused = 1,
			    .opened_ns = 1795421703000000020ULL,
			    .local = sample_addr("127.0.0.1:51544"),
			    .peer = sample_addr("127.0.0.1:8080"),
			    .request = {604, 915},
			    .interim = byte_range_none(),
			    .response = {1180, 1762}},
	};
	s->line = (struct access_line){
		.x = &s->x,
		.method = sample_text("POST"),
		.target = sample_text("/currencyconvertor.asmx"),
		.host = sample_text("localhost:8585"),
		.request_id = sample_text("9f3c51d27be40a18"),
		.traceparent =
			sample_text("00-0123456789abcdef9f3c51d27be40a18-9f3c51d27be40a18-01"),
		.soap_action = sample_text("urn:ConversionRate"),
		.minor = 1,
	};
	s->line.client_fragment = sample_fragment(&s->x.client, s->client_fragment);
	s->line.backend_fragment = sample_fragment(&s->x.backend, s->backend_fragment);
}

#endif
