/*
 * merge.c -- files side by side: the sorter holds one packet of each that is open, and the one that
 * leaves it is replaced by the next of its file.
 *
 * A file is looked into for the stamp of its first packet, and opened for good when that moment
 * comes: of a thousand files behind each other two are open at once. Interfaces of a file that is
 * closed go on in the next one that has the same.
 *
 * Invariant: each file that is open has exactly one packet in the sorter, and no file that waits
 * begins before what was taken from it.
 */
#include "trace/merge.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "trace/sorter.h"

/* One of the files. */
struct input {
	const char *path;
	struct capture_file *file; /* NULL: waits, or is at its end */
	bool waits;                /* or waited, and was begun */
	uint64_t first_ns; /* stamp of its first packet; 0: of a pipe, which is begun at once */
	uint32_t *ifaces;  /* by the file's own numbers: its number here, plus 1; 0: not yet seen */
	unsigned iface_cap;
};

/* An interface of the merged stream. */
struct merged_interface {
	struct input *input; /* NULL: its file is closed */
	char *name;          /* may be NULL */
	uint16_t link;
};

struct merge {
	struct input *inputs; /* several: by the stamp of their first packet */
	unsigned count;
	unsigned begun;        /* those before were opened */
	struct sorter *sorter; /* NULL: one file */
	struct merged_interface *interfaces;
	unsigned interface_count;
	unsigned interface_cap;
	struct input *next; /* whose packet left the sorter last */
	char **faults;
	unsigned fault_count;
	capture_file_secrets secrets; /* NULL: not wanted */
	void *secrets_arg;
};

/* ---- faults ---------------------------------------------------------------------------------- */

/* At most two for each file: when it was looked into, and when it was read. */
static void add_fault(struct merge *m, const char *why)
{
	if (m->fault_count < 2 * m->count && (m->faults[m->fault_count] = strdup(why)) != NULL)
		m->fault_count++;
}

unsigned merge_faults(const struct merge *m)
{
	return m->fault_count;
}

const char *merge_fault(const struct merge *m, unsigned i)
{
	return m->faults[i];
}

/* ---- interfaces ------------------------------------------------------------------------------ */

static bool is_same_name(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* One that a closed file had, or a new one; NULL: no memory. */
static struct merged_interface *find_interface(struct merge *m, const char *name, uint16_t link)
{
	struct merged_interface *n;

	for (unsigned i = 0; i < m->interface_count; i++) {
		n = &m->interfaces[i];
		if (n->input == NULL && n->link == link && is_same_name(n->name, name))
			return n;
	}
	if (m->interface_count == m->interface_cap) {
		unsigned cap = m->interface_cap > 0 ? 2 * m->interface_cap : 8;

		n = realloc(m->interfaces, cap * sizeof(*n));
		if (n == NULL)
			return NULL;
		m->interfaces = n;
		m->interface_cap = cap;
	}
	n = &m->interfaces[m->interface_count];
	*n = (struct merged_interface){.name = name != NULL ? strdup(name) : NULL, .link = link};
	if (name != NULL && n->name == NULL)
		return NULL;
	m->interface_count++;
	return n;
}

static bool grow_ifaces(struct input *in, uint32_t iface)
{
	unsigned cap = MAX(iface + 1, 2 * in->iface_cap);
	uint32_t *ifaces = realloc(in->ifaces, cap * sizeof(*ifaces));

	if (ifaces == NULL)
		return false;
	memset(ifaces + in->iface_cap, 0, (cap - in->iface_cap) * sizeof(*ifaces));
	in->ifaces = ifaces;
	in->iface_cap = cap;
	return true;
}

/* The number in the merged stream; new ones are added as they show up. False: no memory. */
static bool number_interface(struct merge *m, struct input *in, uint32_t *iface)
{
	struct merged_interface *n;

	if (*iface >= in->iface_cap && !grow_ifaces(in, *iface))
		return false;
	if (in->ifaces[*iface] == 0) {
		n = find_interface(m, capture_file_interface_name(in->file, *iface),
				   capture_file_interface_link(in->file, *iface));
		if (n == NULL)
			return false;
		n->input = in;
		in->ifaces[*iface] = (uint32_t)(n - m->interfaces) + 1;
	}
	*iface = in->ifaces[*iface] - 1;
	return true;
}

unsigned merge_interfaces(const struct merge *m)
{
	return m->interface_count;
}

const char *merge_interface_name(const struct merge *m, unsigned i)
{
	return m->interfaces[i].name;
}

uint16_t merge_interface_link(const struct merge *m, unsigned i)
{
	return m->interfaces[i].link;
}

/* ---- files ----------------------------------------------------------------------------------- */

static void close_input(struct merge *m, struct input *in)
{
	capture_file_close(in->file);
	in->file = NULL;
	for (unsigned i = 0; i < in->iface_cap; i++)
		if (in->ifaces[i] != 0)
			m->interfaces[in->ifaces[i] - 1].input = NULL;
	free(in->ifaces);
	in->ifaces = NULL;
	in->iface_cap = 0;
}

/* The next packet of one file, its interface numbered. Without one the file is closed. */
static bool read_input(struct merge *m, struct input *in, struct packet *p)
{
	char err[CAPTURE_FILE_ERROR_MAX] = "no memory";
	enum capture_file_result result = capture_file_next(in->file, p, err);

	if (result == CAPTURE_FILE_PACKET && number_interface(m, in, &p->iface))
		return true;
	if (result != CAPTURE_FILE_END)
		add_fault(m, err);
	close_input(m, in);
	return false;
}

static void refill(struct merge *m, struct input *in)
{
	struct packet p;

	if (in->file == NULL || !read_input(m, in, &p))
		return;
	p.frame = 0;
	if (!sorter_put(m->sorter, &p))
		add_fault(m, "no memory");
}

/* Is it a file that tells the same again? */
static bool opens_again(const char *path)
{
	struct stat s;

	return strcmp(path, "-") != 0 && stat(path, &s) == 0 && S_ISREG(s.st_mode);
}

/*
 * When does it begin? What cannot be read as a capture is a fault that is told at the end; what is
 * not there at all, or may not be read, ends it at once: false.
 */
static bool look_into(struct merge *m, struct input *in, char err[CAPTURE_FILE_ERROR_MAX])
{
	enum capture_file_result result;
	struct packet p;

	in->file = capture_file_open(in->path, err);
	if (in->file == NULL && errno != 0)
		return false;
	if (in->file == NULL) {
		add_fault(m, err);
		return true;
	}
	in->waits = true;
	if (!opens_again(in->path))
		return true;
	result = capture_file_next(in->file, &p, err);
	if (result == CAPTURE_FILE_BROKEN)
		add_fault(m, err);
	in->waits = result == CAPTURE_FILE_PACKET;
	if (in->waits)
		in->first_ns = p.ts_ns;
	close_input(m, in);
	return true;
}

/* Those that wait first, and of those the earliest. */
static int compare_inputs(const void *a, const void *b)
{
	const struct input *one = a, *other = b;

	if (one->waits != other->waits)
		return one->waits ? -1 : 1;
	if (one->first_ns != other->first_ns)
		return one->first_ns < other->first_ns ? -1 : 1;
	return 0;
}

/* The next that waits, or NULL. */
static struct input *next_waiting(const struct merge *m)
{
	struct input *in = m->begun < m->count ? &m->inputs[m->begun] : NULL;

	return in != NULL && in->waits ? in : NULL;
}

static void begin_input(struct merge *m, struct input *in)
{
	char err[CAPTURE_FILE_ERROR_MAX];

	m->begun++;
	if (in->file == NULL)
		in->file = capture_file_open(in->path, err);
	if (in->file == NULL)
		add_fault(m, err);
	else
		capture_file_on_secrets(in->file, m->secrets, m->secrets_arg);
	refill(m, in);
}

static bool look_into_all(struct merge *m, char err[CAPTURE_FILE_ERROR_MAX])
{
	m->sorter = sorter_new();
	if (m->sorter == NULL)
		return false;
	for (unsigned i = 0; i < m->count; i++)
		if (!look_into(m, &m->inputs[i], err))
			return false;
	qsort(m->inputs, m->count, sizeof(*m->inputs), compare_inputs);
	return true;
}

struct merge *merge_open(char *const *paths, unsigned count, char err[CAPTURE_FILE_ERROR_MAX])
{
	struct merge *m = calloc(1, sizeof(*m));

	snprintf(err, CAPTURE_FILE_ERROR_MAX, "no memory");
	if (m == NULL)
		return NULL;
	m->inputs = calloc(count, sizeof(*m->inputs));
	m->faults = calloc(2 * (size_t)count, sizeof(*m->faults));
	if (m->inputs == NULL || m->faults == NULL)
		goto fail;
	m->count = count;
	for (unsigned i = 0; i < count; i++)
		m->inputs[i].path = paths[i];
	if (count > 1) {
		if (look_into_all(m, err))
			return m;
	} else {
		m->inputs[0].file = capture_file_open(paths[0], err);
		if (m->inputs[0].file != NULL)
			return m;
	}
fail:
	merge_close(m);
	return NULL;
}

void merge_on_secrets(struct merge *m, capture_file_secrets fn, void *arg)
{
	m->secrets = fn;
	m->secrets_arg = arg;
	if (m->sorter == NULL && m->inputs[0].file != NULL)
		capture_file_on_secrets(m->inputs[0].file, fn, arg);
}

void merge_close(struct merge *m)
{
	if (m == NULL)
		return;
	for (unsigned i = 0; i < m->count; i++)
		close_input(m, &m->inputs[i]);
	free(m->inputs);
	for (unsigned i = 0; i < m->interface_count; i++)
		free(m->interfaces[i].name);
	free(m->interfaces);
	for (unsigned i = 0; i < m->fault_count; i++)
		free(m->faults[i]);
	free(m->faults);
	sorter_free(m->sorter);
	free(m);
}

/* ---- packets --------------------------------------------------------------------------------- */

bool merge_next(struct merge *m, struct packet *p)
{
	struct input *waiting;

	if (m->sorter == NULL)
		return m->inputs[0].file != NULL && read_input(m, &m->inputs[0], p);
	if (m->next != NULL)
		refill(m, m->next);
	m->next = NULL;
	while ((waiting = next_waiting(m)) != NULL) {
		if (waiting->first_ns > 0 && sorter_take(m->sorter, waiting->first_ns - 1, p))
			break;
		begin_input(m, waiting);
	}
	if (waiting == NULL && !sorter_take(m->sorter, UINT64_MAX, p))
		return false;
	m->next = m->interfaces[p->iface].input;
	return true;
}
