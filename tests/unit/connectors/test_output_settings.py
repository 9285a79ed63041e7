"""Files that a run writes must not be read by it, nor be written twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from learnd.connectors.files.settings import FilesSettings
from learnd.daemon.compose import output_paths
from learnd.daemon.config.settings import Settings

WHOLE: dict[str, Any] = {
    "source": {"files": {"path": "clicks/*.jsonl"}},
    "samples": {"features": {"a": "float"}, "label": "y"},
}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"predictions": {"file": "clicks/p.jsonl"}}, "predictions.file: the source reads clicks/p.jsonl"),
        (
            {"history": {"tensorboard": "clicks"}, "source": {"files": {"path": "clicks/*"}}},
            "history.tensorboard: the source reads clicks/events",
        ),
        ({"dead_letters": {"file": "clicks/d.jsonl"}}, "dead_letters.file: the source reads clicks/d.jsonl"),
    ],
)
def test_a_file_has_one_use(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Settings.model_validate({**WHOLE, **changes})


@pytest.mark.parametrize(
    ("path", "file", "read"),
    [
        ("a.jsonl", "a.jsonl", True),
        ("a.jsonl", "./a.jsonl", True),
        ("a.jsonl", "b.jsonl", False),
        ("clicks", "clicks/p.jsonl", True),
        ("clicks", "clicks/old/p.jsonl", False),
        ("clicks/*.jsonl", "clicks/p.csv", False),
        ("clicks/*.jsonl", "clicks/old/p.jsonl", False),
        ("clicks/**/*.jsonl", "clicks/old/p.jsonl", True),
    ],
)
def test_a_source_knows_which_files_it_would_read(path: str, file: str, read: bool) -> None:
    assert FilesSettings(path=path).reads_file(Path(file)) is read


def test_every_file_that_is_written_is_known() -> None:
    names = ["dead-letters.jsonl", "scores.jsonl"]
    assert [path.name for path in output_paths(Settings.model_validate(WHOLE))] == names
    more = {"predictions": {"file": "p.jsonl"}, "history": {"tensorboard": "logs"}}
    settings = Settings.model_validate({**WHOLE, **more})
    assert [path.name for path in output_paths(settings)] == [*names, "p.jsonl", "events.out.tfevents.learnd"]
    assert settings.predictions.wanted
