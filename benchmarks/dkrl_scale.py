"""What DKRL takes on a graph of Wikidata5M's shape, of made-up entities, and what that comes to for all of Wikidata5M.

    python -m benchmarks.dkrl_scale [--entities 300000] [--steps 4] [--queries 40]

Random triples (4.5 an entity, as there) and descriptions of 10 to 60 tokens; one thread, CPU time, peak memory. A step
is the last of --steps and takes as long whatever the graph; all else is scaled by the entities, to the 4,594,485 of
Wikidata5M. Writes results/dkrl_scale.json.
"""

import argparse
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.timing import save
from training.data.batch import Ragged, offsets
from training.data.special import SpecialTokens
from training.data.triples import Descriptions, descriptions
from training.evaluation.facts import Facts
from training.evaluation.ranking import KnownAnswers, rank_triples
from training.models.dkrl import Dkrl, DkrlScorer, DkrlSettings, adam, batches, margin_loss

ENTITIES, RELATIONS, TRIPLES, QUERIES = 4_594_485, 822, 20_614_279, 2 * 5_133
WORDS = 4_000
TRIPLES_OF_AN_ENTITY = TRIPLES / ENTITIES


def made_up(entities: int) -> tuple[Facts, Ragged]:
    """Random triples, and the entities' tokens."""
    rng = np.random.default_rng(0)
    count = int(entities * TRIPLES_OF_AN_ENTITY)
    ends = rng.integers(0, entities, (count, 2))
    triples = np.stack([ends[:, 0], rng.integers(0, RELATIONS, count), ends[:, 1]], axis=1)
    lengths = rng.integers(10, 61, entities)
    tokens = Ragged(rng.integers(5, WORDS, lengths.sum()).astype(np.int32), offsets(lengths))
    return Facts(entities, RELATIONS, {"train": triples, "valid": triples[:0], "test": triples[:0]}), tokens


def cpu_seconds(run: Callable[[], Any]) -> tuple[Any, float]:
    """What it gives, and how long it took."""
    began = time.process_time()
    return run(), time.process_time() - began


def last_step(model: Dkrl, facts: Facts, texts: Descriptions, settings: DkrlSettings, steps: int) -> float:
    """CPU seconds of the last of some steps."""
    epoch, optimizers, took = batches(facts.splits["train"], facts, settings, 0), adam(model, settings.lr), 0.0

    def step() -> None:
        loss = margin_loss(model, next(epoch), texts, settings.margin)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()

    for _ in range(steps):
        _, took = cpu_seconds(step)
    return took


def measure(entities: int, steps: int, queries: int) -> dict[str, Any]:
    """Figures by name."""
    facts, tokens = made_up(entities)
    nothing = Ragged(np.empty(0, np.int32), np.zeros(entities + 1, np.int64))
    settings, special = DkrlSettings(), SpecialTokens(bos=0, pad=1, eos=2, unk=3, mask=4)
    texts = descriptions(tokens, nothing, special, max_length=settings.max_length, encode_tokens=8_192)
    model = Dkrl(settings, WORDS, entities, RELATIONS)
    step = last_step(model, facts, texts, settings, steps)
    triples = facts.splits["train"]
    known, index = cpu_seconds(lambda: KnownAnswers(facts, ("train",), "tail"))
    scorer = DkrlScorer(model.eval(), texts, facts)
    _, read = cpu_seconds(lambda: scorer.tails(torch.tensor([0]), torch.tensor([0])))
    _, rank = cpu_seconds(lambda: rank_triples(scorer, triples[:queries], "tail", known, entities))
    grown, peak = ENTITIES / entities, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    hours = TRIPLES / settings.batch * step / 3_600
    return {
        "step, CPU s": round(step, 2),
        "filter, CPU s": round(index, 1),
        "read all descriptions, CPU s": round(read, 1),
        "rank a query, CPU s": round(rank / queries, 3),
        "peak, GiB": round(peak, 1),
        "Wikidata5M, an epoch, CPU h": round(hours, 1),
        "Wikidata5M, read all descriptions, CPU min": round(read * grown / 60, 1),
        "Wikidata5M, rank test, CPU h": round(rank / queries * grown * QUERIES / 3_600, 1),
        "Wikidata5M, peak, GiB": round(peak * grown, 1),
    }


def main() -> None:
    """Measure and print all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("entities", 300_000), ("steps", 4), ("queries", 40)):
        parser.add_argument(f"--{name}", type=int, default=default)
    words = parser.parse_args()
    torch.set_num_threads(1)
    figures = {"entities": words.entities, **measure(words.entities, words.steps, words.queries)}
    print(*(f"{name}: {value}" for name, value in figures.items()), sep="\n")
    print(f"wrote {save('dkrl_scale', figures)}")


if __name__ == "__main__":
    main()
