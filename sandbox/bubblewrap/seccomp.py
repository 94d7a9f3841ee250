"""The system calls that a bubblewrap sandbox may not make."""

from __future__ import annotations

import errno
import os

from pyseccomp import ALLOW, ERRNO, MASKED_EQ, Arch, Arg, SyscallFilter, resolve_syscall

REFUSED = (
    *("mount", "umount2", "pivot_root", "chroot", "mount_setattr", "move_mount"),
    *("open_tree", "fsopen", "fsconfig", "fsmount", "fspick"),
    *("unshare", "setns"),
    *("ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "process_madvise"),
    *("bpf", "perf_event_open", "userfaultfd"),
    *("io_uring_setup", "io_uring_enter", "io_uring_register"),
    *("add_key", "request_key", "keyctl"),
    *("init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load"),
    *("open_by_handle_at", "name_to_handle_at", "fanotify_init", "lookup_dcookie"),
    *("acct", "quotactl", "quotactl_fd", "reboot", "swapon", "swapoff", "syslog"),
    *("settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "vhangup"),
    *("sethostname", "setdomainname", "nfsservctl", "uselib", "iopl", "ioperm"),
    *("move_pages", "migrate_pages", "mbind", "set_mempolicy"),
)
NAMESPACES = (  # flags of clone()
    *(0x00020000, 0x02000000, 0x04000000, 0x08000000),  # mount, cgroup, uts, ipc
    *(0x10000000, 0x20000000, 0x40000000),  # user, pid, net
)
TYPING_FOR_OTHERS = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX


def program() -> bytes:
    """Return the filter as the kernel takes it."""
    rules = SyscallFilter(ALLOW)
    no = ERRNO(errno.EPERM)
    for name in REFUSED:
        if resolve_syscall(Arch.NATIVE, name) != -1:  # else this machine has no such
            rules.add_rule(no, name)
    for flag in NAMESPACES:
        rules.add_rule(no, "clone", Arg(0, MASKED_EQ, flag, flag))
    # clone3() has its flags in memory, where no filter sees them. Libraries that hear
    # that there is no such call use clone().
    rules.add_rule(ERRNO(errno.ENOSYS), "clone3")
    for request in TYPING_FOR_OTHERS:
        rules.add_rule(no, "ioctl", Arg(1, MASKED_EQ, 0xFFFFFFFF, request))
    return exported(rules)


def exported(rules: SyscallFilter) -> bytes:
    with os.fdopen(os.memfd_create("seccomp"), "w+b") as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()
