"""A small dataset with links, for the tests of linking."""

from tests.made_datasets import write_dataset

SURFACES = {
    "Paris": {"Q90": 6, "Q830149": 2, "Q167646": 2},
    "Paris Hilton": {"Q47899": 3},
    "France": {"Q142": 4},
    "capital": {"Q90": 1},
    "東京": {"Q1490": 2},
    "Athens": {"Q1524": 1, "Q203263": 1},
}
"""Surface -> entity -> train links."""
ENTITIES = ["Q90", "Q142", "Q830149", "Q167646", "Q47899", "Q1490", "Q203263", "Q1524"]
PAGES = [
    ("Paris is the capital of France.", ["Paris", "France"]),
    ("Paris Hilton is not in Paris, the capital.", ["Paris Hilton"]),
    ("The capital. The capital of 東京.", ["東京"]),
    ("A capital, and Paris.", ["capital"]),
    *[("Some capital.", [])] * 16,
]
"""Texts, and the surfaces whose first mention is a link."""


def write_links(folder, surfaces=SURFACES, pages=PAGES):
    """Write it; returns the folder."""
    rows = {
        "entities": [_entity(index, name) for index, name in enumerate(ENTITIES)],
        "relations": [],
        "triples": [],
        "pages": [_page(number, *page) for number, page in enumerate(pages)],
        "anchors": [
            {"surface": surface, "entity_index": ENTITIES.index(entity), "count": count}
            for surface in sorted(surfaces, key=str.encode)
            for entity, count in sorted(surfaces[surface].items(), key=lambda pair: ENTITIES.index(pair[0]))
        ],
    }
    return write_dataset(folder, rows, {"language": "en", "parameters": {}}, card=False)


def _entity(index, name):
    numbers = dict.fromkeys(("mention_count", "in_degree", "out_degree", "frequency", "graph_count"), 0)
    words = {"label": name, "description": None, "page_id": None, "page_title": None, "text": name}
    rest = {"aliases": [], "text_source": "label", "text_mention": None, "categories": [], "kind": "item"}
    return {"entity": name, "entity_index": index, **numbers, **words, **rest, "inductive_split": "none"}


def _page(number, text, linked):
    spans = sorted((text.index(surface), text.index(surface) + len(surface)) for surface in linked)
    links = [{"start": start, "end": end, "target": "T", "entity": "Q90", "source": "link"} for start, end in spans]
    unlinked = {"start": 0, "end": 1, "target": "T", "entity": None, "source": "link"}
    ids = {"page_id": number, "revision_id": number, "timestamp": None, "title": f"Page {number}", "entity": None}
    return {**ids, "split": "train", "text": text, "sections": [], "lead_end": 0, "links": [*links, unlinked]}
