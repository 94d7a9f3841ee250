"""Icons, numbers and times as every page writes them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from django import template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()

MINUTE, HOUR, DAY = 60, 3600, 86_400


@register.simple_tag
def icon(name: str, extra: str = "") -> SafeString:
    """Draw one of the sprite's icons. A word beside it or a label says what it means."""
    return format_html(
        '<svg class="icon {}" aria-hidden="true"><use href="{}#{}"/></svg>',
        extra,
        static("agentsite/icons.svg"),
        name,
    )


@register.filter
def compact(number: int | None) -> str:
    """Write 531, 77k, 38.1M."""
    value = int(number or 0)
    if value < 1_000:
        return str(value)
    if value < 10_000:
        return _trim(value / 1_000, 1) + "k"
    if value < 999_500:
        return f"{value / 1_000:.0f}k"
    return _trim(value / 1_000_000, 1) + "M"


@register.filter
def duration(seconds: float | timedelta | None) -> str:
    """Write 0.3s, 42s, 3m 05s, 4h 51m, 2d 3h."""
    if seconds is None:
        return ""
    if isinstance(seconds, timedelta):
        seconds = seconds.total_seconds()
    if 0 < seconds < 0.05:
        return "<0.1s"
    if seconds < 10:
        return _trim(max(seconds, 0), 1) + "s"
    whole = round(seconds)
    if whole < MINUTE:
        return f"{whole}s"
    if whole < HOUR:
        return f"{whole // MINUTE}m {whole % MINUTE:02d}s"
    if whole < DAY:
        return f"{whole // HOUR}h {whole % HOUR // MINUTE:02d}m"
    return f"{whole // DAY}d {whole % DAY // HOUR}h"


@register.filter
def ago(moment: datetime | None) -> str:
    """Write `just now`, `5 min ago`, `3 h ago`, `2 d ago` or the date."""
    if moment is None:
        return "never"
    seconds = (timezone.now() - moment).total_seconds()
    if seconds < MINUTE:
        return "just now"
    if seconds < HOUR:
        return f"{seconds // MINUTE:.0f} min ago"
    if seconds < DAY:
        return f"{seconds // HOUR:.0f} h ago"
    if seconds < 30 * DAY:
        return f"{seconds // DAY:.0f} d ago"
    return f"{moment:%-d %b %Y}"


@register.simple_tag
def when(moment: datetime | None) -> SafeString:
    """A relative time whose exact moment is in the tooltip."""
    if moment is None:
        return SafeString("never")
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        moment.astimezone(UTC).isoformat(),
        f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
        ago(moment),
    )


@register.filter
def size(count: int | None) -> str:
    """Write 812 B, 4.1 KB, 3 MB."""
    value = float(count or 0)
    for unit in ("B", "KB", "MB"):
        if value < 1024:
            return f"{_trim(value, 1 if unit != 'B' else 0)} {unit}"
        value /= 1024
    return f"{_trim(value, 1)} GB"


@register.filter
def pretty(value: Any) -> str:
    """JSON for people."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


@register.simple_tag(takes_context=True)
def query(context: template.Context, **changes: Any) -> str:
    """The page's own query with some parameters changed; empty ones are left out."""
    params = context["request"].GET.copy()
    params.pop("page", None)
    for name, value in changes.items():
        params.pop(name, None)
        if value not in (None, ""):
            params[name] = str(value)
    return f"?{params.urlencode()}" if params else "?"


def _trim(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
