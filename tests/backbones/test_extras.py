import pytest

from bench.backbones.extras import import_extra
from bench.errors import BenchError


def test_an_extra_that_is_not_installed_names_the_command():
    assert import_extra("json", "mine", "hf").dumps([1]) == "[1]"
    with pytest.raises(BenchError, match=r"^backbone=mine needs the package no_such_thing: pip"):
        import_extra("no_such_thing", "mine", "hf")
