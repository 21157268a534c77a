import numpy as np
import pandas as pd
import pytest
import torch

from bench.arrays import as_integer, as_tensor
from bench.errors import BenchError

ARRAY = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


@pytest.mark.parametrize(
    "value",
    [
        ARRAY,
        ARRAY[::-1][::-1],
        np.asfortranarray(ARRAY),
        ARRAY.astype(">f4"),
        ARRAY.tolist(),
        [torch.from_numpy(part) for part in ARRAY],
        list(ARRAY),
        torch.from_numpy(ARRAY).to_sparse(),
        torch.nn.Parameter(torch.from_numpy(ARRAY)),
    ],
)
def test_numbers_of_any_kind(value):
    found = as_tensor("x", value)
    assert not found.requires_grad
    assert found.tolist() == ARRAY.tolist()


def test_views_with_negative_strides_and_read_only_arrays_are_copied():
    locked = ARRAY[:, ::-1]
    locked.flags.writeable = False
    found = as_tensor("x", locked)
    assert (found.numpy() == locked).all()
    found.zero_()
    assert locked.any()


def test_the_dtype_is_kept():
    for dtype in (np.float64, np.float16, np.int64, np.uint8, np.bool_):
        assert as_tensor("x", ARRAY.astype(dtype)).numpy().dtype == dtype
    assert as_tensor("x", torch.zeros(1, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_a_series_goes_by_position():
    series = pd.Series([3, 1, 2], index=[10, 12, 11])
    assert as_tensor("targets", series).tolist() == [3, 1, 2]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["0", "1"], "an array of numbers, found text"),
        ([None, 1], "an array of numbers, found object"),
        ([[1, 2], [3]], "rows of one length"),
        ([torch.zeros(2), torch.zeros(3)], "tensors of one shape"),
        (np.ma.masked_array([1, 2], [0, 1]), "a masked array"),
        ("text", "found text"),
    ],
)
def test_what_is_no_array_of_numbers(value, message):
    with pytest.raises(BenchError, match=f"x: expected .*{message}"):
        as_tensor("x", value)


def test_numpys_integers():
    assert type(as_integer(np.int64(4))) is int
    assert as_integer("64") == "64"
    assert as_integer(np.bool_(True)) is np.bool_(True)
