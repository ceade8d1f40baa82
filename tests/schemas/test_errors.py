"""What messages are made of."""

import pytest

from schemas.errors import DataError, UsageError, first_line, nearest, printable
from schemas.manifest import Manifest
from schemas.origin import IN_WORDS, OF_DUMPS, inputs, licences


def test_the_exit_codes_are_those_of_the_console_script():
    assert (DataError.exit_code, UsageError.exit_code) == (1, 2)


def test_the_nearest_known_word_is_offered_where_one_is_near():
    assert nearest("trian", ["valid", "train", "test"]) == " Did you mean train?"
    assert nearest("xyz", ["valid", "train"]) == nearest("x", []) == ""


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("a\nb"), "a"),
        (ValueError("\n  a \n"), "a"),
        (ValueError("a" * 300), "a" * 200),
        (ValueError(), "ValueError"),
        (OSError(" \n"), "OSError"),
    ],
)
def test_another_librarys_error_is_a_line_also_where_it_says_nothing(error, line):
    assert first_line(error) == line
    assert first_line(error, 1) in (line[:1], line)


OBEYED = [0, 9, 13, 27, 31, 127, 128, 159, 0x202A, 0x202C, 0x202E, 0x2066, 0x2067, 0x2069]
SHOWN = [10, 32, 126, 160, 0x2029, 0x202F, 0x2065, 0x206A, 0x1F600]


@pytest.mark.parametrize("code", [*OBEYED, *SHOWN])
def test_what_a_terminal_would_obey_is_replaced_and_nothing_else(code):
    assert printable(f"a{chr(code)}b") == ("a\ufffdb" if code in OBEYED else f"a{chr(code)}b")


def manifest(**rest):
    return Manifest(digest="", tables={}, rest=rest)


@pytest.mark.parametrize(
    ("rest", "files", "found"),
    [
        ({}, 0, ["unknown"]),
        ({"inputs": "x"}, 0, ["unknown"]),
        ({"inputs": [{"role": "list"}, 3]}, 1, ["unknown"]),
        ({"inputs": [{"role": "wikidata"}, {"role": "wikidata"}]}, 2, ["cc0-1.0"]),
        ({"inputs": [{"role": "wikidata"}, {"role": "wikipedia"}]}, 2, ["cc-by-sa-4.0", "cc0-1.0"]),
        ({"inputs": [{"role": "wikipedia"}], "licence": "mit"}, 1, ["mit"]),
        ({"licence": ["mit", 3]}, 0, ["mit", "3"]),
        ({"licence": []}, 0, ["unknown"]),
    ],
)
def test_licences_are_those_that_are_said_else_those_of_the_dumps(rest, files, found):
    assert len(inputs(manifest(**rest))) == files
    assert licences(manifest(**rest)) == found
    assert set(OF_DUMPS.values()) <= IN_WORDS.keys()
