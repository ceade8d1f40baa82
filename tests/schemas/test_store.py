"""Copies of places in a store: equal before a command, copied back behind it, and whole in every moment."""

import bz2
import shutil

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
    assert set(pushed[:4]) == {"checkpoints/step-1/a", "z"}
    assert pushed[4:] == ["checkpoints/step-1/state.json"] * 2 + ["manifest.json"] * 2 + ["pages/one"]
    assert mirror.push() == 0


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
