"""One step: exact whatever the micro-batches, no NaN without labels, nearly the same in 16 bits; what it costs."""

import dataclasses
import subprocess
import sys

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from schemas.dataset import Dataset
from schemas.errors import UsageError
from tests.conftest import ROOT
from tests.training.steps import ALONE, step_of
from training.config_file import load_config
from training.data.stream import SOLE, Rank
from training.data.triples import Negatives
from training.encoders import build_encoder, state_at
from training.sources import open_source
from training.speed import Meter
from training.step import learner, validate
from training.systems import build_system

SMALL = {
    "train.batch_size": "16",
    "encoder.hidden_size": "16",
    "encoder.intermediate_size": "32",
    "encoder.dropout": "0.0",
    "kepler.blocks": "4",
    "train.valid_batches": "2",
    "data.lanes": "4",
}


READ_FACTS = ("lmke-tiny", "c-lmke-tiny", "lass-tiny")


def opened(data, recipe, rank=SOLE, **changes):
    """(system, learner) of a recipe, as one of the ranks has it."""
    settings = SMALL | {key.replace("_", ".", 1): str(value) for key, value in changes.items()}
    config = load_config(recipe, settings)
    dataset = Dataset(data)
    torch.manual_seed(0)
    system = build_system(config, open_source(dataset, dataset.tokens("tiny")), rank)
    return system, learner(config, system.model, ALONE)


def stepped(system, learning, batches=None):
    """The mean losses of the first step's batch."""
    return step_of(learning.config, system.model, batches or system.build(0, system.loader.take(0)))


def weights(system):
    rows = {"memory": system.model.memory.weight} if system.model.memory else {}
    return {name: value.clone() for name, value in {**system.model.state_dict(), **rows}.items()}


def no_facts(facts):
    """The same texts, of which no triple speaks."""
    parts = ("triples", "heads", "relations", "tails", "given_heads", "given_tails")
    none = {
        name: Negatives(getattr(facts, name).drawn[:0], getattr(facts, name).known[:0])
        for name in ("head_negatives", "tail_negatives")
    }
    return dataclasses.replace(facts, **{name: getattr(facts, name)[:0] for name in parts}, **none)


def test_rows_that_are_no_labels_change_nothing_and_nothing_is_nan(made_up):
    system, learning = opened(made_up, "kepler-tiny")
    (batch,) = system.build(0, system.loader.take(0))
    silent = dataclasses.replace(batch, blocks=dataclasses.replace(batch.blocks, labels=batch.blocks.labels * 0 - 1))
    nothing = dataclasses.replace(silent, facts=no_facts(batch.facts))
    means = stepped(system, learning, [nothing, batch, silent])
    assert all(bool(torch.isfinite(value).all()) for value in weights(system).values())
    other, again = opened(made_up, "kepler-tiny")
    # The middle micro-batch's masked words, and its triples twice.
    twice = stepped(other, again, [batch, silent])
    assert means == twice
    assert all(torch.equal(value, weights(other)[name]) for name, value in weights(system).items())


def test_a_step_without_any_label_leaves_the_gradients_at_zero(made_up):
    system, learning = opened(made_up, "kepler-tiny", optim_weight_decay=0)
    (batch,) = system.build(0, system.loader.take(0))
    nothing = dataclasses.replace(
        batch,
        blocks=dataclasses.replace(batch.blocks, labels=batch.blocks.labels * 0 - 1),
        facts=no_facts(batch.facts),
    )
    before = weights(system)
    assert stepped(system, learning, [nothing]) == {"train/loss": 0.0, "grad_norm": 0.0}
    assert all(torch.equal(value, before[name]) for name, value in weights(system).items())


@pytest.mark.parametrize("recipe", ["colake-tiny", "kepler-tiny", "kepler-ke-tiny", "mlm-only-tiny", *READ_FACTS])
def test_micro_batches_without_rows_are_nothing_but_there(recipe, made_up):
    settings = {"train_batch_size": 4} | ({} if recipe == "kepler-ke-tiny" else {"kepler_blocks": 1})
    alone, _ = opened(made_up, recipe, **settings)
    ranks = (Rank(0, 3), Rank(1, 3), Rank(2, 3))
    shares = [opened(made_up, recipe, rank, train_micro_batch=1, **settings)[0] for rank in ranks]
    for step in range(4):
        batches = [system.build(step, system.loader.take(step)) for system in shares]
        assert [len(each) for each in batches] == [2, 2, 2]
        empty = [batch for each in batches for batch in each if not len(batch.lengths)]
        assert len(empty) >= 2
        assert all(alone.model.losses(batch) == {} and alone.model.flops(batch) == 0 for batch in empty)
        texts = sum(len(batch.lengths) for each in batches for batch in each)
        assert recipe not in ("colake-tiny", "mlm-only-tiny") or texts == 4


def test_entities_of_micro_batches_before_are_refused_on_several_ranks(made_up):
    with pytest.raises(UsageError, match=r"kepler\.pre_batch needs one rank, not 2"):
        opened(made_up, "kepler-tiny", Rank(0, 2), kepler_pre_batch=1)


@pytest.mark.parametrize("recipe", ["colake-tiny", "kepler-tiny", "mlm-only-tiny", "lass-tiny"])
def test_16_bits_give_nearly_the_same_losses_and_keep_weights_of_32(recipe, made_up):
    losses = []
    for precision in ("fp32", "bf16"):
        system, learning = opened(made_up, recipe, train_precision=precision)
        losses.append({**stepped(system, learning), **validate(learning, system.valid)})
        assert {value.dtype for value in weights(system).values() if value.is_floating_point()} == {torch.float32}
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["colake-tiny", "kepler-tiny"])
def test_a_compiled_encoder_gives_the_same_losses(recipe, made_up):
    losses = []
    for compiled in (False, True):
        system, learning = opened(made_up, recipe, train_compile=compiled)
        losses.append({**stepped(system, learning), **validate(learning, system.valid)})
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_the_cost_of_an_encoder_is_what_torch_counts():
    config = dataclasses.replace(load_config("colake-tiny").encoder, hidden_size=32, intermediate_size=64, dropout=0.0)
    built = build_encoder(config, 50, token_types=1)
    built.encoder.set_attn_implementation("eager")  # the counter does not know the fused kernel of the CPU
    ids = torch.randint(3, 50, (4, 24))
    with FlopCounterMode(display=False) as counter:
        states = built.encoder(input_ids=ids).last_hidden_state
        logits = built.head(states.flatten(0, 1)[:10], built.encoder.get_input_embeddings().weight)
        (logits.sum() + states.sum()).backward()
    ours = built.cost.flops(torch.full((4,), 24)) + built.head.flops(10, 50)
    assert counter.get_total_flops() == ours


def test_the_cost_of_one_state_of_each_text_is_what_torch_counts():
    config = dataclasses.replace(load_config("colake-tiny").encoder, hidden_size=32, intermediate_size=64, dropout=0.0)
    built = build_encoder(config, 50, token_types=1)
    words = built.encoder.get_input_embeddings()(torch.randint(3, 50, (4, 24)))
    real, places = torch.ones(4, 24, dtype=torch.bool), torch.tensor([0, 3, 5, 23])
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        state_at(built.encoder, words, real, places).sum().backward()
    ours = built.cost.flops(torch.full((4,), 24), one_state=True)
    assert counter.get_total_flops() == ours < built.cost.flops(torch.full((4,), 24))


def test_a_meter_tells_rates_since_its_last_line():
    meter = Meter(ALONE.device, 2, 1.0)
    meter.step(10, 1_000, 5 * 10**11, 2.0, 0.5)
    meter.step(10, 1_000, 5 * 10**11, 2.0, 0.5)
    line = meter.line()
    assert (line["speed/samples"], line["speed/tokens"], line["speed/loader_wait"]) == (5.0, 500.0, 0.25)
    assert (line["speed/tflops"], line["speed/mfu"]) == (0.25, 0.125)
    meter.step(1, 1, 1, 1.0, 0.0)
    assert meter.line()["speed/samples"] == 1.0
    assert "speed/mfu" not in Meter(ALONE.device, 1, 0.0).line()


def test_peak_memory_is_what_this_process_had_at_most():
    program = (
        "import torch; from training.speed import peak_memory as peak; cpu = torch.device('cpu'); before = peak(cpu)"
    )
    program += "; block = bytearray(b'1' * 200_000_000); del block; print(peak(cpu) - before)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert 190_000_000 < int(done.stdout) < 450_000_000
