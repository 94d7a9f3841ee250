"""Definitions to begin with, for whom an empty editor is no help."""

from __future__ import annotations

from typing import Any

STARTERS: dict[str, dict[str, Any]] = {
    "mender": {
        "name": "Bug mender",
        "description": "Finds the cause of a failing test and mends it.",
        "system": (
            "You mend bugs. Run the tests first and read what fails. Find the cause"
            " before you change anything, make the smallest change that mends it, and"
            " run all tests again. End with the diff and one sentence on the cause."
        ),
        "tools": ["bash", "read", "write", "edit", "glob", "grep"],
    },
    "reviewer": {
        "name": "Code reviewer",
        "description": "Reads a change and says what is wrong with it.",
        "system": (
            "You review code and change nothing. Read the whole change and the code"
            " around it. Report what is wrong, worst first: file and line, what happens,"
            " and when. Leave out matters of taste."
        ),
        "tools": ["bash", "read", "glob", "grep"],
    },
    "analyst": {
        "name": "Data analyst",
        "description": "Answers questions about files of data, with its working shown.",
        "system": (
            "You answer questions about data. Look at the files before you compute, say"
            " what is missing or odd in them, and keep your scripts in /workspace. Give"
            " the answer first, then a table, then how you got it."
        ),
        "tools": ["bash", "read", "write", "edit", "glob", "grep"],
    },
}
