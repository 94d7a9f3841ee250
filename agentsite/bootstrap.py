"""Make the virtual environment, then go on in it. Standard library only."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "agentsite-lock.json"
LOCKS = {"runtime": "requirements.lock", "dev": "requirements-dev.lock"}
PACKAGES = ("agentsite", "agents", "sessions", "sandbox")
OLDEST_PYTHON = (3, 11)


def main() -> None:
    os.umask(0o022)  # The site's own user reads the environment that root makes.
    wish = sys.argv[1] if len(sys.argv) > 1 else "up"
    refuse_what_cannot_work()
    prepare("dev" if wish == "dev" else "runtime")
    if wish == "up":
        compile_own_packages()
        command = [str(PYTHON), str(ROOT / "manage.py"), "up", *sys.argv[2:]]
        os.execv(command[0], command)  # noqa: S606


def refuse_what_cannot_work() -> None:
    if not sys.platform.startswith("linux"):
        stop(
            "Agentsite runs on Linux. On this system, start it in a Linux virtual "
            "machine (Debian 12, say) and open its address from here."
        )
    if sys.version_info < OLDEST_PYTHON:
        stop(
            f"Agentsite needs Python 3.11 or newer, and this is {sys.version.split()[0]}: "
            "install a newer python3 and run `make up` again."
        )


def prepare(kind: str) -> None:
    """Install what the lock names, unless that was done before."""
    if not works(PYTHON):
        make_environment()
    if installed().get(kind) == digest(kind):
        return
    install(kind)
    done = {kind: digest(kind)}
    if kind == "dev":  # The development lock holds everything the runtime needs.
        done["runtime"] = digest("runtime")
    STAMP.write_text(json.dumps(done))


def installed() -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return found


def digest(kind: str) -> str:
    return hashlib.sha256((ROOT / LOCKS[kind]).read_bytes()).hexdigest()


def make_environment() -> None:
    say("Making the virtual environment .venv")
    shutil.rmtree(VENV, ignore_errors=True)
    if uv():
        run([uv(), "venv", "--quiet", "--python", sys.executable, str(VENV)])
        return
    if not has_venv_module():
        install_venv_module()
    run([sys.executable, "-m", "venv", str(VENV)])


def has_venv_module() -> bool:
    probe = [sys.executable, "-c", "import ensurepip, venv"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0  # noqa: S603


def install_venv_module() -> None:
    """Debian keeps `venv` in a package of its own."""
    if not may_install():
        stop(
            "Python's venv module is missing: install it (on Debian and Ubuntu: "
            "apt-get install python3-venv) and run `make up` again."
        )
    say("Installing python3-venv")
    apt = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "-qq"], apt)
    few = "--no-install-recommends"
    run(["apt-get", "install", "-y", "-qq", few, "python3-venv"], apt, quiet=True)


def may_install() -> bool:
    wished = setting("AGENTSITE_INSTALL", "1").lower() not in {
        "0",
        "false",
        "no",
        "off",
    }
    return wished and os.geteuid() == 0 and shutil.which("apt-get") is not None


def setting(name: str, default: str) -> str:
    """Read one setting as the site will: from the environment, then from `.env`."""
    if name in os.environ:
        return os.environ[name]
    try:
        lines = (ROOT / ".env").read_text().splitlines()
    except OSError:
        return default
    values = [line.partition("=")[2] for line in lines if line.startswith(f"{name}=")]
    return values[-1].strip().strip("\"'") if values else default


def install(kind: str) -> None:
    lock = str(ROOT / LOCKS[kind])
    count = sum(line[:1].isalnum() for line in Path(lock).read_text().splitlines())
    say(f"Installing {count} locked packages")
    fetch = ["install", "--require-hashes", "-r", lock]
    if uv():
        run(
            [
                uv(),
                "pip",
                *fetch,
                "--quiet",
                "--compile-bytecode",
                "--python",
                str(PYTHON),
            ]
        )
        return
    plain = ["--no-deps", "--no-input", "--disable-pip-version-check"]
    show_pip([str(PYTHON), "-m", "pip", *fetch, *plain], count)


def show_pip(command: list[str], count: int) -> None:
    """Run pip; say how far it is, and all it said when it fails."""
    seen = 0
    said: list[str] = []
    with subprocess.Popen(  # noqa: S603
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as pip:
        for line in pip.stdout or ():
            said.append(line)
            seen += line.startswith("Collecting ")
            if line.startswith("Collecting ") and seen % 10 == 0:
                say(f"  {seen} of {count} fetched")
            if line.startswith("Installing "):
                say("  unpacking and compiling")
    if pip.returncode:
        sys.stderr.writelines(said[-40:])
        stop("The packages could not be installed: see pip's words above.")


def compile_own_packages() -> None:
    """The site's own user cannot write into a checkout that root owns."""
    folders = [str(ROOT / name) for name in PACKAGES]
    subprocess.run(  # noqa: S603
        [str(PYTHON), "-m", "compileall", "-q", *folders], check=False
    )


def works(python: Path) -> bool:
    try:
        probe = subprocess.run([str(python), "-c", ""], check=False)  # noqa: S603
    except OSError:
        return False
    return probe.returncode == 0


def uv() -> str:
    """Return uv's path where it is installed and answers."""
    found = shutil.which("uv")
    return found if found and works_with_version(found) else ""


def works_with_version(program: str) -> bool:
    probe = [program, "--version"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0  # noqa: S603


def run(
    command: list[str], environment: dict[str, str] | None = None, quiet: bool = False
) -> None:
    """Run a command; where it is quiet, show what it said only when it fails."""
    said = subprocess.PIPE if quiet else None
    try:
        subprocess.run(  # noqa: S603
            command, check=True, env=environment, stdin=subprocess.DEVNULL,
            stdout=said, stderr=subprocess.STDOUT if quiet else None,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError) as error:
        sys.stderr.write((getattr(error, "stdout", None) or b"").decode()[-2000:])
        stop(f"This did not work: {' '.join(command)} ({error}).")


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


def stop(sentence: str) -> NoReturn:
    sys.exit(sentence)


if __name__ == "__main__":
    main()
