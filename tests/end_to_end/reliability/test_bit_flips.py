"""A few bits of each file are flipped; and the harness says so where nobody finds them."""

import pytest

from schemas import manifest
from tests.end_to_end.reliability import bit_flips
from tests.end_to_end.reliability.bit_flips import Victim, choice, flips, refused, tried, validated
from tests.end_to_end.reliability.victims import trained_run
from training import checkpoint
from training.checkpoint import checkpoints
from training.checkpoint_state import read_state


@pytest.fixture(scope="module")
def dataset(demo_dataset, tmp_path_factory):
    """A copy of the examples' dataset, to be damaged in place."""
    folder = tmp_path_factory.mktemp("copy")
    for path in Victim(demo_dataset, validated).files:
        target = folder / path.relative_to(demo_dataset)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    return Victim(folder, validated)


def test_a_bit_of_any_file_of_a_dataset_is_found(dataset):
    for number, path in enumerate(dataset.files):
        assert tried(dataset, path, choice([path], 0, number)[1]) == "", path


def test_a_number_of_the_manifest_that_nothing_else_says_is_found(dataset):
    path = dataset.folder / "manifest.json"
    place = path.read_bytes().index(b'"cpu_seconds": ') + len(b'"cpu_seconds": ')
    assert tried(dataset, path, 8 * place) == ""


@pytest.mark.parametrize("name", ["README.md", "manifest.json"])
def test_the_harness_says_so_where_a_bit_is_found_by_nobody(name, dataset, monkeypatch):
    # The last digit of a comment, or of a time: nothing but the seal and the sums is against it.
    path, mark = dataset.folder / name, {"README.md": b"digest `", "manifest.json": b'"cpu_seconds": '}[name]
    place = 8 * (path.read_bytes().index(mark) + len(mark))
    monkeypatch.setattr(manifest, "is_sealed", lambda data: True)
    monkeypatch.setattr(manifest, "BESIDE", ())
    assert tried(dataset, path, place) == "found by nobody"


def test_the_harness_says_so_where_damage_ends_in_another_error(dataset, monkeypatch):
    monkeypatch.setattr(bit_flips, "validate", lambda folder: iter([1 // 0]))
    assert "ZeroDivisionError" in tried(Victim(dataset.folder, validated), dataset.files[0], 0)


@pytest.mark.slow
def test_bits_of_a_checkpoint_are_found_and_the_harness_can_fail(tmp_path, monkeypatch):
    victim = Victim(checkpoints(trained_run(tmp_path))[-1], refused)
    assert not list(flips([victim], 40, seed=1))
    (path,) = (victim.folder / "model").iterdir()
    monkeypatch.setattr(checkpoint, "require_whole", lambda folder, part: read_state(folder))
    assert tried(victim, path, 8 * (path.stat().st_size - 3)) == "found by nobody"


@pytest.mark.slow
def test_flips_in_a_small_dataset_and_a_checkpoint():
    assert not bit_flips.run(250, seed=7).failures
