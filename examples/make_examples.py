"""Make the miniature wiki: `python examples/make_examples.py [--out DIR]`.

Reads `examples/facts/`, and writes a Wikipedia dump, a Wikidata dump and a table of redirects in their true formats.
The same tables give the same bytes: no clock, no randomness, and only the standard library.
"""

import argparse
from pathlib import Path

from miniwiki import oddities, wikidata, wikipedia
from miniwiki.facts import World
from miniwiki.pages import Articles


def make(out: Path) -> dict[str, bytes]:
    """Write the four files into `out`; returns their bytes by name."""
    world = World()
    pages = Articles(world).pages() + oddities.odd_pages()
    dump, index = wikipedia.multistream(pages)
    beside = "".join(f"{title}\t{target}\n" for title, target in oddities.redirects_beside_the_dump())
    files = {
        "enwiki-mini.xml.bz2": dump,
        "enwiki-mini-index.txt.bz2": index,
        "enwiki-mini-redirects.tsv": beside.encode(),
        "wikidata-mini.json.gz": wikidata.array(wikidata.lines(world)),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (out / name).write_bytes(data)
    return files


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent, help="folder to write to")
    for name, data in make(parser.parse_args().out).items():
        print(f"{len(data):9,} bytes  {name}")


if __name__ == "__main__":
    main()
