"""diagnosis.json: written, read back, the gravest first."""

from pathlib import Path

import pytest

from amodal.core.errors import RunError
from amodal.runs import Finding, RunFolder, read_findings, write_findings

NOTE = Finding(name="modality gap", severity="note", says="They lie apart.", first=3, last=9)
CUT = Finding(name="captions cut", severity="warning", says="3 % | are cut.", first=0, last=0)
STOP = Finding(name="not finite", severity="error", says="A row.", first=1200, last=1200)


def test_what_is_written_is_read_the_gravest_first(tmp_path: Path) -> None:
    path = RunFolder(tmp_path).diagnosis
    assert read_findings(path) is None
    write_findings(path, [NOTE, STOP, CUT])
    assert read_findings(path) == [STOP, CUT, NOTE]
    write_findings(path, [])
    assert read_findings(path) == []


@pytest.mark.parametrize("text", ["[]", "{}", '{"findings": [{"name": "x"}]}', "{"])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    path = RunFolder(tmp_path).diagnosis
    path.write_text(text)
    with pytest.raises(RunError, match=r"diagnosis\.json"):
        read_findings(path)


def test_its_steps_in_words() -> None:
    assert (CUT.when, STOP.when, NOTE.when) == ("before training", "step 1,200", "steps 3 to 9")
