"""Images built in real containers, from the real registries."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
import pytest_asyncio
from docker import APIClient

from sandbox import build_settings
from sandbox.build import LABEL, BuildLimits
from sandbox.build_settings import BuildSettings
from sandbox.contents import Contents
from sandbox.docker_provider import DockerProvider
from sandbox.egress.client import EgressClient
from sandbox.egress.paths import EgressPaths
from sandbox.egress.server import EgressServer
from sandbox.errors import EngineUnavailable, LayerFailed
from sandbox.image_builder import ImageBuilder
from sandbox.places import Places
from tests.sandbox.places import bash, new_id, shared_gid, short_folder, spec_of, text

pytestmark = pytest.mark.docker

SECRET = "s3cret-of-this-machine"
LISTED = {
    "apt": ("tree",),
    "npm": ("semver@7.6.3",),
    "pip": ("iniconfig==2.0.0",),
}
SCRIPT = 'echo "the word is $SECRET_WORD"; echo made > /workspace/made; cp /bin/true /opt/x; chmod u+s /opt/x'


class Heard:
    """Keeps what a build says; `stop_at` ends it at that line."""

    def __init__(self, stop_at: str = "\0") -> None:
        self.lines: list[str] = []
        self._stop_at = stop_at
        self._stopped = False

    def say(self, line: str) -> None:
        self.lines.append(line)
        self._stopped |= self._stop_at in line

    def beat(self) -> None:
        if self._stopped:
            raise InterruptedError

    def __contains__(self, words: str) -> bool:
        return any(words in line for line in self.lines)


class Sink:
    def take(self, record: object) -> None: ...

    def is_full(self) -> bool:
        return False


@pytest.fixture(scope="module")
def api() -> Iterator[APIClient]:
    client = APIClient(version="auto")
    yield client
    client.close()


@pytest.fixture(scope="module")
def runtime(base_image: str) -> Iterator[Path]:
    """The runtime folder of a site whose egress proxy runs, in a thread."""
    with short_folder() as folder:
        Places(runtime_dir=folder, state_dir=folder, gid=shared_gid()).share(folder)
        loop = asyncio.new_event_loop()
        server = EgressServer(EgressPaths(runtime_dir=folder), Sink())
        running = loop.create_task(server.run())
        thread = Thread(target=lambda: loop.run_until_complete(asyncio.wait({running})))
        thread.start()
        while not (folder / "egress.sock").exists():
            assert thread.is_alive()
        yield folder
        loop.call_soon_threadsafe(running.cancel)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def builder(runtime: Path, api: APIClient) -> Iterator[ImageBuilder]:
    places = Places(runtime_dir=runtime, state_dir=runtime / "state", gid=shared_gid())
    builder = ImageBuilder(
        site=new_id("test"),
        places=places,
        egress=EgressClient(runtime_dir=runtime),
    )
    yield builder
    builder.prune(frozenset())
    assert not left_behind(builder, api)


@pytest.fixture(scope="module")
def built(builder: ImageBuilder, base_image: str) -> tuple[str, Heard]:
    """An image with a layer of each reachable manager and of a script."""
    heard = Heard()
    contents = Contents(packages=LISTED, setup_script=SCRIPT)
    with pytest.MonkeyPatch.context() as patch:
        real = build_settings.of_this_machine

        def with_secret(*, through_egress: bool) -> BuildSettings:
            found = real(through_egress=through_egress)
            settings = found.files["settings.sh"] + f"export SECRET_WORD={SECRET}\n"
            files = {**found.files, "settings.sh": settings}
            return BuildSettings(files=files, secrets=(SECRET,))

        patch.setattr(build_settings, "of_this_machine", with_secret)
        made = builder.build(contents, base_image, heard)
    assert made.tag == contents.image(builder.site, base_image)
    assert made.size_bytes > 0
    return made.tag, heard


@pytest_asyncio.fixture
async def provider(runtime: Path, tmp_path: Path) -> DockerProvider:
    provider = DockerProvider(
        site=new_id("test"),
        runtime_dir=runtime,
        state_dir=tmp_path / "state",
        gid=shared_gid(),
        egress=EgressClient(runtime_dir=runtime),
    )
    yield provider
    for session_id in await provider.sessions():
        await provider.destroy(session_id, keep_workspace=False)
    await provider.close()


def left_behind(builder: ImageBuilder, api: APIClient) -> list[object]:
    """Containers, unnamed images and folders that a build did not clear away."""
    name = f"agentsite-{builder.site}-build"
    label = f"{LABEL}={builder.site}"
    return [
        *api.containers(all=True, filters={"name": name}),
        *api.images(filters={"label": label, "dangling": True}),
        *builder.places.state_dir.glob("*"),
        *builder.places.egress("build").parent.glob("*"),
    ]


def pip(*packages: str) -> Contents:
    return Contents(packages={"pip": packages})


async def test_a_sandbox_can_use_what_was_installed(
    built: tuple[str, Heard], provider: DockerProvider
) -> None:
    sandbox = await provider.provision(spec_of(built[0]))
    uses = (
        "tree --version; semver 1.2.3; python3 -c 'import iniconfig; print(\"ok\")'; "
        "cat made; touch made && echo mine; ls -A /run/agentsite/build 2>&1"
    )
    said = text(await bash(sandbox, uses))
    for words in ("tree v2", "1.2.3", "ok", "made", "mine"):
        assert words in said
    await sandbox.close()


def test_no_password_of_this_machine_stays_in_an_image(
    built: tuple[str, Heard], api: APIClient
) -> None:
    image, heard = built
    assert "the word is ***" in heard
    assert SECRET not in "".join(heard.lines)
    kept = json.dumps([api.inspect_image(image), api.history(image)])
    assert SECRET not in kept
    assert "127.0.0.1:3128" not in kept
    found = api.create_container(
        image, ["grep", "-rlI", SECRET, "/etc", "/home", "/opt", "/root", "/run", "/tmp",
                "/usr/local", "/var", "/workspace"], network_disabled=True
    )  # fmt: skip
    try:
        api.start(found)
        assert api.wait(found)["StatusCode"] == 1
        assert api.logs(found) == b""
    finally:
        api.remove_container(found, force=True)


async def test_nothing_that_a_build_brings_raises_rights(
    built: tuple[str, Heard], provider: DockerProvider
) -> None:
    sandbox = await provider.provision(spec_of(built[0]))
    said = await bash(
        sandbox, "ls /opt/x && find / -xdev -type f -perm /6000 2>/dev/null; true"
    )
    assert text(said).strip() == "/opt/x"
    await sandbox.close()


def test_one_package_more_makes_one_layer_more(
    built: tuple[str, Heard], builder: ImageBuilder, base_image: str, api: APIClient
) -> None:
    heard = Heard()
    more = {**LISTED, "pip": ("iniconfig==2.0.0", "six")}
    builder.build(Contents(packages=more), base_image, heard)
    assert "== apt: tree (kept from an earlier build)" in heard
    assert "== npm: semver@7.6.3 (kept from an earlier build)" in heard
    assert "Successfully installed iniconfig-2.0.0 six" in heard
    assert not left_behind(builder, api)


def test_a_fresh_build_replaces_what_it_makes_anew(
    builder: ImageBuilder, base_image: str, api: APIClient
) -> None:
    contents, heard = pip("six"), Heard()
    first = builder.build(contents, base_image, heard)
    before = api.inspect_image(first.tag)["Id"]
    builder.build(contents, base_image, heard, fresh=True)
    assert api.inspect_image(first.tag)["Id"] != before
    assert not left_behind(builder, api)


@pytest.mark.parametrize(
    ("packages", "package"),
    [
        ({"apt": ("tree", "nosuch-package")}, "nosuch-package"),
        ({"apt": ("tree=99.1",)}, "tree=99.1"),
        ({"npm": ("semver@99.0.0",)}, "semver@99.0.0"),
        ({"pip": ("iniconfig==99.0", "six")}, "iniconfig==99.0"),
    ],
)
def test_a_package_that_cannot_be_had_names_itself(
    builder: ImageBuilder,
    base_image: str,
    api: APIClient,
    packages: dict[str, tuple[str, ...]],
    package: str,
) -> None:
    (manager,) = packages
    with pytest.raises(LayerFailed) as failed:
        builder.build(Contents(packages=packages), base_image, Heard())
    assert (failed.value.layer, failed.value.package) == (manager, package)
    said = f"The package {package} ({manager}) could not be installed: "
    assert str(failed.value).startswith(said)
    assert not left_behind(builder, api)


@pytest.mark.parametrize(
    ("limits", "script", "why"),
    [
        (BuildLimits(seconds=4), "sleep 600", "the time limit of a build, 4 s, was"),
        (
            BuildLimits(written_mb=50),
            "head -c 300M /dev/zero > /big; sleep 600",
            "it wrote more than the 50 MB that a layer may have",
        ),
        (
            BuildLimits(memory_mb=64),
            "python3 -c 'x = bytearray(10**9)'",
            "it used more than 64 MB of memory",
        ),
    ],
)
def test_a_build_without_end_or_measure_is_ended(
    builder: ImageBuilder,
    base_image: str,
    api: APIClient,
    limits: BuildLimits,
    script: str,
    why: str,
) -> None:
    bounded = replace(builder, limits=limits)
    with pytest.raises(LayerFailed, match=why):
        bounded.build(Contents(setup_script=script), base_image, Heard())
    assert not left_behind(builder, api)


def test_a_build_is_ended_by_who_hears_it(
    builder: ImageBuilder, base_image: str, api: APIClient
) -> None:
    contents = Contents(setup_script="echo begun; sleep 600")
    with pytest.raises(InterruptedError):
        builder.build(contents, base_image, Heard(stop_at="begun"))
    assert not left_behind(builder, api)


def test_a_build_reaches_nothing_of_the_host(
    builder: ImageBuilder, base_image: str
) -> None:
    heard = Heard()
    script = (
        "ip=$(ls /sys/class/net | tr '\\n' ' '); echo \"interfaces: $ip\"\n"
        "curl -s -o /dev/null -w 'metadata: %{http_code}\\n' http://169.254.169.254/ || :\n"
        "curl -s --noproxy '*' -m 3 http://169.254.169.254/ || echo no way around\n"
    )
    builder.build(Contents(setup_script=script), base_image, heard)
    assert "interfaces: lo" in heard
    assert "metadata: 403" in heard
    assert "no way around" in heard


def test_another_image_is_made_fit_for_sandboxes(
    builder: ImageBuilder, base_image: str, api: APIClient
) -> None:
    """The base image stripped of what makes it ours stands for somebody else's."""
    foreign = f"foreign-{builder.site}:1".lower()
    strip = "userdel -r agent; rm -rf /workspace /mnt /opt/agentsite /usr/local/bin/*"
    made = api.create_container(base_image, ["sh", "-c", strip], user="0:0")
    api.start(made)
    assert api.wait(made)["StatusCode"] == 0
    api.commit(made, *foreign.split(":"))
    api.remove_container(made)
    try:
        contents = Contents(base_image=foreign, packages={"pip": ("six",)})
        built = builder.build(contents, base_image, Heard())
        script = "id -u 1000; ls -d /workspace /mnt/session/uploads; /usr/local/bin/sudo true"
        ran = api.create_container(built.tag, ["sh", "-c", script], user="1000:1000")
        api.start(ran)
        api.wait(ran)
        said = api.logs(ran).decode()
        api.remove_container(ran)
        assert "/workspace" in said
        assert "a sandbox has no root" in said
        builder.prune(frozenset())
    finally:
        api.remove_image(foreign)


def test_an_image_that_nobody_has_is_named(
    builder: ImageBuilder, base_image: str, api: APIClient
) -> None:
    contents = Contents(base_image="registry.invalid/team/nosuch:1")
    with pytest.raises(LayerFailed, match=r"registry\.invalid/team/nosuch:1 could not"):
        builder.build(contents, base_image, Heard())
    assert not left_behind(builder, api)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_without_an_engine_it_says_so(builder: ImageBuilder, base_image: str) -> None:
    # The engine's client leaves a socket that could not connect to the collector.
    gone = replace(builder, engine_url="unix:///nowhere/docker.sock")
    with pytest.raises(EngineUnavailable, match="No Docker engine answers"):
        gone.build(pip("six"), base_image, Heard())
    gc.collect()
    assert not [*builder.places.state_dir.glob("*")]


def test_pruning_keeps_what_it_is_told_to(
    builder: ImageBuilder, base_image: str, api: APIClient
) -> None:
    kept = builder.build(pip("six"), base_image, Heard()).tag
    gone = builder.build(pip("iniconfig"), base_image, Heard()).tag
    removed = builder.prune(frozenset({kept}))
    assert gone in removed
    assert builder.is_here(kept)
    assert not builder.is_here(gone)
    assert builder.is_here(base_image)


# Installing while a session runs.


async def test_without_root_installs_go_home_and_are_kept(
    provider: DockerProvider, base_image: str
) -> None:
    spec = spec_of(base_image)
    sandbox = await provider.provision(spec)
    installs = "pip install -q six && npm install -g --silent semver && which semver"
    assert "/home/agent/.local/bin/semver" in text(await bash(sandbox, installs))
    refused = text(await bash(sandbox, "apt-get install tree; sudo id"))
    assert len(refused.strip().splitlines()) <= 3
    assert "list them there under packages.apt" in refused
    await sandbox.close()
    await provider.destroy(spec.session_id, keep_workspace=True)
    again = await provider.provision(spec)
    use = "semver 1.2.3 && python3 -c 'import six; print(six.__file__)'"
    assert "/home/agent/" in text(await bash(again, use))
    await again.close()


async def test_with_root_apt_works_and_little_else_does(
    provider: DockerProvider, base_image: str
) -> None:
    sandbox = await provider.provision(spec_of(base_image, root=True))
    install = (
        "apt-get update -qq && apt-get install -y -qq tree >/dev/null && tree --version"
    )
    assert "tree v2" in text(await bash(sandbox, install, timeout_ms=300_000))
    said = text(await bash(sandbox, "id -u; sudo id -u; grep CapEff /proc/self/status"))
    # CHOWN, DAC_OVERRIDE, FOWNER, FSETID, SETGID and SETUID: no more.
    assert said.split() == ["0", "0", "CapEff:", "00000000000000db"]
    for beyond in ("mount -t tmpfs x /mnt", "mknod /tmp/x b 8 0", "chroot / true"):
        assert (await bash(sandbox, beyond)).is_error
    await sandbox.close()
