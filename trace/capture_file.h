/*
 * capture_file.h -- reads capture files: pcap (micro- and nanoseconds, both byte orders, the modified
 * format) and pcapng with what libpcap does not tell: interface names, direction flags, drop counts,
 * statistics. Either may be compressed by gzip or zstd.
 *
 * Bounded: a broken file ends in one sentence with the byte offset, after everything before it was
 * given out.
 */
#ifndef TRACE_CAPTURE_FILE_H
#define TRACE_CAPTURE_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attrib.h"
#include "trace/packet.h"

#define CAPTURE_FILE_ERROR_MAX 512

struct capture_file;

/* "-" is standard input. NULL: err says why; errno is 0 when it was opened, but is no capture. */
struct capture_file *capture_file_open(const char *path,
				       char err[CAPTURE_FILE_ERROR_MAX]) MUST_CHECK;
void capture_file_close(struct capture_file *f);

/*
 * Key material that the file carries for what follows in it: its type (pcapng.h), and len bytes that
 * are valid for the call.
 */
typedef void (*capture_file_secrets)(void *arg, uint32_t type, const void *bytes, size_t len);

/* From now on f calls fn for what it passes; otherwise it is passed over. fn may be NULL. */
void capture_file_on_secrets(struct capture_file *f, capture_file_secrets fn, void *arg);

enum capture_file_result {
	CAPTURE_FILE_PACKET,
	CAPTURE_FILE_END,
	CAPTURE_FILE_BROKEN, /* err says where and why */
};

/*
 * The next packet; frame numbers count from 1 as Wireshark's. p->bytes is valid until the next
 * call.
 */
enum capture_file_result capture_file_next(struct capture_file *f, struct packet *p,
					   char err[CAPTURE_FILE_ERROR_MAX]) MUST_CHECK;

/* Interfaces seen so far. Names may be NULL. */
unsigned capture_file_interfaces(const struct capture_file *f);
const char *capture_file_interface_name(const struct capture_file *f, unsigned i);
uint16_t capture_file_interface_link(const struct capture_file *f, unsigned i);

#endif
