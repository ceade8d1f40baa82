"""The mutants: what mistakes are made, and that tests which notice too little are told."""

import pytest

from tests.end_to_end.reliability import mutants
from tests.end_to_end.reliability.mutants import PARTS, ROOT, Part, explained, in_order, key, run
from tests.end_to_end.reliability.mutation import compiled
from tests.end_to_end.reliability.mutation import mutants as mutants_of

SOURCE = '''"""A docstring."""
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import json


def clipped(number: int = 0, *, most: int | None = None) -> int:
    """Another."""
    if number < 3 and not most:
        return sum([number, most][:1])
    for one, other in zip([1], [2], strict=True):
        number -= one
    return max(number, one, 2)
'''


def test_the_mistakes_of_a_function_are_these_and_no_others():
    found = [(one.line, one.what) for one in mutants_of("a.py", SOURCE)]
    assert sorted(found) == sorted(
        [
            (8, "0 -> 1"),
            (8, "0 -> -1"),
            (10, "And -> Or"),
            (10, "condition negated"),
            (10, "Lt -> LtE"),
            (10, "Lt -> GtE"),
            (10, "3 -> 4"),
            (10, "3 -> 2"),
            (10, "Not removed"),
            (11, "returns None"),
            (11, "upper bound removed"),
            (11, "1 -> 2"),
            (11, "1 -> 0"),
            (12, "arguments 1 and 2 swapped"),
            (12, "1 -> 2"),
            (12, "1 -> 0"),
            (12, "2 -> 3"),
            (12, "2 -> 1"),
            (13, "Sub -> Add"),
            (13, "statement removed"),
            (14, "returns None"),
            (14, "arguments 1 and 2 swapped"),
            (14, "arguments 2 and 3 swapped"),
            (14, "2 -> 3"),
            (14, "2 -> 1"),
        ]
    )


@pytest.mark.parametrize(
    ("source", "what", "value"),
    [
        ("x = 7 - 2", "Sub -> Add", 9),
        ("x = [1, 2, 3][1:]", "lower bound removed", [1, 2, 3]),
        ("x = 2 if 1 > 1 else 3", "Gt -> GtE", 2),
        ("x = [n for n in range(4) if n % 2]", "condition removed", [0, 1, 2, 3]),
        ("x = divmod(7, 2)", "arguments 1 and 2 swapped", (0, 2)),
        ("x = -3", "USub removed", 3),
        ("x = 1\nx += 4", "statement removed", 1),
        ("def f():\n    return 5\nx = f()", "returns None", None),
        ("x = True", "True -> False", False),
        ("x = 3 if [] else 4", "condition negated", 3),
    ],
)
def test_a_mutant_runs_as_its_mistake_says(source, what, value):
    [one] = [one for one in mutants_of("a.py", source) if one.what == what]
    held = {}
    exec(compiled(one, source, "a.py"), held)
    assert held["x"] == value


def test_mutants_compile_and_those_that_are_explained_are_there():
    for one in in_order(PARTS[1])[::20]:
        compiled(one, (ROOT / one.file).read_text(encoding="utf-8"), one.file)
    known = explained()
    there = {file: mutants_of(file, (ROOT / file).read_text(encoding="utf-8")) for file, _, _, _ in known}
    assert known.keys() <= {key(PARTS[0], one) for every in there.values() for one in every}
    assert all(len(why.split()) > 3 for why in known.values())


CODE = """
LIMIT = 3


def is_small(number):
    return number < LIMIT


def loop(number):
    while number > 0:
        number -= 1
    return number
"""
TESTS = """
from small import code


def test_loop():
    assert code.loop(3) == 0


def test_is_small():
    assert code.is_small(1) and not code.is_small(9)
"""


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A part of its own: a bound that no test asks for, and a loop that a mistake makes endless."""
    (tmp_path / "small").mkdir()
    (tmp_path / "small/__init__.py").touch()
    (tmp_path / "small/code.py").write_text(CODE)
    (tmp_path / "test_small.py").write_text(TESTS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(mutants, "OURS", ("small", "test_small"))
    monkeypatch.setattr(mutants, "CPU_SECONDS", 5)  # a test in a fork of a large process takes one
    monkeypatch.setattr(mutants, "PARTS", [Part("small", ["small/*.py"], ["test_small.py"], root=tmp_path)])
    return tmp_path


@pytest.mark.slow
def test_what_no_test_notices_is_told_until_one_does(small, monkeypatch):
    found = run(100, 0)
    told = [line.removeprefix("seed 0: no test notices ") for line in found.failures]
    assert sorted(told) == [
        "small/code.py:2 3 -> 2: LIMIT = 3",
        "small/code.py:2 3 -> 4: LIMIT = 3",
        "small/code.py:6 Lt -> LtE: return number < LIMIT",
    ]
    assert found.figures["small: branches"] == "2 of 2"
    (small / "test_small.py").write_text(TESTS + "    assert code.is_small(2) and not code.is_small(3)\n")
    assert run(100, 0).failures == []


@pytest.mark.slow
def test_a_mutant_that_is_explained_is_no_failure_and_tests_that_fail_as_they_are_end_the_run(small, monkeypatch):
    monkeypatch.setattr(mutants, "EXPLAINED", small / "explained.tsv")
    rows = [("2 -> 3", "LIMIT = 3"), ("3 -> 4", "LIMIT = 3"), ("Lt -> LtE", "return number < LIMIT")]
    (small / "explained.tsv").write_text(
        "".join(f"small/code.py\t{line}\t{what}\t1\tany reason\n" for what, line in rows)
    )
    assert [line.split()[-3] for line in run(100, 0).failures] == ["LIMIT"]
    (small / "test_small.py").write_text(TESTS + "    assert False\n")
    with pytest.raises(RuntimeError, match="fail as they are"):
        run(1, 0)
