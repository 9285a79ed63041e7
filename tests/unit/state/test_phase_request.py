"""A request for the next phase: done once, and of the phase that it names."""

from pathlib import Path

import pytest

from learnd.daemon.control.phase_request import PhaseRequest


def test_it_is_there_until_it_is_done(tmp_path: Path) -> None:
    request = PhaseRequest(tmp_path)
    assert request.pending(None, 0) is None
    request.write(0)
    asked = request.pending(None, 0)
    assert asked
    assert asked == request.pending("an earlier one", 0)
    assert request.path.exists()
    request.done()
    assert request.pending(None, 0) is None


def test_one_that_was_done_before_a_kill_is_removed(tmp_path: Path) -> None:
    request = PhaseRequest(tmp_path)
    request.write(0)
    done = request.pending(None, 0)
    assert request.pending(done, 1) is None
    assert not request.path.exists()


@pytest.mark.parametrize("text", [None, "", "{}", "[1]", '{"id": "a", "after": "first"}'])
def test_one_of_another_phase_and_what_is_no_request_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None
) -> None:
    request = PhaseRequest(tmp_path)
    request.write(1)
    if text is not None:
        request.path.write_text(text)
    assert request.pending(None, 2) is None
    assert not request.path.exists()
    assert "next_phase_refused" in capsys.readouterr().out
