"""Claims on images, and what is left of them when their process is gone."""

import multiprocessing
import os

import pytest

from bench.errors import BenchWarning
from bench.storage.claims import Claim, claimed, dead_claims


def claim_and_die(folder):
    with claimed(folder, ["a", "b"]):
        os._exit(1)


def test_dead_claims_name_process_and_images_and_change_nothing(tmp_path):
    process = multiprocessing.get_context("fork").Process(target=claim_and_die, args=(tmp_path,))
    process.start()
    process.join()
    with claimed(tmp_path, ["c"]) as ours:
        assert ours == ["c"]
        # Whoever claims clears dead claims away.
        assert dead_claims(tmp_path) == []
    process = multiprocessing.get_context("fork").Process(target=claim_and_die, args=(tmp_path,))
    process.start()
    process.join()
    for _ in range(2):
        (dead,) = dead_claims(tmp_path)
        assert dead == Claim(["a", "b"], dead.host, process.pid)
    with claimed(tmp_path, ["a", "c"]) as ours:
        assert ours == ["a", "c"]


def test_living_claims_are_not_dead(tmp_path):
    with claimed(tmp_path, ["a"]):
        assert dead_claims(tmp_path) == []
    assert dead_claims(tmp_path) == []


@pytest.mark.parametrize("content", ["", "[]", '{"images": 1}'])
def test_what_is_no_claim_is_told(tmp_path, content):
    (tmp_path / ".claim-0").write_text(content)
    with pytest.warns(BenchWarning, match=r"\.claim-0"):
        assert dead_claims(tmp_path) == []
