"""The measured traps of django-q2, on the real clusters of a running site."""

from __future__ import annotations

import os
import signal

import pytest

from tests.site.processes import children_of, is_alive

pytestmark = pytest.mark.site


def shell(site, code):
    return site.manage("shell", "--no-imports", "-c", code)


def enqueue(site, call, cluster="jobs"):
    shell(
        site,
        f"import os, time; from sessions.queue import enqueue; enqueue({call}, cluster={cluster!r})",
    )


def workers_of(site, role):
    """The forks of a cluster: worker processes, monitor and pusher."""
    sentinel = children_of(site.pid(role))[0]
    return children_of(sentinel)


@pytest.mark.parametrize("cluster", ["default", "jobs"])
def test_tasks_run_on_after_every_idle_process_was_killed(site, cluster):
    role = "worker" if cluster == "default" else "jobs"
    before = workers_of(site, role)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    made = site.shared / f"after-kill-{cluster}"
    enqueue(site, f"'os.mkdir', {str(made)!r}", cluster)
    site.wait(made.exists)
    site.wait_until_ready()


def test_only_a_running_task_has_its_retry_clock_running(site):
    for seconds in (4, 4, 0.1):  # one more than the cluster has workers
        enqueue(site, f"'time.sleep', {seconds}")
    clocks = (
        "from django_q.models import OrmQ; from django.utils.timezone import now;"
        "rows = [row for row in OrmQ.objects.all() if row.func() == 'time.sleep'];"
        "print(sum(row.lock > now() for row in rows), len(rows))"
    )
    seen = set()
    site.wait(lambda: seen.add(shell(site, clocks)) or "0 0" in seen)
    assert "3 3" not in seen


def test_a_signal_to_the_whole_group_lets_a_running_task_end(site):
    leader = site.pid("jobs")
    made = site.shared / "after-group-signal"
    work = f"import os, time; time.sleep(3); os.mkdir({str(made)!r})"
    enqueue(site, f"'builtins.exec', {work!r}")
    running = "from django_q.models import OrmQ; from django.utils.timezone import now; print(sum(row.lock > now() for row in OrmQ.objects.all() if row.func() == 'builtins.exec'))"
    site.wait(lambda: shell(site, running) == "1")
    os.killpg(leader, signal.SIGTERM)
    site.wait(made.exists)
    site.wait(lambda: not is_alive(leader))
    site.wait(lambda: site.pid("jobs") not in {None, leader})
    site.wait_until_ready()


def test_an_async_task_fails_once_and_is_not_repeated(site):
    shell(
        site,
        "from django_q.tasks import async_task; async_task('asyncio.sleep', 0, cluster='jobs', task_name='async')",
    )
    failures = "from django_q.models import Failure; print(Failure.objects.filter(name='async').count())"
    site.wait(lambda: shell(site, failures) == "1")
    left = "from django_q.models import OrmQ; print('async' in {row.name() for row in OrmQ.objects.all()})"
    site.wait(lambda: shell(site, left) == "False")
