"""wikiloom compare: the figures are those that one computes by hand, and what is unlike is not mixed."""

import json
import math
import shutil
from dataclasses import astuple

import pytest

from schemas.errors import DataError, UsageError
from tests.training.small_runs import SMALL
from training.cli import run as command
from training.compare import Spread, compare, render, to_json
from training.config_file import load_config, to_toml, with_data
from training.evaluation.run import evaluate
from training.train import train

DIGEST = "ab" * 32
PROTOCOL = {"split": "test", "ties": "realistic", "unseen": {"policy": "keep", "triples": 2}}


def a_run(folder, *mrr, config=None, losses=(), digest=DIGEST, protocol=PROTOCOL, **settings):
    """A run folder of kepler-tiny with a result for `mrr`, and a line of metrics.jsonl for each (step, loss)."""
    chosen = {key.replace("_", ".", 1): str(value) for key, value in settings.items()}
    written = to_toml(with_data(load_config("kepler-tiny", chosen), folder.parent, digest))
    (folder / "results").mkdir(parents=True)
    (folder / "config.toml").write_text(config or written)
    for value in mrr:
        metrics = {"both": {"mrr": value, "queries": 10}, "relations": {"r1": {"mrr": value}}}
        result = {"task": "link-prediction", "metrics": metrics, "protocol": protocol, "digest": digest, "seconds": 1}
        (folder / f"results/link-prediction-{protocol['split']}-{digest[:8]}.json").write_text(json.dumps(result))
    lines = [{"step": step, "valid/ke": loss} for step, loss in losses] + [{"step": 99, "train/loss": 0.1}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_seeds_are_one_row_with_the_mean_and_the_sample_deviation(tmp_path):
    folders = [a_run(tmp_path / f"{seed}", mrr, seed=seed) for seed, mrr in enumerate((0.2, 0.3, 0.7))]
    (table,), _ = compare(folders)
    (row,) = table.rows
    assert (table.task, table.split, table.digest, table.protocol) == ("link-prediction", "test", DIGEST, PROTOCOL)
    assert row.group == "kepler-wiki-tiny" and [one.seed for one in row.runs] == [0, 1, 2]
    # The squares of the differences are 0.04, 0.01 and 0.09; over n - 1 they make 0.07.
    assert astuple(row.metrics["both"]["mrr"]) == pytest.approx((0.4, math.sqrt(0.07), 3))
    assert astuple(row.metrics["both"]["queries"]) == (10, 0, 3)
    assert row.metrics["relations"]["r1"]["mrr"].mean == pytest.approx(0.4)
    assert "0.400 ± 0.265" in render([table]) and "r1" not in render([table])


def test_a_single_seed_has_no_deviation(tmp_path):
    ((table,), _) = compare([a_run(tmp_path / "a", 0.5)])
    assert table.rows[0].metrics["both"]["mrr"] == Spread(0.5, None, 1)
    assert "±" not in render([table]).partition("\n")[2]


def test_another_setting_is_another_row_named_by_what_differs(tmp_path):
    names = ("a", "b", "c")
    rates = (1, 1, 2)
    folders = [
        a_run(tmp_path / name, 0.5, seed=seed, optim_lr=rate, data_threads=seed + 1)
        for seed, (name, rate) in enumerate(zip(names, rates, strict=True))
    ]
    ((table,), _) = compare(folders)
    assert [row.group for row in table.rows] == ["kepler-wiki-tiny optim.lr=1.0", "kepler-wiki-tiny optim.lr=2.0"]
    assert [len(row.runs) for row in table.rows] == [2, 1]


def test_the_last_valid_losses_are_compared_with_their_steps(tmp_path):
    folders = [
        a_run(tmp_path / "a", 0.5, seed=0, losses=[(0, 9.0), (10, 2.0)]),
        a_run(tmp_path / "b", 0.5, seed=1, losses=[(0, 9.0), (20, 3.0)]),
    ]
    (_, losses), _ = compare(folders)
    metrics = losses.rows[0].metrics
    assert list(metrics) == ["step", "valid/ke"]
    assert astuple(metrics["step"]) == pytest.approx((15, math.sqrt(50), 2))
    assert astuple(metrics["valid/ke"]) == pytest.approx((2.5, math.sqrt(0.5), 2))


def test_a_missing_result_is_told_and_shown_as_a_dash(tmp_path):
    folders = [a_run(tmp_path / "a", 0.5, seed=0), a_run(tmp_path / "b", seed=1), a_run(tmp_path / "c", optim_lr=1)]
    (table,), notes = compare(folders)
    assert notes == [f"no link-prediction, test: {tmp_path / 'b'}, {tmp_path / 'c'}"]
    assert [len(row.runs) for row in table.rows] == [1, 0]
    assert render([table]).splitlines()[-1].split()[-3:] == ["0", "-", "-"]


def test_a_metric_that_some_runs_lack_says_how_many_have_it(tmp_path):
    folders = [a_run(tmp_path / "a", 0.5, seed=0), a_run(tmp_path / "b", 0.7, seed=1)]
    path = next((folders[1] / "results").iterdir())
    path.write_text(path.read_text().replace('"queries": 10', '"queries": null'))
    (table,), _ = compare(folders)
    assert "10.000 (n 1)" in render([table])


def test_a_baseline_is_a_row_by_its_settings_and_has_no_losses(tmp_path):
    toml = 'baseline = "transe"\n[data]\nfolder = "x"\ndigest = "{}"\n[settings]\nseed = {}\ndim = 8\n'
    folders = [a_run(tmp_path / "k", 0.5, losses=[(1, 2.0)])]
    folders += [a_run(tmp_path / f"t{seed}", 0.5, config=toml.format(DIGEST, seed)) for seed in range(2)]
    (table, losses), notes = compare(folders)
    assert [(row.group, len(row.runs)) for row in table.rows] == [("kepler-wiki-tiny", 1), ("transe", 2)]
    assert [row.group for row in losses.rows] == ["kepler-wiki-tiny"] and not notes


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"digest": "cd" * 32}, "digest abababab; .*b: digest cdcdcdcd"),
        ({"protocol": PROTOCOL | {"ties": "optimistic"}}, "a: ties realistic; .*b: ties optimistic"),
        ({"protocol": PROTOCOL | {"unseen": {"policy": "skip", "triples": 2}}}, r"unseen\.policy keep; .* skip"),
        ({"protocol": PROTOCOL | {"filter": None}}, "filter none; .*filter None"),
        ({"protocol": PROTOCOL | {"filter": ["train"]}}, r"filter none; .*filter \['train'\]"),
    ],
)
def test_other_protocols_and_datasets_are_refused_by_name(other, says, tmp_path):
    folders = [a_run(tmp_path / "a", 0.5), a_run(tmp_path / "b", 0.5, seed=1, **other)]
    with pytest.raises(DataError, match=says) as error:
        compare(folders)
    assert "\n" not in str(error.value)


def test_losses_on_other_datasets_are_refused(tmp_path):
    folders = [a_run(tmp_path / d, losses=[(1, 1.0)], digest=d * 64) for d in ("a", "b")]
    with pytest.raises(DataError, match=r"loss, valid: .*digest aaaaaaaa; .*digest bbbbbbbb"):
        compare(folders)


def test_other_splits_are_other_tables(tmp_path):
    folders = [a_run(tmp_path / s, 0.5, protocol={"split": s}, seed=i) for i, s in enumerate(("valid", "test"))]
    tables, _ = compare(folders)
    assert [table.split for table in tables] == ["test", "valid"]


def test_the_same_run_twice_is_refused(tmp_path):
    folder = a_run(tmp_path / "a", 0.5)
    shutil.copytree(folder, tmp_path / "copy")
    for other in (folder, tmp_path / "copy"):
        with pytest.raises(UsageError, match=r"are the same run twice \(kepler-wiki-tiny, seed 0\)"):
            compare([folder, other])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda text: text[:-9], "is no result"),
        (lambda text: "[]", "is no result"),
        (lambda text: text.replace('"digest"', '"digets"'), "digest: Field required"),
        (lambda text: text.replace("0.5", "NaN"), "NaN is no number"),
        (lambda text: "\udcff", "is no result"),
    ],
)
def test_a_damaged_result_is_named(spoil, says, tmp_path):
    path = next((a_run(tmp_path / "a", 0.5) / "results").iterdir())
    path.write_text(spoil(path.read_text()), errors="surrogateescape")
    with pytest.raises(DataError, match=says) as error:
        compare([tmp_path / "a"])
    assert str(path) in str(error.value)


def test_metrics_that_are_no_text_are_named(tmp_path):
    (a_run(tmp_path / "a", 0.5) / "metrics.jsonl").write_bytes(b"\xff")
    with pytest.raises(DataError, match=r"metrics\.jsonl is damaged"):
        compare([tmp_path / "a"])


def test_runs_without_any_result_say_how_to_make_them(tmp_path):
    with pytest.raises(DataError, match=r"none of the runs has results: .*wikiloom evaluate"):
        compare([a_run(tmp_path / "a")])
    (losses,), notes = compare([a_run(tmp_path / "b", losses=[(1, 1.0)])])
    assert losses.task == "loss" and "none of the runs has results" in notes[0]
    with pytest.raises(DataError, match="is not a run"):
        compare([tmp_path])


def test_a_figure_that_is_no_number_is_null_in_json(tmp_path):
    folders = [a_run(tmp_path / f"{seed}", losses=[(1, loss)], seed=seed) for seed, loss in enumerate((1.0, math.inf))]
    document = json.loads(to_json(*compare(folders)), parse_constant=lambda name: pytest.fail(name))
    assert document["tables"][0]["groups"][0]["metrics"]["valid/ke"] == {"mean": None, "sd": None, "n": 2}


def test_two_seeds_are_trained_evaluated_and_compared(made_up, tmp_path, capsys):
    folders = [tmp_path / f"run-{seed}" for seed in range(2)]
    found = []
    for seed, folder in enumerate(folders):
        settings = SMALL | {"train.steps": "2", "seed": str(seed)}
        assert train("kepler-tiny", made_up, folder, resume=False, dry_run=False, settings=settings) == 0
        found.append(evaluate(folder, "link-prediction")["metrics"]["both"]["mrr"])
    capsys.readouterr()
    assert command("compare", [*map(str, folders), "--json"]) == 0
    tables = json.loads(capsys.readouterr().out)["tables"]
    assert [table["task"] for table in tables] == ["link-prediction", "loss"]
    (group,) = tables[0]["groups"]
    mrr = group["metrics"]["both"]["mrr"]
    assert mrr == {
        "mean": pytest.approx(sum(found) / 2),
        "sd": pytest.approx(abs(found[0] - found[1]) / 2**0.5),
        "n": 2,
    }
    assert found[0] != found[1]
    assert command("compare", [*map(str, folders)]) == 0
    assert f"{sum(found) / 2:.3f} ±" in capsys.readouterr().out
