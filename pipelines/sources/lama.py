"""LAMA (Petroni et al., EMNLP 2019): sentences with one masked word, which is the object of a fact.

A folder for each subset: TREx/P19.jsonl, Google_RE/place_of_birth_test.jsonl, ConceptNet/test.jsonl, Squad/test.jsonl,
and TREx_UHN, Google_RE_UHN; folders may lie between (TREx/high_ranked/P19.jsonl). As LAMA's own code does, a fact of
T-REx gets the template of relations.jsonl, beside their folders, and one of Google-RE that was judged that of
the code; other records, and T-REx's without that file, are read as their `masked_sentences` stand.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec.json import Decoder

from pipelines.importing.source import Source
from pipelines.sources.published import File, Published
from pipelines.sources.tasks import Tasks, mention, read_json_lines
from pipelines.transforms.entities import find_mention
from schemas.errors import DataError

MASK = "[MASK]"
SUBSETS = {"trex": "T-REx", "googlere": "Google-RE", "conceptnet": "ConceptNet", "squad": "SQuAD"}
"""Folder, in small letters only -> subset; with "uhn" behind it UHN-T-REx or UHN-Google-RE."""
GOOGLE_RE = {
    "place_of_birth": ("P19", "[X] was born in [Y] ."),
    "date_of_birth": ("P569", "[X] (born [Y])."),
    "place_of_death": ("P20", "[X] died in [Y] ."),
}
"""File -> (Wikidata property, template in LAMA's code)."""
RELATIONS = "relations.jsonl"


class _Judgment(msgspec.Struct):
    judgment: str


class _Probe(msgspec.Struct):
    obj_label: str
    sub_label: str = ""
    sub: str = ""
    sub_uri: str = ""
    obj_uri: str = ""
    pred: str = ""
    predicate_id: str = ""
    masked_sentences: list[str] | None = None
    judgments: list[_Judgment] | None = None


class _Relation(msgspec.Struct):
    relation: str
    template: str
    label: str | None = None
    description: str | None = None


def read(format: str, files: Published) -> Source:
    """Task probing: text with one [MASK], answers = [object], group = subset, relation = the Wikidata property.

    The subject is the mention. Every record is an example; which of them count is the evaluation's choice.
    """
    tasks, relations = Tasks("probing"), {}
    found = _files(files.source)
    if file := next((file for file in found if file.name == RELATIONS), None):
        tasks.ledger.files[f"relations {RELATIONS}"] = file
        relations = {record.relation: record for _, record in read_json_lines(file, Decoder(_Relation))}
    for subset, file in _subsets(files.source, [file for file in found if file.name != RELATIONS]):
        tasks.open(file, subset)
        for number, probe in read_json_lines(file, Decoder(_Probe)):
            _add(tasks, subset, file.name.removesuffix(".jsonl"), number, probe, relations)
    for name in tasks.relations.keys() & relations.keys():
        tasks.relations[name] = relations[name].label, relations[name].description
    return tasks.source("cc-by-nc-4.0", kind="item")


def _files(folder: Path) -> list[File]:
    """All files of JSON lines in the folder and in those below it, the outer ones first."""
    folders = [folder, *sorted(path for path in folder.rglob("*") if path.is_dir())] if folder.is_dir() else []
    return [file for own in folders for file in Published(own).all() if file.name.endswith(".jsonl")]


def _subsets(folder: Path, files: Sequence[File]) -> Iterator[tuple[str, File]]:
    """(subset, file) of each file of probes."""
    if not files:
        raise DataError(f"{folder}: no file of LAMA in it, expected TREx/P19.jsonl and the like. Check --from.")
    for file in files:
        parents = reversed([folder.absolute().name, *file.path.relative_to(folder).parts[:-1]])
        subset = next(filter(None, map(_subset, parents)), None)
        if subset is None:
            expected = "TREx, Google_RE, ConceptNet, Squad, TREx_UHN or Google_RE_UHN"
            raise DataError(f"{file}: in no folder of a subset of LAMA, expected {expected}. Put it there.")
        yield subset, file


def _subset(name: str) -> str | None:
    letters = re.sub("[^a-z]", "", name.lower())
    base = letters.removesuffix("uhn").removeprefix("lama")
    return None if base not in SUBSETS else ("UHN-" if base != letters.removeprefix("lama") else "") + SUBSETS[base]


def _add(tasks: Tasks, subset: str, stem: str, number: int, probe: _Probe, relations: Mapping[str, _Relation]) -> None:
    relation, template = GOOGLE_RE.get(stem.removesuffix("_test"), (probe.predicate_id or probe.pred, None))
    if re.fullmatch(r"P[0-9]+", stem):
        relation = stem
        template = relations[relation].template if relation in relations else None
    example_id = f"{subset}/{stem}/{number - 1:06d}"
    subject = probe.sub_label or probe.sub
    judged = [judgment.judgment == "yes" for judgment in probe.judgments or ()]
    if template is not None and (relation == stem or judged):
        text = template.replace("[X]", subject).replace("[Y]", MASK)
    elif probe.masked_sentences is not None:
        text = " ".join(probe.masked_sentences)
    else:
        tasks.reject(subset, example_id, "no_template", f"relation {relation!r} is not in {RELATIONS}")
        return
    if judged.count(False) > judged.count(True):
        tasks.reject(subset, example_id, "judged_wrong", f"{judged.count(True)} yes, {judged.count(False)} no")
    elif text.count(MASK) != 1:
        tasks.reject(subset, example_id, "not_one_mask", f"{text.count(MASK)} times {MASK} in {text[:100]!r}")
    else:
        for entity, label in ((probe.sub_uri, subject), (probe.obj_uri, probe.obj_label)):
            if entity:
                tasks.name(entity, label)
        if relation:
            tasks.relations.setdefault(relation, (None, None))
        place = find_mention(text, [subject])
        mentions = [mention((place["start"], place["end"]), probe.sub_uri or None, "head")] if place else []
        columns = {"mentions": mentions, "answers": [probe.obj_label], "relation": relation or None}
        tasks.add(subset, example_id, "test", subset, text, **columns)
