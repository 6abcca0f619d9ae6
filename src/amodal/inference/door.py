"""`amodal.load`: the packaged default, or a run; `amodal.load_fused`: a run that learnt from scenes."""

from pathlib import Path

from amodal.core.devices import pick_device
from amodal.core.errors import RunError, UsageError
from amodal.features import FeatureCache
from amodal.inference.fused import FusedModel
from amodal.inference.model import Model
from amodal.recipes import SceneRecipe, load_run, read_calibration, read_recipe
from amodal.recipes import load_fused as load_fused_run
from amodal.runs import RunFolder

DEFAULT = Path(__file__).parent / "default"


def load(
    source: str | Path | None = None,
    *,
    device: str = "auto",
    cache: FeatureCache | None = None,
    calibration: Path | None = None,
) -> Model:
    """A model to use: without `source` the packaged default, else the run folder of that path.

    device: "auto", "cpu", "cuda" or "mps"; cache: where frozen towers' features are kept; calibration: a file that
    `amodal calibrate --out` wrote, in place of the model's own. Raises UsageError when there
    is no such folder, RunError when it is no run, WeightsError when a packaged tower is missing or changed.
    """
    path = DEFAULT if source is None else _folder(source)
    loaded = load_run(path, device=pick_device(device), cache=FeatureCache() if cache is None else cache)
    name = "packaged default" if source is None else str(path)
    templates = loaded.recipe.evaluation.templates
    if calibration is not None and not calibration.is_file():
        raise UsageError(f"there is no file {calibration}; make it with: amodal calibrate --out {calibration}")
    return Model(
        loaded.encoder,
        name=name,
        logit_scale=loaded.logit_scale,
        templates=templates,
        calibrations=read_calibration(calibration or RunFolder(path).calibration),
        source="" if source is None else str(path.absolute()),
        languages=("en",) if loaded.recipe.model.text.tower == "packaged" else (),
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
    if source is not None:
        recipe = RunFolder(_folder(source)).recipe
        if recipe.exists() and isinstance(read_recipe(str(recipe)), SceneRecipe):
            return load_fused(source, device=device)
    return load(source, device=device)


def _folder(source: str | Path) -> Path:
    path = Path(source)
    if not path.is_dir():
        raise UsageError(f"there is no model at {path}; give a run folder, or nothing for the packaged default")
    return path
