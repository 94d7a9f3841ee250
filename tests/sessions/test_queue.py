"""The queue's door: nothing of it hangs when a process is killed, no result is lost."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys

import pytest
from django.db import transaction

from sessions import queue
from sessions.poke import Pokes, poke
from sessions.queue import KillSafeQueue, RecordLock, enqueue, keep_result

fork = multiprocessing.get_context("fork")
SOON = 10


def hold_for_ever(lock, held):
    lock.acquire()
    held.set()
    signal.pause()


def pass_one_on(source, target):
    target.send(source.get())


@pytest.fixture
def holder():
    """Another process that holds a lock."""
    lock, held = RecordLock(), fork.Event()
    process = fork.Process(target=hold_for_ever, args=(lock, held))
    process.start()
    assert held.wait(SOON)
    yield lock, process
    process.kill()
    process.join()
    process.close()


def test_a_lock_is_not_taken_while_another_process_holds_it(holder):
    lock, _ = holder
    assert lock.held_elsewhere()
    assert not lock.acquire(block=False)


def test_a_killed_process_gives_its_lock_back(holder):
    lock, process = holder
    process.kill()
    process.join()
    assert not lock.held_elsewhere()
    assert lock.acquire(block=False)


def test_its_own_process_takes_a_lock_again_and_keeps_it_until_the_last_release(holder):
    lock = RecordLock()
    with lock:
        with lock:
            pass
        reader, writer = fork.Pipe(duplex=False)
        other = fork.Process(target=lambda: writer.send(lock.acquire(block=False)))
        other.start()
        assert reader.recv() is False
        other.join()


def test_a_queue_goes_on_after_its_waiting_reader_was_killed():
    tasks = KillSafeQueue()
    reader, writer = fork.Pipe(duplex=False)
    first = fork.Process(target=pass_one_on, args=(tasks, writer))
    first.start()
    while not tasks.is_awaited():
        pass
    first.kill()
    first.join()
    second = fork.Process(target=pass_one_on, args=(tasks, writer))
    second.start()
    tasks.put("work")
    assert reader.poll(SOON)
    assert reader.recv() == "work"
    second.join()
    tasks.close()
    tasks.join_thread()


def test_a_queue_is_awaited_only_while_a_reader_waits_and_nothing_is_in_it():
    tasks = KillSafeQueue()
    assert not tasks.is_awaited()
    tasks.put("work")
    assert not tasks.is_awaited()
    assert tasks.get() == "work"
    tasks.close()
    tasks.join_thread()


def test_an_async_function_is_refused():
    with pytest.raises(TypeError, match="async function"):
        enqueue("asyncio.sleep", 0)


@pytest.mark.django_db
def test_a_plain_function_is_queued_for_the_jobs_cluster():
    from django_q.models import OrmQ

    enqueue("os.getpid")
    assert [row.key for row in OrmQ.objects.all()] == ["jobs"]


def test_a_coroutine_as_result_becomes_a_failure():
    async def job():
        pass

    task = {"name": "sweep", "result": job(), "success": True}
    keep_result(task)
    assert task["success"] is False
    assert "async" in task["result"]


def test_a_result_that_cannot_be_kept_becomes_a_failure():
    task = {"name": "sweep", "result": lambda: None, "success": True}
    keep_result(task)
    assert task["success"] is False
    assert task["result"].startswith("sweep answered with what cannot be kept")


def test_a_plain_result_is_kept_as_it_is():
    task = {"name": "sweep", "result": [1, 2], "success": True}
    keep_result(task)
    assert task == {"name": "sweep", "result": [1, 2], "success": True}


@pytest.mark.django_db
def test_nothing_is_taken_while_no_worker_is_free(tmp_path, settings, monkeypatch):
    from django_q.models import OrmQ

    monkeypatch.setattr(queue, "heartbeat", lambda name: tmp_path / name)
    monkeypatch.setattr(queue, "BUSY_PAUSE", 0)
    enqueue("os.getpid")
    broker = queue.ReadyBroker(list_key="jobs")
    broker.is_ready = lambda: False
    taken_before = OrmQ.objects.get().lock
    assert not broker.dequeue()
    assert OrmQ.objects.get().lock == taken_before
    broker.is_ready = lambda: True
    assert len(broker.dequeue()) == 1


def nothing():
    """A job."""


@pytest.mark.django_db(transaction=True)
def test_a_cluster_is_poked_once_a_task_is_there_to_be_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(queue, "heartbeat", lambda name: tmp_path / name)
    pokes = Pokes(tmp_path / f"{queue.JOBS}.poke")
    with transaction.atomic():
        enqueue(f"{__name__}.nothing")
        assert not pokes.wait(0)  # its row cannot be read yet
    assert pokes.wait(0)
    assert not pokes.wait(0)  # many pokes would be one
    pokes.close()


def test_a_poke_that_nobody_hears_is_no_fault(tmp_path):
    poke(tmp_path / "nobody")
    Pokes(tmp_path / "gone").close()
    poke(tmp_path / "gone")


def test_pokes_without_an_end_keep_nobody(tmp_path):
    pokes = Pokes(tmp_path / "busy")
    for _ in range(10_000):
        poke(tmp_path / "busy")
    assert pokes.wait(0)
    assert not pokes.wait(0)
    pokes.close()


def test_a_broker_without_tasks_waits_for_a_poke(db, tmp_path):
    broker = queue.ReadyBroker(queue.JOBS)
    heartbeat = queue.heartbeat(queue.QueueConf.CLUSTER_NAME)
    heartbeat.parent.mkdir(parents=True, exist_ok=True)
    broker.pokes = Pokes(tmp_path / "jobs")
    poke(tmp_path / "jobs")
    assert not broker.dequeue()
    assert not broker.pokes.wait(0)  # the poke was taken
    broker.pokes.close()


def test_a_cluster_of_jobs_does_not_load_the_model_s_client():
    """It is most of what a process of Agentsite takes, and jobs ask no model."""
    program = (
        "import django, sys; django.setup();"
        " import sessions.queue, sessions.tasks;"
        " sys.exit('anthropic' in sys.modules)"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "agentsite.settings"}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
