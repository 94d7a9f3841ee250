"""What a sandbox's programs believe: the machine's authorities, and its session's own."""

from __future__ import annotations

import ssl
from pathlib import Path

from sandbox import overlay
from sandbox.egress.certificates import JAVA_PASSWORD, java_truststore

FOLDER = "/run/agentsite/trust"
BUNDLE = f"{FOLDER}/bundle.pem"
JAVA = f"{FOLDER}/java.p12"

NAMES = (
    *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO", "CURL_CA_BUNDLE"),
    *("PIP_CERT", "AWS_CA_BUNDLE", "CARGO_HTTP_CAINFO", "NODE_EXTRA_CA_CERTS"),
    "DENO_CERT",
)
JAVA_OPTIONS = " ".join(
    (
        f"-Djavax.net.ssl.trustStore={JAVA}",
        f"-Djavax.net.ssl.trustStorePassword={JAVA_PASSWORD.decode()}",
        "-Djavax.net.ssl.trustStoreType=PKCS12",
    )
)
VARIABLES = {
    **dict.fromkeys(NAMES, BUNDLE),
    "JAVA_TOOL_OPTIONS": JAVA_OPTIONS,
}


def write(folder: Path, authority: str, extra_ca: Path | None) -> None:
    """Write the files that the variables name, unless they say this already.

    A sandbox that runs sees the change: the folder is mounted, not the files.
    """
    extra = (extra_ca.read_text() if extra_ca else "") + authority
    known = folder / "extra.pem"
    if known.exists() and known.read_text() == extra:
        return
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    bundle = machine_bundle() + extra
    place(folder / "bundle.pem", bundle.encode())
    place(folder / "java.p12", java_truststore(bundle.encode()))
    place(known, extra.encode())  # the last: it says that the others are there


def machine_bundle() -> str:
    """Return the authorities that this machine trusts.

    A Python that was not made for this machine looks for them elsewhere.
    """
    found = Path(ssl.get_default_verify_paths().cafile or overlay.BUNDLE)
    return found.read_text() if found.exists() else ""


def place(path: Path, data: bytes) -> None:
    part = path.with_suffix(".part")
    part.write_bytes(data)
    part.chmod(0o644)
    part.replace(path)
