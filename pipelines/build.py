"""Dumps -> dataset. Reads like the figure in the README:

    Wikidata  -> items, statements ----------+-> align -> graph -> wk_graphs -> tables, manifest, card
    Wikipedia -> text, links, redirects -----+

Every stage works range by range and leaves files in the build's work folder; a killed build goes on at the first
range that has no marker yet.
"""

import dataclasses
import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pipelines import finish, inputs, sinks
from pipelines.config import STAGES, Build
from pipelines.estimate import print_estimate
from pipelines.keys import READS, Rules, range_names, stage_keys
from pipelines.records import read_json, remove_unfinished, save_array, write_json
from pipelines.runner import run_jobs, run_transform
from pipelines.tables import TableWriter
from pipelines.transforms import entities
from pipelines.transforms.align import AlignJob, align_range
from pipelines.transforms.articles import WikipediaJob, read_wikipedia_range
from pipelines.transforms.facts import Tally, read_statements
from pipelines.transforms.graph import Graph, describe_graph, make_graph, write_triples
from pipelines.transforms.neighbourhood import Neighbourhood
from pipelines.transforms.plan_align import plan_alignment
from pipelines.transforms.sentences import require_splitter
from pipelines.transforms.statements import WikidataJob, read_wikidata_range
from pipelines.transforms.title_join import JoinTitles, TitleJob
from pipelines.transforms.wk_graphs import WkGraphJob, wk_graph_range
from pipelines.work import keep_only, locked, require_ours
from schemas.errors import DataError
from schemas.manifest import TableEntry
from schemas.pages import PAGES
from schemas.tables import TABLES
from schemas.wk_graphs import WK_GRAPHS


@dataclasses.dataclass(frozen=True)
class Builder:
    """One build: what it was told, what it reads, Beam's options; a method for each stage."""

    config: Build
    plan: inputs.Plan
    digests: dict[Path, str]
    """Of every input file (inputs.digest_files)."""
    options: Any

    def run_stage(self, name: str) -> None:
        """Run one of STAGES, unless it is done."""
        if self.is_done(name):
            return
        keep_only(self.work / name, self.keys[name], () if name in READS else self.names[name])
        run = {
            "wikidata": self.wikidata,
            "wikipedia": self.wikipedia,
            "align": self.align,
            "graph": self.graph,
            "wk_graphs": self.wk_graphs,
        }[name]
        with finish.measured(self.work / f"{name}.json", self.keys[name]):
            run()

    def is_done(self, name: str) -> bool:
        """Has the stage run to its end on these inputs, with these parameters?"""
        path = self.work / f"{name}.json"
        return path.is_file() and read_json(path)["key"] == self.keys[name]

    def wikidata(self) -> None:
        """Read Wikidata: items with their best-rank statements, properties."""
        folders = self.folders("wikidata")
        jobs = [WikidataJob(r, f, self.config.language) for r, f in zip(self.plan.wikidata, folders, strict=True)]
        run_jobs("wikidata", jobs, read_wikidata_range, self.options)
        _require_some(folders, self.config.wikidata, "item or property")

    def wikipedia(self) -> None:
        """Read Wikipedia: wikitext -> text, sections, links; redirects."""
        folders = self.folders("wikipedia")
        jobs = [WikipediaJob(r, f, self.plan.site) for r, f in zip(self.plan.wikipedia, folders, strict=True)]
        run_jobs("wikipedia", jobs, read_wikipedia_range, self.options)
        _require_some(folders, self.config.wikipedia, "article or redirect")

    def align(self) -> None:
        """Titles -> items, which entities are kept, pages with entities."""
        keep_only(self.index, self.keys["titles"])
        if not (self.index / "done.json").exists():
            lists = inputs.read_title_lists(self.config, self.plan.site)
            plan_alignment(self.folders("wikidata"), self.folders("wikipedia"), lists, self.rules.align, self.index)
        folders = zip(self.folders("wikipedia"), self._titles(), self.folders("align"), strict=True)
        jobs = [AlignJob(a, self.index, t, f, self.rules.mentions) for a, t, f in folders]
        run_jobs("align", jobs, align_range, self.options)

    def graph(self) -> None:
        """Statements -> triples, splits, the order of entities and relations."""
        rules, tally = self.rules.split, Tally()
        kept = np.load(self.index / "kept_items.npy")
        triples, winning = read_statements(
            self.folders("wikidata"),
            kept,
            labelled_only=self.rules.align.keep != "all",
            excluded=inputs.read_excluded(self.config.exclude_triples),
            tally=tally,
        )
        mentions = finish.count_mentions(self.folders("align"), kept)
        graph, refused = make_graph(triples, kept, mentions, rules)
        folder = self.work / "graph"
        graph.save(folder)
        Neighbourhood.of(graph).save(self.neighbourhood)
        for number, mask in enumerate(winning):
            save_array(self._winning(number), mask)
        write_json(folder / "describe.json", describe_graph(graph, refused, rules, tally))
        document = {"in": tally.statements, "out": {"triples": len(graph.heads)}, "drops": dict(tally.drops)}
        write_json(folder / "done.json", {**document, "items": dict(tally.items)})

    def wk_graphs(self) -> None:
        """Pages -> word-knowledge graphs."""
        folders = zip(self.folders("align"), self.folders("wk_graphs"), strict=True)
        jobs = [WkGraphJob(a, self.neighbourhood, f, self.rules.graphs) for a, f in folders]
        run_jobs("wk_graphs", jobs, wk_graph_range, self.options)

    def tables(self) -> dict[str, TableEntry]:
        """Write the tables that are not whole yet and put all into the dataset; the manifest's entries."""
        graph = Graph.load(self.work / "graph")
        wikidata, wikipedia, aligned, graphs = map(self.folders, ("wikidata", "wikipedia", "align", "wk_graphs"))
        rows = self.config.parameters.rows_per_shard
        writer = TableWriter(self.work / "tables", self.config.out, self.keys, rows, self.options)
        writer.merge(
            {
                "pages": [run for folder in aligned for run in sinks.runs(folder, PAGES)],
                "wk_graphs": [run for folder in graphs for run in sinks.runs(folder, WK_GRAPHS)],
            }
        )
        writer.write_entities(
            [
                *((folder / "items.arrow", self._winning(number)) for number, folder in enumerate(wikidata)),
                *((folder / "leads.arrow", None) for folder in aligned),
            ],
            self.work / "graph",
            len(graph.items),
            lambda: finish.add_counts(graphs, "nodes.npy", len(graph.items)),
        )
        writer.write(
            "relations",
            lambda: entities.relation_rows(
                wikidata, graph, finish.add_counts(graphs, "edges.npy", len(graph.properties))
            ),
        )
        writer.write_shards("triples", lambda folder: write_triples(graph, folder, rows))
        writer.write("redirects", lambda: finish.redirect_rows(self.index))
        writer.write("anchors", lambda: finish.anchor_rows(aligned, Neighbourhood.load(self.neighbourhood)))
        writer.write("rejects", lambda: finish.reject_rows([*wikidata, *wikipedia, self.index]))
        writer.publish()
        return writer.entries

    @cached_property
    def rules(self) -> Rules:
        """What the stages are told of the command line."""
        return Rules.of(self.config)

    @cached_property
    def names(self) -> dict[str, list[str]]:
        """The names of the ranges' folders, by the stage that reads them."""
        return range_names(self.plan, self.config, self.digests)

    @cached_property
    def keys(self) -> dict[str, str]:
        """Key of every stage, and of every "table NAME"."""
        return stage_keys(self.names, self.rules, self.config, self.digests)

    @property
    def work(self) -> Path:
        """Where the stages meet; absolute, since a worker may run in another folder."""
        return self.config.out.absolute() / ".build"

    @property
    def index(self) -> Path:
        """The alignment's title index and lists of kept pages and items: they stay where only mentions are others."""
        return self.work / "titles"

    @property
    def neighbourhood(self) -> Path:
        """Of the graph: the train triples by head, and entities by their item numbers."""
        return self.work / "graph" / "neighbourhood"

    def folders(self, stage: str) -> list[Path]:
        """One folder for each range of a stage."""
        return [self.work / stage / name for name in self.names["wikidata" if stage == "wikidata" else "wikipedia"]]

    def _titles(self) -> list[Path]:
        """For each range of articles the title index to look its links up in, by the parameter join."""
        articles = self.folders("wikipedia")
        if self.config.parameters.join == "lookup":
            return [self.index] * len(articles)
        jobs = [TitleJob(folder, self.index / folder.name) for folder in articles]
        run_transform("join titles", jobs, lambda waiting: JoinTitles(waiting, self.index), self.options)
        return [job.folder for job in jobs]

    def _winning(self, number: int) -> Path:
        """Which items of a range of Wikidata count (facts.read_statements)."""
        return self.work / "graph" / f"winning-{number}.npy"


def build(config: Build, options: Any) -> None:
    """Run the stages that are not done yet and write the dataset; says what it made.

    Raises DataError where an input is missing, is no dump, or holds nothing whole.
    """
    require_splitter(config.parameters.sentences)
    plan = inputs.plan_inputs(config)
    if config.dry_run:
        print_estimate(config, plan)
        return
    digests = inputs.digest_files(config)
    files = inputs.describe_files(config, digests)
    key = finish.build_key(config, files)
    if finish.is_done(config.out, key):
        print(f"{config.out}: unchanged, nothing to do")
        return
    require_ours(config.out)
    builder = Builder(config, plan, digests, options)
    with locked(builder.work):
        if not _run_stages(builder):
            print(f"{config.out}: stage {config.only} done")
            return
        manifest = finish.write_dataset(builder, key, files)
        # Not below tokens/, which another command may be writing.
        for folder in (builder.work, *(config.out / table.folder for table in TABLES.values())):
            remove_unfinished(folder)
        if not config.parameters.keep_work:
            shutil.rmtree(builder.work)
    finish.print_summary(config.out, manifest, keep_work=config.parameters.keep_work)


def _run_stages(builder: Builder) -> bool:
    """Run the stages that --only does not leave out; False where it leaves out what follows."""
    only = builder.config.only
    for name in STAGES:
        if only in (None, name):
            builder.run_stage(name)
        elif not builder.is_done(name):
            raise DataError(
                f"--only {only} needs stage {name}, which has not run in {builder.config.out} on these inputs with "
                "these parameters. Run it first."
            )
        if only == name:
            return False
    return True


def _require_some(folders: Sequence[Path], inputs_: Sequence[Path], what: str) -> None:
    if inputs_ and not any(sum(read_json(folder / "done.json")["out"].values()) for folder in folders):
        names = ", ".join(str(path) for path in inputs_)
        raise DataError(f"{names}: no whole {what} in it. Is it the right dump, and downloaded to its end?")
