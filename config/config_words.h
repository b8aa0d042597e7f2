/*
 * config_words.h -- the words that keys take, and what each stands for. Private to config/.
 */
#ifndef CONFIG_CONFIG_WORDS_H
#define CONFIG_CONFIG_WORDS_H

#include <stdint.h>

/* One of a key's words. refusal: why this version cannot do it; NULL: it can. */
struct config_word {
	const char *word;
	uint32_t value; /* of the key's enum in config.h */
	const char *refusal;
};

/* Each is ended by a NULL word. */
extern const struct config_word config_words_missing_host[];
extern const struct config_word config_words_host_header[];
extern const struct config_word config_words_request_ids[];
extern const struct config_word config_words_soap[];
extern const struct config_word config_words_payload[];
extern const struct config_word config_words_secrets[];
extern const struct config_word config_words_keep[];
extern const struct config_word config_words_verify[];
extern const struct config_word config_words_client_auth[];
extern const struct config_word config_words_min_version[];

#endif
