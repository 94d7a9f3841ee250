"""Skills as they are uploaded: what passes, and what is refused by name."""

from __future__ import annotations

import io
import stat
import zipfile

import pytest

from agents import bundles
from agents.bundles import Part, read_bundle
from agents.errors import InvalidRequest

MANIFEST = b"---\nname: month-end\ndescription: Closes a month.\n---\n# How\n"


def part(name, data=b"x"):
    return Part(name=name, data=data)


def sent(*others):
    return [part("month-end/SKILL.md", MANIFEST), *others]


def zipped(*entries, manifest=MANIFEST):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("month-end/SKILL.md", manifest)
        for entry, data in entries:
            archive.writestr(entry, data)
    return [part("skill.zip", packed.getvalue())]


def entry(name, mode):
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def test_a_folder_passes_with_its_files_below_it():
    bundle = read_bundle(sent(part("month-end/scripts/run.py", b"print()")))
    assert (bundle.name, bundle.description) == ("month-end", "Closes a month.")
    assert set(bundle.files) == {"SKILL.md", "scripts/run.py"}


def test_a_zip_passes_and_keeps_what_can_be_run():
    script = entry("month-end/run.sh", stat.S_IFREG | 0o755)
    folder = entry("month-end/empty/", stat.S_IFDIR | 0o755)
    litter = "__MACOSX/month-end/._SKILL.md"
    bundle = read_bundle(zipped((script, b"#!/bin/sh"), (folder, b""), (litter, b"x")))
    assert {path: each.executable for path, each in bundle.files.items()} == {
        "SKILL.md": False,
        "run.sh": True,
    }


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("/etc/passwd", "absolute"),
        ("~/x", "absolute"),
        ("C:/x", "absolute"),
        ("month-end/../../x", "leaves its folder"),
        ("../month-end/x", "leaves its folder"),
        ("month-end/a\\..\\b", "not a plain path"),
        ("month-end//x", "not a plain path"),
        ("month-end/./x", "not a plain path"),
        ("month-end/a\nb", "not a plain path"),
        ("month-end/a\0b", "not a plain path"),
        ("month-end/" + "x" * 300, "not a plain path"),
        ("month-end/" + "\N{GRINNING FACE}" * 64, "not a plain path"),
        ("loose", "in no folder"),
        ("other/x", "one folder"),
        ("month-end/SKILL.md", "twice"),
        ("month-end/SKILL.md/x", "a file and a folder"),
        ("month-end/skill.MD", "one name on some systems"),
        ("month-end/Skill.md/x", "a file and a folder"),
    ],
)
@pytest.mark.parametrize("form", ["parts", "zip"])
def test_a_path_that_plays_tricks_is_refused_by_name(name, why, form):
    if form == "zip" and ("\0" in name or name == "month-end/SKILL.md"):
        pytest.skip("Python writes no such archive without a warning")
    upload = sent(part(name)) if form == "parts" else zipped((name, b"x"))
    with pytest.raises(InvalidRequest, match=why):
        read_bundle(upload)


@pytest.mark.parametrize(
    "mode", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK]
)
def test_a_link_or_a_device_is_refused_by_name(mode):
    link = entry("month-end/link", mode | 0o777)
    with pytest.raises(InvalidRequest, match=r"month-end/link.* link or a device"):
        read_bundle(zipped((link, b"/etc/passwd")))


def test_a_zip_bomb_is_refused_by_the_name_of_the_entry(monkeypatch):
    monkeypatch.setattr(bundles, "MOST_BYTES", 1024 * 1024)
    bomb = zipped(("month-end/zeros", b"\0" * 3 * 1024 * 1024))
    assert len(bomb[0].data) < 10_000
    with pytest.raises(InvalidRequest, match=r"zeros.* larger than 1 MB"):
        read_bundle(bomb)


def test_an_entry_that_lies_about_its_size_gets_no_more_room(monkeypatch):
    monkeypatch.setattr(bundles, "MOST_BYTES", 1024 * 1024)
    honest = zipped(("month-end/zeros", b"\0" * 3 * 1024 * 1024))[0].data
    real, small = (3 * 1024 * 1024).to_bytes(4, "little"), (9).to_bytes(4, "little")
    lying = honest.replace(real, small)
    assert lying != honest
    with pytest.raises(InvalidRequest, match="zeros"):
        read_bundle([part("skill.zip", lying)])


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_is_unpacked_whole_before_it_is_counted_is_refused(method):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        archive.writestr("month-end/SKILL.md", MANIFEST)
    with pytest.raises(InvalidRequest, match=r"SKILL\.md.* deflate"):
        read_bundle([part("skill.zip", packed.getvalue())])


def test_very_many_entries_are_refused_before_they_are_read(monkeypatch):
    monkeypatch.setattr(bundles, "MOST_FILES", 3)
    many = [(f"month-end/{n}", b"") for n in range(9)]
    with pytest.raises(InvalidRequest, match="3 files at most"):
        read_bundle(zipped(*many))
    with pytest.raises(InvalidRequest, match="3 files at most"):
        read_bundle(sent(*(part(name) for name, _ in many[:4])))


@pytest.mark.parametrize("data", [b"PK", b"PK\x03\x04 and nothing more"])
def test_a_broken_archive_is_refused(data):
    with pytest.raises(InvalidRequest, match="cannot be read"):
        read_bundle([part("skill.zip", data)])


def test_an_entry_whose_name_is_cut_to_nothing_is_refused():
    data = zipped(("NUL", b"x"))[0].data.replace(b"NUL", b"\0UL")
    with pytest.raises(InvalidRequest, match="not a plain path"):
        read_bundle([part("skill.zip", data)])


def test_an_encrypted_entry_is_refused():
    data = bytearray(zipped(("month-end/secret", b"x"))[0].data)
    at = data.rindex(b"PK\x01\x02")
    data[at + 8] |= 1
    with pytest.raises(InvalidRequest, match=r"secret.*encrypted"):
        read_bundle([part("skill.zip", bytes(data))])


def test_nothing_and_a_folder_without_a_manifest_are_refused():
    with pytest.raises(InvalidRequest, match=r"no a/SKILL\.md"):
        read_bundle([part("a/b.md")])
    with pytest.raises(InvalidRequest, match="send a folder"):
        read_bundle([part("a/.DS_Store")])


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (b"# no front matter", "must begin with a block"),
        (b"---\nname: [\n---\n", "no valid YAML"),
        (b"---\njust words\n---\n", "no keys and values"),
        (b"---\nname: month-end\n---\n", "description"),
        (b"---\nname: month-end\ndescription: ''\n---\n", "description"),
        (b"---\nname: Month End\ndescription: x\n---\n", "name: must be text"),
        (b"---\nname: 12\ndescription: x\n---\n", "name: must be text"),
        (b"---\nname: ../x\ndescription: x\n---\n", "name: must be text"),
        (b"---\ndescription: !!python/object:os.system x\n---\n", "no valid YAML"),
        (b"\xff\xfe", "not UTF-8"),
        (b"---\ndescription: " + b"x" * 2000 + b"\n---\n", "1 to 1024"),
    ],
)
def test_a_manifest_nobody_can_use_is_refused(head, why):
    with pytest.raises(InvalidRequest, match=why):
        read_bundle([part("month-end/SKILL.md", head)])


NESTED = "".join(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 9}]\n" for n in range(1, 9))
MERGED = "".join(f"a{n}: &a{n} {{<<: [{f'*a{n - 1}, ' * 9}]}}\n" for n in range(1, 9))


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (f"a0: &a0 [x]\n{NESTED}name: *a8\n", "no aliases"),
        (f"a0: &a0 {{x: y}}\n{MERGED}", "no aliases"),
        (f"name: 0x{'f' * 9000}\n", "name: must be text"),
    ],
)
def test_a_manifest_that_grows_when_it_is_read_is_refused(head, why):
    data = f"---\n{head}description: x\n---\n".encode()
    with pytest.raises(InvalidRequest, match=why):
        read_bundle([part("month-end/SKILL.md", data)])


def test_the_folder_names_a_skill_that_does_not_and_a_description_may_be_folded():
    head = b"\xef\xbb\xbf---\r\ndescription: >\r\n  Closes\r\n  a month.\r\n---\r\nx"
    bundle = read_bundle([part("month-end/SKILL.md", head)])
    assert (bundle.name, bundle.description) == ("month-end", "Closes a month.")
