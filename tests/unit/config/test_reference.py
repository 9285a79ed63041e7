from __future__ import annotations

from pathlib import Path

from learnd.daemon.config.reference import reference

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"


def test_the_committed_page_is_the_one_that_the_models_give() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), "docs/settings.md is stale: run `make docs`"


def test_every_key_says_what_it_means() -> None:
    rows = [line for line in reference().splitlines() if line.startswith("| `")]
    assert len(rows) > 50
    assert not [row for row in rows if row.endswith("|  |")]
