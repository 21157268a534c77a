from pathlib import Path

import pytest

from bench.attribution.control import Random
from bench.attribution.method import Passes
from bench.datasets.dataset import Sample
from bench.evaluation.method_run import MethodRun, StoredMethodRun

SAMPLES = [Sample(name, Path(name), 0) for name in "abcde"]
IDS = [sample.image_id for sample in SAMPLES]


class Rows:
    """Stands for the rows on disk: some images are done, others are claimed by someone."""

    def __init__(self, done="", claimed=""):
        self.done, self.claimed = set(done), set(claimed)

    @property
    def metrics(self):
        return {"x": self}

    def image_ids(self):
        return set(self.done)

    def claim(self, wanted, again=False):
        return _Claim(
            {
                metric: [i for i in ids if i not in self.claimed and (again or i not in self.done)]
                for metric, ids in wanted.items()
            }
        )


class _Claim(dict):
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


def stored(**rows):
    return StoredMethodRun("random", Random(), stored=Rows(**rows), label="Random")


def test_nothing_is_done_of_a_run_that_nobody_stores():
    run = MethodRun("random", Random())
    assert run.missing(SAMPLES, "xy") == {"x": [0, 1, 2, 3, 4], "y": [0, 1, 2, 3, 4]}
    done = MethodRun("random", Random(), done={"b", "e"})
    assert done.missing(SAMPLES, "x") == {"x": [0, 2, 3]}
    with run.claim({"x": IDS}) as ours:
        assert ours == {"x": IDS}


@pytest.mark.parametrize(
    ("passes", "is_free"), [(Passes(), True), (Passes(0, 1), False), (None, False)]
)
def test_only_a_method_that_is_known_to_make_no_passes_is_free(passes, is_free):
    assert MethodRun("random", Random(), passes).is_free == is_free


def test_runs_of_equal_content_are_two_keys():
    assert len({MethodRun("random", Random()), MethodRun("random", Random())}) == 2


@pytest.mark.parametrize(
    ("policy", "missing"),
    [("missing", [1, 3, 4]), ("always", [0, 1, 2, 3, 4]), ("never", [])],
)
def test_the_policy_says_what_is_missing(policy, missing):
    run = stored(done="ac")
    run.apply_policy(policy, SAMPLES)
    assert run.missing(SAMPLES, "x") == ({"x": missing} if missing else {})
    later = [i - 2 for i in missing if i >= 2]
    assert run.missing(SAMPLES[2:], "x") == ({"x": later} if later else {})


@pytest.mark.parametrize(("policy", "ours"), [("missing", ["a", "d"]), ("always", list("acd"))])
def test_what_others_are_at_or_have_done_is_left_to_them(policy, ours):
    run = stored(claimed="be")
    run.apply_policy(policy, SAMPLES)
    run.stored.done.add("c")  # another process has finished it meanwhile
    with run.claim({"x": IDS}) as claimed:
        assert claimed == {"x": ours}
    assert run.left_to_others() == {"b", "e"}
    run.stored.done.add("b")
    assert run.left_to_others() == {"e"}


def test_nothing_is_left_to_others_where_nobody_else_was():
    run = stored(done="a")
    assert run.left_to_others() == set()
    with run.claim({"x": IDS[1:]}):
        pass
    assert run.left_to_others() == set()
