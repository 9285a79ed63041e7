"""Opens `.keras` files where there are Keras and TensorFlow alone: `python plain_keras.py FOLDER`.

For each `NAME.keras` in the folder it writes what the model gives for the inputs in `NAME.in.npy` to `NAME.out.npy`, or
why it cannot be opened to `NAME.error`.
"""

import re
import subprocess
import sys
import venv
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9._-]+")


def environment(folder: Path) -> Path:
    """Make a virtual environment of Keras, TensorFlow and what they require; return its interpreter.

    Nothing is fetched: it links to the distributions that are installed here.
    """
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    for found in _required({"keras", "tensorflow"}):
        for top in {file.parts[0] for file in found.files or [] if file.parts[0] not in ("..", "__pycache__")}:
            link = packages / top
            if not link.exists():
                link.symlink_to(Path(str(found.locate_file(top))))
    return folder / "bin" / "python"


def _required(names: set[str]) -> list[Distribution]:
    """Return the distributions of these names and all that they require, as far as they are installed."""
    found: dict[str, Distribution] = {}
    wanted = sorted(names)
    while wanted:
        name = wanted.pop().lower()
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue  # for another system, or an extra
        requirements = [text for text in found[name].requires or [] if "extra ==" not in text]
        required = {match[0].lower() for text in requirements if (match := _NAME.match(text))}
        wanted += sorted(required - found.keys())
    return list(found.values())


def open_all(python: Path, folder: Path) -> None:
    """Open all models of a folder with the interpreter of such an environment."""
    subprocess.run([python, "-I", __file__, folder], check=True)


def main(folder: Path) -> None:
    import keras
    import numpy as np

    for path in sorted(folder.glob("*.keras")):
        try:
            model = keras.saving.load_model(path)
            assert not model.compiled
            np.save(
                path.with_suffix(".out.npy"), np.asarray(model(np.load(path.with_suffix(".in.npy")), training=False))
            )
        except Exception as error:  # noqa: BLE001  (whatever it is, it is what a user would see)
            path.with_suffix(".error").write_text(str(error))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
