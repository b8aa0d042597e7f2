/*
 * merge.c -- files side by side: the sorter holds one packet of each, and the one that leaves it is
 * replaced by the next of its file.
 *
 * Invariant: each file that is not at its end has exactly one packet in the sorter.
 */
#include "trace/merge.h"

#include <stdio.h>
#include <stdlib.h>

#include "trace/sorter.h"

/* An interface of the merged stream. */
struct merged_interface {
	unsigned file;
	unsigned number; /* within the file */
};

struct merge {
	struct capture_file **files;
	unsigned count;
	unsigned opened;
	struct sorter *sorter; /* NULL: one file */
	struct merged_interface *interfaces;
	unsigned interface_count;
	unsigned interface_cap;
	bool is_begun;
	unsigned next; /* file whose packet left the sorter last; count: none */
	bool is_broken;
	char fault[CAPTURE_FILE_ERROR_MAX];
};

static void break_off(struct merge *m, const char *why)
{
	if (!m->is_broken)
		snprintf(m->fault, sizeof(m->fault), "%s", why);
	m->is_broken = true;
}

struct merge *merge_open(const char *const *paths, unsigned count, char err[CAPTURE_FILE_ERROR_MAX])
{
	struct merge *m = calloc(1, sizeof(*m));

	snprintf(err, CAPTURE_FILE_ERROR_MAX, "no memory");
	if (m == NULL)
		return NULL;
	m->count = count;
	m->next = count;
	m->files = calloc(count, sizeof(struct capture_file *));
	if (count > 1)
		m->sorter = sorter_new();
	if (m->files == NULL || (count > 1 && m->sorter == NULL))
		goto fail;
	for (; m->opened < count; m->opened++) {
		m->files[m->opened] = capture_file_open(paths[m->opened], err);
		if (m->files[m->opened] == NULL)
			goto fail;
	}
	return m;
fail:
	merge_close(m);
	return NULL;
}

void merge_close(struct merge *m)
{
	if (m == NULL)
		return;
	for (unsigned i = 0; i < m->opened; i++)
		capture_file_close(m->files[i]);
	free(m->files);
	free(m->interfaces);
	sorter_free(m->sorter);
	free(m);
}

/* The number in the merged stream; new ones are added as they show up. False: no memory. */
static bool number_interface(struct merge *m, unsigned file, uint32_t *iface)
{
	for (unsigned i = 0; i < m->interface_count; i++) {
		if (m->interfaces[i].file != file || m->interfaces[i].number != *iface)
			continue;
		*iface = i;
		return true;
	}
	if (m->interface_count == m->interface_cap) {
		unsigned cap = m->interface_cap > 0 ? 2 * m->interface_cap : 8;
		struct merged_interface *grown = realloc(m->interfaces, cap * sizeof(*grown));

		if (grown == NULL)
			return false;
		m->interfaces = grown;
		m->interface_cap = cap;
	}
	m->interfaces[m->interface_count] = (struct merged_interface){file, *iface};
	*iface = m->interface_count++;
	return true;
}

/* The next packet of one file, its interface numbered. */
static bool read_file(struct merge *m, unsigned file, struct packet *p)
{
	char err[CAPTURE_FILE_ERROR_MAX];

	switch (capture_file_next(m->files[file], p, err)) {
	case CAPTURE_FILE_PACKET:
		if (number_interface(m, file, &p->iface))
			return true;
		break_off(m, "no memory");
		return false;
	case CAPTURE_FILE_BROKEN:
		break_off(m, err);
		return false;
	case CAPTURE_FILE_END:
	default:
		return false;
	}
}

static void refill(struct merge *m, unsigned file)
{
	struct packet p;

	if (!read_file(m, file, &p))
		return;
	p.frame = 0;
	if (!sorter_put(m->sorter, &p))
		break_off(m, "no memory");
}

bool merge_next(struct merge *m, struct packet *p)
{
	if (m->sorter == NULL)
		return read_file(m, 0, p);
	for (unsigned i = 0; i < m->count && !m->is_begun; i++)
		refill(m, i);
	m->is_begun = true;
	if (m->next < m->count)
		refill(m, m->next);
	if (!sorter_take(m->sorter, UINT64_MAX, p))
		return false;
	m->next = m->interfaces[p->iface].file;
	return true;
}

const char *merge_fault(const struct merge *m)
{
	return m->is_broken ? m->fault : NULL;
}

unsigned merge_interfaces(const struct merge *m)
{
	return m->interface_count;
}

const char *merge_interface_name(const struct merge *m, unsigned i)
{
	const struct merged_interface *n = &m->interfaces[i];

	return capture_file_interface_name(m->files[n->file], n->number);
}

uint16_t merge_interface_link(const struct merge *m, unsigned i)
{
	const struct merged_interface *n = &m->interfaces[i];

	return capture_file_interface_link(m->files[n->file], n->number);
}
