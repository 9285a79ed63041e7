"""The settings of the examples, without their data."""

from pathlib import Path

import pytest

from learnd.daemon.config.file import load_settings

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*/*.yaml"))
ELEC2 = ROOT / "examples" / "elec2" / "learnd.yaml"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_the_settings_are_valid(path: Path) -> None:
    load_settings(path, environ={})


def test_elec2_is_learned_one_by_one_from_every_column_but_the_label() -> None:
    settings = load_settings(ELEC2, environ={})
    columns = [column.name for column in settings.samples.spec(settings.model.task).columns]
    assert columns == ["date", "day", "period", "nswprice", "nswdemand", "vicprice", "vicdemand", "transfer"]
    assert settings.samples.label.field == "down"
    assert settings.train.batch_size == 1
    assert settings.validation.holdout is None


def test_elec2_is_where_the_environment_says_or_beside_the_settings() -> None:
    for environ, expected in (({}, ELEC2.with_name("elec2.csv.gz")), ({"ELEC2": "/data/e.csv"}, Path("/data/e.csv"))):
        assert Path(load_settings(ELEC2, environ=environ).source.settings.model_dump()["path"]) == expected
