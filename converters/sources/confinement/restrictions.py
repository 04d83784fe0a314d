"""Restricts this process for good, by Landlock and seccomp of the Linux kernel, before it opens an
untrusted file.

Afterwards it writes only under one folder, reads only what a Python program needs, and reaches no
network, no other process and no other program. `confine` returns which of these restrictions the
kernel enforces.

Sources: landlock(7), seccomp(2), include/uapi/linux/{landlock,seccomp,filter}.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import resource
import struct
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from converters.sources.confinement import system_calls
from converters.sources.confinement.system_calls import numbers

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, SIGKILL = 1, 38, 9
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446
LANDLOCK_VERSION = 1  # flag of LANDLOCK_CREATE that asks for the version
PATH_BENEATH = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
FIRST = (1 << 13) - 1
ADDED = {2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
"""Rights on files by the Landlock version that added them: move between folders, truncate,
ioctl."""
TRUNCATES = 3
"""Before this version a process without write access could still truncate a file."""
NETWORK_SINCE, BIND_AND_CONNECT = 4, 0b11
SCOPES_SINCE, SOCKETS_AND_SIGNALS = 6, 0b11

READ = EXECUTE | READ_FILE | READ_DIR
READ_ONLY = (
    *("/usr", "/lib", "/lib64", "/opt", "/nix/store", "/proc", "/sys", "/etc/ld.so.cache"),
    *("/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime", "/etc/passwd", "/etc/group"),
    *("/dev/zero", "/dev/random", "/dev/urandom"),
)
"""Read by libraries while they load, beside Python's own folders."""
SINK = "/dev/null"

LARGEST_FILE = 256 << 20

SECCOMP_SET_FILTER, ALL_THREADS = 1, 1
ALLOW, DENY, KILL = 0x7FFF0000, 0x00050000 | 1, 0x80000000  # DENY is EPERM
LOAD, EQUAL, AT_LEAST, ANY_OF, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
X32 = 0x40000000
"""From this number on, x86_64 has the same calls again, of the x32 ABI."""
OPENS_TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


@dataclass(frozen=True)
class Confinement:
    """The restrictions in force.

    Attributes:
        files: the mechanism that forbids writing elsewhere; None without one.
        network: the mechanism that forbids the network and other processes; None without one.
    """

    files: str | None
    network: str | None


def confine(folder: Path, *, memory_bytes: int, readable: Iterable[Path]) -> Confinement:
    """Confines this process and its future threads. Call it before there are other threads.

    Args:
        folder: where it may write.
        memory_bytes: the most memory that it may use.
        readable: folders that it may read beside READ_ONLY.
    """
    for which, limit in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, LARGEST_FILE),
        (resource.RLIMIT_DATA, memory_bytes),
    ):
        with contextlib.suppress(ValueError, OSError):  # a lower limit is set already
            resource.setrlimit(which, (limit, limit))
    if sys.platform != "linux":
        return Confinement(None, None)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    zeros = (ctypes.c_ulong(0),) * 3
    libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(SIGKILL), *zeros)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), *zeros) != 0:
        return Confinement(None, None)
    version = _landlock(libc, folder, readable)
    covered = version >= TRUNCATES
    filtered = _filter(libc, without_writing=not covered)
    files = f"Landlock {version}" if covered else "seccomp" if filtered else None
    return Confinement(files, "seccomp" if filtered else None)


def _call(libc: ctypes.CDLL, number: int, *arguments: int | bytes | None) -> int:
    """A system call by its number; numbers go in whole registers."""
    wide = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    return int(libc.syscall(ctypes.c_long(number), *wide))


def _landlock(libc: ctypes.CDLL, folder: Path, readable: Iterable[Path]) -> int:
    """The Landlock version in force; 0 where the kernel has none."""
    version = _call(libc, LANDLOCK_CREATE, None, 0, LANDLOCK_VERSION)
    if version < 1:
        return 0
    every = FIRST
    for since, right in ADDED.items():
        every |= right if version >= since else 0
    fields = [every]
    if version >= NETWORK_SINCE:
        fields.append(BIND_AND_CONNECT)
    if version >= SCOPES_SINCE:
        fields.append(SOCKETS_AND_SIGNALS)
    attributes = struct.pack(f"{len(fields)}Q", *fields)
    rules = _call(libc, LANDLOCK_CREATE, attributes, len(attributes), 0)
    if rules < 0:
        return 0
    try:
        for path in (*(Path(one) for one in READ_ONLY), *readable):
            _allow(libc, rules, path, READ & every)
        _allow(libc, rules, Path(SINK), READ_FILE | WRITE_FILE)
        _allow(libc, rules, folder, every)
        return version if _call(libc, LANDLOCK_RESTRICT, rules, 0) == 0 else 0
    finally:
        os.close(rules)


def _allow(libc: ctypes.CDLL, rules: int, path: Path, rights: int) -> None:
    """Adds a rule for one path; a path that cannot be opened needs none."""
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not path.is_dir():
            rights &= EXECUTE | READ_FILE | WRITE_FILE
        rule = struct.pack("=Qi", rights, opened)
        _call(libc, LANDLOCK_ADD, rules, PATH_BENEATH, rule, 0)
    finally:
        os.close(opened)


def _filter(libc: ctypes.CDLL, *, without_writing: bool) -> bool:
    """Whether the filter of system calls is in force."""
    machine = platform.machine()
    if machine not in system_calls.ARCHITECTURES or struct.calcsize("P") != 8:
        return False
    program = _program(machine, without_writing=without_writing)
    instructions = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(instructions))
    (seccomp,) = numbers(system_calls.SECCOMP, machine)
    return _call(libc, seccomp, SECCOMP_SET_FILTER, ALL_THREADS, described) == 0


def _program(machine: str, *, without_writing: bool) -> bytes:
    """The filter as the kernel reads it: struct sock_filter, 8 bytes an instruction."""
    tables = [system_calls.NETWORK, system_calls.OTHERS, system_calls.SYSTEM, system_calls.CHANGING]
    # prlimit64 is allowed for this process alone: its first argument, a process id, must be 0.
    flagged = [(number, 0, 0xFFFFFFFF) for number in numbers(system_calls.PRLIMIT, machine)]
    if without_writing:
        tables.append(system_calls.WRITING)
        flagged += [(call, slot, OPENS_TO_WRITE) for call, slot in system_calls.OPENING[machine]]
    steps = [
        (LOAD, 0, 0, 4),  # seccomp_data.arch
        (EQUAL, 1, 0, system_calls.AUDIT[machine]),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, 0),  # seccomp_data.nr
        (AT_LEAST, 0, 1, X32),
        (RETURN, 0, 0, DENY),
    ]
    for table in tables:
        for call in numbers(table, machine):
            steps += [(EQUAL, 0, 1, call), (RETURN, 0, 0, DENY)]
    for call, slot, mask in flagged:
        steps += [
            (EQUAL, 0, 4, call),
            (LOAD, 0, 0, 16 + 8 * slot),  # the lower half of an argument
            (ANY_OF, 0, 1, mask),
            (RETURN, 0, 0, DENY),
            (RETURN, 0, 0, ALLOW),
        ]
    steps.append((RETURN, 0, 0, ALLOW))
    return b"".join(struct.pack("HBBI", *step) for step in steps)
