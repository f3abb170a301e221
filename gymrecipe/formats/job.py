"""Job: what a worker is asked to write, and what it says of it."""

from __future__ import annotations

from array import array
from typing import Any, NamedTuple

import msgspec

from gymrecipe.formats.contents import Contents
from gymrecipe.formats.template import Template
from gymrecipe.registry import FORMATS, PairsAt, Purpose
from gymrecipe.rollouts.chat import Reading


class Side(msgspec.Struct, frozen=True):
    """Where the lines of one side lie, and what they are: parallel columns, a place a row."""

    source: array[int]
    offset: array[int]
    bytes: array[int]
    id_hi: array[int]
    id_lo: array[int]


class WriteJob(msgspec.Struct, frozen=True):
    """One slice of the rows to write, and the file `target` that their records go to.

    `sources` are the uncompressed files that it reads, by their numbers. `sides` is one, or the
    chosen and the rejected one; `inputs` says where the input row of each task lies. `columns` are
    the columns beside the messages: the name of each in the record, and its source. The source is a
    key of `values` where the table has the column, a part of the conversation where the format is
    `custom`, else a path into the line.
    `own` holds what the purpose needs of the table: `label`, `reward`, `margin`.
    `first` is the place of the slice's first row in its split; where rows are not read in the
    order of their split, `slots` are the places of all of them there.
    """

    target: str
    format: str
    purpose: Purpose
    sources: dict[int, str]
    sides: tuple[Side, ...]
    inputs: Side | None = None
    columns: dict[str, str] = {}
    values: dict[str, list[Any]] = {}
    own: dict[str, list[Any]] = {}
    reading: Reading = msgspec.field(default_factory=Reading)
    pairs_at: PairsAt = "trajectory"
    verifier_fields: tuple[str, ...] | None = None
    agent: str | None = None
    template: Template | None = None
    plugins: tuple[str, ...] = ()
    has_tools: bool = False
    across_prompts: bool = False
    split: str = "train"
    first: int = 0
    slots: array[int] | None = None

    @property
    def by_lines(self) -> bool:
        """Whether the trainer reads line by line, so that no loader infers types: NeMo RL hands a
        prompt's line to the verifier as it stands.
        """
        return self.purpose == "rl" and FORMATS[self.format].copies_request

    def __str__(self) -> str:
        return f"{self.split}: rows {self.first} to {self.first + len(self.sides[0].bytes)}"


class Fault(NamedTuple):
    """Why a row gives no record: the reason, of which side (0 for a fault of the pair itself), and
    the cause where there is more to say.
    """

    reason: str
    side: int = 0
    cause: str = ""


class Encoded(msgspec.Struct, frozen=True):
    """What became of a slice: of each row the bytes of its record with the line feed, 0 where it
    is unusable.

    `reasons` says of those rows why. `shapes` are the different shapes of the records, `shape`
    which of them each usable row has. `example` is the first record.
    """

    target: str
    lengths: array[int]
    reasons: dict[int, Fault]
    shapes: list[frozenset[str]]
    shape: array[int]
    example: str | None
    contents: Contents = msgspec.field(default_factory=Contents)
