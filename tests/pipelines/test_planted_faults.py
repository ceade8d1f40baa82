"""Faults planted in a whole dataset: validate or audit finds each, with a line that says where."""

import pytest

from pipelines.audit import audit
from pipelines.checks import files
from pipelines.train_tokenizer import train_tokenizer
from pipelines.validate import validate
from pipelines.vocabulary import Vocabulary
from schemas.dataset import Dataset
from schemas.errors import DataError
from tests.pipelines import faults, rule_faults
from tests.pipelines.planting import Copy
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
    train_tokenizer(Dataset(copy.folder), copy.folder.parent / "t", Vocabulary(vocab_size=500))
    words = ["tokenize", copy.folder, "--tokenizer", copy.folder.parent / "t", "--name", "small", "--max-length", 64]
    assert main(list(map(str, words))) == 0
    return copy.folder


@pytest.fixture
def copy(demo_dataset, tmp_path):
    return Copy(demo_dataset, tmp_path / "d")


# fault: (where the line says that it is, what the line says)
FAULTS = {
    faults.flip_a_byte: ("pages/train-00000-of-00001.parquet", "sha256"),
    faults.flip_a_byte_and_seal: ("pages/train-00000-of-00001.parquet", "damaged"),
    faults.cut_a_shard: ("triples/train-00000-of-00001.parquet", "can't be read as Parquet"),
    faults.lose_a_shard: ("anchors/anchors-00000-of-00001.parquet", "is missing"),
    faults.add_a_shard: ("pages/test-00001-of-00002.parquet", "not in the manifest"),
    faults.rename_a_shard: ("manifest.json, table pages: shard 'pages/test-1.parquet'", "expected"),
    faults.name_a_path_outside: ("manifest.json", "'../x'"),
    faults.name_no_path: ("manifest.json", "is not a manifest of a Wikiloom dataset"),
    faults.link_a_shard: ("manifest.json names 'anchors/anchors-00000-of-00001.parquet'", "symbolic link"),
    faults.change_a_table_digest: ("table pages", "the manifest 00000000"),
    faults.change_the_digest: ("manifest.json", "digest is not that of its tables"),
    faults.rename_a_column: ("relations/relations-00000-of-00001.parquet", "column 'frequency' is missing"),
    faults.change_a_doc: ("relations/relations-00000-of-00001.parquet", "the footer's 'columns'"),
    faults.write_one_large_row_group: ("wk_graphs/train-00000-of-00001.parquet, row group 0", "at most 1024"),
    faults.plant_invalid_utf8: ("relations/relations-00000-of-00001.parquet", "damaged"),
    faults.lose_a_dropped_row: ("manifest.json, stage graph", "dropped"),
    faults.put_words_for_counts: ("manifest.json", "'many'"),
    faults.lose_a_graph: ("manifest.json, stage wk_graphs", "the table has"),
    faults.lose_a_reject: ("table rejects", "wikidata/invalid_json"),
    faults.put_a_test_row_among_train: ("triples/train-00000-of-00001.parquet, row 3", "split is 'test'"),
    faults.swap_two_triples: ("triples/train-00000-of-00001.parquet, row 6", "not sorted by head_index"),
    faults.repeat_a_triple: ("triples/train-00000-of-00001.parquet, row 6", "not sorted by head_index"),
    faults.swap_two_graphs: ("wk_graphs/test-00000-of-00001.parquet, row 6", "not sorted by hash(graph_id)"),
    faults.name_another_head: ("triples/train-00000-of-00001.parquet, row 0", "its index is that of"),
    faults.point_beyond_the_entities: ("triples/test-00000-of-00001.parquet", "head_index 1000000 is not one of"),
    faults.put_a_test_fact_in_train: ("triples/train-00000-of-00001.parquet", "is in train and in test"),
    faults.call_a_fact_false: ("triples/train-00000-of-00001.parquet, row 0", "label False in split train"),
    faults.take_an_entity_out_of_train: ("triples/test-00000-of-00001.parquet", "that train has not"),
    faults.mix_the_inductive_sides: ("triples/train-00000-of-00001.parquet", "inductive_split test, but its head"),
    faults.put_a_test_fact_in_a_graph: ("wk_graphs/train-00000-of-00001.parquet", "is not a train triple"),
    faults.link_to_nobody: ("pages/test-00000-of-00001.parquet", "entity Q999999999 is not in table entities"),
    faults.shift_a_link: ("wk_graphs/train-00000-of-00001.parquet", "are not the first links"),
    faults.link_beyond_the_text: ("pages/valid-00000-of-00001.parquet", "is outside the text"),
    faults.end_the_lead_beyond_the_text: ("pages/valid-00000-of-00001.parquet, row 0", "lead_end 1000000"),
    faults.overlap_two_sections: ("pages/train-00000-of-00001.parquet", "begins before the one before it ends"),
    faults.repeat_a_page_in_another_split: ("table pages", "has two rows"),
    faults.change_a_passage: ("wk_graphs/test-00000-of-00001.parquet, row 2", "its text is not that of its page"),
    faults.shift_a_mention: ("wk_graphs/valid-00000-of-00001.parquet", "are not the first links"),
    faults.move_a_passage: ("wk_graphs/test-00000-of-00001.parquet, row 0", "is not page_id"),
    faults.hang_a_fact_on_another_anchor: ("wk_graphs/test-00000-of-00001.parquet", "not the entity of anchor 1"),
    faults.promise_fewer_neighbours: ("wk_graphs/train-00000-of-00001.parquet", "expected at most 3"),
    faults.count_one_too_many("frequency"): ("entities/entities-00000-of-00001.parquet, row 7", "is not mention_"),
    faults.count_one_too_many("graph_count"): ("entities/entities-00000-of-00001.parquet, row 7", "graph_count"),
    faults.count_a_degree_too_many: ("entities/entities-00000-of-00001.parquet, row 0", "in_degree"),
    faults.swap_two_entities: (
        "entities/entities-00000-of-00001.parquet, row 1",
        "is above that of the row before",
    ),
    faults.repeat_an_entity: ("table entities", "has two rows"),
    faults.write_another_lead: ("entities/entities-00000-of-00001.parquet", "text is not the lead of page"),
    faults.write_another_title: ("entities/entities-00000-of-00001.parquet", "is not the title of page"),
    faults.call_a_lead_a_label: ("entities/entities-00000-of-00001.parquet", "text_source 'label'"),
    faults.count_an_anchor_too_often: ("table anchors", "train pages have"),
    faults.write_another_surface: ("table anchors", "are not the texts of the links"),
    rule_faults.part_a_pair: ("triples/train-00000-of-00001.parquet", "have facts in train and in valid"),
    rule_faults.drop_a_fact_of_one_side: ("triples/train-00000-of-00001.parquet", "inductive_split dropped, but both"),
    rule_faults.drop_the_last_fact_of_a_side: ("table triples", "is in inductive train, where it has no fact"),
    rule_faults.tear_a_side_apart: ("table triples", "inductive test is 2 sub-graphs"),
    rule_faults.allow_no_dropped_fact: ("table triples", "max_dropped is 0.0"),
    rule_faults.split_pages_by_another_seed: ("table pages", "its hash says"),
    rule_faults.say_another_number_of_test_facts: ("manifest.json", "graph.split.triples.test is 5"),
    rule_faults.say_another_number_of_self_triples: ("table triples", "graph.self_triples is 777"),
    rule_faults.say_another_number_of_excluded_facts: ("manifest.json", "graph.excluded_triples.removed is 777"),
    rule_faults.repeat_a_fact_of_a_graph: ("wk_graphs/valid-00000-of-00001.parquet, row", "is in the graph twice"),
    rule_faults.leave_out_a_category: ("entities/entities-00000-of-00001.parquet, row", "categories leave out"),
    rule_faults.write_a_category_that_is_no_item: (
        "entities/entities-00000-of-00001.parquet, row 4",
        "'human' is no item",
    ),
    rule_faults.shift_a_text_mention: ("entities/entities-00000-of-00001.parquet, row", "is not one of its names"),
    rule_faults.pass_over_a_lead: (
        "entities/entities-00000-of-00001.parquet, row",
        "has a lead, but the text is another",
    ),
    rule_faults.pass_over_a_description: ("entities/entities-00000-of-00001.parquet, row", "it has a better text"),
    rule_faults.forget_a_page: ("entities/entities-00000-of-00001.parquet, row", "page_id is null, but page"),
    rule_faults.forget_a_label: ("relations/relations-00000-of-00001.parquet, row 1", "has no label"),
    rule_faults.call_a_link_a_repeat: ("pages/test-00000-of-00001.parquet", "source 'repeat', expected link"),
    rule_faults.lose_the_card: ("README.md", "is missing"),
    faults.redirect_to_nobody: ("redirects/redirects-00000-of-00001.parquet, row 0", "entity Q999999999"),
}
TOKEN_FAULTS = {
    faults.keep_tokens_of_another_dataset: ("tokens/small", "was made from dataset 00000000"),
    faults.shrink_the_vocabulary: ("tokens/small/entities/tokens_entities-00000-of-00001.parquet", "not one of 9"),
    faults.change_the_tokenizer: ("tokens/small/tokenizer.json", "not those of the tokenizer"),
    faults.write_a_special_token: ("tokens/small/pages/train-00000-of-00001.parquet, row 0", "4, a special token"),
    faults.write_a_longer_text: ("tokens_entities-00000-of-00001.parquet, row 2", "65 tokens, expected at most 64"),
    faults.move_a_span: ("tokens/small/wk_graphs/train-00000-of-00001.parquet, row", "is not where its mark is"),
    faults.lose_a_span: ("tokens/small/wk_graphs/train-00000-of-00001.parquet, row 0", "spans for"),
    faults.lose_a_token_of_a_mention: ("wk_graphs/train-00000-of-00001.parquet, row 0", "tokens, the spans"),
    faults.write_a_token_out_of_the_vocabulary: ("wk_graphs/train-00000-of-00001.parquet, row 0", "1000000, not one"),
    faults.point_an_anchor_to_another_entity: ("table wk_graphs, split train", "not row for row the dataset's"),
    faults.lose_a_page_of_the_tokens: ("table pages, split train", "not row for row the dataset's"),
}
LEAKS = {
    faults.put_a_test_fact_in_train: ("triples", "1 facts of test are in train"),
    faults.put_a_test_fact_in_a_graph: ("wk_graphs/train-00000-of-00001.parquet, row", "a fact of test is in a graph"),
    faults.mix_the_inductive_sides: ("triples", "the inductive split is not disjoint"),
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
    faults.put_a_test_fact_among_the_tokens(copy)
    found(audited(copy.folder), "tokens/small/wk_graphs/train-00000-of-00001.parquet, row", "is test")


def test_a_row_group_too_large_in_bytes_is_found(demo_dataset, monkeypatch):
    monkeypatch.setattr(files, "MAX_GROUP_BYTES", 10_000)
    found(validated(demo_dataset), "pages/train-00000-of-00001.parquet, row group 0", "bytes, expected at most 10000")
