"""Where a dataset comes from and under what licences, as its manifest says. None of it is required."""

from typing import Any

from schemas.manifest import Manifest

OF_DUMPS = {"wikipedia": "cc-by-sa-4.0", "wikidata": "cc0-1.0"}
"""What a dump is published under, by its role, as the Hub spells it."""
IN_WORDS = {
    "cc-by-sa-4.0": "text is from Wikipedia (CC BY-SA 4.0: name its authors, share alike)",
    "cc0-1.0": "facts and labels are from Wikidata (CC0 1.0)",
    "unknown": "that of the files it was made from; they name none",
    "other": "that of the files it was made from; see what lies beside them",
}
"""What the Hub's names say."""


def inputs(manifest: Manifest) -> list[dict[str, Any]]:
    """The manifest's input files."""
    files = manifest.rest.get("inputs", [])
    return [file for file in files if isinstance(file, dict)] if isinstance(files, list) else []


def licences(manifest: Manifest) -> list[str]:
    """The licences of what it was made from, as the Hub names them."""
    said = manifest.rest.get("licence")
    if said:
        return [str(name) for name in said] if isinstance(said, list) else [str(said)]
    roles = {file.get("role") for file in inputs(manifest)}
    return [licence for role, licence in OF_DUMPS.items() if role in roles] or ["unknown"]
