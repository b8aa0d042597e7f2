/*
 * config_file_test.c -- the INI file: the sample states exactly the defaults, and every way to get
 * a file wrong is answered with its line.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"
#include "config/config_key.h"

#define SAMPLE "config/flowproxy.conf"

TestSuite(config_file);

/* Every key there is, listed apart from the table of config.c. */
static const char *const all_keys[][2] = {
	{"proxy", "listen"},
	{"proxy", "backend"},
	{"proxy", "workers"},
	{"proxy", "user"},
	{"proxy", "missing_host"},
	{"proxy", "host_header"},
	{"proxy", "request_ids"},
	{"proxy", "pool_size"},
	{"proxy", "max_header_bytes"},
	{"proxy", "max_headers"},
	{"proxy", "max_body_bytes"},
	{"proxy", "max_connections"},
	{"proxy", "header_timeout_ms"},
	{"proxy", "idle_timeout_ms"},
	{"proxy", "body_timeout_ms"},
	{"proxy", "send_timeout_ms"},
	{"proxy", "connect_timeout_ms"},
	{"proxy", "backend_timeout_ms"},
	{"proxy", "pool_idle_ms"},
	{"proxy", "tunnel_timeout_ms"},
	{"proxy", "request_timeout_ms"},
	{"proxy", "max_requests"},
	{"proxy", "max_age_ms"},
	{"proxy", "stop_ms"},
	{"tls", "keystore"},
	{"tls", "keystorepassword"},
	{"tls", "truststore"},
	{"tls", "truststorepassword"},
	{"tls", "verify"},
	{"tls", "client_auth"},
	{"tls", "min_version"},
	{"log", "access_log"},
	{"log", "soap"},
	{"trace", "dir"},
	{"trace", "control"},
	{"trace", "interfaces"},
	{"trace", "payload"},
	{"trace", "secrets"},
	{"trace", "buffer_mb"},
	{"trace", "hold_ms"},
	{"trace", "keep"},
};

/* A configuration in which no value is a default, so that the sample must set each of them. */
static void fill_with_others(struct config *c)
{
	static const char *const others[] = {
		"proxy.listen=1",
		"proxy.backend=https://other.example:1",
		"proxy.workers=255",
		"proxy.user=other",
		"proxy.missing_host=reject",
		"proxy.host_header=backend",
		"proxy.request_ids=keep",
		"proxy.pool_size=1",
		"proxy.max_header_bytes=1025",
		"proxy.max_headers=9",
		"proxy.max_body_bytes=1",
		"proxy.max_connections=1",
		"proxy.header_timeout_ms=1",
		"proxy.idle_timeout_ms=1",
		"proxy.body_timeout_ms=1",
		"proxy.send_timeout_ms=1",
		"proxy.connect_timeout_ms=1",
		"proxy.backend_timeout_ms=1",
		"proxy.pool_idle_ms=1",
		"proxy.tunnel_timeout_ms=1",
		"proxy.request_timeout_ms=1",
		"proxy.max_requests=1",
		"proxy.max_age_ms=1",
		"proxy.stop_ms=1",
		"tls.keystore=other",
		"tls.keystorepassword=other",
		"tls.truststore=other",
		"tls.truststorepassword=other",
		"tls.verify=none",
		"tls.client_auth=required",
		"tls.min_version=1.3",
		"log.access_log=other",
		"log.soap=off",
		"trace.dir=other",
		"trace.control=other",
		"trace.interfaces=other",
		"trace.payload=none",
		"trace.secrets=on",
		"trace.buffer_mb=1",
		"trace.hold_ms=100",
	};
	char err[CONFIG_ERROR_MAX];

	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		cr_assert(config_set_option(c, others[i], err), "%s", err);
}

/* A longer text that was there before may stand behind the NUL of a shorter one. */
static void clear_behind_nul(char *text, size_t size)
{
	size_t len = strlen(text);

	memset(text + len, 0, size - len);
}

Test(config_file, the_sample_states_exactly_the_defaults)
{
	char err[CONFIG_ERROR_MAX] = "";
	struct config defaults;
	struct config c;

	config_defaults(&defaults);
	config_defaults(&c);
	fill_with_others(&c);
	cr_assert(config_read_file(&c, SAMPLE, err), "%s", err);
	for (size_t i = 0; i < ARRAY_LEN(all_keys); i++) {
		const char *section = all_keys[i][0];
		const char *key = all_keys[i][1];
		bool repeats = strcmp(key, "listen") == 0 || strncmp(key, "keystore", 8) == 0;

		cr_expect_eq(config_key_repeated(&c, section, key), !repeats,
			     "[%s] %s is not in the sample", section, key);
	}
	cr_expect_eq(__builtin_popcountll(c.given), ARRAY_LEN(all_keys), "all_keys lacks a key");
	config_source_begin(&c);
	clear_behind_nul(c.proxy.user, sizeof(c.proxy.user));
	clear_behind_nul(c.tls.truststore, sizeof(c.tls.truststore));
	clear_behind_nul(c.tls.truststorepassword, sizeof(c.tls.truststorepassword));
	clear_behind_nul(c.log.access_log, sizeof(c.log.access_log));
	clear_behind_nul(c.trace.dir, sizeof(c.trace.dir));
	clear_behind_nul(c.trace.control, sizeof(c.trace.control));
	cr_expect_arr_eq(&c.proxy, &defaults.proxy, sizeof(c.proxy));
	cr_expect_arr_eq(&c.tls, &defaults.tls, sizeof(c.tls));
	cr_expect_arr_eq(&c.log, &defaults.log, sizeof(c.log));
	cr_expect_arr_eq(&c.trace, &defaults.trace, sizeof(c.trace));
}

static bool read_text(struct config *c, const char *text, char err[CONFIG_ERROR_MAX])
{
	config_defaults(c);
	err[0] = '\0';
	return config_read_text(c, "f.conf", text, strlen(text), err);
}

static void expect_error(const char *text, const char *sentence)
{
	char err[CONFIG_ERROR_MAX];
	struct config c;

	cr_expect(!read_text(&c, text, err), "taken: %s", text);
	cr_expect_str_eq(err, sentence);
}

Test(config_file, sections_keys_and_comments)
{
	char err[CONFIG_ERROR_MAX];
	struct config c;

	cr_assert(read_text(&c,
			    "# comment\n"
			    "; comment\n"
			    "\n"
			    "[proxy] ; comment\n"
			    "workers=3 ; three\n"
			    "stop_ms :\t 7\r\n"
			    "  pool_size = 5\n"
			    "\t# comment\n"
			    "[log]# comment\n"
			    "access_log = /a#b;c\n"
			    "[trace]\n"
			    "dir = \"quoted\"\n"
			    "[proxy]\n"
			    "max_headers = 10",
			    err),
		  "%s", err);
	cr_expect_eq(c.proxy.workers, 3);
	cr_expect_eq(c.proxy.stop_ms, 7);
	cr_expect_eq(c.proxy.pool_size, 5, "an indented line is a line like others");
	cr_expect_str_eq(c.log.access_log, "/a#b;c");
	cr_expect_str_eq(c.trace.dir, "\"quoted\"");
	cr_expect_eq(c.proxy.max_headers, 10, "a last line without its end");
}

Test(config_file, an_empty_file_changes_nothing)
{
	char err[CONFIG_ERROR_MAX];
	struct config defaults;
	struct config c;

	config_defaults(&defaults);
	cr_expect(read_text(&c, "", err), "%s", err);
	cr_expect_arr_eq(&c, &defaults, sizeof(c));
	cr_expect(read_text(&c, "\xef\xbb\xbf", err), "%s", err);
	cr_expect_arr_eq(&c, &defaults, sizeof(c));
}

Test(config_file, a_byte_order_mark_is_skipped)
{
	char err[CONFIG_ERROR_MAX];
	struct config c;

	cr_expect(read_text(&c, "\xef\xbb\xbf[proxy]\nworkers = 3\n", err), "%s", err);
	cr_expect_eq(c.proxy.workers, 3);
	expect_error("\xef\xbb\xbf[proxy] x\n",
		     "f.conf:1: only a comment may stand behind the section's name");
}

Test(config_file, listen_may_be_repeated)
{
	char err[CONFIG_ERROR_MAX];
	struct config c;

	cr_assert(read_text(&c,
			    "[proxy]\n"
			    "listen = 127.0.0.1:1\n"
			    "workers = 1\n"
			    "listen = 127.0.0.1:2\n"
			    "    listen = 127.0.0.1:3\n",
			    err),
		  "%s", err);
	cr_assert_eq(c.proxy.listen_count, 3);
	cr_expect_eq(c.proxy.listen[2].addr.port, 3);
	expect_error("[proxy]\nlisten = 127.0.0.1:1\n    127.0.0.1:2\n",
		     "f.conf:3: [proxy] 127.0.0.1: no such key");
}

Test(config_file, other_keys_may_not)
{
	expect_error("[proxy]\nworkers = 1\n\nworkers = 1\n",
		     "f.conf:4: [proxy] workers stands in this file already");
	expect_error("[proxy]\nbackend = a:1\n[log]\n[proxy]\nbackend = b:1\n",
		     "f.conf:5: [proxy] backend stands in this file already");
}

Test(config_file, the_file_is_a_source_of_its_own)
{
	char err[CONFIG_ERROR_MAX] = "";
	static const char text[] = "[proxy]\nlisten = 127.0.0.1:2\nworkers = 4\n";
	struct config c;

	config_defaults(&c);
	cr_assert(config_set_option(&c, "proxy.listen=127.0.0.1:1", err));
	cr_assert(config_set_option(&c, "proxy.workers=3", err));
	cr_assert(config_read_text(&c, "f.conf", text, strlen(text), err), "%s", err);
	cr_expect_eq(c.proxy.listen_count, 1);
	cr_expect_eq(c.proxy.workers, 4);
	config_source_begin(&c);
	cr_assert(config_set_option(&c, "proxy.listen=127.0.0.1:3", err));
	cr_expect_eq(c.proxy.listen_count, 1);
	cr_expect_eq(c.proxy.listen[0].addr.port, 3);
}

Test(config_file, errors_name_their_line)
{
	expect_error("[proxy]\nworkers = 1\nstop_ms = x\nworkers = 2\n",
		     "f.conf:3: [proxy] stop_ms = \"x\": a whole number from 1 to 86400000");
	expect_error("\n\n[proxi]\nworkers = 1\n",
		     "f.conf:3: [proxi]: no such section; did you mean [proxy]?");
	expect_error("[proxy]\n[other]\n", "f.conf:2: [other]: no such section; there are [proxy], "
					   "[tls], [log] and [trace]");
	expect_error("[]\n",
		     "f.conf:1: []: no such section; there are [proxy], [tls], [log] and [trace]");
	expect_error("[log]\nacess_log = x\n",
		     "f.conf:2: [log] acess_log: no such key; did you mean access_log?");
	expect_error("workers = 1\n[proxy]\n", "f.conf:1: workers stands before any [section]");
	expect_error("[proxy]\r\nworkers = 1\r\nstop_ms = 0\r\n",
		     "f.conf:3: [proxy] stop_ms = \"0\": a whole number from 1 to 86400000");
}

Test(config_file, lines_that_are_no_ini)
{
	expect_error("[proxy]\nworkers\n",
		     "f.conf:2: [section], key = value or a comment is expected");
	expect_error("[proxy\nworkers = 1\n",
		     "f.conf:1: [section], key = value or a comment is expected");
	expect_error("[proxy] workers = 1\n",
		     "f.conf:1: only a comment may stand behind the section's name");
	expect_error("[proxy]\nnonsense\nworkers = x\n",
		     "f.conf:2: [section], key = value or a comment is expected");
	expect_error("[proxy]\nworkers = x\nnonsense\n",
		     "f.conf:2: [proxy] workers = \"x\": a whole number from 1 to 256, or auto");
	expect_error("[proxy]\n= 1\n", "f.conf:2: [proxy] : no such key");
}

Test(config_file, a_hash_is_no_comment_behind_a_value)
{
	expect_error("[trace]\ndir = /a # where it goes\n",
		     "f.conf:2: [trace] dir: a comment behind a value begins with ; (# would be "
		     "part of the value)");
	expect_error("[trace]\ndir = # none\n",
		     "f.conf:2: [trace] dir: a comment behind a value begins with ; (# would be "
		     "part of the value)");
}

Test(config_file, nul_bytes)
{
	static const char text[] = "[proxy]\nworkers = 1\0\nstop_ms = 2\n";
	char err[CONFIG_ERROR_MAX];
	struct config c;

	config_defaults(&c);
	cr_expect(!config_read_text(&c, "f.conf", text, sizeof(text) - 1, err));
	cr_expect_str_eq(err, "f.conf:2: a NUL byte stands in this line; is it a text file?");
}

/* [log] access_log = <filler>, a line of so many bytes with its newline. */
static char *line_of(size_t len)
{
	static const char start[] = "[log]\naccess_log = ";
	size_t head = sizeof(start) - 1;
	char *text = malloc(head + len + 1);

	cr_assert(text != NULL);
	memcpy(text, start, head);
	memset(text + head, 'x', len - strlen("access_log = ") - 1);
	text[6 + len - 1] = '\n';
	text[6 + len] = '\0';
	return text;
}

Test(config_file, long_lines_are_read_whole_or_refused)
{
	char err[CONFIG_ERROR_MAX];
	struct config c;
	char *text = line_of(180);

	cr_expect(read_text(&c, text, err), "%s", err);
	cr_expect_eq(strlen(c.log.access_log), 180 - strlen("access_log = ") - 1);
	free(text);
	text = line_of(20000);
	cr_expect(!read_text(&c, text, err));
	cr_expect(strncmp(err, "f.conf:2: the line is longer than ", 34) == 0, "%s", err);
	cr_expect_str_empty(c.log.access_log);
	free(text);
}

/* Whatever the length, a path arrives as it stood there or is refused, never cut. */
Test(config_file, no_length_is_cut)
{
	char err[CONFIG_ERROR_MAX];
	struct config c;

	for (size_t len = 150; len < 9000; len += len < 260 || len > 8100 ? 1 : 97) {
		char *text = line_of(len);
		bool fine = read_text(&c, text, err);

		cr_assert_eq(strlen(c.log.access_log), fine ? len - strlen("access_log = ") - 1 : 0,
			     "%zu", len);
		free(text);
	}
}

static void write_file(const char *path, const char *text, size_t len)
{
	FILE *f = fopen(path, "we");

	cr_assert(f != NULL);
	cr_assert_eq(fwrite(text, 1, len, f), len);
	cr_assert(fclose(f) == 0);
}

Test(config_file, files)
{
	char dir[] = "/tmp/config-file-XXXXXX";
	char expected[CONFIG_ERROR_MAX];
	char err[CONFIG_ERROR_MAX] = "";
	char path[64];
	struct config c;

	cr_assert(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/f.conf", dir);
	config_defaults(&c);
	cr_expect(!config_read_file(&c, path, err));
	snprintf(expected, sizeof(expected), "%s: No such file or directory", path);
	cr_expect_str_eq(err, expected);
	cr_expect(!config_read_file(&c, dir, err));
	snprintf(expected, sizeof(expected), "%s: Is a directory", dir);
	cr_expect_str_eq(err, expected);
	write_file(path, "[proxy]\nworkers = 3\n", 20);
	cr_expect(config_read_file(&c, path, err), "%s", err);
	cr_expect_eq(c.proxy.workers, 3);
	write_file(path, "[proxy]\nworkers = 3\nx = 1\n", 26);
	cr_expect(!config_read_file(&c, path, err));
	snprintf(expected, sizeof(expected), "%s:3: [proxy] x: no such key", path);
	cr_expect_str_eq(err, expected);
	unlink(path);
	rmdir(dir);
}

Test(config_file, a_file_of_more_than_a_mebibyte)
{
	size_t len = 1024 * 1024;
	char path[] = "/tmp/config-file-XXXXXX";
	char err[CONFIG_ERROR_MAX] = "";
	char *text = malloc(len + 1);
	int fd = mkstemp(path);
	struct config c;

	cr_assert(text != NULL && fd >= 0);
	close(fd);
	memset(text, '\n', len + 1);
	config_defaults(&c);
	write_file(path, text, len);
	cr_expect(config_read_file(&c, path, err), "%s", err);
	write_file(path, text, len + 1);
	cr_expect(!config_read_file(&c, path, err));
	cr_expect(strstr(err, ": longer than 1 MiB") != NULL, "%s", err);
	unlink(path);
	free(text);
}
