"""Copies of places in a store: equal before a command, copied back behind it, and whole in every moment."""

import bz2
import shutil
import threading
from types import SimpleNamespace

import pytest

from schemas import store
from schemas.errors import DataError, UsageError
from schemas.store import Mirror, mirrored
from tests.conftest import digest
from wikiloom import main


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WIKILOOM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def place(tmp_path):
    """A folder that stands for a store's, with two files."""
    folder = tmp_path / "store/dataset"
    (folder / "pages").mkdir(parents=True)
    (folder / "pages/one").write_text("1")
    (folder / "manifest.json").write_text("{}")
    return folder


def uri(folder):
    return f"file://{folder}"


def names(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def copying(monkeypatch):
    """The names that are copied from now on, in order: (from the store, to it)."""
    fetched, pushed, get, put = [], [], Mirror._get, Mirror._put
    monkeypatch.setattr(Mirror, "_get", lambda mirror, name, info: (fetched.append(name), get(mirror, name, info))[1])
    monkeypatch.setattr(Mirror, "_put", lambda mirror, name: (pushed.append(name), put(mirror, name))[1])
    return fetched, pushed


def test_words_are_replaced_by_copies_and_what_is_written_is_copied_back(place):
    with mirrored(["train", f"--data={uri(place)}", "--out", uri(place.parent / "run"), "x"]) as (
        _,
        data,
        _,
        out,
        last,
    ):
        data, out = (store.Path(word.removeprefix("--data=")) for word in (data, out))
        assert (last, data.name, out.name) == ("x", "dataset", "run")
        assert (data / "pages/one").read_text() == "1" and not out.exists()
        out.mkdir()
        (out / "config.toml").write_text("a = 1")
        (out / ".unfinished").write_text("")
        (data / "pages/one").write_text("11")
        (data / "pages/two").write_text("2")
        (data / "manifest.json").unlink()
    assert names(place.parent) == {"run/config.toml", "dataset/pages/one", "dataset/pages/two"}
    assert (place / "pages/one").read_text() == "11"


def test_names_that_begin_with_a_dot_stay_here(place):
    mirror = Mirror(uri(place))
    mirror.fetch()
    (mirror.path / ".build").mkdir()
    (mirror.path / ".build/key.json").write_text("")
    (mirror.path / "pages/.one.tmp").write_text("")
    assert mirror.push() == 0
    mirror.fetch()
    assert names(mirror.path) == {"manifest.json", "pages/one", ".build/key.json", "pages/.one.tmp"}


def test_a_compressed_file_is_copied_as_it_is(place):
    (place / "dump.bz2").write_bytes(bz2.compress(b"x"))
    with mirrored([uri(place)]) as (copy,):
        assert (store.Path(copy) / "dump.bz2").read_bytes() == bz2.compress(b"x")
        (store.Path(copy) / "table.gz").write_bytes(b"no gzip at all")
    assert (place / "table.gz").read_bytes() == b"no gzip at all"


def test_an_equal_copy_is_not_fetched_again_and_what_differs_is(place, monkeypatch):
    with mirrored([uri(place)]) as (copy,):
        (store.Path(copy) / "pages/two").write_text("2")
    fetched, pushed = copying(monkeypatch)
    with mirrored([uri(place)]):
        pass
    assert fetched == pushed == []
    (place / "pages/two").write_text("3")
    (place / "pages/one").unlink()
    with mirrored([uri(place)]) as (copy,):
        assert names(store.Path(copy)) == {"manifest.json", "pages/two"}
        assert (store.Path(copy) / "pages/two").read_text() == "3"
    assert (fetched, pushed) == (["pages/two"], [])


def test_a_command_that_fails_leaves_what_it_has_written(place):
    with pytest.raises(ZeroDivisionError), mirrored([uri(place)]) as (copy,):
        (store.Path(copy) / "saved").write_text("!")
        raise ZeroDivisionError
    assert (place / "saved").read_text() == "!"


def test_what_says_that_all_is_whole_is_copied_last_and_the_old_is_removed_then(place, monkeypatch):
    mirror = Mirror(uri(place))
    mirror.fetch()
    for name in ("manifest.json", "checkpoints/step-1/state.json", "checkpoints/step-1/a", "z"):
        (mirror.path / name).parent.mkdir(parents=True, exist_ok=True)
        (mirror.path / name).write_text("new")
    (mirror.path / "pages/one").unlink()
    _, pushed = copying(monkeypatch)
    monkeypatch.setattr(mirror, "_remote", lambda name: (pushed.append(name), f"{place}/{name}")[1])
    assert mirror.push() == 5
    assert pushed[0] == "manifest.json" and set(pushed[1:5]) == {"checkpoints/step-1/a", "z"}
    assert pushed[5:] == ["checkpoints/step-1/state.json"] * 2 + ["manifest.json"] * 2 + ["pages/one"]
    assert mirror.push() == 0


@pytest.mark.parametrize("written", [True, False])
def test_no_manifest_speaks_of_files_of_which_half_are_others(place, monkeypatch, written):
    mirror = Mirror(uri(place))
    mirror.fetch()
    (mirror.path / "pages/one").write_text("11")
    (mirror.path / "pages/two").write_text("2")
    if written:
        (mirror.path / "manifest.json").write_text("{ }")
    else:
        (mirror.path / "manifest.json").unlink()  # as a build does before it changes tables
    put = Mirror._put
    monkeypatch.setattr(Mirror, "_put", lambda mirror, name: put(mirror, name) if name == "pages/one" else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        mirror.push()
    assert names(place) == {"pages/one"}
    monkeypatch.setattr(Mirror, "_put", put)
    mirror.push()
    assert names(place) == {"pages/one", "pages/two"} | ({"manifest.json"} if written else set())


def test_what_is_written_is_copied_while_the_command_runs(place, monkeypatch):
    monkeypatch.setattr(store, "PUSH_SECONDS", 0.01)
    with mirrored([uri(place)]) as (copy,):
        (store.Path(copy) / "early").write_text("!")
        for _ in range(1_000):
            if (place / "early").exists():
                break
            store.threading.Event().wait(0.01)
        assert (place / "early").read_text() == "!"


def test_a_checkpoint_whose_copying_was_cut_off_is_not_fetched(place):
    for step, files in (("step-1", ("a", "state.json")), ("step-2", ("a",))):
        for name in files:
            (place / "checkpoints" / step).mkdir(parents=True, exist_ok=True)
            (place / "checkpoints" / step / name).write_text("")
    with mirrored([uri(place)]) as (copy,):
        assert {path.name for path in (store.Path(copy) / "checkpoints").iterdir()} == {"step-1"}


def test_a_name_that_leads_out_of_the_folder_is_refused(place):
    mirror = Mirror(uri(place))
    mirror.path.mkdir(parents=True)
    with pytest.raises(DataError, match="leads out of its folder"):
        mirror._get("../x", None)


def test_ranks_of_several_hosts_share_a_disk_for_what_they_write(place, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "2")
    for words in (["--out", uri(place)], [f"--out={uri(place)}"]):
        with pytest.raises(UsageError, match="a disk that they share"), mirrored(words):
            pass
    with mirrored(["--data", uri(place), "--out", "/shared"]) as (_, data, _, out):
        assert (out, names(store.Path(data))) == ("/shared", {"manifest.json", "pages/one"})
        (store.Path(data) / "new").write_text("")
    assert not (place / "new").exists()  # the first rank copies back


def test_a_rank_leaves_the_run_to_the_first_of_its_host(place, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("LOCAL_RANK", "1")
    with mirrored(["--out", uri(place)]) as (_, out):
        assert not store.Path(out).exists()


def test_commands_take_a_place_in_a_store(demo_dataset, tmp_path, capsys):
    shutil.copytree(demo_dataset, tmp_path / "store/d", ignore=shutil.ignore_patterns(".build"))
    assert main(["validate", uri(tmp_path / "store/d")]) == 0
    assert "ok" in capsys.readouterr().out
    assert digest(next((tmp_path / "cache").glob("*/d"))) == digest(demo_dataset)


def test_a_place_where_nothing_is_is_told_in_one_line(tmp_path, capsys):
    assert main(["validate", uri(tmp_path / "none")]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("rank", ["0", "1"])
def test_an_error_names_the_place_and_not_its_copy(place, monkeypatch, capsys, rank):
    monkeypatch.setenv("RANK", rank)
    assert main(["validate", uri(place) + "/"]) == 1
    assert capsys.readouterr().err.startswith(f"error: {uri(place)}/manifest.json is not a manifest")
    for words in (["build", f"--wikipedia={uri(place)}/pages/one", "--out", "o"], ["diff", uri(place), "nowhere"]):
        assert main(words) != 0
        told = capsys.readouterr().err
        assert f"error: {uri(place)}" in told and "cache" not in told, told


def test_a_file_of_which_less_comes_than_there_is_is_tried_again_and_then_told(place, monkeypatch):
    listed = Mirror._listed

    def longer(mirror):
        return {
            name: SimpleNamespace(path=info.path, size=info.size + 1, mtime_ns=info.mtime_ns)
            for name, info in listed(mirror).items()
        }

    monkeypatch.setattr(Mirror, "_listed", longer)
    fetched, _ = copying(monkeypatch)
    mirror = Mirror(uri(place))
    with pytest.raises(DataError, match=r"(1 of 2 bytes came of pages/one|2 of 3 bytes came of manifest)\S*\. Check"):
        mirror.fetch()
    assert max(map(fetched.count, fetched)) == store.TRIES == 3
    assert not (mirror.path / "pages/one").exists()


def test_files_of_several_chunks_and_a_file_as_the_place_are_copied_whole(place, monkeypatch):
    monkeypatch.setattr(store, "CHUNK", 3)
    (place / "pages/one").write_text("0123456789")
    with mirrored(["describe", uri(place / "pages/one")]) as (_, word):
        path = store.Path(word)
        assert path.name == "one" and path.read_text() == "0123456789"
        path.write_text("abcdefgh")
    assert (place / "pages/one").read_text() == "abcdefgh"
    assert names(place) == {"pages/one", "manifest.json"}


def test_what_was_copied_back_is_known_by_the_next_command(place, monkeypatch, capsys):
    with mirrored(["x", uri(place)]) as (_, word):
        (store.Path(word) / "pages/two").write_text("2")
    assert capsys.readouterr().err == f"copied to {uri(place)}\n"
    fetched, pushed = copying(monkeypatch)
    with mirrored(["x", uri(place) + "/"]) as (_, again):
        assert again == word
    assert fetched == pushed == [] and capsys.readouterr().err == ""
    (place / "pages/one").write_text("3")
    with mirrored(["x", uri(place)]):
        pass
    assert fetched == ["pages/one"]


def opening(monkeypatch, kind):
    """The options with which such a store is opened from now on; it is this disk."""
    opened, local = [], store.fs.LocalFileSystem()
    monkeypatch.setattr(store.fs, kind, lambda **options: (opened.append(options), local)[1])
    return opened


VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (("", "", "", ""), {"region": "of bucket"}),
        (("", "", "eu", "us"), {"region": "eu"}),
        (("", "", "", "us"), {"region": "us"}),
        (("", "http://h:1", "", ""), {"scheme": "http", "endpoint_override": "h:1"}),
        (("h:2", "http://h:1", "eu", ""), {"scheme": "https", "endpoint_override": "h:2", "region": "eu"}),
    ],
)
def test_s3_is_opened_by_its_own_environment(monkeypatch, values, expected):
    for name, value in zip(VARIABLES, values, strict=True):
        monkeypatch.setenv(name, value)
    opened = opening(monkeypatch, "S3FileSystem")
    monkeypatch.setattr(store.fs, "AwsStandardS3RetryStrategy", lambda max_attempts: max_attempts)
    monkeypatch.setattr(store.fs, "resolve_s3_region", lambda bucket: f"of {bucket}")
    store._open_store("s3", "bucket/a/b")
    assert opened == [{"retry_strategy": 10, **expected}]


def test_a_bucket_without_region_is_told_and_gs_is_googles(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)

    def refuses(bucket):
        raise OSError("n" * 301 + "\nmore")

    monkeypatch.setattr(store.fs, "resolve_s3_region", refuses)
    with pytest.raises(DataError, match=f"^s3://bucket/a: {'n' * 300}\\. Check the place"):
        store._open_store("s3", "bucket/a")
    opened = opening(monkeypatch, "GcsFileSystem")
    store._open_store("gs", "bucket/a")
    assert opened == [{}]


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (["train", "--out", "s3://b/x"], "s3://b/x"),
        (["train", "--out=gs://b/x", "--data", "s3://b/y"], "gs://b/x"),
        (["train", "--data", "s3://b/y", "--out", "here"], None),
        (["s3://b/y"], None),
        (["--out"], None),
    ],
)
def test_the_place_that_is_written_to_is_outs(words, place):
    assert store._written_to(words) == place


def test_copies_lie_in_the_users_cache_where_no_other_is_named(place, tmp_path, monkeypatch):
    monkeypatch.delenv("WIKILOOM_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    path, other = Mirror(uri(place)).path, Mirror(uri(place.parent / "other/dataset")).path
    assert path.parents[1] == tmp_path / "home/.cache/wikiloom" and path.name == other.name == "dataset"
    assert path.parent != other.parent and len(path.parent.name) == 16


def test_a_copy_that_fails_while_the_command_runs_is_a_warning_and_comes_at_the_end(place, monkeypatch, capsys):
    monkeypatch.setattr(store, "PUSH_SECONDS", 0.01)
    failed, push = threading.Event(), Mirror.push

    def fails_once(mirror):
        if not failed.is_set():
            failed.set()
            raise DataError("the store is away")
        return push(mirror)

    monkeypatch.setattr(Mirror, "push", fails_once)
    with mirrored(["x", uri(place)]) as (_, word):
        (store.Path(word) / "two").write_text("2")
        assert failed.wait(30)
    assert (place / "two").read_text() == "2"
    assert "warning: the store is away\n" in capsys.readouterr().err


def test_a_store_that_is_not_this_disk_is_asked_for_no_folder(place):
    mirror = Mirror(uri(place))
    mirror.fetch()
    mirror._store = store.fs.SubTreeFileSystem("/", store.fs.LocalFileSystem())
    (mirror.path / "pages/two").write_text("2")
    assert mirror.push() == 1
    assert (place / "pages/two").read_text() == "2"


def test_what_another_has_changed_since_is_fetched_by_the_next_command(place, monkeypatch):
    mirror, (fetched, _) = Mirror(uri(place)), copying(monkeypatch)
    mirror.fetch()
    (place / "pages/one").write_text("another's")
    mirror._take_times()
    Mirror(uri(place)).fetch()
    assert fetched.count("pages/one") == 2 and (mirror.path / "pages/one").read_text() == "another's"
