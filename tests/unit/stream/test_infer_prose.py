"""Which fields and folders `init` takes for texts; and which not, though they are of words."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from blocks import blocks_of

from learnd.connectors.files.settings import FilesSettings
from learnd.daemon.config.file import load_settings
from learnd.daemon.config.settings import Settings
from learnd.daemon.errors import DataError
from learnd.daemon.stream.inferring.folders import for_folders
from learnd.daemon.stream.inferring.guesses import Known
from learnd.daemon.stream.inferring.infer import infer_settings

FIRST = ["Anna", "Owen", "Bridget", "Lily", "Karl", "Mae", "Hugo", "Ida", "Noah", "Ada"]
LAST = ["Braund", "Cumings", "Heikkinen", "Futrelle", "Allen", "Moran", "Sandstrom", "Bonnell", "de la Rosa"]
SAID = [
    "it came late",
    "the colour isn't right",
    "very happy with it",
    "would buy again",
    "not worth the money",
    "so-so",
]
rng = random.Random(7)


def review() -> str:
    said = "; ".join(rng.sample(SAID, rng.randint(2, 4)))
    return f"{said.capitalize()} after {rng.randrange(400)} days."


TEXTS = [review() for _ in range(300)]


def file_of(folder: Path, column: list[str]) -> Path:
    """Write a number, a column `x` of texts, and a column of 0 and 1."""
    rows = [f"{n * 37 % 101 / 7},{cell},{n % 2}" for n, cell in enumerate(column)]
    (folder / "d.csv").write_text("\n".join(["a,x,y", *rows]) + "\n")
    return folder / "d.csv"


def inferred(data: Path, **known: str) -> tuple[str, Settings]:
    source = FilesSettings(path=str(data))
    text = infer_settings(data, source.files(), source.samples, Known(**known), data.parent)
    (data.parent / "learnd.yaml").write_text(text, encoding="utf-8")
    return text, load_settings(data.parent / "learnd.yaml")


@pytest.mark.parametrize("column", [TEXTS, [text if n % 9 else "" for n, text in enumerate(TEXTS)], [*TEXTS, "?!"]])
def test_texts_are_texts(tmp_path: Path, column: list[str]) -> None:
    data = file_of(tmp_path, column)
    text, settings = inferred(data)
    feature = settings.samples.features["x"]
    assert feature.text is not None, text
    assert (feature.text.length, feature.text.hash) == (32, 1024)
    assert feature.default == ("" if column is not TEXTS else None)
    assert "x: {text: {length: 32, hash: 1024}" in text
    assert settings.samples.label.field == "y"
    blocks = blocks_of(data, settings.samples, settings.samples.spec(settings.model.task))
    assert not any(block.rejections for block in blocks)


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ([f"{rng.choice(LAST)}; Mr. {rng.choice(FIRST)} {rng.choice(FIRST)} {n:c}" for n in range(97, 397)], None),
        ([f"{rng.choice(FIRST)} {rng.choice(LAST)}" for _ in range(300)], "hash"),
        ([f"order no {n} of {n % 7} / x{n}" for n in range(300)], None),
        ([rng.choice(["not at all", "a little of the time", "most of the time"]) for _ in range(300)], "values"),
        ([f"reason {n % 40} of those that are known" for n in range(300)], "hash"),
        ([f"{n:08x} {n * 7919:08x} {n * 31:08x} {n * 17:08x}" for n in range(300)], None),
        ([f"https://example.org/{n}/a-b-c" for n in range(300)], None),
        ([f"{1 + n % 28} January 20{n % 24:02}" for n in range(300)], "timestamp"),
        (["red wine", "white wine", "sparkling water", "apple juice"] * 75, "values"),
    ],
)
def test_names_ids_dates_and_categories_are_none(tmp_path: Path, column: list[str], kind: str | None) -> None:
    text, settings = inferred(file_of(tmp_path, column))
    feature = settings.samples.features.get("x")
    assert (None if feature is None else feature.kind.key) == kind, text


def test_names_may_yet_be_learnt_by_their_words(tmp_path: Path) -> None:
    names = [f"{rng.choice(LAST)} {rng.choice(FIRST)} {n:c}" for n in range(97, 397)]
    text, _ = inferred(file_of(tmp_path, names))
    assert "# x is left out: it is different in every record; to learn from its words: {text: {length: 8, ha" in text
    text, _ = inferred(file_of(tmp_path, [f"n-{n}" for n in range(300)]))
    assert "# x is left out: it is different in every record\n" in text


def test_a_text_is_no_label(tmp_path: Path) -> None:
    data = file_of(tmp_path, TEXTS)
    for known, words in (({}, "texts of many words, which no task learns"), ({"task": "classes"}, "prose values")):
        with pytest.raises(DataError, match=words):
            inferred(data, label="x", **known)


def folders(root: Path, names: str = "{}.txt", **classes: Any) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for name, content in classes.items():
        (root / name).mkdir(parents=True)
        for number in range(3):
            path = root / name / names.format(number)
            path.write_bytes(content)
            found.setdefault(name, []).append(path)
    return found


@pytest.mark.parametrize("names", ["{}.txt", "{}", "a{}.TXT"])
def test_folders_of_texts(tmp_path: Path, names: str) -> None:
    given = folders(tmp_path / "mail", names, spam=b"Win a prize, win it now!", ham="Grüße, bis später.".encode() * 9)
    ((path, text),) = for_folders(tmp_path / "mail", given, tmp_path / "learnd.yaml").items()
    path.write_text(text)
    settings = load_settings(path)
    form = settings.samples.features["text"].text
    assert form is not None
    assert (form.length, form.hash, settings.model.preset) == (32, 1024, "auto")
    assert settings.samples.label.classes == ["spam", "ham"]


@pytest.mark.parametrize(
    ("names", "content"),
    [
        ("{}.csv", b"a,b\n1,2\n"),
        ("{}.jsonl", b"{}\n"),
        ("part-{}", b'{"a": 1}\n'),
        ("{}", b"\0\1"),
        ("{}.txt", b"\xff\xfea\0"),
    ],
)
def test_folders_of_other_things(tmp_path: Path, names: str, content: bytes) -> None:
    given = folders(tmp_path / "mail", names, a=content, b=content)
    assert not for_folders(tmp_path / "mail", given, tmp_path / "learnd.yaml")
    assert not for_folders(tmp_path / "mail", {"a": given["a"]}, tmp_path / "learnd.yaml")
