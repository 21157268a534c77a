import pytest

from bench.config.arguments import typed
from bench.errors import BenchError

RISE = "bench.attribution.masking.Rise"
BLURRED = "bench.attribution.control.Blurred"


def test_settings_that_fit_stay_as_they_are():
    for settings in (
        {"_target_": RISE, "num_masks": 3, "probability": 1},
        {"_target_": BLURRED, "of": {"_target_": RISE, "num_masks": 3}, "sigma": 0.1},
        {"_target_": "bench.datasets.photos.Photos", "name": "a", "max_images": None},
        {"_target_": "toy.NotFinite", "image_id": [3]},  # not ours
        {"_target_": "bench.nowhere.Nothing", "a": []},  # to build it will tell
        {"no_target": []},
    ):
        assert typed(settings, "key") == settings


def test_whole_numbers_become_text_where_text_alone_is_wanted():
    settings = {"_target_": "bench.datasets.folder.ClassFolders", "name": 3, "root": 2024}
    assert typed(settings, "dataset") == settings | {"name": "3", "root": "2024"}


@pytest.mark.parametrize(
    ("target", "name", "value", "expected"),
    [
        (RISE, "num_masks", "3", "key.num_masks: expected an integer, found '3'"),
        (RISE, "num_masks", 2**63, "key.num_masks: expected an integer"),
        (RISE, "num_masks", True, "key.num_masks: expected an integer"),
        (RISE, "probability", float("inf"), "key.probability: expected a finite number"),
        (BLURRED, "of", {"_target_": RISE, "grid_size": []}, "key.of.grid_size: expected an int"),
        ("bench.datasets.photos.Photos", "max_images", "x", "an integer or null, found 'x'"),
        ("bench.datasets.photos.Photos", "name", None, "key.name: expected text, found None"),
        ("bench.backbones.sface.sface", "cache", None, "key.cache: expected text, found None"),
    ],
)
def test_what_does_not_fit_is_told(target, name, value, expected):
    with pytest.raises(BenchError) as told:
        typed({"_target_": target, name: value}, "key")
    assert expected in str(told.value)


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (RISE, "method.rise: unknown setting 'n_masks'. Did you mean 'num_masks'? Known: "),
        ("bench.attribution.control.Random", "method.rise: unknown setting 'n_masks'. It has none"),
    ],
)
def test_a_setting_that_there_is_not_is_named(target, told):
    with pytest.raises(BenchError) as error:
        typed({"_target_": target, "n_masks": 3}, "method.rise")
    assert str(error.value).startswith(told)
