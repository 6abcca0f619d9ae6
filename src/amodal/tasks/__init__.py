"""One file an objective-bearing job: names the batch fields it needs and joins a model with its objectives."""

from amodal.tasks.contrastive import Contrastive

__all__ = ["Contrastive"]
