/*
 * tls_secret_test.c -- passwords from the configuration, a file or the environment, and messages
 * that hold none.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/tls_secret.h"
#include "scratch.h"

static void expect(const char *spec, const char *text)
{
	char err[CONFIG_ERROR_MAX] = "";
	struct tls_secret s;

	cr_assert(tls_secret_fetch(&s, "keystorepassword", spec, err), "%s", err);
	cr_expect_str_eq(s.text, text);
	cr_expect_eq(s.len, strlen(text));
}

static void expect_refused(const char *spec, const char *err_text)
{
	char err[CONFIG_ERROR_MAX] = "";
	struct tls_secret s;

	cr_assert(!tls_secret_fetch(&s, "keystorepassword", spec, err));
	cr_expect_str_eq(err, err_text);
	cr_expect_eq(s.len, 0);
	cr_expect_str_eq(s.text, "");
}

Test(tls_secret, as_it_stands)
{
	expect("changeit", "changeit");
	expect("", "");
	expect("a:b", "a:b");
	expect("File:x", "File:x");
	expect("pass:file:x", "file:x");
	expect("pass:", "");
}

Test(tls_secret, from_the_environment)
{
	setenv("FLOWPROXY_TEST_SECRET", "from outside", 1);
	expect("env:FLOWPROXY_TEST_SECRET", "from outside");
	unsetenv("FLOWPROXY_TEST_SECRET");
	expect_refused("env:FLOWPROXY_TEST_SECRET",
		       "[tls] keystorepassword = env:FLOWPROXY_TEST_SECRET: there is no such "
		       "variable in the environment");
}

static void write_file(struct scratch *s, const char *text, char spec[200])
{
	file_write(scratch_path(s, "password"), text, 0600);
	snprintf(spec, 200, "file:%s", scratch_path(s, "password"));
}

Test(tls_secret, the_first_line_of_a_file)
{
	struct scratch s;
	char spec[200];

	scratch_make(&s);
	write_file(&s, "changeit\n", spec);
	expect(spec, "changeit");
	write_file(&s, "changeit", spec);
	expect(spec, "changeit");
	write_file(&s, "with spaces \r\nsecond\n", spec);
	expect(spec, "with spaces ");
	write_file(&s, "\n", spec);
	expect(spec, "");
	write_file(&s, "", spec);
	expect(spec, "");
	scratch_remove(&s);
}

Test(tls_secret, a_file_that_will_not_do)
{
	char text[CONFIG_SECRET_MAX + 10];
	char err[CONFIG_ERROR_MAX];
	struct tls_secret secret;
	struct scratch s;
	char spec[200];

	scratch_make(&s);
	memset(text, 'p', sizeof(text));
	text[CONFIG_SECRET_MAX] = '\0';
	write_file(&s, text, spec);
	cr_assert(!tls_secret_fetch(&secret, "truststorepassword", spec, err));
	cr_expect(strstr(err, "[tls] truststorepassword = file:/") == err, "%s", err);
	cr_expect(strstr(err, ": its first line is too long for a password") != NULL, "%s", err);
	cr_expect(strstr(err, "pppp") == NULL);
	text[CONFIG_SECRET_MAX - 1] = '\0';
	write_file(&s, text, spec);
	expect(spec, text);
	scratch_remove(&s);
	cr_assert(!tls_secret_fetch(&secret, "truststorepassword", spec, err));
	cr_expect(strstr(err, ": No such file or directory") != NULL, "%s", err);
	expect_refused("file:/", "[tls] keystorepassword = file:/: Is a directory");
	cr_expect_str_eq(tls_secret_file("file:/x"), "/x");
	cr_expect(tls_secret_file("/x") == NULL);
}
