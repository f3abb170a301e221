"""Text: a value as the JSON text that some loaders want in its place, and decode themselves."""

from __future__ import annotations

from typing import Any

import msgspec

_encoder = msgspec.json.Encoder()


def json_text(value: Any) -> str:
    """A value as JSON text."""
    return _encoder.encode(value).decode()
