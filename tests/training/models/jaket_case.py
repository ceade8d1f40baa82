"""A small JAKET and its batches."""

import torch

from schemas.dataset import Dataset
from training.config_file import load_config
from training.sources import open_source
from training.systems import build_system

SMALL = {
    "encoder.hidden_size": "16",
    "encoder.intermediate_size": "32",
    "train.batch_size": "16",
    "train.valid_batches": "2",
    "jaket.roots": "8",
    "jaket.heads": "4",
    "jaket.negatives": "20",
    "jaket.least_members": "2",
}


def make(data, **changes):
    """A run's config, source and system; of a setting's name, __ stands for _."""
    told = {key.replace("__", "-").replace("_", ".").replace("-", "_"): str(value) for key, value in changes.items()}
    settings = SMALL | told
    dataset, config = Dataset(data), load_config("jaket-tiny", settings)
    source = open_source(dataset, dataset.tokens("tiny"))
    torch.manual_seed(0)
    return config, source, build_system(config, source)


def batches_of(system, step=0):
    return system.build(step, system.loader.take(step))
