/*
 * pipeline.c -- hands each packet and each finding to the next station.
 *
 * Invariant: frame numbers are given in the order of the calls, and every numbered packet goes into
 * the dump.
 */
#include "trace/pipeline.h"

#include <stdlib.h>

#include "trace/decode.h"
#include "trace/record.h"

#define IFACES_MAX 64

struct pipeline {
	struct pipeline_options o;
	struct fragments *fragments; /* NULL: packets are cut when they are written */
	struct flow_table *flows;
	struct correlate *correlate;
	struct http_feed *http; /* NULL: there is a log or a tap */
	struct dump *dump;
	struct record_text text;
	uint32_t frame;
	uint64_t first_ns; /* stamps of the capture so far; 0: no packet yet */
	uint64_t last_ns;
	uint32_t carried[IFACES_MAX]; /* drops that stood on packets which were passed over */
	struct pipeline_counters count;
};

/* ---- findings -------------------------------------------------------------------------------- */

/* Offline the log may tell of more than the capture was there for. */
static bool is_outside(const struct pipeline *p, uint64_t from_ns, uint64_t to_ns)
{
	return !p->o.is_live && (p->first_ns == 0 || to_ns < p->first_ns || from_ns > p->last_ns);
}

static bool leg_is_shown(const struct leg_finding *leg)
{
	bool shown = leg->handshake.count > 0;

	for (unsigned kind = 0; kind < PART_KINDS; kind++)
		shown = shown || (leg->part[kind].exists && leg->part[kind].seen.carried.count > 0);
	return leg->place.flow != NULL && shown;
}

static bool is_shown(const struct finding *e)
{
	return e->client.place.flow != NULL || e->backend.place.flow != NULL;
}

/*
 * Over before the first packet: a log tells of many such on connections that the capture shows, and
 * the tap of some, from before the captures ran.
 */
static bool is_earlier(const struct pipeline *p, const struct finding *e, uint64_t past_ns)
{
	return p->first_ns != 0 && past_ns < p->first_ns && !leg_is_shown(&e->client) &&
	       !leg_is_shown(&e->backend);
}

static void on_exchange(void *arg, const struct finding *e)
{
	struct pipeline *p = arg;
	uint64_t past_ns = exchange_end_ns(e->x->start_ns, e->x->at_us);

	if (is_earlier(p, e, past_ns) || (!is_shown(e) && is_outside(p, e->x->start_ns, past_ns)))
		p->count.outside++;
	else if (record_exchange(&p->text, e, p->o.dump_name))
		lines_add(p->o.flows, p->text.at, p->text.len);
	else
		p->count.lost++;
}

static void on_conn(void *arg, const struct conn_finding *e)
{
	struct pipeline *p = arg;
	struct record_conn r = {
		.e = e, .dump = p->o.dump_name, .has_run = p->o.has_run, .run = p->o.run};

	if (e->flow == NULL && p->o.match != NULL)
		match_unseen(p->o.match, e->conn->run, e->conn->number);
	if (e->flow == NULL && is_outside(p, e->conn->opened_ns, e->conn->opened_ns))
		return;
	if (record_conn(&p->text, &r))
		lines_add(p->o.conns, p->text.at, p->text.len);
	else
		p->count.lost++;
}

/* ---- life ------------------------------------------------------------------------------------ */

static bool read_http(struct pipeline *p)
{
	flow_table_count_from_first(p->flows);
	p->http = http_feed_new(p->correlate, p->o.exchanges);
	return p->http != NULL;
}

struct pipeline *pipeline_new(const struct pipeline_options *o)
{
	struct pipeline *p = calloc(1, sizeof(*p));
	bool is_written = o->dump != NULL || o->segments != NULL;
	bool waits = o->is_live || (o->exchanges != NULL && is_written);
	struct dump_options d = {.hold_ns = waits ? o->hold_ns : 0,
				 .queue_bytes = o->queue_bytes,
				 .payload = o->payload,
				 .segments = o->segments};
	struct correlate_options c = {.hold_ns = o->hold_ns,
				      .is_live = o->is_live,
				      .anchoring = o->anchoring,
				      .reads_http = o->exchanges != NULL,
				      .arg = p,
				      .exchange = on_exchange,
				      .conn = on_conn};

	if (p == NULL) {
		(void)pcapng_close(o->dump);
		return NULL;
	}
	p->o = *o;
	p->dump = dump_new(o->dump, &d);
	p->flows = flow_table_new();
	if (o->payload == DUMP_FULL)
		p->fragments = fragments_new();
	if (p->dump != NULL && p->flows != NULL &&
	    (p->fragments != NULL || o->payload != DUMP_FULL))
		p->correlate = correlate_new(p->flows, &c);
	if (p->correlate != NULL && (o->exchanges == NULL || read_http(p)))
		return p;
	pipeline_free(p);
	return NULL;
}

void pipeline_free(struct pipeline *p)
{
	if (p == NULL)
		return;
	dump_free(p->dump);
	http_feed_free(p->http);
	correlate_free(p->correlate);
	flow_table_free(p->flows);
	fragments_free(p->fragments);
	record_text_fini(&p->text);
	free(p);
}

void pipeline_set_run(struct pipeline *p, uint32_t run)
{
	p->o.has_run = true;
	p->o.run = run;
}

struct correlate *pipeline_correlate(struct pipeline *p)
{
	return p->correlate;
}

struct pcapng *pipeline_dump(struct pipeline *p)
{
	return dump_file(p->dump);
}

/* ---- packets --------------------------------------------------------------------------------- */

static void pass_over(struct pipeline *p, const struct packet *packet)
{
	p->count.passed_over++;
	if (packet->iface < IFACES_MAX)
		p->carried[packet->iface] += packet->dropped_before;
}

static void number_packet(struct pipeline *p, struct packet *packet)
{
	if (packet->frame == 0)
		packet->frame = p->frame + 1;
	p->frame = packet->frame;
	p->count.packets++;
	if (packet->iface < IFACES_MAX) {
		packet->dropped_before += p->carried[packet->iface];
		p->carried[packet->iface] = 0;
	}
	if (p->first_ns == 0 || packet->ts_ns < p->first_ns)
		p->first_ns = packet->ts_ns;
	p->last_ns = MAX(p->last_ns, packet->ts_ns);
	correlate_drops(p->correlate, packet->iface, packet->ts_ns, packet->dropped_before);
}

/* A dump of ours says what the live run knew. */
static void read_note(struct pipeline *p, const struct packet *packet,
		      const struct flow_place *place)
{
	struct anchor_note note;

	if (anchor_note_read(packet->note, packet->note_len, &note))
		correlate_noted(p->correlate, &note, packet->ts_ns, place);
}

/* A flow that has no connection's addresses: it may be one behind NAT all the same. */
static void read_foreign(struct pipeline *p, struct track *t, const struct segment *seg,
			 const struct flow_place *place)
{
	const struct match_binding *b;
	const struct flow *f = t->flow;

	if (t->is_passed || t->is_remnant || (f->syn_frame == 0 && f->syn_ack_frame == 0))
		return;
	b = match_get(p->o.match, f->first_frame);
	if (b == NULL) {
		if (match_pairs(p->o.match) != NULL)
			http_pairs_segment(match_pairs(p->o.match), t, seg, place);
		else
			t->is_passed = true;
		return;
	}
	/* The log's line may come only now. */
	t->is_kept = true;
	correlate_bind(p->correlate, b->run, b->conn, t, b->our_side);
}

static void add_segment(struct pipeline *p, struct dump_packet *d, struct segment *seg,
			struct segment_line *line)
{
	struct flow_place place;

	seg->frame = d->p.frame;
	if (!flow_table_add(p->flows, seg, &place))
		p->count.lost++;
	if (place.flow == NULL)
		return;
	if (p->o.segments != NULL) {
		segment_line_fill(line, seg, &place);
		d->segment = line;
	}
	d->payload_off = seg->payload_off;
	d->place.track = correlate_segment(p->correlate, seg, &place);
	if (d->place.track == NULL)
		return;
	if (d->p.note != NULL)
		read_note(p, &d->p, &place);
	d->note = correlate_note(p->correlate);
	if (p->http != NULL) {
		http_pairs_segment(http_feed_pairs(p->http), d->place.track, seg, &place);
		if (d->place.track->is_passed && !track_is_named(d->place.track))
			return; /* nobody will tell of it */
	}
	if (p->o.match != NULL && !track_is_named(d->place.track))
		read_foreign(p, d->place.track, seg, &place);
	d->place.from = place.from;
	d->place.is_known = place.data.known || place.acked_past > place.acked_from;
	if (place.data.known)
		d->place.len =
			place.copy ? seg->payload_len : place.data.new_bytes + place.data.old_bytes;
	d->place.off = place.data.off;
	d->place.acked_from = place.acked_from;
	d->place.acked_past = place.acked_past;
}

void pipeline_packet(struct pipeline *p, const struct packet *packet)
{
	struct dump_packet d = {.p = *packet};
	enum decode_result result;
	struct segment_line line;
	struct segment seg;

	result = decode_next(p->fragments, packet, &seg);
	if (result == DECODE_TCP && p->o.is_live && correlate_is_unwanted(p->correlate, &seg)) {
		pass_over(p, packet);
		return;
	}
	number_packet(p, &d.p);
	if (result == DECODE_TCP)
		add_segment(p, &d, &seg, &line);
	else if (result == DECODE_HEADER)
		(void)flow_table_note(p->flows, &seg);
	else if (result == DECODE_CUT || result == DECODE_MALFORMED)
		p->count.broken++;
	dump_put(p->dump, &d);
}

void pipeline_secret(struct pipeline *p, const char *line, size_t len)
{
	dump_secret(p->dump, line, len);
}

/* ---- time ------------------------------------------------------------------------------------ */

void pipeline_clock(struct pipeline *p, uint64_t clock_ns, uint64_t now_ns)
{
	if (p->http != NULL)
		http_pairs_clock(http_feed_pairs(p->http), clock_ns);
	if (p->o.match != NULL && match_pairs(p->o.match) != NULL)
		http_pairs_clock(match_pairs(p->o.match), clock_ns);
	dump_release(p->dump, now_ns);
	correlate_clock(p->correlate, clock_ns);
}

void pipeline_limit(struct pipeline *p, uint64_t queue_bytes, size_t hurry)
{
	dump_limit(p->dump, queue_bytes);
	if (hurry > 0)
		correlate_hurry(p->correlate, hurry);
}

uint64_t pipeline_bytes(const struct pipeline *p)
{
	return dump_bytes(p->dump);
}

void pipeline_flush(struct pipeline *p)
{
	lines_flush(p->o.flows);
	lines_flush(p->o.conns);
	if (p->o.segments != NULL)
		lines_flush(p->o.segments);
	dump_flush(p->dump);
}

void pipeline_end(struct pipeline *p)
{
	if (p->http != NULL)
		http_pairs_end(http_feed_pairs(p->http));
	if (p->o.match != NULL && match_pairs(p->o.match) != NULL)
		http_pairs_end(match_pairs(p->o.match));
	dump_drain(p->dump);
	correlate_end(p->correlate);
	pipeline_flush(p);
}

bool pipeline_is_idle(const struct pipeline *p)
{
	return dump_is_empty(p->dump) && !correlate_is_waiting(p->correlate);
}

void pipeline_counters(const struct pipeline *p, struct pipeline_counters *out)
{
	*out = p->count;
	if (p->fragments != NULL)
		out->incomplete = fragments_incomplete(p->fragments);
	correlate_counters(p->correlate, &out->correlate);
	dump_counters(p->dump, &out->dump);
	out->lost += out->correlate.lost + out->dump.unlined + out->dump.closed;
	if (p->http == NULL)
		return;
	http_feed_counters(p->http, &out->http);
	out->lost += out->http.lost + out->http.pairs.lost;
}
