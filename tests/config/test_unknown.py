import pytest

from bench.config.unknown import unknown_setting

KNOWN = {
    "seed": 0,
    "batch_size": "auto",
    "results_dir": "results",
    "reproduces": None,
    "select": {"max_images": None, "seed": 0},
    "method": {"rise": {"_target_": "x.Rise", "num_masks": 4000, "grid_size": 7}},
    "backbone": {"_target_": "x.net", "weights": "a"},
}


@pytest.mark.parametrize(
    ("key", "value", "meant"),
    [
        ("methods", "[rise]", "method=[rise]"),
        ("methods", "rise", "method=[rise]"),
        ("metrics", "[insertion]", "+metric=[insertion]"),
        ("metric", "insertion", "+metric=[insertion]"),
        ("model", "timm", "backbone=timm"),
        ("output", "x", "results_dir=x"),
        ("max_images", "3", "select.max_images=3"),
        ("batch-size", "3", "batch_size=3"),
        ("batchSize", "3", "batch_size=3"),
        ("method.rise.n_masks", "5", "method.rise.num_masks=5"),
        ("method.n_masks", "5", "method.rise.num_masks=5"),
        ("num_masks", "5", "method.rise.num_masks=5"),
        ("backbone.weight", "b", "backbone.weights=b"),
        ("seeds", "1", "seed=1 or select.seed=1"),
    ],
)
def test_the_one_that_is_meant(key, value, meant):
    assert unknown_setting(key, value, KNOWN) == f"unknown setting '{key}': did you mean {meant}"


@pytest.mark.parametrize(
    ("key", "known"),
    [
        ("epochs", "backbone, batch_size, method, reproduces, results_dir, seed, select"),
        ("method.rise.foo", "grid_size, num_masks"),
        ("report.foo", "backbone, batch_size, method, reproduces, results_dir, seed, select"),
    ],
)
def test_where_nothing_is_like_it_those_that_there_are(key, known):
    assert unknown_setting(key, "1", KNOWN) == f"unknown setting '{key}'. Known: {known}"
