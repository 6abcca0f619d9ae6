"""`amodal.load`: the packaged default, a run or any CLIP-like model; `load_fused`: a run that learnt from scenes."""

from pathlib import Path

from amodal.core.devices import pick_device
from amodal.core.errors import RunError, UsageError
from amodal.features import FeatureCache
from amodal.inference.fused import FusedModel
from amodal.inference.model import Model
from amodal.recipes import (
    SceneRecipe,
    is_foreign,
    load_any_model,
    load_run,
    read_calibration,
    read_recipe,
)
from amodal.recipes import load_fused as load_fused_run
from amodal.runs import RunFolder
from amodal.search import PACKAGED_NAME, lasting_name

DEFAULT = Path(__file__).parent / "default"


def load(
    source: str | Path | None = None,
    *,
    device: str = "auto",
    cache: FeatureCache | None = None,
    calibration: Path | None = None,
) -> Model:
    """A model to use: without `source`, or by the name "packaged", the packaged default, else whatever that names.

    source: the folder of a run, of a Hugging Face model or of an open_clip model; a hub's `org/name`;
    `open_clip:ARCHITECTURE:TAG` or `:FILE`; `timm:NETWORK+hf:ENCODER`, which joins two towers by fresh heads. device:
    "auto", "cpu", "cuda" or "mps"; cache: where frozen towers' features are kept; calibration: a file that
    `amodal calibrate --out` wrote, in place of the model's own. Raises UsageError when the name means nothing, RunError
    for a folder without a finished run, WeightsError when weights are missing, changed or unsafe.
    """
    on, kept = pick_device(device), FeatureCache() if cache is None else cache
    source = None if source == PACKAGED_NAME else source
    path = DEFAULT if source is None else Path(source)
    if source is None:
        loaded = load_run(DEFAULT, device=on, cache=kept)
    else:
        loaded = load_any_model(source, device=on, cache=kept)
    if calibration is not None and not calibration.is_file():
        raise UsageError(f"there is no file {calibration}; make it with: amodal calibrate --out {calibration}")
    origin = "" if source is None else lasting_name(source)
    packaged_text = loaded.recipe is not None and loaded.recipe.model.text.tower == "packaged"
    return Model(
        loaded.encoder,
        name="packaged default" if source is None else str(source),
        logit_scale=loaded.logit_scale,
        templates=loaded.evaluation.templates,
        calibrations=read_calibration(calibration or RunFolder(path).calibration),
        source=origin,
        languages=("en",) if packaged_text else (),
    )


def load_fused(source: str | Path, *, device: str = "auto", cache: FeatureCache | None = None) -> FusedModel:
    """A run that learnt from scenes, to match or to answer with. Arguments and errors as in `load`."""
    path = _folder(source)
    recipe = read_recipe(str(RunFolder.open(path).recipe))
    if not isinstance(recipe, SceneRecipe):
        raise RunError(
            f"{path} learnt from pairs and not from scenes: open it with amodal.load, or train one with: amodal train "
            "matching"
        )
    on, kept = pick_device(device), FeatureCache() if cache is None else cache
    return FusedModel(*load_fused_run(recipe, RunFolder.open(path), device=on, cache=kept), name=str(path))


def load_any(source: str | Path | None = None, *, device: str = "auto") -> Model | FusedModel:
    """Whatever can `match`: by `load_fused` a run that learnt from scenes, by `load` anything else."""
    if source not in (None, PACKAGED_NAME) and not is_foreign(source):
        recipe = RunFolder(_folder(source)).recipe
        if recipe.exists() and isinstance(read_recipe(str(recipe)), SceneRecipe):
            return load_fused(source, device=device)
    return load(source, device=device)


def _folder(source: str | Path) -> Path:
    path = Path(source)
    if not path.is_dir():
        raise UsageError(f"there is no model at {path}; give the folder of a run")
    return path
