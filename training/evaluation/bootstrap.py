"""Micro and macro means of samples, and how far they would move with other samples (Efron's percentile bootstrap).

A resample draws N of the N samples with replacement, by counter-based hashes. Both means are linear in the samples'
values, so the interval of a paired difference of two systems is that of their values' differences. N samples, K values
of each, G groups, B resamples; means have micro in row 0 and macro in row 1.
"""

import numpy as np
from jaxtyping import Float64, Int64

from schemas.hashing import random_u64

AT_ONCE = 2**22
"""Draws in memory at a time."""
_HALF = np.uint64(32)


def means(values: Float64[np.ndarray, "N K"], groups: Int64[np.ndarray, " N"]) -> Float64[np.ndarray, "2 K"]:
    """The mean over all samples, and the mean over groups of the mean within each."""
    return _weighted(values, groups, np.ones((1, len(values)), np.int64))[0]


def resampled(
    values: Float64[np.ndarray, "N K"],
    groups: Int64[np.ndarray, " N"],
    *,
    seed: int,
    resamples: int,
) -> Float64[np.ndarray, "B 2 K"]:
    """The same of each resample; a group that it has no sample of is left out of its macro mean."""
    count = len(values)
    samples, size = np.arange(count), max(1, AT_ONCE // max(1, count))
    parts = [np.empty((0, 2, values.shape[1]))]
    for start in range(0, resamples, size):
        rows = np.arange(start, min(start + size, resamples))
        words = random_u64(seed, "bootstrap", rows[:, None], samples)
        drawn = ((words >> _HALF) * np.uint64(count) >> _HALF).astype(np.int64)
        cells = np.arange(len(rows))[:, None] * count + drawn
        times = np.bincount(cells.ravel(), minlength=len(rows) * count).reshape(len(rows), count)
        parts.append(_weighted(values, groups, times))
    return np.concatenate(parts)


def interval(statistics: Float64[np.ndarray, "B ..."]) -> Float64[np.ndarray, "2 ..."]:
    """The ends of the 95 % interval of each statistic over its resamples."""
    return np.quantile(statistics, [0.025, 0.975], axis=0)


def _weighted(
    values: Float64[np.ndarray, "N K"], groups: Int64[np.ndarray, " N"], times: Int64[np.ndarray, "B N"]
) -> Float64[np.ndarray, "B 2 K"]:
    """The means with each sample counted so many times."""
    _, group = np.unique(groups, return_inverse=True)
    member = (group[:, None] == np.arange(group.max(initial=-1) + 1)).astype(np.float64)
    sizes, weights = times @ member, times.astype(np.float64)
    present = (sizes > 0).sum(axis=1)
    macro = [
        (np.divide(weights @ (member * column[:, None]), sizes, out=np.zeros_like(sizes), where=sizes > 0)).sum(axis=1)
        for column in values.T
    ]
    micro = weights @ values / len(values)
    return np.stack([micro, np.stack(macro, axis=1) / present[:, None]], axis=1)
