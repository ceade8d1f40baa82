"""wikiloom weave, top to bottom:

graphs of datasets -> one graph --+-> word-knowledge graphs of the text dataset's passages -> tables, manifest, card
pages or examples of another -----+
"""

import dataclasses
import shutil
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines import finish, sinks
from pipelines.columns import values
from pipelines.config import Parameters
from pipelines.facts import graph_split
from pipelines.importing.graph import Imported
from pipelines.importing.tables import write_triples
from pipelines.keys import key_of, work_key
from pipelines.records import read_json, read_records, save_array
from pipelines.report.about import parameters
from pipelines.runner import run_jobs
from pipelines.sources.lists import read_fact_lines
from pipelines.tables import TableWriter
from pipelines.transforms.example_texts import number_examples
from pipelines.transforms.neighbourhood import Neighbourhood
from pipelines.transforms.sentences import require_splitter
from pipelines.transforms.split import TRAIN
from pipelines.transforms.wk_graphs import GraphRules
from pipelines.weaving.config import WOVEN, Weave, is_woven
from pipelines.weaving.entities import Told, entity_rows, relation_rows, set_articles, spool_entities
from pipelines.weaving.texts import ARTICLES, TextJob, resolve, weave_texts
from pipelines.weaving.union import Vocabulary, unite
from pipelines.work import keep_only, locked, require_ours
from schemas.dataset import Dataset
from schemas.entities import ENTITIES
from schemas.errors import DataError
from schemas.manifest import Manifest, TableEntry, read_manifest
from schemas.origin import licences
from schemas.pages import PAGES
from schemas.tables import TABLES
from schemas.wk_graphs import WK_GRAPHS
from wikiloom import __version__

I64 = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Weaver:
    """One weaving: the datasets, what was told, and Beam's options."""

    config: Weave
    text: Dataset
    graphs: Sequence[Dataset]
    texts: str
    """The table that passages are cut from: pages or examples."""
    options: Any

    def weave(self) -> dict[str, TableEntry]:
        """Unite the graphs, cut the passages, write the tables; the manifest's entries."""
        places = self.entities.places
        spool_entities(self.graphs, places, len(self.entities.names), self.work / "told")
        self.neighbourhood.save(self.work / "neighbourhood")
        if self.texts == "examples":
            ids = self.text.read("examples", columns=["example_id"])["example_id"]
            save_array(self.work / "numbers.npy", number_examples(ids))
        run_jobs("weave texts", self.jobs, weave_texts, self.options)
        articles = pa.concat_tables(
            [ARTICLES.empty_table(), *(read_records(j.folder / "articles.arrow") for j in self.jobs)]
        )
        of_place = pa.array(self.made.graph.items[articles["entity"].to_numpy()])
        set_articles(articles.set_column(0, "entity", of_place), self.work / "told")
        return self.tables()

    def tables(self) -> dict[str, TableEntry]:
        """Write the tables and put them into the dataset."""
        made, folders = self.made, [job.folder for job in self.jobs]
        keys = {f"table {name}": self.key for name in TABLES}
        writer = TableWriter(self.work / "tables", self.config.out, keys, 0, self.options)
        merged = [PAGES, WK_GRAPHS] if self.texts == "pages" else [WK_GRAPHS]
        writer.merge({table.name: [run for folder in folders for run in sinks.runs(folder, table)] for table in merged})
        counts = finish.add_counts(folders, "nodes.npy", len(made.graph.items))
        told = Told(self.work / "told")
        sizes = {ENTITIES.name: len(made.graph.items)}
        writer.write_shards(
            "entities",
            lambda folder: sinks.write_parts(
                ENTITIES, sizes, lambda _, start, end: entity_rows(told, made.graph, counts, start, end), folder
            ),
        )
        edges = finish.add_counts(folders, "edges.npy", len(made.graph.properties))
        writer.write("relations", lambda: relation_rows(self.related, self.relations.places, made.graph, edges))
        writer.write_shards("triples", lambda folder: write_triples(made, folder))
        for name, rows in (("redirects", self._redirects), ("anchors", self._anchors), ("examples", self._examples)):
            if self.text.rows(name):
                writer.write(name, rows)
        writer.publish()
        return writer.entries

    def describe(self) -> dict[str, Any]:
        """The manifest, without tables and digest."""
        made, drops, lost = self.made, Counter[str](), Counter[str]()
        stage: dict[str, Any] = {"in": 0, "out": Counter()}
        for job in self.jobs:
            counts = read_json(job.marker)
            stage["in"] += counts["in"]
            stage["out"].update(counts["out"])
            drops.update(counts["drops"])
            lost.update(counts["link_entities"])
        reasons = {"graph": made.drops, "wk_graphs": drops, "link_entities": lost, **self._lost()}
        by_name = {name: {reason: n for reason, n in sorted(own.items()) if n} for name, own in sorted(reasons.items())}
        names = {name for dataset in (self.text, *self.graphs) for name in licences(dataset.manifest)}
        wk_graphs = {"split_column": self.split_column, "texts": self.texts}
        return {
            "wikiloom": __version__,
            "licence": sorted(names),
            "language": self.rules.language,
            "inputs": self.inputs,
            "parameters": self.parameters,
            "key": self.key,
            "stages": {
                "graph": made.stage,
                "wk_graphs": {**stage, "out": dict(stage["out"])},
                "weave": finish.cost(self.work / "weave.json"),
            },
            "drops": {name: own for name, own in by_name.items() if own},
            "graph": {**made.document, "wk_graphs": wk_graphs},
        }

    @cached_property
    def entities(self) -> Vocabulary:
        """Ids of the entities of all graphs."""
        return Vocabulary.of([graph.read("entities", columns=["entity"])["entity"] for graph in self.graphs])

    @cached_property
    def relations(self) -> Vocabulary:
        """Ids of the relations of all graphs, and of those that the examples name."""
        return Vocabulary.of([told.read("relations", columns=["relation"])["relation"] for told in self.related])

    @property
    def related(self) -> Sequence[Dataset]:
        """The datasets whose relations are taken: a task's classes stay, also those that no graph has."""
        return [*self.graphs, self.text] if self.texts == "examples" else self.graphs

    @cached_property
    def made(self) -> Imported:
        """The one graph."""
        anchors = self.text.read("anchors", columns=["entity_index", "count"])
        linked = self.text.read("entities", columns=["entity"])["entity"].take(anchors["entity_index"])
        counts = linked.combine_chunks(), anchors["count"].to_numpy()
        excluded = list(read_fact_lines(self.config.exclude_triples)) if self.config.exclude_triples else []
        return unite(self.graphs, (self.entities, self.relations), excluded, counts)

    @cached_property
    def neighbourhood(self) -> Neighbourhood:
        """What word-knowledge graphs sample from: the train triples."""
        graph = self.made.graph
        codes = graph.codes if self.split_column == "split" else graph.inductive_codes
        ids = self.entities.names.stable_ids()[graph.items], self.relations.names.stable_ids()[graph.properties]
        return Neighbourhood.of_train(graph, codes == TRAIN, ids[0], *ids)

    @cached_property
    def split_column(self) -> str:
        """The column of triples whose train facts graphs may hold; DataError where the datasets do not agree."""
        columns = {graph_split(graph): graph.folder for graph in self.graphs}
        if len(columns) > 1:
            found = ", ".join(f"{folder} {column}" for column, folder in columns.items())
            raise DataError(
                f"--graph: the datasets hold out different splits ({found}). Import one again with --split."
            )
        return next(iter(columns))

    @cached_property
    def rules(self) -> GraphRules:
        """How passages are cut, as the text dataset's own were, and neighbours sampled."""
        told, default = parameters(self.text.manifest), Parameters()
        return GraphRules(
            language=str(self.text.manifest.rest.get("language", "en")),
            sentences=str(told.get("sentences", default.sentences)),
            passage_chars=int(told.get("passage_chars", default.passage_chars)),
            neighbors=self.config.neighbors,
            seed=self.config.seed,
        )

    @property
    def parameters(self) -> dict[str, Any]:
        """What the dataset depends on beside its inputs. Its splits are those of the graphs."""
        rules = dataclasses.asdict(self.rules)
        return {
            "split": WOVEN,
            **{name: rules[name] for name in ("neighbors", "seed", "sentences", "passage_chars")},
        }

    @cached_property
    def inputs(self) -> list[dict[str, Any]]:
        """The datasets by their logical digests, and the list of excluded facts."""
        told = [("text", self.text), *(("graph", graph) for graph in self.graphs)]
        inputs = [
            {
                "role": role,
                "name": dataset.folder.absolute().name,
                "bytes": sum(shard.bytes for entry in dataset.manifest.tables.values() for shard in entry.shards),
                "sha256": dataset.digest,
            }
            for role, dataset in told
        ]
        if path := self.config.exclude_triples:
            size, digest = path.stat().st_size, sinks.file_digest(path)
            inputs.append({"role": "list", "name": path.name, "bytes": size, "sha256": digest})
        return inputs

    @cached_property
    def key(self) -> str:
        """A digest of inputs, parameters and version: the same key, the same dataset."""
        return key_of("weave", [[file["role"], file["sha256"]] for file in self.inputs], self.parameters)

    @property
    def work(self) -> Path:
        """Where the stages meet; absolute, since a worker may run in another folder."""
        return self.config.out.absolute() / ".build" / "weave"

    @cached_property
    def jobs(self) -> list[TextJob]:
        """One for each shard of the texts."""
        numbers = self.work / "numbers.npy" if self.texts == "examples" else None
        found, first = [], 0
        for number, shard in enumerate(self.text.shards(self.texts)):
            path, folder = self.text.folder.absolute() / shard.path, self.work / "texts" / f"{number:05d}"
            found.append(TextJob(self.texts, path, numbers, first, self.work / "neighbourhood", folder, self.rules))
            first += shard.rows
        return found

    def _lost(self) -> dict[str, Counter[str]]:
        """What redirects, and the mentions of examples beside pages, have lost: entities that no graph has."""
        redirects = values(self.text.read("redirects", columns=["entity"]), "entity")
        unknown = self.entities.names.index(redirects.drop_null()) < 0
        mentions = Counter[str]()
        if self.texts == "pages" and self.text.rows("examples"):
            resolve(self.text.read("examples", columns=["mentions"]), "mentions", self.neighbourhood, mentions)
        titles = Counter(entity_not_in_graph=int(unknown.sum()))
        return {"redirect_entities": titles, "example_entities": mentions}

    def _redirects(self) -> pa.Table:
        rows = self.text.read("redirects")
        known = pa.array(self.entities.names.index(values(rows, "entity")) >= 0)
        kept = pc.if_else(known, values(rows, "entity"), pa.scalar(None, pa.string()))
        return rows.set_column(rows.schema.get_field_index("entity"), rows.schema.field("entity"), kept)

    def _anchors(self) -> pa.Table:
        rows = self.text.read("anchors")
        names = self.text.read("entities", columns=["entity"])["entity"].take(rows["entity_index"])
        found = self.neighbourhood.find(names.combine_chunks())
        place = rows.schema.get_field_index("entity_index")
        rows = rows.set_column(place, rows.schema.field("entity_index"), pa.array(found, pa.int32()))
        rows = rows.filter(pa.array(found >= 0))
        return rows.sort_by([("surface", "ascending"), ("entity_index", "ascending")])

    def _examples(self) -> pa.Table:
        return resolve(self.text.read("examples"), "mentions", self.neighbourhood, Counter())


def weave(config: Weave, options: Any) -> Manifest | None:
    """Weave datasets into a new one; says what it made. DataError where a dataset has not what it is given for."""
    text, graphs = Dataset(config.text), [Dataset(folder) for folder in config.graph]
    texts = next((name for name in ("pages", "examples") if text.rows(name)), None)
    if texts is None:
        raise DataError(f"{config.text} has neither pages nor examples. Give --text a dataset with texts.")
    for graph in graphs:
        if not graph.rows("triples"):
            raise DataError(f"{graph.folder} has no triple. Give --graph a dataset with a graph.")
    weaver = Weaver(config, text, graphs, texts, options)
    require_splitter(weaver.rules.sentences)  # type: ignore[arg-type]
    if finish.is_done(config.out, weaver.key):
        print(f"{config.out}: unchanged, nothing to do")
        return None
    require_ours(config.out)
    _require_no_other(config)
    with locked(config.out.absolute() / ".build"):
        keep_only(weaver.work, work_key(weaver.key))
        with finish.measured(weaver.work / "weave.json", weaver.key):
            entries = weaver.weave()
        manifest = finish.publish(config.out, entries, weaver.describe())
        shutil.rmtree(weaver.work.parent)
    finish.print_summary(config.out, manifest)
    return manifest


def _require_no_other(config: Weave) -> None:
    """DataError where --out holds a dataset that is woven from, or one that was not woven: it would be lost."""
    read = [folder.resolve() for folder in (config.text, *config.graph)]
    if config.out.resolve() in read:
        raise DataError(f"{config.out} is one of the datasets that are woven. Give --out a new folder.")
    if (config.out / "manifest.json").is_file() and not is_woven(parameters(read_manifest(config.out))):
        raise DataError(f"{config.out} holds another dataset, which was not woven. Give --out a new folder.")
