import numpy as np
import pytest
from toy_rows import begin, rows

from bench.leaderboard.comparison import comparisons
from bench.leaderboard.sanity import accuracy_fault, sanity_warnings, undefined_areas
from bench.leaderboard.table import leaderboard
from bench.storage.store import stored_runs


@pytest.mark.parametrize(
    ("right", "images", "subset", "is_good"),
    [
        (100, 100, "correct", True),
        (99, 100, "correct", True),
        (98, 100, "correct", False),
        (6, 7, "correct", False),
        (0, 100, "misclassified", True),
        (1, 100, "misclassified", True),
        (2, 100, "misclassified", False),
        (0, 0, "correct", True),
    ],
)
def test_lists_of_known_predictions(right, images, subset, is_good):
    fault = accuracy_fault(right, images, subset, 1000)
    assert fault is None if is_good else f"the list is of {subset} predictions: " in fault


@pytest.mark.parametrize(
    ("right", "images", "classes", "is_good"),
    [
        (0, 7, 1000, False),
        (0, 6, 1000, True),  # a network that is right half of the time may miss six
        (1, 20, 1000, True),
        (0, 20, 1000, False),
        (1, 2000, 1000, False),
        (60, 2000, 1000, True),
        (50, 100, 2, False),
        (0, 100, 2, False),
        (70, 100, 2, True),
        (10, 20, 2, True),  # too few images to tell two classes apart
        (0, 20, None, True),
    ],
)
def test_chance(right, images, classes, is_good):
    assert (accuracy_fault(right, images, None, classes) is None) == is_good


def store(folder, predictions, provenance, count=8, **parts):
    dataset = {
        "name": "birds", "num_images": count, "list_sha256": "a", "pixels_sha256": "b",
    }  # fmt: skip
    run = begin(folder, "rise", dataset=dataset, **parts)
    for number, predicted in zip(range(count), predictions, strict=True):
        run.append(rows(f"{number}.png").assign(target=3, prediction=predicted))
    for key, value in provenance.items():
        run.add_provenance(key, value)
    return run


def test_warnings_come_once_and_name_what_is_wrong(tmp_path):
    store(tmp_path, [5] * 8, {"num_classes": 1000, "not_repeatable": {"net": {"alone": 0.25}}})
    found = sanity_warnings(stored_runs(tmp_path), "board")
    assert found[0].startswith("accuracy: 0 of 8 right (0.0%); no more than chance, 1 in 1,000: ")
    assert found[1].startswith("backbone 'net' gives an image other outputs when the other images")
    assert len(found) == 2


def test_accuracy_as_it_should_be_is_no_warning(tmp_path):
    store(tmp_path, [3] * 8, {"num_classes": 1000})
    assert sanity_warnings(stored_runs(tmp_path), "board") == []


def test_images_without_a_finite_area_are_counted_and_left_out(tmp_path):
    run = store(tmp_path, [3] * 8, {})
    for number in range(3):
        run.append(rows(f"{number}.png").assign(target=3, prediction=3, clean_score=0.0))
    runs = stored_runs(tmp_path)
    assert undefined_areas(comparisons(runs, "board")) == []
    (insertion, deletion) = undefined_areas(comparisons(runs, "board", "relative_trapezoid"))
    assert (
        "3 of 8 images have no finite insertion by the AUC rule 'relative_trapezoid'" in insertion
    )
    assert "deletion" in deletion
    table = leaderboard(runs, "board", "relative_trapezoid").rows
    assert np.isfinite(table["insertion_auc"]).all()
    assert table["rank"].tolist() == [1]
