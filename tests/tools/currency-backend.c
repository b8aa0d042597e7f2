/*
 * currency-backend.c -- a small real SOAP service for demo and tests.
 *
 * Answers ConversionRate over SOAP 1.1 and 1.2, by HTTP or HTTPS, with rates from a CSV file. One
 * thread per connection, blocking: slow on purpose of being simple. It trusts nothing that it
 * reads: sizes, times and the number of connections are bounded.
 *
 * Invariant: slots[] holds the descriptor of every running connection, so that a stop reaches all.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/tools/lib/http_server.h"
#include "tests/tools/lib/listener.h"
#include "tests/tools/lib/options.h"
#include "tests/tools/lib/rates.h"
#include "tests/tools/lib/soap.h"

#define PROGRAM         "currency-backend"
#define CONNECTIONS_MAX 512
#define BODY_MAX        (1024 * 1024)
#define READ_MS         10000
#define WRITE_MS        10000
#define LINGER_MS       500
#define STOP_MS         5000

struct settings {
	const char *listen;
	const char *rates_file;
	const char *cert_file; /* NULL: plain HTTP */
	const char *key_file;
	uint16_t port;
	unsigned delay_ms;
	unsigned long max_requests;
	unsigned keep_alive_ms;
	bool announce_keep_alive; /* --keep-alive-ms was given */
};

struct server {
	struct settings set;
	struct rates *rates;
	struct tls_server *tls; /* NULL: plain HTTP */
	pthread_mutex_t lock;
	pthread_cond_t changed; /* a slot became free */
	int slots[CONNECTIONS_MAX];
	size_t running;
	bool stopping;
};

struct job {
	struct server *server;
	size_t slot;
	int fd;
};

/* ---- one request ---- */

static void answer_call(const struct server *s, const struct http_request *req, struct text *body,
			struct http_reply *reply)
{
	struct soap_call call;
	double rate = 0;
	bool fine = soap_call_parse(&call, req->content_type, req->body.data, req->body.len);

	if (fine && !rates_convert(s->rates, call.from, call.to, &rate)) {
		fine = false;
		call.blame = SOAP_CLIENT;
		snprintf(call.error, sizeof(call.error), "currency %s is not known",
			 rates_knows(s->rates, call.from) ? call.to : call.from);
	}
	if (fine)
		soap_write_rate(body, call.version, rate);
	else
		soap_write_fault(body, call.version, call.blame, call.error);
	reply->status = fine ? 200 : 500;
	reply->content_type = soap_content_type(call.version);
}

static void answer_plain(int status, const char *text, struct text *body, struct http_reply *reply)
{
	reply->status = status;
	reply->content_type = "text/plain; charset=utf-8";
	text_put(body, text);
}

static void answer_get(const struct http_request *req, const char *query, struct text *body,
		       struct http_reply *reply)
{
	if (strcasecmp(query, "wsdl") == 0) {
		reply->status = 200;
		reply->content_type = "text/xml; charset=utf-8";
		soap_write_wsdl(body, req->host[0] != '\0' ? req->host : "localhost");
		return;
	}
	answer_plain(200, "CurrencyConvertor: POST a ConversionRate here; its WSDL is at ?WSDL\n",
		     body, reply);
}

static void answer(const struct server *s, const struct http_request *req, struct text *body,
		   struct http_reply *reply)
{
	const char *query = strchr(req->target, '?');
	size_t path_len = query != NULL ? (size_t)(query - req->target) : strlen(req->target);
	bool is_head = strcmp(req->method, "HEAD") == 0;

	reply->head_only = is_head;
	if (path_len != strlen(SOAP_PATH) || strncasecmp(req->target, SOAP_PATH, path_len) != 0) {
		answer_plain(404, "there is only " SOAP_PATH " here\n", body, reply);
	} else if (strcmp(req->method, "POST") == 0) {
		answer_call(s, req, body, reply);
	} else if (is_head || strcmp(req->method, "GET") == 0) {
		answer_get(req, query != NULL ? query + 1 : "", body, reply);
	} else {
		reply->allow = "GET, HEAD, POST";
		answer_plain(405, "GET, HEAD or POST, please\n", body, reply);
	}
}

static void sleep_ms(unsigned ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

/* False: the connection ends. */
static bool serve_request(struct server *s, struct http_conn *c, bool last)
{
	struct http_reply reply = {0};
	struct http_request req;
	struct text body;
	int status = http_request_read(c, &req, (int)s->set.keep_alive_ms, READ_MS, BODY_MAX);
	bool sent = false;

	text_init(&body, 0);
	if (status == HTTP_READ_OK) {
		sleep_ms(s->set.delay_ms);
		answer(s, &req, &body, &reply);
	} else if (status > 0) {
		answer_plain(status, "the request is not acceptable\n", &body, &reply);
	}
	reply.body = body.data;
	reply.body_len = body.len;
	reply.close = status != HTTP_READ_OK || last || !req.keep_alive || body.failed;
	reply.keep_alive_s = s->set.announce_keep_alive ? s->set.keep_alive_ms / 1000 : 0;
	if (status != HTTP_READ_GONE && !body.failed)
		sent = http_reply_send(c, req.minor, &reply, WRITE_MS);
	http_request_fini(&req);
	text_fini(&body);
	if (sent && reply.close)
		http_conn_linger(c, LINGER_MS);
	return sent && !reply.close;
}

/* ---- connections ---- */

static bool server_stopping(struct server *s)
{
	bool stopping;

	pthread_mutex_lock(&s->lock);
	stopping = s->stopping;
	pthread_mutex_unlock(&s->lock);
	return stopping;
}

/* Requests until one is the last. */
static void connection_serve(struct server *s, int fd, struct tls_stream *tls)
{
	struct http_conn c;
	unsigned long served = 0;

	http_conn_init(&c, fd, tls);
	while (!server_stopping(s)) {
		served++;
		if (!serve_request(s, &c, served == s->set.max_requests))
			break;
	}
}

static void connection_serve_tls(struct server *s, int fd)
{
	struct tls_stream *tls = tls_stream_accept(s->tls, fd, READ_MS);

	if (tls == NULL)
		return;
	connection_serve(s, fd, tls);
	tls_stream_end(tls);
	tls_stream_free(tls);
}

static void *connection_run(void *data)
{
	struct job job = *(struct job *)data;
	struct server *s = job.server;

	free(data);
	if (s->tls != NULL)
		connection_serve_tls(s, job.fd);
	else
		connection_serve(s, job.fd, NULL);
	pthread_mutex_lock(&s->lock);
	close(job.fd);
	s->slots[job.slot] = -1;
	s->running--;
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* Take a free slot for fd, or return false when all are in use. */
static bool slot_take(struct server *s, int fd, size_t *slot)
{
	bool found = false;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < CONNECTIONS_MAX && !found; i++) {
		if (s->slots[i] < 0) {
			s->slots[i] = fd;
			s->running++;
			*slot = i;
			found = true;
		}
	}
	pthread_mutex_unlock(&s->lock);
	return found;
}

static void slot_give(struct server *s, size_t slot)
{
	pthread_mutex_lock(&s->lock);
	s->slots[slot] = -1;
	s->running--;
	pthread_mutex_unlock(&s->lock);
}

static bool connection_start(struct server *s, int fd, size_t slot)
{
	struct job *job = malloc(sizeof(*job));
	pthread_attr_t attr;
	pthread_t thread;
	int error;

	if (job == NULL)
		return false;
	*job = (struct job){.server = s, .slot = slot, .fd = fd};
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	error = pthread_create(&thread, &attr, connection_run, job);
	pthread_attr_destroy(&attr);
	if (error != 0)
		free(job);
	return error == 0;
}

/* Too many connections: the newest is told so, where that takes no handshake, and closed. */
static void connection_refuse(const struct server *s, int fd)
{
	static const char answer_text[] =
		"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

	if (s->tls == NULL && send(fd, answer_text, sizeof(answer_text) - 1, MSG_NOSIGNAL) >= 0)
		shutdown(fd, SHUT_WR);
	close(fd);
}

static void accept_one(struct server *s, int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	size_t slot;

	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			sleep_ms(20);
		return;
	}
	if (!slot_take(s, fd, &slot)) {
		connection_refuse(s, fd);
		return;
	}
	if (!connection_start(s, fd, slot)) {
		slot_give(s, slot);
		connection_refuse(s, fd);
	}
}

/* ---- start and stop ---- */

static void server_accept(struct server *s, int listener, int signals)
{
	struct pollfd fds[] = {{.fd = listener, .events = POLLIN},
			       {.fd = signals, .events = POLLIN}};

	while (fds[1].revents == 0) {
		if (poll(fds, ARRAY_LEN(fds), -1) > 0 && fds[0].revents != 0)
			accept_one(s, listener);
	}
}

/* Ends all connections; false when a thread did not return in time. */
static bool server_stop(struct server *s)
{
	struct timespec until;
	size_t left;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += STOP_MS / 1000;
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
		if (s->slots[i] >= 0)
			shutdown(s->slots[i], SHUT_RD);
	}
	while (s->running > 0) {
		if (pthread_cond_timedwait(&s->changed, &s->lock, &until) != 0)
			break;
	}
	left = s->running;
	pthread_mutex_unlock(&s->lock);
	return left == 0;
}

static int signals_open(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
		return -1;
	return signalfd(-1, &set, SFD_CLOEXEC);
}

/* What requests are answered from. False: one line on stderr said why. */
static bool server_load(struct server *s)
{
	char error[512];

	s->rates = rates_load(s->set.rates_file, error, sizeof(error));
	if (s->rates == NULL) {
		fprintf(stderr, PROGRAM ": %s\n", error);
		return false;
	}
	if (s->set.cert_file == NULL)
		return true;
	s->tls = tls_server_new(PROGRAM, s->set.cert_file, s->set.key_file);
	return s->tls != NULL;
}

static void server_unload(struct server *s)
{
	tls_server_free(s->tls);
	rates_free(s->rates);
}

static int server_run(struct server *s)
{
	int signals = signals_open();
	int listener = server_load(s) ? listener_open(PROGRAM, s->set.listen, s->set.port) : -1;

	if (listener < 0 || signals < 0) {
		server_unload(s);
		return 1;
	}
	server_accept(s, listener, signals);
	close(listener);
	close(signals);
	if (!server_stop(s))
		_exit(1); /* a thread still uses what was loaded */
	server_unload(s);
	return 0;
}

static void usage(FILE *out)
{
	fputs("usage: " PROGRAM " [options]\n"
	      "A SOAP service that converts currencies, at " SOAP_PATH ".\n"
	      "  --rates FILE        date,currency,units per euro (default: rates.csv)\n"
	      "  --listen ADDR       address to listen on (default: 127.0.0.1)\n"
	      "  --port N            port, 0 lets the system choose (default: 0)\n"
	      "  --delay-ms N        think that long before each answer\n"
	      "  --max-requests N    requests per connection, 0 is no limit (default: 0)\n"
	      "  --cert FILE         HTTPS, with this PEM certificate and its chain ...\n"
	      "  --key FILE          ... and its PEM key\n"
	      "  --keep-alive-ms N   close an idle connection after that time (default: 60000)\n"
	      "  -h, --help          this text\n",
	      out);
}

static void read_options(int argc, char **argv, struct settings *set)
{
	static const struct option options[] = {
		{"rates", required_argument, NULL, 'r'},
		{"listen", required_argument, NULL, 'l'},
		{"port", required_argument, NULL, 'p'},
		{"delay-ms", required_argument, NULL, 'd'},
		{"max-requests", required_argument, NULL, 'm'},
		{"keep-alive-ms", required_argument, NULL, 'k'},
		{"cert", required_argument, NULL, 'c'},
		{"key", required_argument, NULL, 'y'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int o;

	while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (o) {
		case 'r':
			set->rates_file = optarg;
			break;
		case 'l':
			set->listen = optarg;
			break;
		case 'p':
			set->port = (uint16_t)option_number(PROGRAM, "--port", optarg, 65535);
			break;
		case 'd':
			set->delay_ms =
				(unsigned)option_number(PROGRAM, "--delay-ms", optarg, 3600000);
			break;
		case 'm':
			set->max_requests =
				option_number(PROGRAM, "--max-requests", optarg, 1000000000);
			break;
		case 'k':
			set->keep_alive_ms = (unsigned)option_number(PROGRAM, "--keep-alive-ms",
								     optarg, 3600000);
			set->announce_keep_alive = true;
			break;
		case 'c':
			set->cert_file = optarg;
			break;
		case 'y':
			set->key_file = optarg;
			break;
		case 'h':
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			exit(2);
		}
	}
	if (optind < argc) {
		fprintf(stderr, PROGRAM ": %s: no such argument\n", argv[optind]);
		exit(2);
	}
	if ((set->cert_file != NULL) != (set->key_file != NULL)) {
		fputs(PROGRAM ": --cert and --key belong together\n", stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	static struct server server = {
		.set = {.listen = "127.0.0.1", .rates_file = "rates.csv", .keep_alive_ms = 60000},
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER,
	};

	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		server.slots[i] = -1;
	read_options(argc, argv, &server.set);
	return server_run(&server);
}
