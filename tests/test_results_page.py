"""docs/results.md is what the results say, and what a table lacks is told."""

import json
import sys
import tomllib

import pytest

from benchmarks import table
from benchmarks.kgc import RUNS
from benchmarks.timing import RESULTS


def made_up(name, seed, **changes):
    run = RUNS[name]
    task = run.task
    part, columns = table.SHOWN[task]
    metrics = {part: dict.fromkeys(columns, 0.5 + seed / 10), "no_shared_pair": {"mrr": 0.3}}
    kept = {
        "name": name, "graph": run.graph, "recipe": run.recipe, "task": task, "seed": seed, "values": dict(run.values),
        "device": "cpu", "minutes": {"train": 2.0, "evaluate": 1.0}, "metrics": metrics, "digest": f"{run.graph}0000",
        "baselines": {rule: {part: dict.fromkeys(columns, 0.25)} for rule in table.RULES[task]},
        "protocol": dict.fromkeys(table.PROTOCOL[task], "as ever"),
    }  # fmt: skip
    return {**kept, **changes}


@pytest.fixture
def whole():
    """Every run of every seed."""
    return [made_up(name, seed) for name, run in RUNS.items() for seed in run.seeds]


def test_nothing_is_missing_of_what_is_whole(whole):
    assert list(table.missing(whole)) == []


def test_a_seed_a_rule_a_part_of_the_protocol_and_unlike_questions_are_missed(whole):
    name, first = whole[0]["name"], whole[0]
    assert f"{name}: no run of seed 0 with its values" in list(table.missing(whole[1:]))
    stale = [{**first, "values": {"train.steps": "1"}}, *whole[1:]]
    assert f"{name}: no run of seed 0 with its values" in list(table.missing(stale))
    without = [{**first, "baselines": {}}, *whole[1:]]
    assert any("the rule frequency is not beside it" in fault for fault in table.missing(without))
    silent = [{**first, "protocol": {}}, *whole[1:]]
    assert any("its protocol does not say split" in fault for fault in table.missing(silent))
    assert table.of((first["graph"], first["task"]), stale)[name] == whole[1:3]
    other = [{**first, "digest": "another"}, *whole[1:]]
    assert any("asked in 2 ways" in fault for fault in table.missing(other))


def test_a_row_has_mean_deviation_seeds_minutes_and_what_is_published(whole):
    name = next(name for name, run in RUNS.items() if run.task == "link-prediction")
    system, graph = RUNS[name].recipe.removesuffix("-minilm"), RUNS[name].graph
    column = table.SHOWN["link-prediction"][1][0]
    page = table.written(whole, {graph: {system: {column: 0.75, "source": "a paper"}}})
    (row,) = (line for line in page.splitlines() if line.startswith(f"| {system}") and "a paper" in line)
    assert "0.600 ± 0.100" in row and "| 3 | 3.0 |" in row and "0.750" in row
    assert "| 0.300 ± 0.000 |" in row and row.endswith(f'| `"{name}"` |')
    assert "| frequency | 0.250" in page


def test_the_page_of_the_checkout_is_what_its_results_say():
    runs = json.loads((RESULTS / "kgc.json").read_text(encoding="utf-8"))["runs"]
    published = tomllib.loads(table.PUBLISHED.read_text(encoding="utf-8"))
    assert table.PAGE.read_text(encoding="utf-8") == table.written(runs, published)


def test_check_fails_where_the_page_is_another(whole, tmp_path, monkeypatch, capsys):
    results, page = tmp_path / "kgc.json", tmp_path / "results.md"
    results.write_text(json.dumps({"runs": whole}))
    words = ["table", "--results", str(results), "--out", str(page)]
    monkeypatch.setattr(sys, "argv", words)
    assert table.main() == 0
    monkeypatch.setattr(sys, "argv", [*words, "--check"])
    assert table.main() == 0
    page.write_text("by hand")
    assert table.main() == 1 and "is not what" in capsys.readouterr().out
