"""`amodal.load`: the packaged default, or a run."""

from pathlib import Path

from amodal.core.devices import pick_device
from amodal.core.errors import UsageError
from amodal.features import FeatureCache
from amodal.inference.model import Model
from amodal.recipes import load_run

DEFAULT = Path(__file__).parent / "default"


def load(source: str | Path | None = None, *, device: str = "auto", cache: FeatureCache | None = None) -> Model:
    """A model to use: without `source` the packaged default, else the run folder of that path.

    device: "auto", "cpu", "cuda" or "mps"; cache: where frozen towers' features are kept. Raises UsageError when there
    is no such folder, RunError when it is no run, WeightsError when a packaged tower is missing or changed.
    """
    path = DEFAULT if source is None else Path(source)
    if not path.is_dir():
        raise UsageError(f"there is no model at {path}; give a run folder, or nothing for the packaged default")
    loaded = load_run(path, device=pick_device(device), cache=FeatureCache() if cache is None else cache)
    name = "packaged default" if source is None else str(path)
    templates = loaded.recipe.evaluation.templates
    return Model(loaded.encoder, name=name, logit_scale=loaded.logit_scale, templates=templates)
