#!/usr/bin/env python3
"""Agentsite's command line."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def use_own_environment() -> None:
    """Go on in the project's virtual environment, wherever this was started from."""
    python = HERE / ".venv" / "bin" / "python"
    if python.exists() and Path(sys.prefix) != python.parent.parent:
        os.execv(python, [str(python), *sys.argv])  # noqa: S606


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "agentsite.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError:
        sys.exit("Django is not installed here: run `make up` (or `make venv`) first.")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    if "VIRTUAL_ENV" not in os.environ:
        use_own_environment()
    main()
