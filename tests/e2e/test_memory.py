"""Out of memory: said plainly, exit code 70, and nothing is lost."""

from pathlib import Path

from processes import Zygote, refused, succeeded
from streams import prepare

_GIB = 1 << 30


def test_out_of_memory_while_training(zygote: Zygote, digest: str, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "run")
    message = refused(zygote.run(folder, "run", "learnd.yaml", failpoints="loop.updated=memory@20"), 70)
    assert "out of memory" in message
    assert "Nothing is lost" in message
    result = succeeded(zygote.run(folder, "run", "learnd.yaml", "--json", failpoints="checkpoint.write=memory@3"))
    assert "training goes on" in result.stderr
    assert result.json()["digest"] == digest


def test_a_model_that_does_not_fit(zygote: Zygote, tmp_path: Path) -> None:
    huge = {"features": {"a": "float", "c": {"hash": 1 << 24}}, "label": "y"}
    folder = prepare(tmp_path / "run", samples=huge, model={"embedding": 64})
    message = refused(zygote.run(folder, "run", "learnd.yaml", memory=2 * _GIB), 70)
    assert "out of memory" in message
    assert not (folder / "state/checkpoints").exists()
