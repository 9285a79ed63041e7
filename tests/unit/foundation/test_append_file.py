"""Outputs that checkpoints cover: whole lines, none lost, none twice, whatever the disk does."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from learnd.daemon.errors import StoreError
from learnd.daemon.foundation.append_file import AppendFile


def open_at(path: Path, mark: int | None) -> AppendFile:
    file = AppendFile(path, "output")
    file.open(mark)
    return file


def script_in(path: Path, body: str, failpoints: str = "") -> subprocess.CompletedProcess[str]:
    """Run `body` with an open `file` in a process of its own."""
    head = (
        "import resource, sys\nfrom pathlib import Path\nfrom learnd.daemon.foundation.append_file import AppendFile\n"
        "from learnd.daemon.errors import StoreError\nfile = AppendFile(Path(sys.argv[1]), 'output')\nfile.open(0)\n"
    )
    environment = os.environ | {"LEARND_FAILPOINTS": failpoints}
    command = [sys.executable, "-c", head + body, path]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment)


def test_a_resume_drops_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "a" / "lines"
    file = open_at(path, 0)
    file.append(b"1\n2\n")
    mark = file.mark()
    file.sync()
    file.append(b"3\n")
    file.close()
    resumed = open_at(path, mark)
    resumed.append(b"30\n")
    resumed.close()
    assert path.read_bytes() == b"1\n2\n30\n"


@pytest.mark.parametrize("torn", [b'{"samples": 3, "ev', b"x" * 200_000])
def test_a_torn_tail_is_dropped(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "lines"
    file = open_at(path, 0)
    file.append(b"1\n2\n")
    mark = file.mark()
    file.close()
    with path.open("ab") as other:
        other.write(torn)
    resumed = open_at(path, mark + len(torn))  # even if the mark is not the end of a line
    resumed.append(b"3\n")
    resumed.close()
    assert path.read_bytes() == b"1\n2\n3\n"


def test_a_file_that_someone_removed_starts_anew(tmp_path: Path) -> None:
    file = open_at(tmp_path / "lines", 500)
    file.append(b"9\n")
    assert file.mark() == 2
    file.close()


def test_a_place_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "lines").mkdir()
    with pytest.raises(StoreError, match=r"lines: output cannot be opened: Is a directory"):
        AppendFile(tmp_path / "lines", "output").open(0)


def test_what_the_disk_does_not_take_is_written_once_it_does(tmp_path: Path) -> None:
    done = script_in(
        tmp_path / "lines",
        """
file.append(b"1\\n")
resource.setrlimit(resource.RLIMIT_FSIZE, (5, resource.RLIM_INFINITY))
for number in (2, 3):
    file.append(b"line %d\\n" % number)
    assert Path(sys.argv[1]).read_bytes() == b"1\\n"
try:
    file.mark()
except StoreError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
file.append(b"4\\n")
assert file.mark() == Path(sys.argv[1]).stat().st_size
""",
    )
    assert done.returncode == 0, done.stderr
    assert "cannot be written: File too large" in done.stdout
    assert (tmp_path / "lines").read_bytes() == b"1\nline 2\nline 3\n4\n"


def test_a_sync_that_fails_is_an_error(tmp_path: Path) -> None:
    done = script_in(tmp_path / "lines", "file.append(b'1\\n'); file.sync()", "output.sync=eio")
    assert "cannot be synced: Input/output error" in done.stderr


def test_a_kill_before_a_write_loses_nothing_before_it(tmp_path: Path) -> None:
    done = script_in(tmp_path / "lines", "for n in range(9): file.append(b'%d\\n' % n)", "output.write=kill@4")
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "lines").read_bytes() == b"0\n1\n2\n"


def test_without_a_mark_nothing_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(b"1\n2\n")
    file = open_at(tmp_path / "lines", None)
    file.append(b"3\n")
    file.close()
    assert (tmp_path / "lines").read_bytes() == b"1\n2\n3\n"
