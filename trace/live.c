/*
 * live.c -- the loop of a live capture: captures into the sorter, the tap into the ledger, and what
 * is surely complete on into the pipeline.
 *
 * Nothing here waits for the proxy, and nothing but poll() waits at all.
 *
 * Invariant: packets go on when they are older than now less LAG_NS, `now` having been taken before
 * every handle was drained. The packet clock is the smaller of that and of what the tap has told.
 */
#include "trace/live.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "trace/anchoring.h"
#include "trace/bound.h"
#include "trace/capture.h"
#include "trace/outputs.h"
#include "trace/pipeline.h"
#include "trace/sorter.h"
#include "trace/tap_client.h"

#define LAG_NS        ((3 * CAPTURE_BLOCK_MS + 8) * NS_PER_MS)
#define ENDPOINTS_MAX 64
#define FLUSH_NS      (200 * NS_PER_MS)
#define AFTER_EOF_NS  (2 * NS_PER_S)
#define BUSY_MS       8
#define IDLE_MS       250
#define HEADERS_SNAP  256
#define CLOCK_STEP_NS (5 * NS_PER_MS)

enum live_state {
	LIVE_RUNS,
	LIVE_LINGERS, /* the proxy is gone: its connections close */
	LIVE_DRAINS,  /* until what was captured before stop_ns has been seen */
	LIVE_OVER,
};

struct live {
	const struct live_options *o;
	enum live_state state;
	uint64_t until_ns; /* LINGERS: monotonic; DRAINS: CLOCK_REALTIME */
	uint32_t run;
	bool has_secrets; /* the proxy tells them */
	struct capture_endpoint endpoints[ENDPOINTS_MAX];
	unsigned endpoint_count;
	bool has_endpoints; /* the first set is complete */
	struct tap_client *tap;
	struct anchoring *anchoring;
	struct capture *capture;
	uint64_t dropped[CAPTURE_MAX]; /* as told to anchoring */
	uint64_t clocks_apart_ns;      /* CLOCK_REALTIME less CLOCK_MONOTONIC */
	bool is_gone[CAPTURE_MAX];
	struct sorter *sorter;
	struct outputs files;
	struct pipeline *pipeline;
	struct bound bound;
	int signal_fd;
	struct pollfd *polled;
	unsigned polled_cap;
	uint64_t start_ns;
	uint64_t flushed_ns;
	uint64_t lost; /* packets that memory was missing for */
};

/* ---- what the tap tells ---------------------------------------------------------------------- */

static void on_hello(void *arg, const struct tap_message *m, const struct tap_hello *r)
{
	struct live *l = arg;

	l->run = m->run;
	l->has_secrets = (r->tells & TAP_WANT_SECRETS) != 0;
}

static void on_endpoint(void *arg, const struct tap_message *m, const struct tap_endpoint *r)
{
	struct live *l = arg;
	bool is_listener = r->leg == TAP_CLIENT;

	(void)m;
	if (l->pipeline != NULL && is_listener)
		correlate_listener(pipeline_correlate(l->pipeline), &r->addr);
	/* The filter stays as it is: a named backend is captured by port. */
	if (l->has_endpoints)
		return;
	if (l->endpoint_count < ENDPOINTS_MAX)
		l->endpoints[l->endpoint_count++] = (struct capture_endpoint){
			.addr = r->addr, .by_port = r->named != 0, .listener = is_listener};
	l->has_endpoints = r->last != 0;
}

static void on_open(void *arg, const struct tap_message *m, const struct tap_open *r)
{
	struct live *l = arg;

	struct correlate *c = pipeline_correlate(l->pipeline);
	struct conn *conn;

	correlate_open(c, m->run, r);
	conn = ledger_conn(correlate_ledger(c), m->run, r->conn);
	if (conn != NULL)
		anchoring_open(l->anchoring, conn, m->worker, r->live != 0);
}

static void on_shared(void *arg, const struct tap_message *m, const struct tap_shared *r)
{
	struct live *l = arg;

	ledger_shared(correlate_ledger(pipeline_correlate(l->pipeline)), m->run, r);
}

static void on_tls(void *arg, const struct tap_message *m, const struct tap_tls *r)
{
	struct live *l = arg;
	struct correlate *c = pipeline_correlate(l->pipeline);

	correlate_tls(c, m->run, r->conn, &r->tls);
	ledger_sent(correlate_ledger(c), m->run, r->conn, r->sent_off);
}

static void on_position(void *arg, const struct tap_message *m, const struct tap_position *r)
{
	struct live *l = arg;

	correlate_position(pipeline_correlate(l->pipeline), m->run, r);
}

static void on_begin(void *arg, const struct tap_message *m, const struct tap_begin *r)
{
	struct live *l = arg;

	correlate_begin(pipeline_correlate(l->pipeline), m->run, r,
			tap_client_real_ns(l->tap, r->r.mono_ns));
}

static void on_progress(void *arg, const struct tap_message *m, const struct tap_progress *r)
{
	struct live *l = arg;

	ledger_progress(correlate_ledger(pipeline_correlate(l->pipeline)), m->run, r);
}

static void on_part(void *arg, const struct tap_message *m, const struct tap_part_known *r)
{
	struct live *l = arg;

	ledger_part(correlate_ledger(pipeline_correlate(l->pipeline)), m->run, r);
}

static void on_end(void *arg, const struct tap_message *m, const struct tap_end *r)
{
	struct live *l = arg;

	(void)m;
	correlate_exchange(pipeline_correlate(l->pipeline), &r->x);
}

static void on_close(void *arg, const struct tap_message *m, const struct tap_close *r)
{
	struct live *l = arg;

	correlate_close(pipeline_correlate(l->pipeline), m->run, r);
}

static void on_secret(void *arg, const struct tap_message *m, const struct tap_secret *r,
		      const char *line)
{
	struct live *l = arg;

	(void)m;
	if (l->has_secrets)
		pipeline_secret(l->pipeline, line, r->len);
}

static void on_lost(void *arg, const struct tap_message *m, uint64_t from_mono_ns,
		    uint64_t to_mono_ns)
{
	struct live *l = arg;

	correlate_tap_lost(pipeline_correlate(l->pipeline),
			   from_mono_ns != 0 ? tap_client_real_ns(l->tap, from_mono_ns) : 0,
			   tap_client_real_ns(l->tap, to_mono_ns), m->lost_before);
}

/* ---- start ----------------------------------------------------------------------------------- */

static bool block_signals(struct live *l, char *err, size_t cap)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	if (signal(SIGPIPE, SIG_IGN) != SIG_ERR && sigprocmask(SIG_BLOCK, &set, NULL) == 0)
		l->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (l->signal_fd < 0)
		snprintf(err, cap, "signals: %s", strerror(errno));
	return l->signal_fd >= 0;
}

static bool open_capture(struct live *l, char err[CAPTURE_ERROR_MAX])
{
	struct capture_options o = {
		.interfaces = l->o->interface_count > 0 ? l->o->interfaces : NULL,
		.interface_count = l->o->interface_count,
		.buffer_mb = l->o->buffer_mb,
		.snap_len = l->o->payload == CONFIG_PAYLOAD_FULL ? 0 : HEADERS_SNAP,
	};

	if (l->endpoint_count == 0) {
		snprintf(err, CAPTURE_ERROR_MAX, "the proxy named no address to capture");
		return false;
	}
	l->capture = capture_open(l->endpoints, l->endpoint_count, &o, err);
	return l->capture != NULL;
}

/* The tap's hello has come. */
static bool open_outputs(struct live *l, char err[OUTPUTS_ERROR_MAX])
{
	const struct outputs_options with = {
		.dir = l->o->out,
		.with_dump = l->o->payload != CONFIG_PAYLOAD_NONE,
		.with_segments = l->o->with_segments,
		.is_private = l->has_secrets,
	};

	if (l->o->with_secrets && !l->has_secrets)
		log_warning("the proxy tells no secrets ([trace] secrets = off): TLS connections "
			    "stay encrypted in the dump");
	return outputs_open_live(&l->files, &with, err);
}

static bool describe_interfaces(struct live *l)
{
	bool written = true;

	for (unsigned i = 0; i < capture_count(l->capture) && l->files.dump != NULL; i++) {
		struct capture_info info;
		struct pcapng_interface p = {.description = "flowtrace capture"};

		capture_info(l->capture, i, &info);
		p.name = info.name;
		p.filter = info.filter;
		p.link = (uint16_t)info.link;
		written = written && pcapng_interface(l->files.dump, &p);
	}
	return written && (l->files.dump == NULL || pcapng_flush(l->files.dump));
}

static void ask(void *arg, uint16_t worker, uint64_t conn)
{
	struct live *l = arg;

	tap_client_tell(l->tap, TAP_ASK, worker, conn);
}

static void anchored(void *arg, uint16_t worker, uint64_t conn)
{
	struct live *l = arg;

	tap_client_tell(l->tap, TAP_ANCHORED, worker, conn);
}

static uint64_t clocks_apart(void)
{
	return clock_real_ns() - clock_mono_ns();
}

/* The captures run. */
static bool make_anchoring(struct live *l, char err[OUTPUTS_ERROR_MAX])
{
	const struct anchoring_calls calls = {.arg = l, .ask = ask, .anchored = anchored};

	l->clocks_apart_ns = clocks_apart();
	l->anchoring = anchoring_new(&calls, clock_real_ns());
	if (l->anchoring == NULL)
		snprintf(err, OUTPUTS_ERROR_MAX, "no memory");
	return l->anchoring != NULL;
}

static bool make_pipeline(struct live *l, char err[OUTPUTS_ERROR_MAX])
{
	struct pipeline_options o = {
		.is_live = true,
		.anchoring = l->anchoring,
		.has_run = true,
		.run = l->run,
		.hold_ns = l->o->hold_ms * NS_PER_MS,
		.dump_name = l->files.dump_name[0] != '\0' ? l->files.dump_name : NULL,
		.flows = l->files.flows,
		.conns = l->files.conns,
		.segments = l->files.segments,
		.dump = l->files.dump,
		.payload = l->o->payload == CONFIG_PAYLOAD_FULL ? DUMP_FULL : DUMP_HEADERS,
		.queue_bytes = (uint64_t)l->o->buffer_mb * 1024 * 1024 / 2,
	};

	l->files.dump = NULL; /* the pipeline's from now on */
	l->pipeline = pipeline_new(&o);
	l->sorter = sorter_new();
	if (l->pipeline == NULL || l->sorter == NULL) {
		snprintf(err, OUTPUTS_ERROR_MAX, "no memory");
		return false;
	}
	for (unsigned i = 0; i < l->endpoint_count; i++)
		if (l->endpoints[i].listener)
			correlate_listener(pipeline_correlate(l->pipeline), &l->endpoints[i].addr);
	return true;
}

static void say_start(const struct live *l)
{
	char names[256] = "";
	struct capture_info info;
	size_t len = 0;

	for (unsigned i = 0; i < capture_count(l->capture) && len < sizeof(names); i++) {
		capture_info(l->capture, i, &info);
		len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s", i > 0 ? ", " : "",
					info.name);
	}
	capture_info(l->capture, 0, &info);
	log_notice("capturing on %s (%s) into %s: %s%sflows.ndjson, conns.ndjson", names,
		   info.filter, l->o->out, l->files.dump_name,
		   l->files.dump_name[0] != '\0' ? ", " : "");
}

/* Everything that may fail, in the order that lets the first failure say what to do. */
static bool start(struct live *l)
{
	const struct tap_calls calls = {.arg = l,
					.hello = on_hello,
					.endpoint = on_endpoint,
					.open = on_open,
					.tls = on_tls,
					.shared = on_shared,
					.position = on_position,
					.begin = on_begin,
					.progress = on_progress,
					.part = on_part,
					.end = on_end,
					.close = on_close,
					.secret = l->o->with_secrets ? on_secret : NULL,
					.lost = on_lost};
	char err[CAPTURE_ERROR_MAX + OUTPUTS_ERROR_MAX + TAP_CLIENT_ERROR_MAX];

	if (!block_signals(l, err, sizeof(err)))
		goto fail;
	l->tap = tap_client_attach(l->o->tap, &calls, err);
	if (l->tap == NULL || !open_capture(l, err) || !open_outputs(l, err))
		goto fail;
	if (!describe_interfaces(l)) {
		snprintf(err, sizeof(err), "%s/%s: %s", l->o->out, l->files.dump_name,
			 strerror(errno));
		goto fail;
	}
	if (!make_anchoring(l, err) || !make_pipeline(l, err) || !capture_drop_rights(err))
		goto fail;
	bound_init(&l->bound, (size_t)l->o->buffer_mb * 1024 * 1024);
	l->start_ns = clock_real_ns();
	pipeline_clock(l->pipeline, l->start_ns - LAG_NS, l->start_ns);
	if (!tap_client_ready(l->tap)) {
		snprintf(err, sizeof(err), "--tap %s: the proxy is gone", l->o->tap);
		goto fail;
	}
	say_start(l);
	return true;
fail:
	log_error("%s", err);
	return false;
}

/* ---- one turn of the loop -------------------------------------------------------------------- */

static void on_packet(const struct packet *p, void *arg)
{
	struct live *l = arg;

	if (!sorter_put(l->sorter, p))
		l->lost++;
}

static void drain_captures(struct live *l)
{
	char err[CAPTURE_ERROR_MAX];

	for (unsigned i = 0; i < capture_count(l->capture); i++) {
		if (l->is_gone[i] || capture_dispatch(l->capture, i, on_packet, l, err))
			continue;
		l->is_gone[i] = true;
		log_error("capture ends: %s", err);
	}
}

/*
 * What was lost may have been a packet that a position speaks of; and when the clock was set, stamps
 * do not tell which came first.
 */
static void note_losses(struct live *l)
{
	uint64_t apart_ns = clocks_apart(), step_ns = apart_ns - l->clocks_apart_ns;
	bool is_set = step_ns > CLOCK_STEP_NS && step_ns < 0 - CLOCK_STEP_NS;

	l->clocks_apart_ns = apart_ns;
	for (unsigned i = 0; i < capture_count(l->capture); i++) {
		uint64_t dropped = capture_dropped(l->capture, i);

		if (dropped != l->dropped[i] || is_set)
			anchoring_lost(l->anchoring, i, clock_real_ns());
		l->dropped[i] = dropped;
	}
}

static void begin_drain(struct live *l)
{
	l->state = LIVE_DRAINS;
	l->until_ns = clock_real_ns() + CAPTURE_BLOCK_MS * NS_PER_MS;
}

static void drain_tap(struct live *l)
{
	for (unsigned i = 1; i < tap_client_count(l->tap); i++)
		if (tap_client_fd(l->tap, i) >= 0)
			(void)tap_client_drain(l->tap, i);
	if (tap_client_fd(l->tap, 0) < 0 || tap_client_drain(l->tap, 0))
		return;
	if (l->state == LIVE_RUNS) {
		l->state = LIVE_LINGERS;
		l->until_ns = clock_mono_ns() + AFTER_EOF_NS;
	}
}

static void read_signals(struct live *l)
{
	struct signalfd_siginfo info;

	while (read(l->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (l->state == LIVE_RUNS || l->state == LIVE_LINGERS)
			begin_drain(l);
		else
			l->state = LIVE_OVER;
	}
}

static void release(struct live *l, uint64_t until_ns)
{
	struct packet p;

	while (sorter_take(l->sorter, until_ns, &p))
		pipeline_packet(l->pipeline, &p);
	/* More than may be held: the oldest have to go, in order or not. */
	while (sorter_bytes(l->sorter) > l->bound.packets && sorter_take(l->sorter, UINT64_MAX, &p))
		pipeline_packet(l->pipeline, &p);
}

static bool is_closed(const struct live *l)
{
	for (unsigned i = 1; i < tap_client_count(l->tap); i++)
		if (tap_client_fd(l->tap, i) >= 0)
			return false;
	return correlate_open_conns(pipeline_correlate(l->pipeline)) == 0;
}

static void turn(struct live *l)
{
	uint64_t now_ns = clock_real_ns();
	uint64_t complete_ns = now_ns - LAG_NS;

	drain_captures(l);
	note_losses(l);
	read_signals(l);
	drain_tap(l);
	release(l, complete_ns);
	anchoring_run(l->anchoring, now_ns);
	tap_client_flush(l->tap);
	pipeline_clock(l->pipeline, MIN(complete_ns, tap_client_told_ns(l->tap, now_ns)), now_ns);
	bound_keep(&l->bound, l->pipeline, sorter_bytes(l->sorter), now_ns);
	if (now_ns - l->flushed_ns >= FLUSH_NS) {
		pipeline_flush(l->pipeline);
		l->flushed_ns = now_ns;
	}
	if (l->state == LIVE_LINGERS && (clock_mono_ns() >= l->until_ns || is_closed(l)))
		begin_drain(l);
	else if (l->state == LIVE_DRAINS && complete_ns >= l->until_ns)
		l->state = LIVE_OVER;
}

static void add_polled(struct live *l, unsigned *count, int fd)
{
	if (fd >= 0)
		l->polled[(*count)++] = (struct pollfd){.fd = fd, .events = POLLIN};
}

/*
 * While there is much to do, packets and records are fetched a few times per hundredth of a second:
 * a turn for each block or message would cost more than what it brings. The rings hold far more.
 */
static void wait_for_more(struct live *l)
{
	bool is_busy = l->state != LIVE_RUNS || sorter_bytes(l->sorter) > 0 ||
		       !pipeline_is_idle(l->pipeline) || anchoring_is_waiting(l->anchoring);
	unsigned count = 0;

	add_polled(l, &count, l->signal_fd);
	add_polled(l, &count, tap_client_fd(l->tap, 0));
	for (unsigned i = 1; i < tap_client_count(l->tap) && !is_busy; i++)
		add_polled(l, &count, tap_client_fd(l->tap, i));
	for (unsigned i = 0; i < capture_count(l->capture) && !is_busy; i++) {
		struct capture_info info;

		capture_info(l->capture, i, &info);
		if (!l->is_gone[i])
			add_polled(l, &count, info.fd);
	}
	(void)poll(l->polled, count, is_busy ? BUSY_MS : IDLE_MS);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void write_statistics(struct live *l)
{
	struct pcapng *dump = pipeline_dump(l->pipeline);

	for (unsigned i = 0; i < capture_count(l->capture) && dump != NULL; i++) {
		struct pcapng_statistics s = {.ts_ns = clock_real_ns(), .start_ns = l->start_ns};
		struct capture_counters c;

		capture_counters(l->capture, i, &c);
		s.received = c.received;
		s.dropped = c.dropped;
		if (!pcapng_statistics(dump, i, &s))
			return; /* said when the file failed */
	}
}

static void say_end(struct live *l)
{
	unsigned long long dropped = 0, tap = tap_client_dropped(l->tap);
	struct pipeline_counters n;

	for (unsigned i = 0; i < capture_count(l->capture); i++) {
		struct capture_counters c;

		capture_counters(l->capture, i, &c);
		dropped += c.dropped;
	}
	pipeline_counters(l->pipeline, &n);
	log_notice("%llu packets, %llu dropped, %llu exchanges, %llu uncommented, %llu late",
		   (unsigned long long)n.packets, dropped,
		   (unsigned long long)n.correlate.exchanges,
		   (unsigned long long)n.dump.uncommented,
		   (unsigned long long)sorter_late(l->sorter));
	if (tap > 0)
		log_warning("the proxy had to drop %llu records of its tap", tap);
	if (n.correlate.hurried > 0)
		log_warning("%llu exchanges were recorded early: they took more memory than "
			    "trace.buffer_mb",
			    (unsigned long long)n.correlate.hurried);
	if (n.lost + l->lost > 0)
		log_warning("%llu packets and records were lost: no memory",
			    (unsigned long long)n.lost + l->lost);
}

static void finish(struct live *l)
{
	release(l, UINT64_MAX);
	pipeline_end(l->pipeline);
	write_statistics(l);
	say_end(l);
}

static void live_fini(struct live *l)
{
	pipeline_free(l->pipeline);
	anchoring_free(l->anchoring);
	outputs_close(&l->files);
	sorter_free(l->sorter);
	capture_close(l->capture);
	tap_client_free(l->tap);
	free(l->polled);
	if (l->signal_fd >= 0)
		close(l->signal_fd);
}

int live_run(const struct live_options *o)
{
	struct live l = {.o = o, .signal_fd = -1};
	bool is_started = start(&l);

	if (is_started) {
		l.polled = calloc(1 + CAPTURE_MAX + tap_client_count(l.tap), sizeof(*l.polled));
		if (l.polled == NULL) {
			log_error("no memory");
			is_started = false;
		}
	}
	while (is_started && l.state != LIVE_OVER) {
		wait_for_more(&l);
		turn(&l);
	}
	if (is_started)
		finish(&l);
	live_fini(&l);
	return is_started ? 0 : 1;
}
