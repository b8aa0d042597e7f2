/*
 * tracer.h -- runs `flowtrace capture` for --trace DIR: starts it, restarts it with back-off when
 * it dies, ends it.
 *
 * The program is the flowtrace beside this executable, else the one in PATH. It runs in a process
 * group of its own, so that Ctrl-C reaches only the proxy; it ends by itself when the tap ends. Its
 * stderr is ours.
 */
#ifndef PROXY_TRACER_H
#define PROXY_TRACER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attrib.h"
#include "config/config.h"

struct event_base;
struct tracer;

/*
 * Called in the main thread when the tracer exits before it was ever ready: the start has failed
 * (its stderr said why).
 */
typedef void (*tracer_failed)(void *arg);

/* Start it. NULL with a line on stderr when there is no flowtrace or no process to be had. */
struct tracer *tracer_start(struct event_base *base, const struct config *cfg,
			    const char *control_path, tracer_failed failed, void *arg) MUST_CHECK;

/* The tap said READY: deaths from now on are answered by a restart (1 s, doubling to 30 s). */
void tracer_ready(struct tracer *t);

/*
 * The tap has been closed: wait up to ms for it to finish its files, then SIGTERM, then after 1 s
 * SIGKILL. Frees t. NULL is fine. Blocks; signals do not shorten it.
 */
void tracer_finish(struct tracer *t, uint32_t ms);

#endif
