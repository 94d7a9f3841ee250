"""The door to django-q2, and what keeps its clusters alive when a process is killed.

Its traps, and where each is answered:

- an idle worker that is killed takes the queue's lock with it: `KillSafeQueue`
- children of a killed process live on and go on working: `die_with_parent`
- SIGTERM to the whole group kills running tasks: `die_with_parent`, `begin_worker`
- tasks wait behind a busy worker while their retry clock runs: `ReadyBroker`
- the result of an `async def` (or one that cannot be pickled) is lost and its task
  runs again for ever: `enqueue`, `keep_result`
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import inspect
import logging
import multiprocessing.context
import os
import pickle
import signal
import struct
import time
import weakref
from collections.abc import Callable
from multiprocessing import sharedctypes, util
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.module_loading import import_string
from django_q import cluster as q2
from django_q.brokers.orm import ORM
from django_q.conf import Conf as QueueConf
from django_q.models import Schedule
from django_q.queues import Queue
from django_q.signals import post_execute_in_worker, post_spawn
from django_q.tasks import async_task

from sessions.poke import Pokes, poke

TURNS, JOBS = "default", "jobs"
CLUSTERS = (TURNS, JOBS)
PR_SET_PDEATHSIG = 1
BUSY_PAUSE = 0.1
HEARTBEAT_SECONDS = 1.0
LOOK_SECONDS = 1.0
"""How often a cluster looks for tasks that nobody woke it for: another machine's."""


_libc = ctypes.CDLL(None, use_errno=True)
_starts: list[Callable[[], None]] = []
_ends: list[Callable[[], None]] = []


# What others use.


def enqueue(name: str, *args: object, cluster: str = JOBS) -> str:
    """Have a worker call the plain function of this dotted name; return the task's id."""
    if inspect.iscoroutinefunction(import_string(name)):
        raise TypeError(
            f"{name} is an async function, and a worker calls plain ones only: its"
            " result would be lost and it would run again for ever"
        )
    # A job that fails is done: q2's setting for it counts where the task is made, and
    # there the name of the cluster is another.
    task: str = async_task(name, *args, cluster=cluster, ack_failure=True)
    transaction.on_commit(lambda: poke(_poked(cluster)))
    return task


def every(minutes: int, name: str) -> None:
    """Have a worker call this function again and again; the first time soon."""
    Schedule.objects.update_or_create(
        name=name,
        defaults={
            "func": name,
            "schedule_type": Schedule.MINUTES,
            "minutes": minutes,
            "cluster": JOBS,
            "repeats": -1,
            "next_run": timezone.now(),
        },
    )


def on_worker_start(callback: Callable[[], None]) -> None:
    """Call this in each new worker process, before its first task."""
    _starts.append(callback)


def on_worker_end(callback: Callable[[], None]) -> None:
    """Call this in a worker process that was asked to end, after its last task."""
    _ends.append(callback)


def run_cluster(name: str) -> None:
    """Run a cluster until SIGTERM. `Q_CLUSTER_NAME` must have said so at import."""
    logging.getLogger("django-q").setLevel(logging.WARNING)
    q2.Queue = KillSafeQueue
    q2.Value = _kill_safe_value
    q2.pusher = _push
    QueueConf.BROKER_CLASS = f"{__name__}.ReadyBroker"
    # A worker whose time is up is ended for certain: it ignores SIGTERM.
    process = multiprocessing.context.ForkProcess
    process.terminate = process.kill  # type: ignore[method-assign]
    post_spawn.connect(begin_worker)
    post_execute_in_worker.connect(keep_result)
    os.register_at_fork(before=_note_parent, after_in_child=die_with_parent)
    gc.collect()
    gc.freeze()  # Workers are forks: what is frozen stays shared memory.
    q2.Cluster().start()


def heartbeat(name: str) -> Path:
    """The file that a living cluster touches about every second."""
    folder: Path = settings.AGENTSITE.runtime_dir / "queues"
    return folder / name


def _poked(name: str) -> Path:
    return heartbeat(name).with_suffix(".poke")


# Processes: none outlives its parent, and only the first one listens to SIGTERM.


_parent = os.getpid()


def _note_parent() -> None:
    global _parent
    _parent = os.getpid()


def die_with_parent() -> None:
    """In every fork: end with the parent, and leave SIGTERM to the first process."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != _parent:
        os._exit(1)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})


def begin_worker(**_: object) -> None:
    """Set up a worker process; what it starts itself gets usual signals again."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _ignore)  # A handler, unlike SIG_IGN, ends with exec.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
    for callback in _ends:
        util.Finalize(None, callback, exitpriority=100)
    for callback in _starts:
        callback()


def _ignore(number: int, frame: object) -> None:
    """The pool tells its workers when to end; a signal to the whole group does not."""


# Queue: locks that the kernel takes back from a killed process.


class RecordLock:
    """A POSIX record lock: held by a process, and free as soon as that one is dead.

    The process that holds it may take it again.
    """

    def __init__(self) -> None:
        self._file = os.memfd_create("record-lock")
        weakref.finalize(self, os.close, self._file)
        self._holder, self._depth = 0, 0

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        if self._holder != os.getpid():  # A fork inherits our words and not the lock.
            self._holder, self._depth = os.getpid(), 0
        if self._depth == 0 and not self._take(block, timeout):
            return False
        self._depth += 1
        return True

    def release(self) -> None:
        self._depth -= 1
        if self._depth == 0:
            fcntl.lockf(self._file, fcntl.LOCK_UN)

    def held_elsewhere(self) -> bool:
        """Say whether another living process holds the lock."""
        # struct flock: type, whence, start, length, pid
        wish = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        found = fcntl.fcntl(self._file, fcntl.F_GETLK, wish)
        return bool(struct.unpack("hhqqi4x", found)[0] != fcntl.F_UNLCK)

    def _take(self, block: bool, timeout: float | None) -> bool:
        if block and timeout is None:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            return True
        until = time.monotonic() + (timeout or 0)
        while not self._try():
            if not block or time.monotonic() >= until:
                return False
            time.sleep(0.01)
        return True

    def _try(self) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def __enter__(self) -> RecordLock:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class KillSafeCounter:
    """q2's queue length, guarded by a lock that no killed process keeps."""

    def __init__(self) -> None:
        self._count = sharedctypes.RawValue("i", 0)
        self._lock = RecordLock()

    def increment(self, n: int = 1) -> None:
        with self._lock:
            self._count.value += n

    @property
    def value(self) -> int:
        count: int = self._count.value
        return count


def _kill_safe_value(kind: str, start: float) -> Any:
    """The clock by which the pool watches a worker, as `multiprocessing.Value`."""
    return sharedctypes.Value(kind, start, lock=RecordLock())  # type: ignore[call-overload]


class KillSafeQueue(Queue):  # type: ignore[misc]
    """A queue between processes that goes on when its reader or writer is killed."""

    def __init__(self, maxsize: int = 0) -> None:
        # Unbounded, whatever q2 wishes: a slot that a killed worker has taken never
        # comes back. ReadyBroker keeps the queue short instead.
        super().__init__()
        self._rlock = RecordLock()
        self._wlock = RecordLock()
        self.size = KillSafeCounter()

    def is_awaited(self) -> bool:
        """Say whether a worker waits for a task and there is none for it yet."""
        return self.empty() and self._rlock.held_elsewhere()


# Tasks: taken only for a worker that is free, and their results always kept.


class ReadyBroker(ORM):  # type: ignore[misc]
    """The database broker; takes a task only once a worker waits for it.

    So a task's retry clock, which starts when it is taken, never runs in a line.
    """

    is_ready: Callable[[], bool] | None = None
    pokes: Pokes | None = None
    _beaten = 0.0

    def dequeue(self) -> Any:
        self._beat()
        if self.is_ready is not None and not self.is_ready():
            time.sleep(BUSY_PAUSE)
            return None
        found = super().dequeue()
        if not found and self.pokes is not None:
            self.pokes.wait(LOOK_SECONDS)
        return found

    def _beat(self) -> None:
        now = time.monotonic()
        if now - self._beaten >= HEARTBEAT_SECONDS:
            self._beaten = now
            heartbeat(QueueConf.CLUSTER_NAME).touch()


_original_push = q2.pusher


def _push(task_queue: KillSafeQueue, event: Any, broker: ReadyBroker) -> None:
    heartbeat(QueueConf.CLUSTER_NAME).parent.mkdir(parents=True, exist_ok=True)
    broker.is_ready = task_queue.is_awaited
    broker.pokes = Pokes(_poked(QueueConf.CLUSTER_NAME))
    _original_push(task_queue, event, broker)


def keep_result(task: dict[str, Any], **_: object) -> None:
    """Turn a result that cannot be kept into a failure that can."""
    result = task.get("result")
    if inspect.iscoroutine(result):
        result.close()
        _fail(task, "is an async function: workers call plain ones only")
        return
    try:
        pickle.dumps(task)
    except Exception as error:  # noqa: BLE001 - pickle raises whatever the object raises
        _fail(task, f"answered with what cannot be kept ({error})")


def _fail(task: dict[str, Any], why: str) -> None:
    task["result"] = f"{task.get('name')} {why}."
    task["success"] = False
    task["ack_failure"] = True  # or it would be tried again, and fail the same way
