"""What tests share: where the real rollouts are."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real rollouts beside the repository; they are not part of it."""
    folder = Path(__file__).parents[2] / "shared" / "rollouts"
    if not folder.is_dir():
        pytest.skip(f"no real rollouts at {folder}")
    return folder


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden folders anew")
