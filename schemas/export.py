"""python -m schemas.export: write the committed form of every table, schemas/NAME.json."""

import json
import sys
from pathlib import Path

from schemas.tables import TABLES, TOKEN_TABLES

FOLDER = Path(__file__).parent


def documents() -> dict[str, str]:
    """File name -> text of every table's committed form."""
    tables = [*TABLES.values(), *TOKEN_TABLES.values()]
    return {f"{table.name}.json": json.dumps(table.describe(), indent=1, ensure_ascii=False) + "\n" for table in tables}


def export(folder: Path = FOLDER) -> list[str]:
    """Write the files; returns a line for each table that changed and kept its version, which is not written."""
    refused = []
    for name, text in documents().items():
        path = folder / name
        old, new = (json.loads(path.read_text(encoding="utf-8")) if path.exists() else None), json.loads(text)
        if old not in (None, new) and old["version"] == new["version"]:
            refused.append(f"{name} changed, but its version is still {new['version']}: raise it, datasets are an API")
        else:
            path.write_text(text, encoding="utf-8")
    return refused


if __name__ == "__main__":
    sys.exit("\n".join(export()) or 0)
