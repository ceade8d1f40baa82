"""Faults planted in a whole dataset: validate or audit finds each, with a line that says where."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import sinks
from pipelines.audit import audit
from pipelines.checks import files
from pipelines.transforms.tokenize import tokenize_dataset, train_tokenizer
from pipelines.validate import validate
from schemas.dataset import Dataset
from schemas.errors import DataError
from schemas.tables import TABLES
from tests.pipelines.planting import Copy, insert_fact
from wikiloom import main


def validated(folder):
    try:
        return list(validate(folder))
    except DataError as error:
        return [str(error)]


def audited(folder):
    return audit(folder).violations


@pytest.fixture(scope="module")
def with_tokens(demo_dataset, tmp_path_factory):
    """The examples' dataset with token ids beside it."""
    copy = Copy(demo_dataset, tmp_path_factory.mktemp("tokens") / "d")
    train_tokenizer(Dataset(copy.folder), copy.folder.parent / "t", vocab_size=500)
    tokenize_dataset(Dataset(copy.folder), str(copy.folder.parent / "t"), "small", max_length=64)
    return copy.folder


@pytest.fixture
def copy(demo_dataset, tmp_path):
    return Copy(demo_dataset, tmp_path / "d")


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


# fault: (where the line says that it is, what the line says)
FAULTS = {
    flip_a_byte: ("pages/train-00000-of-00001.parquet", "sha256"),
    flip_a_byte_and_seal: ("pages/train-00000-of-00001.parquet", "damaged"),
    cut_a_shard: ("triples/train-00000-of-00001.parquet", "can't be read as Parquet"),
    lose_a_shard: ("anchors/anchors-00000-of-00001.parquet", "is missing"),
    add_a_shard: ("pages/test-00001-of-00002.parquet", "not in the manifest"),
    rename_a_shard: ("manifest.json, table pages: shard 'pages/test-1.parquet'", "expected"),
    name_a_path_outside: ("manifest.json", "'../x'"),
    name_no_path: ("manifest.json", "is not a manifest of a Wikiloom dataset"),
    link_a_shard: ("manifest.json names 'anchors/anchors-00000-of-00001.parquet'", "symbolic link"),
    change_a_table_digest: ("table pages", "the manifest 00000000"),
    change_the_digest: ("manifest.json", "digest is not that of its tables"),
    rename_a_column: ("relations/relations-00000-of-00001.parquet", "column 'frequency' is missing"),
    change_a_doc: ("relations/relations-00000-of-00001.parquet", "the footer's 'columns'"),
    write_one_large_row_group: ("wk_graphs/train-00000-of-00001.parquet, row group 0", "at most 1024"),
    plant_invalid_utf8: ("relations/relations-00000-of-00001.parquet", "damaged"),
    lose_a_dropped_row: ("manifest.json, stage graph", "dropped"),
    put_words_for_counts: ("manifest.json", "'many'"),
    lose_a_graph: ("manifest.json, stage wk_graphs", "the table has"),
    lose_a_reject: ("table rejects", "wikidata/invalid_json"),
    put_a_test_row_among_train: ("triples/train-00000-of-00001.parquet, row 3", "split is 'test'"),
    swap_two_triples: ("triples/train-00000-of-00001.parquet, row 6", "not sorted by head_index"),
    repeat_a_triple: ("triples/train-00000-of-00001.parquet, row 6", "not sorted by head_index"),
    swap_two_graphs: ("wk_graphs/test-00000-of-00001.parquet, row 6", "not sorted by hash(graph_id)"),
    name_another_head: ("triples/train-00000-of-00001.parquet, row 0", "its index is that of"),
    point_beyond_the_entities: ("triples/test-00000-of-00001.parquet", "head_index 1000000 is not one of"),
    put_a_test_fact_in_train: ("triples/train-00000-of-00001.parquet", "is in train and in test"),
    call_a_fact_false: ("triples/train-00000-of-00001.parquet, row 0", "label False in split train"),
    take_an_entity_out_of_train: ("triples/test-00000-of-00001.parquet", "that train has not"),
    mix_the_inductive_sides: ("triples/train-00000-of-00001.parquet", "inductive_split test, but its head"),
    put_a_test_fact_in_a_graph: ("wk_graphs/train-00000-of-00001.parquet", "is not a train triple"),
    link_to_nobody: ("pages/test-00000-of-00001.parquet", "entity Q999999999 is not in table entities"),
    shift_a_link: ("wk_graphs/train-00000-of-00001.parquet", "are not the first links"),
    link_beyond_the_text: ("pages/valid-00000-of-00001.parquet", "is outside the text"),
    end_the_lead_beyond_the_text: ("pages/valid-00000-of-00001.parquet, row 0", "lead_end 1000000"),
    overlap_two_sections: ("pages/train-00000-of-00001.parquet", "begins before the one before it ends"),
    repeat_a_page_in_another_split: ("table pages", "has two rows"),
    change_a_passage: ("wk_graphs/test-00000-of-00001.parquet, row 2", "its text is not that of its page"),
    shift_a_mention: ("wk_graphs/valid-00000-of-00001.parquet", "are not the first links"),
    move_a_passage: ("wk_graphs/test-00000-of-00001.parquet, row 0", "is not page_id"),
    hang_a_fact_on_another_anchor: ("wk_graphs/test-00000-of-00001.parquet", "not the entity of anchor 1"),
    promise_fewer_neighbours: ("wk_graphs/train-00000-of-00001.parquet", "expected at most 3"),
    count_one_too_many("frequency"): ("entities/entities-00000-of-00001.parquet, row 7", "is not mention_"),
    count_one_too_many("graph_count"): ("entities/entities-00000-of-00001.parquet, row 7", "graph_count"),
    count_a_degree_too_many: ("entities/entities-00000-of-00001.parquet, row 0", "in_degree"),
    swap_two_entities: (
        "entities/entities-00000-of-00001.parquet, row 1",
        "is above that of the row before",
    ),
    repeat_an_entity: ("table entities", "has two rows"),
    write_another_lead: ("entities/entities-00000-of-00001.parquet", "text is not the lead of page"),
    write_another_title: ("entities/entities-00000-of-00001.parquet", "is not the title of page"),
    call_a_lead_a_label: ("entities/entities-00000-of-00001.parquet", "text_source 'label'"),
    count_an_anchor_too_often: ("table anchors", "train pages have"),
    write_another_surface: ("table anchors", "are not the texts of the links"),
    redirect_to_nobody: ("redirects/redirects-00000-of-00001.parquet, row 0", "entity Q999999999"),
}
TOKEN_FAULTS = {
    keep_tokens_of_another_dataset: ("tokens/small", "was made from dataset 00000000"),
    shrink_the_vocabulary: ("tokens/small/entities/tokens_entities-00000-of-00001.parquet", "not one of 9"),
    change_the_tokenizer: ("tokens/small/tokenizer.json", "not those of the tokenizer"),
}
LEAKS = {
    put_a_test_fact_in_train: ("triples", "1 facts of test are in train"),
    put_a_test_fact_in_a_graph: ("wk_graphs/train-00000-of-00001.parquet, row", "a fact of test is in a graph"),
    mix_the_inductive_sides: ("triples", "the inductive split is not disjoint"),
}


def named(faults):
    return [pytest.param(fault, id=f"{i:02d}-{fault.__name__}") for i, fault in enumerate(faults)]


def found(lines, place, text):
    assert any(place in line and text in line for line in lines), lines
    assert not any("\n" in line for line in lines)


@pytest.mark.parametrize("fault", named(FAULTS))
def test_validate_says_where_a_planted_fault_is(fault, copy):
    fault(copy)
    found(validated(copy.folder), *FAULTS[fault])


@pytest.mark.parametrize("fault", named(LEAKS))
def test_audit_says_where_a_planted_leak_is(fault, copy, capsys):
    fault(copy)
    found(audited(copy.folder), *LEAKS[fault])
    assert main(["audit", str(copy.folder)]) == 1
    assert "LEAK" in capsys.readouterr().out


def test_a_whole_dataset_with_tokens_has_no_problem_and_no_leak(with_tokens):
    assert validated(with_tokens) == []
    assert audited(with_tokens) == []


@pytest.mark.parametrize("fault", named(TOKEN_FAULTS))
def test_validate_says_where_a_fault_in_the_tokens_is(fault, with_tokens, tmp_path):
    copy = Copy(with_tokens, tmp_path / "d")
    fault(copy)
    found(validated(copy.folder), *TOKEN_FAULTS[fault])


def test_audit_reads_the_graphs_that_models_train_on(with_tokens, tmp_path):
    copy = Copy(with_tokens, tmp_path / "d")
    put_a_test_fact_among_the_tokens(copy)
    found(audited(copy.folder), "tokens/small/wk_graphs/train-00000-of-00001.parquet, row", "is test")


def test_a_row_group_too_large_in_bytes_is_found(demo_dataset, monkeypatch):
    monkeypatch.setattr(files, "MAX_GROUP_BYTES", 10_000)
    found(validated(demo_dataset), "pages/train-00000-of-00001.parquet, row group 0", "bytes, expected at most 10000")
