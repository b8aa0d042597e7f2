/*
 * capture_test.c -- real captures: on loopback with real connections, and in a network namespace of
 * the test's own on a pair of veth interfaces with frames made by hand. Needs root; sends nothing
 * anywhere else.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "tests/unit/trace/frames.h"
#include "trace/capture.h"
#include "trace/capture_route.h"
#include "trace/decode.h"
#include "trace/flow.h"

#define SEEN_MAX 4096

/* What came, in order. */
struct seen {
	unsigned count;
	uint64_t dropped_before;
	struct segment seg[SEEN_MAX];
	struct packet packet[SEEN_MAX]; /* without bytes */
	struct flow_table *flows;
	struct flow *flow; /* of the newest segment */
};

static char err[CAPTURE_ERROR_MAX];
static struct seen seen;

static void need_root(void)
{
	if (geteuid() != 0)
		cr_skip_test("capturing needs root");
}

static void take_packet(const struct packet *p, void *arg)
{
	struct seen *s = arg;
	struct flow_place place;
	struct segment seg;

	s->dropped_before += p->dropped_before;
	if (s->count == SEEN_MAX)
		return;
	cr_assert_eq(decode_packet(p, &seg), DECODE_TCP);
	seg.frame = s->count + 1;
	s->seg[s->count] = seg;
	s->packet[s->count] = *p;
	s->count++;
	if (s->flows == NULL)
		return;
	cr_assert(flow_table_add(s->flows, &seg, &place));
	s->flow = place.flow;
}

/* Wait until count packets came, at most 3 s, or until nothing comes for 150 ms when count is 0. */
static void collect(struct capture *c, unsigned count)
{
	uint64_t until_ns = clock_mono_ns() + 3 * NS_PER_S, quiet_ns = clock_mono_ns();

	do {
		struct pollfd fds[CAPTURE_MAX];
		unsigned before = seen.count;

		for (unsigned i = 0; i < capture_count(c); i++) {
			struct capture_info info;

			capture_info(c, i, &info);
			fds[i] = (struct pollfd){.fd = info.fd, .events = POLLIN};
		}
		(void)poll(fds, capture_count(c), 100);
		for (unsigned i = 0; i < capture_count(c); i++)
			cr_assert(capture_dispatch(c, i, take_packet, &seen, err), "%s", err);
		if (seen.count != before)
			quiet_ns = clock_mono_ns();
		if (count == 0 && clock_mono_ns() > quiet_ns + 150 * NS_PER_MS)
			return;
	} while ((count == 0 || seen.count < count) && clock_mono_ns() < until_ns);
}

static struct capture *open_capture(const struct capture_endpoint *endpoints, unsigned count,
				    uint32_t buffer_mb)
{
	struct capture_options options = {.buffer_mb = buffer_mb};

	err[0] = '\0';
	seen.count = 0;
	return capture_open(endpoints, count, &options, err);
}

/* ---- loopback ---- */

static int listen_on(const char *ip, struct addr *a)
{
	struct sockaddr_storage ss;
	socklen_t len;
	int fd;

	cr_assert(addr_parse_ip(ip, strlen(ip), 0, a));
	len = addr_to_sockaddr(a, &ss);
	fd = socket(ss.ss_family, SOCK_STREAM, 0);
	cr_assert_geq(fd, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&ss, len), 0);
	cr_assert_eq(listen(fd, 5), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
	addr_from_sockaddr(a, (struct sockaddr *)&ss);
	return fd;
}

static void connect_to(int listener, const struct addr *a, int *client, int *server)
{
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(a, &ss);

	*client = socket(ss.ss_family, SOCK_STREAM, 0);
	cr_assert_eq(connect(*client, (struct sockaddr *)&ss, len), 0);
	*server = accept(listener, NULL, NULL);
	cr_assert_geq(*server, 0);
}

static void send_and_receive(int from, int to, size_t bytes)
{
	static char data[1 << 20];
	size_t sent = 0, received = 0;

	while (received < bytes) {
		ssize_t n;

		if (sent < bytes) {
			n = send(from, data, MIN(bytes - sent, sizeof(data)), MSG_DONTWAIT);
			if (n > 0)
				sent += (size_t)n;
		}
		n = recv(to, data, sizeof(data), sent > received ? 0 : MSG_DONTWAIT);
		if (n > 0)
			received += (size_t)n;
	}
}

/* A whole connection: 311 bytes there, 582 back, the client closes first. */
static void talk(int listener, const struct addr *a)
{
	int client, server;
	char byte;

	connect_to(listener, a, &client, &server);
	send_and_receive(client, server, 311);
	send_and_receive(server, client, 582);
	close(client);
	cr_assert_eq(recv(server, &byte, 1, 0), 0);
	close(server);
}

static void expect_whole_connection(const struct addr *a)
{
	struct flow *f = seen.flow;
	struct stream_range r = {0};

	cr_assert_not_null(f);
	cr_expect(addr_equal(&f->side[1].addr, a));
	cr_expect_eq(f->syn_frame, 1);
	cr_expect_eq(f->syn_ack_frame, 2);
	cr_expect_eq(f->ack_frame, 3);
	cr_expect_eq(f->how, FLOW_FIN);
	cr_expect_eq(f->closed_by, 0);
	cr_expect_neq(f->closed_ns, 0);
	cr_expect_neq(f->side[0].wscale, SEGMENT_NO_WSCALE);
	stream_query(f->side[0].stream, &(struct byte_range){0, 311}, UINT64_MAX, &r);
	cr_expect_eq(r.missing_bytes, 0);
	cr_expect_eq(r.repeated_bytes, 0); /* each packet came once */
	cr_expect_neq(r.acked_frame, 0);
	stream_range_fini(&r);
	r = (struct stream_range){0};
	stream_query(f->side[1].stream, &(struct byte_range){0, 582}, UINT64_MAX, &r);
	cr_expect_eq(r.missing_bytes, 0);
	cr_expect_eq(r.repeated_bytes, 0);
	stream_range_fini(&r);
}

static void capture_on_loopback(const char *ip, bool by_port)
{
	struct addr a, other;
	int listener = listen_on(ip, &a), elsewhere = listen_on(ip, &other);
	struct capture_endpoint e = {.addr = a, .by_port = by_port, .listener = true};
	struct capture_counters counters;
	struct capture_info info;
	struct capture *c = open_capture(&e, 1, 4);
	uint64_t began_ns = clock_real_ns();
	char want[256];

	cr_assert_not_null(c, "%s", err);
	cr_expect_eq(capture_count(c), 1);
	capture_info(c, 0, &info);
	cr_expect_str_eq(info.name, "lo");
	cr_expect_eq(info.link, LINK_ETHERNET);
	if (by_port)
		snprintf(want, sizeof(want), "inbound and (tcp and (port %u))", a.port);
	else
		snprintf(want, sizeof(want), "inbound and (tcp and ((host %s and port %u)))", ip,
			 a.port);
	cr_expect_str_eq(info.filter, want);
	seen.flows = flow_table_new();
	talk(elsewhere, &other); /* not asked for */
	talk(listener, &a);
	collect(c, 0);
	expect_whole_connection(&a);
	for (unsigned i = 0; i < seen.count; i++) {
		cr_expect(seen.seg[i].src.port == a.port || seen.seg[i].dst.port == a.port);
		cr_expect_eq(seen.packet[i].direction, PACKET_DIRECTION_UNKNOWN);
		cr_expect_eq(seen.packet[i].iface, 0);
		cr_expect_eq(seen.packet[i].frame, 0);
		cr_expect_geq(seen.packet[i].ts_ns, began_ns);
		cr_expect_leq(seen.packet[i].ts_ns, clock_real_ns());
	}
	capture_counters(c, 0, &counters);
	cr_expect_eq(counters.received, seen.count);
	cr_expect_eq(counters.dropped, 0);
	flow_table_free(seen.flows);
	capture_close(c);
	close(listener);
	close(elsewhere);
}

Test(capture, loopback)
{
	need_root();
	capture_on_loopback("127.0.0.1", false);
}

Test(capture, loopback_by_port)
{
	need_root();
	capture_on_loopback("127.0.0.1", true);
}

Test(capture, loopback_ip6)
{
	need_root();
	if (access("/proc/net/if_inet6", R_OK) != 0)
		cr_skip_test("no IPv6");
	capture_on_loopback("::1", false);
}

/* More than the ring holds arrives before anybody looks: all of it is seen or counted, once. */
Test(capture, drops_are_counted_and_told)
{
	struct addr a;
	struct capture_endpoint e = {.listener = true};
	struct capture_counters counters;
	int listener, client, server;
	struct capture *c;

	need_root();
	listener = listen_on("127.0.0.1", &a);
	e.addr = a;
	c = open_capture(&e, 1, 1);
	cr_assert_not_null(c, "%s", err);
	connect_to(listener, &a, &client, &server);
	send_and_receive(client, server, 32 << 20);
	collect(c, 0);
	capture_counters(c, 0, &counters);
	cr_expect_gt(counters.dropped, 0);
	cr_expect_eq(seen.dropped_before, 0); /* nothing has come behind the loss */
	send_and_receive(client, server, 1);
	collect(c, 0);
	capture_counters(c, 0, &counters);
	cr_expect_eq(seen.dropped_before, counters.dropped);
	capture_close(c);
	close(client);
	close(server);
	close(listener);
}

/* ---- rights ---- */

static int without_rights(const struct capture_endpoint *e, int listener)
{
	struct capture *c = open_capture(e, 1, 4);
	uid_t real, effective, saved;
	FILE *status;
	char line[256];

	if (c == NULL || !capture_drop_rights(err))
		return 1;
	if (getresuid(&real, &effective, &saved) != 0 || real == 0 || effective == 0 || saved == 0)
		return 2;
	if (setuid(0) == 0 || open_capture(e, 1, 4) != NULL)
		return 3;
	if (strstr(err, "setcap cap_net_raw+ep ") == NULL)
		return 4;
	status = fopen("/proc/self/status", "r");
	while (status != NULL && fgets(line, sizeof(line), status) != NULL)
		if ((strncmp(line, "Cap", 3) == 0 &&
		     strstr(line, "\t0000000000000000\n") == NULL) ||
		    strcmp(line, "NoNewPrivs:\t0\n") == 0)
			return 5;
	talk(listener, &e->addr); /* what was opened before goes on */
	collect(c, 0);
	return seen.count >= 9 ? 0 : 6;
}

Test(capture, rights_are_given_up)
{
	struct capture_endpoint e = {.listener = true};
	int listener, status;
	pid_t child;

	need_root();
	listener = listen_on("127.0.0.1", &e.addr);
	child = fork();
	cr_assert_geq(child, 0);
	if (child == 0)
		_exit(without_rights(&e, listener));
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_expect(WIFEXITED(status));
	cr_expect_eq(WEXITSTATUS(status), 0, "step %d", WEXITSTATUS(status));
	close(listener);
}

/* ---- a namespace with v0 (10.9.9.1/24) and its peer v1, a port of the bridge br0 ---- */

static void run(const char *command)
{
	char out[256];

	cr_assert_eq(frame_command(command, out, sizeof(out)), 0, "%s: %s", command, out);
}

static void enter_namespace(void)
{
	need_root();
	if (unshare(CLONE_NEWNET) != 0)
		cr_skip_test("no network namespaces: %s", strerror(errno));
	run("ip link set lo up 2>&1");
	run("ip link add v0 type veth peer name v1 2>&1");
	run("ip addr add 10.9.9.1/24 dev v0 2>&1");
	run("ip link set v0 up 2>&1");
	run("ip link set v1 up 2>&1");
}

static struct addr addr_of(const char *text)
{
	struct addr a;

	cr_assert(addr_parse(text, strlen(text), &a));
	return a;
}

static struct capture_endpoint listener_at(const char *text)
{
	return (struct capture_endpoint){.addr = addr_of(text), .listener = true};
}

static struct capture_endpoint peer_at(const char *text)
{
	return (struct capture_endpoint){.addr = addr_of(text)};
}

/* Put a frame on an interface, with a VLAN tag when vlan is not 0. */
static void inject(const char *iface, const char *src, const char *dst, unsigned vlan)
{
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(iface), .sll_halen = 6};
	struct segment seg = {
		.src = addr_of(src), .dst = addr_of(dst), .seq = 77, .flags = TCP_SYN};
	static uint8_t frame[FRAME_MAX];
	uint32_t len = frame_write(&seg, frame);
	int fd = socket(AF_PACKET, SOCK_RAW, 0);

	cr_assert_geq(fd, 0);
	if (vlan != 0) {
		memmove(frame + 16, frame + 12, len - 12);
		frame_put16(frame + 12, 0x8100);
		frame_put16(frame + 14, vlan);
		len += 4;
	}
	cr_assert_eq(sendto(fd, frame, len, 0, (struct sockaddr *)&to, sizeof(to)), (ssize_t)len);
	close(fd);
}

static void expect_names(const struct capture_endpoint *e, unsigned count, const char *want)
{
	struct capture_names names;
	char got[256] = "";

	if (capture_find_interfaces(e, count, &names, err)) {
		for (unsigned i = 0; i < names.count; i++)
			sprintf(got + strlen(got), "%s ", names.name[i]);
	}
	cr_expect_str_eq(got, want, "%s", got);
}

Test(capture, interfaces_are_found)
{
	struct capture_endpoint e[2];

	enter_namespace();
	e[0] = listener_at("127.0.0.1:8585");
	expect_names(e, 1, "lo ");
	e[0] = listener_at("10.9.9.1:8585");
	expect_names(e, 1, "v0 lo ");
	e[0] = listener_at("0.0.0.0:8585");
	expect_names(e, 1, "lo v1 v0 ");
	e[0] = peer_at("10.9.9.2:80"); /* by its route */
	expect_names(e, 1, "v0 ");
	e[0] = peer_at("10.9.9.1:80"); /* this machine */
	expect_names(e, 1, "lo ");
	e[0] = peer_at("127.0.0.1:80");
	expect_names(e, 1, "lo ");
	e[0] = peer_at("[::1]:80");
	e[1] = peer_at("10.9.9.77:80");
	expect_names(e, 2, "lo v0 ");
	e[0] = peer_at("203.0.113.9:80"); /* no route: no interface, but the other has one */
	expect_names(e, 2, "v0 ");
	expect_names(e, 1, "");
	cr_expect_not_null(strstr(err, "no interface leads"), "%s", err);
	e[0] = listener_at("192.0.2.1:80"); /* nobody's */
	expect_names(e, 1, "lo ");

	run("ip link set v1 down 2>&1");
	e[0] = listener_at("[::]:8585");
	expect_names(e, 1, "lo v0 ");
	run("ip link add br0 type bridge 2>&1");
	run("ip link set v1 master br0 2>&1");
	run("ip link set v1 up 2>&1");
	run("ip link set br0 up 2>&1");
	expect_names(e, 1, "lo v0 br0 ");
	run("ip route add 203.0.113.0/24 via 10.9.9.2 2>&1");
	e[0] = peer_at("203.0.113.9:80");
	expect_names(e, 1, "v0 ");
}

Test(capture, more_interfaces_than_can_be_captured)
{
	struct capture_endpoint e = listener_at("0.0.0.0:8585");
	char command[128];

	enter_namespace();
	for (unsigned i = 0; i < 8; i++) {
		snprintf(command, sizeof(command),
			 "{ ip link add x%u type veth peer name y%u && ip link set x%u up && "
			 "ip link set y%u up; } 2>&1",
			 i, i, i, i);
		run(command);
	}
	expect_names(&e, 1, "");
	cr_expect_not_null(strstr(err, "more than 16 interfaces"), "%s", err);
}

Test(capture, directions_and_tags_on_an_interface)
{
	struct capture_endpoint e = listener_at("10.9.9.1:8585");
	struct capture_info info;
	struct capture *c;

	enter_namespace();
	c = open_capture(&e, 1, 2);
	cr_assert_not_null(c, "%s", err);
	cr_assert_eq(capture_count(c), 2);
	capture_info(c, 0, &info);
	cr_expect_str_eq(info.name, "v0");
	cr_expect_str_eq(info.filter, "(tcp and ((host 10.9.9.1 and port 8585))) or "
				      "(vlan and tcp and ((host 10.9.9.1 and port 8585)))");
	inject("v1", "10.9.9.2:4000", "10.9.9.1:8585", 0);
	collect(c, 1);
	inject("v0", "10.9.9.1:8585", "10.9.9.2:4000", 0);
	collect(c, 2);
	inject("v1", "10.9.9.2:4001", "10.9.9.1:8585", 7); /* the kernel takes the tag off */
	collect(c, 3);
	inject("v0", "10.9.9.1:8585", "10.9.9.2:4001", 7); /* here it does not */
	collect(c, 4);
	inject("v1", "10.9.9.2:4002", "10.9.9.1:8586",
	       0); /* another port, other host, both tagged too */
	inject("v1", "10.9.9.2:4002", "10.9.9.3:8585", 0);
	inject("v1", "10.9.9.2:4002", "10.9.9.1:8586", 7);
	inject("v1", "10.9.9.2:4002", "10.9.9.3:8585", 7);
	collect(c, 0);
	cr_assert_eq(seen.count, 4);
	for (unsigned i = 0; i < 4; i++) {
		bool out = i % 2;

		cr_expect_eq(seen.packet[i].direction, out ? PACKET_OUTBOUND : PACKET_INBOUND);
		cr_expect_eq(seen.packet[i].iface, 0);
		cr_expect_eq(seen.packet[i].cap_len, i < 2 ? 54 : 58, "packet %u", i);
		cr_expect_eq(out ? seen.seg[i].dst.port : seen.seg[i].src.port, 4000 + i / 2);
		cr_expect_eq(seen.seg[i].seq, 77);
	}
	capture_close(c);
}

/* An address that comes later is ours all the same; what is nobody's has no direction. */
Test(capture, addresses_may_change)
{
	struct capture_endpoint e = {.addr = addr_of("10.9.9.2:80"), .by_port = true};
	struct capture *c;

	enter_namespace();
	c = open_capture(&e, 1, 2);
	cr_assert_not_null(c, "%s", err);
	run("ip addr add 10.9.8.1/24 dev v0 2>&1");
	inject("v0", "10.9.8.1:4000", "10.9.9.2:80", 0);
	collect(c, 1);
	inject("v0", "10.9.7.1:4000", "10.9.9.2:80", 0);
	collect(c, 2);
	cr_assert_eq(seen.count, 2);
	cr_expect_eq(seen.packet[0].direction, PACKET_OUTBOUND);
	cr_expect_eq(seen.packet[1].direction, PACKET_DIRECTION_UNKNOWN);
	capture_close(c);
}

Test(capture, interface_goes_away)
{
	struct capture_endpoint e = peer_at("10.9.9.2:80");
	struct capture_counters counters;
	struct capture_info info;
	struct capture *c;
	bool good = true;

	enter_namespace();
	c = open_capture(&e, 1, 2);
	cr_assert_not_null(c, "%s", err);
	inject("v0", "10.9.9.1:4000", "10.9.9.2:80", 0);
	collect(c, 1);
	run("ip link del v0 2>&1");
	for (unsigned i = 0; i < 30 && good; i++) {
		usleep(10000);
		good = capture_dispatch(c, 0, take_packet, &seen, err);
	}
	cr_expect(!good);
	cr_expect_not_null(strstr(err, "v0: "), "%s", err);
	capture_info(c, 0, &info);
	cr_expect_eq(info.fd, -1);
	cr_expect_str_eq(info.name, "v0");
	cr_expect(capture_dispatch(c, 0, take_packet, &seen,
				   err)); /* nothing comes, nothing is said */
	capture_counters(c, 0, &counters);
	cr_expect_eq(counters.received, 1);
	capture_close(c);
}

/* Down and up again: the capture goes on. */
Test(capture, interface_goes_down_for_a_while)
{
	struct capture_endpoint e = peer_at("10.9.9.2:80");
	struct capture *c;

	enter_namespace();
	c = open_capture(&e, 1, 2);
	cr_assert_not_null(c, "%s", err);
	run("ip link set v0 down 2>&1");
	for (unsigned i = 0; i < 5; i++) {
		usleep(10000);
		cr_expect(capture_dispatch(c, 0, take_packet, &seen, err), "%s", err);
	}
	run("ip link set v0 up 2>&1");
	inject("v0", "10.9.9.1:4000", "10.9.9.2:80", 0);
	collect(c, 1);
	cr_expect_eq(seen.count, 1);
	capture_close(c);
}

Test(capture, interfaces_by_name)
{
	static const char *const names[] = {"v1", "lo", "v1"}, *const wrong[] = {"v7"};
	struct capture_options options = {
		.interfaces = names, .interface_count = 3, .buffer_mb = 1};
	struct capture_endpoint e = listener_at("10.9.9.1:8585");
	struct capture_info info;
	struct capture *c;

	enter_namespace();
	c = capture_open(&e, 1, &options, err);
	cr_assert_not_null(c, "%s", err);
	cr_expect_eq(capture_count(c), 2);
	capture_info(c, 0, &info);
	cr_expect_str_eq(info.name, "v1");
	capture_info(c, 1, &info);
	cr_expect_str_eq(info.name, "lo");
	capture_close(c);
	options.interfaces = wrong;
	options.interface_count = 1;
	cr_expect_null(capture_open(&e, 1, &options, err));
	cr_expect_str_eq(err, "v7: there is no such interface");
	run("ip link set v1 down 2>&1");
	options.interfaces = names;
	cr_expect_null(capture_open(&e, 1, &options, err));
	cr_expect_str_eq(err, "v1: the interface is down");
}

/* Point to point without a link layer; several endpoints in one filter, each once. */
Test(capture, raw_link_and_several_endpoints)
{
	struct capture_endpoint e[3] = {peer_at("10.9.6.2:80"), peer_at("10.9.6.2:80"),
					peer_at("10.9.6.3:8080")};
	struct capture_info info;
	struct capture *c;
	char out[256];

	enter_namespace();
	if (frame_command("ip tuntap add t0 mode tun 2>&1", out, sizeof(out)) != 0)
		cr_skip_test("no tun devices");
	e[2].by_port = true;
	run("ip addr add 10.9.6.1/24 dev t0 2>&1");
	run("ip link set t0 up 2>&1");
	c = open_capture(e, 3, 2);
	cr_assert_not_null(c, "%s", err);
	cr_assert_eq(capture_count(c), 1);
	capture_info(c, 0, &info);
	cr_expect_str_eq(info.name, "t0");
	cr_expect_eq(info.link, LINK_RAW);
	cr_expect_str_eq(info.filter, "tcp and ((host 10.9.6.2 and port 80) or port 8080)");
	capture_close(c);
}

Test(capture, nothing_to_capture)
{
	struct capture_options options = {.buffer_mb = 1};

	cr_expect_null(capture_open(NULL, 0, &options, err));
	cr_expect_str_eq(err, "nothing to capture");
	capture_close(NULL);
}
