"""Safe: how a value of the data becomes text that a terminal only shows.

Rollouts, keys, paths and errors come from anywhere: what would move the cursor, colour, link, set
the clipboard, reverse or hide text is written out as `\\x1b` or `\\u202e` instead.
"""

from __future__ import annotations

import json
import math
import unicodedata
from typing import Any

import msgspec

MOST = 200
ESCAPED = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode's controls, invisible format characters, half pairs, what is no character, and the
separators that break lines."""
BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
"""Characters of other categories that nobody sees; variation selectors are the rest."""


def safe(text: object, most: int = MOST) -> str:
    """The text on one line of at most `most` characters, with what is not seen written out."""
    whole = text if isinstance(text, str) else str(text)
    if len(whole) <= most and whole.isascii() and whole.isprintable():
        return whole
    pieces = [_seen(sign) for sign in whole[: most + 1]]
    shown = "".join(pieces)
    if len(shown) <= most:
        return shown
    kept, room = "", most - 1
    for piece in pieces:
        if len(piece) > room:
            break
        kept, room = kept + piece, room - len(piece)
    return f"{kept}…"


def as_line(record: msgspec.Struct) -> str:
    """The record as a line of JSON, with what is not seen written as JSON writes it, `\\u202e`, and
    bytes of a name that are no text written out.
    """
    try:
        text = msgspec.json.encode(record, enc_hook=str).decode()
    except UnicodeEncodeError:
        text = msgspec.json.encode(_encodable(msgspec.to_builtins(record, enc_hook=str))).decode()
    if text.isascii() and "\x7f" not in text:
        return text
    return "".join(sign if _seen(sign) == sign else json.dumps(sign)[1:-1] for sign in text)


def _encodable(value: Any) -> Any:
    if isinstance(value, dict):
        return {_encodable(key): _encodable(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(part) for part in value]
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    return value


def number(value: Any) -> str:
    """A figure, short: `0.7833`, `1,204`, `1e-05`; `-` where there is none."""
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return compact(value)
    if isinstance(value, int) or (math.isfinite(value) and 1_000 <= abs(value) < 1e15):
        return safe(f"{value:,.0f}" if isinstance(value, float) else f"{value:,}", 40)
    return f"{value + 0.0:.4g}"


def asked(value: Any) -> str:
    """A knob as it was asked for: never rounded where that would say something else."""
    if isinstance(value, float):
        return f"{value:.10g}"
    return compact(value)


def compact(value: Any, most: int = 80, depth: int = 5) -> str:
    """A value of a recipe as YAML would have it on one line; what is nested deeper is `…`."""
    if isinstance(value, str):
        return safe(value, most)
    if isinstance(value, float):
        return asked(value)
    if not isinstance(value, list | dict):
        return safe(json.dumps(value, default=str), most)
    if not depth:
        return "…"
    if isinstance(value, list):
        parts = [compact(part, most, depth - 1) for part in value[:most]]
        return safe(f"[{', '.join(parts)}]", most)
    items = list(value.items())[:most]
    parts = [f"{safe(key, most)}: {compact(part, most, depth - 1)}" for key, part in items]
    return safe(f"{{{', '.join(parts)}}}", most)


def size(count: int) -> str:
    """Bytes in decimal units: `434.0 kB`."""
    amount, units = float(count), list("kMGTP")
    if amount < 1_000:
        return f"{count} B"
    while (amount := amount / 1_000) >= 999.95 and len(units) > 1:
        units.pop(0)
    return f"{amount:,.1f} {units[0]}B"


def counted(count: int, one: str, several: str | None = None) -> str:
    """`1 task`, `1,200 tasks`."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def _seen(sign: str) -> str:
    if " " <= sign <= "~":
        return sign
    code = ord(sign)
    selector = 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF
    if not (selector or sign in BLANK or unicodedata.category(sign) in ESCAPED):
        return sign
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
