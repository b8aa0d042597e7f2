/*
 * options.c -- reads the command line into the configuration.
 *
 * The file of -c counts less than any option, wherever -c stands: the line is read twice.
 */
#include "proxy/options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "common/version.h"

enum { OPT_LISTEN = 256, OPT_BACKEND, OPT_ACCESS_LOG, OPT_TRACE, OPT_SET };

static const struct option long_options[] = {
	{"config", required_argument, NULL, 'c'},
	{"listen", required_argument, NULL, OPT_LISTEN},
	{"backend", required_argument, NULL, OPT_BACKEND},
	{"access-log", required_argument, NULL, OPT_ACCESS_LOG},
	{"trace", required_argument, NULL, OPT_TRACE},
	{"set", required_argument, NULL, OPT_SET},
	{"test", no_argument, NULL, 't'},
	{"version", no_argument, NULL, 'V'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static const char usage[] =
	"usage: flowproxy [-c FILE] [--listen [URL|ADDR:PORT]]... [--backend URL]\n"
	"                 [--access-log FILE] [--trace DIR] [--set SECTION.KEY=VALUE]...\n"
	"                 [-t] [-V] [-h]\n"
	"\n"
	"An HTTP reverse proxy that knows which bytes of which TCP connection carried each request.\n"
	"\n"
	"  -c, --config FILE     read this configuration (INI; see flowproxy.conf)\n"
	"      --listen WHERE    http[s]://ADDR:PORT, ADDR:PORT or PORT; may be repeated\n"
	"                        (default: 127.0.0.1:8585 and [::1]:8585)\n"
	"      --backend URL     where requests go (default: http://127.0.0.1:8080)\n"
	"      --access-log FILE one JSON line per request; - is standard output\n"
	"      --trace DIR       run flowtrace; log, dump and records go to DIR\n"
	"      --set S.KEY=VALUE set any key of the configuration\n"
	"  -t, --test            check the configuration and exit\n"
	"  -V, --version         print the version and exit\n"
	"  -h, --help            print this and exit\n"
	"\n"
	"SIGTERM or SIGINT stops gracefully, a second one at once; SIGUSR1 opens the log again,\n"
	"SIGHUP reads keystores and truststore again.\n";

/* What of an option's value goes where; NULL: none of ours. */
static const char *option_key(int opt, const char **section)
{
	switch (opt) {
	case OPT_LISTEN:
		*section = "proxy";
		return "listen";
	case OPT_BACKEND:
		*section = "proxy";
		return "backend";
	case OPT_ACCESS_LOG:
		*section = "log";
		return "access_log";
	case OPT_TRACE:
		*section = "trace";
		return "dir";
	default:
		return NULL;
	}
}

static enum options_result wrong(const char *err)
{
	log_error("%s", err);
	return OPTIONS_EXIT_WRONG;
}

/* First reading: what needs no configuration, and the file's name. */
static enum options_result read_first(int argc, char **argv, const char **file, bool *test)
{
	int opt;

	optind = 1;
	while ((opt = getopt_long(argc, argv, "c:tVh", long_options, NULL)) != -1) {
		switch (opt) {
		case 'c':
			*file = optarg;
			break;
		case 't':
			*test = true;
			break;
		case 'V':
			puts("flowproxy " FLOWPROXY_VERSION);
			return OPTIONS_EXIT_FINE;
		case 'h':
			fputs(usage, stdout);
			return OPTIONS_EXIT_FINE;
		case '?':
			return OPTIONS_EXIT_WRONG;
		default:
			break;
		}
	}
	if (optind < argc) {
		log_error("%s: no such argument; see flowproxy -h", argv[optind]);
		return OPTIONS_EXIT_WRONG;
	}
	return OPTIONS_RUN;
}

/* Second reading: options over what the file has set. */
static bool read_second(struct config *cfg, int argc, char **argv, char err[CONFIG_ERROR_MAX])
{
	int opt;

	config_source_begin(cfg);
	optind = 1;
	while ((opt = getopt_long(argc, argv, "c:tVh", long_options, NULL)) != -1) {
		const char *section = NULL;
		const char *key = option_key(opt, &section);

		if (key != NULL && !config_set(cfg, section, key, optarg, err))
			return false;
		if (opt == OPT_SET && !config_set_option(cfg, optarg, err))
			return false;
	}
	return true;
}

enum options_result options_read(struct config *cfg, int argc, char **argv)
{
	char err[CONFIG_ERROR_MAX];
	const char *file = NULL;
	bool test = false;
	enum options_result first = read_first(argc, argv, &file, &test);

	if (first != OPTIONS_RUN)
		return first;
	config_defaults(cfg);
	if (file != NULL && !config_read_file(cfg, file, err))
		return wrong(err);
	if (!read_second(cfg, argc, argv, err) || !config_check(cfg, err))
		return wrong(err);
	return test ? OPTIONS_TEST : OPTIONS_RUN;
}
