/*
 * main.c -- flowproxy: command line in, exit status out.
 */
#include "common/log.h"
#include "proxy/options.h"
#include "proxy/server.h"

int main(int argc, char **argv)
{
	static struct config cfg;

	log_init("flowproxy");
	switch (options_read(&cfg, argc, argv)) {
	case OPTIONS_EXIT_FINE:
		return 0;
	case OPTIONS_EXIT_WRONG:
		return 2;
	case OPTIONS_RUN:
		break;
	}
	return server_run(&cfg);
}
