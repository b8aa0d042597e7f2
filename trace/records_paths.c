/*
 * records_paths.c -- names of files, joined. Opens none.
 */
#include "trace/records_paths.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static bool join(char out[PATH_MAX], const char *folder, const char *name)
{
	size_t len = strlen(folder);
	const char *slash = len > 0 && folder[len - 1] != '/' ? "/" : "";

	return snprintf(out, PATH_MAX, "%s%s%s", folder, slash, name) < PATH_MAX;
}

static bool is_folder(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool records_paths_init(struct records_paths *p, const char *of)
{
	const char *slash = strrchr(of, '/');
	size_t len = slash != NULL ? (size_t)(slash - of) + 1 : 0;

	if (strlen(of) >= PATH_MAX)
		return false;
	if (is_folder(of)) {
		memcpy(p->folder, of, strlen(of) + 1);
		if (!join(p->flows, of, "flows.ndjson"))
			return false;
	} else {
		memcpy(p->folder, of, len);
		p->folder[len] = '\0';
		memcpy(p->flows, of, strlen(of) + 1);
	}
	return join(p->conns, p->folder, "conns.ndjson") &&
	       join(p->proxy, p->folder, "proxy.ndjson");
}

bool records_paths_dump(const struct records_paths *p, const char *dump, char out[PATH_MAX])
{
	if (dump == NULL || dump[0] == '\0')
		return false;
	if (dump[0] == '/')
		return snprintf(out, PATH_MAX, "%s", dump) < PATH_MAX;
	return join(out, p->folder, dump);
}
