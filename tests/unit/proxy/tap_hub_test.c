/*
 * tap_hub_test.c -- the control socket: attaching, handing descriptors over, one tracer at a time.
 */
#include "proxy/tap_hub.h"

#include <criterion/criterion.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/unit/proxy/sample_line.h"
#include "tests/unit/proxy/scratch.h"
#include "tests/unit/proxy/tap_peer.h"

TestSuite(tap_hub, .timeout = 40);

#define RUN         0x5d2c
#define SOON_NS     (8 * NS_PER_S)
#define WORKERS_MAX 256

struct rig {
	struct scratch dir;
	struct event_base *base;
	struct tap_hub *hub;
	struct tap_hub_calls calls;
	unsigned workers;
	int given[WORKERS_MAX]; /* the workers' ends; -1: none */
	unsigned endpoint_count;
	unsigned ready;
	unsigned gone;
	bool may_tell_secrets;
	unsigned secrets; /* workers that were told to tell them */
};

static void give(void *arg, unsigned worker, int fd, bool with_secrets)
{
	struct rig *rig = arg;

	cr_assert(worker < rig->workers);
	if (rig->given[worker] >= 0)
		close(rig->given[worker]);
	rig->given[worker] = fd;
	rig->secrets += with_secrets;
}

/* 10.0.0.1:1, 10.0.0.1:2, ... the first of the client leg, others of a named backend. */
static unsigned endpoints(void *arg, struct tap_endpoint *out, unsigned max)
{
	const struct rig *rig = arg;

	cr_assert(rig->endpoint_count <= max);
	for (unsigned i = 0; i < rig->endpoint_count; i++) {
		out[i].addr = sample_addr("10.0.0.1:1");
		out[i].addr.port = (uint16_t)(i + 1);
		out[i].leg = i == 0 ? TAP_CLIENT : TAP_BACKEND;
		out[i].named = i > 0;
	}
	return rig->endpoint_count;
}

static void note_ready(void *arg)
{
	struct rig *rig = arg;

	rig->ready++;
}

static void note_gone(void *arg)
{
	struct rig *rig = arg;

	rig->gone++;
}

static struct tap_hub *hub_make(struct rig *rig, const char *path)
{
	const struct tap_hub_calls calls = {.arg = rig,
					    .give = give,
					    .endpoints = endpoints,
					    .ready = note_ready,
					    .gone = note_gone,
					    .with_secrets = rig->may_tell_secrets};

	return tap_hub_new(rig->base, path, RUN, rig->workers, &calls);
}

static void rig_start_with(struct rig *rig, unsigned workers, bool may_tell_secrets)
{
	memset(rig, 0, sizeof(*rig));
	rig->may_tell_secrets = may_tell_secrets;
	scratch_make(&rig->dir);
	rig->base = event_base_new();
	rig->workers = workers;
	rig->endpoint_count = 2;
	memset(rig->given, 0xff, sizeof(rig->given));
	rig->hub = hub_make(rig, scratch_path(&rig->dir, "tap"));
	cr_assert(rig->base != NULL && rig->hub != NULL);
}

static void rig_start(struct rig *rig, unsigned workers)
{
	rig_start_with(rig, workers, false);
}

static void rig_stop(struct rig *rig)
{
	tap_hub_free(rig->hub);
	event_base_free(rig->base);
	for (unsigned i = 0; i < rig->workers; i++)
		if (rig->given[i] >= 0)
			close(rig->given[i]);
	scratch_remove(&rig->dir);
}

static void rig_turn(struct rig *rig)
{
	const struct timespec pause = {.tv_nsec = 200000};

	event_base_loop(rig->base, EVLOOP_NONBLOCK);
	nanosleep(&pause, NULL);
}

static struct sockaddr_un address_of(const struct rig *rig)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/tap", rig->dir.dir);
	return a;
}

static void guest_connect(const struct rig *rig, struct tap_peer *p)
{
	const struct sockaddr_un a = address_of(rig);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	cr_assert(fd >= 0 && connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0);
	tap_peer_init(p, fd, RUN, TAP_CONTROL);
}

static void guest_attach_for(const struct rig *rig, struct tap_peer *p, uint32_t wants)
{
	const struct tap_attach attach = {.r = {.type = TAP_ATTACH, .len = sizeof(attach)},
					  .pid = (uint32_t)getpid(),
					  .wants = wants};

	guest_connect(rig, p);
	tap_peer_send(p, &attach, sizeof(attach));
}

static void guest_attach(const struct rig *rig, struct tap_peer *p)
{
	guest_attach_for(rig, p, 0);
}

/* Run until the guest has that many more bytes of records; false: its connection ended. */
static bool guest_wait(struct rig *rig, struct tap_peer *p, size_t bytes)
{
	uint64_t until_ns = clock_mono_ns() + SOON_NS;

	while (p->len < p->at + bytes) {
		char byte;

		cr_assert(clock_mono_ns() < until_ns);
		rig_turn(rig);
		if (!tap_peer_receive(p) && recv(p->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0)
			return false;
	}
	return true;
}

static bool guest_ended(struct rig *rig, struct tap_peer *p)
{
	bool more = guest_wait(rig, p, 1);

	close(p->fd);
	tap_peer_fini(p);
	return !more;
}

static void expect_endpoints(struct tap_peer *p, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct tap_endpoint e;

		tap_peer_take(p, TAP_ENDPOINT, &e, sizeof(e));
		cr_expect_eq(e.addr.port, i + 1);
		cr_expect_eq(e.leg, i == 0 ? TAP_CLIENT : TAP_BACKEND);
		cr_expect_eq(e.named, i > 0);
		cr_expect_eq(e.last, i + 1 == count);
	}
}

/* ---- attaching ------------------------------------------------------------------------------- */

/* One message with its descriptors. Returns how many; the records are kept in p. */
static unsigned receive_descriptors(struct tap_peer *p, int *fds, unsigned max)
{
	static uint8_t bytes[TAP_MESSAGE_MAX];
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(WORKERS_MAX * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control.bytes,
			   .msg_controllen = sizeof(control.bytes)};
	ssize_t n = recvmsg(p->fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	const struct cmsghdr *c;
	unsigned count;

	cr_assert(n >= (ssize_t)sizeof(struct tap_message));
	cr_assert_eq(m.msg_flags & (MSG_CTRUNC | MSG_TRUNC), 0);
	c = CMSG_FIRSTHDR(&m);
	cr_assert(c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS);
	count = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	cr_assert(count <= max);
	memcpy(fds, CMSG_DATA(c), count * sizeof(int));
	p->messages++;
	tap_peer_keep(p, bytes + sizeof(struct tap_message),
		      (size_t)n - sizeof(struct tap_message));
	return count;
}

/* What worker i is given is connected with the tracer's descriptor i. */
static void expect_connected(const struct rig *rig, const int *fds)
{
	for (unsigned i = 0; i < rig->workers; i++) {
		unsigned said = i + 1, heard = 0;

		cr_assert(rig->given[i] >= 0);
		cr_assert_eq(send(rig->given[i], &said, sizeof(said), 0), sizeof(said));
		cr_assert_eq(recv(fds[i], &heard, sizeof(heard), 0), sizeof(heard));
		cr_assert_eq(heard, said);
		cr_expect(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
		close(fds[i]);
	}
}

static void attach_with_workers(unsigned workers, unsigned messages)
{
	static struct rig rig;
	struct tap_peer p;
	struct tap_hello hello;
	int fds[WORKERS_MAX] = {0};
	unsigned count = 0;
	uint64_t before_ns = clock_real_ns();

	rig_start(&rig, workers);
	guest_attach(&rig, &p);
	for (unsigned i = 0; i < 1000 && rig.given[workers - 1] < 0; i++)
		rig_turn(&rig);
	while (count < workers)
		count += receive_descriptors(&p, fds + count, workers - count);
	cr_expect_eq(p.messages, messages);
	tap_peer_take(&p, TAP_HELLO, &hello, sizeof(hello));
	cr_expect_eq(hello.pid, (uint32_t)getpid());
	cr_expect_eq(hello.workers, workers);
	cr_expect(hello.real_ns >= before_ns && hello.real_ns <= clock_real_ns());
	cr_expect(hello.r.mono_ns <= clock_mono_ns() && hello.r.mono_ns > 0);
	expect_endpoints(&p, 2);
	cr_expect_eq(tap_peer_type(&p), 0);
	expect_connected(&rig, fds);
	close(p.fd);
	tap_peer_fini(&p);
	rig_stop(&rig);
}

Test(tap_hub, attach_one_worker)
{
	attach_with_workers(1, 1);
}

Test(tap_hub, attach_eight_workers)
{
	attach_with_workers(8, 1);
}

/* More descriptors than one message may carry. */
Test(tap_hub, attach_256_workers)
{
	attach_with_workers(256, 2);
}

static const size_t hello_bytes = sizeof(struct tap_hello) + 2 * sizeof(struct tap_endpoint);

static void skip_hello(struct rig *rig, struct tap_peer *p)
{
	cr_assert(guest_wait(rig, p, hello_bytes));
	p->at += hello_bytes;
}

static void expect_secrets(bool may_tell, uint32_t wants, unsigned told)
{
	static struct rig rig;
	struct tap_peer p;
	struct tap_hello hello;

	rig_start_with(&rig, 2, may_tell);
	guest_attach_for(&rig, &p, wants);
	cr_assert(guest_wait(&rig, &p, hello_bytes));
	tap_peer_take(&p, TAP_HELLO, &hello, sizeof(hello));
	cr_expect_eq(hello.tells, told);
	cr_expect_eq(rig.secrets, told == TAP_WANT_SECRETS ? 2U : 0U);
	close(p.fd);
	tap_peer_fini(&p);
	rig_stop(&rig);
}

Test(tap_hub, secrets_need_both_sides)
{
	expect_secrets(true, TAP_WANT_SECRETS, TAP_WANT_SECRETS);
	expect_secrets(true, 0, 0);
	expect_secrets(true, 2, 0);
	expect_secrets(false, TAP_WANT_SECRETS, 0);
}

Test(tap_hub, ready_is_told_once)
{
	struct rig rig;
	struct tap_peer p;
	const struct tap_record ready = {.type = TAP_READY, .len = sizeof(ready)};

	rig_start(&rig, 2);
	guest_attach(&rig, &p);
	skip_hello(&rig, &p);
	cr_expect_eq(rig.ready, 0);
	tap_peer_send(&p, &ready, sizeof(ready));
	tap_peer_send(&p, &ready, sizeof(ready));
	for (unsigned i = 0; i < 20; i++)
		rig_turn(&rig);
	cr_expect_eq(rig.ready, 1);
	cr_expect_eq(rig.gone, 0);
	close(p.fd);
	for (unsigned i = 0; i < 2000 && rig.gone == 0; i++)
		rig_turn(&rig);
	cr_expect_eq(rig.gone, 1);
	tap_peer_fini(&p);
	rig_stop(&rig);
}

/* Long after the time a guest has for its attach, the tracer is still there and hears the clock. */
Test(tap_hub, the_clock_ticks_every_second)
{
	struct rig rig;
	struct tap_peer p;
	struct tap_clock clock;
	uint64_t last_ns = 0;

	rig_start(&rig, 1);
	guest_attach(&rig, &p);
	skip_hello(&rig, &p);
	for (unsigned i = 0; i < 7; i++) {
		cr_assert(guest_wait(&rig, &p, sizeof(clock)));
		tap_peer_take(&p, TAP_CLOCK, &clock, sizeof(clock));
		cr_expect_lt(clock_real_ns() - clock.real_ns, NS_PER_S / 2);
		cr_expect_lt(clock_mono_ns() - clock.r.mono_ns, NS_PER_S / 2);
		if (last_ns != 0)
			cr_expect(clock.r.mono_ns - last_ns > NS_PER_S / 2 &&
				  clock.r.mono_ns - last_ns < 3 * NS_PER_S / 2);
		last_ns = clock.r.mono_ns;
	}
	close(p.fd);
	tap_peer_fini(&p);
	rig_stop(&rig);
}

Test(tap_hub, endpoints_are_told_again_when_they_change)
{
	struct rig rig;
	struct tap_peer p;

	rig_start(&rig, 1);
	tap_hub_endpoints_changed(rig.hub);
	guest_attach(&rig, &p);
	skip_hello(&rig, &p);
	rig.endpoint_count = 5;
	tap_hub_endpoints_changed(rig.hub);
	cr_assert(guest_wait(&rig, &p, 5 * sizeof(struct tap_endpoint)));
	expect_endpoints(&p, 5);
	close(p.fd);
	tap_peer_fini(&p);
	rig_stop(&rig);
}

/* One that reads nothing for a while misses clocks, but never the endpoints that count. */
Test(tap_hub, a_stalled_tracer_gets_the_last_endpoints)
{
	struct rig rig;
	struct tap_peer p;
	uint64_t until_ns = clock_mono_ns() + SOON_NS;
	struct tap_endpoint e;
	unsigned last = 0;

	rig_start(&rig, 1);
	guest_attach(&rig, &p);
	skip_hello(&rig, &p);
	rig.endpoint_count = 200;
	for (unsigned i = 0; i < 1000; i++)
		tap_hub_endpoints_changed(rig.hub);
	rig.endpoint_count = 3;
	tap_hub_endpoints_changed(rig.hub);
	while (last != 3) {
		cr_assert(clock_mono_ns() < until_ns);
		rig_turn(&rig);
		tap_peer_receive_all(&p);
		while (tap_peer_type(&p) != 0) {
			struct tap_clock clock;

			if (tap_peer_type(&p) == TAP_CLOCK) {
				tap_peer_take(&p, TAP_CLOCK, &clock, sizeof(clock));
				continue;
			}
			tap_peer_take(&p, TAP_ENDPOINT, &e, sizeof(e));
			last = e.last ? e.addr.port : last;
		}
	}
	cr_expect_eq(rig.gone, 0);
	close(p.fd);
	tap_peer_fini(&p);
	rig_stop(&rig);
}

/* ---- one at a time --------------------------------------------------------------------------- */

Test(tap_hub, a_second_tracer_hears_busy)
{
	struct rig rig;
	struct tap_peer first, second;
	struct tap_record busy;

	rig_start(&rig, 1);
	guest_attach(&rig, &first);
	skip_hello(&rig, &first);
	guest_attach(&rig, &second);
	cr_assert(guest_wait(&rig, &second, sizeof(busy)));
	tap_peer_take(&second, TAP_BUSY, &busy, sizeof(busy));
	cr_expect(guest_ended(&rig, &second));
	cr_expect_eq(rig.gone, 0);
	/* The first is not disturbed; when it leaves, the next may come, and counts from 0. */
	rig.endpoint_count = 1;
	tap_hub_endpoints_changed(rig.hub);
	cr_assert(guest_wait(&rig, &first, sizeof(struct tap_endpoint)));
	close(first.fd);
	tap_peer_fini(&first);
	for (unsigned i = 0; i < 2000 && rig.gone == 0; i++)
		rig_turn(&rig);
	cr_expect_eq(rig.gone, 1);
	rig.endpoint_count = 2;
	guest_attach(&rig, &first);
	skip_hello(&rig, &first);
	close(first.fd);
	tap_peer_fini(&first);
	rig_stop(&rig);
}

Test(tap_hub, the_end_of_the_proxy_is_the_end_of_file)
{
	struct rig rig;
	struct tap_peer p, silent;
	struct sockaddr_un a;
	char byte;

	rig_start(&rig, 1);
	a = address_of(&rig);
	guest_attach(&rig, &p);
	skip_hello(&rig, &p);
	guest_connect(&rig, &silent);
	rig_turn(&rig);
	tap_hub_free(rig.hub);
	rig.hub = NULL;
	cr_expect_eq(recv(p.fd, &byte, 1, 0), 0);
	cr_expect_eq(recv(silent.fd, &byte, 1, 0), 0);
	cr_expect_neq(access(a.sun_path, F_OK), 0);
	cr_expect_eq(rig.gone, 0);
	close(p.fd);
	close(silent.fd);
	tap_peer_fini(&p);
	rig_stop(&rig);
}

/* ---- who is no tracer ------------------------------------------------------------------------ */

static void expect_closed(const void *bytes, size_t len)
{
	struct rig rig;
	struct tap_peer p;

	rig_start(&rig, 1);
	guest_connect(&rig, &p);
	cr_assert_eq(send(p.fd, bytes, len, 0), (ssize_t)len);
	cr_expect(guest_ended(&rig, &p), "%zu bytes", len);
	cr_expect_eq(rig.given[0], -1);
	cr_expect_eq(rig.gone, 0);
	rig_stop(&rig);
}

Test(tap_hub, malformed_messages_close_the_connection)
{
	struct {
		struct tap_message m;
		struct tap_attach attach;
	} good = {{.magic = TAP_MAGIC, .version = TAP_VERSION},
		  {.r = {.type = TAP_ATTACH, .len = sizeof(struct tap_attach)}}},
	  bad;
	static uint8_t huge[8192];

	expect_closed("hello", 5);
	expect_closed(&good, sizeof(good) - 1);
	bad = good;
	bad.m.version++;
	expect_closed(&bad, sizeof(bad));
	bad = good;
	bad.m.magic++;
	expect_closed(&bad, sizeof(bad));
	bad = good;
	bad.attach.r.len = sizeof(struct tap_record);
	expect_closed(&bad, sizeof(bad) - 8);
	bad = good;
	bad.attach.r.type = TAP_READY;
	expect_closed(&bad, sizeof(bad));
	memcpy(huge, &good, sizeof(good));
	expect_closed(huge, sizeof(huge));
}

/* A tracer that talks nonsense later loses its place. */
Test(tap_hub, a_malformed_message_of_the_tracer)
{
	struct rig rig;
	struct tap_peer p;

	rig_start(&rig, 1);
	guest_attach(&rig, &p);
	skip_hello(&rig, &p);
	cr_assert_eq(send(p.fd, "nonsense", 8, 0), 8);
	cr_expect(guest_ended(&rig, &p));
	cr_expect_eq(rig.gone, 1);
	rig_stop(&rig);
}

Test(tap_hub, who_says_nothing_has_five_seconds)
{
	struct rig rig;
	struct tap_peer p;
	uint64_t began_ns = clock_mono_ns();

	rig_start(&rig, 1);
	guest_connect(&rig, &p);
	cr_expect(guest_ended(&rig, &p));
	cr_expect_geq(clock_mono_ns() - began_ns, 4 * NS_PER_S);
	rig_stop(&rig);
}

Test(tap_hub, a_crowd_is_turned_away)
{
	struct rig rig;
	struct tap_peer crowd[8], p;

	rig_start(&rig, 1);
	for (unsigned i = 0; i < 8; i++) {
		guest_connect(&rig, &crowd[i]);
		rig_turn(&rig);
	}
	guest_connect(&rig, &p);
	cr_expect(guest_ended(&rig, &p));
	for (unsigned i = 0; i < 8; i++)
		close(crowd[i].fd);
	for (unsigned i = 0; i < 20; i++)
		rig_turn(&rig);
	guest_attach(&rig, &p);
	skip_hello(&rig, &p);
	close(p.fd);
	tap_peer_fini(&p);
	rig_stop(&rig);
}

/* ---- the path -------------------------------------------------------------------------------- */

Test(tap_hub, the_socket_is_for_its_owner_alone)
{
	struct rig rig;
	struct stat st;

	umask(0);
	rig_start(&rig, 1);
	cr_assert(stat(rig.dir.path, &st) == 0);
	cr_expect(S_ISSOCK(st.st_mode));
	cr_expect_eq(st.st_mode & 07777, 0600);
	rig_stop(&rig);
}

Test(tap_hub, a_dead_process_s_socket_is_replaced)
{
	struct rig rig;
	struct sockaddr_un a;
	struct tap_peer p;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	rig_start(&rig, 1);
	tap_hub_free(rig.hub);
	a = address_of(&rig);
	cr_assert(bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, 1) == 0);
	close(fd);
	rig.hub = hub_make(&rig, a.sun_path);
	cr_assert(rig.hub != NULL);
	guest_attach(&rig, &p);
	skip_hello(&rig, &p);
	close(p.fd);
	tap_peer_fini(&p);
	rig_stop(&rig);
}

Test(tap_hub, a_living_one_s_is_not)
{
	struct rig rig;
	struct sockaddr_un a;

	rig_start(&rig, 1);
	a = address_of(&rig);
	cr_expect(hub_make(&rig, a.sun_path) == NULL);
	cr_expect_eq(access(a.sun_path, F_OK), 0);
	/* and what took the name since is not removed at the end */
	cr_assert(unlink(a.sun_path) == 0);
	file_write(a.sun_path, "precious", 0600);
	cr_expect(hub_make(&rig, a.sun_path) == NULL);
	tap_hub_free(rig.hub);
	rig.hub = NULL;
	cr_expect_eq(access(a.sun_path, F_OK), 0);
	rig_stop(&rig);
}

Test(tap_hub, paths_that_cannot_be)
{
	struct rig rig;
	char longer[200];

	rig_start(&rig, 1);
	memset(longer, 'x', sizeof(longer));
	longer[0] = '/';
	longer[sizeof(longer) - 1] = '\0';
	cr_expect(hub_make(&rig, longer) == NULL);
	cr_expect(hub_make(&rig, "/nowhere/tap") == NULL);
	rig_stop(&rig);
}
