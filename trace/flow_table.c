/*
 * flow_table.c -- finds the connection of a segment and numbers it as Wireshark does.
 *
 * A tuple is a pair of ends in canonical order. It remembers what Wireshark's rules compare and the
 * number even after its flows were given back, so that a late packet gets no new number and the
 * labels that Wireshark gives it; of such empty tuples the longest unused are forgotten. Never looks
 * at what a segment says beyond addresses, SYN, ACK and sequence numbers.
 *
 * Invariant: `current` is the newest incarnation, or NULL when that was given back.
 */
#include <stdlib.h>
#include <sys/random.h>

#include "trace/concern.h"
#include "trace/flow_node.h"

#define BUCKETS_FIRST 1024U
#define RECENT_SLOTS  4096U
#define COPY_NS       NS_PER_MS /* copies of one packet are seen within this time */

struct flow_tuple {
	struct flow_tuple *chain;           /* of the bucket */
	struct flow_tuple *colder, *warmer; /* among the empty */
	uint64_t hash;
	uint64_t print;     /* the same in every run: labels depend on it */
	struct addr end[2]; /* end[0] is not after end[1] */
	struct flow_node *oldest, *newest, *current;
	uint32_t number;   /* of the newest incarnation as Wireshark counts */
	uint32_t isn[2];   /* these three: of the newest flow, when it was given back */
	uint32_t next[2];  /* past the highest sequence number that the end had sent */
	uint32_t acked[2]; /* and its highest ACK number */
	bool isn_known[2];
	bool next_known[2];
	uint8_t opener;    /* end that is side 0 */
	bool is_noted;     /* the newest number is known of a header alone */
	struct wslabel ws; /* of that incarnation, by end */
};

/* The packet that was seen last with this print. */
struct flow_recent {
	uint64_t print; /* 0: none */
	uint64_t ts_ns;
	uint32_t iface;
	uint32_t device;
};

struct flow_table {
	struct flow_tuple **buckets;
	uint32_t bucket_count; /* a power of two */
	uint32_t tuple_count;
	uint32_t empty_count;
	struct flow_tuple *empty_coldest, *empty_warmest;
	struct flow_node *coldest, *warmest;
	uint64_t seed;
	uint32_t next_number;
	bool counts_from_first;
	struct flow_recent recent[RECENT_SLOTS];
};

struct flow_table *flow_table_new(void)
{
	struct flow_table *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->bucket_count = BUCKETS_FIRST;
	t->buckets = calloc(t->bucket_count, sizeof(struct flow_tuple *));
	if (t->buckets == NULL) {
		free(t);
		return NULL;
	}
	if (getrandom(&t->seed, sizeof(t->seed), GRND_NONBLOCK) != sizeof(t->seed))
		t->seed = (uint64_t)(uintptr_t)t;
	return t;
}

void flow_table_count_from_first(struct flow_table *t)
{
	t->counts_from_first = true;
}

void flow_table_free(struct flow_table *t)
{
	struct flow_node *n, *warmer;

	if (t == NULL)
		return;
	for (n = t->coldest; n != NULL; n = warmer) {
		warmer = n->warmer;
		flow_node_free(n);
	}
	for (uint32_t i = 0; i < t->bucket_count; i++) {
		while (t->buckets[i] != NULL) {
			struct flow_tuple *u = t->buckets[i];

			t->buckets[i] = u->chain;
			wslabel_fini(&u->ws);
			free(u);
		}
	}
	free(t->buckets);
	free(t);
}

static uint64_t mix(uint64_t h)
{
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdULL;
	h ^= h >> 33;
	h *= 0xc4ceb9fe1a85ec53ULL;
	return h ^ h >> 33;
}

static uint64_t hash_addr(uint64_t seed, const struct addr *a)
{
	uint64_t word[2], h;

	memcpy(word, a->ip, sizeof(word));
	h = mix(seed ^ word[0]);
	if (a->family == ADDR_IP6)
		h = mix(h ^ word[1]);
	return mix(h ^ ((uint64_t)a->family << 16 | a->port));
}

/* ---- empty tuples, forgotten in the order of their last use ---- */

static void empty_add(struct flow_table *t, struct flow_tuple *u)
{
	u->colder = t->empty_warmest;
	u->warmer = NULL;
	if (u->colder != NULL)
		u->colder->warmer = u;
	else
		t->empty_coldest = u;
	t->empty_warmest = u;
	t->empty_count++;
}

static void empty_remove(struct flow_table *t, struct flow_tuple *u)
{
	if (u->colder != NULL)
		u->colder->warmer = u->warmer;
	else
		t->empty_coldest = u->warmer;
	if (u->warmer != NULL)
		u->warmer->colder = u->colder;
	else
		t->empty_warmest = u->colder;
	t->empty_count--;
}

/* ---- tuples by hash ---- */

static struct flow_tuple **bucket_of(const struct flow_table *t, uint64_t hash)
{
	return &t->buckets[hash & (t->bucket_count - 1)];
}

/* More buckets when they get crowded. Without the memory it only gets slower. */
static void grow_buckets(struct flow_table *t)
{
	uint32_t old_count = t->bucket_count;
	struct flow_tuple **old = t->buckets, **wider;

	if (t->tuple_count < old_count || old_count > UINT32_MAX / 4)
		return;
	wider = calloc((size_t)old_count * 2, sizeof(struct flow_tuple *));
	if (wider == NULL)
		return;
	t->buckets = wider;
	t->bucket_count = old_count * 2;
	for (uint32_t i = 0; i < old_count; i++) {
		while (old[i] != NULL) {
			struct flow_tuple *u = old[i], **bucket = bucket_of(t, u->hash);

			old[i] = u->chain;
			u->chain = *bucket;
			*bucket = u;
		}
	}
	free(old);
}

static struct flow_tuple *tuple_find(const struct flow_table *t, const struct addr *a,
				     const struct addr *b, uint64_t hash)
{
	struct flow_tuple *u = *bucket_of(t, hash);

	while (u != NULL &&
	       !(u->hash == hash && ((addr_equal(&u->end[0], a) && addr_equal(&u->end[1], b)) ||
				     (addr_equal(&u->end[0], b) && addr_equal(&u->end[1], a)))))
		u = u->chain;
	return u;
}

static struct flow_tuple *tuple_new(struct flow_table *t, const struct addr *a,
				    const struct addr *b, uint64_t hash)
{
	struct flow_tuple *u = calloc(1, sizeof(*u)), **bucket;

	if (u == NULL)
		return NULL;
	grow_buckets(t);
	bucket = bucket_of(t, hash);
	u->hash = hash;
	u->print = hash_addr(0, a) + hash_addr(0, b);
	wslabel_init(&u->ws);
	u->end[0] = addr_compare(a, b) <= 0 ? *a : *b;
	u->end[1] = addr_compare(a, b) <= 0 ? *b : *a;
	u->chain = *bucket;
	*bucket = u;
	t->tuple_count++;
	empty_add(t, u);
	return u;
}

static void tuple_free(struct flow_table *t, struct flow_tuple *u)
{
	struct flow_tuple **link = bucket_of(t, u->hash);

	while (*link != u)
		link = &(*link)->chain;
	*link = u->chain;
	t->tuple_count--;
	empty_remove(t, u);
	wslabel_fini(&u->ws);
	free(u);
}

/* ---- flows by their last packet ---- */

static void warm_add(struct flow_table *t, struct flow_node *n)
{
	n->colder = t->warmest;
	n->warmer = NULL;
	if (n->colder != NULL)
		n->colder->warmer = n;
	else
		t->coldest = n;
	t->warmest = n;
}

static void warm_remove(struct flow_table *t, struct flow_node *n)
{
	if (n->colder != NULL)
		n->colder->warmer = n->warmer;
	else
		t->coldest = n->warmer;
	if (n->warmer != NULL)
		n->warmer->colder = n->colder;
	else
		t->warmest = n->colder;
}

/* ---- incarnations ---- */

/* Who sent the SYN: told by the segment, or remembered of a flow that was given back. */
static uint8_t opener_of(const struct flow_tuple *u, const struct segment *seg, uint8_t end,
			 bool fresh)
{
	if (!fresh)
		return u->opener;
	return (seg->flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK) ? !end : end;
}

static struct flow_node *incarnation_new(struct flow_table *t, struct flow_tuple *u,
					 const struct segment *seg, uint8_t end, bool fresh)
{
	uint8_t opener = opener_of(u, seg, end, fresh);
	struct flow_node *n = flow_node_new(seg, end != opener, u->number);

	if (n == NULL)
		return NULL;
	if (u->oldest == NULL)
		empty_remove(t, u);
	n->tuple = u;
	n->older = u->newest;
	if (n->older != NULL)
		n->older->newer = n;
	else
		u->oldest = n;
	u->newest = n;
	u->current = n;
	n->counts_from_first = t->counts_from_first;
	u->opener = opener;
	n->flow.is_remnant = !fresh;
	for (unsigned i = 0; i < 2; i++) {
		if (!fresh && u->isn_known[i])
			flow_node_set_isn(n, i != opener, u->isn[i]);
		if (!fresh && u->next_known[i])
			flow_node_resume(n, i != opener, u->next[i], u->acked[i]);
		u->isn_known[i] = false;
		u->next_known[i] = false;
	}
	warm_add(t, n);
	return n;
}

void flow_table_remove(struct flow_table *t, struct flow *f)
{
	struct flow_node *n = (struct flow_node *)f;
	struct flow_tuple *u = n->tuple;

	if (n == u->current) {
		for (unsigned i = 0; i < 2; i++) {
			const struct flow_side *s = &f->side[i != u->opener];
			const struct label_side *l = &n->label.side[i != u->opener];

			u->isn[i] = s->isn;
			u->isn_known[i] = s->isn_known;
			u->next[i] = l->next;
			u->acked[i] = l->acked;
			u->next_known[i] = l->has_next && l->has_acked;
		}
		u->current = NULL;
	}
	*(n->older != NULL ? &n->older->newer : &u->oldest) = n->newer;
	*(n->newer != NULL ? &n->newer->older : &u->newest) = n->older;
	warm_remove(t, n);
	flow_node_free(n);
	if (u->oldest != NULL)
		return;
	wslabel_shrink(&u->ws);
	empty_add(t, u);
	if (t->empty_count > FLOW_REMEMBERED_MAX)
		tuple_free(t, t->empty_coldest);
}

/*
 * A SYN/ACK with another number than before, in a connection that knows its SYN: it answers that
 * SYN, or one that was not captured. Then it is another connection, although Wireshark counts it
 * as the same.
 */
static bool answers_missed_syn(const struct flow_tuple *u, const struct segment *seg, uint8_t end)
{
	const struct flow_node *n = u->current;
	unsigned peer = end == u->opener; /* opener and side 0 are one */

	if (n == NULL)
		return u->isn_known[!end] && u->isn[!end] != seg->ack - 1;
	return !n->flow.side[peer].isn_known || n->flow.side[peer].isn != seg->ack - 1;
}

/* The tuple was numbered by a header alone: is this the first segment of what that began? */
static bool begins_noted(const struct flow_tuple *u, const struct segment *seg, uint8_t end)
{
	const struct flow_node *n = u->current;
	unsigned side = end != u->opener;

	if (!u->is_noted)
		return false;
	if (u->newest == NULL && n == NULL)
		return true;
	return (seg->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN &&
	       (n == NULL || !n->flow.side[side].isn_known || n->flow.side[side].isn != seg->seq);
}

/* Number a segment, or a header alone, as Wireshark does. */
static enum wslabel_place number_stream(struct flow_table *t, struct flow_tuple *u,
					const struct segment *seg, uint8_t end, bool first)
{
	enum wslabel_place place = wslabel_place(&u->ws, seg, end);

	if (first || place == WSLABEL_RENEWED)
		u->number = t->next_number++;
	return place;
}

/* True: seg begins a new incarnation. */
static bool is_fresh(struct flow_tuple *u, const struct segment *seg, uint8_t end, bool first,
		     enum wslabel_place place)
{
	bool fresh = first || place == WSLABEL_RENEWED || begins_noted(u, seg, end);

	if (place == WSLABEL_OTHER_BASE && !fresh)
		fresh = answers_missed_syn(u, seg, end);
	if (fresh)
		u->is_noted = false;
	return fresh;
}

/*
 * The same packet seen on two interfaces: all of it equal, at nearly the same time. On the same
 * interface it is one that the network has doubled, which only an IP id can tell.
 */
static bool is_copy(struct flow_table *t, const struct segment *seg, uint64_t print, uint8_t end,
		    bool *again)
{
	uint64_t h = mix(print ^ ((uint64_t)seg->seq << 32 | seg->ack));
	struct flow_recent *r;
	uint64_t apart;

	h = mix(h ^ ((uint64_t)seg->payload_len << 32 | (uint64_t)seg->ip_id << 16 | seg->window));
	h = mix(h ^ ((uint64_t)seg->tsval << 16 | (uint64_t)seg->flags << 1 | end)) | 1;
	r = &t->recent[h >> 32 & (RECENT_SLOTS - 1)];
	apart = seg->ts_ns > r->ts_ns ? seg->ts_ns - r->ts_ns : r->ts_ns - seg->ts_ns;
	if (r->print == h && (r->iface != seg->iface || r->device != seg->device) &&
	    apart <= COPY_NS)
		return true;
	*again = r->print == h && seg->ip_id != 0 && r->iface == seg->iface &&
		 r->device == seg->device;
	*r = (struct flow_recent){h, seg->ts_ns, seg->iface, seg->device};
	return false;
}

/* It changes nothing, but carries bytes like the packet it is a copy of. */
static void locate_copy(const struct flow_node *n, const struct segment *seg,
			struct flow_place *place)
{
	place->label = LABEL_CAPTURE_DUPLICATE;
	if (seg->payload_len > 0 && !(seg->flags & TCP_RST))
		stream_locate(n->flow.side[place->from].stream,
			      seg->seq + ((seg->flags & TCP_SYN) != 0), &place->data);
}

bool flow_table_add(struct flow_table *t, const struct segment *seg, struct flow_place *place)
{
	uint64_t hash = hash_addr(t->seed, &seg->src) + hash_addr(t->seed, &seg->dst);
	struct flow_tuple *u = tuple_find(t, &seg->src, &seg->dst, hash);
	bool first = u == NULL, copy;
	enum wslabel_place ws_place;
	struct flow_node *n;
	uint8_t end;

	*place = (struct flow_place){0};
	if (first)
		u = tuple_new(t, &seg->src, &seg->dst, hash);
	if (u == NULL)
		return false;
	end = !addr_equal(&u->end[0], &seg->src);
	n = u->current;
	copy = is_copy(t, seg, u->print, end, &place->again) && n != NULL;
	place->copy = copy;
	ws_place = number_stream(t, u, seg, end, first);
	wslabel_base(&u->ws, seg, end);
	wslabel_add(&u->ws, seg, end, ws_place, &place->ws);
	if (!copy) {
		place->fresh = is_fresh(u, seg, end, first, ws_place) ||
			       (n != NULL && flow_node_is_outlived(n, seg, end != u->opener));
		if (place->fresh || n == NULL)
			n = incarnation_new(t, u, seg, end, place->fresh);
	}
	if (n == NULL)
		return false;
	place->flow = &n->flow;
	place->number = u->number;
	place->from = end != u->opener;
	if (copy) {
		locate_copy(n, seg, place);
		return !concern_any(place) || concern_note(n, seg, place);
	}
	if (n != t->warmest) {
		warm_remove(t, n);
		warm_add(t, n);
	}
	for (unsigned i = 0; i < 2; i++)
		n->flow.side[i].ws_base = u->ws.side[i != u->opener].base;
	return flow_node_add(n, seg, place);
}

uint32_t flow_table_note(struct flow_table *t, const struct segment *seg)
{
	uint64_t hash = hash_addr(t->seed, &seg->src) + hash_addr(t->seed, &seg->dst);
	struct flow_tuple *u = tuple_find(t, &seg->src, &seg->dst, hash);
	bool first = u == NULL;
	uint32_t number = t->next_number;
	enum wslabel_place place;
	struct wslabel_seen seen;
	uint8_t end;

	if (first)
		u = tuple_new(t, &seg->src, &seg->dst, hash);
	if (u == NULL)
		return UINT32_MAX;
	end = !addr_equal(&u->end[0], &seg->src);
	place = number_stream(t, u, seg, end, first);
	if (seg->payload_framed != SEGMENT_NO_LEN) {
		wslabel_base(&u->ws, seg, end);
		wslabel_add(&u->ws, seg, end, place, &seen);
	} else if (!seg->is_short) {
		wslabel_time(&u->ws, seg, end);
	}
	if (t->next_number != number)
		u->is_noted = true;
	return u->number;
}

/* ---- questions ---- */

/* A side that has sent something by then. */
static bool has_spoken(const struct flow_side *s, uint64_t ns)
{
	return (s->data_ns != 0 && s->data_ns < ns) || (s->fin_ns != 0 && s->fin_ns < ns);
}

/* What flow_table_find() is asked. */
struct question {
	const struct addr *local;
	enum flow_rule rule;
	uint64_t moment_ns, until_ns;
};

/* The incarnation with or without a SYN that the rule chooses, or NULL. */
static struct flow_node *choose(const struct flow_tuple *u, const struct question *q, bool with_syn,
				enum flow_rule rule)
{
	struct flow_node *best = NULL;

	for (struct flow_node *n = u->oldest; n != NULL; n = n->newer) {
		const struct flow *f = &n->flow;
		uint64_t began_ns = with_syn ? f->syn_ns : f->first_ns;

		if ((f->syn_frame != 0) != with_syn || began_ns > q->until_ns || f->is_remnant)
			continue;
		if (q->rule == FLOW_LAST_NOT_AFTER &&
		    has_spoken(&f->side[flow_side_of(f, q->local)], q->moment_ns))
			continue;
		if (rule == FLOW_FIRST_NOT_BEFORE && began_ns >= q->moment_ns)
			return n;
		if (rule == FLOW_LAST_NOT_AFTER && began_ns <= q->moment_ns)
			best = n;
	}
	return best;
}

struct flow *flow_table_find(struct flow_table *t, const struct addr *local,
			     const struct addr *peer, enum flow_rule rule, uint64_t moment_ns,
			     uint64_t until_ns)
{
	uint64_t hash = hash_addr(t->seed, local) + hash_addr(t->seed, peer);
	const struct flow_tuple *u = tuple_find(t, local, peer, hash);
	const struct question q = {local, rule, moment_ns, until_ns};
	struct flow_node *n;

	if (u == NULL)
		return NULL;
	n = choose(u, &q, true, rule);
	if (n == NULL)
		n = choose(u, &q, false, rule);
	if (n == NULL && rule == FLOW_LAST_NOT_AFTER)
		n = choose(u, &q, false, FLOW_FIRST_NOT_BEFORE);
	return n != NULL ? &n->flow : NULL;
}

void flow_table_visit(struct flow_table *t, flow_visit fn, void *arg)
{
	struct flow_node *n, *warmer;

	for (n = t->coldest; n != NULL; n = warmer) {
		warmer = n->warmer;
		if (!fn(&n->flow, arg))
			return;
	}
}
