/*
 * main.c -- flowtrace: sub-commands and their options; command line in, exit status out.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/version.h"
#include "trace/analyze.h"
#include "trace/live.h"
#include "trace/show.h"

#define EXIT_WRONG_USAGE 2
#define GO_ON            (-1)

enum {
	OPT_TAP = 256,
	OPT_OUT,
	OPT_INTERFACES,
	OPT_PAYLOAD,
	OPT_BUFFER_MB,
	OPT_HOLD_MS,
	OPT_SEGMENTS,
	OPT_SECRETS
};

static const char usage[] =
	"usage: flowtrace capture --tap PATH --out DIR [--interfaces A,B] [--payload WHAT]\n"
	"                         [--buffer-mb N] [--hold-ms N] [--segments] [--secrets]\n"
	"       flowtrace analyze [LOG] CAPTURE... [--out DIR] [--hold-ms N] [--segments]\n"
	"       flowtrace show DIR|FLOWS [ID]\n"
	"       flowtrace -V | -h\n"
	"\n"
	"The packet tracer of flowproxy: which TCP segments carried which request.\n"
	"\n"
	"capture: attach to a running flowproxy and write records and dump to a folder.\n"
	"  --tap PATH        control socket of the proxy (trace.control; DIR/tap.sock)\n"
	"  --out DIR         folder for flows.ndjson, conns.ndjson and dump.pcapng\n"
	"  --interfaces A,B  where to capture (default: all that the traffic can pass)\n"
	"  --payload WHAT    full (default), headers (no payload bytes), none (no dump)\n"
	"  --buffer-mb N     memory for packets per interface, and in the queue (default 64)\n"
	"  --hold-ms N       how long a packet may wait for the proxy's word, and how long after\n"
	"                    its end an exchange is still watched (default 2000)\n"
	"  --segments        one line per TCP packet, too: segments.ndjson\n"
	"  --secrets         the keys of TLS connections, too, if the proxy tells them\n"
	"                    ([trace] secrets = on): whoever may read the dump reads all\n"
	"\n"
	"analyze: make the same records from a proxy's log (*.ndjson) and pcap or pcapng files;\n"
	"  without a log, exchanges are found by reading HTTP from the packets.\n"
	"  --out DIR         write them, with the annotated capture, to a folder; otherwise the\n"
	"                    table of `show` is printed\n"
	"  --segments        one line per TCP packet, too: segments.ndjson in that folder\n"
	"\n"
	"show: print what a folder holds; `flowtrace show -h` tells more.\n";

static int wrong(const char *what, const char *value)
{
	log_error("%s%s (flowtrace -h tells the usage)", what, value);
	return EXIT_WRONG_USAGE;
}

static bool read_number(const char *text, uint32_t low, uint32_t high, uint32_t *out)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno != 0 || *text < '0' || *text > '9' || *end != '\0' || value < low || value > high)
		return false;
	*out = (uint32_t)value;
	return true;
}

/* ---- capture --------------------------------------------------------------------------------- */

/* Names between commas; the text is cut into pieces. */
static bool read_interfaces(struct live_options *o, char *text)
{
	char *rest = text, *name;

	while ((name = strsep(&rest, ",")) != NULL) {
		if (*name == '\0' || o->interface_count == CONFIG_INTERFACES_MAX)
			return false;
		o->interfaces[o->interface_count++] = name;
	}
	return true;
}

static bool read_payload(struct live_options *o, const char *text)
{
	static const char *const words[] = {"full", "headers", "none"};
	static const enum config_payload values[] = {CONFIG_PAYLOAD_FULL, CONFIG_PAYLOAD_HEADERS,
						     CONFIG_PAYLOAD_NONE};

	for (unsigned i = 0; i < ARRAY_LEN(words); i++) {
		if (strcmp(text, words[i]) != 0)
			continue;
		o->payload = values[i];
		return true;
	}
	return false;
}

static int read_capture_option(struct live_options *o, int opt)
{
	switch (opt) {
	case OPT_TAP:
		o->tap = optarg;
		return GO_ON;
	case OPT_OUT:
		o->out = optarg;
		return GO_ON;
	case OPT_INTERFACES:
		return read_interfaces(o, optarg)
			       ? GO_ON
			       : wrong("--interfaces: names with commas between are expected", "");
	case OPT_PAYLOAD:
		return read_payload(o, optarg)
			       ? GO_ON
			       : wrong("--payload: full, headers or none, not ", optarg);
	case OPT_BUFFER_MB:
		return read_number(optarg, 1, 4096, &o->buffer_mb)
			       ? GO_ON
			       : wrong("--buffer-mb: a number from 1 to 4096, not ", optarg);
	case OPT_SEGMENTS:
		o->with_segments = true;
		return GO_ON;
	case OPT_SECRETS:
		o->with_secrets = true;
		return GO_ON;
	case OPT_HOLD_MS:
		return read_number(optarg, 100, 60000, &o->hold_ms)
			       ? GO_ON
			       : wrong("--hold-ms: a number from 100 to 60000, not ", optarg);
	case 'h':
		fputs(usage, stdout);
		return EXIT_SUCCESS;
	default:
		return EXIT_WRONG_USAGE;
	}
}

static int capture_main(int argc, char **argv)
{
	static const struct option options[] = {
		{"tap", required_argument, NULL, OPT_TAP},
		{"out", required_argument, NULL, OPT_OUT},
		{"interfaces", required_argument, NULL, OPT_INTERFACES},
		{"payload", required_argument, NULL, OPT_PAYLOAD},
		{"buffer-mb", required_argument, NULL, OPT_BUFFER_MB},
		{"hold-ms", required_argument, NULL, OPT_HOLD_MS},
		{"segments", no_argument, NULL, OPT_SEGMENTS},
		{"secrets", no_argument, NULL, OPT_SECRETS},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct live_options o = {.payload = CONFIG_PAYLOAD_FULL, .buffer_mb = 64, .hold_ms = 2000};
	int opt;

	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		int status = read_capture_option(&o, opt);

		if (status != GO_ON)
			return status;
	}
	if (optind < argc)
		return wrong("capture takes options only, not ", argv[optind]);
	if (o.tap == NULL || o.out == NULL)
		return wrong("capture needs ", o.tap == NULL ? "--tap PATH" : "--out DIR");
	if (o.with_secrets && o.payload != CONFIG_PAYLOAD_FULL)
		return wrong("--secrets: there is nothing to decrypt without --payload full", "");
	return live_run(&o);
}

/* ---- analyze --------------------------------------------------------------------------------- */

static bool is_log(const char *name)
{
	static const char end[] = ".ndjson";
	size_t len = strlen(name);

	return len >= sizeof(end) - 1 && strcmp(name + len - (sizeof(end) - 1), end) == 0;
}

static int read_files(struct analyze_options *o, int argc, char **argv)
{
	o->captures = argv + optind;
	for (int i = optind; i < argc; i++) {
		if (is_log(argv[i]) && o->log != NULL)
			return wrong("analyze takes one log; a second one is ", argv[i]);
		if (is_log(argv[i]))
			o->log = argv[i];
		else
			argv[optind + (int)o->capture_count++] = argv[i];
	}
	if (o->capture_count == 0)
		return wrong("analyze needs a capture file (pcap or pcapng)", "");
	return GO_ON;
}

static int analyze_main(int argc, char **argv)
{
	static const struct option options[] = {
		{"out", required_argument, NULL, OPT_OUT},
		{"hold-ms", required_argument, NULL, OPT_HOLD_MS},
		{"segments", no_argument, NULL, OPT_SEGMENTS},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct analyze_options o = {.hold_ms = 2000};
	int opt, status;

	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (opt) {
		case OPT_OUT:
			o.out = optarg;
			break;
		case OPT_HOLD_MS:
			if (!read_number(optarg, 100, 60000, &o.hold_ms))
				return wrong("--hold-ms: a number from 100 to 60000, not ", optarg);
			break;
		case OPT_SEGMENTS:
			o.with_segments = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		default:
			return EXIT_WRONG_USAGE;
		}
	}
	if (o.with_segments && o.out == NULL)
		return wrong("analyze: --segments needs --out DIR", "");
	status = read_files(&o, argc, argv);
	return status == GO_ON ? analyze_run(&o) : status;
}

/* ---- which ----------------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
	static char name[] = "flowtrace";

	log_init(name);
	if (argc < 2) {
		fputs(usage, stderr);
		return EXIT_WRONG_USAGE;
	}
	if (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0) {
		fputs(usage, stdout);
		return EXIT_SUCCESS;
	}
	if (strcmp(argv[1], "-V") == 0 || strcmp(argv[1], "--version") == 0) {
		puts("flowtrace " FLOWPROXY_VERSION);
		return EXIT_SUCCESS;
	}
	argv[0] = name; /* getopt's messages begin with it */
	if (strcmp(argv[1], "capture") == 0 || strcmp(argv[1], "analyze") == 0) {
		bool is_capture = argv[1][0] == 'c';

		argv[1] = name;
		return is_capture ? capture_main(argc - 1, argv + 1)
				  : analyze_main(argc - 1, argv + 1);
	}
	if (strcmp(argv[1], "show") == 0)
		return show_main(argc - 1, argv + 1);
	return wrong("there is no sub-command ", argv[1]);
}
