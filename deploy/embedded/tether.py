"""Runs a command that ends when its parent does, however that ends: ``python tether.py PARENT-PID COMMAND…``.

A file of its own, run by a bare interpreter: what a child does between fork and exec must not run in a threaded parent.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

parent, command = int(sys.argv[1]), sys.argv[2:]
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before we asked to be told
        sys.exit(1)
os.execv(command[0], command)  # noqa: S606  # the command is our parent's
