"""Ranks by vectors: brute force in exact numbers, whatever the block, the precision, the place and an interruption."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import DataError
from tests.training.evaluation.test_ranking import brute_force, random_facts
from training.evaluation import blocks, kernels, state_file, vector_ranking
from training.evaluation.ranking import Candidates, KnownAnswers, rank_triples
from training.evaluation.state_file import StateFile
from training.evaluation.vector_ranking import rank_by_vectors
from training.models.frozen_encoder import FrozenEncoder, FrozenEncoderScorer, FrozenEncoderSettings
from training.scoring import Scorer, VectorScorer

MEASURES = ("dot", "l1", "l2")


def exact(measure, query, entity):
    """The score in rational numbers."""
    pairs = [(Fraction(float(a)), Fraction(float(b))) for a, b in zip(query, entity, strict=True)]
    if measure == "dot":
        return sum(a * b for a, b in pairs)
    return -sum(abs(a - b) if measure == "l1" else (a - b) ** 2 for a, b in pairs)


@st.composite
def tables(draw):
    """Vectors of a few values: most draws have ties, and sums that are exact in 64 bits, but not in 32."""
    seed, queries, candidates = draw(st.integers(0, 9_999)), draw(st.integers(1, 7)), draw(st.integers(1, 23))
    rng, values = np.random.default_rng(seed), np.array([-1, 0, 0.25, 0.25 + 2**-12, 2**-11, 64], np.float32)
    own, rows = rng.choice(values, (queries, 3)), rng.choice(values, (candidates, 3))
    gold, given_ = rng.integers(0, candidates, queries), rng.integers(-1, candidates, queries)
    cells = np.argwhere(rng.random((queries, candidates)) < draw(st.sampled_from([0.0, 0.3])))
    return (*(torch.from_numpy(each) for each in (own, rows, gold, given_)), cells)


def small_blocks(patch, host=blocks.HostBlocks, *, side=4):
    patch.setattr(vector_ranking, "SLAB", 2 * side)
    patch.setattr(vector_ranking, "SIDE", side)
    patch.setattr(blocks.HostBlocks, "columns", side)
    patch.setattr(blocks, "PAIRS", 3)
    patch.setattr(vector_ranking, "HostBlocks", host)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    # What a CUDA device does can be done on the CPU as well.
    "host",
    [blocks.HostBlocks, lambda: blocks.DeviceBlocks(torch.device("cpu"))],
    ids=["cpu", "gpu"],
)
@given(tables())
@settings(max_examples=20)
def test_ranks_equal_brute_force_in_exact_numbers(measure, precision, host, table):
    queries, entities, gold, own, cells = table
    known = (torch.from_numpy(cells[:, 0].copy()), torch.from_numpy(cells[:, 1].copy()))
    with pytest.MonkeyPatch.context() as patch:
        small_blocks(patch, host)
        ranks = rank_by_vectors(measure, entities, queries, gold, known, own, precision=precision)
    for row, (query, right, given_) in enumerate(zip(queries, gold.tolist(), own.tolist(), strict=True)):
        scores = [exact(measure, query, entity) for entity in entities]
        others = {column for at, column in cells.tolist() if at == row}
        assert (ranks.optimistic[row], ranks.pessimistic[row]) == brute_force(scores, right, others)
        without = ranks.without_own()
        found = (without.optimistic[row], without.pessimistic[row])
        assert found == brute_force(scores, right, others | {given_})


@pytest.mark.parametrize("measure", MEASURES)
def test_no_rank_depends_on_the_block(measure, monkeypatch):
    torch.manual_seed(0)
    entities, queries, gold = torch.randn(120, 24), torch.randn(40, 24), torch.randint(0, 120, (40,))
    whole = rank_by_vectors(measure, entities, queries, gold)
    small_blocks(monkeypatch, side=16)
    cut = rank_by_vectors(measure, entities, queries, gold)
    some = rank_by_vectors(measure, entities, queries[:17], gold[:17], precision="bf16")
    assert torch.equal(whole.optimistic, cut.optimistic) and torch.equal(whole.pessimistic, cut.pessimistic)
    assert torch.equal(whole.optimistic[:17], some.optimistic)


@pytest.mark.parametrize("place", [blocks.HostBlocks, lambda: blocks.DeviceBlocks(torch.device("cpu"))])
def test_products_are_summed_in_32_bits_whatever_the_process_has_chosen(place, monkeypatch):
    matmul, product, seen = torch.backends.cuda.matmul, torch.mm, []

    def watched(one, other, **more):
        seen.append((matmul.fp32_precision, matmul.allow_bf16_reduced_precision_reduction))
        return product(one, other, **more)

    monkeypatch.setattr(torch.Tensor, "mm", watched)
    monkeypatch.setattr(torch, "mm", watched)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        for precision in ("fp32", "bf16"):
            place().scores(torch.ones(4, 2), torch.ones(4, 2), kernels.DOT, precision)
        assert seen == [("ieee", False)] * 2
        assert torch.get_float32_matmul_precision() == "medium" and matmul.allow_bf16_reduced_precision_reduction
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("measure", MEASURES)
def test_threads_share_the_work(measure, monkeypatch):
    torch.manual_seed(0)
    entities, queries, gold = torch.randn(300, 8), torch.randn(51, 8), torch.randint(0, 300, (51,))
    alone = rank_by_vectors(measure, entities, queries, gold)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    shared = rank_by_vectors(measure, entities, queries, gold)
    assert torch.equal(alone.optimistic, shared.optimistic)


def test_a_memory_mapped_table_is_ranked_as_one_in_memory(tmp_path):
    torch.manual_seed(0)
    entities, queries, gold = torch.randn(50, 8), torch.randn(5, 8), torch.randint(0, 50, (5,))
    np.save(tmp_path / "vectors.npy", entities.numpy())
    mapped = torch.from_numpy(np.load(tmp_path / "vectors.npy", mmap_mode="c"))
    ranks = [rank_by_vectors("l2", table, queries, gold).optimistic for table in (entities, mapped)]
    assert torch.equal(*ranks)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), 1e25])
def test_vectors_that_are_no_numbers_are_an_error(wrong):
    entities = torch.ones(9, 2)
    entities[8, 1] = wrong
    queries = torch.full((2, 2), 1e6)
    with pytest.raises(DataError, match="NaN or far too large in 1 of 9 rows"):
        rank_by_vectors("dot", entities, queries, torch.tensor([0, 1]))


@pytest.mark.parametrize("which", ["entities", "queries"])
def test_vectors_whose_squared_distance_is_no_number_in_32_bits_are_an_error(which):
    tables = {"entities": torch.ones(9, 2), "queries": torch.ones(2, 2)}
    tables[which][1, 1] = 1e19
    with pytest.raises(DataError, match="far too large in 1 of"):
        rank_by_vectors("l2", **tables, gold=torch.tensor([0, 1]))
    ranks = rank_by_vectors("l2", torch.diag(torch.arange(1.0, 10)) * 1e17, torch.zeros(1, 9), torch.tensor([3]))
    assert ranks.optimistic.tolist() == ranks.pessimistic.tolist() == [4]


class Stopped(Exception):
    """As if the process had been killed."""


def test_an_interrupted_ranking_goes_on_where_it_was(tmp_path, monkeypatch):
    torch.manual_seed(0)
    entities, queries, gold = torch.randn(40, 8), torch.randn(6, 8), torch.randint(0, 40, (6,))
    small_blocks(monkeypatch)
    monkeypatch.setattr(state_file, "EVERY", 0.0)
    file, wanted, read = tmp_path / "state", rank_by_vectors("dot", entities, queries, gold), []
    load = blocks.HostBlocks.load

    def reading(self, vectors):
        read.append(len(vectors))
        if len(read) == 5:
            raise Stopped
        return load(self, vectors)

    monkeypatch.setattr(blocks.HostBlocks, "load", reading)
    with pytest.raises(Stopped):
        rank_by_vectors("dot", entities, queries, gold, state=StateFile(file))
    assert file.is_file()
    other = rank_by_vectors("dot", entities, queries, gold.flip(0), state=StateFile(tmp_path / "other"))
    assert not torch.equal(other.optimistic, wanted.optimistic)
    before = len(read)
    again = rank_by_vectors("dot", entities, queries, gold, state=StateFile(file))
    assert torch.equal(again.optimistic, wanted.optimistic)
    assert len(read) - before < 7  # all five slabs, the golds and the queries


def test_a_ranking_goes_on_with_its_own_measure_candidates_and_steps_alone(tmp_path, monkeypatch):
    torch.manual_seed(0)
    entities, queries, gold = torch.randn(40, 8), torch.randn(6, 8), torch.arange(6)
    small_blocks(monkeypatch)
    monkeypatch.setattr(state_file, "EVERY", 0.0)
    file = StateFile(tmp_path / "state")
    farther = torch.cat([entities[:6], 3 * entities[6:]])
    among = [np.arange(40), np.arange(10, 50)]
    for vectors, ids in ((entities, among[0]), (farther, among[1]), (entities[:38], among[0])):
        found = rank_by_vectors("dot", vectors, queries, gold, state=file.among(ids))
        assert torch.equal(found.optimistic, rank_by_vectors("dot", vectors, queries, gold).optimistic)
    alike = torch.zeros(6, 8)  # the golds' scores are all 0 by either norm
    for measure in ("l1", "l2"):
        table = torch.cat([alike, entities[6:]])
        found = rank_by_vectors(measure, table, queries * 0, gold, state=file)
        assert torch.equal(found.optimistic, rank_by_vectors(measure, table, queries * 0, gold).optimistic)
    monkeypatch.setattr(vector_ranking, "SLAB", 4)
    rank_by_vectors("dot", entities, queries, gold, state=file)
    monkeypatch.setattr(vector_ranking, "SLAB", 8)
    again = rank_by_vectors("dot", entities, queries, gold, state=file)
    assert torch.equal(again.optimistic, rank_by_vectors("dot", entities, queries, gold).optimistic)


def test_what_a_kill_left_half_written_goes_with_the_state(tmp_path):
    for name in ("state", "state.tmp"):
        (tmp_path / name).write_bytes(b"")
    StateFile(tmp_path / "state").remove()
    assert list(tmp_path.iterdir()) == []


def test_a_state_of_something_else_or_damaged_is_not_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(state_file, "EVERY", 0.0)
    path, scores, counts = tmp_path / "state", np.array([-3.0, 4.0]), np.ones((2, 3), np.int64)
    file = StateFile(path)
    assert file.resume(b"one", scores, counts) == 0
    file.save(2)
    zeros = np.zeros((2, 3), np.int64)
    assert StateFile(path).resume(b"other", scores, zeros) == 0
    assert StateFile(path).resume(b"one", np.array([-3.0, 4.1]), zeros) == 0 and not zeros.any()
    assert StateFile(path).resume(b"one", scores + 1e-5, zeros) == 2 and zeros.all()
    path.write_bytes(b"\x00")
    assert StateFile(path).resume(b"one", scores, zeros) == 0


@pytest.mark.parametrize("side", ["head", "tail"])
@pytest.mark.parametrize("norm", [1, 2])
def test_a_scorer_is_ranked_by_its_vectors_as_by_its_scores(side, norm):
    torch.manual_seed(0)
    facts = random_facts(3)
    scorer = FrozenEncoderScorer(FrozenEncoder(FrozenEncoderSettings(norm=norm), torch.randn(7, 4), 3))
    assert isinstance(scorer, VectorScorer) and isinstance(scorer, Scorer)

    class Scores:
        tails, heads = scorer.tails, scorer.heads

    known, triples = KnownAnswers(facts, ("train", "valid", "test"), side), facts.splits["test"]
    among = Candidates(np.unique(triples[:, [0, 2]]), of=7)
    for candidates in (None, among):
        narrow = scorer if candidates is None else candidates.narrow(scorer)
        wide = Scores() if candidates is None else candidates.narrow(Scores())
        one, other = (rank_triples(each, triples, side, known, 7, candidates) for each in (narrow, wide))
        assert torch.equal(one.optimistic, other.optimistic) and torch.equal(one.own, other.own)
