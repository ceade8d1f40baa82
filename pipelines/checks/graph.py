"""Checks of the graph's tables: triples, and the entities and relations with the counts that follow from the others."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.checks.items import Items
from pipelines.checks.known import SIDES, Known, add_at, has_published_splits, keeps_published_split, train_may_lack
from pipelines.checks.problems import Checker, Problem, where
from pipelines.checks.splits import MadeSplits
from pipelines.checks.wk_graphs import PageIndex, hash_array
from pipelines.columns import I64, lengths, numbers, values
from pipelines.facts import INDICES, TRUE_SPLITS, read_facts
from pipelines.names import name_order
from pipelines.report.about import parameters
from pipelines.weaving.config import is_woven
from schemas.hashing import hash_strings


class Triples(Checker):
    """Names, splits, and what train says of each entity and relation."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._held = {split: read_facts(known.dataset, [split]) for split in TRUE_SPLITS[1:]}
        self._inductive_relations = np.zeros((len(SIDES), len(known.relations)), bool)
        self._published = has_published_splits(known.dataset)
        self._lacking = train_may_lack(known.dataset)
        self._covered = not (self._lacking or keeps_published_split(known.dataset))
        self._made = None if self._lacking else MadeSplits(known, self._held)

    def check(self, rows: pa.Table, part: str) -> Iterator[Problem]:
        """Names fit indices; labels, splits and sides fit each other; no fact is in two splits."""
        known = self._known
        heads, relations, tails = (numbers(rows, name) for name in INDICES)
        for what, index, names in (
            ("head", heads, known.entities),
            ("relation", relations, known.relations),
            ("tail", tails, known.entities),
        ):
            inside = (index >= 0) & (index < len(names))
            yield from where(
                ~inside, f"{what}_index", lambda i, w=what, x=index, n=names: f"{w}_index {x[i]} is not one of {len(n)}"
            )
            found = values(rows, what)
            if len(names):
                right = names.at(np.where(inside, index, 0))
                wrong = inside & ~pc.equal(right, found.cast(right.type)).to_numpy(zero_copy_only=False)
                yield from where(
                    wrong, what, lambda i, w=what, f=found, r=right: f"{w} {f[i]}, but its index is that of {r[i]}"
                )
        true = part in TRUE_SPLITS
        labels = values(rows, "label").to_numpy(zero_copy_only=False)
        yield from where(labels != true, "label", lambda i: f"label {labels[i]} in split {part}")
        if not true:
            return
        if part == "train":
            add_at(known.counted["out_degree"], heads)
            add_at(known.counted["in_degree"], tails)
            add_at(known.counted_relations["frequency"], relations)
        elif self._covered:
            yield from self._unseen(heads, relations, tails, part)
        for split, facts in self._held.items() if not self._published else ():
            if TRUE_SPLITS.index(split) > TRUE_SPLITS.index(part):
                both = facts.find(heads, relations, tails) >= 0
                yield from where(
                    both,
                    "splits",
                    lambda i, s=split: f"{known.fact(heads[i], relations[i], tails[i])} is in {part} and in {s}",
                )
        yield from self._sides(heads, relations, tails, values(rows, "inductive_split"), part)

    def finish(self) -> Iterator[str]:
        """Relations of the inductive valid and test that its train does not have."""
        for side in () if self._lacking else (1, 2):
            for relation in np.flatnonzero(self._inductive_relations[side] & ~self._inductive_relations[0])[:1]:
                name = self._known.relations[relation]
                yield f"relation {name} is in inductive {SIDES[side]}, not in inductive train"
        if self._made is not None:
            yield from self._made.finish()

    def _unseen(self, heads: I64, relations: I64, tails: I64, part: str) -> Iterator[Problem]:
        """Train comes first, so what it has is counted by now."""
        degree = self._known.counted["in_degree"] + self._known.counted["out_degree"]
        for what, index, count in (
            ("head", heads, degree),
            ("relation", relations, self._known.counted_relations["frequency"]),
            ("tail", tails, degree),
        ):
            inside = (index >= 0) & (index < len(count))
            unseen = inside & (count[np.where(inside, index, 0)] == 0) if len(count) else inside
            yield from where(
                unseen,
                f"unseen {what}",
                lambda i, w=what: (
                    f"{self._known.fact(heads[i], relations[i], tails[i])} in {part} has a {w} that train has not"
                ),
            )

    def _sides(self, heads: I64, relations: I64, tails: I64, splits: pa.Array, part: str) -> Iterator[Problem]:
        """A fact is on the inductive side that both its ends are on, or is dropped."""
        known, sides = self._known, self._known.sides
        codes = (
            pc.fill_null(pc.index_in(splits, value_set=pa.array([*SIDES[:3], "dropped"])), -1)
            .to_numpy()
            .astype(np.int8)
        )
        inside = (np.minimum(heads, tails) >= 0) & (np.maximum(heads, tails) < len(sides))
        inside &= (relations >= 0) & (relations < len(known.relations))
        if not inside.any():
            self._made = None if len(heads) else self._made
            return
        at = [np.where(inside, index, 0) for index in (heads, relations, tails)]
        wrong = (codes < 0) | inside & (codes < 3) & ((sides[at[0]] != codes) | (sides[at[2]] != codes))
        yield from where(
            wrong,
            "inductive_split",
            lambda i: (
                f"inductive_split {splits[i]}, but its head {known.entities[heads[i]]} is in {SIDES[sides[at[0][i]]]} "
                f"and its tail {known.entities[tails[i]]} in {SIDES[sides[at[2][i]]]}"
            ),
        )
        for side in range(3):
            self._inductive_relations[side, at[1][inside & (codes == side)]] = True
        if not inside.all() or (codes < 0).any():
            self._made = None  # its sums would not be those of all facts
        elif self._made is not None:
            yield from self._made.check(heads, tails, codes, part)


_EMPTY = hash_strings([""])[0]


class Ranked:
    """Rows numbered by frequency: entities and relations alike."""

    def __init__(self, what: str) -> None:
        self._what, self._rows = what, 0
        self._last: tuple[int, str] | None = None

    def check(self, rows: pa.Table) -> Iterator[Problem]:
        """Row i has index i; the more frequent come first, then the smaller number, else the smaller UTF-8."""
        index = numbers(rows, f"{self._what}_index")
        expected = np.arange(self._rows, self._rows + len(index))
        self._rows += len(index)
        yield from where(
            index != expected, "index", lambda i: f"{self._what}_index {index[i]} is not the row's number {expected[i]}"
        )
        frequency, names = numbers(rows, "frequency"), values(rows, self._what)
        rising = np.zeros(len(index), bool)
        rising[1:] = frequency[1:] > frequency[:-1]
        if self._last and len(index):
            rising[0] = frequency[0] > self._last[0]
        yield from where(
            rising,
            "frequency order",
            lambda i: f"frequency {frequency[i]} of {names[i]} is above that of the row before",
        )
        same = np.flatnonzero(frequency[1:] == frequency[:-1]) + 1
        if self._last and len(index) and frequency[0] == self._last[0]:
            same = np.concatenate([[0], same])
        before = pa.concat_arrays([pa.array([self._last[1] if self._last else ""], names.type), names])
        place = np.argsort(name_order(before))
        late = np.zeros(len(index), bool)
        late[same] = place[same] > place[same + 1]
        late[same] |= pc.equal(before[:-1], names).to_numpy(zero_copy_only=False)[same]
        yield from where(late, "order of equals", lambda i: f"{names[i]} comes after {before[i]} of the same frequency")
        if len(index):
            self._last = int(frequency[-1]), names[-1].as_py()


class Entities(Checker):
    """Numbers, counts and texts; read after the tables that they are counted from."""

    def __init__(self, known: Known, pages: PageIndex) -> None:
        self._known, self._pages = known, pages
        self._woven = is_woven(parameters(known.dataset.manifest))
        self._items = Items(known) if "keep" in parameters(known.dataset.manifest) else None
        self._first_pages = pages.first(len(known.entities))
        self._ranked = Ranked("entity")
        self._row = 0

    def check(self, rows: pa.Table, part: str) -> Iterator[Problem]:
        """One row group."""
        yield from self._ranked.check(rows)
        own = np.arange(self._row, self._row + rows.num_rows)
        self._row += rows.num_rows
        for name, counts in self._known.counted.items():
            yield from count_problems(rows, name, counts[own])
        total = sum(numbers(rows, name) for name in ("mention_count", "in_degree", "out_degree"))
        frequency = numbers(rows, "frequency")
        yield from where(
            frequency != total,
            "frequency",
            lambda i: f"frequency {frequency[i]} is not mention_count + in_degree + out_degree, {total[i]}",
        )
        for name, known in (("kind", ("item", "synset", "lemma", "node")), ("inductive_split", SIDES)):
            column = values(rows, name)
            wrong = ~pc.is_in(column, value_set=pa.array(known)).to_numpy(zero_copy_only=False)
            yield from where(wrong, name, lambda i, c=column, n=name: f"{n} {c[i].as_py()!r} is unknown")
        yield from self._texts(rows)
        yield from self._page(rows, own)
        if self._items is not None:
            yield from self._items.check(rows, own)

    def finish(self) -> Iterator[str]:
        """Names that two rows have."""
        for name in self._known.entities.repeated()[:1]:
            yield f"entity {name} has two rows"

    def _texts(self, rows: pa.Table) -> Iterator[Problem]:
        """The text is what text_source says; its mention lies inside."""
        text, source = values(rows, "text"), values(rows, "text_source")
        of_source = {name: pc.equal(source, name) for name in ("lead", "description", "label", "none")}
        right = {
            "lead": pc.not_equal(text, ""),
            "description": pc.fill_null(pc.equal(text, values(rows, "description")), False),
            "label": pc.fill_null(pc.equal(text, values(rows, "label")), False),
            "none": pc.equal(text, ""),
        }
        fits = np.zeros(len(text), bool)
        for name, mask in of_source.items():
            fits |= pc.and_(mask, right[name]).to_numpy(zero_copy_only=False)
        yield from where(
            ~fits,
            "text_source",
            lambda i: f"text_source {source[i].as_py()!r}, but the text is {text[i].as_py()[:40]!r}",
        )
        if not self._woven:
            yield from self._fallback(rows, source)
        mention = values(rows, "text_mention")
        starts, ends = (pc.fill_null(pc.struct_field(mention, name), -1).to_numpy() for name in ("start", "end"))
        limit, there = lengths(rows, "text"), mention.is_valid().to_numpy(zero_copy_only=False)
        outside = there & ~((starts >= 0) & (starts < ends) & (ends <= limit))
        yield from where(
            outside,
            "text_mention",
            lambda i: f"text_mention {starts[i]}-{ends[i]} is outside the text of {limit[i]} code points",
        )

    def _fallback(self, rows: pa.Table, source: pa.Array) -> Iterator[Problem]:
        """No description where there is a label for a text, neither where there is none."""
        has = {name: pc.fill_null(pc.not_equal(values(rows, name), ""), False) for name in ("description", "label")}
        passed = pc.or_(
            pc.and_(pc.is_in(source, pa.array(["label", "none"])), has["description"]),
            pc.and_(pc.equal(source, "none"), has["label"]),
        ).to_numpy(zero_copy_only=False)
        yield from where(
            passed, "text_source", lambda i: f"text_source {source[i].as_py()!r}, but it has a better text in its row"
        )

    def _page(self, rows: pa.Table, own: I64) -> Iterator[Problem]:
        """page_id and page_title are those of a page of this entity, and a lead is that page's."""
        ids = numbers(rows, "page_id", null=-1)
        titles = values(rows, "page_title")
        has_id, has_title = ids != -1, titles.is_valid().to_numpy(zero_copy_only=False)
        yield from where(
            has_id != has_title,
            "page_id",
            lambda i: f"page_id {values(rows, 'page_id')[i]} beside page_title {titles[i]}",
        )
        place = self._pages.find(ids)
        yield from where(has_id & (place < 0), "page_id", lambda i: f"page_id {ids[i]} is not in table pages")
        if not len(self._pages):
            return
        there = has_id & has_title & (place >= 0)
        of_page = self._pages.entities[place]
        yield from where(
            there & (of_page != own),
            "page_id",
            lambda i: f"page_id {ids[i]} is the page of {_shown(self._known, of_page[i])}",
        )
        other = there & (self._pages.titles[place] != hash_array(titles))
        yield from where(other, "page_title", lambda i: f"page_title {titles[i]} is not the title of page {ids[i]}")
        if self._woven:
            return  # a lead may be that of another dump
        lead = pc.equal(values(rows, "text_source"), "lead").to_numpy(zero_copy_only=False)
        other = there & lead & (self._pages.leads[place] != hash_array(values(rows, "text")))
        yield from where(other, "lead", lambda i: f"text is not the lead of page {ids[i]}")
        passed = there & ~lead & (self._pages.leads[place] != _EMPTY)
        yield from where(passed, "lead", lambda i: f"page {ids[i]} has a lead, but the text is another")
        first = self._first_pages[own]
        yield from where(
            (first >= 0) & ~has_id, "page_id", lambda i: f"page_id is null, but page {first[i]} is the entity's"
        )


def _shown(known: Known, entity: int | np.integer) -> str:
    return known.entities[entity] if entity >= 0 else "no entity"


class Relations(Checker):
    """Numbers and counts; read after the tables that they are counted from."""

    def __init__(self, known: Known) -> None:
        self._known, self._ranked, self._row = known, Ranked("relation"), 0

    def check(self, rows: pa.Table, part: str) -> Iterator[Problem]:
        """One row group."""
        yield from self._ranked.check(rows)
        own = slice(self._row, self._row + rows.num_rows)
        self._row += rows.num_rows
        for name, counts in self._known.counted_relations.items():
            yield from count_problems(rows, name, counts[own])
        if parameters(self._known.dataset.manifest).get("keep") in ("paper", "linked"):
            names, nameless = values(rows, "relation"), values(rows, "label").is_null().to_numpy(zero_copy_only=False)
            yield from where(nameless, "label", lambda i: f"{names[i]} has no label, which --keep asks for")

    def finish(self) -> Iterator[str]:
        """Names that two rows have."""
        for name in self._known.relations.repeated()[:1]:
            yield f"relation {name} has two rows"


def count_problems(rows: pa.Table, name: str, counted: npt.NDArray[np.int64]) -> Iterator[Problem]:
    """A column of counts against what was counted."""
    declared = numbers(rows, name)
    yield from where(declared != counted, name, lambda i: f"{name} {declared[i]}, counted {counted[i]}")
