"""The tool server's functions on text, without a sandbox."""

from __future__ import annotations

import pytest

from sandbox import toolserver
from sandbox.toolserver import ToolError


def test_colours_and_other_escapes_are_stripped() -> None:
    assert toolserver.clean(b"\x1b[31mred\x1b[0m \x1b]0;title\x07end") == "red end"


def test_a_progress_line_shows_what_it_showed_last() -> None:
    assert toolserver.clean(b"10%\r50%\r100%\ndone\r\n") == "100%\ndone\n"


def test_binary_output_becomes_text() -> None:
    assert toolserver.clean(b"a\xff\x00b\x08") == "a�b"


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("*.py", "a.py", True),
        ("*.py", "b/a.py", False),
        ("**/*.py", "a.py", True),
        ("**/*.py", "b/c/a.py", True),
        ("src/**", "src/a/b", True),
        ("a?c", "abc", True),
        ("[ab]c", "bc", True),
        ("[!ab]c", "bc", False),
        ("*.{js,ts}", "a.ts", True),
        ("*.{js,ts}", "a.py", False),
        ("a+b(1)", "a+b(1)", True),
    ],
)
def test_a_glob_pattern_means_what_it_means_in_a_shell(
    pattern: str, path: str, matches: bool
) -> None:
    assert bool(toolserver.glob_regex(pattern).match(path)) is matches


def test_an_edit_says_when_only_white_space_differs() -> None:
    with pytest.raises(ToolError, match="Line 2 differs from it only in white space"):
        toolserver.edited("a\n\tb\n", "  b", "c", replace_all=False, path="f")


def test_an_edit_says_when_the_file_ends_lines_with_crlf() -> None:
    with pytest.raises(ToolError, match="CRLF"):
        toolserver.edited("a\r\nb\r\n", "a\nb", "c", replace_all=False, path="f")


def test_an_edit_to_the_same_text_is_refused() -> None:
    with pytest.raises(ToolError, match="the same"):
        toolserver.edited("a", "a", "a", replace_all=False, path="f")


def test_a_long_file_is_cut_with_the_line_it_was_cut_in() -> None:
    lines = iter(["x" * 60_000 + "\n"] * 3)
    seen = toolserver.viewed(lines, None, "f")
    assert seen.endswith("[Cut in line 2 of f: use view_range for the rest.]")


def test_a_view_beyond_the_end_says_how_long_the_file_is() -> None:
    with pytest.raises(ToolError, match="has 2 lines"):
        toolserver.viewed(iter(["a\n", "b\n"]), [5, -1], "f")


def test_memory_forgets_the_oldest_outcomes_first() -> None:
    memory = toolserver.Memory(most=5_000)
    for number in range(10):
        memory.keep(f"call_{number}", toolserver.outcome_of_text("x" * 500))
    assert memory.get("call_0") is None
    assert memory.get("call_9") is not None
    assert memory.size <= 5_000


def test_a_process_of_an_earlier_call_is_spared() -> None:
    server = toolserver.Process(pid=7, parent=1, started=1, state="S")
    early = toolserver.Process(pid=20, parent=7, started=50, state="S")
    child = toolserver.Process(pid=21, parent=20, started=150, state="S")
    new = toolserver.Process(pid=22, parent=1, started=150, state="S")
    known = {one.pid: one for one in (server, early, child, new)}
    members = [
        one.pid
        for one in known.values()
        if toolserver.belongs(one, known, "mark", 100, {1, 7})
    ]
    assert 20 not in members
    assert 21 not in members
