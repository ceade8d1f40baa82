"""One training step of a model in a test."""

import torch

from training.data.stream import SOLE
from training.ranks import Ranks
from training.step import LABELS, learner, part, train_step, whole_batch

ALONE = Ranks(SOLE, torch.device("cpu"))


def step_of(config, model, batches):
    """The mean losses of the first step of a run on these micro-batches; the gradients stay to be looked at."""
    labels = part(whole_batch(batches, model, ALONE), LABELS)
    return train_step(learner(config, model, ALONE), batches, labels, 0, config.optim.lr)
