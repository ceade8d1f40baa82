"""The dataset card: README.md with the front matter that `datasets` and the Hub read."""

from pathlib import Path

from pipelines.weaving.config import is_woven
from schemas.manifest import Manifest, TableEntry
from schemas.table import Table, column_docs
from schemas.tables import TABLES

BUILT = "[cc-by-sa-4.0, cc0-1.0]"
"""Licences of what is built from Wikipedia and Wikidata."""
LICENCES = {"unknown": "the files name none", "other": "it is beside the files"}
"""What the Hub's names say of a licence, where they don't name one."""


def write_card(folder: Path, manifest: Manifest) -> None:
    """Write FOLDER/README.md: configs and splits, counts, a line per column, queries."""
    text = "\n".join([*_front_matter(manifest), *_head(manifest), *_columns(manifest), *_queries(manifest)])
    (folder / "README.md").write_text(text + "\n", encoding="utf-8")


def _front_matter(manifest: Manifest) -> list[str]:
    licence = manifest.rest.get("licence", BUILT)
    # Quoted, for a bare no (Norwegian) is false in YAML.
    lines = ["---", f"license: {licence}", f'language: ["{manifest.rest["language"]}"]', "configs:"]
    shown = dict(_with_rows(manifest))
    default = next((name for name in ("pages", "triples", *shown) if name in shown), None)
    for name, entry in shown.items():
        lines += [f"- config_name: {name}", *(["  default: true"] if name == default else []), "  data_files:"]
        for split, pattern in _splits(TABLES[name], entry):
            lines += [f"  - split: {split}", f'    path: "{pattern}"']
    return [*lines, "---", ""]


def _splits(table: Table, entry: TableEntry) -> list[tuple[str, str]]:
    """(split, glob) of the parts that have rows; `datasets` calls the one part of an unsplit table train."""
    parts = [part for part in table.parts if any(shard.rows for shard in entry.split(part))]
    return [(part if table.splits else "train", f"{table.folder}/{part}-*.parquet") for part in parts]


def _with_rows(manifest: Manifest) -> list[tuple[str, TableEntry]]:
    """A table without rows can't be loaded eagerly, so the card does not list it."""
    return [(name, entry) for name, entry in manifest.tables.items() if entry.rows]


def _head(manifest: Manifest) -> list[str]:
    rest = manifest.rest
    sources = [
        f"- {file['name']} ({file['role']}, {file['bytes']:,} bytes, sha256 {file['sha256'][:16]})"
        for file in rest["inputs"]
    ]
    settings = ", ".join(f"{key} {value}" for key, value in rest["parameters"].items())
    return [
        *_heading(manifest),
        *sources,
        "",
        f"Parameters: {settings}.",
        "",
        "| table | split | rows |",
        "|---|---|---|",
        *(
            f"| {name} | {part if TABLES[name].splits else ''} | {sum(shard.rows for shard in entry.split(part)):,} |"
            for name, entry in manifest.tables.items()
            for part in TABLES[name].parts
            if entry.split(part)
        ),
        "",
        "What was dropped, and why:" if rest["drops"] else "Nothing was dropped.",
        "",
        *(
            f"- {stage}: " + ", ".join(f"{reason} {n:,}" for reason, n in reasons.items())
            for stage, reasons in rest["drops"].items()
        ),
        "",
    ]


def licences(manifest: Manifest) -> list[str]:
    """The licences of a dataset, as the Hub names them."""
    return str(manifest.rest.get("licence", BUILT)).strip("[]").split(", ")


def _heading(manifest: Manifest) -> list[str]:
    if "format" in manifest.rest:
        return _import_heading(manifest)
    return _woven_heading(manifest) if is_woven(manifest.rest["parameters"]) else _build_heading(manifest)


def _woven_heading(manifest: Manifest) -> list[str]:
    rest = manifest.rest
    return [
        "# Text woven with a knowledge graph",
        "",
        f"The texts of one dataset and the graphs of others, woven by wikiloom {rest['wikiloom']}; digest "
        f"`{manifest.digest}`. Their licences hold for what is from them: {', '.join(licences(manifest))}. Made from "
        "these datasets (sha256 is their digest):",
        "",
    ]


def _build_heading(manifest: Manifest) -> list[str]:
    rest = manifest.rest
    return [
        "# Text woven with a knowledge graph",
        "",
        f"Wikipedia ({rest['language']}) and Wikidata, aligned link by link. Made by wikiloom {rest['wikiloom']}; "
        f"digest `{manifest.digest}`.",
        "",
        "Text is from Wikipedia (CC BY-SA 4.0), facts are from Wikidata (CC0 1.0). Made from:",
        "",
    ]


def _import_heading(manifest: Manifest) -> list[str]:
    rest = manifest.rest
    return [
        f"# {rest['format']} as tables",
        "",
        f"Imported by wikiloom {rest['wikiloom']} from files that others published; digest `{manifest.digest}`. Their "
        f"licence holds for what is in them: {LICENCES.get(rest['licence'], rest['licence'])}. Made from:",
        "",
    ]


def _columns(manifest: Manifest) -> list[str]:
    lines = ["## Columns", ""]
    for name in manifest.tables:
        table = TABLES[name]
        lines += [f"### {name}", "", table.doc, ""]
        lines += [f"- `{path}`: {doc}" for path, doc in column_docs(table.columns)]
        lines += [""]
    return lines


def _queries(manifest: Manifest) -> list[str]:
    present = {name for name, _ in _with_rows(manifest)}
    lines = [
        "## Queries",
        "",
        "Offsets count Unicode code points, half-open. DuckDB counts from one: `substr(text, start + 1, end - start)`",
        "(not `substring_grapheme`). Run these in the dataset's folder; eager `load_dataset` writes a second copy, so",
        "large tables are better streamed.",
        "",
    ]
    if "pages" in present:
        lines += [
            "```sql",
            'select title, link.target, link.entity, substr(text, link.start + 1, link."end" - link.start) as anchor',
            "from (select title, text, unnest(links) as link from 'pages/*.parquet') limit 5;",
            "```",
            "",
        ]
    if "triples" in present:
        lines += [
            "```sql",
            "select h.label as head, r.label as relation, t.label as tail from 'triples/train-*.parquet' x",
            "join 'entities/*.parquet' h on x.head_index = h.entity_index",
            "join 'relations/*.parquet' r on x.relation_index = r.relation_index",
            "join 'entities/*.parquet' t on x.tail_index = t.entity_index limit 5;",
            "```",
            "",
            "```python",
            "import os",
            "from datasets import load_dataset",
            'triples = load_dataset(os.getcwd(), "triples", split="train", streaming=True)',
            "print(next(iter(triples)))",
            "```",
            "",
        ]
    return lines
