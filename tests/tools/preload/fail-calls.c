/*
 * fail-calls.c -- an LD_PRELOAD library that makes calls of a program fail as a test asks.
 *
 * The test and the library share a file (FAIL_CALLS names it): one slot for each call, with what is
 * to fail in it and what was counted. So a test arms and disarms a running program between two
 * requests, and the program's own system calls stay as they are. tests/lib/faults.py is the other
 * side of the struct.
 *
 * Never fails what it was not asked to, and nothing of a child: the first process that opens the
 * file is the one. close() is carried out even when it reports a failure, as Linux does. A socket
 * that gave less than it could is made to tell of it again (EPOLL_CTL_MOD), as a real one would.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "common/attrib.h"

#define CALLS(X)         \
	X(accept4)       \
	X(socket)        \
	X(connect)       \
	X(setsockopt)    \
	X(getsockopt)    \
	X(getsockname)   \
	X(recv)          \
	X(recvfrom)      \
	X(send)          \
	X(sendmsg)       \
	X(shutdown)      \
	X(epoll_ctl)     \
	X(epoll_wait)    \
	X(eventfd)       \
	X(read)          \
	X(write)         \
	X(open)          \
	X(close)         \
	X(ioctl)         \
	X(malloc)        \
	X(calloc)        \
	X(realloc)       \
	X(aligned_alloc) \
	X(pthread_create)

enum call {
#define X(name) CALL_##name,
	CALLS(X)
#undef X
		CALL_COUNT,
};

/* What a descriptor is; a slot may ask for one kind alone. */
enum kind {
	KIND_ANY,
	KIND_STREAM,   /* TCP */
	KIND_DATAGRAM, /* UDP */
	KIND_LOCAL,    /* AF_UNIX */
	KIND_FILE,     /* a regular file */
	KIND_OTHER,
};

/* 64 bytes; numbers in the machine's order. The test writes the upper part, the counts are ours. */
struct slot {
	char name[16];
	_Atomic uint32_t armed;
	/* errno, or 0: one byte is carried out (recv, send, sendmsg, write); HELD: see held() */
	_Atomic int32_t error;
	_Atomic uint32_t kind;
	_Atomic uint32_t every; /* of the calls from `first` on, each `every`-th */
	_Atomic uint64_t first; /* 1: the first one since it was armed */
	_Atomic uint64_t count; /* so many fail */
	_Atomic uint64_t seen;  /* calls of that kind since it was armed */
	_Atomic uint64_t hits;  /* failed */
};

struct control {
	_Atomic uint32_t pid;        /* of the program; 0: nobody yet */
	_Atomic uint32_t bad_closes; /* close() of what was not open */
	char reserved[56];
	struct slot slots[CALL_COUNT];
};

_Static_assert(sizeof(struct slot) == 64, "as tests/lib/faults.py reads it");
_Static_assert(offsetof(struct control, slots) == 64, "as tests/lib/faults.py reads it");

#define WATCHES_MAX 4096

struct watch {
	int epoll;
	struct epoll_event event;
};

static struct control *control; /* NULL: off */
static void *reals[CALL_COUNT];
static struct watch watches[WATCHES_MAX]; /* by descriptor */

static const char *const names[] = {
#define X(name) #name,
	CALLS(X)
#undef X
};

static void *real_of(enum call which)
{
	if (reals[which] == NULL)
		reals[which] = dlsym(RTLD_NEXT, names[which]);
	return reals[which];
}

#define REAL(name) ((__typeof__(&name))(uintptr_t)real_of(CALL_##name))

static enum kind kind_of_socket(int domain, int type)
{
	if (domain == AF_UNIX)
		return KIND_LOCAL;
	if (domain != AF_INET && domain != AF_INET6)
		return KIND_OTHER;
	return (type & 0xf) == SOCK_DGRAM ? KIND_DATAGRAM : KIND_STREAM;
}

static enum kind kind_of(int fd)
{
	int domain = 0, type = 0;
	socklen_t len = sizeof(domain);
	struct stat st;

	if (syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
	    syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0)
		return kind_of_socket(domain, type);
	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? KIND_FILE : KIND_OTHER;
}

#define HELD        (-1)
#define HELD_MAX_MS 10000

/* The call waits until the slot is disarmed, and is carried out then; a forgotten one in the end. */
static void held(const struct slot *s)
{
	const struct timespec some = {.tv_nsec = 100 * 1000};

	for (int i = 0; i < HELD_MAX_MS * 10 && atomic_load(&s->armed) != 0; i++)
		nanosleep(&some, NULL);
}

/* Is this call, on something of this kind, one that is to fail? Then *error says how. */
static bool fails(enum call which, enum kind kind, int *error)
{
	struct slot *s = &control->slots[which];
	uint64_t number, first = atomic_load(&s->first);
	uint32_t wanted = atomic_load(&s->kind);

	if (wanted != KIND_ANY && wanted != kind)
		return false;
	number = atomic_fetch_add(&s->seen, 1) + 1;
	if (number < first || (number - first) % atomic_load(&s->every) != 0 ||
	    atomic_load(&s->hits) >= atomic_load(&s->count))
		return false;
	atomic_fetch_add(&s->hits, 1);
	*error = atomic_load(&s->error);
	if (*error == HELD) {
		held(s);
		return false;
	}
	return true;
}

static bool is_armed(enum call which)
{
	return control != NULL && atomic_load(&control->slots[which].armed) != 0;
}

/* The same for a call on a descriptor; errno stays. */
static bool fails_on(enum call which, int fd, int *error)
{
	int before = errno;
	bool yes;

	if (!is_armed(which))
		return false;
	yes = fails(which, kind_of(fd), error);
	errno = before;
	return yes;
}

/* For calls whose only failure is an error. */
static bool refused(enum call which, enum kind kind)
{
	int error = 0;

	if (!is_armed(which) || !fails(which, kind, &error))
		return false;
	errno = error;
	return true;
}

static bool refused_on(enum call which, int fd)
{
	int error = 0;

	if (!fails_on(which, fd, &error))
		return false;
	errno = error;
	return true;
}

/* A socket said less than the truth: it has to tell again what it is ready for. */
static void tell_again(int fd)
{
	int before = errno;

	if (fd >= 0 && fd < WATCHES_MAX && watches[fd].epoll > 0)
		syscall(SYS_epoll_ctl, watches[fd].epoll, EPOLL_CTL_MOD, fd, &watches[fd].event);
	errno = before;
}

/* One byte, or an error that leaves the socket as it was. */
static bool cut_short(enum call which, int fd, size_t *len, bool *refuse)
{
	int error = 0;

	*refuse = false;
	if (!fails_on(which, fd, &error))
		return false;
	if (error == 0 || error == EAGAIN)
		tell_again(fd);
	if (error == 0) {
		*len = MIN(*len, 1);
		return true;
	}
	errno = error;
	*refuse = true;
	return true;
}

__attribute__((constructor)) static void prepare(void)
{
	const char *path = getenv("FAIL_CALLS");
	void *shared;
	uint32_t nobody = 0;
	int fd;

	for (unsigned i = 0; i < CALL_COUNT; i++)
		(void)real_of((enum call)i);
	if (path == NULL || strcmp(program_invocation_short_name, "flowproxy") != 0)
		return;
	fd = REAL(open)(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	shared = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	REAL(close)(fd);
	if (shared == MAP_FAILED)
		return;
	control = shared;
	if (!atomic_compare_exchange_strong(&control->pid, &nobody, (uint32_t)getpid()))
		control = NULL;
}

/* ---- sockets ------------------------------------------------------------------------------------- */

int accept4(int fd, __SOCKADDR_ARG addr, socklen_t *len, int flags)
{
	return refused_on(CALL_accept4, fd) ? -1 : REAL(accept4)(fd, addr, len, flags);
}

int socket(int domain, int type, int protocol)
{
	return refused(CALL_socket, kind_of_socket(domain, type))
		       ? -1
		       : REAL(socket)(domain, type, protocol);
}

int connect(int fd, __CONST_SOCKADDR_ARG addr, socklen_t len)
{
	return refused_on(CALL_connect, fd) ? -1 : REAL(connect)(fd, addr, len);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	return refused_on(CALL_setsockopt, fd) ? -1 : REAL(setsockopt)(fd, level, name, value, len);
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	return refused_on(CALL_getsockopt, fd) ? -1 : REAL(getsockopt)(fd, level, name, value, len);
}

int getsockname(int fd, __SOCKADDR_ARG addr, socklen_t *len)
{
	return refused_on(CALL_getsockname, fd) ? -1 : REAL(getsockname)(fd, addr, len);
}

int shutdown(int fd, int how)
{
	return refused_on(CALL_shutdown, fd) ? -1 : REAL(shutdown)(fd, how);
}

ssize_t recv(int fd, void *bytes, size_t len, int flags)
{
	bool refuse;

	if (cut_short(CALL_recv, fd, &len, &refuse) && refuse)
		return -1;
	return REAL(recv)(fd, bytes, len, flags);
}

ssize_t recvfrom(int fd, void *bytes, size_t len, int flags, __SOCKADDR_ARG from,
		 socklen_t *from_len)
{
	bool refuse;

	if (cut_short(CALL_recvfrom, fd, &len, &refuse) && refuse)
		return -1;
	return REAL(recvfrom)(fd, bytes, len, flags, from, from_len);
}

ssize_t send(int fd, const void *bytes, size_t len, int flags)
{
	bool refuse;

	if (cut_short(CALL_send, fd, &len, &refuse) && refuse)
		return -1;
	return REAL(send)(fd, bytes, len, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	struct iovec part = m->msg_iovlen > 0 ? m->msg_iov[0] : (struct iovec){0};
	struct msghdr first = {.msg_iov = &part, .msg_iovlen = 1};
	bool refuse;

	if (!cut_short(CALL_sendmsg, fd, &part.iov_len, &refuse))
		return REAL(sendmsg)(fd, m, flags);
	return refuse ? -1 : REAL(sendmsg)(fd, &first, flags);
}

/* ---- epoll --------------------------------------------------------------------------------------- */

int epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
	int n;

	if (refused_on(CALL_epoll_ctl, fd))
		return -1;
	n = REAL(epoll_ctl)(epoll, op, fd, event);
	if (control != NULL && n == 0 && fd >= 0 && fd < WATCHES_MAX) {
		watches[fd] = (struct watch){0};
		if (op != EPOLL_CTL_DEL && event != NULL)
			watches[fd] = (struct watch){epoll, *event};
	}
	return n;
}

int epoll_wait(int epoll, struct epoll_event *events, int max, int timeout_ms)
{
	return refused(CALL_epoll_wait, KIND_OTHER)
		       ? -1
		       : REAL(epoll_wait)(epoll, events, max, timeout_ms);
}

int eventfd(unsigned int count, int flags)
{
	return refused(CALL_eventfd, KIND_OTHER) ? -1 : REAL(eventfd)(count, flags);
}

/* ---- files --------------------------------------------------------------------------------------- */

ssize_t read(int fd, void *bytes, size_t len)
{
	return refused_on(CALL_read, fd) ? -1 : REAL(read)(fd, bytes, len);
}

ssize_t write(int fd, const void *bytes, size_t len)
{
	bool refuse;

	if (cut_short(CALL_write, fd, &len, &refuse) && refuse)
		return -1;
	return REAL(write)(fd, bytes, len);
}

int open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;

	va_start(ap, flags);
	if (flags & (O_CREAT | __O_TMPFILE))
		mode = va_arg(ap, mode_t);
	va_end(ap);
	return refused(CALL_open, KIND_FILE) ? -1 : REAL(open)(path, flags, mode);
}

int close(int fd)
{
	int error = 0;
	bool fail = fails_on(CALL_close, fd, &error);
	int n = REAL(close)(fd);

	if (control != NULL && n != 0 && errno == EBADF)
		atomic_fetch_add(&control->bad_closes, 1);
	if (fd >= 0 && fd < WATCHES_MAX)
		watches[fd] = (struct watch){0};
	if (!fail)
		return n;
	errno = error;
	return -1;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	return refused_on(CALL_ioctl, fd) ? -1 : REAL(ioctl)(fd, request, arg);
}

/* ---- memory and threads ---------------------------------------------------------------------------- */

void *malloc(size_t size)
{
	return refused(CALL_malloc, KIND_OTHER) ? NULL : REAL(malloc)(size);
}

void *calloc(size_t count, size_t size)
{
	return refused(CALL_calloc, KIND_OTHER) ? NULL : REAL(calloc)(count, size);
}

void *realloc(void *old, size_t size)
{
	return refused(CALL_realloc, KIND_OTHER) ? NULL : REAL(realloc)(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return refused(CALL_aligned_alloc, KIND_OTHER) ? NULL
						       : REAL(aligned_alloc)(alignment, size);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
	return refused(CALL_pthread_create, KIND_OTHER)
		       ? errno
		       : REAL(pthread_create)(thread, attr, run, arg);
}
