"""Numpy's type of a column, found without pandas: the extra `training` does not bring it."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from tests.conftest import ROOT
from training.data.batch import number_type

KINDS = ["int8", "int32", "int64", "uint8", "uint32", "uint64", "float16", "float32", "float64", "bool_"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_number_has_numpys_type(kind):
    assert number_type(getattr(pa, kind)()) == np.dtype(getattr(np, kind))


def test_a_struct_has_its_fields():
    kind = pa.struct([("start", pa.int32()), ("score", pa.float32())])
    assert number_type(kind) == np.dtype([("start", "i4"), ("score", "f4")])


def test_pandas_is_not_asked_for():
    script = (
        "import sys; sys.modules['pandas'] = None; import pyarrow as pa; from training.data.batch import number_type; "
    )
    script += "print(number_type(pa.float32()))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "float32\n", done.stderr
