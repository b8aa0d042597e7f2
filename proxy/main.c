/*
 * main.c -- flowproxy: command line in, exit status out.
 */
#include "common/log.h"
#include "proxy/options.h"
#include "proxy/server.h"
#include "proxy/tls_context.h"

int main(int argc, char **argv)
{
	static struct config cfg;
	char err[CONFIG_ERROR_MAX];
	enum options_result what;
	struct tls_context *tls;

	log_init("flowproxy");
	what = options_read(&cfg, argc, argv);
	if (what == OPTIONS_EXIT_FINE)
		return 0;
	if (what == OPTIONS_EXIT_WRONG)
		return 2;
	tls = tls_context_load(&cfg, err);
	if (tls == NULL) {
		log_error("%s", err);
		return 2;
	}
	if (what == OPTIONS_RUN)
		return server_run(&cfg, tls);
	tls_context_unref(tls);
	log_notice("the configuration is fine");
	return 0;
}
