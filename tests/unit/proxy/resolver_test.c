/*
 * resolver_test.c -- the resolver against a DNS server of our own, on a real event base.
 *
 * Time is real: a case takes as long as the waiting it proves, and every wait is bounded.
 */
#include "proxy/resolver.h"

#include <criterion/criterion.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/lib/dns_server.h"

#define PORT       8080
#define TIMEOUT_MS 2000

TestSuite(resolver, .timeout = 40);

/* A resolver, its base, and how often it said that something changed. */
struct rig {
	struct event_base *base;
	struct dns_server *server;
	struct resolver *resolver;
	struct config_backend backend;
	unsigned changes;
	uint64_t start_ns;
};

static const struct dns_script one_address = {
	.a = DNS_ADDRESSES, .aaaa = DNS_EMPTY, .ttl_s = 1, .first = 1, .count = 1};

static void count_change(void *arg)
{
	struct rig *rig = arg;

	rig->changes++;
}

static void rig_start(struct rig *rig, const char *name, const struct dns_script *script,
		      uint32_t timeout_ms, bool hosts_from_env)
{
	struct resolver_sources sources = {.hosts_from_env = hosts_from_env};

	*rig = (struct rig){.backend = {.port = PORT}};
	snprintf(rig->backend.host, sizeof(rig->backend.host), "%s", name);
	rig->base = event_base_new();
	rig->server = dns_server_start(script);
	cr_assert(rig->base != NULL && rig->server != NULL);
	sources.servers = dns_server_address(rig->server);
	rig->start_ns = clock_mono_ns();
	rig->resolver = resolver_new_from(rig->base, &rig->backend, timeout_ms, &sources,
					  count_change, rig);
	cr_assert(rig->resolver != NULL);
}

static void rig_end(struct rig *rig)
{
	resolver_free(rig->resolver);
	dns_server_stop(rig->server);
	event_base_free(rig->base);
}

static uint64_t rig_ms(const struct rig *rig)
{
	return (clock_mono_ns() - rig->start_ns) / NS_PER_MS;
}

static void run_ms(struct rig *rig, unsigned ms)
{
	const struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (long)(ms % 1000) * 1000};

	cr_assert(event_base_loopexit(rig->base, &tv) == 0);
	cr_assert(event_base_dispatch(rig->base) >= 0);
}

/* Run the loop until so many changes were told, 5 s at most. */
static bool run_until_changes(struct rig *rig, unsigned changes)
{
	for (int i = 0; i < 500 && rig->changes < changes; i++)
		run_ms(rig, 10);
	return rig->changes >= changes;
}

/* Run until the server was asked for A so often since it was told its script. */
static bool run_until_asked(struct rig *rig, unsigned times, unsigned limit_ms)
{
	for (unsigned i = 0; i < limit_ms / 10; i++) {
		if (dns_server_counts(rig->server).a >= times)
			return true;
		run_ms(rig, 10);
	}
	return false;
}

static enum resolved_state state_of(struct rig *rig)
{
	struct resolved now;

	resolver_get(rig->resolver, &now);
	return now.state;
}

static bool has(const struct resolved *now, const char *text)
{
	struct addr a;

	cr_assert(addr_parse(text, strlen(text), &a));
	for (uint32_t i = 0; i < now->count; i++)
		if (addr_equal(&now->addrs[i], &a))
			return true;
	return false;
}

static void expect_only(struct rig *rig, const char *text)
{
	struct resolved now;

	resolver_get(rig->resolver, &now);
	cr_expect_eq(now.state, RESOLVED_OK);
	cr_expect_eq(now.count, 1);
	cr_expect(has(&now, text), "%s is missing", text);
}

Test(resolver, a_literal_is_ready_at_once_and_never_looked_up)
{
	struct config_backend literal = {.host = "192.0.2.9", .port = 99, .literal = true};
	struct rig rig = {.base = event_base_new()};
	struct resolver *r;
	struct resolved now;

	cr_assert(addr_parse("192.0.2.9:99", 12, &literal.addr));
	r = resolver_new(rig.base, &literal, TIMEOUT_MS, count_change, &rig);
	cr_assert(r != NULL);
	resolver_get(r, &now);
	cr_expect_eq(now.state, RESOLVED_OK);
	cr_expect_eq(now.count, 1);
	cr_expect(has(&now, "192.0.2.9:99"));
	run_ms(&rig, 50);
	cr_expect_eq(rig.changes, 0);
	cr_expect_eq(event_base_get_num_events(rig.base, EVENT_BASE_COUNT_ADDED), 0);
	resolver_free(r);
	event_base_free(rig.base);
}

Test(resolver, both_families_with_the_port)
{
	const struct dns_script script = {
		.a = DNS_ADDRESSES, .aaaa = DNS_ADDRESSES, .ttl_s = 300, .first = 7, .count = 2};
	struct resolved now;
	struct rig rig;

	rig_start(&rig, "backend.flowproxy.test", &script, TIMEOUT_MS, false);
	cr_expect_eq(state_of(&rig), RESOLVED_PENDING);
	cr_assert(run_until_changes(&rig, 1));
	resolver_get(rig.resolver, &now);
	cr_expect_eq(now.state, RESOLVED_OK);
	cr_expect_eq(now.count, 4);
	cr_expect(has(&now, "192.0.2.7:8080"));
	cr_expect(has(&now, "192.0.2.8:8080"));
	cr_expect(has(&now, "[2001:db8::7]:8080"));
	cr_expect(has(&now, "[2001:db8::8]:8080"));
	cr_expect_eq(dns_server_counts(rig.server).a, 1);
	cr_expect_eq(dns_server_counts(rig.server).aaaa, 1);
	rig_end(&rig);
}

Test(resolver, one_family_is_enough)
{
	const struct dns_script script = {
		.a = DNS_EMPTY, .aaaa = DNS_ADDRESSES, .ttl_s = 300, .first = 1, .count = 1};
	struct rig rig;

	rig_start(&rig, "backend.flowproxy.test", &script, TIMEOUT_MS, false);
	cr_assert(run_until_changes(&rig, 1));
	expect_only(&rig, "[2001:db8::1]:8080");
	rig_end(&rig);
}

Test(resolver, asks_again_when_the_ttl_is_over)
{
	struct dns_script script = one_address;
	struct rig rig;

	script.ttl_s = 2;
	rig_start(&rig, "backend.flowproxy.test", &script, TIMEOUT_MS, false);
	cr_assert(run_until_asked(&rig, 2, 6000));
	cr_expect_geq(rig_ms(&rig), 1990);
	cr_expect_lt(rig_ms(&rig), 4000);
	expect_only(&rig, "192.0.2.1:8080");
	cr_expect_eq(rig.changes, 1, "the same answer is no change");
	rig_end(&rig);
}

Test(resolver, a_ttl_of_zero_is_a_second)
{
	struct dns_script script = one_address;
	struct rig rig;

	script.ttl_s = 0;
	rig_start(&rig, "backend.flowproxy.test", &script, TIMEOUT_MS, false);
	cr_assert(run_until_asked(&rig, 2, 6000));
	cr_expect_geq(rig_ms(&rig), 990);
	cr_expect_lt(rig_ms(&rig), 4000, "it was taken for the hosts file");
	rig_end(&rig);
}

Test(resolver, a_long_ttl_is_respected)
{
	struct dns_script script = one_address;
	struct rig rig;

	script.ttl_s = 2147483647;
	rig_start(&rig, "backend.flowproxy.test", &script, TIMEOUT_MS, false);
	cr_assert(run_until_changes(&rig, 1));
	run_ms(&rig, 2500);
	cr_expect_eq(dns_server_counts(rig.server).a, 1);
	rig_end(&rig);
}

Test(resolver, an_alias_ends_with_its_own_ttl)
{
	struct dns_script script = one_address;
	struct rig rig;

	script.ttl_s = 300;
	script.cname_ttl_s = 1;
	rig_start(&rig, "backend.flowproxy.test", &script, TIMEOUT_MS, false);
	cr_assert(run_until_asked(&rig, 2, 5000));
	cr_expect_geq(rig_ms(&rig), 990);
	expect_only(&rig, "192.0.2.1:8080");
	rig_end(&rig);
}

Test(resolver, new_addresses_replace_the_old_ones)
{
	struct dns_script script = one_address;
	struct rig rig;

	rig_start(&rig, "backend.flowproxy.test", &script, TIMEOUT_MS, false);
	cr_assert(run_until_changes(&rig, 1));
	script.first = 50;
	dns_server_tell(rig.server, &script);
	cr_assert(run_until_changes(&rig, 2));
	expect_only(&rig, "192.0.2.50:8080");
	rig_end(&rig);
}

Test(resolver, no_more_addresses_than_fit)
{
	const struct dns_script script = {
		.a = DNS_ADDRESSES, .aaaa = DNS_EMPTY, .ttl_s = 300, .first = 1, .count = 24};
	struct resolved now;
	struct rig rig;

	rig_start(&rig, "backend.flowproxy.test", &script, TIMEOUT_MS, false);
	cr_assert(run_until_changes(&rig, 1));
	resolver_get(rig.resolver, &now);
	cr_expect_eq(now.count, RESOLVED_MAX);
	rig_end(&rig);
}

/* What each failure looks like at the start: FAILED, told once, tried again after 1 s, and then fine. */
static void expect_failure_then_recovery(enum dns_reply reply, uint32_t timeout_ms)
{
	const struct dns_script script = {
		.a = reply, .aaaa = reply, .ttl_s = 300, .first = 1, .count = 1};
	struct rig rig;
	uint64_t failed_ms;

	rig_start(&rig, "backend.flowproxy.test", &script, timeout_ms, false);
	cr_assert(run_until_changes(&rig, 1));
	failed_ms = rig_ms(&rig);
	cr_expect_lt(failed_ms, timeout_ms + 500);
	cr_expect_eq(state_of(&rig), RESOLVED_FAILED);
	dns_server_tell(rig.server, &script);
	run_ms(&rig, 900);
	cr_expect_eq(dns_server_counts(rig.server).a, 0, "asked again before 1 s was over");
	cr_assert(run_until_asked(&rig, 1, 2000));
	cr_expect_eq(rig.changes, 1);
	dns_server_tell(rig.server, &one_address);
	cr_assert(run_until_changes(&rig, 2));
	expect_only(&rig, "192.0.2.1:8080");
	rig_end(&rig);
}

Test(resolver, no_such_name)
{
	expect_failure_then_recovery(DNS_NXDOMAIN, TIMEOUT_MS);
}

Test(resolver, an_empty_answer_is_a_failure)
{
	expect_failure_then_recovery(DNS_EMPTY, TIMEOUT_MS);
}

Test(resolver, a_server_in_trouble)
{
	expect_failure_then_recovery(DNS_SERVFAIL, TIMEOUT_MS);
}

Test(resolver, a_damaged_answer_is_a_failure)
{
	expect_failure_then_recovery(DNS_CUT_SHORT, TIMEOUT_MS);
}

Test(resolver, a_truncated_answer_whose_tcp_connection_is_cut)
{
	expect_failure_then_recovery(DNS_TRUNCATED_CUT, TIMEOUT_MS);
}

Test(resolver, a_silent_server_costs_the_time_limit)
{
	expect_failure_then_recovery(DNS_SILENT, 700);
}

Test(resolver, the_time_limit_holds_for_the_whole_lookup)
{
	const struct dns_script script = {.a = DNS_SILENT, .aaaa = DNS_SILENT};
	struct rig rig;

	rig_start(&rig, "backend.flowproxy.test", &script, 600, false);
	cr_assert(run_until_changes(&rig, 1));
	cr_expect_geq(rig_ms(&rig), 590);
	cr_expect_lt(rig_ms(&rig), 1100);
	cr_expect_gt(dns_server_counts(rig.server).a, 1, "a lost packet is sent again");
	rig_end(&rig);
}

Test(resolver, a_lost_packet_is_sent_again)
{
	struct dns_script script = one_address;
	struct rig rig;

	script.ttl_s = 300;
	script.ignore = 2;
	rig_start(&rig, "backend.flowproxy.test", &script, TIMEOUT_MS, false);
	cr_assert(run_until_changes(&rig, 1));
	cr_expect_lt(rig_ms(&rig), TIMEOUT_MS);
	expect_only(&rig, "192.0.2.1:8080");
	rig_end(&rig);
}

Test(resolver, half_an_answer_counts_when_the_time_is_over)
{
	struct dns_script script = one_address;
	struct rig rig;

	script.aaaa = DNS_SILENT;
	rig_start(&rig, "backend.flowproxy.test", &script, 500, false);
	cr_assert(run_until_changes(&rig, 1));
	expect_only(&rig, "192.0.2.1:8080");
	rig_end(&rig);
}

Test(resolver, half_a_no_is_a_failure_when_the_time_is_over)
{
	const struct dns_script script = {.a = DNS_EMPTY, .aaaa = DNS_SILENT};
	struct rig rig;

	rig_start(&rig, "backend.flowproxy.test", &script, 500, false);
	cr_assert(run_until_changes(&rig, 1));
	cr_expect_lt(rig_ms(&rig), 1000);
	cr_expect_eq(state_of(&rig), RESOLVED_FAILED);
	rig_end(&rig);
}

/* Whether or not c-ares would try them all, one after the other. */
Test(resolver, the_time_limit_holds_for_the_search_domains_too)
{
	const struct dns_script script = {.a = DNS_EMPTY, .aaaa = DNS_SILENT};
	struct rig rig;

	cr_assert(setenv("LOCALDOMAIN", "one.test two.test three.test", 1) == 0);
	rig_start(&rig, "backend.flowproxy.test", &script, 500, false);
	cr_assert(run_until_changes(&rig, 1));
	cr_expect_lt(rig_ms(&rig), 1000);
	cr_expect_eq(state_of(&rig), RESOLVED_FAILED);
	dns_server_tell(rig.server, &one_address);
	cr_assert(run_until_changes(&rig, 2));
	cr_expect_lt(rig_ms(&rig), 2500);
	expect_only(&rig, "192.0.2.1:8080");
	rig_end(&rig);
}

Test(resolver, a_truncated_answer_is_read_by_tcp)
{
	const struct dns_script script = {
		.a = DNS_TRUNCATED, .aaaa = DNS_EMPTY, .ttl_s = 300, .first = 3, .count = 1};
	struct rig rig;

	rig_start(&rig, "backend.flowproxy.test", &script, TIMEOUT_MS, false);
	cr_assert(run_until_changes(&rig, 1));
	expect_only(&rig, "192.0.2.3:8080");
	cr_expect_eq(dns_server_counts(rig.server).tcp, 1);
	rig_end(&rig);
}

Test(resolver, the_last_good_addresses_outlive_every_failure)
{
	static const enum dns_reply failures[] = {DNS_NXDOMAIN, DNS_EMPTY, DNS_SERVFAIL,
						  DNS_CUT_SHORT, DNS_SILENT};
	struct dns_script script = one_address;
	struct rig rig;

	rig_start(&rig, "backend.flowproxy.test", &script, 400, false);
	cr_assert(run_until_changes(&rig, 1));
	for (size_t i = 0; i < ARRAY_LEN(failures); i++) {
		script.a = failures[i];
		script.aaaa = failures[i];
		dns_server_tell(rig.server, &script);
		cr_assert(run_until_asked(&rig, 1, 3000), "failure %zu was not tried again", i);
		run_ms(&rig, 500);
		expect_only(&rig, "192.0.2.1:8080");
	}
	cr_expect_eq(rig.changes, 1);
	script = one_address;
	script.first = 2;
	dns_server_tell(rig.server, &script);
	cr_assert(run_until_changes(&rig, 2));
	expect_only(&rig, "192.0.2.2:8080");
	rig_end(&rig);
}

static void hosts_write(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	cr_assert(f != NULL);
	cr_assert(fputs(text, f) >= 0);
	cr_assert(fclose(f) == 0);
}

Test(resolver, the_hosts_file_is_read_again_after_ten_seconds)
{
	char path[] = "/tmp/resolver-hosts-XXXXXX";
	int fd = mkstemp(path);
	struct rig rig;

	cr_assert(fd >= 0);
	close(fd);
	cr_assert(setenv("CARES_HOSTS", path, 1) == 0);
	hosts_write(path, "192.0.2.77 files.flowproxy.test\n");
	rig_start(&rig, "files.flowproxy.test", &one_address, TIMEOUT_MS, true);
	cr_assert(run_until_changes(&rig, 1));
	expect_only(&rig, "192.0.2.77:8080");
	hosts_write(path, "192.0.2.78 files.flowproxy.test\n");
	run_ms(&rig, 9000);
	expect_only(&rig, "192.0.2.77:8080");
	cr_assert(run_until_changes(&rig, 2));
	cr_expect_geq(rig_ms(&rig), 9990);
	expect_only(&rig, "192.0.2.78:8080");
	cr_expect_eq(dns_server_counts(rig.server).a, 0);
	cr_expect_eq(dns_server_counts(rig.server).aaaa, 0);
	rig_end(&rig);
	unlink(path);
}

Test(resolver, localhost_needs_no_server)
{
	struct resolved now;
	struct rig rig;

	rig_start(&rig, "localhost", &one_address, TIMEOUT_MS, false);
	cr_assert(run_until_changes(&rig, 1));
	resolver_get(rig.resolver, &now);
	cr_expect_eq(now.state, RESOLVED_OK);
	cr_expect(has(&now, "127.0.0.1:8080") || has(&now, "[::1]:8080"));
	run_ms(&rig, 1500);
	cr_expect_eq(dns_server_counts(rig.server).a, 0);
	rig_end(&rig);
}

Test(resolver, may_be_freed_while_it_asks)
{
	const struct dns_script script = {.a = DNS_SILENT, .aaaa = DNS_SILENT};
	struct rig rig;

	rig_start(&rig, "backend.flowproxy.test", &script, TIMEOUT_MS, false);
	cr_assert(run_until_asked(&rig, 1, 2000));
	resolver_free(rig.resolver);
	rig.resolver = NULL;
	run_ms(&rig, 200);
	cr_expect_eq(rig.changes, 0);
	cr_expect_eq(event_base_get_num_events(rig.base, EVENT_BASE_COUNT_ADDED), 0);
	rig_end(&rig);
}

Test(resolver, may_be_freed_before_the_first_question)
{
	struct rig rig;

	rig_start(&rig, "backend.flowproxy.test", &one_address, TIMEOUT_MS, false);
	rig_end(&rig);
}

Test(resolver, nothing_is_watched_between_lookups)
{
	struct dns_script script = one_address;
	struct rig rig;

	script.ttl_s = 300;
	rig_start(&rig, "backend.flowproxy.test", &script, TIMEOUT_MS, false);
	cr_assert(run_until_changes(&rig, 1));
	run_ms(&rig, 50);
	cr_expect_eq(event_base_get_num_events(rig.base, EVENT_BASE_COUNT_ADDED), 1,
		     "only the timer of the next lookup");
	rig_end(&rig);
}

Test(resolver, a_server_that_cannot_be_named)
{
	const struct resolver_sources sources = {.servers = "not an address"};
	const struct config_backend backend = {.host = "backend.flowproxy.test", .port = PORT};
	struct rig rig = {.base = event_base_new()};

	cr_expect(resolver_new_from(rig.base, &backend, TIMEOUT_MS, &sources, count_change, &rig) ==
		  NULL);
	event_base_free(rig.base);
}

struct reader {
	struct resolver *resolver;
	atomic_bool stop;
	unsigned torn;
	unsigned seen;
};

/* Every snapshot holds the addresses of one answer: neighbours in the last byte. */
static void *read_all_the_time(void *arg)
{
	struct reader *reader = arg;
	struct resolved now;

	while (!atomic_load(&reader->stop)) {
		resolver_get(reader->resolver, &now);
		reader->seen += now.state == RESOLVED_OK;
		if (now.state == RESOLVED_OK &&
		    (now.count != 2 || (now.addrs[0].ip[3] ^ now.addrs[1].ip[3]) != 1))
			reader->torn++;
		usleep(20);
	}
	return NULL;
}

Test(resolver, other_threads_see_whole_answers)
{
	struct dns_script script = one_address;
	struct reader reader = {0};
	pthread_t thread;
	struct rig rig;

	script.first = 10;
	script.count = 2;
	rig_start(&rig, "backend.flowproxy.test", &script, TIMEOUT_MS, false);
	reader.resolver = rig.resolver;
	cr_assert(pthread_create(&thread, NULL, read_all_the_time, &reader) == 0);
	for (unsigned i = 1; i <= 3; i++) {
		cr_assert(run_until_changes(&rig, i));
		script.first = (uint8_t)(10 + 20 * i);
		dns_server_tell(rig.server, &script);
	}
	atomic_store(&reader.stop, true);
	cr_assert(pthread_join(thread, NULL) == 0);
	cr_expect_eq(reader.torn, 0);
	cr_expect_gt(reader.seen, 0);
	rig_end(&rig);
}
