"""limits.html: whole, self-contained, escaped, models side by side, examples with their pictures."""

import re
from pathlib import Path

import numpy as np
from PIL import Image

from amodal.audit import Trial, limits_headline, measure, write_limits_page
from amodal.data.bundled import ATTRIBUTION

TRIALS = {
    "counting": [Trial(Image.new("RGB", (8, 8)), f"<b>{n}</b> cats", "no cats", str(n)) for n in range(6)],
    "rare": [Trial(Image.new("RGB", (8, 8)), "moai", "microbe", "moai")],
}


def test_the_page_shows_models_side_by_side(tmp_path: Path) -> None:
    models = {
        "a <dual> encoder": lambda pictures, texts: np.zeros(len(texts)),
        "fused": lambda pictures, texts: np.array([text not in ("no cats", "microbe") for text in texts], dtype=float),
    }
    measured = measure(models, TRIALS, "seen")
    page = write_limits_page(tmp_path / "new" / "limits.html", measured).read_text(encoding="utf-8")
    counted = measure(models, {"counting": TRIALS["counting"]}, "seen")
    assert limits_headline(counted) == "a <dual> encoder does not tell: how many. fused tells all of them."
    assert limits_headline(measured).endswith("Too few trials to say what fused tells of: rare names.")
    assert "all of them" not in limits_headline(measured)
    assert "a &lt;dual&gt; encoder" in page
    assert "<dual>" not in page
    assert "&lt;b&gt;0&lt;/b&gt; cats" in page
    assert "0.50 (0.50 to 0.50)" in page
    assert "1.00 (1.00 to 1.00)" in page
    assert "Left or right" not in page  # nothing was tried
    assert len(re.findall(r'<img class="thumb" src="data:image/', page)) == 4 + 1
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page)
    assert "<script" not in page
    assert ATTRIBUTION.split(",")[0] in page
