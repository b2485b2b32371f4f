"""Becomes another program that dies with its parent and may run as another user.

Run as a script by its path, under ``python -I -S`` so that it costs a few milliseconds and imports nothing of ours:
``launch.py PARENT_PID USER PROGRAM ARGUMENTS…`` (USER empty: stay who we are). It stands between the supervisor and
each component because both steps must happen in the child, after the fork and before the program, which is not a place
for Python code in a process with threads.

On Linux the kernel kills the program when the thread that started it ends (``PR_SET_PDEATHSIG``, prctl(2)); elsewhere
this protection is missing and an orphan of a killed supervisor is found by the next start instead.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2
CAP_DAC_READ_SEARCH = 2
CAPABILITY_VERSION_3 = 0x20080522


def main() -> None:
    """Arrange the death with the parent, change the user, become the program."""
    parent, user, *command = sys.argv[1:]
    if user:
        become(pwd.getpwnam(user), needed=[command[0], os.getcwd()])
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(parent):  # it died before we asked to be told
            os._exit(1)
    os.execv(command[0], command)


def become(entry: pwd.struct_passwd, *, needed: list[str]) -> None:
    """Drop root for this user.

    Of root's powers one is kept, and only if the user could not walk to the needed paths because a directory above
    them, like /root, is closed to others: ``CAP_DAC_READ_SEARCH``. It gives reading, never writing.
    """
    libc = ctypes.CDLL(None)
    if sys.platform == "linux":
        libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    os.environ["HOME"], os.environ["USER"] = entry.pw_dir, entry.pw_name
    if sys.platform == "linux":
        keep_capability(libc, None if all(os.access(path, os.X_OK) for path in needed) else CAP_DAC_READ_SEARCH)


def keep_capability(libc: ctypes.CDLL, capability: int | None) -> None:
    """Reduce the process to this one capability, inherited by the next program; without one, or refused, to none."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    only = 0 if capability is None else 1 << capability
    if libc.capset(header, (ctypes.c_uint32 * 6)(only, only, only, 0, 0, 0)) != 0:
        libc.capset(header, (ctypes.c_uint32 * 6)())
    elif capability is not None:
        libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0)


if __name__ == "__main__":
    main()
