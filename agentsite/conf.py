"""The settings an operator may set, as one typed class that fails loudly."""

from __future__ import annotations

import hashlib
import os
import secrets
import ssl
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from agentsite import engine
from sandbox.egress.hosts import checked_host
from sandbox.egress.policy import split_host

ROOT = Path(__file__).resolve().parent.parent


def _named(name: str) -> AliasChoices:
    return AliasChoices(name, name.lower())


class Conf(BaseSettings):
    """What the environment (or `.env`) says. Every field is in the README's table."""

    model_config = SettingsConfigDict(
        env_file=ROOT / ".env", extra="ignore", case_sensitive=True
    )

    home: Path = Field(ROOT / "var", validation_alias=_named("AGENTSITE_HOME"))
    bind: str = Field("127.0.0.1", validation_alias=_named("AGENTSITE_BIND"))
    port: int = Field(8400, ge=1, le=65535, validation_alias=_named("AGENTSITE_PORT"))
    url: str = Field("", validation_alias=_named("AGENTSITE_URL"))
    model_port: int = Field(
        0, ge=0, le=65535, validation_alias=_named("AGENTSITE_MODEL_PORT")
    )
    tls_certificate: Path | None = Field(
        None, validation_alias=_named("AGENTSITE_TLS_CERTIFICATE")
    )
    tls_key: Path | None = Field(None, validation_alias=_named("AGENTSITE_TLS_KEY"))
    trusted_proxy: bool = Field(
        False, validation_alias=_named("AGENTSITE_TRUSTED_PROXY")
    )
    workers: int = Field(2, ge=1, le=64, validation_alias=_named("AGENTSITE_WORKERS"))
    slots: int = Field(250, ge=1, validation_alias=_named("AGENTSITE_SLOTS"))
    install: bool = Field(True, validation_alias=_named("AGENTSITE_INSTALL"))
    user: str = Field("agentsite", validation_alias=_named("AGENTSITE_USER"))
    sandbox: Literal["docker", "bubblewrap"] = Field(
        "docker", validation_alias=_named("AGENTSITE_SANDBOX")
    )
    sandbox_disk_mb: int = Field(
        5120, ge=64, validation_alias=_named("AGENTSITE_SANDBOX_DISK_MB")
    )
    sandbox_pool: int = Field(
        10, ge=0, le=100, validation_alias=_named("AGENTSITE_SANDBOX_POOL")
    )
    sandbox_idle_minutes: int = Field(
        15, ge=1, validation_alias=_named("AGENTSITE_SANDBOX_IDLE_MINUTES")
    )
    sandbox_days: int = Field(
        30, ge=1, validation_alias=_named("AGENTSITE_SANDBOX_DAYS")
    )
    sandbox_runtime: str = Field(
        "runc", validation_alias=_named("AGENTSITE_SANDBOX_RUNTIME")
    )
    file_mb: int = Field(500, ge=1, validation_alias=_named("AGENTSITE_FILE_MB"))
    files_gb: int = Field(100, ge=1, validation_alias=_named("AGENTSITE_FILES_GB"))
    build_network: Literal["egress", "bridge", "host"] = Field(
        "egress", validation_alias=_named("AGENTSITE_BUILD_NETWORK")
    )
    # A job's own end is at 3,600 s.
    build_seconds: int = Field(
        1800, ge=10, le=3300, validation_alias=_named("AGENTSITE_BUILD_SECONDS")
    )
    build_mb: int = Field(8192, ge=64, validation_alias=_named("AGENTSITE_BUILD_MB"))
    private_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), validation_alias=_named("AGENTSITE_PRIVATE_HOSTS")
    )
    extra_ca: Path | None = Field(None, validation_alias=_named("AGENTSITE_EXTRA_CA"))
    debug: bool = Field(False, validation_alias=_named("AGENTSITE_DEBUG"))
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", validation_alias=_named("AGENTSITE_LOG_LEVEL")
    )
    database_url: SecretStr = Field(
        SecretStr(""), validation_alias=_named("DATABASE_URL")
    )
    redis_url: SecretStr = Field(SecretStr(""), validation_alias=_named("REDIS_URL"))
    anthropic_api_key: SecretStr = Field(
        SecretStr(""), validation_alias=_named("ANTHROPIC_API_KEY")
    )
    anthropic_base_url: str = Field(
        "https://api.anthropic.com", validation_alias=_named("ANTHROPIC_BASE_URL")
    )

    @field_validator("private_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("private_hosts", mode="after")
    @classmethod
    def _hosts_and_ports(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for named in value:
            try:
                checked_host(split_host(named)[0])
            except ValueError as error:
                raise ValueError(f"AGENTSITE_PRIVATE_HOSTS: {error}") from None
        return value

    @field_validator("extra_ca", mode="after")
    @classmethod
    def _certificates(cls, value: Path | None) -> Path | None:
        if value is None:
            return None
        try:
            ssl.create_default_context(cafile=value)
        except (OSError, ssl.SSLError) as error:
            raise ValueError(
                f"AGENTSITE_EXTRA_CA: {value} has no certificates in PEM: {error}"
            ) from None
        return value.resolve()

    @field_validator("home", mode="after")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return (ROOT / value.expanduser()).resolve()

    @field_validator("url", mode="after")
    @classmethod
    def _whole_url(cls, value: str) -> str:
        if value and urlsplit(value).scheme not in {"http", "https"}:
            raise ValueError("AGENTSITE_URL must begin with http:// or https://")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _both_tls_files(self) -> Conf:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError(
                "AGENTSITE_TLS_CERTIFICATE and AGENTSITE_TLS_KEY go together"
            )
        return self

    @property
    def public_url(self) -> str:
        """The address people use: for links, allowed hosts and origins."""
        scheme = "https" if self.tls_certificate else "http"
        host = "127.0.0.1" if self.bind in {"0.0.0.0", "::"} else self.bind  # noqa: S104
        host = f"[{host}]" if ":" in host else host
        return self.url or f"{scheme}://{host}:{self.port}"

    @property
    def has_key(self) -> bool:
        """Whether a model key is set; without one the scripted model is offered."""
        return bool(self.anthropic_api_key.get_secret_value())

    @property
    def has_own_endpoint(self) -> bool:
        """Whether an endpoint is named: one of somebody's own may want no key."""
        default: str = Conf.model_fields["anthropic_base_url"].default
        return self.anthropic_base_url != default

    @property
    def engine_url(self) -> str:
        return engine.address()

    @property
    def boxes_socket(self) -> Path:
        """Where the engine of bubblewrap sandboxes listens."""
        return self.runtime_dir / "boxes.sock"

    @property
    def boxes_folder(self) -> Path:
        """Its images and files, which belong to it and not to the site's own user."""
        return self.home / "bubblewrap"

    @property
    def site_name(self) -> str:
        """What containers, volumes and processes of this site are labelled with."""
        return self.runtime_dir.name.removeprefix("agentsite-")

    @property
    def scripted_model_url(self) -> str:
        """Where the scripted model answers; one above the site's port unless named."""
        return f"http://127.0.0.1:{self.model_port or self.port + 1}"

    @property
    def runtime_dir(self) -> Path:
        """Where sockets and locks live: short, since a unix path holds 107 bytes."""
        digest = hashlib.sha256(str(self.home).encode()).hexdigest()[:8]
        override = os.environ.get("AGENTSITE_RUNTIME_DIR")
        if override:
            return Path(override)
        base = Path("/run") if os.geteuid() == 0 else Path(f"/tmp/run-{os.geteuid()}")  # noqa: S108
        return base / f"agentsite-{digest}"

    @property
    def egress_records(self) -> Path:
        """Where the egress proxy leaves records until a job takes them in."""
        return self.home / "egress"

    @property
    def bus_url(self) -> str:
        shared = self.redis_url.get_secret_value()
        return shared or f"unix://{self.runtime_dir}/bus.sock"

    @cached_property
    def secret_key(self) -> str:
        return self.secret("django.key")

    def secret(self, name: str) -> str:
        """Read a secret of this installation; the first reader makes it."""
        folder = self.home / "secrets"
        path = folder / name
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write_once(path, secrets.token_urlsafe(48))
        return path.read_text().strip()


def _write_once(path: Path, text: str) -> None:
    """Write a file of mode 0600 whole, unless another process was quicker."""
    draft = path.with_suffix(f".{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
