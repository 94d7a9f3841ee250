"""A Git server over https on loopback: git's own http-backend behind a certificate."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

ADDRESS = "127.0.0.2"  # not what a sandbox itself calls local
AUTHOR = ["-c", "user.name=Alice", "-c", "user.email=alice@example.org"]


@dataclass(frozen=True, kw_only=True)
class GitHost:
    """Repositories below `folder`; those named `private…` want the token."""

    folder: Path
    port: int
    ca: Path
    token: str

    @property
    def name(self) -> str:
        return f"{ADDRESS}:{self.port}"

    def url(self, name: str) -> str:
        return f"https://{self.name}/{name}.git"

    def make(self, name: str, **files: str) -> str:
        """Make a repository of these files, with a branch `other`; return its commit."""
        work = self.folder / f"{name}.work"
        git(self.folder, "init", "-q", "-b", "main", str(work))
        for path, text in files.items():
            target = work / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        git(work, "add", ".")
        git(work, "commit", "-qm", "First")
        git(work, "branch", "other")
        git(self.folder, "clone", "-q", "--bare", str(work), f"{name}.git")
        return git(work, "rev-parse", "HEAD")


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", *AUTHOR, *words], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@contextmanager
def git_host(folder: Path) -> Iterator[GitHost]:
    token = base64.b32encode(os.urandom(20)).decode()
    served = folder / "served"
    served.mkdir()
    ca, key = certificate(folder)
    word = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    asked = {"served": served, "allowed": f"Basic {word}"}
    server = ThreadingHTTPServer((ADDRESS, 0), type("Asked", (Handler,), asked))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield GitHost(folder=served, port=server.server_port, ca=ca, token=token)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    """Asks git's http-backend; what begins with `private` wants the token."""

    protocol_version = "HTTP/1.1"
    served: Path
    allowed: str

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        self.serve(b"")

    def do_POST(self) -> None:
        self.serve(self.sent())

    def sent(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def serve(self, body: bytes) -> None:
        private = self.path.startswith("/private")
        if private and self.headers.get("Authorization") != self.allowed:
            return self.answer(401, {"WWW-Authenticate": 'Basic realm="git"'}, b"")
        done = subprocess.run(
            ["git", "http-backend"],
            input=body,
            env=self.environment(body),
            capture_output=True,
            check=False,
        )
        head, _, rest = done.stdout.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines if line)
        status = int(fields.pop("Status", "200").split()[0])
        return self.answer(status, fields, rest)

    def environment(self, body: bytes) -> dict[str, str]:
        path, _, query = self.path.partition("?")
        return {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.served),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": "alice",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type") or "",
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding") or "",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol") or "",
        }

    def answer(self, status: int, fields: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [x509.NameAttribute(x509.NameOID.COMMON_NAME, "git host of a test")]
    )
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address(ADDRESS))
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    (folder / "key.pem").write_bytes(private)
    (folder / "ca.pem").write_bytes(made.public_bytes(pem))
    (folder / "ca.pem").chmod(0o644)
    return folder / "ca.pem", folder / "key.pem"
