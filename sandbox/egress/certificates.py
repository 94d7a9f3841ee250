"""The certificates of each session's own authority. The only file that makes any.

A sandbox trusts its authority, and nobody else does: the proxy shows a certificate of it
where it must look into what is encrypted. Its key never leaves the proxy.
"""

from __future__ import annotations

import os
import re
import ssl
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SKEW = timedelta(days=1)
AUTHORITY_LIFE = timedelta(days=3650)
LEAF_LIFE = timedelta(days=90)
LEAF_RENEWED = timedelta(days=30)
MOST_LEAVES = 256
"""Kept of one session: a sandbox can name hosts without end, and each takes 20 kB."""

ALPN = ["http/1.1"]
JAVA_PASSWORD = b"changeit"  # nothing secret: Java wants one
PEM_BLOCK = re.compile(
    rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL
)

Key = ec.EllipticCurvePrivateKey


class Authority:
    """The authority of one session."""

    def __init__(self, key: Key, certificate: x509.Certificate) -> None:
        self._key = key
        self._certificate = certificate
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())
        self._contexts: dict[str, tuple[datetime, ssl.SSLContext]] = {}

    @classmethod
    def make(cls, session_id: str) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        name = named(f"Agentsite session {session_id}"[:64])
        usage = key_usage(key_cert_sign=True, crl_sign=True)
        made = (
            begun(name, name, key.public_key(), AUTHORITY_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(key, made)

    @classmethod
    def from_pem(cls, pem: str) -> Authority:
        key = load_pem_private_key(pem.encode(), None)
        assert isinstance(key, Key)
        return cls(key, x509.load_pem_x509_certificate(pem.encode()))

    def to_pem(self) -> str:
        """Return key and certificate: only for the proxy's own keeping."""
        return private_pem(self._key).decode() + self.certificate_pem

    @property
    def certificate_pem(self) -> str:
        return self._certificate.public_bytes(Encoding.PEM).decode()

    def server_context(self, host: str) -> ssl.SSLContext:
        """Return what a server named `host` would speak TLS with."""
        made, context = self._contexts.get(host, (None, None))
        if made is None or context is None or made + LEAF_RENEWED < datetime.now(UTC):
            context = self._server_context(host)
            if len(self._contexts) >= MOST_LEAVES:
                del self._contexts[next(iter(self._contexts))]  # the oldest
            self._contexts[host] = (datetime.now(UTC), context)
        return context

    def _server_context(self, host: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(ALPN)
        pem = private_pem(self._leaf_key) + self._leaf(host)
        with in_memory(pem) as path:
            context.load_cert_chain(path)
        return context

    def _leaf(self, host: str) -> bytes:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(
            self._key.public_key()
        )
        server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        made = (
            begun(
                named(host[:64]),
                self._certificate.subject,
                self._leaf_key.public_key(),
                LEAF_LIFE,
            )
            .add_extension(
                x509.BasicConstraints(ca=False, path_length=None), critical=True
            )
            .add_extension(key_usage(digital_signature=True), critical=True)
            .add_extension(server, critical=False)
            .add_extension(identifier, critical=False)
            .add_extension(alternative_name(host), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return made.public_bytes(Encoding.PEM)


def begun(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    life: timedelta,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        public_key=key,
        serial_number=x509.random_serial_number(),
        not_valid_before=now - SKEW,
        not_valid_after=now + life,
    ).add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def key_usage(**used: bool) -> x509.KeyUsage:
    names = (
        *("digital_signature", "content_commitment", "key_encipherment"),
        *("data_encipherment", "key_agreement", "key_cert_sign", "crl_sign"),
        *("encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**{name: used.get(name, False) for name in names})


def alternative_name(host: str) -> x509.SubjectAlternativeName:
    try:
        return x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))])
    except ValueError:
        return x509.SubjectAlternativeName([x509.DNSName(host)])


def private_pem(key: Key) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@contextmanager
def in_memory(data: bytes) -> Iterator[str]:
    """Give the path of a file that is on no disk: `ssl` reads keys from paths only."""
    handle = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        os.write(handle, data)
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)


def java_truststore(bundle: bytes) -> bytes:
    """Return certificates as Java wants them: it reads no PEM."""
    trusted = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old authorities have odd serial numbers
        for number, block in enumerate(PEM_BLOCK.findall(bundle)):
            try:
                one = x509.load_pem_x509_certificate(block)
            except ValueError:
                continue
            trusted.append(pkcs12.PKCS12Certificate(one, b"%d" % number))
    secrecy = BestAvailableEncryption(JAVA_PASSWORD)
    return pkcs12.serialize_java_truststore(trusted, secrecy)


def new_seal_key() -> str:
    return Fernet.generate_key().decode()


class Seal:
    """Encrypts what must survive the proxy and not the site."""

    def __init__(self, key: str) -> None:
        self._fernet = Fernet(key)

    def close(self, text: str) -> str:
        return self._fernet.encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str | None:
        """Return the text; None where another key closed it."""
        try:
            return self._fernet.decrypt(sealed).decode()
        except InvalidToken:
            return None
