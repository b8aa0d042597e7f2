/*
 * config_check_test.c -- what only the whole configuration and this machine can tell.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "config/config.h"

static char dir[32];

static void make_dir(void)
{
	snprintf(dir, sizeof(dir), "/tmp/config-check-XXXXXX");
	cr_assert(mkdtemp(dir) != NULL);
}

/* Everything the cases below may have left in it. */
static void remove_dir(void)
{
	static const char *const names[] = {
		"t/tap.sock", "t", "file", "log/proxy.ndjson", "log", "open/proxy.ndjson", "open"};
	char path[128];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		if (unlink(path) != 0)
			(void)rmdir(path);
	}
	cr_expect(rmdir(dir) == 0);
}

TestSuite(config_check, .init = make_dir, .fini = remove_dir);

static const char *in_dir(const char *name)
{
	static char path[100];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void set(struct config *c, const char *section, const char *key, const char *value)
{
	char err[CONFIG_ERROR_MAX];

	cr_assert(config_set(c, section, key, value, err), "%s", err);
}

static void expect_fine(struct config *c)
{
	char err[CONFIG_ERROR_MAX] = "";

	cr_expect(config_check(c, err), "%s", err);
}

static void expect_refused(struct config *c, const char *part)
{
	char err[CONFIG_ERROR_MAX] = "";

	cr_assert(!config_check(c, err));
	cr_expect(strstr(err, part) != NULL, "%s", err);
}

Test(config_check, defaults_are_fine_and_stay)
{
	struct config before;
	struct config c;

	config_defaults(&c);
	before = c;
	expect_fine(&c);
	cr_expect_arr_eq(&c, &before, sizeof(c));
}

Test(config_check, tls_needs_its_stores)
{
	struct config c;

	config_defaults(&c);
	set(&c, "proxy", "listen", "https://127.0.0.1:8443");
	expect_refused(&c, "[proxy] listen = \"https://127.0.0.1:8443\": a key and a certificate "
			   "are needed: set [tls] keystore, or listen on http://");
	set(&c, "tls", "keystore", "server.pem");
	expect_fine(&c);
	set(&c, "tls", "client_auth", "optional");
	expect_refused(&c, "[tls] client_auth = \"optional\": set [tls] truststore");
	set(&c, "tls", "client_auth", "required");
	expect_refused(&c, "[tls] client_auth = \"required\": set [tls] truststore");
	set(&c, "tls", "truststore", "ca.pem");
	expect_fine(&c);
	config_defaults(&c);
	set(&c, "proxy", "backend", "https://www.example.org/");
	expect_fine(&c);
}

Test(config_check, client_auth_needs_a_listener_that_asks)
{
	struct config c;

	config_defaults(&c);
	set(&c, "tls", "truststore", "ca.pem");
	set(&c, "tls", "client_auth", "required");
	expect_refused(&c, "[tls] client_auth = \"required\": no listen begins with https://");
}

Test(config_check, secrets_need_what_they_open)
{
	struct config c;

	config_defaults(&c);
	set(&c, "trace", "secrets", "on");
	expect_fine(&c);
	set(&c, "trace", "payload", "headers");
	expect_refused(&c,
		       "[trace] secrets = \"on\": there is nothing to decrypt in a dump without "
		       "payload; payload = full is expected");
	set(&c, "trace", "payload", "none");
	expect_refused(&c, "payload = full is expected");
	set(&c, "trace", "secrets", "off");
	expect_fine(&c);
}

static void expect_loop(const char *listen, const char *backend, bool loop)
{
	char err[CONFIG_ERROR_MAX] = "";
	struct config c;

	config_defaults(&c);
	set(&c, "proxy", "listen", listen);
	set(&c, "proxy", "backend", backend);
	cr_expect_eq(config_check(&c, err), !loop, "%s behind %s: %s", backend, listen, err);
	cr_expect(!loop || strstr(err, "that is where this proxy itself listens") != NULL, "%s",
		  err);
}

Test(config_check, a_proxy_is_not_its_own_backend)
{
	expect_loop("127.0.0.1:8585", "127.0.0.1:8585", true);
	expect_loop("localhost:8585", "[::1]:8585", true);
	expect_loop("8585", "127.0.0.1:8585", true);
	expect_loop("8585", "127.0.0.9:8585", true);
	expect_loop("8585", "[::1]:8585", true);
	expect_loop("0.0.0.0:8585", "0.0.0.0:8585", true);
	expect_loop("0.0.0.0:8585", "[::1]:8585", false);
	expect_loop("127.0.0.1:8585", "127.0.0.2:8585", false);
	expect_loop("8585", "127.0.0.1:8586", false);
	expect_loop("8585", "192.0.2.1:8585", false);
	expect_loop("8585", "www.example.org:8585", false);
}

Test(config_check, a_traced_run_logs_into_its_directory)
{
	struct config c;

	cr_assert(mkdir(in_dir("t"), 0755) == 0);
	config_defaults(&c);
	set(&c, "trace", "dir", in_dir("t"));
	expect_fine(&c);
	cr_expect_str_eq(c.trace.control, in_dir("t/tap.sock"));
	cr_expect_str_eq(c.log.access_log, in_dir("t/proxy.ndjson"));
	expect_fine(&c);
	config_defaults(&c);
	set(&c, "trace", "dir", in_dir("t/"));
	set(&c, "log", "access_log", "-");
	expect_fine(&c);
	cr_expect_str_eq(c.trace.control, in_dir("t/tap.sock"));
	cr_expect_str_eq(c.log.access_log, "-");
	set(&c, "trace", "control", in_dir("other.sock"));
	expect_fine(&c);
	cr_expect_str_eq(c.trace.control, in_dir("other.sock"));
}

Test(config_check, a_missing_trace_directory_is_made_later)
{
	char err[CONFIG_ERROR_MAX] = "";
	struct stat st;
	struct config c;

	config_defaults(&c);
	set(&c, "trace", "dir", in_dir("t//"));
	expect_fine(&c);
	cr_expect(stat(in_dir("t"), &st) != 0, "checking changes nothing");
	cr_expect(config_make_dir(&c, err), "%s", err);
	cr_expect(stat(in_dir("t"), &st) == 0 && S_ISDIR(st.st_mode));
	cr_expect(config_make_dir(&c, err), "a second time: %s", err);
	expect_fine(&c);
	set(&c, "trace", "dir", "");
	cr_expect(config_make_dir(&c, err), "%s", err);
}

Test(config_check, a_trace_directory_that_cannot_be)
{
	char err[CONFIG_ERROR_MAX] = "";
	char expected[CONFIG_ERROR_MAX];
	struct config c;
	int fd;

	config_defaults(&c);
	set(&c, "trace", "dir", in_dir("no/t"));
	snprintf(expected, sizeof(expected), "[trace] dir = \"%s\": No such file or directory",
		 in_dir("no/t"));
	expect_refused(&c, expected);
	cr_expect(!config_make_dir(&c, err));
	cr_expect_str_eq(err, expected);

	fd = open(in_dir("file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	cr_assert(fd >= 0);
	close(fd);
	config_defaults(&c);
	set(&c, "trace", "dir", in_dir("file"));
	expect_refused(&c, "Not a directory");
	config_defaults(&c);
	set(&c, "trace", "dir", in_dir("file/t"));
	expect_refused(&c, "Not a directory");
}

Test(config_check, a_directory_too_deep_for_the_control_socket)
{
	char deep[160];
	struct config c;

	memset(deep, 'x', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = '\0';
	config_defaults(&c);
	set(&c, "trace", "dir", deep);
	expect_refused(&c, "set trace.control to a path of at most 99 bytes");
	set(&c, "trace", "control", "short.sock");
	expect_fine(&c);
}

Test(config_check, the_control_path_may_be_an_old_socket_but_nothing_else)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct config c;

	cr_assert(fd >= 0);
	cr_assert(mkdir(in_dir("t"), 0755) == 0);
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", in_dir("t/tap.sock"));
	cr_assert(bind(fd, (struct sockaddr *)&un, sizeof(un)) == 0);
	close(fd);
	config_defaults(&c);
	set(&c, "trace", "control", in_dir("t/tap.sock"));
	expect_fine(&c);
	config_defaults(&c);
	set(&c, "trace", "control", in_dir("t"));
	expect_refused(&c, "something else has this name");
	config_defaults(&c);
	set(&c, "trace", "control", in_dir("no/tap.sock"));
	expect_refused(&c, "No such file or directory");
}

Test(config_check, access_logs)
{
	struct config c;

	config_defaults(&c);
	set(&c, "log", "access_log", in_dir("file"));
	expect_fine(&c);
	set(&c, "log", "access_log", "/dev/null");
	expect_fine(&c);
	set(&c, "log", "access_log", "relative.ndjson");
	expect_fine(&c);
	set(&c, "log", "access_log", dir);
	expect_refused(&c, "Is a directory");
	set(&c, "log", "access_log", in_dir("no/file"));
	expect_refused(&c, "No such file or directory");
}

Test(config_check, users)
{
	struct config c;

	config_defaults(&c);
	set(&c, "proxy", "user", "no-such-user-here");
	expect_refused(&c, "[proxy] user = \"no-such-user-here\": no such user");
}

Test(config_check, root_may_become_another_user)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	struct config c;

	if (uid != 0)
		cr_skip("only root can ask for another user's rights");
	cr_assert(mkdir(in_dir("log"), 0755) == 0);
	cr_assert(mkdir(in_dir("open"), 0755) == 0);
	cr_assert(chmod(in_dir("open"), 0777) == 0);
	cr_assert(chmod(dir, 0755) == 0);
	config_defaults(&c);
	set(&c, "proxy", "user", "nobody");
	expect_fine(&c);
	set(&c, "log", "access_log", in_dir("log/proxy.ndjson"));
	expect_refused(&c, "proxy.ndjson\": user nobody may not write there");
	set(&c, "log", "access_log", in_dir("open/proxy.ndjson"));
	expect_fine(&c);
	set(&c, "log", "access_log", "/dev/null");
	expect_fine(&c);
	set(&c, "trace", "dir", in_dir("log"));
	expect_refused(&c, "[trace] dir = ");
	config_defaults(&c);
	set(&c, "proxy", "user", "nobody");
	set(&c, "trace", "dir", in_dir("open"));
	expect_fine(&c);
	cr_expect_eq(geteuid(), uid);
	cr_expect_eq(getegid(), gid);
}

Test(config_check, a_log_file_of_root_in_a_directory_of_the_user)
{
	struct config c;
	int fd;

	if (geteuid() != 0)
		cr_skip("only root can ask for another user's rights");
	cr_assert(mkdir(in_dir("open"), 0755) == 0);
	cr_assert(chmod(in_dir("open"), 0777) == 0);
	cr_assert(chmod(dir, 0755) == 0);
	fd = open(in_dir("open/proxy.ndjson"), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	cr_assert(fd >= 0);
	config_defaults(&c);
	set(&c, "proxy", "user", "nobody");
	set(&c, "log", "access_log", in_dir("open/proxy.ndjson"));
	expect_refused(&c, "user nobody may not write there");
	cr_assert(fchmod(fd, 0666) == 0);
	expect_fine(&c);
	close(fd);
}

Test(config_check, a_made_directory_belongs_to_the_user)
{
	const struct passwd *nobody = getpwnam("nobody");
	char err[CONFIG_ERROR_MAX] = "";
	struct stat st;
	struct config c;

	if (geteuid() != 0 || nobody == NULL)
		cr_skip("only root can give a directory away");
	config_defaults(&c);
	set(&c, "proxy", "user", "nobody");
	set(&c, "trace", "dir", in_dir("t"));
	expect_fine(&c);
	cr_expect(config_make_dir(&c, err), "%s", err);
	cr_assert(stat(in_dir("t"), &st) == 0);
	cr_expect_eq(st.st_uid, nobody->pw_uid);
	expect_refused(&c, "user nobody may not write there");
	cr_assert(chmod(dir, 0755) == 0);
	expect_fine(&c);
}

Test(config_check, others_than_root_stay_who_they_are)
{
	struct config c;

	if (geteuid() != 0)
		cr_skip("only root can become another user first");
	cr_assert(chmod(dir, 0777) == 0);
	cr_assert(setegid(65534) == 0 && seteuid(65534) == 0);
	config_defaults(&c);
	set(&c, "proxy", "user", "root");
	expect_refused(&c, "[proxy] user = \"root\": only root can become another user");
	set(&c, "proxy", "user", "nobody");
	expect_fine(&c);
	set(&c, "log", "access_log", "/proxy.ndjson");
	expect_refused(&c, "[log] access_log = \"/proxy.ndjson\": Permission denied");
	cr_assert(seteuid(0) == 0 && setegid(0) == 0);
}
