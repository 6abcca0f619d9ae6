"""What verbs print."""

import io
import sys

import pytest

from amodal.cli.shown import say


@pytest.mark.parametrize(("terminal", "start"), [(True, "\r\x1b[2K"), (False, "")])
def test_a_line_takes_the_place_of_a_bar(monkeypatch: pytest.MonkeyPatch, terminal: bool, start: str) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    say("warning: nothing is learnt")
    assert stream.getvalue() == f"{start}warning: nothing is learnt\n"


def test_of_several_processes_the_first_one_speaks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "1")
    say("a line")
    assert capsys.readouterr().err == ""
