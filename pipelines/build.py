"""Dumps -> dataset. Reads like the figure in the README:

    Wikidata  -> items, statements ----------+-> align -> graph -> wk_graphs -> tables, manifest, card
    Wikipedia -> text, links, redirects -----+

Every stage works range by range and leaves files in the build's work folder; a killed build goes on at the first
range that has no marker yet.
"""

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines import finish, inputs, sinks
from pipelines.config import STAGES, Build
from pipelines.records import read_json, write_json
from pipelines.runner import run_jobs
from pipelines.transforms import entities
from pipelines.transforms.align import AlignJob, align_range
from pipelines.transforms.articles import WikipediaJob, read_wikipedia_range
from pipelines.transforms.facts import Tally, read_statements
from pipelines.transforms.graph import Graph, SplitRules, describe_graph, make_graph, triple_rows
from pipelines.transforms.inductive import Sizes
from pipelines.transforms.mentions import MentionRules
from pipelines.transforms.neighbourhood import Neighbourhood
from pipelines.transforms.plan_align import AlignRules, plan_alignment
from pipelines.transforms.sentences import require_splitter
from pipelines.transforms.statements import WikidataJob, read_wikidata_range
from pipelines.transforms.wk_graphs import GraphRules, WkGraphJob, wk_graph_range
from schemas.errors import DataError
from schemas.manifest import Shard
from schemas.tables import TABLES


@dataclasses.dataclass(frozen=True)
class Builder:
    """One build: what it was told, what it reads, Beam's options; a method for each stage."""

    config: Build
    plan: inputs.Plan
    options: Any

    def run_stage(self, name: str) -> None:
        """Run one of STAGES."""
        {
            "wikidata": self.wikidata,
            "wikipedia": self.wikipedia,
            "align": self.align,
            "graph": self.graph,
            "wk_graphs": self.wk_graphs,
        }[name]()

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
        parameters = self.config.parameters
        rules = AlignRules(
            keep=self.config.keep,
            min_lead_words=parameters.min_lead_words,
            min_neighbors=parameters.min_neighbors,
            min_mentions=parameters.min_mentions,
            seed=self.config.seed,
            valid_pages=parameters.valid_pages,
            test_pages=parameters.test_pages,
        )
        if not (self.index / "done.json").exists():
            lists = inputs.read_title_lists(self.config, self.plan.site)
            plan_alignment(self.folders("wikidata"), self.folders("wikipedia"), lists, rules, self.index)
        folders = zip(self.folders("wikipedia"), self.folders("align"), strict=True)
        mentions = MentionRules(self_mentions=parameters.self_mentions, repeat_mentions=parameters.repeat_mentions)
        run_jobs("align", [AlignJob(a, self.index, f, mentions) for a, f in folders], align_range, self.options)

    def graph(self) -> None:
        """Statements -> triples, splits, the order of entities and relations."""
        parameters, tally = self.config.parameters, Tally()
        kept = np.load(self.index / "kept_items.npy")
        triples, winning = read_statements(
            self.folders("wikidata"),
            kept,
            labelled_only=self.config.keep != "all",
            excluded=inputs.read_excluded(self.config.exclude_triples),
            tally=tally,
        )
        rules = SplitRules(
            seed=self.config.seed,
            valid=parameters.valid_triples,
            test=parameters.test_triples,
            together=parameters.keep_pairs_together,
            inductive=Sizes(parameters.valid_entities, parameters.test_entities, parameters.max_dropped),
        )
        mentions = finish.count_mentions(self.folders("align"), kept)
        graph, refused = make_graph(triples, kept, mentions, rules)
        folder = self.work / "graph"
        graph.save(folder)
        Neighbourhood.of(graph).save(folder / "neighbourhood")
        for number, mask in enumerate(winning):
            np.save(folder / f"winning-{number}.npy", mask)
        write_json(folder / "describe.json", describe_graph(graph, refused, rules, tally))
        document = {"in": tally.statements, "out": {"triples": len(graph.heads)}, "drops": dict(tally.drops)}
        write_json(folder / "done.json", {**document, "items": dict(tally.items)})

    def wk_graphs(self) -> None:
        """Pages -> word-knowledge graphs."""
        rules = GraphRules(
            language=self.config.language,
            sentences=self.config.parameters.sentences,
            passage_chars=self.config.parameters.passage_chars,
            neighbors=self.config.neighbors,
            seed=self.config.seed,
        )
        folders = zip(self.folders("align"), self.folders("wk_graphs"), strict=True)
        jobs = [WkGraphJob(a / "pages.arrow", self.work / "graph" / "neighbourhood", f, rules) for a, f in folders]
        run_jobs("wk_graphs", jobs, wk_graph_range, self.options)

    def tables(self) -> dict[str, Sequence[Shard]]:
        """Write every table; returns their shards."""
        graph = Graph.load(self.work / "graph")
        graphs = self.folders("wk_graphs")
        np.save(self.work / "graph" / "graph_count.npy", finish.add_counts(graphs, "nodes.npy", len(graph.items)))
        relation_count = finish.add_counts(graphs, "edges.npy", len(graph.properties))
        wikidata, wikipedia, aligned = (self.folders(name) for name in ("wikidata", "wikipedia", "align"))
        return {
            "entities": self._entities(graph),
            "relations": self._write("relations", entities.relation_rows(wikidata, graph, relation_count)),
            "triples": self._write("triples", triple_rows(graph)),
            "pages": self._merge("pages", [folder / "pages.arrow" for folder in aligned]),
            "redirects": self._write("redirects", finish.redirect_rows(self.index)),
            "anchors": self._write("anchors", finish.anchor_rows(aligned, graph)),
            "wk_graphs": self._merge("wk_graphs", [folder / "wk_graphs.arrow" for folder in graphs]),
            "rejects": self._write("rejects", finish.reject_rows([*wikidata, *wikipedia, self.index])),
        }

    @property
    def work(self) -> Path:
        """Where the stages meet; gone when the build is done."""
        return self.config.out / ".build"

    @property
    def index(self) -> Path:
        """The alignment's title index and lists of kept pages and items."""
        return self.work / "align" / "index"

    def folders(self, stage: str) -> list[Path]:
        """One folder for each range of a stage."""
        ranges = self.plan.wikidata if stage == "wikidata" else self.plan.wikipedia
        return [self.work / stage / f"{number:05d}" for number in range(len(ranges))]

    def _write(self, name: str, rows: pa.Table) -> list[Shard]:
        return sinks.write_table(TABLES[name], rows, self.config.out, self._rows_per_shard(name))

    def _merge(self, name: str, files: Sequence[Path]) -> list[Shard]:
        table = TABLES[name]
        plan = sinks.plan_shards(table, files, self._rows_per_shard(name))
        jobs = [sinks.MergeJob(table, job, self.config.out, self._marker(name, job.name)) for job in plan]
        run_jobs(f"write {name}", jobs, sinks.merge_shard, self.options)
        return [Shard(**read_json(job.marker)) for job in jobs]

    def _entities(self, graph: Graph) -> list[Shard]:
        sources = [
            *(
                (folder / "items.arrow", self.work / "graph" / f"winning-{number}.npy")
                for number, folder in enumerate(self.folders("wikidata"))
            ),
            *((folder / "leads.arrow", None) for folder in self.folders("align")),
        ]
        jobs = [
            entities.RecordJob(path, winning, self.work / "graph", self.work / "records" / f"{number:05d}")
            for number, (path, winning) in enumerate(sources)
        ]
        run_jobs("entities", jobs, entities.record_range, self.options)
        cuts = sinks.cut_rows(len(graph.items), self._rows_per_shard("entities"))
        if not cuts:
            return self._write("entities", TABLES["entities"].schema.empty_table())
        records = [job.folder / "records.arrow" for job in jobs]
        shards = [
            entities.EntityShardJob(
                start,
                end,
                number,
                len(cuts),
                records,
                self.work / "graph",
                self.config.out,
                self._marker("entities", str(number)),
            )
            for number, (start, end) in enumerate(cuts)
        ]
        run_jobs("write entities", shards, entities.write_entity_shard, self.options)
        return [Shard(**read_json(job.marker)) for job in shards]

    def _rows_per_shard(self, name: str) -> int:
        return self.config.parameters.rows_per_shard or sinks.ROWS_PER_SHARD.get(name, sinks.DEFAULT_ROWS_PER_SHARD)

    def _marker(self, table: str, shard: str) -> Path:
        return self.work / "shards" / table / f"{shard}.json"


def build(config: Build, options: Any) -> None:
    """Run the stages that are not done yet and write the dataset; says what it made.

    Raises DataError where an input is missing, is no dump, or holds nothing whole.
    """
    require_splitter(config.parameters.sentences)
    plan = inputs.plan_inputs(config)
    if config.dry_run:
        finish.print_plan(config, plan)
        return
    files = inputs.input_files(config)
    key = finish.build_key(config, files)
    if finish.is_done(config.out, key):
        print(f"{config.out}: unchanged, nothing to do")
        return
    builder = Builder(config, plan, options)
    try:
        _open_work_folder(builder, key)
    except OSError as error:
        raise DataError(f"{config.out}: {error.strerror}. Give --out a folder that can be written.") from error
    for name in STAGES:
        if config.only in (None, name):
            with finish.measured(builder.work / f"{name}.json"):
                builder.run_stage(name)
        elif not (builder.work / f"{name}.json").exists():
            raise DataError(
                f"--only {config.only} needs stage {name}, which has not run in {config.out}. Run it first."
            )
        if config.only == name:
            print(f"{config.out}: stage {name} done")
            return
    manifest = finish.write_dataset(builder, key, files)
    shutil.rmtree(builder.work)
    finish.print_summary(config.out, manifest)


def _open_work_folder(builder: Builder, key: str) -> None:
    """Go on with the work folder where it belongs to this build, else begin anew; never in somebody's folder."""
    out, path = builder.config.out, builder.work / "key.json"
    ours = path.is_file() or (out / "manifest.json").is_file()
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file. Give --out a folder.")
    if out.is_dir() and {entry.name for entry in out.iterdir()} - {builder.work.name} and not ours:
        raise DataError(f"{out} is not empty and holds no dataset. Give --out a new folder.")
    if path.exists() and read_json(path) == key:
        return
    shutil.rmtree(builder.work, ignore_errors=True)
    if ours:
        (out / "manifest.json").unlink(missing_ok=True)
        for table in TABLES.values():
            shutil.rmtree(out / table.folder, ignore_errors=True)
    write_json(path, key)


def _require_some(folders: Sequence[Path], inputs_: Sequence[Path], what: str) -> None:
    if inputs_ and not any(sum(read_json(folder / "done.json")["out"].values()) for folder in folders):
        names = ", ".join(str(path) for path in inputs_)
        raise DataError(f"{names}: no whole {what} in it. Is it the right dump, and downloaded to its end?")
