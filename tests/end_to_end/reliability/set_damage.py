"""Kinds of damage to the files of a dataset and of a checkpoint, as functions of (folder, another whole one, draw).

`draw(n)` is a number below n that belongs to the try: it says which file is damaged, and where.
"""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from schemas.manifest import read_manifest
from schemas.seal import sealed

Draw = Callable[[int], int]
Damage = Callable[[Path, Path, Draw], None]


def _shards(folder: Path) -> list[Path]:
    """Those of the dataset and of its tokens."""
    return sorted(path for path in folder.rglob("*.parquet") if ".build" not in path.parts)


def _shard(folder: Path, draw: Draw) -> Path:
    found = _shards(folder)
    return found[draw(len(found))]


def _in_place(change: Callable[[bytes, Draw], bytes]) -> Damage:
    def damage(folder: Path, other: Path, draw: Draw) -> None:
        path = _shard(folder, draw)
        path.write_bytes(change(path.read_bytes(), draw))

    return damage


def lose_a_shard(folder: Path, other: Path, draw: Draw) -> None:
    _shard(folder, draw).unlink()


def repeat_a_shard_under_another_name(folder: Path, other: Path, draw: Draw) -> None:
    path = _shard(folder, draw)
    shutil.copy(path, path.with_name("train-00007-of-00009.parquet"))


def swap_two_shards(folder: Path, other: Path, draw: Draw) -> None:
    one, two = _two(folder, draw)
    data = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(data)


def put_one_shard_in_place_of_another(folder: Path, other: Path, draw: Draw) -> None:
    one, two = _two(folder, draw)
    shutil.copy(one, two)


def _two(folder: Path, draw: Draw) -> list[Path]:
    found = _shards(folder)
    first = draw(len(found))
    return [found.pop(first), found[draw(len(found))]]


def take_a_shard_of_another_dataset(folder: Path, other: Path, draw: Draw) -> None:
    path = _shard(folder, draw)
    shutil.copy(other / path.relative_to(folder), path)


def put_a_folder_in_place_of_a_shard(folder: Path, other: Path, draw: Draw) -> None:
    path = _shard(folder, draw)
    path.unlink()
    path.mkdir()


def put_a_pipe_in_place_of_a_shard(folder: Path, other: Path, draw: Draw) -> None:
    path = _shard(folder, draw)
    path.unlink()
    os.mkfifo(path)


def link_a_shard(folder: Path, other: Path, draw: Draw) -> None:
    path = _shard(folder, draw)
    outside = path.rename(folder.parent / "outside.parquet")
    path.symlink_to(outside)


def link_a_folder_of_shards(folder: Path, other: Path, draw: Draw) -> None:
    path = _shard(folder, draw).parent
    outside = path.rename(folder.parent / "outside")
    path.symlink_to(outside)


def link_the_tokens(folder: Path, other: Path, draw: Draw) -> None:
    outside = (folder / "tokens").rename(folder.parent / "outside")
    (folder / "tokens").symlink_to(outside)


def take_tokens_of_another_dataset(folder: Path, other: Path, draw: Draw) -> None:
    shutil.rmtree(folder / "tokens")
    shutil.copytree(other / "tokens", folder / "tokens")


def take_a_token_table_of_another_dataset(folder: Path, other: Path, draw: Draw) -> None:
    """With the entry of its manifest, sealed: every file is whole."""
    ours, theirs = (one / "tokens/small" for one in (folder, other))
    tables = sorted(read_manifest(ours).tables)
    name = tables[draw(len(tables))]
    shutil.rmtree(ours / name.removeprefix("tokens_"))
    shutil.copytree(theirs / name.removeprefix("tokens_"), ours / name.removeprefix("tokens_"))
    entry = json.loads((theirs / "manifest.json").read_text())["tables"][name]
    _edit(ours / "manifest.json", lambda document: document["tables"].update({name: entry}))


def take_a_table_of_another_dataset(folder: Path, other: Path, draw: Draw) -> None:
    """With the entry of its manifest, sealed: every file is whole."""
    name = ("entities", "pages", "wk_graphs", "anchors", "triples")[draw(5)]
    shutil.rmtree(folder / name)
    shutil.copytree(other / name, folder / name)
    entry = json.loads((other / "manifest.json").read_text())["tables"][name]
    _edit(folder / "manifest.json", lambda document: document["tables"].update({name: entry}))


def lose_the_tokenizer(folder: Path, other: Path, draw: Draw) -> None:
    (folder / "tokens/small/tokenizer.json").unlink()


def take_another_tokenizer(folder: Path, other: Path, draw: Draw) -> None:
    shutil.copy(other / "tokens/small/tokenizer.json", folder / "tokens/small/tokenizer.json")


def lose_the_card(folder: Path, other: Path, draw: Draw) -> None:
    (folder / "README.md").unlink()


def _manifest(folder: Path, draw: Draw) -> Path:
    return folder / ("manifest.json" if draw(2) else "tokens/small/manifest.json")


def take_the_manifest_of_another_dataset(folder: Path, other: Path, draw: Draw) -> None:
    path = _manifest(folder, draw)
    shutil.copy(other / path.relative_to(folder), path)


def lose_the_manifest(folder: Path, other: Path, draw: Draw) -> None:
    (folder / "manifest.json").unlink()


def link_the_manifest(folder: Path, other: Path, draw: Draw) -> None:
    path = _manifest(folder, draw)
    outside = path.rename(folder.parent / "outside.json")
    path.symlink_to(outside)


def _manifest_is(content: Callable[[bytes, Draw], bytes]) -> Damage:
    def damage(folder: Path, other: Path, draw: Draw) -> None:
        path = _manifest(folder, draw)
        path.write_bytes(content(path.read_bytes(), draw))

    return damage


def _edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a manifest, and seal it: nothing but what it says is wrong."""
    document = json.loads(path.read_text())
    seal = document.pop("seal")
    assert seal
    change(document)
    path.write_text(sealed(document))


def _document(change: Callable[[dict[str, Any]], object]) -> Damage:
    def damage(folder: Path, other: Path, draw: Draw) -> None:
        _edit(_manifest(folder, draw), change)

    return damage


def _entry(change: Callable[[dict[str, Any]], object]) -> Damage:
    """A change of what a manifest says of one table."""

    def damage(folder: Path, other: Path, draw: Draw) -> None:
        def of_one(document: dict[str, Any]) -> None:
            # A table without rows says hardly anything that could be wrong.
            names = [name for name, entry in document["tables"].items() if entry["rows"]]
            change(document["tables"][names[draw(len(names))]])

        _edit(_manifest(folder, draw), of_one)

    return damage


def _named(name: object) -> Damage:
    return _entry(lambda entry: entry["shards"][0].update(path=name))


def _says(key: str, value: object) -> Damage:
    return _entry(lambda entry: entry.update({key: value}))


def _says_of_a_shard(key: str, value: object) -> Damage:
    return _entry(lambda entry: entry["shards"][0].update({key: value}))


VALUES: dict[str, object] = {
    "null": None,
    "a text": "many",
    "a list": [1],
    "a float": 3.0,
    "true": True,
    "-1": -1,
    "2^63": 2**63,
    "10^40": 10**40,
}
"""What no count may be."""
NAMES: dict[str, object] = {
    "nothing": "",
    "a dot": ".",
    "a number": 7,
    "up": "../x.parquet",
    "up within": "pages/../../x.parquet",
    "absolute": "/etc/passwd",
    "of Windows": "C:\\x.parquet",
    "with NUL": "pages/\0.parquet",
    "long": "pages/" + "x" * 5_000,
    "a lone surrogate": "pages/\\ud800.parquet",
    "the manifest": "manifest.json",
    "hidden": ".build/lock",
}
SHARDS: dict[str, Damage] = {
    "a shard is missing": lose_a_shard,
    "a shard is empty": _in_place(lambda data, draw: b""),
    "a shard is cut": _in_place(lambda data, draw: data[: draw(len(data))]),
    "a shard lacks its last byte": _in_place(lambda data, draw: data[:-1]),
    "a shard has a byte too many": _in_place(lambda data, draw: data + b"\0"),
    "a shard is zeros": _in_place(lambda data, draw: bytes(len(data))),
    "a shard's footer is zeros": _in_place(lambda data, draw: data[:-200] + bytes(192) + data[-8:]),
    "a shard's footer is said to be of 2 GB": _in_place(lambda data, draw: data[:-8] + b"\xff\xff\xff\x7fPAR1"),
    "a shard is an HTML page": _in_place(lambda data, draw: b"<!doctype html><title>404</title>"),
    "a shard has a hole": _in_place(lambda data, draw: data[: len(data) // 2] + data[len(data) // 2 + 64 :]),
    "a shard is there twice": repeat_a_shard_under_another_name,
    "two shards are swapped": swap_two_shards,
    "a shard is another": put_one_shard_in_place_of_another,
    "a shard is another dataset's": take_a_shard_of_another_dataset,
    "a shard is a folder": put_a_folder_in_place_of_a_shard,
    "a shard is a pipe": put_a_pipe_in_place_of_a_shard,
    "a shard is a link": link_a_shard,
    "a table's folder is a link": link_a_folder_of_shards,
    "a table is another dataset's": take_a_table_of_another_dataset,
    "tokens are a link": link_the_tokens,
    "tokens are another dataset's": take_tokens_of_another_dataset,
    "a token table is another dataset's": take_a_token_table_of_another_dataset,
    "the tokenizer is missing": lose_the_tokenizer,
    "the tokenizer is another": take_another_tokenizer,
    "the card is missing": lose_the_card,
}
MANIFESTS: dict[str, Damage] = {
    "a manifest is another dataset's": take_the_manifest_of_another_dataset,
    "the manifest is missing": lose_the_manifest,
    "a manifest is a link": link_the_manifest,
    "a manifest is empty": _manifest_is(lambda data, draw: b""),
    "a manifest is cut": _manifest_is(lambda data, draw: data[: draw(len(data) - 3)]),
    "a manifest is a list": _manifest_is(lambda data, draw: b"[]"),
    "a manifest is null": _manifest_is(lambda data, draw: b"null"),
    "a manifest is no UTF-8": _manifest_is(lambda data, draw: b"\xff" + data),
    "a manifest is nested deeply": _manifest_is(lambda data, draw: b"[" * 200_000),
    "a manifest has a number of 5,000 digits": _manifest_is(
        lambda data, draw: data.replace(b'"rows": ', b'"rows": ' + b"9" * 5_000, 1)
    ),
    "a manifest has NaN": _manifest_is(lambda data, draw: data.replace(b'"rows": ', b'"rows": NaN, "was": ', 1)),
    "a manifest is blank in one place": _manifest_is(lambda data, draw: data.replace(b"\n ", b"\n  ", 1)),
    "a manifest has no seal": _manifest_is(lambda data, draw: data.replace(b'"seal"', b'"sael"')),
    "tables are missing": _document(lambda document: document.pop("tables")),
    "tables are a list": _document(lambda document: document.update(tables=[1])),
    "a table is null": _document(lambda document: document["tables"].update(relations=None)),
    "a table is missing": _document(lambda document: document["tables"].pop("relations", None)),
    "a table is unknown": _document(lambda document: document["tables"].update(persons=document["tables"]["entities"])),
    "the digest is missing": _document(lambda document: document.pop("digest")),
    "the digest is a number": _document(lambda document: document.update(digest=7)),
    "shards are null": _says("shards", None),
    "a shard is null": _says("shards", [None]),
    "there are no shards": _says("shards", []),
    "a shard is named twice": _entry(lambda entry: entry["shards"].append(entry["shards"][0])),
    "a shard has one key more": _says_of_a_shard("codec", "zstd"),
    "the version is 99": _says("schema_version", 99),
    "rows are one more": _entry(lambda entry: entry.update(rows=entry["rows"] + 1)),
    "a shard's rows are one more": _entry(lambda entry: entry["shards"][0].update(rows=entry["shards"][0]["rows"] + 1)),
    "row groups are 10^9": _says_of_a_shard("row_groups", 10**9),
    "a checksum is another": _says_of_a_shard("sha256", "0" * 64),
    "a table's digest is another": _says("digest", "0" * 64),
    **{f"rows are {name}": _says("rows", value) for name, value in VALUES.items()},
    **{f"bytes of a shard are {name}": _says_of_a_shard("bytes", value) for name, value in VALUES.items()},
    **{f"a shard's name is {name}": _named(value) for name, value in NAMES.items()},
}


def _part(kind: str) -> Callable[[Path], Path]:
    return lambda folder: next(iter(sorted(folder.glob(f"{kind}*" if kind == "memory" else f"{kind}/*"))))


def _of_a_part(change: Callable[[bytes, Draw], bytes], kind: str) -> Damage:
    def damage(folder: Path, other: Path, draw: Draw) -> None:
        path = _part(kind)(folder)
        path.write_bytes(change(path.read_bytes(), draw))

    return damage


def _foreign(kind: str) -> Damage:
    return lambda folder, other, draw: shutil.copy(_part(kind)(other), _part(kind)(folder)) and None


def _without(kind: str) -> Damage:
    return lambda folder, other, draw: _part(kind)(folder).unlink()


def _twice(kind: str) -> Damage:
    def damage(folder: Path, other: Path, draw: Draw) -> None:
        path = _part(kind)(folder)
        shutil.copy(path, path.with_name(path.name.replace("00001.", "00002.")))

    return damage


def _state_is(change: Callable[[bytes, Draw], bytes]) -> Damage:
    def damage(folder: Path, other: Path, draw: Draw) -> None:
        (folder / "state.json").write_bytes(change((folder / "state.json").read_bytes(), draw))

    return damage


def swap_model_and_optimizer(folder: Path, other: Path, draw: Draw) -> None:
    model, optimizer = (_part(kind)(folder) for kind in ("model", "optimizer"))
    data = model.read_bytes()
    model.write_bytes(optimizer.read_bytes())
    optimizer.write_bytes(data)


def take_another_state(folder: Path, other: Path, draw: Draw) -> None:
    shutil.copy(other / "state.json", folder / "state.json")


def lose_the_state(folder: Path, other: Path, draw: Draw) -> None:
    (folder / "state.json").unlink()


KINDS: Sequence[str] = ("model", "optimizer", "memory")
CHECKPOINTS: dict[str, Damage] = {
    **{f"{kind} is missing": _without(kind) for kind in KINDS},
    **{f"{kind} is there twice": _twice(kind) for kind in KINDS},
    **{f"{kind} is empty": _of_a_part(lambda data, draw: b"", kind) for kind in KINDS},
    **{f"{kind} is cut": _of_a_part(lambda data, draw: data[: draw(len(data))], kind) for kind in KINDS},
    **{f"{kind} is zeros": _of_a_part(lambda data, draw: bytes(len(data)), kind) for kind in KINDS},
    **{f"{kind} has a byte too many": _of_a_part(lambda data, draw: data + b"\0", kind) for kind in KINDS},
    **{f"{kind} is another step's": _foreign(kind) for kind in KINDS},
    "model and optimizer are swapped": swap_model_and_optimizer,
    "the state is another step's": take_another_state,
    "the state is missing": lose_the_state,
    "the state is empty": _state_is(lambda data, draw: b""),
    "the state is cut": _state_is(lambda data, draw: data[: draw(len(data) - 3)]),
    "the state is a list": _state_is(lambda data, draw: b"[]"),
    "the state is nested deeply": _state_is(lambda data, draw: b"[" * 200_000),
    "the state's bytes are a text": _state_is(lambda data, draw: data.replace(b'"bytes": {', b'"bytes": "x", "y": {')),
    "the state is of a later version": _state_is(lambda data, draw: data.replace(b'"version": 4', b'"version": 5')),
    "the state says another step": _state_is(lambda data, draw: data.replace(b'"step": 2', b'"step": 1', 1)),
}
