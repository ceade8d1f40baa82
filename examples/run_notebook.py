"""Run dataset.ipynb and keep what its cells show, or with --check say what they would show now.

    python examples/run_notebook.py [NOTEBOOK] [--check]

It reads ../demo/dataset, which `make demo` writes, and needs nbclient, ipykernel, and what the notebook imports.
"""

import argparse
import difflib
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent


def run(path: Path) -> nbformat.NotebookNode:
    """The notebook with new outputs; nothing in it tells when and where it ran, nor of what (no stderr)."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(path.parent)}}).execute()
    for cell in notebook.cells:
        cell.metadata.clear()
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return notebook


def lines(notebook: nbformat.NotebookNode) -> Iterator[str]:
    """What a reader sees: each code cell, and what it printed and returned."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            yield from (f"> {line}" for line in cell.source.splitlines())
            for output in cell.outputs:
                yield from (output.get("text") or output.get("data", {}).get("text/plain", "")).splitlines()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebook", type=Path, nargs="?", default=HERE / "dataset.ipynb")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where the outputs differ")
    options = parser.parse_args()
    kept = nbformat.read(options.notebook, as_version=4)
    made = run(options.notebook.resolve())
    if not options.check:
        nbformat.write(made, options.notebook)
        return 0
    differences = list(difflib.unified_diff([*lines(kept)], [*lines(made)], "kept", "now", lineterm="", n=1))
    print("\n".join(differences))
    return int(bool(differences))


if __name__ == "__main__":
    sys.exit(main())
