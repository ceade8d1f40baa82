"""Nothing that is read can run code or leave its folder: the rules that all code keeps, and what is planted in data.

Pickles in a run, in a folder of an encoder and in what import-weights reads: tests/training/test_pickles.py,
test_encoders.py, test_fairseq.py. Markup in every place of a page, a picture or a terminal: test_report.py,
test_drawing.py, test_watch.py. External entities and bombs: tests/end_to_end/reliability/test_containers.py.
"""

import ast
import html
import os
import pickle
import re
import shutil
import tomllib
from pathlib import Path

import pytest

from schemas.dataset import Dataset
from schemas.errors import DataError
from tests.code_rules import CALLS, broken
from tests.conftest import ROOT
from tests.made_datasets import REST, ROWS, write_dataset
from tests.training.test_pickles import Canary
from wikiloom import main

CODE = ("wikiloom.py", "schemas", "pipelines", "training", "docker", "scripts", "examples")
ALLOWED = {
    ("training/fairseq.py", "torch.load"): "import-weights reads what others wrote, by the restricted reader",
    ("pipelines/report/plots.py", "another XML parser"): "takes apart what matplotlib has just drawn in memory",
}
SECRET = "what only its owner may read"


def modules():
    found = [path for name in CODE for path in [ROOT / name, *sorted((ROOT / name).rglob("*.py"))] if path.is_file()]
    return [path for path in found if path.suffix == ".py"]


def test_no_code_breaks_a_rule():
    breaks = {}
    for path in modules():
        for rule, line in broken(path.read_text(encoding="utf-8")):
            breaks.setdefault((path.relative_to(ROOT).as_posix(), rule), []).append(line)
    assert breaks.keys() == ALLOWED.keys(), breaks
    assert len(modules()) > 200


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        ("import pickle", "pickle"),
        ("from dill import loads", "pickle"),
        ("import xml.etree.ElementTree as ET", "another XML parser"),
        ("eval(text)", "runs text"),
        ("exec(open(path).read())", "runs text"),
        ("subprocess.run(words, shell=True)", "a shell"),
        ("subprocess.run(words, shell=asked)", "a shell"),
        ("os.system(words)", "a shell"),
        ("np.load(path, allow_pickle=True)", "unpickles"),
        ("pd.read_pickle(path)", "unpickles"),
        ("dist.broadcast_object_list(state)", "unpickles"),
        ("torch.load(path)", "torch.load without weights_only"),
        ("torch.load(path, weights_only=False)", "torch.load without weights_only"),
        ("torch.load(path, weights_only=True)", "torch.load"),
        ("torch.serialization.add_safe_globals([Thing])", "adds to what torch.load may make"),
        ("yaml.load(text, Loader)", "yaml"),
        ("AutoModel.from_pretrained(name)", "code of a model's folder"),
        ("AutoModel.from_pretrained(name, trust_remote_code=True)", "code of a model's folder"),
        ("etree.iterparse(path)", "an open XML parser"),
        ("etree.XMLParser()", "an open XML parser"),
        ("etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)", "an open XML parser"),
        ("import tarfile\ntarfile.open(path).extractall(folder)", "extracts an archive"),
        ("shutil.unpack_archive(path)", "unpacks an archive"),
        ("tempfile.mktemp()", "a guessable temporary name"),
        ("requests.get(address, verify=False)", "an unchecked certificate"),
        ('serve("0.0.0.0")', "listens to all"),
    ],
)
def test_a_rule_that_is_broken_is_found(code, rule):
    assert rule in dict(broken(code))


def test_every_rule_is_tried():
    (mark,) = test_a_rule_that_is_broken_is_found.pytestmark
    assert CALLS.keys() <= {rule for _, rule in mark.args[1]}


@pytest.mark.parametrize(
    "code",
    [
        "re.compile(pattern)",
        "model.eval()",
        "torch.load",
        "np.load(path, allow_pickle=False)",
        "AutoModel.from_pretrained(name, **options)",
        "subprocess.run(words, check=True)",
        "extract(text)",
    ],
)
def test_what_keeps_the_rules_is_not_found(code):
    assert not list(broken(code))


def test_options_of_a_model_never_trust_its_code():
    """What goes to from_pretrained as **options is looked at here."""
    trusted = [
        ast.unparse(node)
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and key.value == "trust_remote_code" and ast.unparse(value) != "False"
    ]
    assert not trusted
    assert '"trust_remote_code": False, "use_safetensors": True' in (ROOT / "training/encoders.py").read_text()


def test_libraries_are_pinned_and_none_has_a_hole_that_we_know():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    names = [line.split(";")[0].strip() for line in lines if line and not line.lstrip().startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+(\[.*\])?==\S+", name) for name in names)
    pinned = {
        name.partition("==")[0].lower(): tuple(map(int, re.findall(r"\d+", name.partition("==")[2])[:3]))
        for name in names
    }
    # lxml: iterparse read local files; torch: weights_only could be got round; pyarrow: IPC files ran code.
    assert pinned["lxml"] >= (6, 1, 0) and pinned["torch"] >= (2, 6, 0) and pinned["pyarrow"] >= (14, 0, 1)
    assert not {"fastparquet", "pickle5"} & pinned.keys()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert any(line.startswith("lxml>=6.1.0") for line in extras["pipelines"])


@pytest.fixture
def dataset(tmp_path):
    return write_dataset(tmp_path / "data", ROWS, REST)


@pytest.mark.parametrize("name", ["entities/entities-00000-of-00001.parquet", "manifest.json"])
@pytest.mark.parametrize("command", ["validate", "describe", "audit"])
def test_a_pickle_in_place_of_a_file_of_a_dataset_is_not_run(command, name, dataset, tmp_path, capsys):
    (dataset / name).write_bytes(pickle.dumps(Canary(tmp_path / "canary")))
    assert main([command, str(dataset)]) == 1
    said = capsys.readouterr()
    assert Path(name).name in said.out + said.err and "Traceback" not in said.err
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_a_pickle_in_place_of_a_tokenizer_is_not_run(name, dataset, tmp_path, capsys):
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    (folder / name).write_bytes(pickle.dumps(Canary(tmp_path / "canary")))
    assert main(["tokenize", str(dataset), "--tokenizer", str(folder), "--name", "x"]) == 1
    assert "tokenizer.json" in capsys.readouterr().err and not (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", ["../secret.parquet", "/FOLDER/secret.parquet", "pages/../../secret.parquet"])
def test_a_name_that_leads_out_of_a_dataset_is_not_read(name, dataset, tmp_path):
    secret = tmp_path / "secret.parquet"
    path = next((dataset / "pages").glob("train-*"))
    shutil.copy(path, secret)
    manifest = dataset / "manifest.json"
    inside = path.relative_to(dataset).as_posix()
    manifest.write_text(manifest.read_text().replace(inside, name.replace("/FOLDER", str(tmp_path))))
    with pytest.raises(DataError, match="only files inside the dataset are read"):
        Dataset(dataset)


@pytest.mark.parametrize("place", ["shard", "folder", "manifest"])
def test_a_link_out_of_a_dataset_is_not_read(place, dataset, tmp_path):
    path = {
        "shard": next((dataset / "pages").glob("train-*")),
        "folder": dataset / "pages",
        "manifest": dataset / "manifest.json",
    }[place]
    outside = path.rename(tmp_path / "outside")
    path.symlink_to(outside)
    with pytest.raises(DataError, match="symbolic link"):
        Dataset(dataset)


def test_what_is_no_file_is_not_waited_for(dataset):
    path = next((dataset / "pages").glob("train-*"))
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DataError, match="is no file"):
        Dataset(dataset)


@pytest.mark.parametrize(
    "words", [["describe", "DATA", "--html", "OUT"], ["show", "DATA", "--graph", "1", "--svg", "OUT"]]
)
def test_markup_in_the_data_is_text_on_a_page(words, dataset, tmp_path):
    graph = str(ROWS["wk_graphs"][0]["graph_id"])
    places = {"DATA": str(dataset), "OUT": str(tmp_path / "page"), "1": graph}
    assert main([places.get(word, word) for word in words]) == 0
    page = (tmp_path / "page").read_text(encoding="utf-8")
    assert "<script>alert" not in page and "&lt;script&gt;alert" in page


def test_a_page_of_a_build_s_own_may_load_nothing_and_run_only_its_own_script(dataset, tmp_path):
    assert main(["describe", str(dataset), "--html", str(tmp_path / "page.html")]) == 0
    page = html.unescape((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert re.search(r"Content-Security-Policy[^>]*default-src 'none'", page)
    assert not re.search(r"""\ssrc\s*=\s*["']?(https?:)?//|<link|@import|<iframe""", page)


@pytest.mark.parametrize("words", [["explain", "Q1"], ["describe"], ["show", "--graph"]])
def test_what_the_data_says_can_t_move_the_terminal(words, dataset, capsys):
    words = [*words[:1], str(dataset), *words[1:]]
    if words[-1] == "--graph":
        words.append(str(ROWS["wk_graphs"][0]["graph_id"]))
    assert main(words) == 0
    said = capsys.readouterr()
    assert "\x1b[31m" not in said.out + said.err and "\0" not in said.out and "\u202e" not in said.out
