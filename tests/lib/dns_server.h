/*
 * dns_server.h -- a DNS server for tests: one thread, loopback, UDP and TCP on one ephemeral port.
 *
 * It answers every name alike, as it was told last, and counts what it is asked.
 */
#ifndef TESTS_LIB_DNS_SERVER_H
#define TESTS_LIB_DNS_SERVER_H

#include <stdint.h>

enum dns_reply {
	DNS_ADDRESSES,     /* count addresses: 192.0.2.first..., 2001:db8::first... */
	DNS_EMPTY,         /* no error, no record */
	DNS_NXDOMAIN,      /* no such name */
	DNS_SERVFAIL,      /* the server has trouble */
	DNS_SILENT,        /* no answer at all */
	DNS_TRUNCATED,     /* by UDP a truncated answer, by TCP the addresses */
	DNS_TRUNCATED_CUT, /* by UDP a truncated answer, by TCP the connection is closed */
	DNS_CUT_SHORT, /* the addresses, but the datagram ends in the middle of the last record */
};

struct dns_script {
	enum dns_reply a;
	enum dns_reply aaaa;
	uint32_t ttl_s;
	uint32_t cname_ttl_s; /* 0: no CNAME record before the addresses */
	uint8_t first;
	uint8_t count;
	unsigned ignore; /* so many queries get no answer first */
};

struct dns_server;

/* NULL when a socket or the thread cannot be had. */
struct dns_server *dns_server_start(const struct dns_script *script);
void dns_server_stop(struct dns_server *s);

/* From now on, and counted from zero again. */
void dns_server_tell(struct dns_server *s, const struct dns_script *script);

/* "127.0.0.1:PORT" */
const char *dns_server_address(const struct dns_server *s);

struct dns_counts {
	unsigned a;    /* queries for A, by UDP */
	unsigned aaaa; /* for AAAA, by UDP */
	unsigned tcp;  /* of either, by TCP */
};

struct dns_counts dns_server_counts(struct dns_server *s);

#endif
