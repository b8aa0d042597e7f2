/*
 * capture_secrets_test.c -- key material in capture files: given out before what it opens, in both
 * byte orders, from one file and from several, and never believed.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/unit/trace/capture_image.h"
#include "tests/unit/trace/frames.h"
#include "trace/capture_file.h"
#include "trace/merge.h"
#include "trace/pcapng.h"

#define WIREGUARD 0x57474b4cU

static char err[CAPTURE_FILE_ERROR_MAX];

/* What was given out: secrets in brackets, and the packets' bytes between them. */
struct story {
	char text[1024];
	size_t len;
};

static void tell(struct story *s, const char *before, const void *bytes, size_t len,
		 const char *behind)
{
	s->len += (size_t)snprintf(s->text + s->len, sizeof(s->text) - s->len, "%s%.*s%s", before,
				   (int)len, (const char *)bytes, behind);
	cr_assert_lt(s->len, sizeof(s->text));
}

static void tell_packet(struct story *s, const struct packet *p)
{
	tell(s, "", p->bytes, p->cap_len, "");
}

static void on_secrets(void *arg, uint32_t type, const void *bytes, size_t len)
{
	tell(arg, type == PCAPNG_SECRETS_TLS ? "[tls " : "[", bytes, len, "]");
}

static void put_secrets(struct image *m, uint32_t type, uint32_t says_len, const char *text)
{
	begin(m, 10);
	put32(m, type);
	put32(m, says_len);
	put_padded(m, text, strlen(text));
	end(m);
}

/* Two packets, "a" and "b", with secrets before, between and behind them. */
static void write_image(struct image *m, bool swapped)
{
	*m = (struct image){.swapped = swapped};
	put_section(m);
	put_secrets(m, PCAPNG_SECRETS_TLS, 9, "of a 1234");
	put_interface(m, LINK_ETHERNET, 0, "lo", 9, 0);
	put_packet(m, 0, 1000, "a", 1, 0, 0);
	put_secrets(m, WIREGUARD, 4, "of b");
	put_secrets(m, PCAPNG_SECRETS_TLS, 0, "");
	put_packet(m, 0, 3000, "b", 1, 0, 0);
	put_secrets(m, PCAPNG_SECRETS_TLS, 4, "last");
}

/* A file as long as the descriptor that is returned is open. */
static int write_file(const struct image *m, size_t len, char path[64])
{
	int fd = frame_scratch(path);

	cr_assert_eq(write(fd, m->bytes, len), (ssize_t)len);
	return fd;
}

static struct capture_file *open_file(const struct image *m, size_t len)
{
	struct capture_file *f;
	char path[64];
	int fd = write_file(m, len, path);

	f = capture_file_open(path, err);
	close(fd);
	return f;
}

static enum capture_file_result read_all(struct capture_file *f, struct story *s)
{
	enum capture_file_result result;
	struct packet p;

	while ((result = capture_file_next(f, &p, err)) == CAPTURE_FILE_PACKET)
		tell_packet(s, &p);
	return result;
}

static void expect_story(bool swapped, bool wanted, const char *text)
{
	struct image m;
	struct story s = {0};
	struct capture_file *f;

	write_image(&m, swapped);
	f = open_file(&m, m.len);
	cr_assert_not_null(f, "%s", err);
	if (wanted)
		capture_file_on_secrets(f, on_secrets, &s);
	cr_expect_eq(read_all(f, &s), CAPTURE_FILE_END, "%s", err);
	cr_expect_str_eq(s.text, text);
	capture_file_close(f);
}

Test(capture_secrets, given_out_where_they_stand)
{
	expect_story(false, true, "[tls of a 1234]a[of b][tls ]b[tls last]");
	expect_story(true, true, "[tls of a 1234]a[of b][tls ]b[tls last]");
	expect_story(false, false, "ab");
}

static void expect_broken(uint32_t says_len, const char *text)
{
	struct image m = {0};
	struct story s = {0};
	struct capture_file *f;

	put_section(&m);
	put_interface(&m, LINK_ETHERNET, 0, "lo", 9, 0);
	put_packet(&m, 0, 1000, "a", 1, 0, 0);
	put_secrets(&m, PCAPNG_SECRETS_TLS, says_len, text);
	put_packet(&m, 0, 3000, "b", 1, 0, 0);
	f = open_file(&m, m.len);
	cr_assert_not_null(f, "%s", err);
	capture_file_on_secrets(f, on_secrets, &s);
	cr_expect_eq(read_all(f, &s), CAPTURE_FILE_BROKEN);
	cr_expect_str_eq(s.text, "a");
	cr_expect_not_null(strstr(err, "secrets longer than their block"), "%s", err);
	capture_file_close(f);
}

Test(capture_secrets, lengths_that_do_not_fit)
{
	expect_broken(5, "1234");
	expect_broken(UINT32_MAX, "1234");
	expect_broken(1, "");
}

Test(capture_secrets, block_without_a_length)
{
	struct image m = {0};
	struct story s = {0};
	struct capture_file *f;

	put_section(&m);
	begin(&m, 10);
	put32(&m, PCAPNG_SECRETS_TLS);
	end(&m);
	f = open_file(&m, m.len);
	cr_assert_not_null(f, "%s", err);
	capture_file_on_secrets(f, on_secrets, &s);
	cr_expect_eq(read_all(f, &s), CAPTURE_FILE_BROKEN);
	cr_expect_str_eq(s.text, "");
	capture_file_close(f);
}

/* Cut at every byte: what is whole comes, and nothing more. */
Test(capture_secrets, file_that_ends_anywhere)
{
	static const char whole[] = "[tls of a 1234]a[of b][tls ]b[tls last]";
	struct image m;

	write_image(&m, false);
	for (size_t len = 0; len < m.len; len++) {
		struct story s = {0};
		struct capture_file *f = open_file(&m, len);

		if (f == NULL)
			continue;
		capture_file_on_secrets(f, on_secrets, &s);
		(void)read_all(f, &s);
		cr_expect_eq(strncmp(whole, s.text, s.len), 0, "%zu bytes: %s", len, s.text);
		cr_expect_lt(s.len, sizeof(whole) - 1);
		capture_file_close(f);
	}
}

/* Each file's secrets come before its packets, whatever comes in between. */
Test(capture_secrets, several_files)
{
	char paths[2][64], *captures[] = {paths[0], paths[1]};
	struct image one, two = {0};
	struct story s = {0};
	struct merge *m;
	struct packet p;
	int fds[2];

	write_image(&one, false);
	put_section(&two);
	put_interface(&two, LINK_ETHERNET, 0, "lo", 9, 0);
	put_secrets(&two, PCAPNG_SECRETS_TLS, 4, "of c");
	put_packet(&two, 0, 2000, "c", 1, 0, 0);
	fds[0] = write_file(&one, one.len, paths[0]);
	fds[1] = write_file(&two, two.len, paths[1]);
	m = merge_open(captures, 2, err);
	cr_assert_not_null(m, "%s", err);
	merge_on_secrets(m, on_secrets, &s);
	while (merge_next(m, &p))
		tell_packet(&s, &p);
	cr_expect_eq(merge_faults(m), 0);
	cr_expect_str_eq(s.text, "[tls of a 1234]a[of b][tls ][tls of c]cb[tls last]");
	merge_close(m);
	close(fds[0]);
	close(fds[1]);
}
