"""What can go wrong around a sandbox. Each error is a sentence with the id in it."""

from __future__ import annotations


class SandboxError(Exception):
    """A sandbox could not do what was asked."""


class EngineUnavailable(SandboxError):
    """Nothing here can run sandboxes now."""


class ImageMissing(SandboxError):
    """The image a sandbox is made of is not on this engine."""


class ImageBuildFailed(SandboxError):
    """An image could not be built."""


class LayerFailed(ImageBuildFailed):
    """A layer of an environment's image could not be made; it may know the package."""

    def __init__(self, sentence: str, *, layer: str, package: str | None) -> None:
        super().__init__(sentence)
        self.layer = layer
        self.package = package


class ProvisionFailed(SandboxError):
    """The sandbox could not be made or did not come up."""


class OutcomeUnknown(SandboxError):
    """A call was sent and its answer never came: it may or may not have happened."""


class SnapshotFailed(SandboxError):
    """A session's files could not be packed or unpacked."""


class FileUnavailable(SandboxError):
    """A file in the sandbox could not be read or written."""


class EgressUnavailable(SandboxError):
    """The egress proxy does not answer."""


class SandboxGone(SandboxError):
    """The sandbox does not answer and nothing was sent: provision it and ask again."""
