/*
 * server.h -- the proxy as a whole: starts everything in order, runs the main thread's loop, stops.
 */
#ifndef PROXY_SERVER_H
#define PROXY_SERVER_H

#include "common/attrib.h"
#include "config/config.h"

struct tls_context;

/*
 * Run until a signal ends it, with tls for what cfg speaks TLS on, which is taken over. The exit
 * status: 0 fine, 1 failed (said on stderr).
 */
int server_run(const struct config *cfg, struct tls_context *tls) MUST_CHECK;

#endif
