"""What the training loop needs of a recipe."""

from amodal.recipes.schema import TrainingConfig
from amodal.training import Settings


def settings(training: TrainingConfig, *, workers: int = 0) -> Settings:
    """What the loop needs of a recipe's training part; workers: where it does not say."""
    taken = training.model_dump(exclude={"batch_size", "augment", "precision", "shard", "bucket"})
    return Settings(**{**taken, "workers": workers if training.workers is None else training.workers})
