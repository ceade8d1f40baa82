"""What the pages say of files, options, settings and names is so, and the README leads to all of it."""

import dataclasses
import json
import os
import re

import pytest

from pipelines import cli as pipelines_cli
from pipelines.config import Parameters
from pipelines.demo import Demo
from pipelines.importing.config import FORMATS
from schemas.tables import TABLES
from tests.conftest import ROOT
from training import cli as training_cli
from training.baselines import LEARNED, NAMES
from training.config import Config
from training.config_file import RECIPES
from training.evaluation.run import OF_ENCODERS, TASKS_OF
from training.evaluation.tasks import TASKS
from wikiloom import COMMANDS

PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.md"))
}
CONFIG = {
    f"{section.name}.{field.name}"
    for section in dataclasses.fields(Config)
    if dataclasses.is_dataclass(section.type)
    for field in dataclasses.fields(section.type)
}
SHORT = [Parameters, *(kind.settings for kind in (*TASKS.values(), *LEARNED.values()))]
SETTINGS = CONFIG | {"split", "seed"} | {field.name for kind in SHORT for field in dataclasses.fields(kind)}
FILES = (".py", ".json", ".tsv", ".txt", ".noun")
"""How names of files end that begin as settings do."""
SYSTEMS = {"KEPLER": "kepler", "C-LMKE": "c-lmke", "LMKE": "lmke", "LASS": "lass", "CoLAKE": "colake", "JAKET": "jaket"}
SYSTEMS |= {"mlm-only": "mlm-only"}


def options(command):
    """The options of a command, as they are typed."""
    name = command.title().replace("-", "")
    kind = getattr(pipelines_cli, name, None) or getattr(training_cli, name, Demo)
    return {"--help", *("--" + field.name.strip("_").replace("_", "-") for field in dataclasses.fields(kind))}


def anchors(text):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page):
    """(path, anchor) of each link of a page to something in the checkout."""
    for target in re.findall(r"\]\(([^)\s]+)\)", PAGES[page]):
        if not target.startswith("http"):
            path, _, anchor = target.partition("#")
            yield os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page, anchor


def row(page, name):
    """The cells of the table's row that begins with a name."""
    (line,) = re.findall(rf"^\| [^|]*(?<![\w-]){re.escape(name)}(?![\w-])[^|]*\|.*$", PAGES[page], re.M)
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


@pytest.mark.parametrize("page", PAGES)
def test_every_link_and_anchor_leads_somewhere(page):
    for path, anchor in links(page):
        assert (ROOT / path).exists(), path
        assert not anchor or anchor in anchors(PAGES[path]), f"{path}#{anchor}"


def test_the_readme_leads_to_every_page_in_two_steps():
    near = {path for path, _ in links("README.md")}
    reached = {"README.md"} | near | {path for page in near & PAGES.keys() for path, _ in links(page)}
    # A folder that is linked shows its README.
    assert {page for page in PAGES if page.removesuffix("/README.md") not in reached} <= reached


@pytest.mark.parametrize("page", PAGES)
def test_commands_have_the_options_that_a_page_gives_them(page):
    for command, rest in re.findall(r"\bwikiloom ([a-z-]+)([^`\n]*)", PAGES[page].replace("\\\n", " ")):
        assert command in COMMANDS, command
        given = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", rest))
        # Options of Beam's, behind the first of them, are read in test_cluster_docs.py.
        assert "--runner" in given or given <= options(command), f"wikiloom {command}: {given - options(command)}"


@pytest.mark.parametrize("page", PAGES)
def test_settings_that_a_page_names_are_settings(page):
    told = re.findall(r"--set[ =]([a-z][\w.]*)=", PAGES[page])
    sections = "|".join({name.partition(".")[0] for name in CONFIG})
    dotted = re.findall(rf"(?<![\w/.-])((?:{sections})\.[a-z_]+)(?=[`=])", PAGES[page])
    assert {word for word in (*told, *dotted) if not word.endswith(FILES)} - {"key"} <= SETTINGS


@pytest.mark.parametrize("recipe", sorted(path.stem for path in RECIPES.glob("*.toml")))
def test_every_recipe_is_in_a_page(recipe):
    family = recipe.rpartition("-")[0]
    assert any(re.search(rf"`{re.escape(family)}[-`]", text) for page, text in PAGES.items() if page != "CHANGELOG.md")


def test_every_format_table_and_baseline_is_in_a_page():
    assert all(re.search(rf"^\| `?{name}`? |import {name} ", PAGES["docs/imports.md"], re.M) for name in FORMATS)
    assert all(f"[{name}](../schemas/{name}.json)" in PAGES["docs/dataset.md"] for name in TABLES)
    baselines = PAGES["docs/evaluation.md"].partition("## Baselines")[2]
    assert all(f"`{name}`" in baselines for name in NAMES)


@pytest.mark.parametrize("field", dataclasses.fields(Parameters), ids=lambda field: field.name)
def test_every_parameter_of_a_build_is_in_dataset_md_with_its_default(field):
    name, default, _ = row("docs/dataset.md", field.name)
    if field.default is not None:  # else a number that suits the data
        place = name.replace("`", "").split(", ").index(field.name)
        assert default.split(", ")[place] == str(field.default).lower()


@pytest.mark.parametrize("task", TASKS)
def test_evaluation_md_says_who_answers_a_task(task):
    _, _, who = row("docs/evaluation.md", task)
    if task in OF_ENCODERS:
        assert who.startswith("any text encoder")
        return
    named = {system for name, system in SYSTEMS.items() if re.search(rf"(?<![\w-]){name}(?![\w-])", who)}
    assert named == {system for system, tasks in TASKS_OF.items() if task in tasks}
    able = {name for name, kind in LEARNED.items() if task in kind.tasks}
    assert ("learned baselines" in who) == bool(able)
    assert ("but `cosine`" in who) == (bool(able) and "cosine" not in able)


def kept(name):
    """A kept result."""
    return json.loads((ROOT / f"benchmarks/results/{name}.json").read_text(encoding="utf-8"))


def figures():
    """(page, what it says of the kept results); those of other pages are in test_benchmarks.py."""
    texts, bz2, lines = (
        kept("extraction")["figures"][name]
        for name in ("wikitext to text and links", "bz2 to text and links", "Wikidata line to record")
    )
    for task, peer, said, digits in (
        (texts, "wikiextractor", "wikiextractor 3.1: {:.1f} | {:.1f}x as fast", 1),
        (texts, "wikipedia2vec", "wikipedia2vec 2.0: {:.1f} | {:.0f}x", 1),
        (texts, "mwparserfromhell", "mwparserfromhell 0.7: {:.1f} | {:.0f}x", 1),
        (bz2, "bz2.decompress", "bare `bz2.decompress`: {:.1f} | {:.2f}x", 1),
        (lines, "orjson", "orjson: {:.0f} | {:.1f}x", 0),
        (lines, "json", "json: {:.0f} | {:.1f}x", 0),
    ):
        yield "README.md", said.format(task[peer]["mb_per_s"], task[peer]["wikiloom_is_times_as_fast"])
        yield "README.md", f" | {task['wikiloom']['mb_per_s']:.{digits}f} | "
    memory, step, gpu = kept("finetune_memory"), kept("colake_step"), kept("gpu")["systems"]["colake"]
    yield "docs/training.md", f"peak of {memory['peak MiB after each tenth'][-1]:,} MiB"
    yield "docs/training.md", f"{memory['growth from the second tenth to the last']:.1%}".replace("%", " % above that")
    for dropout, said in (("0.1", "| 0.1 | {} times as fast | {} |"), ("0.0", "| 0 | {} | {} |")):
        of = step[f"dropout {dropout}"]
        pair = of["original / same padded batch"], of["original / as the loader makes it"]
        yield "docs/training.md", said.format(*pair)
    yield "docs/training.md", f"{gpu['samples']:,} samples a second ({gpu['tflops']:.0f} TFLOP/s, {gpu['mfu']:.0%}"[:-1]
    vectors, rows, tokens = kept("entity_vectors"), kept("entity_memory")["a step, 1 threads"], kept("tokenize")
    padded = vectors["padded_per_real"]
    yield "docs/export.md", f"{padded['window']} tokens with padding for each real one"
    yield "docs/export.md", f"had {padded['pieces of 1,024']} and 32 texts as they come have {padded['as they come']}"
    yield "docs/export.md", f"encoded {vectors['times_as_fast']} times as fast"
    yield "docs/colake.md", f"`host` is {rows['adam beside SparseAdam, cpu']} times as fast"
    yield "docs/colake.md", f"Adagrad {rows['adagrad beside SparseAdam, cpu']} times"
    bpe, unigram = (tokens["figures"][kind]["all"]["ours / bare"] for kind in ("bpe", "unigram"))
    yield "docs/tokens.md", f"{bpe} of its tokens a CPU second for BPE, {unigram} for Unigram"


@pytest.mark.parametrize(("page", "quote"), sorted(set(figures())))
def test_figures_are_those_of_the_kept_results(page, quote):
    assert quote in " ".join(PAGES[page].split())
