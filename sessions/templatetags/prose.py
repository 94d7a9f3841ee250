"""Text from models and tools made safe to show: Markdown, highlighted code, terminals."""

from __future__ import annotations

import html
import re
from functools import lru_cache

import nh3
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

WORDS = (
    "p br hr h1 h2 h3 h4 h5 h6 ul ol li blockquote pre code span strong em del s a "
    "table thead tbody tr th td"
)
TAGS = frozenset(WORDS.split())
ATTRIBUTES = {
    "a": {"href", "title"},
    "span": {"class"},
    "pre": {"class", "tabindex"},
    "code": {"class"},
    "ol": {"start"},
}
HIGHLIGHT_LIMIT = 40_000
ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.")
CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def _code(source: str, language: str, _attrs: str) -> str:
    inner = html.escape(source)
    if language and len(source) < HIGHLIGHT_LIMIT:
        inner = _coloured(source, language) or inner
    return f'<pre class="hl" tabindex="0"><code>{inner}</code></pre>'


def _coloured(source: str, language: str) -> str:
    try:
        lexer = get_lexer_by_name(language)
    except ClassNotFound:
        return ""
    coloured: str = highlight(source, lexer, HtmlFormatter(nowrap=True))
    return coloured


_markdown = MarkdownIt(
    "commonmark", {"html": False, "linkify": False, "highlight": _code}
).enable(["table", "strikethrough"])
# An image would call another host from the reader's browser: it stays a link's text.
_markdown.disable("image")


@lru_cache(maxsize=4096)
def prose(text: str) -> SafeString:
    """Render Markdown once per text; nothing in it can run or load."""
    clean = nh3.clean(
        _markdown.render(text),
        tags=set(TAGS),
        attributes=ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )
    return mark_safe(clean)  # noqa: S308 - cleaned above


def terminal(text: str) -> str:
    """Plain text of a terminal's output: no escapes, redrawn lines in their last state."""
    plain = ESCAPES.sub("", text.replace("\r\n", "\n"))
    lines = (line.rstrip("\r").rsplit("\r", 1)[-1] for line in plain.split("\n"))
    return CONTROLS.sub("�", "\n".join(lines))
