/*
 * tls_tickets_test.c -- keys of session tickets by a fake clock: one hour in use, accepted as long
 * as a ticket of theirs lives, then gone.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

#include "proxy/tls_tickets.h"

#define MINUTE (60 * NS_PER_S)
#define START  (5 * MINUTE)

static struct tls_ticket_key seal(struct tls_tickets *t, uint64_t now_ns)
{
	struct tls_ticket_key key;

	cr_assert(tls_tickets_seal(t, now_ns, &key));
	return key;
}

static enum tls_ticket_state open_key(struct tls_tickets *t, uint64_t now_ns,
				      const struct tls_ticket_key *want)
{
	struct tls_ticket_key key = {0};
	enum tls_ticket_state state = tls_tickets_open(t, now_ns, want->name, &key);

	if (state != TLS_TICKET_UNKNOWN)
		cr_expect_arr_eq(&key, want, sizeof(key));
	return state;
}

Test(tls_tickets, one_key_seals_for_an_hour)
{
	struct tls_tickets *t = tls_tickets_new();
	struct tls_ticket_key first = seal(t, START);
	struct tls_ticket_key same = seal(t, START + 60 * MINUTE - 1);
	struct tls_ticket_key next = seal(t, START + 60 * MINUTE);
	const struct tls_ticket_key zero = {0};

	cr_expect_arr_eq(&first, &same, sizeof(first));
	cr_expect_arr_neq(first.name, next.name, sizeof(first.name));
	cr_expect_arr_neq(first.cipher, next.cipher, sizeof(first.cipher));
	cr_expect_arr_neq(first.mac, next.mac, sizeof(first.mac));
	cr_expect_arr_neq(first.mac, first.cipher, sizeof(first.mac));
	cr_expect_arr_neq(&first, &zero, sizeof(first));
	tls_tickets_unref(t);
}

Test(tls_tickets, a_key_opens_as_long_as_its_tickets_live)
{
	struct tls_tickets *t = tls_tickets_new();
	struct tls_ticket_key first = seal(t, START);
	struct tls_ticket_key second;

	cr_expect_eq(open_key(t, START, &first), TLS_TICKET_GOOD);
	cr_expect_eq(open_key(t, START + 60 * MINUTE - 1, &first), TLS_TICKET_GOOD);
	/* Nobody has asked for a ticket since: it is renewed all the same, by a newer key. */
	cr_expect_eq(open_key(t, START + 60 * MINUTE, &first), TLS_TICKET_RENEW);
	second = seal(t, START + 70 * MINUTE);
	cr_expect_eq(open_key(t, START + 70 * MINUTE, &first), TLS_TICKET_RENEW);
	cr_expect_eq(open_key(t, START + 70 * MINUTE, &second), TLS_TICKET_GOOD);
	/* The last ticket of the first key was sealed before 60 and lives for 120 minutes. */
	cr_expect_eq(open_key(t, START + 180 * MINUTE - 1, &first), TLS_TICKET_RENEW);
	cr_expect_eq(open_key(t, START + 180 * MINUTE, &first), TLS_TICKET_UNKNOWN);
	cr_expect_eq(open_key(t, START + 180 * MINUTE, &second), TLS_TICKET_RENEW);
	tls_tickets_unref(t);
}

Test(tls_tickets, none_is_forgotten_early_at_the_highest_rate)
{
	struct tls_tickets *t = tls_tickets_new();
	struct tls_ticket_key keys[10];

	for (unsigned i = 0; i < 10; i++) {
		uint64_t now_ns = START + i * 60 * MINUTE;

		keys[i] = seal(t, now_ns);
		for (unsigned k = 0; k <= i; k++)
			cr_expect_eq(open_key(t, now_ns, &keys[k]),
				     k == i      ? TLS_TICKET_GOOD
				     : i - k < 3 ? TLS_TICKET_RENEW
						 : TLS_TICKET_UNKNOWN,
				     "key %u after %u hours", k, i);
	}
	tls_tickets_unref(t);
}

Test(tls_tickets, of_another_process_or_of_none)
{
	struct tls_tickets *t = tls_tickets_new();
	struct tls_tickets *other = tls_tickets_new();
	struct tls_ticket_key key = seal(other, START);
	const struct tls_ticket_key zero = {0};

	cr_expect_eq(open_key(t, START, &key), TLS_TICKET_UNKNOWN);
	cr_expect_eq(open_key(t, START, &zero), TLS_TICKET_UNKNOWN);
	(void)seal(t, START);
	cr_expect_eq(open_key(t, START, &key), TLS_TICKET_UNKNOWN);
	cr_expect_eq(open_key(t, START, &zero), TLS_TICKET_UNKNOWN);
	tls_tickets_unref(t);
	tls_tickets_unref(other);
	tls_tickets_unref(NULL);
}

static void *seal_and_open(void *arg)
{
	struct tls_tickets *t = tls_tickets_ref(arg);

	for (unsigned i = 0; i < 2000; i++) {
		uint64_t now_ns = START + i * 3 * NS_PER_S;
		struct tls_ticket_key key = seal(t, now_ns);

		cr_assert_neq(open_key(t, now_ns, &key), TLS_TICKET_UNKNOWN);
	}
	tls_tickets_unref(t);
	return NULL;
}

Test(tls_tickets, threads_share_them)
{
	struct tls_tickets *t = tls_tickets_new();
	struct tls_ticket_key a, b;
	pthread_t threads[4];

	for (unsigned i = 0; i < 4; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, seal_and_open, t), 0);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	a = seal(t, START + 100 * MINUTE);
	b = seal(t, START + 100 * MINUTE);
	cr_expect_arr_eq(&a, &b, sizeof(a));
	tls_tickets_unref(t);
}
