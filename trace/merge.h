/*
 * merge.h -- one stream of packets out of one or several capture files.
 *
 * One file is passed on as it is: its order is frame order. Several are merged by time, in whatever
 * order they are given, each keeping its own order, and their packets numbered anew. Only those are
 * open whose time has come, so that a ring of a thousand files needs two descriptors.
 */
#ifndef TRACE_MERGE_H
#define TRACE_MERGE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attrib.h"
#include "trace/capture_file.h"
#include "trace/packet.h"

struct merge;

/*
 * paths are kept, not copied. NULL: err says why. Of several files those that are no captures are
 * faults, and the others go on.
 */
struct merge *merge_open(char *const *paths, unsigned count,
			 char err[CAPTURE_FILE_ERROR_MAX]) MUST_CHECK;
void merge_close(struct merge *m);

/*
 * Before the first packet: fn gets the key material of all files, before the packets that stand
 * behind it in its file, and perhaps before others.
 */
void merge_on_secrets(struct merge *m, capture_file_secrets fn, void *arg);

/*
 * The next packet; false: there is none any more. iface counts over all files; one that a file shares with an earlier
 * one, which is at its end, keeps its number. Of several files
 * frame is 0. A file that is broken ends there, and the others go on: merge_fault() tells.
 */
bool merge_next(struct merge *m, struct packet *p) MUST_CHECK;

/* Sentences about files that were broken, so far. */
unsigned merge_faults(const struct merge *m);
const char *merge_fault(const struct merge *m, unsigned i);

/* Interfaces of all files so far, by the numbers the packets bear. The name may be NULL. */
unsigned merge_interfaces(const struct merge *m);
const char *merge_interface_name(const struct merge *m, unsigned i);
uint16_t merge_interface_link(const struct merge *m, unsigned i);

#endif
