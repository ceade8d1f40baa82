"""Faults to plant in a copy of the examples' dataset (planting.Copy)."""

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import sinks
from schemas.dataset import Dataset
from schemas.tables import TABLES
from tests.pipelines.planting import insert_fact


def flip_a_byte(copy):
    path = copy.shard("pages", "train")
    column = pq.ParquetFile(path).metadata.row_group(0).column(6)
    assert column.path_in_schema == "text"
    data = bytearray(path.read_bytes())
    data[column.data_page_offset + column.total_compressed_size // 2] ^= 1
    path.write_bytes(data)


def flip_a_byte_and_seal(copy):
    flip_a_byte(copy)
    manifest = copy.folder / "manifest.json"
    text = manifest.read_text()
    old = next(s.sha256 for s in Dataset(copy.folder).shards("pages", "train"))
    manifest.write_text(text.replace(old, sinks.file_digest(copy.shard("pages", "train"))))


def cut_a_shard(copy):
    path = copy.shard("triples", "train")
    path.write_bytes(path.read_bytes()[:-100])


def lose_a_shard(copy):
    copy.shard("anchors").unlink()


def add_a_shard(copy):
    shard = copy.shard("pages", "test")
    shard.with_name("test-00001-of-00002.parquet").write_bytes(shard.read_bytes())


def rename_a_shard(copy):
    path = copy.shard("pages", "test")
    path.rename(path.with_name("test-1.parquet"))
    old, new = (f"pages/{name}" for name in (path.name, "test-1.parquet"))
    manifest = copy.folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace(old, new))


def name_a_path_outside(copy):
    copy.document(lambda d: d["tables"]["pages"]["shards"][0].update(path="../x"))


def name_no_path(copy):
    copy.document(lambda d: d["tables"]["pages"]["shards"][0].update(path=7))


def link_a_shard(copy):
    path = copy.shard("anchors")
    path.rename(copy.folder.parent / "elsewhere.parquet")
    path.symlink_to(copy.folder.parent / "elsewhere.parquet")


def change_a_table_digest(copy):
    copy.document(lambda d: d["tables"]["pages"].update(digest="0" * 64))


def change_the_digest(copy):
    copy.document(lambda d: d.update(digest="0" * 64))


def rename_a_column(copy):
    path = copy.shard("relations")
    table = pq.read_table(path).rename_columns({"frequency": "freq"})
    pq.write_table(table, path)
    copy_footer(copy, path, "relations", table)


def copy_footer(copy, path, table, rows, **metadata):
    changed = {name.encode(): value for name, value in metadata.items()}
    pq.write_table(rows.replace_schema_metadata({**TABLES[table].schema.metadata, **changed}), path)


def change_a_doc(copy):
    path = copy.shard("relations")
    copy_footer(copy, path, "relations", pq.read_table(path), columns='{"label": "?"}')
    copy.seal("relations")


def write_one_large_row_group(copy):
    path = copy.shard("wk_graphs", "train")
    pq.write_table(pq.read_table(path, partitioning=None), path, row_group_size=10**6)
    copy.seal("wk_graphs")


def plant_invalid_utf8(copy):
    path = copy.shard("relations")
    rows = pq.read_table(path)
    offsets, data = pa.array([0] + [1] * rows.num_rows, pa.int32()).buffers()[1], pa.py_buffer(b"\xff")
    broken = pa.StringArray.from_buffers(rows.num_rows, offsets, data)
    place = rows.column_names.index("description")
    copy_footer(copy, path, "relations", rows.set_column(place, rows.schema.field(place), broken))
    copy.seal("relations")


def lose_a_dropped_row(copy):
    copy.document(lambda d: d["drops"]["graph"].update(head_not_kept=d["drops"]["graph"]["head_not_kept"] - 1))


def put_words_for_counts(copy):
    copy.document(lambda d: d["drops"]["graph"].update(head_not_kept="many"))


def lose_a_graph(copy):
    copy.edit("wk_graphs", "valid", lambda rows: rows.pop())


def lose_a_reject(copy):
    copy.document(lambda d: d["drops"]["wikidata"].update(invalid_json=7))


def put_a_test_row_among_train(copy):
    copy.edit("triples", "train", lambda rows: rows[3].update(split="test"))


def swap_two_triples(copy):
    copy.edit("triples", "train", lambda rows: rows.insert(6, rows.pop(5)))


def repeat_a_triple(copy):
    copy.edit("triples", "train", lambda rows: rows.insert(5, rows[5]))


def swap_two_graphs(copy):
    copy.edit("wk_graphs", "test", lambda rows: rows.insert(6, rows.pop(5)))


def name_another_head(copy):
    copy.edit("triples", "train", lambda rows: rows[0].update(head=rows[-1]["head"]))


def point_beyond_the_entities(copy):
    copy.edit("triples", "test", lambda rows: rows[-1].update(head_index=10**6))


def put_a_test_fact_in_train(copy):
    fact = copy.rows("triples", "test")[0] | {"split": "train"}
    copy.edit("triples", "train", lambda rows: insert_fact(rows, fact))


def call_a_fact_false(copy):
    copy.edit("triples", "train", lambda rows: rows[0].update(label=False))


def take_an_entity_out_of_train(copy):
    single = next(e for e in copy.rows("entities") if e["in_degree"] + e["out_degree"] == 1)["entity"]
    facts = copy.rows("triples", "train")
    place = next(i for i, fact in enumerate(facts) if single in (fact["head"], fact["tail"]))
    moved = facts.pop(place) | {"split": "test"}
    copy.write("triples", "train", facts)
    copy.edit("triples", "test", lambda rows: insert_fact(rows, moved))


def mix_the_inductive_sides(copy):
    copy.edit(
        "triples",
        "train",
        lambda rows: next(r for r in rows if r["inductive_split"] == "dropped").update(inductive_split="test"),
    )


def put_a_test_fact_in_a_graph(copy):
    facts = {fact["head_index"]: fact for fact in copy.rows("triples", "test")}

    def plant(rows):
        graph = next(g for g in rows if facts.keys() & {m["entity_index"] for m in g["mentions"]})
        anchor = next(i for i, m in enumerate(graph["mentions"]) if m["entity_index"] in facts)
        fact = facts[graph["mentions"][anchor]["entity_index"]]
        names = ("head_index", "relation_index", "tail_index")
        graph["triples"].append({"anchor": anchor, **{name: fact[name] for name in names}})

    copy.edit("wk_graphs", "train", plant)


def put_a_test_fact_among_the_tokens(copy):
    tokens = copy.folder / "tokens/small"
    facts = {fact["head_index"]: fact for fact in copy.rows("triples", "test")}
    path = next((tokens / "wk_graphs").glob("train-*"))
    rows = pq.read_table(path, partitioning=None)
    graphs = rows.to_pylist()
    graph = next(g for g in graphs if facts.keys() & set(g["anchors"]))
    anchor = next(i for i, entity in enumerate(graph["anchors"]) if entity in facts)
    fact = facts[graph["anchors"][anchor]]
    graph["triples"].append(
        {"anchor": anchor, "relation_index": fact["relation_index"], "tail_index": fact["tail_index"]}
    )
    pq.write_table(pa.Table.from_pylist(graphs, rows.schema), path, row_group_size=1_024)


def link_to_nobody(copy):
    copy.edit("pages", "test", lambda rows: linked(rows)["links"][0].update(entity="Q999999999"))


def linked(rows, least=1):
    return next(row for row in rows if sum(link["entity"] is not None for link in row["links"]) >= least)


def shift_a_link(copy):
    copy.edit("pages", "train", lambda rows: linked_first(rows).update(end=linked_first(rows)["end"] - 1))


def linked_first(rows):
    return next(link for row in rows for link in row["links"] if link["entity"] and link["end"] - link["start"] > 3)


def link_beyond_the_text(copy):
    copy.edit("pages", "valid", lambda rows: linked(rows)["links"][-1].update(end=10**6))


def end_the_lead_beyond_the_text(copy):
    copy.edit("pages", "valid", lambda rows: rows[0].update(lead_end=10**6))


def overlap_two_sections(copy):
    def plant(rows):
        page = next(row for row in rows if len(row["sections"]) > 1)
        page["sections"][1]["start"] = page["sections"][0]["start"]

    copy.edit("pages", "train", plant)


def repeat_a_page_in_another_split(copy):
    page = copy.rows("pages", "train")[0] | {"split": "test"}
    copy.edit("pages", "test", lambda rows: rows.insert(0, page))


def change_a_passage(copy):
    copy.edit("wk_graphs", "test", lambda rows: rows[2].update(text="X" + rows[2]["text"][1:]))


def shift_a_mention(copy):
    def plant(rows):
        graph = next(g for g in rows if g["mentions"][-1]["end"] - g["mentions"][-1]["start"] > 3)
        graph["mentions"][-1]["start"] += 1

    copy.edit("wk_graphs", "valid", plant)


def move_a_passage(copy):
    copy.edit("wk_graphs", "test", lambda rows: rows[0].update(start=rows[0]["start"] + 1, end=rows[0]["end"] + 1))


def hang_a_fact_on_another_anchor(copy):
    def plant(rows):
        graph = next(g for g in rows if len(g["mentions"]) > 1 and g["triples"] and g["triples"][0]["anchor"] == 0)
        graph["triples"][0]["anchor"] = 1

    copy.edit("wk_graphs", "test", plant)


def promise_fewer_neighbours(copy):
    copy.document(lambda d: d["parameters"].update(neighbors=3))


def count_one_too_many(name):
    def plant(copy):
        copy.edit("entities", None, lambda rows: rows[7].update({name: rows[7][name] + 1}))

    return plant


def count_a_degree_too_many(copy):
    def plant(rows):
        rows[0].update(in_degree=rows[0]["in_degree"] + 1, frequency=rows[0]["frequency"] + 1)

    copy.edit("entities", None, plant)


def swap_two_entities(copy):
    def plant(rows):
        last = len(rows) - 1
        rows[0], rows[last] = rows[last] | {"entity_index": 0}, rows[0] | {"entity_index": last}

    copy.edit("entities", None, plant)


def repeat_an_entity(copy):
    copy.edit("entities", None, lambda rows: rows[9].update(entity=rows[8]["entity"]))


def write_another_lead(copy):
    copy.edit("entities", None, lambda rows: with_lead(rows).update(text="Another text.", text_mention=None))


def with_lead(rows):
    return next(row for row in rows if row["text_source"] == "lead")


def write_another_title(copy):
    copy.edit("entities", None, lambda rows: with_lead(rows).update(page_title="Another"))


def call_a_lead_a_label(copy):
    copy.edit("entities", None, lambda rows: with_lead(rows).update(text_source="label"))


def count_an_anchor_too_often(copy):
    copy.edit("anchors", None, lambda rows: rows[3].update(count=rows[3]["count"] + 1))


def write_another_surface(copy):
    copy.edit("anchors", None, lambda rows: rows[3].update(surface=rows[3]["surface"] + "!"))


def redirect_to_nobody(copy):
    copy.edit("redirects", None, lambda rows: rows[0].update(entity="Q999999999"))


def keep_tokens_of_another_dataset(copy):
    manifest = copy.folder / "tokens/small/manifest.json"
    manifest.write_text(manifest.read_text().replace(Dataset(copy.folder).digest, "0" * 64))


def shrink_the_vocabulary(copy):
    manifest = copy.folder / "tokens/small/manifest.json"
    manifest.write_text(manifest.read_text().replace('"vocab_size": ', '"vocab_size": 9, "was": '))


def change_the_tokenizer(copy):
    with (copy.folder / "tokens/small/tokenizer.json").open("a") as file:
        file.write("\n")


def write_a_special_token(copy):
    copy.tokens("small").edit("pages", "train", lambda rows: rows[0]["ids"].append(4))


def write_a_longer_text(copy):
    copy.tokens("small").edit("entities", None, lambda rows: rows[2].update(ids=[9] * 65))


def move_a_span(copy):
    def move(rows):
        span = next(row for row in rows if len(row["spans"]) > 1)["spans"][1]
        span.update(start=span["start"] + 1, end=span["end"] + 1)

    copy.tokens("small").edit("wk_graphs", "train", move)


def lose_a_span(copy):
    copy.tokens("small").edit("wk_graphs", "train", lambda rows: rows[0]["spans"].pop())


def lose_a_token_of_a_mention(copy):
    copy.tokens("small").edit("wk_graphs", "train", lambda rows: rows[0]["mention_ids"].pop())


def write_a_token_out_of_the_vocabulary(copy):
    copy.tokens("small").edit("wk_graphs", "train", lambda rows: rows[0]["mention_ids"].__setitem__(0, 10**6))


def point_an_anchor_to_another_entity(copy):
    copy.tokens("small").edit("wk_graphs", "train", lambda rows: rows[0]["anchors"].__setitem__(0, 10**6))


def lose_a_page_of_the_tokens(copy):
    copy.tokens("small").edit("pages", "train", lambda rows: rows.pop())
