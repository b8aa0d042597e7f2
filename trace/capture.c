/*
 * capture.c -- live capture by libpcap.
 *
 * TPACKET_V3 in blocks of 2 ms: never immediate mode, which falls back to a version with a handful
 * of slots. Filters are set before anything is read and never changed: packets are lost without
 * being counted otherwise. Rights are needed by capture_open() only.
 *
 * Invariant: a handle's counters only grow, also when the interface is gone.
 */
#include "trace/capture.h"

#include <errno.h>
#include <linux/filter.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "trace/capture_route.h"
#include "trace/decode.h"
#include "trace/loss_marks.h"

#define BUFFER_MB_MAX    2047U
#define DISPATCH_PACKETS 512 /* of one pcap_dispatch() */
#define DISPATCH_ROUNDS  8192
#define SNAP_LEN_MAX     262144
#define LOCALS_AGE_NS    (10 * NS_PER_S)
#define STILL_BLOCKS     5 /* blocks' times without a packet: none is in the ring */

struct handle {
	pcap_t *pcap; /* NULL: the interface is gone */
	char name[IF_NAMESIZE];
	char *filter;
	uint32_t link;
	int fd;
	bool loopback;
	uint32_t last_received, last_dropped; /* libpcap's counters have 32 bits */
	uint64_t received, dropped;
	struct loss_marks losses;
	uint64_t still_kept; /* packets kept when the counters were read last */
	uint64_t still_ns;   /* and since when that did not change, monotonic */
};

struct capture {
	struct handle handles[CAPTURE_MAX];
	unsigned count;
	struct capture_locals locals;
	uint64_t locals_ns; /* packet time when they were read again */
};

/* ---- filters ---- */

/* Text of any length. Without memory it becomes NULL and stays so. */
struct text {
	char *at;
	size_t len;
};

static void text_add(struct text *t, const char *more)
{
	size_t len = strlen(more);
	char *at = t->at != NULL ? realloc(t->at, t->len + len + 1) : NULL;

	if (at == NULL) {
		free(t->at);
		t->at = NULL;
		return;
	}
	memcpy(at + t->len, more, len + 1);
	t->at = at;
	t->len += len;
}

static void format_endpoint(const struct capture_endpoint *e, char out[ADDR_TEXT_MAX + 32])
{
	struct addr a = e->addr;
	char ip[ADDR_TEXT_MAX];

	a.scope_id = 0;
	addr_format_ip(&a, ip);
	if (e->by_port || addr_is_wildcard(&a))
		snprintf(out, ADDR_TEXT_MAX + 32, "port %u", a.port);
	else
		snprintf(out, ADDR_TEXT_MAX + 32, "(host %s and port %u)", ip, a.port);
}

/* "tcp and (... or ...)", each endpoint once. */
static void add_endpoints(struct text *t, const struct capture_endpoint *endpoints, unsigned count)
{
	char one[ADDR_TEXT_MAX + 32], other[ADDR_TEXT_MAX + 32];

	text_add(t, "tcp and (");
	for (unsigned i = 0; i < count; i++) {
		bool seen = false;

		format_endpoint(&endpoints[i], one);
		for (unsigned k = 0; k < i && !seen; k++) {
			format_endpoint(&endpoints[k], other);
			seen = strcmp(one, other) == 0;
		}
		if (seen)
			continue;
		text_add(t, i > 0 ? " or " : "");
		text_add(t, one);
	}
	text_add(t, ")");
}

/*
 * On loopback every packet is offered twice: the outgoing copy is refused. On Ethernet, tagged
 * frames have to be asked for; `vlan` moves all offsets behind it, so it comes last.
 */
static char *make_filter(const struct handle *h, const struct capture_endpoint *endpoints,
			 unsigned count)
{
	struct text t = {.at = calloc(1, 1)};
	bool tagged = !h->loopback && h->link == LINK_ETHERNET;

	text_add(&t, h->loopback ? "inbound and (" : tagged ? "(" : "");
	add_endpoints(&t, endpoints, count);
	text_add(&t, h->loopback || tagged ? ")" : "");
	if (tagged) {
		text_add(&t, " or (vlan and ");
		add_endpoints(&t, endpoints, count);
		text_add(&t, ")");
	}
	return t.at;
}

/* ---- opening ---- */

/* The LINKTYPE_ that a file has for libpcap's own number, where decode knows it. */
static bool link_of_dlt(int dlt, uint32_t *link)
{
	switch (dlt) {
	case DLT_EN10MB:
		*link = LINK_ETHERNET;
		return true;
	case DLT_RAW:
		*link = LINK_RAW;
		return true;
	case DLT_NULL:
		*link = LINK_NULL;
		return true;
	case DLT_LOOP:
		*link = LINK_LOOP;
		return true;
	case DLT_LINUX_SLL:
		*link = LINK_SLL;
		return true;
	case DLT_LINUX_SLL2:
		*link = LINK_SLL2;
		return true;
	case DLT_IPV4:
		*link = LINK_IPV4;
		return true;
	case DLT_IPV6:
		*link = LINK_IPV6;
		return true;
	default:
		return false;
	}
}

static void say_not_permitted(const char *name, char err[CAPTURE_ERROR_MAX])
{
	char program[256];
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);

	program[MAX(n, 0)] = '\0';
	snprintf(err, CAPTURE_ERROR_MAX,
		 "capturing on %s is not permitted: `setcap cap_net_raw+ep %s`, or run as root",
		 name, n > 0 ? program : "flowtrace");
}

static bool activate(struct handle *h, const struct capture_options *options,
		     char err[CAPTURE_ERROR_MAX])
{
	uint32_t snap_len = options->snap_len;
	int status;

	if (snap_len == 0 || snap_len > SNAP_LEN_MAX)
		snap_len = SNAP_LEN_MAX;
	(void)pcap_set_snaplen(h->pcap, (int)snap_len);
	(void)pcap_set_promisc(h->pcap, 0);
	(void)pcap_set_timeout(h->pcap, CAPTURE_BLOCK_MS);
	(void)pcap_set_buffer_size(h->pcap,
				   (int)(MIN(MAX(options->buffer_mb, 1U), BUFFER_MB_MAX) << 20));
	if (pcap_set_tstamp_precision(h->pcap, PCAP_TSTAMP_PRECISION_NANO) != 0) {
		snprintf(err, CAPTURE_ERROR_MAX, "%s: no nanosecond time stamps", h->name);
		return false;
	}
	status = pcap_activate(h->pcap);
	if (status == PCAP_ERROR_PERM_DENIED)
		say_not_permitted(h->name, err);
	else if (status == PCAP_ERROR_NO_SUCH_DEVICE)
		snprintf(err, CAPTURE_ERROR_MAX, "%s: there is no such interface", h->name);
	else if (status == PCAP_ERROR_IFACE_NOT_UP)
		snprintf(err, CAPTURE_ERROR_MAX, "%s: the interface is down", h->name);
	else if (status < 0)
		snprintf(err, CAPTURE_ERROR_MAX, "%s: %s", h->name, pcap_geterr(h->pcap));
	return status >= 0;
}

/*
 * The kernel runs the filter. pcap_setfilter() would do the same, but then look again at what is in
 * the block at hand, where `inbound` cannot be decided and everything is thrown away: the first
 * packets after the start. Only cooked captures need it, since it moves their offsets.
 */
static bool attach_filter(struct handle *h, struct bpf_program *program,
			  char err[CAPTURE_ERROR_MAX])
{
	struct sock_fprog kernel = {.len = (unsigned short)program->bf_len,
				    .filter = (void *)program->bf_insns};

	_Static_assert(sizeof(struct sock_filter) == sizeof(struct bpf_insn), "one format");
	if (h->link == LINK_SLL || h->link == LINK_SLL2) {
		if (pcap_setfilter(h->pcap, program) == 0)
			return true;
		snprintf(err, CAPTURE_ERROR_MAX, "%s: filter: %s", h->name, pcap_geterr(h->pcap));
		return false;
	}
	if (program->bf_len <= BPF_MAXINSNS &&
	    setsockopt(pcap_fileno(h->pcap), SOL_SOCKET, SO_ATTACH_FILTER, &kernel,
		       sizeof(kernel)) == 0)
		return true;
	snprintf(err, CAPTURE_ERROR_MAX, "%s: the kernel refuses a filter of %u instructions: %s",
		 h->name, program->bf_len,
		 program->bf_len <= BPF_MAXINSNS ? strerror(errno) : "too many endpoints");
	return false;
}

static bool set_filter(struct handle *h, const struct capture_endpoint *endpoints, unsigned count,
		       char err[CAPTURE_ERROR_MAX])
{
	struct bpf_program program;
	bool attached;

	h->filter = make_filter(h, endpoints, count);
	if (h->filter == NULL) {
		snprintf(err, CAPTURE_ERROR_MAX, "%s: out of memory", h->name);
		return false;
	}
	if (pcap_compile(h->pcap, &program, h->filter, 1, PCAP_NETMASK_UNKNOWN) != 0) {
		snprintf(err, CAPTURE_ERROR_MAX, "%s: filter: %s", h->name, pcap_geterr(h->pcap));
		return false;
	}
	attached = attach_filter(h, &program, err);
	pcap_freecode(&program);
	return attached;
}

static void handle_close(struct handle *h)
{
	if (h->pcap != NULL)
		pcap_close(h->pcap);
	h->pcap = NULL;
	h->fd = -1;
}

static bool handle_open(struct handle *h, const char *name,
			const struct capture_endpoint *endpoints, unsigned count,
			const struct capture_options *options, char err[CAPTURE_ERROR_MAX])
{
	char text[PCAP_ERRBUF_SIZE] = "";

	*h = (struct handle){.fd = -1};
	snprintf(h->name, sizeof(h->name), "%s", name);
	h->loopback = capture_is_loopback(name);
	h->pcap = pcap_create(name, text);
	if (h->pcap == NULL) {
		snprintf(err, CAPTURE_ERROR_MAX, "%s: %s", name, text);
		return false;
	}
	if (!activate(h, options, err))
		goto fail;
	/* On `any` its header names the device: one packet seen on two is told from one sent twice. */
	if (pcap_datalink(h->pcap) == DLT_LINUX_SLL)
		(void)pcap_set_datalink(h->pcap, DLT_LINUX_SLL2);
	if (!link_of_dlt(pcap_datalink(h->pcap), &h->link)) {
		snprintf(err, CAPTURE_ERROR_MAX, "%s: link layer %d is not known here", name,
			 pcap_datalink(h->pcap));
		goto fail;
	}
	if (!set_filter(h, endpoints, count, err))
		goto fail;
	h->fd = pcap_get_selectable_fd(h->pcap);
	if (pcap_setnonblock(h->pcap, 1, text) != 0 || h->fd < 0) {
		snprintf(err, CAPTURE_ERROR_MAX, "%s: cannot be waited for: %s", name, text);
		goto fail;
	}
	return true;
fail:
	handle_close(h);
	free(h->filter);
	h->filter = NULL;
	return false;
}

static void discard(u_char *user, const struct pcap_pkthdr *head, const u_char *bytes)
{
	(void)user;
	(void)head;
	(void)bytes;
}

/*
 * Between activation and filter everything was captured. Those packets are in blocks that are full
 * or time out now: throw them away, and count from here.
 */
static void drain_unfiltered(struct capture *c)
{
	struct timespec blocks = {.tv_nsec = (long)(5 * CAPTURE_BLOCK_MS * NS_PER_MS)};
	struct pcap_stat now;

	(void)nanosleep(&blocks, NULL);
	for (unsigned i = 0; i < c->count; i++) {
		struct handle *h = &c->handles[i];

		for (unsigned round = 0; round < DISPATCH_ROUNDS; round++)
			if (pcap_dispatch(h->pcap, DISPATCH_PACKETS, discard, NULL) <= 0)
				break;
		if (pcap_stats(h->pcap, &now) == 0) {
			h->last_received = now.ps_recv;
			h->last_dropped = now.ps_drop;
		}
	}
}

static bool choose_names(const struct capture_endpoint *endpoints, unsigned count,
			 const struct capture_options *options, struct capture_names *names,
			 char err[CAPTURE_ERROR_MAX])
{
	if (count == 0) {
		snprintf(err, CAPTURE_ERROR_MAX, "nothing to capture");
		return false;
	}
	if (options->interface_count == 0)
		return capture_find_interfaces(endpoints, count, names, err);
	*names = (struct capture_names){0};
	for (unsigned i = 0; i < options->interface_count; i++) {
		if (capture_add_name(names, options->interfaces[i], true))
			continue;
		snprintf(err, CAPTURE_ERROR_MAX,
			 "%.64s: no interface name, or more than %d of them",
			 options->interfaces[i], CAPTURE_MAX);
		return false;
	}
	return true;
}

struct capture *capture_open(const struct capture_endpoint *endpoints, unsigned count,
			     const struct capture_options *options, char err[CAPTURE_ERROR_MAX])
{
	struct capture_names names;
	struct capture *c;

	if (!choose_names(endpoints, count, options, &names, err))
		return NULL;
	c = calloc(1, sizeof(*c));
	if (c == NULL) {
		snprintf(err, CAPTURE_ERROR_MAX, "out of memory");
		return NULL;
	}
	capture_locals_read(&c->locals);
	for (unsigned i = 0; i < names.count; i++) {
		if (handle_open(&c->handles[c->count], names.name[i], endpoints, count, options,
				err))
			c->count++;
		else if (names.needed[i])
			goto fail;
	}
	if (c->count > 0) {
		drain_unfiltered(c);
		return c;
	}
fail:
	capture_close(c);
	return NULL;
}

void capture_close(struct capture *c)
{
	if (c == NULL)
		return;
	for (unsigned i = 0; i < c->count; i++) {
		handle_close(&c->handles[i]);
		free(c->handles[i].filter);
	}
	capture_locals_fini(&c->locals);
	free(c);
}

unsigned capture_count(const struct capture *c)
{
	return c->count;
}

void capture_info(const struct capture *c, unsigned i, struct capture_info *out)
{
	const struct handle *h = &c->handles[i];

	*out = (struct capture_info){
		.name = h->name, .filter = h->filter, .link = h->link, .fd = h->fd};
}

/* ---- packets ---- */

struct dispatch {
	struct capture *c;
	struct handle *h;
	unsigned i;
	capture_packet fn;
	void *arg;
};

/* What this machine sends is outbound. Addresses may have come since they were read. */
static uint8_t direction_of(struct capture *c, const struct packet *p)
{
	struct segment seg;
	bool from_here, to_here;

	if (decode_packet(p, &seg) != DECODE_TCP)
		return PACKET_DIRECTION_UNKNOWN;
	from_here = capture_locals_have(&c->locals, &seg.src);
	to_here = capture_locals_have(&c->locals, &seg.dst);
	if (!from_here && !to_here && p->ts_ns > c->locals_ns + LOCALS_AGE_NS) {
		c->locals_ns = p->ts_ns;
		capture_locals_read(&c->locals);
		from_here = capture_locals_have(&c->locals, &seg.src);
		to_here = capture_locals_have(&c->locals, &seg.dst);
	}
	if (from_here == to_here)
		return PACKET_DIRECTION_UNKNOWN;
	return from_here ? PACKET_OUTBOUND : PACKET_INBOUND;
}

static void pass_packet(u_char *user, const struct pcap_pkthdr *head, const u_char *bytes)
{
	const struct dispatch *d = (const void *)user;
	struct packet p = {
		.ts_ns = (uint64_t)head->ts.tv_sec * NS_PER_S + (uint64_t)head->ts.tv_usec,
		.cap_len = head->caplen,
		.wire_len = head->len,
		.bytes = bytes,
	};

	p.iface = d->i;
	p.link = d->h->link;
	p.dropped_before = loss_marks_pass(&d->h->losses);
	if (!d->h->loopback)
		p.direction = direction_of(d->c, &p);
	d->fn(&p, d->arg);
}

/*
 * A loss since the counters were read last: if nothing was read from the ring meanwhile, it was full
 * from some moment on, and the loss is behind all that it holds. Else the loss may be anywhere behind
 * what had been kept before, and is told there.
 */
static void read_counters(struct handle *h, bool was_reading)
{
	uint64_t kept_before = h->received - h->dropped;
	struct pcap_stat now;
	uint32_t dropped;

	if (h->pcap == NULL || pcap_stats(h->pcap, &now) != 0)
		return;
	dropped = (uint32_t)now.ps_drop - h->last_dropped;
	h->received += (uint32_t)(now.ps_recv - h->last_received);
	h->dropped += dropped;
	h->last_received = now.ps_recv;
	h->last_dropped = now.ps_drop;
	loss_marks_note(&h->losses, was_reading ? kept_before : h->received - h->dropped, dropped);
}

/*
 * Where the kernel's count and ours drift apart (libpcap rejects packets itself where the kernel's
 * filter came too late), a while without any packet puts them together: the ring is empty then.
 */
static void sync_losses(struct handle *h)
{
	uint64_t kept = h->received - h->dropped, now_ns = clock_mono_ns();

	if (kept != h->still_kept) {
		h->still_kept = kept;
		h->still_ns = now_ns;
	} else if (now_ns - h->still_ns > STILL_BLOCKS * CAPTURE_BLOCK_MS * NS_PER_MS) {
		loss_marks_sync(&h->losses, kept);
	}
}

/* Rounds are short, so that the place of a loss is known well. */
bool capture_dispatch(struct capture *c, unsigned i, capture_packet fn, void *arg,
		      char err[CAPTURE_ERROR_MAX])
{
	struct handle *h = &c->handles[i];
	struct dispatch d = {.c = c, .h = h, .i = i, .fn = fn, .arg = arg};
	int n = 1;

	read_counters(h, false);
	for (unsigned round = 0; round < DISPATCH_ROUNDS && n > 0 && h->pcap != NULL; round++) {
		n = pcap_dispatch(h->pcap, DISPATCH_PACKETS, pass_packet, (u_char *)&d);
		if (n != 0)
			read_counters(h, true);
		if (n < 0) {
			snprintf(err, CAPTURE_ERROR_MAX, "%s: %s", h->name, pcap_geterr(h->pcap));
			handle_close(h);
			return false;
		}
	}
	if (n == 0)
		sync_losses(h);
	return true;
}

uint64_t capture_dropped(const struct capture *c, unsigned i)
{
	return c->handles[i].dropped;
}

void capture_counters(struct capture *c, unsigned i, struct capture_counters *out)
{
	struct handle *h = &c->handles[i];

	read_counters(h, false);
	*out = (struct capture_counters){.received = h->received, .dropped = h->dropped};
}
