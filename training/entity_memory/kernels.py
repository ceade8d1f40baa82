"""The host backend's updates, compiled: sums of equal ids, state and rows in one pass over memory.

Each function works on the segments [start, end) of grouped ids and holds no lock of Python's, so threads share the work
by segments; a row is in one segment, so the result does not depend on their number. numba's own threads are not used:
they can't be called from two threads, and can't be forked. U distinct ids, N gradients, E entities, D hidden.
"""

from typing import no_type_check

import numpy as np

from training.compiled import compiled


@compiled
@no_type_check
def group(places, count):
    """Places (N,) among `count` distinct ids -> segments (which (count,), order (N,), starts (count + 1,)).

    The gradients of the id at which[k] are those at order[starts[k]:starts[k + 1]], in the order in which they came;
    ids are in the order in which they came first, so that gradients are read nearly one after the other.
    """
    which, segment, found = np.empty(count, np.int64), np.full(count, -1, np.int64), 0
    starts = np.zeros(count + 1, np.int64)
    for place in places:
        if segment[place] < 0:
            which[found], segment[place] = place, found
            found += 1
        starts[segment[place] + 1] += 1
    starts = np.cumsum(starts)
    free, order = starts[:-1].copy(), np.empty(len(places), np.int64)
    for number, place in enumerate(places):
        order[free[segment[place]]] = number
        free[segment[place]] += 1
    return which, order, starts


@compiled
@no_type_check
def gather(weight, ids, rows, start, end):
    """weight[ids[start:end]] into the same places of `rows`."""
    for k in range(start, end):
        source, target = weight[ids[k]], rows[k]
        for j in range(len(target)):
            target[j] = source[j]


@compiled
@no_type_check
def _sum(gradients, order, start, end, buffer):
    """The sum of gradients[order[start:end]]: the gradient itself where there is one, else in the buffer."""
    total = gradients[order[start]]
    if end == start + 1:
        return total
    for j in range(len(buffer)):
        buffer[j] = total[j]
    for k in range(start + 1, end):
        gradient = gradients[order[k]]
        for j in range(len(buffer)):
            buffer[j] += gradient[j]
    return buffer


@compiled
@no_type_check
def adam(weight, moment1, moment2, ids, order, starts, gradients, start, end, size, keep1, keep2, eps):
    """torch.optim.SparseAdam's step of ids[start:end]; `keep1` and `keep2` are 1 - beta, `size` is the step size."""
    buffer = np.empty(weight.shape[1], np.float32)
    for k in range(start, end):
        total = _sum(gradients, order, starts[k], starts[k + 1], buffer)
        row, first, second = weight[ids[k]], moment1[ids[k]], moment2[ids[k]]
        for j in range(len(total)):
            g = total[j]
            m = first[j] + keep1 * (g - first[j])
            v = second[j] + keep2 * (g * g - second[j])
            first[j], second[j] = m, v
            row[j] -= size * m / (np.sqrt(v) + eps)


@compiled
@no_type_check
def adagrad(weight, squares, ids, order, starts, gradients, start, end, size, eps):
    """Row-wise Adagrad's step of ids[start:end]."""
    buffer = np.empty(weight.shape[1], np.float32)
    for k in range(start, end):
        total = _sum(gradients, order, starts[k], starts[k + 1], buffer)
        square = np.float32(0)
        for j in range(len(total)):
            square += total[j] * total[j]
        squares[ids[k]] += square / np.float32(len(total))
        scale = size / (np.sqrt(squares[ids[k]]) + eps)
        row = weight[ids[k]]
        for j in range(len(total)):
            row[j] -= scale * total[j]
