"""`learnd fit`: train on recorded files for some epochs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from learnd.daemon.config.file import located_problems
from learnd.daemon.config.first_look import problems
from learnd.daemon.config.settings import Settings
from learnd.daemon.config.source_choice import SourceChoice
from learnd.daemon.errors import SettingsError
from learnd.daemon.registry import IS_RECORDING, resolve
from learnd.daemon.verbs.options import AsJson, Overrides, SettingsFile, StateOption, load
from learnd.daemon.verbs.run import train

verb = typer.Typer()


@verb.command()
def fit(
    file: SettingsFile,
    data: Annotated[
        Path | None,
        typer.Option("--from", metavar="PATH", help="The files. Default: those of source.files in the settings."),
    ] = None,
    epochs: Annotated[int, typer.Option("--epochs", min=1, metavar="N", help="How many times over.")] = 10,
    shuffle: Annotated[
        bool,
        typer.Option(
            "--shuffle/--no-shuffle",
            metavar="",
            help="Whether each epoch has an order of its own, or that of the files.",
        ),
    ] = True,
    patience: Annotated[
        int | None,
        typer.Option(
            "--patience",
            min=1,
            metavar="N",
            help="Stop when the score of the anchor file, or else the holdout, was no better for so many in a row.",
        ),
    ] = None,
    overrides: Overrides = None,
    state: StateOption = None,
    as_json: AsJson = False,
) -> None:
    """Train on files for some epochs; go on where the last one stopped. `learnd run` goes on from there.

    The records that `validate.holdout` holds out are the same in each epoch. With `--patience` the model that scored
    best is the one that comes out of an early end.
    """
    settings = load(file, overrides, state)
    if patience is not None:
        settings = load(file, [*(overrides or ()), _stopping_early(settings, patience)], state)
    settings = _over_epochs(settings, data, epochs, shuffle=shuffle)
    if found := problems(settings):
        raise SettingsError(found)
    with located_problems(file, overrides or ()):
        train(settings, as_json=as_json, recorded=True)


def _over_epochs(settings: Settings, data: Path | None, epochs: int, *, shuffle: bool) -> Settings:
    """Return the settings with files as the source, several times over. Raises SettingsError if that cannot be."""
    given = settings.source
    if given.name not in ("files", "epochs") and data is None:
        raise SettingsError([f"source.{given.name}: fit takes files; name them with --from"])
    if data is not None and data.is_file() and resolve(IS_RECORDING)(data):
        raise SettingsError([f"{data}: it is of a topic, and fit takes files of records; train on it by learnd replay"])
    chosen: dict[str, Any] = {"epochs": epochs, "shuffle": shuffle, "seed": settings.train.seed}
    chosen["path"] = getattr(given.settings, "path", "") if data is None else str(data)
    limit = getattr(given.settings, "max_record_bytes", None)
    chosen |= {} if limit is None else {"max_record_bytes": limit}
    source = SourceChoice.parse({"epochs": chosen})
    if (problem := source.settings.problem_with(settings.samples.record_format())) is not None:
        raise SettingsError([problem])
    return settings.model_copy(update={"source": source})


def _stopping_early(settings: Settings, patience: int) -> str:
    """Return an override of the reactions: those that are given, and one that ends the run at the best score.

    Of the usual ones the one that is not about a stream that changes stays.
    """
    given = "reactions" in settings.model_fields_set
    rules = [rule for rule in settings.reactions if given or rule.on == "update.non_finite"]
    of = "anchor" if settings.validation.anchor is not None else "holdout"
    stop = {"on": "score.plateau", "of": of, "after": patience, "do": ["stop"]}
    return f"reactions={json.dumps([*(rule.model_dump(mode='json', exclude_unset=True) for rule in rules), stop])}"
