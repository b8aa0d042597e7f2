/*
 * config_address.h -- what the values of `listen` and `backend` may look like.
 *
 * Private to config/. Never resolves a name.
 */
#ifndef CONFIG_CONFIG_ADDRESS_H
#define CONFIG_CONFIG_ADDRESS_H

#include "common/attrib.h"
#include "config/config.h"

/*
 * Add what one value of `listen` stands for: http://ADDR[:PORT], https://..., ADDR:PORT, PORT,
 * :PORT, *:PORT (all addresses, one entry each for IPv4 and IPv6), localhost:PORT (both loopbacks).
 * Returns NULL, or one static sentence that says what is wrong; p is then as it was.
 */
const char *config_listen_add(struct config_proxy *p, const char *value) MUST_CHECK;

/*
 * Read a value of `backend`: http://HOST[:PORT], https://... or HOST:PORT. Returns NULL, or one
 * static sentence that says what is wrong; b is then as it was.
 */
const char *config_backend_parse(struct config_backend *b, const char *value) MUST_CHECK;

#endif
