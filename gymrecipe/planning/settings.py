"""Settings: the parts of a recipe beside its stages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from gymrecipe.lazy_polars import pl
from gymrecipe.names import LATEST, NAME, NAME_RULE
from gymrecipe.parameters import Params
from gymrecipe.patterns import check_effort
from gymrecipe.rollouts.cache_folder import FOLDER
from gymrecipe.rollouts.columns import parse_path
from gymrecipe.rollouts.naming import is_url

_Text = Annotated[
    str, BeforeValidator(lambda value: str(value) if type(value) in (int, float) else value)
]


class Engine(Params):
    """Where the slices are worked on."""

    use: Literal["local"] = "local"
    workers: Annotated[int, Field(ge=1, le=1_024)] | None = None


class Settings(Params):
    """What concerns a run and not its data: where, under which name, and what is shown."""

    output_dir: _Text = "experiments"
    name: _Text
    engine: Engine = Engine()
    again: bool = False
    dry_run: bool = False
    json_: Annotated[bool, Field(alias="json")] = False
    tag: _Text | None = None
    output_jsonl_fpath: _Text | None = None
    cache: bool = True
    cache_dir: _Text | None = None

    @property
    def cache_folder(self) -> Path:
        """Where scans of large inputs are kept."""
        return Path(self.cache_dir or Path(self.output_dir) / FOLDER)

    @field_validator("output_dir", "output_jsonl_fpath", "cache_dir")
    @classmethod
    def _named(cls, value: str | None) -> str | None:
        if value is not None and (not value or not value.isprintable()):
            raise ValueError("should be the name of a folder or file, without control characters")
        if value is not None and is_url(value):
            raise ValueError("should be a folder or file here, not a URL")
        return value

    @field_validator("name", "tag")
    @classmethod
    def _safe(cls, value: str | None) -> str | None:
        if value is not None and not NAME.fullmatch(value):
            raise ValueError(f"should be {NAME_RULE}")
        return value

    @field_validator("name")
    @classmethod
    def _found_again(cls, value: str) -> str:
        if value.lower() == LATEST:  # experiments/latest would be the newest of its siblings
            raise ValueError(f"should be another name: '{LATEST}' means the newest version")
        return value


SETTINGS = tuple(field.alias or name for name, field in Settings.model_fields.items())
"""The names of the settings, as knobs."""


class NamedColumn(Params):
    """What a name of the recipe's own stands for: a path in the line (or the first of several that
    has a value there), the part of its text that a pattern finds, and what stands for none.
    """

    path: str | list[str]
    regex: str | None = None
    default: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _in_short(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value

    @field_validator("path")
    @classmethod
    def _paths(cls, value: str | list[str]) -> str | list[str]:
        if not value:
            raise ValueError("should be a path, or a list of paths")
        for path in [value] if isinstance(value, str) else value:
            parse_path(path)
        return value

    @field_validator("regex")
    @classmethod
    def _readable(cls, value: str | None) -> str | None:
        if value is not None:
            if len(value) > 1_000:
                raise ValueError("should be at most 1,000 characters")
            check_effort(value)
            try:
                groups = pl.Series([""]).str.extract_groups(value).struct.fields
            except pl.exceptions.PolarsError as error:
                why = [line for line in str(error).splitlines() if line.startswith("error: ")]
                said = f" ({why[0].removeprefix('error: ')})" if why else ""
                raise ValueError(f"is not a regular expression we can run{said}") from None
            if not groups:
                raise ValueError("needs a group in parentheses: the part of the text that counts")
        return value


class WorkedExample(BaseModel):
    """A few inline rollouts of a recipe, and what becomes of each."""

    model_config = ConfigDict(extra="forbid", strict=True)
    rollouts: list[dict[str, Any]]
    becomes: list[str]
