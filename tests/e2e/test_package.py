"""What is installed, and what can be imported from it."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from processes import ROOT

import learnd

_BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
_QUICK = (
    "import sys, learnd; learnd.SampleSpec, learnd.load_settings; "
    "sys.exit(bool({'tensorflow', 'keras'} & {*sys.modules}))"
)


def packages(folder: Path, name: str) -> set[str]:
    """Return the packages in a folder of the repository, as they are imported."""
    inner = (init.parent.relative_to(folder).parts for init in folder.rglob("__init__.py"))
    return {".".join((name, *parts)) for parts in inner} - {"learnd.daemon.public"}


def test_a_wheel_holds_every_package_under_one_name(tmp_path: Path) -> None:
    """`daemon` is the name of python-daemon's package: nothing may be installed under it."""
    source, wheels = tmp_path / "source", tmp_path / "wheels"
    for folder in ("daemon", "connectors"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    wheels.mkdir()
    built = subprocess.run(
        [sys.executable, "-c", _BUILD, str(wheels)], cwd=source, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = wheels.iterdir()
    names = [Path(name) for name in zipfile.ZipFile(wheel).namelist()]
    assert {name.parts[0] for name in names if not name.parts[0].endswith(".dist-info")} == {"learnd"}
    expected = packages(ROOT / "daemon", "learnd.daemon") | packages(ROOT / "connectors", "learnd.connectors")
    assert {".".join(name.parent.parts) for name in names if name.name == "__init__.py"} == {"learnd", *expected}
    modules = [path for folder in ("daemon", "connectors") for path in (ROOT / folder).rglob("*.py")]
    assert len([name for name in names if name.suffix == ".py"]) == len(modules)
    page = {path.name for path in (ROOT / "daemon" / "http" / "page").iterdir() if path.is_file()}
    assert {name.name for name in names if name.parent.name == "page"} == page


def test_the_public_names_are_there_and_wait_for_no_tensorflow() -> None:
    assert sorted(learnd.__all__) == learnd.__all__ == dir(learnd)
    assert all(getattr(learnd, name).__name__ == name for name in learnd.__all__)
    assert subprocess.run([sys.executable, "-c", _QUICK], check=False).returncode == 0


def test_the_command_waits_for_nothing_that_only_a_run_needs() -> None:
    loaded = "import sys, learnd.daemon.cli; sys.exit(bool({'tensorflow', 'keras', 'aiohttp'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", loaded], check=False).returncode == 0


def test_a_public_name_that_is_none_is_told_with_those_there_are() -> None:
    with pytest.raises(AttributeError, match=r"'gone'.*SampleSpec"):
        importlib.import_module("learnd").gone  # noqa: B018


def test_python_m_learnd_is_the_command() -> None:
    told = subprocess.run([sys.executable, "-m", "learnd", "--version"], capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.strip()[0].isdecimal()
