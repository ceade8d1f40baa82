"""The demo's own steps; the commands are stood in for, since make demo runs them for real."""

import json

from pipelines import demo, report
from tests.conftest import EXAMPLES
from wikiloom import main


def test_a_second_demo_does_not_stumble_over_the_first(tmp_path, monkeypatch):
    said = []

    def command(words):
        said.append(words[0])
        if words[0] == "build":
            (tmp_path / "dataset").mkdir(exist_ok=True)
            (tmp_path / "dataset/manifest.json").write_text(json.dumps({}))
        if words[0] in ("train", "baseline"):
            (tmp_path / "runs" / words[-1].rpartition("/")[2]).mkdir(parents=True)  # refuses one that is there

    monkeypatch.setattr(demo, "_wikiloom", command)
    monkeypatch.setattr(report, "write_html", lambda folder, out, runs: None)
    for _ in range(2):
        assert demo.run("demo", ["--examples", str(EXAMPLES), "--out", str(tmp_path)]) == 0
    assert said == said[: len(said) // 2] * 2
    assert {"build", "validate", "train", "baseline", "evaluate", "predict"} == set(said)


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path, monkeypatch):
    (tmp_path / "runs/mine").mkdir(parents=True)
    monkeypatch.setattr(demo, "_wikiloom", lambda words: None)
    monkeypatch.setattr(report, "write_html", lambda folder, out, runs: None)
    assert demo.run("demo", ["--examples", str(EXAMPLES), "--out", str(tmp_path)]) == 0
    assert (tmp_path / "runs/mine").is_dir()


def test_outside_a_checkout_the_demo_says_in_one_line_what_it_needs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["demo"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("Run the demo from a checkout, or name its examples with --examples.")
