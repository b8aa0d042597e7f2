/*
 * config.h -- everything that can be set, with defaults, as plain values for both programs.
 *
 * Sources in order: defaults, one INI file, --set and the other options of the command line.
 * Fields are named after the keys of config/flowproxy.conf. Read-only once the workers run.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/attrib.h"

#define CONFIG_LISTEN_MAX     16
#define CONFIG_INTERFACES_MAX 16
#define CONFIG_NAME_MAX       256 /* a host name or path component, with its NUL */
#define CONFIG_PATH_MAX       4096
#define CONFIG_STORES_MAX     16
#define CONFIG_SECRET_MAX     1024 /* a password, or where it stands */

struct config_listen {
	struct addr addr; /* port 0: the kernel chooses one */
	bool tls;         /* https:// */
	bool optional; /* the IPv6 half of PORT, *:PORT or localhost:PORT (the default): no IPv6 on
			     this machine is a notice, not an error */
};

/* Where requests go: a literal address or a name to resolve. */
struct config_backend {
	char host[CONFIG_NAME_MAX];           /* as given, without brackets */
	char authority[CONFIG_NAME_MAX + 16]; /* for the Host field: host[:port], port left out when
						 it is the scheme's default */
	uint16_t port;
	bool literal;     /* host is an address: addr is set */
	struct addr addr; /* with the port */
	bool tls;
};

enum config_missing_host {
	CONFIG_MISSING_HOST_ACCEPT,
	CONFIG_MISSING_HOST_REJECT,
};

enum config_host_header {
	CONFIG_HOST_HEADER_CLIENT,
	CONFIG_HOST_HEADER_BACKEND,
};

enum config_request_ids {
	CONFIG_REQUEST_IDS_MAKE, /* X-Request-Id and traceparent where the client sent none */
	CONFIG_REQUEST_IDS_KEEP, /* only pass on what it sent */
};

enum config_soap {
	CONFIG_SOAP_ACTION,
	CONFIG_SOAP_FULL,
	CONFIG_SOAP_OFF,
};

enum config_payload {
	CONFIG_PAYLOAD_FULL,
	CONFIG_PAYLOAD_HEADERS, /* link, IP and TCP headers; no payload byte */
	CONFIG_PAYLOAD_NONE,    /* no dump at all */
};

enum config_secrets {
	CONFIG_SECRETS_OFF,
	CONFIG_SECRETS_ON, /* TLS key material is told to the tracer, and stands in the dump */
};

struct config_proxy {
	struct config_listen listen[CONFIG_LISTEN_MAX];
	uint32_t listen_count;
	struct config_backend backend;
	uint32_t workers; /* "auto" has become the number of processors this process may use */
	char user[64];    /* empty: no change */
	enum config_missing_host missing_host;
	enum config_host_header host_header;
	enum config_request_ids request_ids;
	uint32_t pool_size;
	uint32_t max_header_bytes;
	uint32_t max_headers;
	uint64_t max_body_bytes;  /* 0: no limit */
	uint32_t max_connections; /* 0: derived from RLIMIT_NOFILE at start */
	uint32_t header_timeout_ms;
	uint32_t idle_timeout_ms;
	uint32_t body_timeout_ms;
	uint32_t send_timeout_ms;
	uint32_t connect_timeout_ms;
	uint32_t backend_timeout_ms;
	uint32_t pool_idle_ms;
	uint32_t tunnel_timeout_ms;
	uint32_t request_timeout_ms; /* 0: off */
	uint32_t max_requests;       /* 0: off */
	uint32_t max_age_ms;         /* 0: off */
	uint32_t stop_ms;
};

enum config_verify {
	CONFIG_VERIFY_FULL, /* a backend's chain and its name */
	CONFIG_VERIFY_NONE,
};

enum config_client_auth {
	CONFIG_CLIENT_AUTH_NONE,
	CONFIG_CLIENT_AUTH_OPTIONAL, /* a certificate that is shown must be a good one */
	CONFIG_CLIENT_AUTH_REQUIRED,
};

enum config_min_version {
	CONFIG_MIN_VERSION_12,
	CONFIG_MIN_VERSION_13,
};

/* Passwords as they were given: the text itself, or file:PATH, env:NAME, pass:TEXT. */
struct config_tls {
	uint32_t keystore_count;
	uint32_t keystorepassword_count; /* each is tried on each keystore */
	char keystore[CONFIG_STORES_MAX][CONFIG_PATH_MAX];
	char keystorepassword[CONFIG_STORES_MAX][CONFIG_SECRET_MAX];
	char truststore[CONFIG_PATH_MAX]; /* empty: what the system trusts */
	char truststorepassword[CONFIG_SECRET_MAX];
	enum config_verify verify;
	enum config_client_auth client_auth;
	enum config_min_version min_version;
};

struct config_log {
	char access_log[CONFIG_PATH_MAX]; /* empty: none; "-": standard output */
	enum config_soap soap;
};

struct config_trace {
	char dir[CONFIG_PATH_MAX]; /* empty: no tracer is started */
	char control
		[100]; /* path of the tap's control socket; empty: dir/tap.sock with dir, else none */
	char interfaces[CONFIG_INTERFACES_MAX][16];
	uint32_t interface_count; /* 0: auto */
	enum config_payload payload;
	enum config_secrets secrets;
	uint32_t buffer_mb;
	uint32_t hold_ms;
};

struct config {
	struct config_proxy proxy;
	struct config_tls tls;
	struct config_log log;
	struct config_trace trace;
	uint64_t given; /* private: keys this source has set, one bit each */
};

#define CONFIG_ERROR_MAX 512

/* Defaults: listen on 127.0.0.1:8585 and [::1]:8585 (optional), backend http://127.0.0.1:8080. */
void config_defaults(struct config *c);

/*
 * A new source begins (the file, then the command line): the first `listen` that it sets replaces
 * the list that earlier sources made, further ones add to it; so do `keystore` and
 * `keystorepassword`, whose list an empty value ends. Of every other key the last one counts.
 */
void config_source_begin(struct config *c);

/*
 * Set one key. On failure err holds one sentence that names section, key and value and says what is
 * expected, without a source ("[proxy] workers = "x": a whole number from 1 to 256, or auto"), and
 * the value that stood before still stands. Passwords are never repeated in it.
 */
bool config_set(struct config *c, const char *section, const char *key, const char *value,
		char err[CONFIG_ERROR_MAX]) MUST_CHECK;

/* "SECTION.KEY=VALUE" of --set. */
bool config_set_option(struct config *c, const char *assignment,
		       char err[CONFIG_ERROR_MAX]) MUST_CHECK;

/*
 * Read an INI file (inih), as a source of its own. err names file and line; the first error ends
 * it. Each key but the repeatable ones (listen, keystore, keystorepassword) may stand in it once.
 * White space around names and values is ignored, indented lines are lines like others (inih's continuation lines are
 * not used). A comment is a line that begins with # or ;, or what follows white space and ; behind
 * a value; # does not end a value, so white space and # in one are refused.
 */
bool config_read_file(struct config *c, const char *path, char err[CONFIG_ERROR_MAX]) MUST_CHECK;

/* The same from memory; name stands for the file in err. */
bool config_read_text(struct config *c, const char *name, const char *text, size_t len,
		      char err[CONFIG_ERROR_MAX]) MUST_CHECK;

/*
 * What no single key can say: that keys fit together, the user exists and may be changed to,
 * directories exist and may be written (by that user). Reads no store (proxy/tls_context.h). Fills in what is derived (trace.control, the access log of a traced run: dir/proxy.ndjson
 * when none is given). Changes nothing outside c: a trace.dir that does not exist is fine when it
 * can be made.
 */
bool config_check(struct config *c, char err[CONFIG_ERROR_MAX]) MUST_CHECK;

/* After config_check() and before rights are dropped: make trace.dir, owned by proxy.user, if it does not exist yet. */
bool config_make_dir(const struct config *c, char err[CONFIG_ERROR_MAX]) MUST_CHECK;

#endif
