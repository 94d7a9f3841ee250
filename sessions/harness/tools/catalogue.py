"""The built-in tools of the toolset, as the model sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TOOLSET = "agent_toolset_20260401"


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A tool's name, what it does, and what it takes."""

    name: str
    description: str
    properties: Mapping[str, Mapping[str, Any]]
    required: tuple[str, ...] = ()

    def definition(self) -> dict[str, Any]:
        """The tool as a Messages API request names it."""
        return {
            "name": self.name,
            "description": self.description,
            "input_schema": {
                "type": "object",
                "properties": dict(self.properties),
                "required": list(self.required),
            },
        }


def _text(description: str) -> dict[str, str]:
    return {"type": "string", "description": description}


BASH = Tool(
    name="bash",
    description=(
        "Run a command in a persistent bash shell. The working directory, variables "
        "and background processes stay between calls. The result is the output "
        "(stdout and stderr together); a non-zero exit status is reported as an error. "
        "Only the last 100 KiB of long output are returned. A command that runs past "
        "its timeout is ended with everything it started, so start servers in the "
        "background. There is no terminal: programs cannot ask questions."
    ),
    properties={
        "command": _text("The command to run."),
        "restart": {
            "type": "boolean",
            "description": "Start a fresh shell instead; what the old one ran is ended.",
        },
        "timeout_ms": {
            "type": "integer",
            "minimum": 1,
            "description": "Milliseconds the command may take; 120000 unless said.",
        },
    },
)

READ = Tool(
    name="read",
    description=(
        "Read a file. Text comes back as it is, up to 100,000 characters; images and PDF "
        "files can be looked at. Use view_range for a part of a long file."
    ),
    properties={
        "file_path": _text("The file, absolute or from /workspace."),
        "view_range": {
            "type": "array",
            "items": {"type": "integer"},
            "minItems": 2,
            "maxItems": 2,
            "description": (
                "First and last line, counted from 1, both included; "
                "a last line of 0 or less means the end of the file."
            ),
        },
    },
    required=("file_path",),
)

WRITE = Tool(
    name="write",
    description=(
        "Write a file whole. What was in it is replaced; missing folders are made."
    ),
    properties={
        "file_path": _text("The file, absolute or from /workspace."),
        "content": _text("What the file is to hold."),
    },
    required=("file_path", "content"),
)

EDIT = Tool(
    name="edit",
    description=(
        "Replace a piece of text in a file. The old text must match exactly, white "
        "space included, and must occur once, unless replace_all is true."
    ),
    properties={
        "file_path": _text("The file, absolute or from /workspace."),
        "old_string": _text("The text to be replaced."),
        "new_string": _text("The text that takes its place."),
        "replace_all": {
            "type": "boolean",
            "description": "Replace every occurrence; false unless said.",
        },
    },
    required=("file_path", "old_string", "new_string"),
)

GLOB = Tool(
    name="glob",
    description=(
        "Find files by name. `**` matches any number of folders. "
        "At most 200 paths come back, the newest first."
    ),
    properties={
        "pattern": _text("The pattern, such as src/**/*.ts."),
        "path": _text("The folder to search; /workspace unless said."),
    },
    required=("pattern",),
)

GREP = Tool(
    name="grep",
    description=(
        "Search the contents of files with a regular expression. Each match comes back "
        "as path:line:text, at most 100 KiB of them."
    ),
    properties={
        "pattern": _text("The regular expression."),
        "path": _text("The file or folder to search; /workspace unless said."),
    },
    required=("pattern",),
)

BUILT_IN: Mapping[str, Tool] = {
    tool.name: tool for tool in (BASH, READ, WRITE, EDIT, GLOB, GREP)
}
"""In the order in which they are offered, which stays the same for the prompt cache."""
