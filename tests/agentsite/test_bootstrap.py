"""The way from nothing but python3 to the site's own environment."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from agentsite import bootstrap


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with locks and an environment that works."""
    (tmp_path / ".venv").mkdir()
    for lock in bootstrap.LOCKS.values():
        (tmp_path / lock).write_text(f"# {lock}\n")
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    monkeypatch.setattr(bootstrap, "STAMP", tmp_path / ".venv" / "stamp.json")
    monkeypatch.setattr(bootstrap, "works", lambda python: True)
    return tmp_path


@pytest.fixture
def installed(checkout, monkeypatch):
    """What was installed, in order."""
    kinds = []
    monkeypatch.setattr(bootstrap, "install", kinds.append)
    return kinds


def test_it_installs_once_for_each_lock(installed):
    bootstrap.prepare("runtime")
    bootstrap.prepare("runtime")
    assert installed == ["runtime"]


def test_a_changed_lock_is_installed_again(installed, checkout):
    bootstrap.prepare("runtime")
    (checkout / "requirements.lock").write_text("# changed\n")
    bootstrap.prepare("runtime")
    assert installed == ["runtime", "runtime"]


def test_what_development_needs_holds_what_the_site_needs(installed):
    bootstrap.prepare("dev")
    bootstrap.prepare("runtime")
    assert installed == ["dev"]


def test_a_broken_stamp_means_to_install(installed):
    bootstrap.STAMP.write_text("{")
    bootstrap.prepare("runtime")
    assert json.loads(bootstrap.STAMP.read_text())["runtime"]


def test_another_system_gets_a_sentence(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(SystemExit, match="runs on Linux"):
        bootstrap.refuse_what_cannot_work()


def test_an_old_python_gets_a_sentence(monkeypatch):
    monkeypatch.setattr(bootstrap, "OLDEST_PYTHON", (99,))
    with pytest.raises(SystemExit, match="needs Python"):
        bootstrap.refuse_what_cannot_work()


@pytest.mark.parametrize("written", ["AGENTSITE_INSTALL=0", 'AGENTSITE_INSTALL="no"'])
def test_the_env_file_forbids_installing(checkout, monkeypatch, written):
    monkeypatch.delenv("AGENTSITE_INSTALL", raising=False)
    (checkout / ".env").write_text(f"{written}\n")
    assert not bootstrap.may_install()


def test_without_permission_a_missing_venv_module_is_said(monkeypatch):
    monkeypatch.setattr(bootstrap, "may_install", lambda: False)
    with pytest.raises(SystemExit, match="apt-get install python3-venv"):
        bootstrap.install_venv_module()


def test_a_failed_command_is_said_with_its_words(capfd):
    with pytest.raises(SystemExit, match="did not work"):
        bootstrap.run(["sh", "-c", "echo because; exit 3"], quiet=True)
    assert "because" in capfd.readouterr().err


def test_it_runs_on_nothing_but_the_standard_library():
    code = "import sys, agentsite.bootstrap as b; print([m for m in sys.modules if 'site-packages' in str(getattr(sys.modules[m], '__file__', ''))])"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        cwd=bootstrap.ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
