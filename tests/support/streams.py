"""Small streams, and settings that train on them quickly."""

import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

RECORDS = 1500

_SETTINGS: dict[str, Any] = {
    "model": {"hidden": [8]},
    "source": {"files": {"path": "stream.jsonl"}},
    "samples": {"features": {"a": "float", "b": "float", "c": {"hash": 50}}, "label": "y"},
    "train": {"batch_size": 1, "xla": False, "max_updates_per_call": 16},
    "validate": {"prequential": {"windows": [200], "every": 500}},
    "checkpoint": {"dir": "state", "every": {"samples": 500, "seconds": 1000}, "keep": 3},
    "http": {"listen": None},
}


def records(count: int = RECORDS, seed: int = 11) -> list[dict[str, Any]]:
    """Return records whose label depends on `a` and `b`."""
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        a, b = rng.gauss(0, 1), rng.gauss(5, 3)
        made.append({"a": a, "b": b, "c": rng.randrange(80), "y": int(a * b > 0)})
    return made


def json_lines(values: Iterable[Any]) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def prepare(folder: Path, stream: bytes | None = None, **sections: Any) -> Path:
    """Write stream and settings into a new folder."""
    folder.mkdir(parents=True)
    (folder / "stream.jsonl").write_bytes(json_lines(records()) if stream is None else stream)
    write_settings(folder, **sections)
    return folder


def write_settings(folder: Path, **sections: Any) -> None:
    """Write the settings. A section is merged into the default one, but `source` and `samples` replace it."""
    settings = dict(_SETTINGS)
    for name, section in sections.items():
        whole = name in {"source", "samples"}
        settings[name] = section if whole else _laid_over(_SETTINGS.get(name, {}), section)
    (folder / "learnd.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))


def _laid_over(below: Any, above: Any) -> Any:
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return above
    return {**below, **{key: _laid_over(below.get(key), value) for key, value in above.items()}}


def prepare_to_overfit(folder: Path, *, save_every: int, **sections: Any) -> Path:
    """Write a stream that is soon learnt by heart, with too high a rate for its held-out score to go on falling."""
    return prepare(
        folder,
        json_lines(records(300)),
        train={"batch_size": 4, "max_updates_per_call": 16, "optimizer": {"adam": {"learning_rate": 0.03}}},
        model={"hidden": [32]},
        checkpoint={"every": {"samples": save_every}},
        validate={"holdout": {"share": 0.3, "every": 200}, "prequential": {"windows": [100], "every": 400}},
        **sections,
    )
