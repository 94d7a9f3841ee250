"""The container engine: asked, found missing, and what is said then."""

from __future__ import annotations

import socket
import threading

import pytest

from agentsite import engine
from agentsite.engine import NoEngine


@pytest.fixture
def away(monkeypatch, tmp_path):
    """A machine on which no engine answers."""
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(engine, "DEFAULT", f"unix://{tmp_path}/none.sock")
    monkeypatch.setattr(engine.shutil, "which", lambda name: None)


def ensure(**options):
    return engine.ensure(may_install=False, say=lambda line: None, **options)


def serve_once(path, answer):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve():
        line, _ = listener.accept()
        with line:
            line.recv(1000)
            line.sendall(answer)
        listener.close()

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(b"HTTP/1.0 200 OK\r\n\r\nOK", True), (b"HTTP/1.0 500 No\r\n\r\n", False)],
)
def test_an_engine_answers_when_its_ping_does(tmp_path, monkeypatch, answer, expected):
    path = tmp_path / "e.sock"
    thread = serve_once(path, answer)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    assert engine.answers() is expected
    thread.join()


def test_an_engine_without_the_runtime_is_told_apart(tmp_path, monkeypatch):
    path = tmp_path / "e.sock"
    known = b'{"Runtimes": {"runc": {}, "io.containerd.runc.v2": {}}}'
    thread = serve_once(path, b"HTTP/1.0 200 OK\r\n\r\n" + known)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    with pytest.raises(NoEngine, match=r"AGENTSITE_SANDBOX_RUNTIME is runsc.* runc:"):
        engine.need_runtime("runsc")
    thread.join()


def test_an_engine_that_went_away_has_no_runtime_at_all(away):
    with pytest.raises(NoEngine, match="see why it answers no more"):
        engine.need_runtime("runsc")


def test_an_engine_that_answers_is_left_alone(monkeypatch):
    monkeypatch.setattr(engine, "answers", lambda: True)
    assert ensure() is None


def test_without_permission_nothing_is_installed(away):
    with pytest.raises(NoEngine, match="AGENTSITE_INSTALL=0 forbids"):
        ensure()


def test_who_is_not_root_is_told_what_to_do(away, monkeypatch):
    monkeypatch.setattr(engine.os, "geteuid", lambda: 1000)
    with pytest.raises(NoEngine, match="as root once"):
        engine.ensure(may_install=True, say=lambda line: None)


def test_an_engine_elsewhere_is_not_started_from_here(away, monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/other.sock")
    with pytest.raises(NoEngine, match="that DOCKER_HOST names"):
        ensure()


def test_an_engine_on_another_machine_is_refused_in_a_sentence(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
    with pytest.raises(NoEngine, match="on another machine"):
        ensure()
