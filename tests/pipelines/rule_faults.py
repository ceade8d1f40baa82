"""Faults against the rules of splits, texts and the manifest's own figures, to plant in a copy (planting.Copy)."""

from collections import Counter

from tests.pipelines.faults import linked, with_lead
from tests.pipelines.planting import insert_fact


def part_a_pair(copy):
    """One of two facts between the same two entities goes to valid."""
    rows = copy.rows("triples", "train")
    ends = [frozenset((row["head"], row["tail"])) for row in rows]
    place = next(i for i, pair in enumerate(ends) if ends.count(pair) > 1 and len(pair) == 2)
    fact = rows.pop(place) | {"split": "valid"}
    copy.write("triples", "train", rows)
    copy.edit("triples", "valid", lambda rows: insert_fact(rows, fact))


def drop_a_fact_of_one_side(copy):
    def plant(rows):
        next(row for row in rows if row["inductive_split"] == "test").update(inductive_split="dropped")

    copy.edit("triples", "train", plant)


def drop_the_last_fact_of_a_side(copy):
    """An entity stays on its side without a fact there."""
    rows = copy.rows("triples", "train")
    ends = Counter(
        end for part in ("train", "valid", "test") for row in copy.rows("triples", part) for end in both(row)
    )
    fact = next(r for r in rows if r["inductive_split"] == "train" and min(ends[end] for end in both(r)) == 1)
    fact.update(inductive_split="dropped")
    copy.write("triples", "train", rows)


def both(row):
    return {row["head"], row["tail"]}


def tear_a_side_apart(copy):
    """A fact of the inductive train, and all around its ends, is told to be test's."""
    rows = copy.rows("triples", "train")
    fact = next(row for row in reversed(rows) if row["inductive_split"] == "train" and row["head"] != row["tail"])
    ends = both(fact)
    for split in ("train", "valid", "test"):
        copy.edit("triples", split, lambda rows: [row.update(side(row, ends)) for row in rows])
    copy.edit("entities", None, lambda rows: [r.update(inductive_split="test") for r in rows if r["entity"] in ends])


def side(row, ends):
    of_others = "dropped" if both(row) & ends else row["inductive_split"]
    return {"inductive_split": "test" if both(row) <= ends else of_others}


def allow_no_dropped_fact(copy):
    copy.document(lambda d: d["parameters"].update(max_dropped=0.0))


def split_pages_by_another_seed(copy):
    copy.document(lambda d: d["parameters"].update(seed=99))


def say_another_number_of_test_facts(copy):
    copy.document(lambda d: d["graph"]["split"]["triples"].update(test=5))


def say_another_number_of_self_triples(copy):
    copy.document(lambda d: d["graph"].update(self_triples=777))


def say_another_number_of_excluded_facts(copy):
    copy.document(lambda d: d["graph"]["excluded_triples"].update(removed=777))


def repeat_a_fact_of_a_graph(copy):
    def plant(rows):
        facts = next(row["triples"] for row in rows if row["triples"])
        facts.append(facts[-1])

    copy.edit("wk_graphs", "valid", plant)


def leave_out_a_category(copy):
    copy.edit("entities", None, lambda rows: [row.update(categories=[]) for row in rows])


def write_a_category_that_is_no_item(copy):
    copy.edit("entities", None, lambda rows: rows[4]["categories"].append("human"))


def shift_a_text_mention(copy):
    def plant(rows):
        row = next(row for row in rows if row["text_source"] == "lead" and row["text_mention"])
        row["text_mention"]["end"] -= 1

    copy.edit("entities", None, plant)


def pass_over_a_lead(copy):
    def plant(rows):
        row = next(row for row in rows if row["text_source"] == "lead" and row["description"])
        row.update(text=row["description"], text_source="description", text_mention=None)

    copy.edit("entities", None, plant)


def pass_over_a_description(copy):
    def plant(rows):
        row = with_lead(rows)
        row.update(text=row["label"], text_source="label", text_mention=None)

    copy.edit("entities", None, plant)


def forget_a_page(copy):
    copy.edit("entities", None, lambda rows: with_lead(rows).update(page_id=None, page_title=None))


def forget_a_label(copy):
    copy.edit("relations", None, lambda rows: rows[1].update(label=None))


def call_a_link_a_repeat(copy):
    copy.edit("pages", "test", lambda rows: linked(rows)["links"][0].update(source="repeat"))


def lose_the_card(copy):
    (copy.folder / "README.md").unlink()
