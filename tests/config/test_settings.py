"""Every setting of conf/run.yaml: what is read, and what is told where it is wrong."""

import copy
from dataclasses import FrozenInstanceError
from functools import cache
from pathlib import Path

import pytest
from omegaconf import OmegaConf, open_dict

from bench.config.composing import as_written, compose_run
from bench.config.reading import read_settings
from bench.config.settings import Component
from bench.datasets.selection import Selection
from bench.datasets.shard import Shard
from bench.errors import BenchError
from bench.storage.identity import ROW_KEYS


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@cache
def compose_once(*arguments):
    return compose_run(list(arguments))


def composed(changes=None, *arguments):
    """What Hydra composes, with values put into it whatever their type."""
    config = copy.deepcopy(compose_once(*arguments))
    with open_dict(config):
        for key, value in (changes or {}).items():
            OmegaConf.update(config, key, value, merge=False, force_add=True)
    return config


def read(changes=None, *arguments, **options):
    return read_settings(composed(changes, *arguments), **options)


def test_the_shipped_settings():
    settings = read()
    assert settings.name is None
    assert settings.results_dir == Path("results")
    assert (settings.seed, settings.block_size, settings.workers, settings.gallery) == (0, 32, 2, 4)
    assert (settings.device, settings.batch_size, settings.may_shrink) == ("auto", "auto", True)
    assert (settings.precision, settings.compile) == ("fp32", False)
    assert (settings.fail_fast, settings.strict, settings.figures) == (False, False, False)
    assert settings.select == Selection()
    assert settings.shard is None
    assert (settings.maps.keep, settings.maps.dtype) == (True, "float32")
    assert settings.maps.folder == Path("results/maps")
    assert settings.policy == "missing"
    assert (settings.explain.score, settings.explain.backbone) == (None, None)
    assert list(settings.methods) == ["random", "saliency", "grad_cam"]
    assert settings.protocol["name"] == "xplique-probability"
    assert settings.reproduces is None
    assert settings.assets == settings.made_of_assets == {}
    with pytest.raises(FrozenInstanceError):
        settings.seed = 1


def test_what_a_manifest_keeps_is_all_of_it_with_references_looked_up():
    config = composed(None, "results_dir=out")
    resolved = read_settings(config).resolved
    assert resolved == OmegaConf.to_container(config, resolve=True)
    assert resolved["maps"]["folder"] == "out/maps"
    assert config.maps._get_node("folder")._value() == "${results_dir}/maps"  # left as it was


@pytest.mark.parametrize(
    ("key", "values", "message"),
    [
        ("seed", [-1, 2**63, 1.5, "1", True, None, [1]], "seed: expected an integer"),
        ("seeds", [0, 1001, 1.5, "1", True, None, [1]], "seeds: expected an integer"),
        ("block_size", [0, -1, 2.5, "many", None], "block_size: expected an integer"),
        ("workers", [0, 1.5, "two", None], "workers: expected an integer"),
        ("gallery", [-1, 0.5, "all", None], "gallery: expected an integer"),
        ("batch_size", [0, -4, 1.5, 10**6, "large", None, True], "batch_size: expected an integer"),
        ("select.seed", [-1, 1.5, None], "select.seed: expected an integer"),
        ("select.per_class", [0, -1, 1.5, "few"], "select.per_class: expected an integer"),
        ("select.max_images", [0, "all", 2.5], "select.max_images: expected an integer"),
        ("select.subset", ["right", None, 1], "select.subset: unknown name"),
        ("select.classes", [[1, 2]], "select: expected the settings subset, per_class"),
        ("compile", [1, "yes", None], "compile: expected true or false"),
        ("figures", [0, "no", None], "figures: expected true or false"),
        ("fail_fast", ["maybe", None], "fail_fast: expected true or false"),
        ("strict", [2, None], "strict: expected true or false"),
        ("maps.keep", [1, "all", None], "maps.keep: expected true or false"),
        ("maps.dtype", ["float64", 16, None], "maps.dtype: unknown name"),
        ("maps.folder", [None, 3, ""], "maps.folder: expected text"),
        ("maps.folder", ["~nobody_is_called_so/maps"], "maps.folder: '~nobody"),
        ("store.policy", ["all", None, True], "store.policy: unknown name"),
        ("precision", ["half", None, 16], "precision: unknown name"),
        ("device", [None, 0, ""], "device: expected text"),
        ("results_dir", [None, 5, ""], "results_dir: expected text"),
        ("results_dir", ["/proc/nothing"], "results_dir: cannot write to"),
        ("shard", ["0/3", "4/3", "third", 3, [1, 3]], "shard: expected k/n"),
        ("name", ["a/b", "..", "side_by_side", "demo_mean"], "name: "),
        ("explain.score", [5, "", True], "explain.score: expected text"),
        ("dataset._target_", [None, 3], "dataset._target_: expected text"),
        ("backbone._target_", [None, 3], "backbone._target_: expected text"),
        ("reproduces", [{"table": "cub", "backbone": "b"}], "reproduces.list: expected text"),
        (
            "reproduces",
            [{"table": "cub", "backbone": "b", "list": "cub"}],
            "reproduces.list: unknown name",
        ),
        ("method.random", [3, "random", None, [1]], "method.random: expected its settings"),
        ("metric.mine", [3, "mine", None, [1]], "metric.mine: expected its settings"),
        (
            "metric.mine",
            [{}, {"steps": 3}, {"_target_": 3}],
            "metric.mine._target_: expected the dotted path of its class",
        ),
        ("name", ["\udcff"], "name: expected text in UTF-8"),
    ],
)
def test_a_wrong_value(key, values, message):
    for value in values:
        with pytest.raises(BenchError) as refused:
            read({key: value})
        assert message in str(refused.value), value


GROUPS = ("dataset", "backbone", "protocol", "explain", "select", "maps", "store", "assets")


@pytest.mark.parametrize("value", [None, 3, "auto", [1]])
@pytest.mark.parametrize("group", GROUPS)
def test_a_group_that_is_none(group, value):
    with pytest.raises(BenchError, match=f"^{group}: expected settings, found"):
        read({group: value})


@pytest.mark.parametrize("group", ["metric", "method", "explain.backbone", "reproduces"])
def test_a_group_that_may_be_left_out(group):
    read({group: None})
    with pytest.raises(BenchError, match=f"^{group}: expected settings, found 3$"):
        read({group: 3})


def test_all_wrong_values_are_told_at_once():
    wrong = {"seed": -1, "workers": 0, "maps.keep": 1, "select.seed": -1, "shard": "x"}
    with pytest.raises(BenchError) as refused:
        read(wrong)
    lines = [line.strip() for line in str(refused.value).splitlines()]
    assert sorted(line.partition(":")[0] for line in lines) == sorted(wrong)
    with pytest.raises(BenchError) as refused:
        read({"maps": 1, "store": None, "seed": -1})
    assert [line.split(":")[0].strip() for line in str(refused.value).splitlines()] == [
        "maps",
        "store",
    ]


def test_good_values_of_all_kinds():
    settings = read(
        {"results_dir": "~/out", "maps.folder": "~/maps"},
        "name=mine", "seed=3", "batch_size=7", "precision=tf32", "compile=true", "shard=2/3",
        "select.subset=correct", "select.max_images=5", "explain.score=logit",
        "maps.dtype=float16", "store.policy=never", "device=cuda:1",
    )  # fmt: skip
    assert settings.results_dir == Path("~/out").expanduser()
    assert settings.maps.folder == Path("~/maps").expanduser()
    assert (settings.batch_size, settings.may_shrink) == (7, False)
    assert settings.shard == Shard(2, 3)
    assert settings.select == Selection("correct", max_images=5)
    assert settings.explain.score == "logit"
    assert settings.on_device("cpu").device == settings.on_device("cpu").resolved["device"] == "cpu"
    assert settings.resolved["device"] == "cuda:1"


def test_a_setting_that_refers_to_nothing():
    with pytest.raises(BenchError, match=r"nowhere.*bench run --cfg job"):
        read({"seed": "${nowhere}"})


def test_what_names_rows_is_no_setting_of_a_component():
    node = {"_target_": "toy.Constant", "label": 7, "published": "RISE", "citation": "C", "size": 3}
    component = read({"method.mine": node}).methods["mine"]
    assert component == Component(
        "method.mine", "toy.Constant", {"citation": "C", "size": 3}, "7", "RISE"
    )
    assert component.node == {key: node[key] for key in node if key not in ROW_KEYS}


def test_what_a_network_cites_is_none_of_its_settings():
    gallery = {"_target_": "toy.Faces", "citation": "of the gallery", "people": 2}
    component = read({"backbone.citation": "A 2020", "backbone.gallery": gallery}).backbone
    assert component.citation == "A 2020"
    assert "citation" not in component.settings
    assert component.settings["gallery"] == {"_target_": "toy.Faces", "people": 2}


def test_methods_that_are_not_chosen():
    settings = read({"method.rise": {"num_masks": 5}})
    assert settings.unused_methods == ("rise",)
    assert "rise" not in settings.methods


def test_metrics_beside_the_protocols():
    settings = read({"metric.mufidelity.num_masks": 5}, "+metric=[mufidelity,confidence]")
    assert list(settings.metrics) == ["mufidelity", "confidence"]
    metric = settings.metrics["mufidelity"]
    assert (metric.key, metric.settings["num_masks"]) == ("metric.mufidelity", 5)
    assert metric.target == "bench.metrics.mufidelity.MuFidelity"
    assert "mufidelity" not in settings.protocol["metrics"]
    assert read().metrics == {}


def test_settings_that_have_to_be_given():
    component = read({"method.random.of": {"_target_": "toy.Faces", "root": "???"}})
    assert component.methods["random"].missing == ["method.random.of.root"]
    changed = component.methods["random"].with_settings(of=None)
    assert changed.missing == []
    assert component.methods["random"].missing == ["method.random.of.root"]


def test_an_explained_network_that_is_not_chosen_is_none():
    assert read({"explain.backbone": {"weights": "file"}}).explain.backbone is None
    explained = read(None, "backbone@explain.backbone=resnet101").explain.backbone
    assert explained.key == "explain.backbone"


ASSETS = {
    "assets": {"root": "???", "weights": "/w"},
    "dataset.root": "${assets.root}",
    "backbone.weights": "${assets.weights}/net.pth",
    "method.random.of": ["${assets.root}/a"],
}


def test_assets_that_are_not_set():
    with pytest.raises(BenchError, match=r"add assets\.root=PATH, or lines `root: PATH`"):
        read(ASSETS)
    settings = read(ASSETS, may_lack_assets=True)
    assert settings.assets == {"root": None, "weights": "/w"}
    assert settings.made_of_assets == {
        "dataset.root": "${assets.root}",
        "backbone.weights": "/w/net.pth",
        "method.random.of.0": "${assets.root}/a",
    }
    assert settings.resolved["assets"] == {"root": "???", "weights": "/w"}


def test_assets_that_are_set():
    settings = read(ASSETS | {"assets": {"root": "here", "weights": "/w"}})
    assert settings.dataset.settings["root"] == "here"
    assert settings.made_of_assets["method.random.of.0"] == "here/a"


def test_an_asset_that_nothing_needs_may_be_missing():
    assert read({"assets": {"root": "???"}}).assets == {"root": None}


REPRODUCES = {
    "table": "cub",
    "backbone": "ResNet-101",
    "list": "cub200/eval-resnet",
    "unverified": ["backbone.name", "method.smdl.weights"],
    "notes": {"RISE": 4},
    "one_image": {"file": "a.png", "probability": 0.5, "tolerance": 0.1},
}


def test_a_published_table():
    repeated = read({"reproduces": REPRODUCES, "backbone.name": "file.pth"}).reproduces
    assert repeated.unverified == {"backbone.name": "file.pth", "method.smdl.weights": None}
    assert repeated.notes == {"RISE": "4"}
    assert repeated.deviations == ()
    assert (repeated.one_image.probability, repeated.one_image.tolerance) == (0.5, 0.1)


@pytest.mark.parametrize(
    ("key", "value"),
    [("probability", "high"), ("probability", 1.5), ("tolerance", None), ("file", None)],
)
def test_a_printed_probability_that_is_none(key, value):
    image = REPRODUCES["one_image"] | {key: value}
    with pytest.raises(BenchError, match=rf"^reproduces\.one_image\.{key}: expected"):
        read({"reproduces": REPRODUCES | {"one_image": image}})


def test_every_setting_is_read():
    """A setting that is new in conf/run.yaml has to get a field."""
    given = set(as_written(compose_run([])))
    groups = {"dataset", "backbone", "protocol", "method", "explain", "select", "maps", "store"}
    singles = {"methods", "metrics", "unused_methods", "policy", "made_of_assets", "resolved"}
    fields = set(type(read()).__dataclass_fields__)
    assert given - groups == fields - groups - singles
