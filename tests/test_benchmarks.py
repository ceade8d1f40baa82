"""The benchmarks run, and what docs/scale.md says to type is what the commands take."""

import dataclasses
import json
import os
import re
import shlex
import subprocess
import sys

import pytest

from benchmarks.completion import SYSTEMS, ranked_folds, read_kept, table, write_kept
from benchmarks.completion_data import FOLDS, fold_of, split_of
from benchmarks.dkrl_scale import measure
from benchmarks.kepler import page_lines
from benchmarks.kept import do_missing, find, kept_runs
from benchmarks.loader import SHUFFLES
from benchmarks.scale import RISKS
from pipelines.config import Build
from pipelines.estimate import RATES
from pipelines.runner import beam_options
from tests.conftest import ROOT
from wikiloom import parse

SCALE = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
BLOCKS = "\n".join(re.findall(r"```\n(.*?)```", SCALE, re.S)).replace("\\\n", " ")
RESULTS = ROOT / "benchmarks" / "results"
BUILD = json.loads((RESULTS / "build.json").read_text(encoding="utf-8"))["figures"]
ROWS = json.loads((RESULTS / "scale.json").read_text(encoding="utf-8"))["rows"]
BUILDS = [line for line in BLOCKS.splitlines() if line.startswith("wikiloom build")]


def scale_row(name, share=1.0):
    """The figures of a measurement of benchmarks/scale.py and its peak memory."""
    [row] = [row for row in ROWS if row["measured"] == name and row["share"] == share]
    return {**row["figures"], "peak MB": row["peak_mb"]}


@pytest.mark.slow
def test_a_thousandth_of_every_scale_measurement_runs():
    environment = {name: value for name, value in os.environ.items() if name != "WIKILOOM_DATA"}
    words = [sys.executable, "-m", "benchmarks.scale", "--scale", "0.001"]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    measured = re.findall(r"^([a-z-]+): (\w+), [\d.]+ CPU s$", done.stderr, re.M)
    assert measured == [(risk, one.function) for risk, some in RISKS.items() for one in some]
    assert all(risk in done.stdout for risk in RISKS)


def test_evaluation_md_says_of_dkrl_what_was_measured():
    kept = json.loads((RESULTS / "dkrl_scale.json").read_text(encoding="utf-8"))
    text = " ".join((ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8").split())
    epoch, rank, peak = (kept[f"Wikidata5M, {name}"] for name in ("an epoch, CPU h", "rank test, CPU h", "peak, GiB"))
    assert f"on {kept['entities']:,} entities a step takes {kept['step, CPU s']} CPU seconds" in text
    assert f"comes to {epoch} CPU hours an epoch, {rank} for ranking its test triples, and {peak} GiB" in text


def test_jaket_md_says_of_a_step_what_was_measured():
    [kept] = [
        run
        for run in json.loads((RESULTS / "jaket_step.json").read_text(encoding="utf-8"))["runs"]
        if (run["size"], run["device"]) == ("tiny", "cpu")
    ]
    text = " ".join((ROOT / "docs" / "jaket.md").read_text(encoding="utf-8").split())
    assert f"blocks have {kept['entities of the blocks']:,} entities" in text
    assert f"the memory is {kept['ratio']:.1f} times as fast" in text
    assert f"takes {kept['refresh, s for 1,000 entities']:.2f} CPU seconds for 1,000 entities" in text


def test_dkrl_is_measured_on_a_small_graph():
    figures = measure(entities=2_000, steps=1, queries=2)
    assert all(value >= 0 for value in figures.values()) and figures["Wikidata5M, an epoch, CPU h"] > 0


@pytest.mark.parametrize("command", BUILDS)
def test_scale_md_builds_with_flags_that_there_are(command):
    words = [word for word in shlex.split(command)[2:] if word != "--runner=DataflowRunner"]  # needs its own packages
    config, others = parse(Build, "build", words, passing_on=True)
    beam_options(others, config.workers, [])


def test_scale_md_and_the_kept_results_name_the_same_risks():
    assert {row["risk"] for row in ROWS} == set(RISKS)
    assert all(f"`{risk}`" in SCALE for risk in RISKS)


def quotes():
    """Figures of the kept results as docs/scale.md writes them."""
    extraction = json.loads((RESULTS / "extraction.json").read_text(encoding="utf-8"))["figures"]
    bz2 = extraction["bz2 to text and links"]["bz2.decompress"]["mb_per_s"]
    line = extraction["Wikidata line to record"]["wikiloom"]["mb_per_s"]
    moved, jobs, orders = (scale_row(name) for name in ("moved_text", "shard_job", "orders"))
    largest = scale_row("whole_range")["bytes of the largest job"]
    return [
        f"gave {bz2} MB/s there",
        f"| bz2 -> XML, one core | {bz2} MB/s",
        f"| a line of Wikidata's JSON -> record | {line} MB/s",
        f"| {moved['wikidata CPU s']} s, start included |",
        f"| stage wikipedia, from bz2 | {BUILD['wikipedia CPU ms a MB of XML']:g} ms",
        f"| stage align | {BUILD['align CPU ms a MB of XML']} ms",
        f"| stage wk_graphs | {BUILD['wk_graphs CPU ms a MB of XML']} ms",
        f"{BUILD['tables CPU ms a MB of XML']} ms, and {BUILD['tables CPU us an entity']:g} µs for a row of entities",
        f"{BUILD['build / bare']} of their CPU; {BUILD['build 73 MB peak MB']} MB of memory at 73 MB of XML, "
        f"{BUILD['build 290 MB peak MB']} at 290",
        f"{BUILD['pages sink / pyarrow']} of its rows a second (pages), {BUILD['wk_graphs sink / pyarrow']} (wk_graphs",
        f"digest {BUILD['pages sink and logical digest / pyarrow']} and "
        f"{BUILD['wk_graphs sink and logical digest / pyarrow']} |",
        f"{orders['read_statements CPU s']:.1f} + {orders['make_graph CPU s']:.1f} + "
        f"{orders['neighbourhood CPU s']:.1f} s for {orders['triples']:,} triples",
        f"{scale_row('anchors', 0.1)['anchor_rows CPU s']:.1f} s for a tenth of all links, "
        f"{scale_row('anchors')['anchor_rows CPU s']:.1f} s for all",
        f"{BUILD['work bytes an item']} bytes an item, {BUILD['work bytes an entity']} an entity, "
        f"{BUILD['work bytes a triple']} a triple",
        f"{BUILD['dataset bytes an entity']} bytes an entity, {BUILD['dataset bytes a triple']} a triple",
        f"{scale_row('items', 0.1)['bytes an item']:.0f} bytes for each item of the dump "
        f"({scale_row('items', 0.1)['items']:,} measured",
        f"gave Beam {moved['jobs']} elements of {moved['bytes through Beam']:,} bytes together, "
        f"a byte for {moved['XML bytes a byte']} of XML",
        f"at most {largest:,} bytes of them",
        f"of {jobs['ranges']} ranges ({jobs['bytes of a shard of wk_graphs']:,} bytes)",
        f"({jobs['bytes of a shard of entities']:,} bytes for {jobs['files of records']:,})",
    ]


@pytest.mark.parametrize("quote", quotes())
def test_scale_md_quotes_the_kept_results(quote):
    assert quote in " ".join(SCALE.split())


@pytest.mark.parametrize("script", sorted(set(re.findall(r"benchmarks[./](\w+)", SCALE)) - {"results"}))
def test_scale_md_names_benchmarks_that_there_are(script):
    assert (ROOT / "benchmarks" / f"{script}.py").is_file()


def measured_rates():
    """Every rate of --dry-run, from the kept results."""
    plan, orders, anchors = (scale_row(name) for name in ("plan", "orders", "anchors"))
    titles = scale_row("build_index")["titles"]
    graph = orders["make_graph CPU s"] + orders["neighbourhood CPU s"]
    return {
        "wikipedia_ms": BUILD["piece CPU ms a MB of XML"],
        **{f"{name}_ms": BUILD[f"{name} CPU ms a MB of XML"] for name in ("align", "wk_graphs", "tables")},
        **{f"{name}_kb": BUILD[f"{name} kB a MB of XML"] for name in ("align", "wk_graphs", "dataset")},
        "entity_bytes": max(BUILD["dataset bytes an entity"], BUILD["work bytes an entity"]),
        "fact_bytes": BUILD["dataset bytes a triple"],
        "graph_bytes": BUILD["work bytes a triple"],
        "entity_us": BUILD["tables CPU us an entity"],
        "title_us": 1e6 * (plan["plan_alignment CPU s"] + anchors["anchor_rows CPU s"]) / titles,
        "statement_us": 1e6 * orders["read_statements CPU s"] / orders["triples"],
        "triple_us": 1e6 * graph / orders["triples"],
        "title_bytes": 1e6 * plan["peak MB"] / titles,
        "item_bytes": scale_row("items", 0.1)["bytes an item"],
        "triple_bytes": 1e6 * orders["peak MB"] / orders["triples"],
        "worker_mb": BUILD["build 290 MB peak MB"],
    }


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(RATES)])
def test_a_dry_runs_rates_are_those_that_were_measured(name):
    assert getattr(RATES, name) == pytest.approx(measured_rates()[name], rel=0.3)


@pytest.mark.parametrize("what", ["CPU", "memory", "disk"])
def test_a_dry_run_was_no_further_off_than_a_factor_of_two(what):
    assert 0.5 <= BUILD[f"estimated / taken, {what}"] <= 2


@pytest.mark.parametrize("name", ["loader", "loader, 1 thread ahead", "loader, 2 threads decode"])
def test_the_loaders_share_of_pyarrows_rate_is_that_of_the_rates_and_as_loader_md_says(name):
    figures = json.loads((ROOT / "benchmarks/results/loader.json").read_text(encoding="utf-8"))["figures"]
    share = figures[f"{name} / pyarrow"]
    assert share == pytest.approx(figures[f"{name} rows/s"] / figures["pyarrow rows/s"], abs=0.0006)
    assert f"| {share} |" in (ROOT / "docs/loader.md").read_text(encoding="utf-8")


def test_loader_md_shows_how_settings_mix_as_it_was_measured():
    figures = json.loads((ROOT / "benchmarks/results/loader.json").read_text(encoding="utf-8"))["figures"]
    page = (ROOT / "docs/loader.md").read_text(encoding="utf-8")
    columns = ("row groups", "of a perfect shuffle's", "MB held", "/ pyarrow")
    for batch, lanes, window in SHUFFLES:
        found = [str(figures[f"batch {batch}, lanes {lanes}, window {window}: {name}"]) for name in columns]
        assert f"| {' | '.join([f'{batch:,}', str(lanes), f'{window:,}', *found])} |" in page


@pytest.mark.parametrize(("dropout", "bucketed"), [("0.1", 2.0), ("0.0", 1.9)])
def test_a_step_of_colake_was_as_much_faster_than_the_authors_as_is_asked(dropout, bucketed):
    figures = json.loads((RESULTS / "colake_step.json").read_text(encoding="utf-8"))[f"dropout {dropout}"]
    assert figures["original / same padded batch"] >= 1.4 and figures["original / as the loader makes it"] >= bucketed
    assert figures["entity traffic, share of our step"] + figures["loader, share of our step"] < 0.05
    assert figures["nodes"] <= figures["padded nodes, ours"] < figures["padded nodes, original"]


@pytest.mark.parametrize("texts", ["lognormal", "sample"])
def test_a_step_of_kepler_was_as_much_faster_than_six_padded_encodings_as_is_asked(texts):
    figures = json.loads((RESULTS / "kepler_step.json").read_text(encoding="utf-8"))[texts]
    assert figures["ours / original"] >= 2.5 and figures["loss"] == pytest.approx(figures["loss, ours"], rel=1e-5)
    assert figures["tokens of four encodings"] <= figures["padded tokens, ours"] < figures["padded tokens, original"]
    ahead = figures["ours, triples a CPU s"] / figures["original, triples a CPU s"]
    assert figures["ours / original"] == pytest.approx(ahead, rel=0.01)
    names = ["mean tokens of a text", "ours, triples a CPU s", "ours / original", "ours / original, 3 at a time"]
    cells = " | ".join(str(figures[name]) for name in [*names, "gap: floor / ours"])
    assert f"| {cells} |" in (ROOT / "docs" / "kepler.md").read_text(encoding="utf-8")


def test_kepler_md_shows_the_kept_figures_of_link_prediction():
    tables = "\n".join(page_lines(kept_runs("kepler")))
    assert tables and f"\n\n{tables}\n#" in (ROOT / "docs" / "kepler.md").read_text(encoding="utf-8")


def test_linking_md_quotes_the_kept_results_and_they_are_fast_enough():
    figures = json.loads((RESULTS / "linking.json").read_text(encoding="utf-8"))["figures"]
    page = " ".join((ROOT / "docs/linking.md").read_text(encoding="utf-8").split())
    rates, dense = figures["rates"], figures["dense"]
    assert rates["link MB/s"] >= 5 and rates["link, line by line MB/s"] >= 5
    for name in rates:
        assert f"| {rates[name]} | {dense[name]} |" in page, name
    assert f"| {figures['surfaces']:,} surfaces | dense, {dense['surfaces']:,} surfaces |" in page
    assert (
        f"{dense['detector bytes a surface']} bytes" in page and f"{dense['trie bytes a surface']} in the trie" in page
    )
    links = figures["links"]["test"]
    ends, coverage = links["end-to-end"], links["coverage"]
    assert f"Of {links['given']['mentions']:,} mentions" in page
    assert f"{coverage['in_dataset']} have" in page and f"{coverage['candidate']} one" in page
    assert f"{links['given']['accuracy']} of the given" in page
    assert f"{links['given-in-dataset']['accuracy']} of the {links['given-in-dataset']['mentions']} in" in page
    assert f"precision is {ends['precision']}, recall {ends['recall']}, F1 {ends['f1']}." in page


@pytest.mark.parametrize(
    "name",
    [
        "build.py",
        "colake_step.py",
        "finetune_memory.py",
        "jaket_step.py",
        "kepler_step.py",
        "linking.py",
        "scale.py",
        "tokenize.py",
    ],
)
def test_a_benchmark_also_starts_as_a_file(name):
    words = [sys.executable, ROOT / "benchmarks" / name, "--help"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "usage:" in done.stdout, done.stderr


def test_each_fact_is_tested_by_one_fold_and_elsewhere_in_train_or_valid():
    facts = [(f"Q{n}", f"P{n % 7}", f"Q{n + 1}") for n in range(3_000)]
    splits = [[split_of(fact, fold) for fold in range(FOLDS)] for fact in facts]
    assert all(own.count("test") == 1 and own[fold_of(fact)] == "test" for fact, own in zip(facts, splits, strict=True))
    others = [split for own in splits for split in own if split != "test"]
    assert 0.03 < others.count("valid") / len(others) < 0.07 and set(others) == {"train", "valid"}


def test_completion_pools_the_folds_that_are_done_and_pairs_the_samples(tmp_path):
    ranks = {fold: {"colake": [1, 2, 4], "transe": [2, 2, 1]} for fold in (0, 1)}
    for fold, system in [(fold, system) for fold in (0, 1, 2) for system in SYSTEMS if fold < 2 or system == "colake"]:
        document = {
            "cpu_seconds": 1.0,
            "protocol": {"samples": {"transductive": 2, "inductive": 1}, "left_out": {}},
            "samples": [f"{fold}/{n}" for n in range(3)],
            "relations": ["P1", "P2" if fold else "P1", "P1"],
            "inductive": [False, False, True],
            "ranks": {system: ranks.get(fold, {}).get(system, [8, 8, 8])},
        }
        path = tmp_path / f"fold-{fold}" / "test" / f"{system}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document), encoding="utf-8")
    write_kept(ranked_folds(tmp_path, "test"), tmp_path / "kept.parquet")
    found = read_kept(tmp_path / "kept.parquet")
    assert found == ranked_folds(tmp_path, "test") and found.pop(2).keys() == {"colake"}
    figures = table(found)
    assert figures["folds"] == [0, 1]
    colake, transe = (figures["transductive"][name] for name in ("colake", "transe"))
    assert colake["mrr"] == 0.75 and colake["macro_mrr"] == round((5 / 6 + 1 / 2) / 2, 4)
    ahead, low, high = transe["colake_less_this"]["macro_mrr"]
    assert transe["macro_mrr"] == 0.5 and ahead == round(1 / 6, 4) and low <= ahead <= high
    assert figures["inductive"]["transe"]["colake_less_this"]["mrr"] == [-0.75] * 3
    found[1]["transe"]["samples"] = ["another"]
    with pytest.raises(SystemExit, match="transe was asked other samples"):
        table(found)


MASKED = {"relation": "accuracy", "between_anchors": "accuracy", "tail": "mrr", "entity": "mrr"}
"""Columns of the table of masked nodes in docs/evaluation.md."""


def test_evaluation_md_shows_the_kept_figures_of_masked_nodes():
    figures = json.loads((RESULTS / "colake.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    for name, kinds in figures["systems"].items():
        seeds = len(figures["cpu_minutes"].get(name, [])) or "-"
        cells = ["{:.3f} [{:.3f}, {:.3f}]".format(*kinds[k][m]) if k in kinds else "-" for k, m in MASKED.items()]
        assert f"| {name} | {seeds} | {' | '.join(cells)} |" in page
    assert min(figures["accuracy_of_each_seed"]["colake-tiny"]["relation"]) >= 0.5
    assert max(figures["cpu_minutes"]["colake-tiny"]) <= 15
    assert all(abs(cosine) < 0.99 for cosine in figures["relations_moved"]["colake-tiny"])


COMPLETION = {
    "CoLAKE (tiny, 3 layers, 900 steps)": "colake",
    "unseen entities shown by their names": "colake, names",
    "DKRL": "dkrl",
    "DistMult": "distmult",
    "ComplEx": "complex",
    "TransE": "transe",
    "RotatE": "rotate",
    "CoLAKE without triples": "colake-no-triples",
}
"""Rows of the table in docs/evaluation.md that are not named as their systems are."""


def test_evaluation_md_shows_the_kept_figures_of_completion():
    page = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    figures = json.loads((RESULTS / "completion.json").read_text(encoding="utf-8"))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("|")]
    rows = [row for row in rows if COMPLETION.get(row[0], row[0]) in figures["transductive"] and len(row) == 5]
    assert len(rows) == 10
    for name, *cells in rows:
        for part, (value, ahead) in zip(("transductive", "inductive"), (cells[:2], cells[2:]), strict=True):
            kept = figures[part][COMPLETION.get(name, name)]
            assert value in ("", f"{kept['macro_mrr']:.3f}"), name
            assert ahead in ("", "{:.3f} [{:.3f}, {:.3f}]".format(*kept["colake_less_this"]["macro_mrr"])), name


def test_finetuning_md_shows_the_kept_figures():
    figures = json.loads((RESULTS / "finetuning.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "finetuning.md").read_text(encoding="utf-8")
    (tasks,) = figures["systems"].values()
    for name, found in tasks.items():
        own, settings = found["all"], found["settings"]
        spread = f"{own['accuracy_sd']:.3f}" if "accuracy_sd" in own else "-"
        interval = f"{own['interval']:.3f}" if "interval" in own else "-"
        frozen = f"{found['frozen']['accuracy']:.3f}" if "frozen" in found else "-"
        cells = [f"{own['accuracy']:.3f}", spread, interval, frozen, f"{found['majority']['accuracy']:.3f}"]
        assert f"| {name} | {' | '.join(cells)} | {settings['seeds']} | {found['cpu_seconds']:.0f} |" in page


def test_a_kept_run_is_not_done_again_unless_it_would_be_told_other_things(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.timing.RESULTS", tmp_path)
    monkeypatch.setattr("benchmarks.kept.RESULTS", tmp_path)
    done = []

    def finished(run):
        done.append(run["seed"])
        return {"mrr": run["seed"] / 10}

    first = [{"system": "a", "seed": seed, "values": {"lr": "1"}} for seed in (1, 2)]
    do_missing("trial", first, finished)
    do_missing("trial", first, finished)
    assert done == [1, 2] and [run["mrr"] for run in kept_runs("trial")] == [0.1, 0.2]
    other = [{**first[0], "values": {"lr": "2"}}]
    do_missing("trial", other, finished)
    assert done == [1, 2, 1] and find(first[0], kept_runs("trial")) is None
    assert [run["values"]["lr"] for run in kept_runs("trial")] == ["1", "2"]
    do_missing("trial", other, finished, again=True)
    assert done == [1, 2, 1, 1] and len(kept_runs("trial")) == 2
