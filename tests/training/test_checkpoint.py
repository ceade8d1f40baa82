"""Checkpoints: what comes back is what was saved, of whatever number of ranks, or an error that names the file."""

import json
import os
import threading

import pytest
import torch
import torch.distributed.checkpoint as dcp
import torch.multiprocessing
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.distributed.checkpoint import HuggingFaceStorageReader

from schemas.errors import DataError
from tests.training import checkpoint_ranks
from tests.training.checkpoint_ranks import checkpoint, everything, load, made, step
from tests.training.seals import reseal
from training import checkpoint as module
from training.checkpoint import Checkpoints, checkpoints, load_model, load_optimizer
from training.checkpoint_state import read_state, require_whole
from training.data.stream import SOLE, Rank
from training.shards import PLACES, Saved, owned


def trained(steps=1):
    model, optimizer = made()
    for _ in range(steps):
        step(model, optimizer)
    return model, optimizer


def saved(run, **how):
    """The model and the optimizer of a checkpoint of two steps."""
    model, optimizer = trained(2)
    with Checkpoints(run, 2, **how) as saves:
        saves.save(2, model, optimizer, {"loader": {"position": 5}})
    return model, optimizer


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def close(one, other):
    return one.keys() == other.keys() and all(torch.allclose(one[name], other[name], atol=1e-6) for name in one)


@pytest.mark.parametrize("asynchronous", [True, False])
def test_what_was_saved_comes_back_bit_by_bit(asynchronous, tmp_path):
    before = saved(tmp_path, asynchronous=asynchronous)
    folder = checkpoint(tmp_path)
    assert checkpoints(tmp_path) == [folder] and read_state(folder)["loader"] == {"position": 5}
    after = load(folder)
    assert equal(everything(*before), everything(*after)) and everything(*after)["wide.weight/step"] == 2
    step(*before)
    step(*after)
    assert equal(everything(*before), everything(*after))


def test_equal_tensors_are_equal_bytes(tmp_path):
    for number in range(5):
        saved(tmp_path / str(number))
    found = {path.read_bytes() for path in tmp_path.rglob("shard-*.safetensors") if path.parent.name == "model"}
    assert len(found) == 1


def test_whoever_may_read_a_run_may_read_its_weights(tmp_path):
    saved(tmp_path)
    modes = {path.stat().st_mode for path in checkpoint(tmp_path).rglob("*.*") if path.is_file()}
    assert modes == {(checkpoint(tmp_path) / "state.json").stat().st_mode}


def test_a_save_is_of_its_step_however_late_it_is_written(tmp_path, monkeypatch):
    model, optimizer = trained(2)
    expected, late, original = everything(model, optimizer), threading.Event(), module.write
    monkeypatch.setattr(module, "write", lambda *args: late.wait() and original(*args))
    with Checkpoints(tmp_path, 1) as saves:
        saves.save(2, model, optimizer, {})
        step(model, optimizer)
        assert not checkpoints(tmp_path)
        late.set()
    assert equal(expected, everything(*load(checkpoint(tmp_path))))


def test_without_room_for_a_copy_a_save_is_written_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "free_bytes", lambda _device: 100)
    monkeypatch.setattr(module, "_in_thread", None)
    assert equal(everything(*saved(tmp_path)), everything(*load(checkpoint(tmp_path))))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_distributed_checkpoint_itself_reads_the_weights(ranks):
    for run in (ranks / "of-one", ranks / "of-two"):
        tensors = {name: torch.zeros_like(value) for name, value in made()[0].state_dict().items()}
        dcp.load(tensors, storage_reader=HuggingFaceStorageReader(str(checkpoint(run) / "model")), no_dist=True)
        assert equal(tensors, load(checkpoint(run))[0].state_dict())


def test_the_newest_are_kept_and_what_a_kill_left_is_removed(tmp_path):
    model, optimizer = trained()
    left = tmp_path / "checkpoints" / ".step-00000009.tmp" / "model"
    left.mkdir(parents=True)
    with Checkpoints(tmp_path, 2) as saves:
        for done in (1, 2, 3, 10):
            saves.save(done, model, optimizer, {})
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["step-00000003", "step-00000010"]


def test_a_save_that_fails_says_so_at_the_next_call_and_leaves_no_checkpoint(tmp_path, monkeypatch):
    model, optimizer = trained()

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write", full)
    saves = Checkpoints(tmp_path, 1)
    for call in (saves.wait, lambda: saves.save(2, model, optimizer, {})):
        saves.save(1, model, optimizer, {})
        with pytest.raises(DataError, match=r"step-00000001 can't be written .*No space left"):
            call()
    with pytest.raises(DataError, match="No space left"), saves:
        saves.save(1, model, optimizer, {})
    assert not checkpoints(tmp_path)


def test_what_ended_the_run_is_not_hidden_by_a_save_that_fails(tmp_path, monkeypatch, capsys):
    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write", full)
    with pytest.raises(DataError, match="not finite"), Checkpoints(tmp_path, 1) as saves:
        saves.save(1, *trained(), {})
        raise DataError("The loss is not finite")
    assert "No space left" in capsys.readouterr().err


def test_what_is_no_tensor_is_refused(tmp_path):
    model, optimizer = trained()
    optimizer.state[model.unused]["note"] = "text"
    with pytest.raises(TypeError, match="note/unused is a str"):
        Checkpoints(tmp_path, 1).save(1, model, optimizer, {})
    assert not checkpoints(tmp_path)


def rewrite(folder, change):
    """Change the tensors (by name) and their places in the only file of a folder, and what state.json says of it."""
    (path,) = folder.glob("*.safetensors")
    with safe_open(path, "pt") as file:
        places = json.loads(file.metadata()[PLACES])
    tensors = load_file(path)
    change(tensors, places)
    save_file(tensors, path, {PLACES: json.dumps(places)})
    reseal(folder.parent)


def without(name):
    return lambda tensors, places: tensors.pop(name)


def with_one_more(name):
    def change(tensors, places):
        tensors[name], places[name] = torch.zeros(2), {"saved_offsets": [0]}

    return change


def shaped(name, shape):
    def change(tensors, places):
        tensors[name], places[name] = torch.zeros(shape), {"saved_offsets": [0] * len(shape)}

    return change


def halved(name):
    return lambda tensors, places: tensors.update({name: tensors[name].double()})


def placed(name, offsets):
    return lambda tensors, places: places.update({name: {"saved_offsets": offsets}})


@pytest.mark.parametrize(
    ("part", "change", "says"),
    [
        ("model", without("narrow.bias"), r"model has no tensor narrow\.bias"),
        ("model", with_one_more("wide.spare"), r"model/shard-\S+ has a tensor wide\.spare too many"),
        ("model", shaped("wide.weight", (3, 6)), r"shard-\S+ has wide\.weight as .* shape \(3, 6\), .* shape \(3, 5\)"),
        ("model", shaped("wide.bias", (0,)), r"wide\.bias as .* shape \(0,\)"),
        ("model", halved("wide.weight"), r"wide\.weight as torch\.float64 .*expected torch\.float32"),
        ("model", placed("wide.bias", [1]), r"wide\.bias as .* shape \(4,\)"),
        ("model", placed("wide.bias", [-1]), r"shard-\S+ does not say which part"),
        ("model", placed("wide.bias", [0, 0]), "does not say which part"),
        ("model", placed("wide.bias", "x"), "does not say which part"),
        ("model", lambda tensors, places: places.clear(), "does not say which part"),
        ("optimizer", without("exp_avg/wide.bias"), r"optimizer has no tensor exp_avg/wide\.bias"),
        ("optimizer", with_one_more("exp_avg/unused"), r"has a tensor exp_avg/unused too many"),
        ("optimizer", shaped("exp_avg_sq/wide.bias", (2,)), r"exp_avg_sq/wide\.bias as .* \(2,\), expected .* \(3,\)"),
        ("optimizer", shaped("step/wide.bias", (1,)), r"step/wide\.bias as .* shape \(1,\)"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named_and_nothing_is_filled(part, change, says, tmp_path):
    saved(tmp_path)
    rewrite(checkpoint(tmp_path) / part, change)
    read_state(checkpoint(tmp_path))
    model, optimizer = made(seed=1)
    before = everything(model, optimizer)
    with pytest.raises(DataError, match=says):
        load_model(checkpoint(tmp_path), model) if part == "model" else load_optimizer(
            checkpoint(tmp_path), model, optimizer
        )
    assert equal(before, everything(model, optimizer))


@pytest.mark.parametrize(
    ("offsets", "sound"),
    [((0, 2), True), ((2, 0), True), ((0, 1), False), ((0, 3), False), ((0, 0), False), ((1, 3), False)],
)
def test_the_pieces_of_a_tensor_have_to_be_all_of_it_once(offsets, sound, tmp_path):
    for number, offset in enumerate(offsets):
        places = {"x": {"saved_offsets": [offset]}}
        save_file(
            {"x": torch.full((2,), float(offset))}, tmp_path / f"{number}.safetensors", {PLACES: json.dumps(places)}
        )
    saved, tensors = Saved(tmp_path), {"x": torch.zeros(4)}
    if not sound:
        with pytest.raises(DataError, match="x"):
            saved.require({"x": (torch.Size([4]), torch.float32)})
        return
    saved.require({"x": (torch.Size([4]), torch.float32)})
    saved.fill(tensors)
    assert tensors["x"].tolist() == [0, 0, 2, 2]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda groups: groups.clear(), "has not 1 groups"),
        (lambda groups: groups[0]["params"].pop("wide.bias"), "group 0 has other parameters"),
        (lambda groups: groups[0].update(weight_decay=0.5), "weight_decay of group 0 was 0.5, now 0.1"),
        (lambda groups: groups[0]["params"].update({"wide.bias": "step"}), "does not say what state"),
        (lambda groups: groups.__setitem__(0, 3), "group 0 has other parameters"),
        (lambda groups: groups[0]["params"]["wide.bias"].append("spare"), r"no tensor spare/wide\.bias"),
    ],
)
def test_groups_of_another_optimizer_are_refused(spoil, says, tmp_path):
    saved(tmp_path)
    groups = read_state(checkpoint(tmp_path))["optimizer"]
    assert groups[0]["betas"] == [0.9, 0.999] and groups[0]["params"]["unused"] == []
    reseal(checkpoint(tmp_path), lambda state: spoil(state["optimizer"]))
    model, optimizer = made(seed=1)
    with pytest.raises(DataError, match=says):
        load_optimizer(checkpoint(tmp_path), model, optimizer)
    assert not optimizer.state


def test_a_file_that_is_missing_or_too_many_is_named(tmp_path):
    saved(tmp_path)
    (path,) = checkpoint(tmp_path).glob("model/*")
    spare = path.with_name("shard-00002-of-00001.safetensors")
    spare.write_bytes(path.read_bytes())
    with pytest.raises(DataError, match=rf"{spare.name} is damaged: \d+ bytes, expected no file"):
        read_state(checkpoint(tmp_path))
    spare.unlink()
    path.unlink()
    with pytest.raises(DataError, match=rf"{path.name} is damaged: no bytes, expected \d+"):
        read_state(checkpoint(tmp_path))


@pytest.mark.parametrize("part", ["model", "optimizer"])
def test_a_bit_of_a_weight_is_missed(part, tmp_path):
    saved(tmp_path)
    (path,) = checkpoint(tmp_path).glob(f"{part}/*")
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)
    read_state(checkpoint(tmp_path))
    with pytest.raises(DataError, match=rf"{path.name} is damaged: its bytes"):
        load(checkpoint(tmp_path))


def test_what_an_older_version_saved_is_loaded_without_hashes(tmp_path):
    before = saved(tmp_path)
    path = checkpoint(tmp_path) / "state.json"
    state = json.loads(path.read_text())
    del state["xxh3_128"], state["seal"]
    path.write_text(json.dumps(state | {"version": 3}))
    assert equal(everything(*before), everything(*load(checkpoint(tmp_path))))
    path.write_text(json.dumps(state))
    with pytest.raises(DataError, match=r"state\.json is damaged: its bytes are not those that were sealed"):
        require_whole(checkpoint(tmp_path), "model")


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What three processes left behind, beside a checkpoint of one."""
    folder = tmp_path_factory.mktemp("ranks")
    model, optimizer = saved(folder / "of-one")
    save_file(everything(model, optimizer), folder / "of-one" / "expected")
    torch.multiprocessing.spawn(checkpoint_ranks.run, (folder,), 3)
    return folder


@pytest.mark.parametrize(("saved_by", "out"), [("of-one", "one-in-two-{}"), ("of-two", "two-in-three-{}")])
def test_what_some_ranks_saved_others_load_and_go_on_from(saved_by, out, ranks):
    expected = load_file(ranks / saved_by / "expected")
    model, optimizer = load(checkpoint(ranks / saved_by))
    assert equal(expected, everything(model, optimizer))
    step(model, optimizer)
    for rank in range(2):
        assert equal(expected, load_file(ranks / out.format(rank)))
        after = load_file(ranks / f"{out.format(rank)}-and-a-step")
        assert all(
            torch.allclose(after[name], value, atol=1e-6) for name, value in everything(model, optimizer).items()
        )


def test_two_ranks_save_what_one_does(ranks):
    one, two = (load_file(ranks / saved_by / "expected") for saved_by in ("of-one", "of-two"))
    assert all(torch.allclose(two[name].to(value.dtype), value, atol=1e-6) for name, value in one.items())
    assert len(list(checkpoint(ranks / "of-two").glob("model/*"))) == 2
    assert [path.name for path in checkpoints(ranks / "of-two")] == ["step-00000002"]


def test_what_all_ranks_have_is_written_once(ranks):
    folder = checkpoint(ranks / "copies")
    assert len(list(folder.glob("model/*"))) == len(list(folder.glob("optimizer/*"))) == 1
    # What another process computed: what a process did before may move its last bits.
    assert close(everything(*trained()), everything(*load(folder)))
    assert owned({"x": torch.zeros(1)}, Rank(1, 2)) == {} and list(owned({"x": torch.zeros(1)}, SOLE)) == ["x"]


@pytest.mark.parametrize("asynchronous", [True, False])
def test_a_rank_that_can_not_write_fails_all_of_them(asynchronous, ranks):
    says = [(ranks / "failed" / f"says-{rank}-{asynchronous}").read_text() for rank in range(2)]
    assert "was not written: rank 1 failed" in says[0] and "No space left" in says[1]
    assert [path.name for path in checkpoints(ranks / "failed")] == ["step-00000002"]


def test_a_rank_whose_fellows_have_ended_leaves_no_checkpoint(ranks):
    assert "gloo" in (ranks / "alone-says").read_text()
    assert not checkpoints(ranks / "alone")
