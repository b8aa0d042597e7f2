/*
 * config_words.c -- the tables of words. An empty one is the default said otherwise.
 */
#include "config/config_words.h"

#include <stddef.h>

#include "config/config.h"

const struct config_word config_words_missing_host[] = {
	{"accept", CONFIG_MISSING_HOST_ACCEPT, NULL},
	{"reject", CONFIG_MISSING_HOST_REJECT, NULL},
	{NULL, 0, NULL},
};

const struct config_word config_words_host_header[] = {
	{"client", CONFIG_HOST_HEADER_CLIENT, NULL},
	{"backend", CONFIG_HOST_HEADER_BACKEND, NULL},
	{NULL, 0, NULL},
};

const struct config_word config_words_request_ids[] = {
	{"make", CONFIG_REQUEST_IDS_MAKE, NULL},
	{"keep", CONFIG_REQUEST_IDS_KEEP, NULL},
	{NULL, 0, NULL},
};

const struct config_word config_words_soap[] = {
	{"action", CONFIG_SOAP_ACTION, NULL},
	{"full", CONFIG_SOAP_FULL, NULL},
	{"off", CONFIG_SOAP_OFF, NULL},
	{NULL, 0, NULL},
};

const struct config_word config_words_payload[] = {
	{"full", CONFIG_PAYLOAD_FULL, NULL},
	{"headers", CONFIG_PAYLOAD_HEADERS, NULL},
	{"none", CONFIG_PAYLOAD_NONE, NULL},
	{NULL, 0, NULL},
};

const struct config_word config_words_secrets[] = {
	{"off", CONFIG_SECRETS_OFF, NULL},
	{"on", CONFIG_SECRETS_ON, NULL},
	{NULL, 0, NULL},
};

const struct config_word config_words_keep[] = {
	{"all", 0, NULL},
	{"tail", 0, "this version keeps every packet; all"},
	{NULL, 0, NULL},
};

const struct config_word config_words_verify[] = {
	{"full", CONFIG_VERIFY_FULL, NULL},
	{"none", CONFIG_VERIFY_NONE, NULL},
	{"", CONFIG_VERIFY_FULL, NULL},
	{NULL, 0, NULL},
};

const struct config_word config_words_client_auth[] = {
	{"none", CONFIG_CLIENT_AUTH_NONE, NULL},
	{"optional", CONFIG_CLIENT_AUTH_OPTIONAL, NULL},
	{"required", CONFIG_CLIENT_AUTH_REQUIRED, NULL},
	{"", CONFIG_CLIENT_AUTH_NONE, NULL},
	{NULL, 0, NULL},
};

const struct config_word config_words_min_version[] = {
	{"1.2", CONFIG_MIN_VERSION_12, NULL},
	{"1.3", CONFIG_MIN_VERSION_13, NULL},
	{"", CONFIG_MIN_VERSION_12, NULL},
	{NULL, 0, NULL},
};
