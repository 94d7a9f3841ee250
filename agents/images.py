"""The images that environments need: asked for here, built by whoever claims them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, Value
from django.db.models.functions import Concat, Length, Substr
from django.dispatch import Signal
from django.utils import timezone

from agents.actors import Actor
from agents.errors import Conflict, InvalidRequest
from agents.lookup import find_environment
from agents.models import Act, BuildStatus, Environment, EnvironmentImage
from sandbox import image_status
from sandbox.contents import Contents

ATTEMPTS = 3
"""How often a build may be interrupted before it counts as failed."""
SILENCE = timedelta(seconds=60)
"""After how long without a sign a builder on another machine counts as dead."""
KEPT_FOR = timedelta(days=1)
"""How long what nobody uses any more is kept all the same."""

wanted = Signal()
"""Sent when a build was asked for, once that is committed."""


# Asking.


def content_hash(config: Mapping[str, Any]) -> str:
    """Name what a config puts into an image; empty where the base image is enough."""
    contents = Contents.of(config)
    return "" if contents.is_plain else contents.hash()


def attach(environment: Environment) -> None:
    """Ask for the image of an environment that is being saved."""
    environment.content_hash = content_hash(environment.config)
    if environment.content_hash:
        row = want(environment.config)
        if row.image:
            environment.last_image = row


def want(config: Mapping[str, Any]) -> EnvironmentImage:
    """Return the image of a config; have it built where it never was, or failed."""
    contents = Contents.of(config)
    row, is_new = EnvironmentImage.objects.get_or_create(
        content_hash=contents.hash(), defaults={"contents": contents.as_json()}
    )
    if is_new:
        _call_for_a_builder()
    elif row.status == BuildStatus.FAILED:
        queue_again(row)
    return row


def queue_again(
    row: EnvironmentImage, *, fresh: bool = False, reason: str = ""
) -> bool:
    """Have it built once more; False while that is under way already."""
    resting = EnvironmentImage.objects.filter(
        pk=row.pk, status__in=[BuildStatus.READY, BuildStatus.FAILED]
    )
    changed = resting.update(
        status=BuildStatus.QUEUED,
        fresh=fresh,
        reason=reason,
        attempts=0,
        queued_at=timezone.now(),
    )
    if changed:
        row.refresh_from_db()
        _call_for_a_builder()
    return bool(changed)


def rebuild(actor: Actor, environment_id: str) -> EnvironmentImage:
    """Have every layer made anew, with the versions that registries offer now.

    Raises:
        InvalidRequest: the environment adds nothing to the base image.
        Conflict: its image is being built.
    """
    actor.require(Act.BUILD)
    row = image_of(find_environment(actor, environment_id))
    if row is None:
        raise InvalidRequest(
            f"environment {environment_id} adds nothing to the base image, so there is"
            " nothing to build"
        )
    if not queue_again(row, fresh=True):
        raise Conflict(f"the image of environment {environment_id} is being built")
    return row


def stop(actor: Actor, environment_id: str) -> EnvironmentImage:
    """Stop the build that waits or runs.

    Raises:
        Conflict: none does.
    """
    actor.require(Act.BUILD)
    row = image_of(find_environment(actor, environment_id))
    if row is None or not _stopped(row, actor):
        raise Conflict(f"no build of environment {environment_id} waits or runs")
    row.refresh_from_db()
    return row


def _stopped(row: EnvironmentImage, actor: Actor) -> bool:
    busy = EnvironmentImage.objects.filter(
        pk=row.pk, status__in=[BuildStatus.QUEUED, BuildStatus.BUILDING]
    )
    return bool(
        busy.update(
            status=BuildStatus.FAILED,
            reason=f"The build was stopped by {actor.name}.",
            layer="",
            package="",
            builder="",
            finished_at=timezone.now(),
        )
    )


def image_of(environment: Environment) -> EnvironmentImage | None:
    """The image that an environment's config asks for; None for the base image."""
    if not environment.content_hash:
        return None
    return EnvironmentImage.objects.filter(
        content_hash=environment.content_hash
    ).first()


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How far an environment's image is; without a row it is the base image."""

    row: EnvironmentImage | None
    status: str
    reason: str


def standing(environment: Environment) -> Standing:
    row = image_of(environment)
    if row is not None:
        return Standing(row=row, status=row.status, reason=row.reason)
    base = image_status.read(settings.AGENTSITE.home)
    state = "queued" if base["state"] == "unknown" else base["state"]
    return Standing(row=None, status=state, reason=base["detail"])


@dataclass(frozen=True, kw_only=True)
class LogPart:
    """A build log from a character on. `begins` when it is another log by now."""

    text: str
    next: int
    begins: bool
    done: bool


def read_log(environment: Environment, after: int = 0) -> LogPart:
    found = (
        EnvironmentImage.objects.filter(content_hash=environment.content_hash or None)
        .annotate(length=Length("log"), rest=Substr("log", after + 1))
        .values_list("length", "rest", "status")
        .first()
    )
    if found is None:
        return LogPart(text="", next=0, begins=after > 0, done=True)
    length, rest, status = found
    if after > length:  # a new build began
        return replace(read_log(environment), begins=True)
    done = status in (BuildStatus.READY, BuildStatus.FAILED)
    return LogPart(text=rest, next=length, begins=after == 0, done=done)


def lost(tag: str) -> None:
    """An engine does not have this image any more: build it again."""
    for row in EnvironmentImage.objects.filter(image=tag):
        EnvironmentImage.objects.filter(pk=row.pk).update(image="")
        queue_again(row)


def _call_for_a_builder() -> None:
    transaction.on_commit(lambda: wanted.send(EnvironmentImage))


# Building. Each step says who builds: whoever was replaced meanwhile changes nothing.


def claim(builder: str) -> EnvironmentImage | None:
    """Take the build that has waited longest."""
    queued = EnvironmentImage.objects.filter(status=BuildStatus.QUEUED)
    for row in queued.order_by("queued_at", "pk"):
        now = timezone.now()
        if queued.filter(pk=row.pk).update(
            status=BuildStatus.BUILDING,
            builder=builder,
            beat_at=now,
            started_at=now,
            finished_at=None,
            attempts=F("attempts") + 1,
            log="",
            reason="",
            layer="",
            package="",
        ):
            row.refresh_from_db()
            return row
    return None


def any_queued() -> bool:
    return EnvironmentImage.objects.filter(status=BuildStatus.QUEUED).exists()


def beat(row: EnvironmentImage, text: str) -> bool:
    """Give a sign of life and keep the log; False when the build is to stop."""
    fields: dict[str, Any] = {"beat_at": timezone.now()}
    if text:
        fields["log"] = Concat(F("log"), Value(text))
    return bool(_own(row).update(**fields))


def succeed(row: EnvironmentImage, image: str, size_bytes: int) -> None:
    now = timezone.now()
    done = _own(row).update(
        status=BuildStatus.READY,
        image=image,
        size_bytes=size_bytes,
        built_at=now,
        finished_at=now,
        fresh=False,
        builder="",
    )
    if done:
        environments = Environment.objects.filter(content_hash=row.content_hash)
        environments.update(last_image=row)


def fail(
    row: EnvironmentImage, reason: str, *, layer: str = "", package: str = ""
) -> None:
    _own(row).update(
        status=BuildStatus.FAILED,
        reason=reason,
        layer=layer,
        package=package,
        finished_at=timezone.now(),
        builder="",
    )


def put_back(row: EnvironmentImage, reason: str) -> None:
    """Have it tried again later: what was missing is not of its making."""
    _own(row).update(
        status=BuildStatus.QUEUED, reason=reason, builder="", attempts=F("attempts") - 1
    )


def put_back_interrupted(here: str) -> None:
    """Queue the builds whose builder died: all of this machine's, silent ones elsewhere.

    Only for who knows that nobody builds on this machine.
    """
    dead = EnvironmentImage.objects.filter(
        Q(builder__startswith=here) | Q(beat_at__lt=timezone.now() - SILENCE),
        status=BuildStatus.BUILDING,
    )
    tried = dead.filter(attempts__gte=ATTEMPTS)
    tried.update(
        status=BuildStatus.FAILED,
        reason=f"The build was interrupted {ATTEMPTS} times: the worker was killed.",
        builder="",
        finished_at=timezone.now(),
    )
    dead.update(
        status=BuildStatus.QUEUED,
        reason="The worker that built it was killed: it is built again.",
        builder="",
    )


def _own(row: EnvironmentImage) -> Any:
    return EnvironmentImage.objects.filter(
        pk=row.pk, status=BuildStatus.BUILDING, builder=row.builder
    )


# Forgetting.


def forget_unused(in_sessions: Collection[str]) -> list[EnvironmentImage]:
    """Delete what neither an environment nor a session speaks of; return the rest."""
    living = Environment.objects.filter(archived_at=None)
    named = {*in_sessions, *living.values_list("content_hash", flat=True)}
    last_good = {*living.values_list("last_image", flat=True)}
    kept = []
    for row in EnvironmentImage.objects.defer("log"):
        is_used = row.content_hash in named or row.pk in last_good
        if is_used or not _is_old(row):
            kept.append(row)
        else:
            row.delete()
    return kept


def _is_old(row: EnvironmentImage) -> bool:
    since = row.finished_at or row.queued_at
    busy = row.status == BuildStatus.BUILDING
    return not busy and since < timezone.now() - KEPT_FOR
