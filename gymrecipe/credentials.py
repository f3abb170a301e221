"""Credentials: what looks like one. No recipe needs any, and every record would keep it."""

from __future__ import annotations

import re

HIDDEN = "[hidden]"

_TOKENS = (
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    r"(?:AKIA|ASIA)[0-9A-Z]{16}",  # AWS
    r"AIza[\w-]{30,}",  # Google
    r"hf_[A-Za-z0-9]{20,}",  # Hugging Face
    r"sk-(?:[a-z0-9]+-){0,3}\w{20,}",  # OpenAI, Anthropic and others
    r"nvapi-[\w-]{20,}",  # NVIDIA
    r"gh[oprsu]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}",
    r"xox[a-z]-[\w-]{10,}",  # Slack
    r"(?:gsk|npm|r8)_[A-Za-z0-9]{20,}|pypi-[\w-]{20,}",
    r"eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]+",  # a JSON Web Token
    r"(?i:bearer\s+[\w.~+/-]{20,})",
)
_USERS = r"(?<=://)[^\s/@'\"]+(?=@)"
"""`name:password` in a URL."""

_NAMED = (
    r"(?i:(?<![A-Za-z])(?:(?:access|api|auth|hf|secret|private)[_-]?(?:key|token)(?:[_-]id)?"
    r"|password|passwd|secret|token|sig|signature|x-(?:amz|goog)-(?:signature|credential"
    r"|security-token))=(?=[^\s&=]))[^\s&'\"]+"
)
"""`token=…`, on a command line or in a URL that somebody signed."""

_ANY = re.compile("|".join((_USERS, f"(?<![A-Za-z0-9])(?:{'|'.join(_TOKENS)})", _NAMED)))


def holds_one(text: str) -> bool:
    """Whether a text has something in it that looks like a credential."""
    return _ANY.search(text) is not None


def hidden(text: str) -> str:
    """The text with `[hidden]` in the place of whatever looks like a credential."""
    return _ANY.sub(_cover, text)


def _cover(found: re.Match[str]) -> str:
    name, separator, _ = found[0].partition("=")
    return f"{name}={HIDDEN}" if separator and name.replace("-", "_").isidentifier() else HIDDEN
