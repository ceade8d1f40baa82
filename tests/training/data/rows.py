"""Streams of numbered rows, for tests of their order."""

import dataclasses
import hashlib

import numpy as np
import pyarrow as pa

from training.config import DataConfig
from training.data.faults import Damaged
from training.data.loader import Loader
from training.data.stream import SOLE


@dataclasses.dataclass
class Numbered:
    """Row groups of these sizes; a row has its number, and a list as long as the number's last digit says."""

    sizes: np.ndarray
    bad: frozenset[int] = frozenset()
    schema = pa.schema([("number", pa.int64()), ("values", pa.list_(pa.int32()))])

    def read(self, group):
        if group in self.bad:
            raise Damaged(f"{self.name(group)}, is damaged (made so). Run wikiloom validate")
        first = int(self.sizes[:group].sum())
        numbers = range(first, first + int(self.sizes[group]))
        return pa.table([list(numbers), [[n] * (n % 10) for n in numbers]], schema=self.schema)

    def name(self, group):
        return f"made-up.parquet, row group {group}"


def numbered(*sizes, bad=()):
    return Numbered(np.array(sizes, dtype=np.int64), frozenset(bad))


def loader(groups, weights, *, batch=None, rank=SOLE, agree=None, seed=0, digest="d", **settings):
    options = {"agree": agree} if agree else {}
    settings = DataConfig(digest=digest, **{"ahead": 0, **settings})
    return Loader(groups, weights, settings, seed=seed, batch=batch, rank=rank, **options)


def told(parts):
    """(stream, epoch, number, values) of every row of a rank's share, in order."""
    rows = []
    for name, part in parts.items():
        values = part.columns.lists["values"]
        for i, number in enumerate(part.columns.numbers["number"].tolist()):
            rows.append((name, int(part.epochs[i]), number, values.slice(i, i + 1).values.tolist()))
    return rows


def order_hash(shares_by_step):
    """sha256 over batches, each given as the shares of its ranks: what they hold stream by stream, in order."""
    whole = hashlib.sha256()
    for shares in shares_by_step:
        for name in shares[0]:
            for array in ("numbers", "epochs", "lengths", "values"):
                for share in shares:
                    lists = share[name].columns.lists["values"]
                    arrays = {"numbers": share[name].columns.numbers["number"], "epochs": share[name].epochs}
                    arrays |= {"lengths": lists.lengths, "values": lists.values}
                    whole.update(arrays[array].tobytes())
    return whole.hexdigest()
