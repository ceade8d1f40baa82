"""Checks that work on columns find what one row after the other would."""

import re

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipelines.checks.graph import Ranked
from pipelines.checks.problems import MAX_LINES

NAMES = st.one_of(
    st.from_regex(r"\A[QP](0|[1-9][0-9]{0,2}|1[0-9]{17,18})\Z"), st.text("Qaä\u4e2d\uffff\U0001f600", max_size=3)
)


def obvious_order(name):
    if re.fullmatch("[QP][1-9][0-9]{0,17}", name):
        return 0, int(name[1:]), name.encode()
    return 1, 0, name.encode()


@given(st.lists(st.tuples(st.integers(0, 2), NAMES), max_size=12), st.integers(0, 12))
def test_equals_out_of_order_are_found_within_row_groups_and_between_them(rows, cut):
    late = [
        i
        for i in range(1, len(rows))
        if rows[i][0] == rows[i - 1][0] and obvious_order(rows[i][1]) <= obvious_order(rows[i - 1][1])
    ]
    table = pa.table(
        {
            "entity_index": pa.array(range(len(rows)), pa.int32()),
            "frequency": pa.array([frequency for frequency, _ in rows], pa.int64()),
            "entity": pa.array([name for _, name in rows], pa.string()),
        }
    )
    ranked, found = Ranked("entity"), []
    for start, piece in ((0, table.slice(0, cut)), (min(cut, len(rows)), table.slice(cut))):
        found += [start + problem.row for problem in ranked.check(piece) if problem.kind == "order of equals"]
    expected = [[i for i in late if i < cut][:MAX_LINES], [i for i in late if i >= cut][:MAX_LINES]]
    assert found == expected[0] + expected[1]
