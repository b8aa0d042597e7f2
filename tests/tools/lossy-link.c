/*
 * lossy-link.c -- a cable between two network namespaces that delays, drops, reorders, duplicates and
 * limits the rate of TCP frames, in each direction by rules of its own.
 *
 *     lossy-link --left NETNS:DEV --right NETNS:DEV [--seed N] [--offload]
 *                [--to-right RULES] [--to-left RULES]
 *
 * Both ends are tap devices, which exist as long as this process. It says "ready" on stdout, then
 * reads commands from stdin, each answered by a line: "to-right RULES", "to-left RULES", "stats".
 * RULES are key=value,... as in the table below; those not named keep their value. It ends when stdin
 * does or by SIGTERM. Other frames than TCP's (ARP, neighbour discovery) pass at once and unharmed.
 *
 * Invariant: what becomes of the n-th TCP frame of a direction (but for tail drops and times) is a
 * function of the seed, the direction, n and the rules: each frame draws the same count of numbers.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/attrib.h"
#include "common/clock.h"
#include "tests/tools/lib/options.h"

#define PROGRAM      "lossy-link"
#define FRAME_MAX    (65536 + 512)
#define HELD_MAX     65536U      /* frames on their way, per direction */
#define HELD_BYTES   (64U << 20) /* and their bytes */
#define VNET_HEADER  10          /* struct virtio_net_hdr, which tap puts before each frame */
#define MILLION      1000000U
#define READS_AT_ONE 256

struct rules {
	uint32_t delay_us;
	uint32_t jitter_us;     /* up to so much more, without changing the order */
	uint32_t drop_ppm;      /* of a million frames */
	uint32_t burst_ppm;     /* the same of frames that follow a dropped one */
	uint32_t duplicate_ppm; /* sent twice */
	uint32_t duplicate_us;  /* the second so much later */
	uint32_t reorder_ppm;   /* held back, those behind pass them */
	uint32_t reorder_us;    /* for so long */
	uint32_t rate_kbit;     /* 0: unlimited */
	uint32_t queue_bytes;   /* that wait for the rate; a frame beyond is dropped */
	uint32_t drop_next;     /* so many frames are dropped, whatever the seed says */
};

static const struct rule_key {
	const char *name;
	size_t at;
	uint32_t max;
} rule_keys[] = {
	{"delay_us", offsetof(struct rules, delay_us), 10 * MILLION},
	{"jitter_us", offsetof(struct rules, jitter_us), 10 * MILLION},
	{"drop_ppm", offsetof(struct rules, drop_ppm), MILLION},
	{"burst_ppm", offsetof(struct rules, burst_ppm), MILLION},
	{"duplicate_ppm", offsetof(struct rules, duplicate_ppm), MILLION},
	{"duplicate_us", offsetof(struct rules, duplicate_us), 10 * MILLION},
	{"reorder_ppm", offsetof(struct rules, reorder_ppm), MILLION},
	{"reorder_us", offsetof(struct rules, reorder_us), 10 * MILLION},
	{"rate_kbit", offsetof(struct rules, rate_kbit), 100 * MILLION},
	{"queue_bytes", offsetof(struct rules, queue_bytes), HELD_BYTES},
	{"drop_next", offsetof(struct rules, drop_next), MILLION},
};

struct held {
	uint64_t due_ns;
	uint64_t order;
	uint32_t len;
	uint8_t *bytes; /* owned */
};

/* refused: by the device; all else counts TCP frames. */
struct counters {
	uint64_t frames, passed, dropped, duplicated, reordered, overflowed, refused;
};

struct direction {
	const char *name;
	int from_fd, to_fd;
	struct rules rules;
	uint64_t random;
	bool last_dropped;
	uint64_t last_due_ns; /* of those that keep the order */
	uint64_t free_ns;     /* when the rate lets the next frame begin */
	struct held *heap;    /* by due_ns, order */
	uint32_t held, held_cap;
	uint64_t held_bytes;
	uint64_t next_order;
	struct counters count;
};

static bool with_offload;

/* ---- rules ---- */

static void rule_set(struct rules *r, char *key)
{
	char *value = strchr(key, '=');

	if (value != NULL)
		*value++ = '\0';
	for (unsigned i = 0; i < ARRAY_LEN(rule_keys); i++) {
		const struct rule_key *k = &rule_keys[i];
		uint32_t number;

		if (value == NULL || strcmp(k->name, key) != 0)
			continue;
		number = (uint32_t)option_number(PROGRAM, key, value, k->max);
		memcpy((char *)r + k->at, &number, sizeof(number));
		return;
	}
	fprintf(stderr, "%s: %s: no such rule\n", PROGRAM, key);
	exit(2);
}

static void rules_set(struct rules *r, char *text)
{
	char *save = NULL;

	for (char *one = strtok_r(text, ",", &save); one != NULL; one = strtok_r(NULL, ",", &save))
		rule_set(r, one);
}

/* ---- chance ---- */

/* splitmix64 */
static uint64_t draw(struct direction *d)
{
	uint64_t z = d->random += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static bool chance(struct direction *d, uint32_t ppm)
{
	return (uint32_t)((draw(d) >> 32) * MILLION >> 32) < ppm;
}

/* ---- frames on their way ---- */

static bool is_before(const struct held *a, const struct held *b)
{
	return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

static bool heap_has_room(struct direction *d, uint32_t len)
{
	uint32_t cap = d->held_cap > 0 ? 2 * d->held_cap : 256;
	struct held *grown;

	if (d->held == HELD_MAX || d->held_bytes + len > HELD_BYTES)
		return false;
	if (d->held < d->held_cap)
		return true;
	grown = realloc(d->heap, cap * sizeof(*grown));
	if (grown == NULL)
		return false;
	d->heap = grown;
	d->held_cap = cap;
	return true;
}

static void hold(struct direction *d, const uint8_t *bytes, uint32_t len, uint64_t due_ns)
{
	struct held h = {.due_ns = due_ns, .order = d->next_order++, .len = len};
	uint32_t i;

	if (heap_has_room(d, len))
		h.bytes = malloc(len);
	if (h.bytes == NULL) {
		d->count.overflowed++;
		return;
	}
	memcpy(h.bytes, bytes, len);
	d->held_bytes += len;
	for (i = d->held++; i > 0 && is_before(&h, &d->heap[(i - 1) / 2]); i = (i - 1) / 2)
		d->heap[i] = d->heap[(i - 1) / 2];
	d->heap[i] = h;
}

static struct held heap_take(struct direction *d)
{
	struct held first = d->heap[0], last = d->heap[--d->held];
	uint32_t i = 0, child;

	for (; (child = 2 * i + 1) < d->held; i = child) {
		if (child + 1 < d->held && is_before(&d->heap[child + 1], &d->heap[child]))
			child++;
		if (!is_before(&d->heap[child], &last))
			break;
		d->heap[i] = d->heap[child];
	}
	d->heap[i] = last;
	d->held_bytes -= first.len;
	return first;
}

static void put_out_due(struct direction *d, uint64_t now_ns)
{
	while (d->held > 0 && d->heap[0].due_ns <= now_ns) {
		struct held h = heap_take(d);

		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it does not follow the heap */
		if (write(d->to_fd, h.bytes, h.len) == (ssize_t)h.len)
			d->count.passed++;
		else
			d->count.refused++;
		free(h.bytes);
	}
}

/* ---- what becomes of a frame ---- */

static bool is_tcp(const uint8_t *frame, uint32_t len)
{
	uint32_t ip = 14 + (with_offload ? VNET_HEADER : 0);

	if (len < ip + 20)
		return false;
	frame += ip;
	if (frame[-2] == 0x08 && frame[-1] == 0x00)
		return frame[9] == 6;
	return frame[-2] == 0x86 && frame[-1] == 0xdd && frame[6] == 6;
}

/* False: the queue before the bottleneck is full. Else *at_ns is when it has passed. */
static bool pass_rate(struct direction *d, uint32_t len, uint64_t *at_ns)
{
	const struct rules *r = &d->rules;
	uint64_t begin_ns = MAX(*at_ns, d->free_ns);
	uint64_t waiting;

	if (r->rate_kbit == 0)
		return true;
	waiting = (begin_ns - *at_ns) * r->rate_kbit / (8 * MILLION);
	if (r->queue_bytes > 0 && waiting + len > r->queue_bytes)
		return false;
	d->free_ns = begin_ns + (uint64_t)len * 8 * MILLION / r->rate_kbit;
	*at_ns = d->free_ns;
	return true;
}

static bool is_dropped(struct direction *d, bool by_chance)
{
	bool dropped = by_chance || d->rules.drop_next > 0;

	d->rules.drop_next -= d->rules.drop_next > 0;
	d->last_dropped = dropped;
	d->count.dropped += dropped;
	return dropped;
}

static void send_tcp(struct direction *d, const uint8_t *bytes, uint32_t len, uint64_t now_ns)
{
	const struct rules *r = &d->rules;
	bool drops = chance(d, d->last_dropped && r->burst_ppm > 0 ? r->burst_ppm : r->drop_ppm);
	bool duplicates = chance(d, r->duplicate_ppm);
	bool reorders = chance(d, r->reorder_ppm);
	uint64_t jitter_us = (draw(d) >> 32) * r->jitter_us >> 32, due_ns = now_ns;

	d->count.frames++;
	if (is_dropped(d, drops))
		return;
	if (!pass_rate(d, len, &due_ns)) {
		d->count.overflowed++;
		return;
	}
	due_ns += (r->delay_us + jitter_us) * NS_PER_US;
	if (reorders) {
		due_ns += r->reorder_us * NS_PER_US;
		d->count.reordered++;
	} else {
		due_ns = MAX(due_ns, d->last_due_ns);
		d->last_due_ns = due_ns;
	}
	hold(d, bytes, len, due_ns);
	if (duplicates) {
		d->count.duplicated++;
		hold(d, bytes, len, due_ns + r->duplicate_us * NS_PER_US);
	}
}

static void take_in(struct direction *d)
{
	static uint8_t frame[FRAME_MAX];
	uint64_t now_ns = clock_mono_ns();

	for (unsigned i = 0; i < READS_AT_ONE; i++) {
		ssize_t n = read(d->from_fd, frame, sizeof(frame));

		if (n <= 0)
			return;
		if (is_tcp(frame, (uint32_t)n))
			send_tcp(d, frame, (uint32_t)n, now_ns);
		else if (write(d->to_fd, frame, (size_t)n) < 0)
			continue; /* the other end is not up yet */
	}
}

/* ---- the devices ---- */

static void die(const char *what, const char *name)
{
	fprintf(stderr, "%s: %s %s: %s\n", PROGRAM, what, name, strerror(errno));
	exit(1);
}

static void enter(const char *netns)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", netns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) != 0)
		die("namespace", netns);
	close(fd);
}

/* place: "NETNS:DEV" */
static int device_open(const char *place)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	const char *colon = strchr(place, ':');
	char netns[128];
	int fd;

	if (colon == NULL || colon[1] == '\0' || strlen(colon + 1) >= sizeof(request.ifr_name) ||
	    (size_t)(colon - place) >= sizeof(netns)) {
		fprintf(stderr, "%s: %s: NETNS:DEV is wanted\n", PROGRAM, place);
		exit(2);
	}
	snprintf(netns, sizeof(netns), "%.*s", (int)(colon - place), place);
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", colon + 1);
	enter(netns);
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (with_offload)
		request.ifr_flags |= IFF_VNET_HDR;
	if (fd < 0 || ioctl(fd, TUNSETIFF, &request) != 0)
		die("device", place);
	if (with_offload && ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) != 0)
		die("offload", place);
	return fd;
}

/* ---- commands ---- */

static void say_counters(const struct direction *d)
{
	const struct counters *c = &d->count;

	printf("\"%s\":{\"frames\":%" PRIu64 ",\"passed\":%" PRIu64 ",\"dropped\":%" PRIu64
	       ",\"duplicated\":%" PRIu64 ",\"reordered\":%" PRIu64 ",\"overflowed\":%" PRIu64
	       ",\"refused\":%" PRIu64 "}",
	       d->name, c->frames, c->passed, c->dropped, c->duplicated, c->reordered,
	       c->overflowed, c->refused);
}

static void obey(struct direction both[2], char *line)
{
	char *space = strchr(line, ' ');

	if (strcmp(line, "stats") == 0) {
		printf("{");
		say_counters(&both[0]);
		printf(",");
		say_counters(&both[1]);
		printf("}\n");
		return;
	}
	if (space != NULL)
		*space++ = '\0';
	for (unsigned i = 0; i < 2; i++) {
		if (space == NULL || strcmp(line, both[i].name) != 0)
			continue;
		rules_set(&both[i].rules, space);
		printf("ok\n");
		return;
	}
	fprintf(stderr, "%s: %s: no such command\n", PROGRAM, line);
	exit(2);
}

/* False: stdin has ended. */
static bool read_commands(struct direction both[2])
{
	static char text[4096];
	static size_t len;
	ssize_t n = read(STDIN_FILENO, text + len, sizeof(text) - len - 1);
	char *line = text, *end;

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	len += (size_t)n;
	text[len] = '\0';
	for (; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		*end = '\0';
		obey(both, line);
	}
	fflush(stdout);
	len -= (size_t)(line - text);
	memmove(text, line, len);
	return len < sizeof(text) - 1;
}

/* ---- the loop ---- */

static int signals_open(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return -1;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static uint64_t next_due_ns(const struct direction both[2])
{
	uint64_t due_ns = UINT64_MAX;

	for (unsigned i = 0; i < 2; i++)
		if (both[i].held > 0)
			due_ns = MIN(due_ns, both[i].heap[0].due_ns);
	return due_ns;
}

static void run(struct direction both[2], int signals)
{
	struct pollfd fds[] = {{.fd = both[0].from_fd, .events = POLLIN},
			       {.fd = both[1].from_fd, .events = POLLIN},
			       {.fd = STDIN_FILENO, .events = POLLIN},
			       {.fd = signals, .events = POLLIN}};

	for (;;) {
		uint64_t due_ns = next_due_ns(both), now_ns = clock_mono_ns();
		uint64_t wait_ns = due_ns > now_ns ? due_ns - now_ns : 0;
		struct timespec wait = {.tv_sec = (time_t)(wait_ns / NS_PER_S),
					.tv_nsec = (long)(wait_ns % NS_PER_S)};

		if (ppoll(fds, ARRAY_LEN(fds), due_ns != UINT64_MAX ? &wait : NULL, NULL) < 0 &&
		    errno != EINTR)
			die("wait for", "frames");
		if (fds[3].revents != 0 || (fds[2].revents != 0 && !read_commands(both)))
			return;
		for (unsigned i = 0; i < 2; i++) {
			if (fds[i].revents & ~POLLIN)
				return; /* the namespace is gone, and the device with it */
			if (fds[i].revents != 0)
				take_in(&both[i]);
			put_out_due(&both[i], clock_mono_ns());
		}
	}
}

static void direction_free(struct direction *d)
{
	for (uint32_t i = 0; i < d->held; i++)
		free(d->heap[i].bytes);
	free(d->heap);
}

static void read_options(int argc, char **argv, struct direction both[2], const char *place[2])
{
	static const struct option options[] = {{"left", required_argument, NULL, 'l'},
						{"right", required_argument, NULL, 'r'},
						{"seed", required_argument, NULL, 's'},
						{"offload", no_argument, NULL, 'o'},
						{"to-right", required_argument, NULL, 'R'},
						{"to-left", required_argument, NULL, 'L'},
						{0}};
	uint64_t seed = 1;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'l' || c == 'r')
			place[c == 'r'] = optarg;
		else if (c == 's')
			seed = option_number(PROGRAM, "--seed", optarg, UINT32_MAX);
		else if (c == 'o')
			with_offload = true;
		else if (c == 'R' || c == 'L')
			rules_set(&both[c == 'L'].rules, optarg);
		else
			exit(2);
	}
	if (place[0] == NULL || place[1] == NULL || optind < argc) {
		fprintf(stderr, "%s: --left and --right are wanted\n", PROGRAM);
		exit(2);
	}
	for (unsigned i = 0; i < 2; i++)
		both[i].random = seed * 2 + i;
}

int main(int argc, char **argv)
{
	struct direction both[2] = {{.name = "to-right"}, {.name = "to-left"}};
	const char *place[2] = {NULL, NULL};
	int signals;

	read_options(argc, argv, both, place);
	signals = signals_open();
	if (signals < 0)
		die("wait for", "signals");
	for (unsigned i = 0; i < 2; i++) {
		both[i].from_fd = device_open(place[i]);
		both[!i].to_fd = both[i].from_fd;
	}
	printf("ready\n");
	fflush(stdout);
	run(both, signals);
	for (unsigned i = 0; i < 2; i++) {
		close(both[i].from_fd);
		direction_free(&both[i]);
	}
	return 0;
}
