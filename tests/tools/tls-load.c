/*
 * tls-load.c -- a load client whose connections are the load: a TLS handshake for each request, full
 * or resumed, or connections that are opened, used once and held.
 *
 * Every answer is checked (status, length, nothing behind it), and every handshake is counted as
 * what it was: a run whose handshakes are not of the wanted kind fails. One thread, edge-triggered.
 *
 * Invariant: a slot has at most one connection; `busy` counts the slots that have one.
 */
#include <errno.h>
#include <getopt.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "common/addr.h"
#include "tests/tools/lib/event_loop.h"
#include "tests/tools/lib/http_answer.h"
#include "tests/tools/lib/options.h"

#define PROGRAM      "tls-load"
#define READ_BYTES   65536
#define SAMPLES_MAX  (8UL << 20)
#define SLOTS_MAX    20000
#define OPENING_MAX  64 /* connections that are being opened at once, to be held */
#define FAILURES_MAX 100
#define LAST_S       10 /* for what runs when the time is over */

enum mode {
	MODE_FULL,    /* no handshake resumes a session */
	MODE_RESUMED, /* every handshake but the first does */
	MODE_HOLD,    /* full handshakes; connections stay open after one answer */
};

enum slot_state {
	SLOT_FREE,       /* no connection */
	SLOT_HANDSHAKE,  /* connecting, or shaking hands */
	SLOT_REQUEST,    /* the request has not left as a whole */
	SLOT_ANSWER,     /* it has; of the answer something is still to come */
	SLOT_WAIT_CLOSE, /* the answer is there: the server's close is awaited */
	SLOT_HELD,       /* the answer is there: nothing more is to come */
};

struct slot {
	struct watched watched; /* first */
	enum slot_state state;
	SSL *ssl;
	uint64_t begun_ns;
	struct http_answer answer;
};

struct settings {
	enum mode mode;
	struct addr to;
	char *name; /* SNI and Host; OpenSSL's macro takes no const */
	const char *path;
	const char *body; /* NULL: GET */
	const char *ca;   /* NULL: nobody is verified */
	unsigned long connections;
	unsigned long seconds;
	unsigned long bytes; /* of every answer's body */
};

static char default_name[] = "localhost";
static struct settings set = {.mode = MODE_RESUMED,
			      .name = default_name,
			      .path = "/",
			      .connections = 16,
			      .seconds = 3,
			      .bytes = 382};
static int epoll_fd;
static SSL_CTX *ctx;
static SSL_SESSION *session; /* the newest one that a server gave us */
static char request[8192];
static int request_len;
static struct slot *slots;
static unsigned long busy;
static bool over; /* no new connection any more */
static uint32_t *samples_us;
static unsigned long done, resumed, full, failed, held;
static char first_failure[256];
static char negotiated[128]; /* version, cipher, group of the first handshake */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* ---- a slot's connection ends ---- */

static void slot_close(struct slot *s)
{
	/* Else OpenSSL takes the session for one that went wrong and will not resume it. */
	SSL_set_shutdown(s->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(s->ssl);
	close(s->watched.fd);
	s->ssl = NULL;
	s->state = SLOT_FREE;
	busy--;
}

static void slot_fail(struct slot *s, const char *why)
{
	unsigned long e = ERR_get_error();

	if (failed++ == 0)
		snprintf(first_failure, sizeof(first_failure), "%s%s%s", why, e != 0 ? ": " : "",
			 e != 0 ? ERR_reason_error_string(e) : "");
	ERR_clear_error();
	slot_close(s);
}

/* ---- its steps; each tells whether the next one may be taken at once ---- */

/* What a call of OpenSSL's came to: false: later, or never. */
static bool step_waits(struct slot *s, int result, const char *what)
{
	int e = SSL_get_error(s->ssl, result);

	if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE)
		slot_fail(s, what);
	return false;
}

static bool step_handshake(struct slot *s)
{
	int n = SSL_do_handshake(s->ssl);

	if (n != 1)
		return step_waits(s, n, "handshake");
	if (SSL_session_reused(s->ssl))
		resumed++;
	else
		full++;
	if (negotiated[0] == '\0')
		snprintf(negotiated, sizeof(negotiated), "%s %s %s", SSL_get_version(s->ssl),
			 SSL_get_cipher_name(s->ssl),
			 OBJ_nid2sn((int)SSL_get_negotiated_group(s->ssl)));
	s->state = SLOT_REQUEST;
	return true;
}

static bool step_request(struct slot *s)
{
	int n = SSL_write(s->ssl, request, request_len);

	if (n <= 0)
		return step_waits(s, n, "request");
	s->state = SLOT_ANSWER;
	return true;
}

static void answer_done(struct slot *s)
{
	if (s->answer.status != 200 || s->answer.body_bytes != set.bytes) {
		snprintf(first_failure, sizeof(first_failure), "status %u with %llu bytes",
			 s->answer.status, (unsigned long long)s->answer.body_bytes);
		failed++;
		slot_close(s);
		return;
	}
	if (done < SAMPLES_MAX)
		samples_us[done] = (uint32_t)((now_ns() - s->begun_ns) / NS_PER_US);
	done++;
	if (set.mode == MODE_HOLD)
		held++;
	s->state = set.mode == MODE_HOLD ? SLOT_HELD : SLOT_WAIT_CLOSE;
}

static bool step_answer(struct slot *s)
{
	static char input[READ_BYTES];
	int n = SSL_read(s->ssl, input, sizeof(input));

	if (n <= 0)
		return step_waits(s, n, "answer cut short");
	switch (http_answer_add(&s->answer, input, (size_t)n)) {
	case HTTP_ANSWER_WRONG:
		slot_fail(s, s->answer.wrong);
		return false;
	case HTTP_ANSWER_DONE:
		answer_done(s);
		return s->state != SLOT_FREE;
	case HTTP_ANSWER_HEAD:
	case HTTP_ANSWER_BODY:
		break;
	}
	return true;
}

/* Behind the answer nothing but the connection's end may come; a held one must not even do that. */
static bool step_silence(struct slot *s)
{
	char byte;
	int n = SSL_read(s->ssl, &byte, 1);
	int e = SSL_get_error(s->ssl, n);

	if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)
		return false;
	if (n > 0) {
		slot_fail(s, "bytes behind the answer");
	} else if (s->state == SLOT_HELD) {
		held--;
		slot_fail(s, "a held connection was closed");
	} else {
		ERR_clear_error();
		slot_close(s);
	}
	return false;
}

static bool slot_step(struct slot *s)
{
	switch (s->state) {
	case SLOT_HANDSHAKE:
		return step_handshake(s);
	case SLOT_REQUEST:
		return step_request(s);
	case SLOT_ANSWER:
		return step_answer(s);
	case SLOT_WAIT_CLOSE:
	case SLOT_HELD:
		return step_silence(s);
	case SLOT_FREE:
		break;
	}
	return false;
}

static void slot_ready(struct watched *w, uint32_t events)
{
	struct slot *s = (struct slot *)w;

	(void)events;
	while (slot_step(s))
		;
}

/* ---- a slot's connection begins ---- */

/* Each connection has a copy: OpenSSL does not resume a session again that has been resumed once. */
static bool session_resume(SSL *ssl)
{
	SSL_SESSION *copy;
	bool ok;

	if (set.mode != MODE_RESUMED || session == NULL)
		return true;
	copy = SSL_SESSION_dup(session);
	ok = copy != NULL && SSL_set_session(ssl, copy) == 1;
	SSL_SESSION_free(copy);
	return ok;
}

static bool slot_connect(struct slot *s)
{
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(&set.to, &ss);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return false;
	s->watched.fd = fd;
	s->watched.ready = slot_ready;
	s->begun_ns = now_ns();
	s->ssl = SSL_new(ctx);
	if (s->ssl == NULL || SSL_set_fd(s->ssl, fd) != 1 ||
	    SSL_set_tlsext_host_name(s->ssl, set.name) != 1 ||
	    SSL_set1_host(s->ssl, set.name) != 1 || !session_resume(s->ssl) ||
	    (connect(fd, (struct sockaddr *)&ss, len) != 0 && errno != EINPROGRESS) ||
	    !event_loop_add(epoll_fd, &s->watched, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)) {
		SSL_free(s->ssl);
		s->ssl = NULL;
		close(fd);
		return false;
	}
	SSL_set_connect_state(s->ssl);
	http_answer_init(&s->answer);
	s->state = SLOT_HANDSHAKE;
	busy++;
	return true;
}

/* How many slots may have a connection now. The first handshake is alone: the others resume it. */
static unsigned long slots_wanted(void)
{
	if (set.mode == MODE_RESUMED && session == NULL)
		return 1;
	if (set.mode == MODE_HOLD)
		return MIN(set.connections, held + OPENING_MAX);
	return set.connections;
}

/* After each turn of the loop: what ended begins again. */
static void idle(void)
{
	if (!over && failed < FAILURES_MAX) {
		unsigned long wanted = slots_wanted();

		for (unsigned long i = 0; i < wanted; i++) {
			if (slots[i].state == SLOT_FREE && !slot_connect(&slots[i])) {
				snprintf(first_failure, sizeof(first_failure), "connect: %s",
					 strerror(errno));
				failed = FAILURES_MAX;
				break;
			}
		}
	}
	if (set.mode == MODE_HOLD && held == set.connections && !over) {
		over = true; /* from here to the signal nothing is opened */
		printf("holding %lu\n", held);
		fflush(stdout);
	}
	if (failed >= FAILURES_MAX || (over && busy == 0))
		event_loop_end();
}

static int on_new_session(SSL *ssl, SSL_SESSION *new)
{
	(void)ssl;
	SSL_SESSION_free(session);
	session = new;
	return 1; /* it is ours now */
}

/* ---- time ---- */

/* First the end of the load, then the end of patience with what still runs. */
static void timer_ready(struct watched *w, uint32_t events)
{
	static const struct itimerspec last = {.it_value.tv_sec = LAST_S};
	uint64_t expired;

	(void)events;
	if (read(w->fd, &expired, sizeof(expired)) != (ssize_t)sizeof(expired))
		return;
	if (over || set.mode == MODE_HOLD) {
		event_loop_end();
		return;
	}
	over = true;
	if (timerfd_settime(w->fd, 0, &last, NULL) != 0)
		event_loop_end();
}

static bool timer_start(void)
{
	static struct watched timer = {.ready = timer_ready};
	struct itimerspec when = {.it_value.tv_sec = (time_t)set.seconds};

	timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	return timer.fd >= 0 && timerfd_settime(timer.fd, 0, &when, NULL) == 0 &&
	       event_loop_add(epoll_fd, &timer, EPOLLIN);
}

/* ---- what came of it ---- */

static int compare_us(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static unsigned long percentile(unsigned long of_100)
{
	unsigned long n = MIN(done, SAMPLES_MAX);

	return n == 0 ? 0 : samples_us[(n - 1) * of_100 / 100];
}

static bool handshakes_as_wanted(void)
{
	if (set.mode == MODE_RESUMED)
		return full == 1 && resumed > 0;
	return resumed == 0 && full > 0;
}

static int report(uint64_t took_ns)
{
	qsort(samples_us, MIN(done, SAMPLES_MAX), sizeof(*samples_us), compare_us);
	printf("negotiated %s\n", negotiated);
	printf("RESULT %lu %llu %lu %lu %lu\n", done, (unsigned long long)(took_ns / NS_PER_US),
	       percentile(50), percentile(99), failed);
	printf("handshakes %lu full, %lu resumed\n", full, resumed);
	if (failed > 0)
		fprintf(stderr, PROGRAM ": %lu failed, the first: %s\n", failed, first_failure);
	else if (set.mode == MODE_HOLD && held != set.connections)
		fprintf(stderr, PROGRAM ": %lu of %lu connections are held\n", held,
			set.connections);
	else if (set.mode != MODE_HOLD && busy > 0)
		fprintf(stderr, PROGRAM ": %lu connections do not end\n", busy);
	else if (!handshakes_as_wanted())
		fprintf(stderr, PROGRAM ": these are not the handshakes that were asked for\n");
	else
		return 0;
	return 1;
}

/* ---- start ---- */

static void usage(FILE *out)
{
	fputs("usage: " PROGRAM " --to ADDR:PORT [options]\n"
	      "A TLS handshake for each request, or connections that are held.\n"
	      "  --full              no handshake resumes a session\n"
	      "  --resumed           every one does (default)\n"
	      "  --hold              open all connections, ask once on each, say \"holding N\", and\n"
	      "                      hold them until a signal or the end of --seconds\n"
	      "  --connections N     at once (default: 16)\n"
	      "  --seconds N         (default: 3)\n"
	      "  --path PATH         what is asked for (default: /)\n"
	      "  --post TEXT         by POST, with this body; else by GET\n"
	      "  --bytes N           what the body of each answer must have (default: 382)\n"
	      "  --name NAME         the server's (default: localhost)\n"
	      "  --ca FILE           verify the server by these certificates (default: do not)\n"
	      "  -h, --help          this text\n",
	      out);
}

NORETURN static void usage_wrong(const char *what)
{
	fprintf(stderr, PROGRAM ": %s\n", what);
	exit(2);
}

static void read_options(int argc, char **argv)
{
	static const struct option options[] = {
		{"to", required_argument, NULL, 't'},
		{"full", no_argument, NULL, 'f'},
		{"resumed", no_argument, NULL, 'r'},
		{"hold", no_argument, NULL, 'o'},
		{"connections", required_argument, NULL, 'c'},
		{"seconds", required_argument, NULL, 's'},
		{"path", required_argument, NULL, 'p'},
		{"post", required_argument, NULL, 'd'},
		{"bytes", required_argument, NULL, 'b'},
		{"name", required_argument, NULL, 'n'},
		{"ca", required_argument, NULL, 'a'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	const char *to = NULL;
	int o;

	while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (o) {
		case 't':
			to = optarg;
			break;
		case 'f':
			set.mode = MODE_FULL;
			break;
		case 'r':
			set.mode = MODE_RESUMED;
			break;
		case 'o':
			set.mode = MODE_HOLD;
			break;
		case 'c':
			set.connections =
				option_number(PROGRAM, "--connections", optarg, SLOTS_MAX);
			break;
		case 's':
			set.seconds = option_number(PROGRAM, "--seconds", optarg, 86400);
			break;
		case 'p':
			set.path = optarg;
			break;
		case 'd':
			set.body = optarg;
			break;
		case 'b':
			set.bytes = option_number(PROGRAM, "--bytes", optarg, 1UL << 40);
			break;
		case 'n':
			set.name = optarg;
			break;
		case 'a':
			set.ca = optarg;
			break;
		case 'h':
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			exit(2);
		}
	}
	if (optind < argc)
		usage_wrong("options only");
	if (to == NULL || !addr_parse(to, strlen(to), &set.to))
		usage_wrong("--to ADDR:PORT is wanted");
	if (set.connections == 0 || set.seconds == 0)
		usage_wrong("--connections and --seconds begin at 1");
}

static bool request_write(void)
{
	const char *connection = set.mode == MODE_HOLD ? "" : "Connection: close\r\n";

	if (set.body == NULL)
		request_len =
			snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n",
				 set.path, set.name, connection);
	else
		request_len = snprintf(request, sizeof(request),
				       "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: text/xml; "
				       "charset=utf-8\r\nSOAPAction: urn:ConversionRate\r\n"
				       "Content-Length: %zu\r\n%s\r\n%s",
				       set.path, set.name, strlen(set.body), connection, set.body);
	return request_len > 0 && (size_t)request_len < sizeof(request);
}

static bool context_make(void)
{
	ctx = SSL_CTX_new(TLS_client_method());
	if (ctx == NULL)
		return false;
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	/* Lengths tell here what is whole; else OpenSSL would not resume that session any more. */
	SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_session_cache_mode(ctx,
				       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
	if (set.mode == MODE_RESUMED)
		SSL_CTX_sess_set_new_cb(ctx, on_new_session);
	if (set.ca == NULL)
		return true;
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	return SSL_CTX_load_verify_file(ctx, set.ca) == 1;
}

int main(int argc, char **argv)
{
	static const bool never = false;
	uint64_t begun_ns;
	int status;

	read_options(argc, argv);
	if (!request_write())
		usage_wrong("the request is too long");
	slots = calloc(set.connections, sizeof(*slots));
	samples_us = calloc(SAMPLES_MAX, sizeof(*samples_us));
	epoll_fd = event_loop_open();
	if (slots == NULL || samples_us == NULL || epoll_fd < 0 || !context_make() ||
	    !timer_start()) {
		unsigned long e = ERR_get_error();

		fprintf(stderr, PROGRAM ": cannot start: %s\n",
			e != 0 ? ERR_reason_error_string(e) : strerror(errno));
		return 1;
	}
	begun_ns = now_ns();
	idle();
	event_loop_run(epoll_fd, idle, &never);
	status = report(now_ns() - begun_ns);
	for (unsigned long i = 0; i < set.connections; i++) {
		if (slots[i].state != SLOT_FREE)
			slot_close(&slots[i]);
	}
	SSL_SESSION_free(session);
	SSL_CTX_free(ctx);
	free(samples_us);
	free(slots);
	return status;
}
