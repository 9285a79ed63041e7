"""Opens `.keras` files where there is Keras and no learnd: `python -I plain_keras.py FOLDER`.

For each `NAME.keras` in the folder it writes what the model gives for the inputs in `NAME.in.npy` to `NAME.out.npy`, or
why it cannot be opened to `NAME.error`.
"""

import subprocess
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any, NoReturn

FORBIDDEN = frozenset({"learnd", "daemon", "connectors"})


class Refuses(MetaPathFinder):
    """Lets nobody import learnd, under no name that its code has."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> None:  # noqa: ARG002
        if name.partition(".")[0] in FORBIDDEN:
            raise ModuleNotFoundError(f"there is no {name} here", name=name)


def open_all(folder: Path) -> None:
    """Open all models of a folder in a process without learnd."""
    subprocess.run([sys.executable, "-I", __file__, folder], check=True)


def main(folder: Path) -> NoReturn:
    sys.meta_path.insert(0, Refuses())
    import keras
    import numpy as np

    for path in sorted(folder.glob("*.keras")):
        try:
            model = keras.saving.load_model(path)
            assert not model.compiled
            np.save(path.with_suffix(".out.npy"), np.asarray(model(np.load(path.with_suffix(".in.npy")))))
        except Exception as error:  # noqa: BLE001  (whatever it is, it is what a user would see)
            path.with_suffix(".error").write_text(str(error))
    sys.exit(0 if not FORBIDDEN & {name.partition(".")[0] for name in sys.modules} else 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
