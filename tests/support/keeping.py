"""A fixture that compares a test's results with stored ones or, with `--keep`, stores them anew."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.kept import differences

SHOWN = 12


@pytest.fixture
def hold(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Compare a text with a kept file; with `--keep`, write the file instead."""

    def against(kept: Path, text: str) -> None:
        text = text.rstrip() + "\n"
        if request.config.getoption("--keep"):
            kept.parent.mkdir(exist_ok=True)
            kept.write_text(text, encoding="utf-8")
        found = differences(kept.read_text(encoding="utf-8"), text)
        assert not found, "\n".join([f"{kept.name}: {len(found)} differences", *found[:SHOWN]])

    return against
