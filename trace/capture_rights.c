/*
 * capture_rights.c -- gives up every right that captures needed to be opened.
 *
 * Irreversible, and checked: what cannot be given up ends the program's start, it is not passed
 * over.
 */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "trace/capture.h"

#define NOBODY       "nobody"
#define NOBODY_ID    65534
#define CAPABILITIES 64

static bool fail(char err[CAPTURE_ERROR_MAX], const char *what)
{
	snprintf(err, CAPTURE_ERROR_MAX, "cannot give up rights: %s: %s", what, strerror(errno));
	return false;
}

/* So that not even a set-user-id program could have them again. As root only. */
static void drop_bounding_set(void)
{
	for (unsigned long i = 0; i < CAPABILITIES; i++)
		(void)prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
}

static bool change_user(char err[CAPTURE_ERROR_MAX])
{
	struct passwd entry, *nobody = NULL;
	char strings[4096];
	bool found = getpwnam_r(NOBODY, &entry, strings, sizeof(strings), &nobody) == 0 &&
		     nobody != NULL && entry.pw_uid != 0;
	uid_t uid = found ? entry.pw_uid : NOBODY_ID;
	gid_t gid = found ? entry.pw_gid : NOBODY_ID;

	drop_bounding_set();
	if (setgroups(0, NULL) != 0)
		return fail(err, "setgroups");
	if (setresgid(gid, gid, gid) != 0)
		return fail(err, "setresgid");
	if (setresuid(uid, uid, uid) != 0)
		return fail(err, "setresuid");
	errno = EPERM;
	if (setuid(0) == 0 || setgid(0) == 0)
		return fail(err, "root could be taken back");
	return true;
}

static bool clear_capabilities(char err[CAPTURE_ERROR_MAX])
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {{0}};

	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &head, sets) != 0)
		return fail(err, "capset");
	memset(sets, 0xff, sizeof(sets));
	if (syscall(SYS_capget, &head, sets) != 0)
		return fail(err, "capget");
	for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		errno = EPERM;
		if ((sets[i].effective | sets[i].permitted | sets[i].inheritable) != 0)
			return fail(err, "capabilities are left");
	}
	return true;
}

bool capture_drop_rights(char err[CAPTURE_ERROR_MAX])
{
	if (geteuid() == 0 && !change_user(err))
		return false;
	if (!clear_capabilities(err))
		return false;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return fail(err, "no_new_privs");
	return true;
}
