/*
 * http_conn.h -- what http_pairs.c (segments, gaps, time) and http_turns.c (messages, whose turn it is) share.
 */
#ifndef TRACE_HTTP_CONN_H
#define TRACE_HTTP_CONN_H

#include "trace/http_pairs.h"
#include "trace/http_reader.h"
#include "trace/reassembly.h"

struct http_tls;

#define CLIENT_UNKNOWN  2
#define HTTP_MISSES_MAX 1000 /* packets without any sign of HTTP before a connection is given up */

struct http_direction {
	struct reassembly pieces;
	struct http_reader reader;
	uint64_t seen;    /* past the highest byte that was captured */
	uint64_t acked;   /* what the other side has acknowledged */
	uint64_t gap_off; /* where bytes are missing that were acknowledged ... */
	uint64_t gap_ns;  /* ... as was noticed then; 0: none are */
	uint64_t fin_off; /* past the last byte, with has_fin */
	uint64_t fin_ns;
	uint64_t told_off; /* `passed` was called with it */
	bool has_fin;
	bool is_closed; /* read up to there */
};

TAILQ_HEAD(http_exchange_list, http_exchange);
TAILQ_HEAD(http_conn_list, http_conn);

struct http_conn {
	struct http_conn_view view; /* client: CLIENT_UNKNOWN at first */
	struct http_pairs *pairs;
	struct http_direction dir[2]; /* by the flow's sides */
	struct http_exchange_list open;
	uint32_t open_count;
	uint64_t counted_bytes; /* of its kept pieces, in pairs->kept_bytes */
	uint32_t nth;           /* requests so far */
	uint32_t misses;        /* packets in vain, while nothing of HTTP was seen */
	uint64_t paired_past;   /* end of the last final response that was paired */
	uint64_t answered_past; /* end of the last final response */
	struct http_exchange
		*answering;   /* the response that is read answers it; NULL: nobody known */
	bool is_interim;      /* it is a 1xx */
	bool pipelines;       /* the client does not wait for responses */
	bool had_loss;        /* messages may be missing */
	bool has_gap;         /* the next request is the first behind missing ones, perhaps */
	bool is_blind;        /* responses cannot be told apart any more */
	bool is_over;         /* nothing more comes: nothing is waited for */
	bool is_hopeless;     /* it speaks something else */
	struct http_tls *tls; /* it speaks TLS; else NULL */
	bool is_waiting;      /* linked in pairs->waiting */
	TAILQ_ENTRY(http_conn) all;
	TAILQ_ENTRY(http_conn) waiting; /* with a gap, by gap_ns */
};

struct http_pairs {
	struct http_pairs_calls calls;
	struct head_memo heads; /* of whichever message is read just now */
	uint64_t conns;
	uint64_t kept_bytes;
	struct http_conn_list all;
	struct http_conn_list waiting;
	struct http_pairs_counters count;
};

static inline struct http_direction *http_request_dir(struct http_conn *c)
{
	return &c->dir[c->view.client];
}

static inline struct http_direction *http_response_dir(struct http_conn *c)
{
	return &c->dir[1 - c->view.client];
}

/* ---- http_turns.c ---- */

/* It gets its number, and is told of. */
void http_conn_open(struct http_conn *c);

/*
 * Read of p, the next bytes of that side, as much as can be told now. Returns how much; less than
 * all when the other side must go on first.
 */
uint64_t http_turns_read(struct http_conn *c, unsigned side, const struct piece *p) MUST_CHECK;

/* That side's FIN was reached. */
void http_turns_close(struct http_conn *c, unsigned side, uint64_t ts_ns);

/* The connection is over, or the capture: what is open ends. word is for what is not complete. */
void http_turns_end(struct http_conn *c, const char *word, uint64_t ts_ns);

/* The client's direction is not read up to what the server answers to. */
bool http_conn_is_behind(const struct http_conn *c);

#endif
