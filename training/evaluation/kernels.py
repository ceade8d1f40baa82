"""Counting and exact distances, compiled: what ranking by vectors does on a CPU beside its matrix products.

Each function holds no lock of Python's, so threads share the work by rows. B queries, C entities of a block, D
dimensions, K pairs.
"""

from typing import no_type_check

import numpy as np

from training.compiled import compiled

DOT, L1, L2 = range(3)
"""Kinds of scores: the product, minus the sum of absolute differences, minus that of their squares."""
STRETCH = 128
"""Scores that are looked at one by one where one of them is near."""


@compiled
@no_type_check
def exact_scores(queries, entities, rows, columns, kind, out):
    """out[k] is the score of queries[rows[k]] (B, D) and entities[columns[k]] (C, D), summed in 64 bits.

    The one place where exact scores come from: equal vectors have equal scores to the last bit.
    """
    for k in range(len(rows)):
        query, entity = queries[rows[k]], entities[columns[k]]
        total = 0.0
        if kind == DOT:
            for d in range(len(query)):
                total += np.float64(query[d]) * np.float64(entity[d])
        elif kind == L1:
            for d in range(len(query)):
                total -= abs(np.float64(query[d]) - np.float64(entity[d]))
        else:
            for d in range(len(query)):
                gap = np.float64(query[d]) - np.float64(entity[d])
                total -= gap * gap
        out[k] = total


@compiled
@no_type_check
def count_above(scores, bias, low, high, start, end, above, near):
    """Add to above[i], for start <= i < end, how many of scores[i] - bias (C,) are above high[i]; the cells from low[i]
    to high[i] go to `near` (K, 2) as (row, column), as far as it reaches. Returns how many these are."""
    found, one, none = 0, np.float32(1), np.float32(0)
    for i in range(start, end):
        line, lowest, highest = scores[i], low[i], high[i]
        for left in range(0, len(line), STRETCH):
            right = min(left + STRETCH, len(line))
            # Counted in float32, which holds such numbers exactly and is as wide as the scores: lanes stay in step.
            more, reached = none, none
            for j in range(left, right):
                score = line[j] - bias[j]
                more += one if score > highest else none
                reached += one if score >= lowest else none
            above[i] += np.int64(more)
            if reached > more:
                for j in range(left, right):
                    score = line[j] - bias[j]
                    if score >= lowest and score <= highest:
                        if found < len(near):
                            near[found, 0], near[found, 1] = i, j
                        found += 1
    return found


@compiled
@no_type_check
def minus_l1(queries, entities, start, end, out):
    """out[i, j] = -sum |queries[i] - entities[j]| in 32 bits, for start <= i < end; B, C are multiples of 2 and 4.

    Two queries meet four entities at a time: eight sums in registers for six loads.
    """
    for j in range(0, len(entities), 4):
        e0, e1, e2, e3 = entities[j], entities[j + 1], entities[j + 2], entities[j + 3]
        for i in range(start, end, 2):
            p, q = queries[i], queries[i + 1]
            a = b = c = d = e = f = g = h = np.float32(0)
            for k in range(len(p)):
                x, y = p[k], q[k]
                a -= abs(x - e0[k])
                b -= abs(x - e1[k])
                c -= abs(x - e2[k])
                d -= abs(x - e3[k])
                e -= abs(y - e0[k])
                f -= abs(y - e1[k])
                g -= abs(y - e2[k])
                h -= abs(y - e3[k])
            out[i, j], out[i, j + 1], out[i, j + 2], out[i, j + 3] = a, b, c, d
            out[i + 1, j], out[i + 1, j + 1], out[i + 1, j + 2], out[i + 1, j + 3] = e, f, g, h
