"""Takes: the knobs of each verb, with their defaults and what they set."""

from __future__ import annotations

from typing import Any

_OUTPUT_DIR = {"output_dir": ("experiments", "the folder of the versions")}
_JSON = {"json": (False, "JSON in place of text, each record on a line")}

_OWN: dict[str, dict[str, tuple[Any, str]]] = {
    "recipes": {},
    "stages": {},
    "formats": {},
    "columns": {
        "input": ([], "a file, a glob or a list of them, as FILE; by default the sample"),
        "limit": (1_000, "look at so many lines"),
        "sidecars": (False, "whether the files beside rollouts may be looked at"),
    },
    "check": {
        "format": ("", "a name of `gymrecipe formats`, or rollouts"),
        "purpose": ("", "sft, dpo, kto, reward_model, rl or buffer; by default as its columns say"),
    },
    "versions": _OUTPUT_DIR
    | {"rebuild": (False, "make the ledger anew from the manifests; --rebuild is the same")},
    "show": _OUTPUT_DIR,
    "explain": _OUTPUT_DIR
    | {"values": (True, "the values that the line was judged by, for which its inputs are read")},
    "verify": _OUTPUT_DIR,
    "rejects": _OUTPUT_DIR
    | {
        "reason": ("", "only lines with this reason; --reason NAME is the same"),
        "stage": ("", "only lines that this stage rejected"),
        "snippet": (False, "show how each line begins"),
        "bytes": (False, "the lines themselves, as they stand in the inputs"),
    },
    "reproduce": _OUTPUT_DIR | {"any_tools": (False, "try with other versions of the tools too")},
    "diff": _OUTPUT_DIR,
    "gc": _OUTPUT_DIR
    | {
        "older_than_minutes": (60, "leave what is younger"),
        "dry_run": (False, "only say what would be taken away"),
        "output_jsonl_fpath": ("", "look for half a copy beside this file too"),
    },
    "cache": _OUTPUT_DIR
    | {
        "cache_dir": ("", "the folder of what is kept; by default .gymrecipe in output_dir"),
        "clear": (False, "remove what is kept"),
    },
}
TAKES = {verb: own | _JSON for verb, own in _OWN.items()}


def offered(verb: str) -> list[str]:
    """The knobs of a verb as they are begun on a command line; a switch the other way."""
    return [
        f"{name}={as_text(not default) if isinstance(default, bool) else ''}"
        for name, (default, _) in TAKES[verb].items()
    ]


def as_text(default: Any) -> str:
    """A default as it stands on a command line."""
    return str(default).lower() if isinstance(default, bool) else str(default or "")
