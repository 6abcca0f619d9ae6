"""One file an objective-bearing job: names the batch fields it needs and joins a model with its objectives."""

from amodal.tasks.aligning import Aligning
from amodal.tasks.answering import Answering
from amodal.tasks.contrastive import Contrastive
from amodal.tasks.grounded import Grounded, Levels
from amodal.tasks.matching import Matching
from amodal.tasks.mined import MinedContrastive
from amodal.tasks.queued import Queued

__all__ = ["Aligning", "Answering", "Contrastive", "Grounded", "Levels", "Matching", "MinedContrastive", "Queued"]
