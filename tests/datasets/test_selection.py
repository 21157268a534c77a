from collections import Counter
from pathlib import Path

import pytest

from bench.datasets.dataset import Sample
from bench.datasets.selection import Selection, to_list
from bench.errors import BenchError

SAMPLES = [Sample(f"{i}.png", Path(f"{i}.png"), i % 4) for i in range(40)]
PREDICTIONS = [i % 4 if i % 3 else 9 for i in range(40)]


def chosen(samples=SAMPLES, predictions=PREDICTIONS, **settings):
    return Selection(**settings).choose(samples, predictions)


def test_subsets_part_the_images():
    assert chosen() == SAMPLES
    wrong = chosen(subset="misclassified")
    assert wrong == SAMPLES[::3]
    assert chosen(subset="correct") == [sample for sample in SAMPLES if sample not in wrong]


def test_a_limit_for_each_label():
    found = chosen(per_class=3)
    assert Counter(sample.target for sample in found) == {0: 3, 1: 3, 2: 3, 3: 3}
    assert found == sorted(found, key=SAMPLES.index)
    assert chosen(per_class=10) == SAMPLES


def test_a_limit_in_all():
    found = chosen(max_images=7)
    assert len(found) == 7
    assert found == sorted(found, key=SAMPLES.index)
    assert found != SAMPLES[:7]
    assert set(found) < set(chosen(max_images=8))
    both = chosen(per_class=3, max_images=7)
    assert len(both) == 7
    assert set(both) < set(chosen(per_class=3))


def test_the_draw_hangs_on_the_seed_and_the_image_alone():
    found = chosen(per_class=2)
    assert set(chosen(SAMPLES[::-1], per_class=2)) == set(found)
    assert chosen(per_class=2, seed=1) != found
    # Images that were not drawn are not missed.
    assert (
        chosen([sample for sample in SAMPLES if sample in found or sample.target == 1], per_class=2)
        == found
    )
    assert [sample.image_id for sample in chosen(max_images=3)] == ["9.png", "30.png", "35.png"]


def test_drawn_from_the_subset_only():
    found = chosen(subset="misclassified", per_class=2)
    assert Counter(sample.target for sample in found) == {0: 2, 1: 2, 2: 2, 3: 2}
    assert set(found) < set(SAMPLES[::3])


def test_what_it_needs_and_says():
    assert Selection().takes_all
    assert Selection(seed=3).takes_all
    assert not Selection(per_class=1).takes_all
    assert not Selection(max_images=1).takes_all
    assert not Selection("correct").takes_all
    assert Selection("correct").needs_predictions
    assert not Selection(per_class=2).needs_predictions
    assert str(Selection("correct")) == "subset=correct"
    assert str(Selection(max_images=2)) == "subset=all, max_images=2, seed=0"
    assert str(Selection("correct", 2, seed=5)) == "subset=correct, per_class=2, seed=5"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"subset": "wrong"}, r"select\.subset: unknown name 'wrong'"),
        ({"per_class": 0}, r"select\.per_class: expected an integer >= 1, found 0"),
        ({"max_images": 1.5}, r"select\.max_images: expected an integer >= 1"),
        ({"seed": -1}, r"select\.seed: expected an integer >= 0"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(BenchError, match=message):
        Selection(**settings)


def test_a_list_is_written_as_the_published_ones_are():
    assert to_list([Sample("a b/ü.png", Path("x"), 3), SAMPLES[1]]) == (
        "a b/ü.png 3\n1.png 1".encode()
    )
