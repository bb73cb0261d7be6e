"""Runs as a child process: a command in; becomes it, ends with its parent, and is never root.

Called as `launcher.py PARENT_PID FOLDER COMMAND…`. With a FOLDER the command is one that refuses
root (PostgreSQL), and FOLDER is made to belong to whom it runs as. Only the standard library.
"""

import ctypes
import os
import pwd
import signal
import sys

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 1, 8, 47, 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522


def leave_root(libc: ctypes.CDLL, folder: str) -> None:
    """Make this process one that PostgreSQL accepts: an ordinary user with a name."""
    uid, gid = os.getuid(), os.getgid()
    names = {entry.pw_uid: entry for entry in pwd.getpwall()}
    if uid != 0 and uid in names:
        return
    give(folder, uid, gid)
    inner = next((entry for number, entry in names.items() if number), None)
    if inner and libc.unshare(CLONE_NEWUSER) == 0:
        # In a user namespace of our own root bears an ordinary user's number, so the files stay
        # root's and every path that root can reach stays within reach.
        write("/proc/self/setgroups", "deny")
        write("/proc/self/uid_map", f"{inner.pw_uid} {uid} 1")
        write("/proc/self/gid_map", f"{inner.pw_gid} {gid} 1")
    elif inner and uid == 0:
        # Many containers refuse namespaces: then a real ordinary user, with the one capability
        # that lets it pass folders which only root may enter.
        nobody = names.get(65534, inner)
        give(folder, nobody.pw_uid, nobody.pw_gid)
        libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)
        keep_file_access(libc)


def keep_file_access(libc: ctypes.CDLL) -> None:
    """Carry CAP_DAC_OVERRIDE, and no other capability, over to the command, where we have it."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; then their upper halves
    libc.capget(header, sets)
    bit = sets[1] & (1 << CAP_DAC_OVERRIDE)
    libc.capset(header, (ctypes.c_uint32 * 6)(bit, bit, bit))
    libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)


def give(folder: str, uid: int, gid: int) -> None:
    """Change the owner of a folder and of all in it; the folder itself last, as the mark of it."""
    if os.stat(folder).st_uid == uid:
        return
    for root, folders, files in os.walk(folder):
        for name in folders + files:
            os.lchown(os.path.join(root, name), uid, gid)
    os.chown(folder, uid, gid)


def write(path: str, text: str) -> None:
    """Write a file of the kernel's in one call."""
    with open(path, "w") as file:
        file.write(text)


def main(arguments: list[str]) -> None:
    """Become the command; returns only by an exception."""
    parent, folder, *command = arguments
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if folder:
            leave_root(libc, folder)
        # After the change of user, which clears it. It tells of the death of the THREAD that
        # started us: an event loop's, never one of a pool.
        libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0)
        if os.getppid() != int(parent):
            sys.exit("the parent process is gone")
    os.execv(command[0], command)  # noqa: S606 - no shell is the point; our own parent calls us


if __name__ == "__main__":
    main(sys.argv[1:])
