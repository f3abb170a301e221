"""Guards: what a recipe may not hold, for it may come from a stranger."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import yaml

from gymrecipe.credentials import holds_one
from gymrecipe.errors import hint

MAX_SIZE, MAX_DEPTH = 2**18, 50
"""How large and deep a recipe may be: its file, and what it grows to with its aliases and its
`${knob}`s. A value counts for its bytes and VALUE more, which bounds their number as well."""

VALUE = 50

REFUSED_KEYS = {
    "hydra", "defaults", "_target_", "_partial_", "_recursive_", "_convert_", "_args_", "target",
    "()",
}  # fmt: skip
"""Keys that could run code, wherever they stand."""

A_CREDENTIAL = (
    "looks like a credential, which every record of the run would keep. gymrecipe needs none: take"
    " it out."
)

INTERPOLATION = re.compile(r"\$\{([A-Za-z_]\w*(?:\.\w+)*)\}")
"""The one kind of reference that is allowed: `${knob}`."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same events, sooner
_SURPRISE = re.compile(
    r"[-+]?(?:0(?:x[0-9a-fA-F_]+|b[01_]+|[0-9_]+)|\d[\d_]*(?::[0-5]?\d)+\.?[\d_]*)"
)
"""What YAML reads as another number than people do: 010 is 8, and 12:30 is 750."""


def measure(text: str) -> None:
    """Raise ValueError for a document that could grow without bound, before it is built."""
    anchors: dict[str, tuple[int, int]] = {}
    within: list[tuple[str | None, int, int]] = [(None, 0, 0)]  # anchor, size, height
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            _check_tag(event)
            within.append((event.anchor, VALUE, 0))
            if len(within) - 1 > MAX_DEPTH:
                raise ValueError(f"more than {MAX_DEPTH} levels.")
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, size, height = within.pop()
        elif isinstance(event, yaml.ScalarEvent):
            _check_tag(event)
            if len(within) == 1 and event.value:
                raise ValueError("a recipe is a mapping with `stages`, not a single value.")
            if event.implicit[0] and _SURPRISE.fullmatch(event.value):
                raise ValueError(
                    f"{_line(event)}: YAML reads {event.value[:40]} as another number than it"
                    " seems. Write it in decimal, or a text in quotes."
                )
            anchor, size, height = event.anchor, VALUE + len(event.value.encode()), 0
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in anchors:
                raise ValueError(f"*{event.anchor} refers to nothing before it, or to itself.")
            anchor, (size, height) = None, anchors[event.anchor]
        else:
            continue
        if anchor is not None:
            anchors[anchor] = size, height
        around, total, tallest = within.pop()
        within.append((around, total + size, max(tallest, height + 1)))
        if total + size > MAX_SIZE:
            raise ValueError(f"more than {MAX_SIZE // 2**10} KiB with its aliases.")
        if len(within) - 1 + height > MAX_DEPTH:
            raise ValueError(f"more than {MAX_DEPTH} levels.")


def _check_tag(event: Any) -> None:
    if event.tag is not None:
        raise ValueError(f"{_line(event)}: the tag {event.tag[:40]} is refused.")


def _line(event: Any) -> str:
    return f"line {event.start_mark.line + 1}"


def dangers(value: Any, at: str = "") -> Iterable[str]:
    """What is said of whatever could run code or reach outside, wherever it stands."""
    if isinstance(value, dict):
        for key, part in value.items():
            path = f"{at}.{key}" if at else str(key)
            if re.split("[@/]", str(key))[0] in REFUSED_KEYS:
                yield f"{path}: '{key}' is refused: a recipe names stages, it does not run code."
            else:
                yield from dangers(part, path)
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from dangers(part, f"{at}.{index}")
    elif isinstance(value, str) and holds_one(value):
        yield f"{at}: {A_CREDENTIAL}"
    elif isinstance(value, str) and "$" in value:
        plain, count = INTERPOLATION.subn("", value)
        if "${" in plain:
            yield f"{at}: only plain ${{name}} is allowed, got '{value}'."
        elif count > 1:
            yield f"{at}: one ${{name}} a value is allowed, got '{value}'."
    elif isinstance(value, str) and "\0" in value:
        yield f"{at}: a text without NUL is needed, got {value!r}."
    elif isinstance(value, int) and abs(value) >= 2**63:
        yield f"{at}: a number of at most 64 bits is needed."


def bad_references(raw: dict[str, Any], there: str) -> list[str]:
    """What is wrong with the `${knob}`s: no such knob, a circle, or growth without bound; and the
    values that have to be given `there`.
    """
    problems: list[str] = []
    known: dict[str, tuple[int, int] | None] = {}

    def weigh(value: Any, at: str) -> tuple[int, int]:
        """Size and height of a value once it is resolved."""
        own, parts = VALUE, []
        if isinstance(value, dict):
            parts = [weigh(part, f"{at}.{key}" if at else str(key)) for key, part in value.items()]
        elif isinstance(value, list):
            parts = [weigh(part, f"{at}.{index}") for index, part in enumerate(value)]
        elif value == "???":
            problems.append(f"{at}: has to be given. Write {at}=value {there}.")
        elif isinstance(value, str):
            own += len(value)
            parts = [follow(name, at) for name in INTERPOLATION.findall(value)]
            return own + sum(size for size, _ in parts), max((h for _, h in parts), default=0)
        return own + sum(size for size, _ in parts), 1 + max((h for _, h in parts), default=0)

    def follow(name: str, at: str) -> tuple[int, int]:
        if name not in known:
            known[name] = None
            try:
                known[name] = weigh(look_up(raw, name), name)
            except KeyError:
                problems.append(f"{at}: there is no knob '{name}'.{hint(name, map(str, raw))}")
                known[name] = 0, 0
        if (weight := known[name]) is None:
            problems.append(f"{at}: ${{{name}}} refers to itself.")
        return weight or (0, 0)

    size, height = weigh(raw, "")
    if size > MAX_SIZE or height > MAX_DEPTH + 1:
        problems.append(
            f"more than {MAX_SIZE // 2**10} KiB or {MAX_DEPTH} levels once each ${{name}} has its"
            " value."
        )
    return problems


def references(value: Any) -> set[str]:
    """The knobs that a value refers to as `${knob}`."""
    if isinstance(value, dict):
        return set().union(*(references(part) for part in value.values()))
    if isinstance(value, list):
        return set().union(*(references(part) for part in value))
    if isinstance(value, str):
        return {name.split(".")[0] for name in INTERPOLATION.findall(value)}
    return set()


def look_up(values: Any, path: str) -> Any:
    """The value at a dotted path. Raises KeyError where there is none."""
    for part in path.split("."):
        if isinstance(values, list) and part.isdigit() and int(part) < len(values):
            values = values[int(part)]
        elif isinstance(values, dict) and part in values:
            values = values[part]
        else:
            raise KeyError(path)
    return values


def at(values: Any, path: str) -> Any:
    """The value at a dotted path; None where there is none."""
    with suppress(KeyError):
        return look_up(values, path)
    return None
