"""Progress: a bar on a terminal, plain lines in a file, nothing on standard output."""

import pytest

from amodal.core.progress import SECONDS_BETWEEN_LINES, clock, progress


class Clock:
    """A clock that a test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("time.monotonic", lambda: self.now)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_plain_lines_in_a_file(watch: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress("train", 1000, "pairs") as bar:
        for _ in range(4):
            watch.now += SECONDS_BETWEEN_LINES / 2
            bar.update(100, note="loss 1.5")
    told = capsys.readouterr()
    assert told.out == ""
    assert (
        told.err
        == "train 200/1,000 pairs · 20/s · 40 s left loss 1.5\ntrain 400/1,000 pairs · 20/s · 30 s left loss 1.5\n"
    )
    assert "\r" not in told.err


def test_bar_on_a_terminal(watch: Clock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress("train", 4, "steps") as bar:
        watch.now += 1
        bar.update(2)
        watch.now += 0.01  # too soon to be drawn again
        bar.update(1)
    told = capsys.readouterr().err
    assert "━" * 12 + "─" * 12 in told
    assert "train 2/4 steps · 2/s · 1 s left" in told
    assert "3/4" not in told
    assert told.endswith("\r\x1b[2K")


def test_resumed_work_counts_its_own_rate(watch: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress("train", 1000, "pairs", done=900) as bar:
        watch.now += SECONDS_BETWEEN_LINES
        bar.update(50)
    assert "950/1,000 pairs · 5/s · 10 s left" in capsys.readouterr().err


def test_terminal_is_cleared_when_the_work_fails(
    watch: Clock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with pytest.raises(KeyError), progress("train", 4, "steps"):
        raise KeyError
    assert capsys.readouterr().err.endswith("\x1b[2K")


def test_no_items_and_no_time_do_not_divide_by_zero(watch: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress("train", 0, "steps") as bar:
        watch.now += SECONDS_BETWEEN_LINES
        bar.update(0)
    assert "0/0 steps · 0/s · ? left" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (float("inf"), "?")],
)
def test_clock(seconds: float, told: str) -> None:
    assert clock(seconds) == told


def test_inside_another_one_nothing_is_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amodal.core.progress.SECONDS_BETWEEN_LINES", 0.0)
    with progress("Outer", 2, "parts") as outer:
        with progress("Inner", 5, "rows") as inner:
            inner.update(5)
        outer.update()
    assert inner.done == 5
    said = capsys.readouterr().err
    assert "Outer 1/2 parts" in said
    assert "Inner" not in said
