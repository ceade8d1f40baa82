"""Stage wikidata: what one range leaves on the disk, and that nothing of it is lost uncounted."""

from pipelines.records import read_json, read_records
from pipelines.sources.ranges import plan_ranges
from pipelines.transforms.statements import WikidataJob, read_wikidata_range
from tests.pipelines.sources.inputs import array, entity, statement, write

PROPERTY = {"type": "property", "id": "P31", "datatype": "wikibase-item", "labels": {"en": {"value": "instance of"}}}


def run(folder, records):
    (whole,) = plan_ranges(write(folder, "dump.json", array(records)))
    job = WikidataJob(whole, folder / "stage", "en")
    read_wikidata_range(job)
    names = ("items", "properties", "rejects")
    return read_json(job.marker), *(read_records(job.folder / f"{name}.arrow").to_pylist() for name in names)


def test_every_record_and_every_statement_is_kept_or_counted(tmp_path):
    claims = {"P31": [statement("Q5"), statement("Q5"), statement("Q6", "deprecated", qualifiers={"P1": [{}]})]}
    records = [entity(1, claims=claims), PROPERTY, {"type": "lexeme", "id": "L1"}, {"type": "item", "id": 7}]
    counts, items, properties, rejects = run(tmp_path, records)
    assert counts == {
        "out": {"items": 1, "properties": 1},
        "drops": {"entity_lexeme": 1, "wrong_type": 1},
        "statements": {"duplicate": 1, "deprecated": 1, "qualifier": 1},
    }
    assert [(one["item"], one["title"], one["relations"], one["tails"]) for one in items] == [(1, "Page 1", [31], [5])]
    assert [(one["relation"], one["label"], one["datatype"]) for one in properties] == [
        (31, "instance of", "wikibase-item")
    ]
    assert [(one["key"], one["reason"]) for one in rejects] == [("7", "wrong_type")]


def test_content_depends_on_the_record_alone(tmp_path):
    one, other = entity(1, tails=["Q5"]), entity(1, tails=["Q6"])
    contents = []
    for number, records in enumerate(([one, other], [PROPERTY, other, one])):
        (tmp_path / str(number)).mkdir()
        _, items, _, _ = run(tmp_path / str(number), records)
        contents.append({item["tails"][0]: item["content"] for item in items})
    assert contents[0] == contents[1]
    assert contents[0][5] != contents[0][6]
