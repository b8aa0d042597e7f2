/*
 * listener.h -- the listening socket of a test tool.
 */
#ifndef TESTS_TOOLS_LIB_LISTENER_H
#define TESTS_TOOLS_LIB_LISTENER_H

#include <stdint.h>

#include "common/addr.h"
#include "common/attrib.h"

/*
 * Listen on an address literal ("127.0.0.1", "::1"); port 0 lets the kernel choose one. Says on
 * stdout "listening on ADDR:PORT" once connections can be made. The descriptor is non-blocking
 * and closed on exec. -1: one line on stderr said why.
 */
int listener_open(const char *program, const char *address, uint16_t port) MUST_CHECK;

#endif
