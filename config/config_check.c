/*
 * config_check.c -- what no single key can say: do the keys fit together, and does this machine
 * have what they name?
 *
 * Only looks: nothing is created or opened here but by config_make_dir(). Whether a directory may
 * be written is asked with the rights of proxy.user, which are taken for that question and given
 * back at once; so this runs before there are threads.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"
#include "config/config_key.h"

#define GROUPS_MAX 1024

/* Who will write the files. changes: another one than we are now. */
struct writer {
	bool changes;
	uid_t uid;
	gid_t gid;
	const char *name;
};

static bool check_listen_tls(const struct config *c, const struct addr *a,
			     char err[CONFIG_ERROR_MAX])
{
	char text[ADDR_TEXT_MAX];

	if (c->tls.keystore_count > 0)
		return true;
	addr_format(a, text);
	return config_error(err,
			    "[proxy] listen = \"https://%s\": a key and a certificate are needed: "
			    "set [tls] keystore, or listen on http://",
			    text);
}

static bool check_client_auth(const struct config *c, bool listens, char err[CONFIG_ERROR_MAX])
{
	const char *word =
		c->tls.client_auth == CONFIG_CLIENT_AUTH_REQUIRED ? "required" : "optional";

	if (c->tls.client_auth == CONFIG_CLIENT_AUTH_NONE)
		return true;
	if (c->tls.truststore[0] == '\0')
		return config_error(err,
				    "[tls] client_auth = \"%s\": set [tls] truststore to the "
				    "certificates of those who sign the clients'",
				    word);
	return listens || config_error(err,
				       "[tls] client_auth = \"%s\": no listen begins with "
				       "https://, so no client could show a certificate",
				       word);
}

/* Whoever asks for TLS says with what. */
static bool check_tls(const struct config *c, char err[CONFIG_ERROR_MAX])
{
	bool listens = false;

	for (uint32_t i = 0; i < c->proxy.listen_count; i++) {
		const struct config_listen *l = &c->proxy.listen[i];

		listens |= l->tls;
		if (l->tls && !check_listen_tls(c, &l->addr, err))
			return false;
	}
	return check_client_auth(c, listens, err);
}

/* A proxy that is its own backend would ask itself until it has no descriptor left. */
static bool check_loop(const struct config *c, char err[CONFIG_ERROR_MAX])
{
	const struct config_backend *b = &c->proxy.backend;

	for (uint32_t i = 0; b->literal && i < c->proxy.listen_count; i++) {
		const struct addr *a = &c->proxy.listen[i].addr;
		bool own = addr_equal(a, &b->addr) && a->scope_id == b->addr.scope_id;

		if (addr_is_wildcard(a) && a->family == b->addr.family && a->port == b->addr.port)
			own = addr_is_loopback(&b->addr) || addr_is_wildcard(&b->addr);
		if (own)
			return config_error(err,
					    "[proxy] backend = \"%s\": that is where this proxy "
					    "itself listens",
					    b->authority);
	}
	return true;
}

static bool check_user(const struct config *c, struct writer *w, char err[CONFIG_ERROR_MAX])
{
	const char *user = c->proxy.user;
	const struct passwd *pw;

	*w = (struct writer){.uid = geteuid(), .gid = getegid(), .name = user};
	if (user[0] == '\0')
		return true;
	errno = 0;
	pw = getpwnam(user);
	if (pw == NULL)
		return config_error(err, "[proxy] user = \"%s\": no such user", user);
	if (pw->pw_uid != w->uid && w->uid != 0)
		return config_error(err, "[proxy] user = \"%s\": only root can become another user",
				    user);
	w->changes = pw->pw_uid != w->uid;
	w->uid = pw->pw_uid;
	w->gid = pw->pw_gid;
	return true;
}

/* access(), by the effective rights of w. 0 or an errno. */
static int writer_access(const struct writer *w, const char *path, int mode)
{
	gid_t groups[GROUPS_MAX];
	gid_t gid = getegid();
	uid_t uid = geteuid();
	int count;
	int why;

	if (!w->changes)
		return faccessat(AT_FDCWD, path, mode, AT_EACCESS) == 0 ? 0 : errno;
	count = getgroups(GROUPS_MAX, groups);
	if (count < 0)
		return errno;
	if (initgroups(w->name, w->gid) != 0 || setegid(w->gid) != 0 || seteuid(w->uid) != 0)
		why = errno;
	else
		why = faccessat(AT_FDCWD, path, mode, AT_EACCESS) == 0 ? 0 : errno;
	/* Going on with half of somebody's rights is no option. */
	if (seteuid(uid) != 0 || setegid(gid) != 0 || setgroups((size_t)count, groups) != 0)
		abort();
	return why;
}

static bool refuse_path(char err[CONFIG_ERROR_MAX], const char *key, const char *path,
			const struct writer *w, int why)
{
	if (w->changes && (why == EACCES || why == EPERM))
		return config_error(err, "%s = \"%s\": user %s may not write there", key,
				    config_quote(path).text, w->name);
	return config_error(err, "%s = \"%s\": %s", key, config_quote(path).text, strerror(why));
}

/* 0 when entries can be made in that directory, or an errno. */
static int directory_why(const struct writer *w, const char *dir)
{
	struct stat st;

	if (stat(dir, &st) != 0)
		return errno;
	if (!S_ISDIR(st.st_mode))
		return ENOTDIR;
	return writer_access(w, dir, W_OK | X_OK);
}

/* The directory a path's last component stands in: "a/b" gives "a", "b" gives ".", "/b" gives "/". */
static void parent_of(const char *path, char out[CONFIG_PATH_MAX])
{
	size_t len = strlen(path);

	while (len > 1 && path[len - 1] == '/')
		len--;
	while (len > 0 && path[len - 1] != '/')
		len--;
	while (len > 1 && path[len - 1] == '/')
		len--;
	if (len == 0)
		snprintf(out, CONFIG_PATH_MAX, ".");
	else
		snprintf(out, CONFIG_PATH_MAX, "%.*s", (int)len, path);
}

static bool missing(const char *path)
{
	struct stat st;

	return stat(path, &st) != 0 && errno == ENOENT;
}

/* trace.dir: writable, or still to be made by us where we may. */
static bool check_trace_dir(const struct config *c, const struct writer *w,
			    char err[CONFIG_ERROR_MAX])
{
	const struct writer self = {.uid = geteuid(), .gid = getegid(), .name = ""};
	char parent[CONFIG_PATH_MAX];
	const char *dir = c->trace.dir;
	int why;

	if (!missing(dir)) {
		why = directory_why(w, dir);
		return why == 0 || refuse_path(err, "[trace] dir", dir, w, why);
	}
	parent_of(dir, parent);
	why = directory_why(&self, parent);
	return why == 0 || refuse_path(err, "[trace] dir", dir, &self, why);
}

/* A file may be made in path's directory; where that is a trace.dir still to be made, it may. */
static int parent_why(const struct config *c, const struct writer *w, const char *path)
{
	char parent[CONFIG_PATH_MAX];
	size_t len;

	parent_of(path, parent);
	len = strlen(parent);
	if (strncmp(c->trace.dir, parent, len) == 0 &&
	    strspn(c->trace.dir + len, "/") == strlen(c->trace.dir + len) && missing(c->trace.dir))
		return 0;
	return directory_why(w, parent);
}

/*
 * The log is opened again after it was moved away (SIGUSR1): a regular file needs a directory that
 * may be written as well. Devices and pipes need only be there.
 */
static bool check_access_log(const struct config *c, const struct writer *w,
			     char err[CONFIG_ERROR_MAX])
{
	const char *path = c->log.access_log;
	struct stat st;
	int why = 0;

	if (path[0] == '\0' || strcmp(path, "-") == 0)
		return true;
	if (stat(path, &st) != 0)
		why = errno == ENOENT ? parent_why(c, w, path) : errno;
	else if (S_ISDIR(st.st_mode))
		why = EISDIR;
	else if (S_ISREG(st.st_mode))
		why = writer_access(w, path, W_OK);
	if (why == 0 && w->changes && stat(path, &st) == 0 && S_ISREG(st.st_mode))
		why = parent_why(c, w, path);
	return why == 0 || refuse_path(err, "[log] access_log", path, w, why);
}

static bool check_control(const struct config *c, const struct writer *w,
			  char err[CONFIG_ERROR_MAX])
{
	const char *path = c->trace.control;
	struct stat st;
	int why;

	if (path[0] == '\0')
		return true;
	if (stat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
		return config_error(err, "[trace] control = \"%s\": something else has this name",
				    config_quote(path).text);
	why = parent_why(c, w, path);
	return why == 0 || refuse_path(err, "[trace] control", path, w, why);
}

/* What a traced run writes without being told where. */
static bool derive_paths(struct config *c, char err[CONFIG_ERROR_MAX])
{
	const char *dir = c->trace.dir;
	size_t len = strlen(dir);
	const char *slash = len > 0 && dir[len - 1] == '/' ? "" : "/";
	int n;

	if (len == 0)
		return true;
	if (c->trace.control[0] == '\0') {
		n = snprintf(c->trace.control, sizeof(c->trace.control), "%s%stap.sock", dir,
			     slash);
		if (n >= (int)sizeof(c->trace.control)) {
			c->trace.control[0] = '\0';
			return config_error(
				err,
				"[trace] dir = \"%s\": too long for the path of the control "
				"socket in it; set trace.control to a path of at most %zu bytes",
				config_quote(dir).text, sizeof(c->trace.control) - 1);
		}
	}
	if (c->log.access_log[0] == '\0') {
		n = snprintf(c->log.access_log, sizeof(c->log.access_log), "%s%sproxy.ndjson", dir,
			     slash);
		if (n >= (int)sizeof(c->log.access_log)) {
			c->log.access_log[0] = '\0';
			return config_error(err, "[trace] dir = \"%s\": the path is too long",
					    config_quote(dir).text);
		}
	}
	return true;
}

/* Keys to what was not kept open nothing, and are better not written down. */
static bool check_secrets(const struct config *c, char err[CONFIG_ERROR_MAX])
{
	if (c->trace.secrets == CONFIG_SECRETS_OFF || c->trace.payload == CONFIG_PAYLOAD_FULL)
		return true;
	return config_error(err, "[trace] secrets = \"on\": there is nothing to decrypt in a dump "
				 "without payload; payload = full is expected");
}

bool config_check(struct config *c, char err[CONFIG_ERROR_MAX])
{
	struct writer w;

	if (!check_secrets(c, err))
		return false;
	if (!check_tls(c, err) || !check_loop(c, err) || !check_user(c, &w, err))
		return false;
	if (!derive_paths(c, err))
		return false;
	if (c->trace.dir[0] != '\0' && !check_trace_dir(c, &w, err))
		return false;
	return check_control(c, &w, err) && check_access_log(c, &w, err);
}

bool config_make_dir(const struct config *c, char err[CONFIG_ERROR_MAX])
{
	const char *dir = c->trace.dir;
	struct writer w;

	if (dir[0] == '\0')
		return true;
	if (mkdir(dir, 0777) != 0) {
		if (errno == EEXIST)
			return true;
		return config_error(err, "[trace] dir = \"%s\": %s", config_quote(dir).text,
				    strerror(errno));
	}
	if (!check_user(c, &w, err))
		return false;
	if (w.changes && chown(dir, w.uid, w.gid) != 0)
		return config_error(err, "[trace] dir = \"%s\": %s", config_quote(dir).text,
				    strerror(errno));
	return true;
}
