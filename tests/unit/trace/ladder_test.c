/*
 * ladder_test.c -- the ladder of one exchange, line by line.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/trace/show_sample.h"
#include "trace/evidence.h"
#include "trace/ladder.h"

static char *ladder_of(const struct sample *s, const char *line, const char *log)
{
	struct evidence_wish wishes[LADDER_WISHES];
	struct flow_row flow = {0};
	struct proxy_row proxy = {0};
	struct evidence e = {0};
	struct printed p;
	char path[128], err[EVIDENCE_ERROR_MAX] = "";
	unsigned count;
	bool seen;

	sample_path(s, "dump.pcapng", path);
	cr_assert(flow_row_parse(line, strlen(line), &flow, err), "%s", err);
	if (log != NULL)
		cr_assert(proxy_row_parse(log, strlen(log), &proxy, err), "%s", err);
	count = ladder_wishes(&flow, wishes);
	seen = evidence_read(path, wishes, count, &e, err);
	print_to(&p, false);
	ladder_print(&p.screen, &flow, log != NULL ? &proxy : NULL, wishes, count,
		     seen ? &e : NULL);
	print_end(&p);
	evidence_fini(&e);
	flow_row_fini(&flow);
	proxy_row_fini(&proxy);
	return p.text;
}

Test(ladder, an_ordinary_exchange)
{
	struct sample s;
	char *text;

	sample_make(&s);
	text = ladder_of(&s, SAMPLE_FLOW, SAMPLE_PROXY);
	cr_expect_str_eq(
		text,
		"POST /currencyconvertor.asmx  200  done  150 us\n"
		"id           9f3c51d27be40a18, started 2026-11-30 08:15:04.000045000 UTC\n"
		"dump         dump.pcapng\n"
		"client leg   client 127.0.0.1:40112 -> proxy 127.0.0.1:8585\n"
		"backend leg  proxy 127.0.0.1:51544 -> backend 127.0.0.1:8080\n"
		"\n"
		"     ms frame client   proxy  backend flags     seq len ack  carries\n"
		" -0.045     1    |------>|       |    [SYN]       0   0   -  handshake: SYN\n"
		" -0.030     2    |<------|       |    [SYN,ACK]   0   0   1  handshake: SYN+ACK\n"
		" -0.015     3    |------>|       |    [ACK]       1   0   1  handshake: ACK\n"
		"  0.000     4    |------>|       |    [PSH,ACK]   1 311   1  request 0-311 of 311\n"
		"  0.015     5    |<------|       |    [ACK]       1   0 312  ack of request 311\n"
		"  0.030     6    |       |------>|    [SYN]       0   0   -  handshake: SYN\n"
		"  0.045     7    |       |<------|    [SYN,ACK]   0   0   1  handshake: SYN+ACK\n"
		"  0.060     8    |       |------>|    [ACK]       1   0   1  handshake: ACK\n"
		"  0.075     9    |       |------>|    [PSH,ACK]   1 350   1  request 0-350 of 350\n"
		"  0.090    10    |       |<------|    [PSH,ACK]   1 582 351  response 0-582 of 582;\n"
		"                 |       |       |                           piggybacked ack of request 350\n"
		"  0.105    11    |       |------>|    [ACK]     351   0 583  ack of response 582\n"
		"  0.120    12    |<------|       |    [PSH,ACK]   1 600 312  response 0-600 of 600\n"
		"  0.135    13    |<------|       |    [PSH,ACK]   1 600 312  response 0-600 of 600 again\n"
		"  0.150    14    |------>|       |    [ACK]     312   0 601  ack of response 600\n"
		"  0.165    15    |------>|       |    [FIN,ACK] 312   0 601  FIN by client\n"
		"  0.180    16    |<------|       |    [FIN,ACK] 601   0 313  FIN by proxy; ack of FIN by client\n"
		"  0.195    17    |------>|       |    [ACK]     313   0 602  ack of FIN by proxy\n"
		"\n"
		"client leg   connection 1, exchange 1 on it, tcp.stream 0\n"
		"  handshake  frames 1-3, 30 us\n"
		"  request    seq 1 + len 311 = next 312, frame 4, acked in 5 after 15 us\n"
		"  response   seq 1 + len 600 = next 601, frame 12, acked in 14 after 30 us\n"
		"             600 bytes again, in 13\n"
		"  close      fin by client, frames 15-17\n"
		"\n"
		"backend leg  connection 2, exchange 1 on it, tcp.stream 1\n"
		"  handshake  frames 6-8, 30 us\n"
		"  request    seq 1 + len 350 = next 351, frame 9, acked in 10 after 15 us\n"
		"  response   seq 1 + len 582 = next 583, frame 10, acked in 11 after 15 us\n"
		"\n"
		"where the time went: 150 us in all\n"
		"  upload              0 us   0.0%  |                                                        |\n"
		"  proxy_request      45 us  30.0%  |#################                                       |\n"
		"  handshake          30 us  20.0%  |                ############                            |\n"
		"  think              15 us  10.0%  |                            ######                      |\n"
		"  proxy_response     30 us  20.0%  |                                 ############           |\n"
		"  backend_send        0 us   0.0%  |                                                        |\n"
		"  download            0 us   0.0%  |                                                        |\n"
		"  delivery           30 us  20.0%  |                                            ############|\n"
		"  verdict         proxy_request\n");
	free(text);
	sample_remove(&s);
}

/* Also a segment that carried and acknowledged nothing has its line when it has a label. */
Test(ladder, labels)
{
	static const char before[] = "\"close\":{\"by\":\"client\"";
	static const char labels[] = "\"labels\":{\"retransmission\":{\"count\":1,\"frames\":[13]},"
				     "\"spurious\":{\"count\":1,\"frames\":[13]}},";
	const char *at = strstr(SAMPLE_FLOW, before);
	struct sample s;
	char line[4096], *text;

	cr_assert_not_null(at);
	snprintf(line, sizeof(line), "%.*s%s%s", (int)(at - SAMPLE_FLOW), SAMPLE_FLOW, labels, at);
	sample_make(&s);
	text = ladder_of(&s, line, SAMPLE_PROXY);
	cr_expect_not_null(strstr(text, "response 0-600 of 600 again;\n"), "%s", text);
	cr_expect_not_null(strstr(text, "   retransmission; spurious\n"), "%s", text);
	cr_expect_not_null(strstr(text, "  labels     retransmission 1 in 13; spurious 1 in 13\n"),
			   "%s", text);
	free(text);
	sample_remove(&s);
}

Test(ladder, without_log_line_and_dump)
{
	struct sample s;
	char *text;

	sample_begin(&s);
	sample_remove(&s);
	text = ladder_of(&s, SAMPLE_FLOW, NULL);
	expect_line(text, "exchange  200  done  150 us");
	expect_line(text, "backend leg  connection 2, exchange 1 on it, tcp.stream 1");
	cr_expect_null(strstr(text, "frame client"));
	free(text);
}

#define PART(seq, len, frames, acked) \
	"{\"seq\":" seq ",\"len\":" len ",\"frames\":[" frames "],\"acked_in\":" acked "}"

/* A first attempt that was refused, a request in two halves, a shared segment, and no end. */
static const char retried[] =
	"{\"id\":\"a1\",\"start\":\"" SAMPLE_START "\",\"end\":\"backend-reset\",\"status\":502,"
	"\"client\":null,\"backend\":{\"conn\":9,\"nth\":1,\"reused\":false,\"attempts\":2,"
	"\"stream\":1,\"request\":" PART(
		"1", "3000000000", "3,4",
		"null") ",\"tries\":[{\"conn\":8,"
			"\"nth\":1,\"stream\":0,\"end\":\"connect-refused\",\"handshake\":{\"frames\":[1],\"us\":null},"
			"\"close\":{\"by\":\"backend\",\"how\":\"rst\",\"frames\":[2]}}]},\"phases_us\":null,"
			"\"phases_why\":\"C.R0: not seen\",\"drops\":2}";

Test(ladder, a_retried_exchange_that_failed)
{
	struct sample s;
	char *text;

	sample_begin(&s);
	sample_segment(&s, 51544, 8080, SYN, 99, 0, 0);
	sample_segment(&s, 8080, 51544, TCP_RST | ACK, 0, 100, 0);
	sample_segment(&s, 51545, 8080, PSH, 7000, 900, 1000);
	sample_segment(&s, 51545, 8080, PSH, 8000, 900, 1000);
	sample_close_dump(&s);
	text = ladder_of(&s, retried, NULL);
	expect_line(text, "exchange  502  backend-reset");
	expect_line(text, "attempt 1    proxy 127.0.0.1:51544 -> backend 127.0.0.1:8080");
	expect_line(text,
		    "  0.000     1    |       |------>|    [SYN]        0    0   -  attempt 1: "
		    "handshake: SYN");
	expect_line(text,
		    "  0.015     2    |       |<------|    [RST,ACK]    1    0   1  attempt 1: "
		    "RST by backend");
	expect_line(text, "  0.030     3    |       |------>|    [PSH,ACK]    1 1000   1  request, "
			  "3000000000 bytes in all");
	expect_line(text, "attempt 1    connection 8, exchange 1 on it, tcp.stream 0, ended with "
			  "connect-refused");
	expect_line(text,
		    "  request    seq 1 + len 3000000000 = next 3000000001, frames 3-4, ack not "
		    "seen");
	expect_line(text, "  why not all     C.R0: not seen");
	expect_line(text, "  capture         2 packets lost during it");
	free(text);
	sample_remove(&s);
}

/* The largest numbers and longest words that a record may hold; print_end() measures. */
Test(ladder, whatever_it_is_it_fits)
{
	static const char line[] =
		"{\"id\":\"0123456789abcdef\",\"dump\":\"a-name-of-a-dump-that-is-much-too-long-for-any-"
		"line-that-should-fit-on-a-screen-of-one-hundred-columns.pcapng\",\"end\":\"words-words-"
		"words-words-word\",\"status\":999,\"client\":{\"conn\":9223372036854775807,\"nth\":"
		"9223372036854775807,\"stream\":9223372036854775807,\"request\":{\"seq\":"
		"9000000000000000000,\"len\":9000000000000000000,\"frames\":[1,3,5,7,9,4000000001,"
		"4000000003,4000000005,4000000007,4000000009,4000000011],\"retransmitted_bytes\":"
		"9223372036854775807,\"retransmitted_in\":[4000000001,4000000003,4000000005,4000000007,"
		"4000000009],\"missing_bytes\":9223372036854775807,\"acked_in\":4000000000,\"acked_us\":"
		"-9223372036854775807},\"close\":{\"by\":\"somebody-with-a-long-name\",\"how\":"
		"\"somehow-but-not-shortly\",\"frames\":[4000000001,4000000003,4000000005]}},"
		"\"overlap\":{\"a-key-that-is-long\":1,\"another-key-that-is-long\":2,\"and-the-third-key-"
		"\":3,\"and-one-more-that-is-long-too\":5},\"drops\":9223372036854775807}";
	struct sample s;

	sample_make(&s);
	free(ladder_of(&s, line, SAMPLE_PROXY));
	sample_remove(&s);
}

Test(ladder, flags)
{
	char text[FLAGS_TEXT_MAX];

	cr_expect_str_eq(ladder_flags_text(0, text), "[]");
	cr_expect_str_eq(ladder_flags_text(TCP_ACK, text), "[ACK]");
	cr_expect_str_eq(ladder_flags_text(0xff, text), "[FIN,SYN,RST,PSH,ACK,URG,ECE,CWR]");
}
