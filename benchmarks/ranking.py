"""What ranking takes beside the matrix products that it is made of, LMKE's loop and PyKEEN's evaluator.

    python -m benchmarks.ranking [--data $WIKILOOM_DATA/kg/wn18rr] [--peers lmke,pykeen] [--rounds 3]
    python -m benchmarks.ranking --size wikidata5m [--folder /tmp] [--share 1]

WN18RR's own triples (40,943 entities, 3,134 x 2 queries) with random vectors of 768 numbers, scored by DistMult's
product (beside it p = 2 and p = 1): one thread, CPU seconds, filter included. Each peer runs once over the whole set,
in the same process, and its ranks are compared with ours. Wikidata5M's size is of random triples and vectors
(4,594,485 x 768 in a memory-mapped file of 14 GB under --folder, removed in the end; 5,133 x 2 queries), p = 1 over a
twentieth of the entities; --share takes a part of entities and triples, with all queries. Writes results/ranking.json;
what the other size measured there stays.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.timing import RESULTS, best_cpu_seconds, save
from training.evaluation.facts import Facts
from training.evaluation.ranking import KnownAnswers, rank_triples
from training.evaluation.ranks import Ranks, join, rank_metrics
from training.scoring import Measure, VectorForm

DIM, SIDES, SPLITS = 768, ("head", "tail"), ("train", "valid", "test")
ENTITIES, RELATIONS, TRIPLES, TEST = 4_594_485, 822, 20_614_279, 5_133
"""Of Wikidata5M, transductive."""
BLOCK = 1_024


class Vectors:
    """Random vectors; the product h * r (or t * r) against every entity's, or minus a distance from it."""

    def __init__(self, entities: Tensor, relations: Tensor, measure: Measure = "dot") -> None:
        self.entities, self._relations, self._measure = entities, relations, measure

    def vector_form(self) -> VectorForm:
        return VectorForm(
            self._measure, self.entities, self.query, lambda relations, tails: self.query(tails, relations)
        )

    def query(self, given: Tensor, relations: Tensor) -> Tensor:
        return self.entities[given] * self._relations[relations]

    def tails(self, heads: Tensor, relations: Tensor) -> Tensor:
        return self.query(heads, relations) @ self.entities.T

    def heads(self, relations: Tensor, tails: Tensor) -> Tensor:
        return self.query(tails, relations) @ self.entities.T


def read(folder: Path) -> Facts:
    """WN18RR's triples; its entities are those of any split."""
    lines = {
        split: [tuple(line.split("\t")) for line in (folder / file).read_text(encoding="utf-8").splitlines()]
        for split, file in (("train", "train.tsv"), ("valid", "dev.tsv"), ("test", "test.tsv"))
    }
    rows = [row for part in lines.values() for row in part]
    entities = {name: i for i, name in enumerate(sorted({end for h, _, t in rows for end in (h, t)}))}
    relations = {name: i for i, name in enumerate(sorted({r for _, r, _ in rows}))}
    indices = {
        split: np.array([(entities[h], relations[r], entities[t]) for h, r, t in part]) for split, part in lines.items()
    }
    return Facts(len(entities), len(relations), indices)


def normal(*shape: int, seed: int) -> Tensor:
    """Standard normal numbers."""
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32))


def ours(scorer: Vectors, facts: Facts) -> Ranks:
    """Heads, then tails, with the filters."""
    test = facts.splits["test"]
    return join([rank_triples(scorer, test, side, KnownAnswers(facts, SPLITS, side), facts.entities) for side in SIDES])


def products(queries: Tensor, entities: Tensor, columns: int) -> None:
    """The matrix products alone, blocks of BLOCK queries and so many candidates, into the same memory."""
    out = torch.empty(BLOCK * columns)
    for left in range(0, len(entities), columns):
        block = entities[left : left + columns]
        for top in range(0, len(queries), BLOCK):
            rows = queries[top : top + BLOCK]
            torch.mm(rows, block.T, out=out[: len(rows) * len(block)].view(len(rows), len(block)))


def lmke(scorer: Vectors, facts: Facts) -> Tensor:
    """Filtered ranks of heads, then of tails, as trainer.py of github.com/Neph0s/LMKE (d742869, link_prediction) finds
    them: for each distinct query one row of scores, sorted whole and made a list; for each gold another list without
    the other known answers, searched for it, after the raw rank. Its breakdowns by degree are left out."""
    found = []
    for given, answer in ((2, 0), (0, 2)):
        every: dict[tuple[int, int], list[int]] = defaultdict(list)
        expected: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
        for row in np.concatenate([facts.splits[split] for split in SPLITS]).tolist():
            every[row[1], row[given]].append(row[answer])
        for place, row in enumerate(facts.splits["test"].tolist()):
            expected[row[1], row[given]].append((place, row[answer]))
        ranks = torch.empty(len(facts.splits["test"]), dtype=torch.float64)
        for (relation, entity), golds in expected.items():
            scores = (scorer.query(torch.tensor([entity]), torch.tensor([relation])) @ scorer.entities.T).squeeze()
            tops = scores.argsort(descending=True).tolist()
            for place, gold in golds:
                tops.index(gold)  # the raw rank
                others = {correct for correct in every[relation, entity] if correct != gold}
                left = [top for top in tops if top not in others]
                ranks[place] = left.index(gold) + 1
        found.append(ranks)
    return torch.cat(found)


def pykeen(scorer: Vectors, relations: Tensor, facts: Facts) -> Tensor:
    """Filtered realistic ranks of heads, then of tails, by RankBasedEvaluator in batches of 8: it broadcasts queries x
    entities x dimensions, and 256 ask for 32 GB."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["PYSTOW_HOME"] = home
        from pykeen.evaluation import RankBasedEvaluator
        from pykeen.models import DistMult
        from pykeen.triples import CoreTriplesFactory

        class Kept(RankBasedEvaluator):
            kept: dict[str, Any]

            def finalize(self) -> Any:
                self.kept = {
                    side: np.concatenate(parts) for (side, kind), parts in self.ranks.items() if kind == "realistic"
                }
                return super().finalize()

        parts = {split: torch.from_numpy(triples) for split, triples in facts.splits.items()}
        factory = CoreTriplesFactory(parts["train"], num_entities=facts.entities, num_relations=facts.relations)
        model = DistMult(triples_factory=factory, embedding_dim=DIM, random_seed=0)
        for table, vectors in (
            (model.entity_representations, scorer.entities),
            (model.relation_representations, relations),
        ):
            table[0]._embeddings.weight.data = vectors
        evaluator = Kept(filtered=True)
        known = [parts["train"], parts["valid"]]
        evaluator.evaluate(model, parts["test"], additional_filter_triples=known, batch_size=8, use_tqdm=False)
    return torch.from_numpy(np.concatenate([evaluator.kept[side] for side in SIDES])).double()


def cpu_seconds(run: Callable[[], Any]) -> tuple[Any, float]:
    """What it gives, and how long it took."""
    began = time.process_time()
    return run(), time.process_time() - began


def agreement(theirs: Tensor, mine: Tensor) -> dict[str, float]:
    """How far another's ranks are ours."""
    return {
        "equal_ranks": round((theirs == mine).double().mean().item(), 5),
        "largest_difference": (theirs - mine).abs().max().item(),
        "mrr_difference": abs(rank_metrics(theirs)["mrr"] - rank_metrics(mine)["mrr"]),
    }


def wn18rr(folder: Path, rounds: int, peers: list[str]) -> dict[str, Any]:
    """Figures of WN18RR's size."""
    facts = read(folder)
    entities, relations = normal(facts.entities, DIM, seed=0), normal(facts.relations, DIM, seed=1)
    scorers: dict[Measure, Vectors] = {each: Vectors(entities, relations, each) for each in ("dot", "l2", "l1")}
    heads, between, tails = torch.from_numpy(facts.splits["test"]).unbind(dim=1)
    queries = torch.cat([scorers["dot"].query(tails, between), scorers["dot"].query(heads, between)])
    mine = ours(scorers["dot"], facts).by("realistic")
    ours(scorers["l1"], facts)
    took = best_cpu_seconds(
        {
            **{f"ours, {each}": lambda each=each: ours(scorers[each], facts) for each in scorers},
            "products in our blocks": lambda: products(queries, entities, BLOCK),
            "products of 8,192 candidates": lambda: products(queries, entities, 8 * BLOCK),
            "filter": lambda: [KnownAnswers(facts, SPLITS, side).of(facts.splits["test"]) for side in SIDES],
        },
        rounds,
    )
    gemm = min(took["products in our blocks"], took["products of 8,192 candidates"])
    operations = 2 * len(queries) * facts.entities * DIM
    figures: dict[str, Any] = {
        "entities": facts.entities,
        "queries": len(queries),
        "cpu_seconds": {name: round(seconds, 3) for name, seconds in took.items()},
        "gflops_of_products": round(operations / gemm / 1e9, 1),
        "share_of_product_rate": {each: round(gemm / took[f"ours, {each}"], 3) for each in ("dot", "l2")},
        "mrr": rank_metrics(mine)["mrr"],
        "peers": {},
    }
    run = {"lmke": lambda: lmke(scorers["dot"], facts), "pykeen": lambda: pykeen(scorers["dot"], relations, facts)}
    for peer in peers:
        theirs, seconds = cpu_seconds(run[peer])
        times = seconds / took["ours, dot"]
        figures["peers"][peer] = {
            "cpu_seconds": round(seconds, 1),
            "times_ours": round(times, 1),
            **agreement(theirs, mine),
        }
        print(peer, figures["peers"][peer], flush=True)
    return figures


def wikidata5m(folder: Path, share: float) -> dict[str, Any]:
    """Figures of Wikidata5M's size, or of a share of its entities and triples; the vectors' file is removed."""
    path = folder / f"vectors-{os.getpid()}.npy"
    try:
        return {"share": share, **_wikidata5m(path, int(ENTITIES * share), TEST, int(TRIPLES * share))}
    finally:
        path.unlink(missing_ok=True)


def _wikidata5m(path: Path, entities: int, queries: int, triples: int) -> dict[str, Any]:
    rng, size = np.random.default_rng(0), 65_536
    table = np.lib.format.open_memmap(path, "w+", np.float32, (entities, DIM))
    for start in range(0, entities, size):
        table[start : start + size] = rng.standard_normal(table[start : start + size].shape, dtype=np.float32)
    table.flush()
    mapped, relations = torch.from_numpy(np.load(path, mmap_mode="c")), normal(RELATIONS, DIM, seed=1)
    columns = (rng.integers(0, size, triples) for size in (entities, RELATIONS, entities))
    made = np.stack([*columns], axis=1)
    facts = Facts(entities, RELATIONS, {"train": made[queries:], "valid": made[:0], "test": made[:queries]})
    known, index = cpu_seconds(lambda: {side: KnownAnswers(facts, SPLITS, side) for side in SIDES})
    test, figures = facts.splits["test"], {}

    def rank(measure: Measure, some: Tensor) -> None:
        scorer, few = Vectors(mapped, relations, measure), len(some)
        form = scorer.vector_form()
        narrow = Narrow(VectorForm(measure, some, form.tails, form.heads))
        for side in SIDES:
            asked = test if few == entities else test % [few, RELATIONS, few]
            rank_triples(narrow, asked, side, known[side] if few == entities else None, few)

    heads, between, tails = torch.from_numpy(test).unbind(dim=1)
    scorer = Vectors(mapped, relations)
    asked = torch.cat([scorer.query(tails, between), scorer.query(heads, between)])
    tenth = torch.from_numpy(np.array(mapped[: max(BLOCK, entities // 10)]))
    _, gemm = cpu_seconds(lambda: products(asked, tenth, BLOCK))
    gemm *= entities / len(tenth)
    for measure in ("dot", "l2"):
        _, figures[measure] = cpu_seconds(lambda measure=measure: rank(measure, mapped))
        print(measure, figures[measure], gemm, flush=True)
    some = max(BLOCK, entities // 20)
    _, twentieth = cpu_seconds(lambda: rank("l1", mapped[:some]))
    return {
        "entities": entities,
        "queries": 2 * queries,
        "triples": triples,
        "cpu_seconds": {
            **{name: round(seconds, 1) for name, seconds in figures.items()},
            "l1, from a twentieth": round(twentieth * entities / some, 1),
            "products, from a tenth": round(gemm, 1),
            "filter index": round(index, 1),
        },
        "share_of_product_rate": {name: round(gemm / seconds, 3) for name, seconds in figures.items()},
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 1),
    }


class Narrow(Vectors):
    """A form that is there already."""

    def __init__(self, form: VectorForm) -> None:
        self._form = form

    def vector_form(self) -> VectorForm:
        return self._form


def main() -> None:
    """Measure and print all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("WIKILOOM_DATA", "data")) / "kg" / "wn18rr"
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--size", choices=("wn18rr", "wikidata5m"), default="wn18rr")
    parser.add_argument("--peers", default="lmke,pykeen")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--share", type=float, default=1.0)
    words = parser.parse_args()
    torch.set_num_threads(1)
    if words.size == "wn18rr":
        found = wn18rr(words.data, words.rounds, [peer for peer in words.peers.split(",") if peer])
    else:
        found = wikidata5m(words.folder, words.share)
    print(json.dumps(found, indent=1))
    before = json.loads((RESULTS / "ranking.json").read_text()) if (RESULTS / "ranking.json").is_file() else {}
    print(f"wrote {save('ranking', {**before, words.size: found})}")


if __name__ == "__main__":
    main()
