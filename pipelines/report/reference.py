"""The parts of a dataset's page to look things up in: columns, inputs, commands, queries."""

import re
from typing import Any

from pipelines.queries import UPLOAD, queries
from pipelines.report import summary
from pipelines.report.about import command
from pipelines.report.markup import Figure, Markup, details, element, table, text
from schemas.dataset import Dataset
from schemas.origin import inputs
from schemas.table import column_docs


def columns(dataset: Dataset) -> str:
    """Name, type and doc of every column, and its nulls where it may have some."""
    shown = []
    for name, entry in dataset.manifest.tables.items():
        definition = dataset.table(name)
        types = {field.name: field for field in definition.columns}
        nulls = summary.null_counts(dataset, name)
        rows = [
            (
                Markup(f"<code>{text(path)}</code>"),
                _type(types[path]) if path in types else "",
                doc,
                Figure(f"{nulls[path]:,}" if path in nulls else ""),
            )
            for path, doc in column_docs(definition.columns)
        ]
        content = f"<p>{text(definition.doc)}</p>{table(['column', 'type', 'what it is', 'nulls'], rows)}"
        shown.append(details(f"{name}: version {definition.version}, {entry.rows:,} rows", content))
    return "".join(shown)


def _type(field: Any) -> str:
    kind = re.sub(r"(struct|list)<.*", r"\1", str(field.type))
    inner = "list of struct" if kind == "list" and "struct" in str(field.type) else kind
    inner = f"list of {field.type.value_type}" if inner == "list" else inner
    return inner + (", may be null" if field.nullable else "")


def commands(dataset: Dataset) -> str:
    """What it was made from and how, and queries for readers that never import this project."""
    manifest = dataset.manifest
    files = [
        (
            str(file.get("role")),
            str(file.get("name")),
            Figure(f"{file['bytes']:,}" if isinstance(file.get("bytes"), int) else ""),
            Markup(f"<code>{text(file.get('sha256'))}</code>"),
        )
        for file in inputs(manifest)
    ]
    made = element("h3", "Made from") + table(["role", "file", "bytes", "sha256"], files) if files else ""
    line = command(manifest)
    again = element("h3", "Make it again") + element("pre", text(line)) if line else ""
    look = "wikiloom validate DATASET\nwikiloom describe DATASET --html report.html"
    share = f"hf upload USER/NAME DATASET {UPLOAD}"
    use = element("h3", "Check, read and share it") + element("pre", text(f"{look}\n{share}"))
    words = "Run in the dataset's folder. Offsets count Unicode code points, half-open; SQL's substr counts from one."
    shown = "".join(
        f"{element('h3', text(query.title))}{element('pre', text(query.text))}" for query in queries(manifest)
    )
    return f'{made}{again}{use}<h3>Queries</h3><p class="note">{words}</p><div class="queries">{shown}</div>'
