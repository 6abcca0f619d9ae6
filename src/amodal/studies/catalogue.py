"""The studies by name. A new study is a file here and a line in `STUDIES`."""

import difflib

from amodal.core.errors import UsageError
from amodal.studies.batch_size import BatchSize
from amodal.studies.curriculum import Curriculum
from amodal.studies.data_scale import DataScale
from amodal.studies.fusion import Fusion
from amodal.studies.levels import Levels
from amodal.studies.mined_negatives import MinedNegatives
from amodal.studies.mutual_information import MutualInformation
from amodal.studies.noise import Noise
from amodal.studies.study import Study
from amodal.studies.temperature import Temperature

STUDIES: dict[str, type[Study]] = {
    study.name: study
    for study in (
        MutualInformation,
        Temperature,
        DataScale,
        Noise,
        BatchSize,
        Fusion,
        Levels,
        Curriculum,
        MinedNegatives,
    )
}


def study_class(name: str) -> type[Study]:
    """The study of this name. Raises UsageError with the nearest name."""
    if name not in STUDIES:
        near = difflib.get_close_matches(name, STUDIES, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UsageError(f"no study {name!r}; {hint}there are {', '.join(STUDIES)}")
    return STUDIES[name]
