/*
 * config_key.h -- what the files of config/ tell each other about keys and errors. Private to it.
 */
#ifndef CONFIG_CONFIG_KEY_H
#define CONFIG_CONFIG_KEY_H

#include <stdbool.h>

#include "common/attrib.h"
#include "config/config.h"

/* False with a sentence in err when there is no such section. */
bool config_section_check(const char *section, char err[CONFIG_ERROR_MAX]) MUST_CHECK;

/* The key exists, may stand once in a file, and this source has set it already. */
bool config_key_repeated(const struct config *c, const char *section, const char *key) MUST_CHECK;

/* Write one sentence to err, cut where it does not fit. Returns false, for `return config_error(...)`. */
bool config_error(char err[CONFIG_ERROR_MAX], const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Text from outside as it may stand in a sentence: control bytes as ?, long text cut with "...". */
struct config_quoted {
	char text[84];
};

struct config_quoted config_quote(const char *text);

#endif
