/*
 * fragments.c -- puts IP datagrams together again.
 *
 * A datagram is one buffer and the list of its pieces. A byte that stands in the buffer once may be
 * replaced only by one of a fragment that begins earlier.
 *
 * Invariant: the pieces of a datagram ascend by their fragment's offset and by place, and do not
 * overlap; `covered` is the sum of their lengths.
 */
#include "trace/fragments.h"

#include <stdlib.h>
#include <string.h>

#include "common/attrib.h"

#define BUCKETS       1024U
#define DATAGRAMS_MAX 1024U
#define BYTES_MAX     (16U << 20)     /* of all that is held */
#define DATAGRAM_MAX  65535U          /* longer ones are none: no kernel takes them */
#define AGE_MAX_NS    (60 * NS_PER_S) /* RFC 8200 section 4.5 */
#define ROOM_FIRST    2048U
#define PIECES_FIRST  4U

/* Bytes [from, past) of the datagram, of a fragment that began at off. */
struct piece {
	uint32_t off;
	uint32_t from;
	uint32_t past;
};

struct datagram {
	struct datagram *older, *newer;
	struct datagram *chain; /* of the bucket, or of those given out */
	struct fragment_key key;
	uint64_t first_ns;
	bool has_tail;
	uint32_t len; /* when has_tail */
	uint32_t covered;
	struct piece *pieces;
	uint32_t piece_count;
	uint32_t piece_cap;
	uint8_t *bytes;
	uint32_t room;
};

struct fragments {
	struct datagram *buckets[BUCKETS];
	struct datagram *oldest, *newest; /* by their first fragment */
	uint32_t count;
	size_t bytes;
	uint64_t given_up;
	struct datagram *given;
};

struct fragments *fragments_new(void)
{
	return calloc(1, sizeof(struct fragments));
}

/* ---- datagrams ------------------------------------------------------------------------------- */

static struct datagram **bucket_of(struct fragments *f, const struct fragment_key *key)
{
	uint64_t h = (uint64_t)key->id << 8 | key->protocol, word;

	for (unsigned i = 0; i < 2; i++) {
		memcpy(&word, key->src.ip + i * 8, sizeof(word));
		h = (h ^ word) * 0x9e3779b97f4a7c15ULL;
		memcpy(&word, key->dst.ip + i * 8, sizeof(word));
		h = (h ^ h >> 32 ^ word) * 0x9e3779b97f4a7c15ULL;
	}
	return &f->buckets[h >> 32 & (BUCKETS - 1)];
}

static bool key_equal(const struct fragment_key *a, const struct fragment_key *b)
{
	return a->id == b->id && a->vlan == b->vlan && a->protocol == b->protocol &&
	       addr_equal(&a->src, &b->src) && addr_equal(&a->dst, &b->dst);
}

static size_t datagram_bytes(const struct datagram *g)
{
	return sizeof(*g) + g->room + g->piece_cap * sizeof(*g->pieces);
}

static void datagram_free(struct datagram *g)
{
	free(g->pieces);
	free(g->bytes);
	free(g);
}

/* Out of the table; it stays the caller's. */
static void take_out(struct fragments *f, struct datagram *g)
{
	struct datagram **link = bucket_of(f, &g->key);

	while (*link != g)
		link = &(*link)->chain;
	*link = g->chain;
	*(g == f->oldest ? &f->oldest : &g->older->newer) = g->newer;
	*(g == f->newest ? &f->newest : &g->newer->older) = g->older;
	f->count--;
	f->bytes -= datagram_bytes(g);
}

static void give_up(struct fragments *f, struct datagram *g)
{
	take_out(f, g);
	datagram_free(g);
	f->given_up++;
}

void fragments_release(struct fragments *f)
{
	while (f->given != NULL) {
		struct datagram *next = f->given->chain;

		datagram_free(f->given);
		f->given = next;
	}
}

void fragments_free(struct fragments *f)
{
	if (f == NULL)
		return;
	while (f->oldest != NULL)
		give_up(f, f->oldest);
	fragments_release(f);
	free(f);
}

uint64_t fragments_incomplete(const struct fragments *f)
{
	return f->given_up + f->count;
}

/* Stamps may go back a little. */
static bool is_old(const struct datagram *g, uint64_t now_ns)
{
	return now_ns > g->first_ns && now_ns - g->first_ns > AGE_MAX_NS;
}

static struct datagram *datagram_find(struct fragments *f, const struct fragment_key *key)
{
	struct datagram *g = *bucket_of(f, key);

	while (g != NULL && !key_equal(&g->key, key))
		g = g->chain;
	return g;
}

static struct datagram *datagram_new(struct fragments *f, const struct fragment_key *key,
				     uint64_t now_ns)
{
	struct datagram *g = calloc(1, sizeof(*g)), **bucket = bucket_of(f, key);

	if (g == NULL)
		return NULL;
	g->key = *key;
	g->first_ns = now_ns;
	g->chain = *bucket;
	*bucket = g;
	g->older = f->newest;
	*(g->older != NULL ? &g->older->newer : &f->oldest) = g;
	f->newest = g;
	f->count++;
	f->bytes += datagram_bytes(g);
	return g;
}

/* ---- room ------------------------------------------------------------------------------------ */

static bool grow_bytes(struct datagram *g, uint32_t past)
{
	uint32_t room = g->room > 0 ? g->room : ROOM_FIRST;
	uint8_t *bytes;

	if (past <= g->room)
		return true;
	while (room < past)
		room *= 2;
	bytes = realloc(g->bytes, room);
	if (bytes == NULL)
		return false;
	g->bytes = bytes;
	g->room = room;
	return true;
}

static bool grow_pieces(struct datagram *g)
{
	uint32_t cap = g->piece_cap > 0 ? 2 * g->piece_cap : PIECES_FIRST;
	struct piece *pieces;

	if (g->piece_count < g->piece_cap)
		return true;
	pieces = realloc(g->pieces, cap * sizeof(*pieces));
	if (pieces == NULL)
		return false;
	g->pieces = pieces;
	g->piece_cap = cap;
	return true;
}

/* Room for bytes up to `past` and one piece more. */
static bool make_room(struct fragments *f, struct datagram *g, uint32_t past)
{
	size_t before = datagram_bytes(g);
	bool made = grow_bytes(g, past) && grow_pieces(g);

	f->bytes += datagram_bytes(g) - before;
	return made;
}

/* ---- pieces ---------------------------------------------------------------------------------- */

/* Index of the first piece of a fragment that began behind off. */
static uint32_t find_piece(const struct datagram *g, uint32_t off)
{
	uint32_t low = 0, high = g->piece_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (g->pieces[middle].off <= off)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* From index `at` on, what stands before `past` is replaced. */
static void cut_pieces(struct datagram *g, uint32_t at, uint32_t past)
{
	uint32_t covered = at;

	while (covered < g->piece_count && g->pieces[covered].past <= past) {
		g->covered -= g->pieces[covered].past - g->pieces[covered].from;
		covered++;
	}
	if (covered < g->piece_count && g->pieces[covered].from < past) {
		g->covered -= past - g->pieces[covered].from;
		g->pieces[covered].from = past;
	}
	memmove(&g->pieces[at], &g->pieces[covered],
		(g->piece_count - covered) * sizeof(*g->pieces));
	g->piece_count -= covered - at;
}

/* There is room for it. */
static void put_piece(struct datagram *g, const struct fragment *fragment)
{
	uint32_t at = find_piece(g, fragment->off), from = fragment->off;
	uint32_t past = fragment->off + fragment->len;

	if (at > 0)
		from = MAX(from, g->pieces[at - 1].past);
	if (from >= past)
		return;
	cut_pieces(g, at, past);
	memmove(&g->pieces[at + 1], &g->pieces[at], (g->piece_count - at) * sizeof(*g->pieces));
	g->pieces[at] = (struct piece){fragment->off, from, past};
	g->piece_count++;
	g->covered += past - from;
	memcpy(g->bytes + from, fragment->bytes + (from - fragment->off), past - from);
}

static bool is_whole(const struct datagram *g)
{
	uint32_t past = 0;

	if (!g->has_tail || g->covered < g->len)
		return false;
	for (uint32_t i = 0; i < g->piece_count && g->pieces[i].from == past; i++)
		past = g->pieces[i].past;
	return past >= g->len;
}

/* ---- one fragment ---------------------------------------------------------------------------- */

static void make_space(struct fragments *f, uint64_t now_ns)
{
	while (f->oldest != NULL &&
	       (is_old(f->oldest, now_ns) || f->count >= DATAGRAMS_MAX || f->bytes >= BYTES_MAX))
		give_up(f, f->oldest);
}

const uint8_t *fragments_add(struct fragments *f, const struct fragment_key *key,
			     const struct fragment *fragment, uint32_t *len)
{
	uint32_t past = fragment->off + fragment->len;
	struct datagram *g;

	if (fragment->off > DATAGRAM_MAX || past > DATAGRAM_MAX || fragment->len == 0)
		return NULL;
	make_space(f, fragment->ts_ns);
	g = datagram_find(f, key);
	if (g == NULL)
		g = datagram_new(f, key, fragment->ts_ns);
	if (g == NULL)
		return NULL;
	if (!make_room(f, g, past)) {
		give_up(f, g);
		return NULL;
	}
	put_piece(g, fragment);
	if (!fragment->more && !g->has_tail) {
		g->has_tail = true;
		g->len = past;
	}
	if (!is_whole(g))
		return NULL;
	take_out(f, g);
	g->chain = f->given;
	f->given = g;
	*len = g->len;
	return g->bytes;
}
