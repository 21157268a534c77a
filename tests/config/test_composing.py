import inspect
from dataclasses import replace
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from hydra.utils import get_object

from bench.config.building import build, build_method, build_protocol
from bench.config.choices import GROUPS, known_names
from bench.config.composing import (
    check_arguments,
    compose_run,
    flags_first,
    name_other_methods,
    named_groups,
    setting_comments,
    user_folders,
    with_open_modules,
)
from bench.config.reading import read_settings
from bench.errors import BenchError
from bench.metrics.protocol import load_protocol, protocol_from_mapping


def test_every_shipped_file_says_what_it_is():
    for group in GROUPS.values():
        for name, description in known_names(group).items():
            assert len(description) > 20, (group, name)


def composed(*overrides):
    with initialize_config_module("bench.conf", version_base="1.3"):
        return compose("run", list(overrides))


def test_controls_run_beside_what_is_chosen():
    """As the methods of the same names, whose settings stand in one place."""
    chosen = composed("experiment=audit", "method=[saliency,center]", "control=[random,edge]")
    assert set(chosen.method) == {"saliency", "center", "random", "edge"}
    files = (Path(__file__).parents[2] / "conf" / "control").glob("*.yaml")
    for name in sorted(file.stem for file in files):
        control = composed("experiment=audit", "method=[saliency]", f"control=[{name}]")
        assert control.method[name] == composed(f"method=[{name}]").method[name]


@pytest.mark.parametrize("name", known_names("experiment"))
def test_every_experiment_composes_and_builds(name):
    config = composed(f"experiment={name}")
    for asset in config.assets:
        config.assets[asset] = "somewhere"
    if name == "demo_faces":
        config.faces_root = "somewhere"
    name_other_methods(config)
    settings = read_settings(config)
    protocol_from_mapping(settings.protocol)
    for component in settings.methods.values():
        if "uncertainty" not in component.settings:  # that network's weights are an asset
            assert callable(build_method(component))


@pytest.mark.parametrize("name", known_names("method"))
def test_every_method_composes_under_its_name(name):
    config = composed(f"method=[{name}]")
    assert list(config.method) == [name]
    assert config.method[name].label == name


@pytest.mark.parametrize("name", known_names("backbone"))
def test_every_backbone_composes(name):
    """And its target takes the settings that its file has."""
    component = read_settings(composed(f"backbone={name}")).backbone
    inspect.signature(get_object(component.target)).bind_partial(**component.settings)


@pytest.mark.parametrize("name", known_names("metric"))
def test_every_metric_composes_under_its_name(name):
    config = composed(f"+metric=[{name}]")
    assert list(config.metric) == [name]
    settings = read_settings(config)
    settings = replace(settings, protocol=settings.protocol | {"name": "one", "metrics": CENTER})
    protocol = build_protocol(settings)
    assert (list(protocol.metrics), protocol.added) == (["center", name], (name,))


CENTER = {"center": {"_target_": "toy.CenterMetric"}}


@pytest.mark.parametrize("name", known_names("protocol"))
def test_every_protocol_is_found_under_its_file_name(name):
    assert load_protocol(name).name == name
    assert protocol_from_mapping(composed(f"protocol={name}").protocol) == load_protocol(name)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("method=[random,rize]", "method: unknown name 'rize'. Did you mean 'rise'"),
        ("method=[random],[rize]", "'rize'"),
        ("method=rize", "'rize'"),
        ("backbone=efficientnet_light0", "Did you mean 'efficientnet_lite0'"),
        (
            "backbone=vit_small_patch16_224",
            "did you mean backbone=timm backbone.name=vit_s",
        ),
        ("backbone@explain.backbone=vit_b_16", "=torchvision explain.backbone.name=vit_b_16"),
        ("dataset=photo,list", "Did you mean 'photos'"),
        ("protocol=smdl_cub", "Did you mean 'smdl-cub'"),
        ("+metric=[mufidelty]", "Did you mean 'mufidelity'"),
        ("experiment=dmeo", "Did you mean 'demo'"),
        ("+experiment=dmeo", "Did you mean 'demo'"),
        ("dataset.root=/a=b", "quote a value"),
        ("hydra.searchpath=[file:///nowhere]", "'/nowhere' is missing"),
        ("hydra.searchpath=[pkg://not_there]", "'not_there' is not installed"),
    ],
)
def test_bad_arguments(argument, message):
    with pytest.raises(BenchError) as error:
        check_arguments(["-m", argument])
    assert message in str(error.value)


def test_comments_of_settings():
    """Beside a setting, inside of another one, and above it."""
    found = setting_comments("bench.backbones.torch_module.torch_module")
    assert found["name"] == "in tables"
    assert found["preprocessing.mean"].startswith("RGB in 0..255")
    assert found["module"].startswith("backbone.module._target_=package.Class")
    found = setting_comments("bench.backbones.keras_h5.keras_h5")
    assert found["preprocessing"].startswith("caffe (BGR minus")
    assert setting_comments("toy.Unknown") == {}


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("timm", "weights: pretrained .*, random, or a checkpoint"),
        ("torchvision", "weights: IMAGENET1K_V1, .*random, or a checkpoint"),
        ("keras_h5", "preprocessing: caffe .*torch .*arcface"),
        (
            "module",
            "module: backbone.module._target_=package.Class.*output_kind: logits.*ing.size: ",
        ),
    ],
)
def test_what_is_missing_is_named_with_its_choices(name, choices):
    component = read_settings(composed(f"backbone={name}")).backbone
    with pytest.raises(BenchError, match=rf"backbone: not everything .*=VALUE \(.*{choices}"):
        build(component)


def test_the_readmes_line_for_a_module_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "mynet.py").write_text(
        "import torch\n\n\nclass Net(torch.nn.Module):\n"
        "    def __init__(self, classes=5):\n        super().__init__()\n"
        "        self.head = torch.nn.Linear(3, classes)\n\n"
        "    def forward(self, x):\n        return self.head(x.mean((2, 3)))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    needed = ["backbone.name=mine", "backbone.output_kind=logits", "backbone.preprocessing.size=9"]
    needed += ["backbone.preprocessing.mean=[1,2,3]", "backbone.preprocessing.std=[1,2,3]"]
    for ours, classes in (
        (["backbone.module._target_=mynet.Net"], 5),
        (["backbone.module._target_=mynet.Net", "backbone.module.classes=7"], 7),
        (["+backbone.module._target_=mynet.Net", "+backbone.module.classes=7"], 7),
        (["backbone.module={_target_:mynet.Net,classes:7}"], 7),
    ):
        arguments = with_open_modules(["backbone=module", *ours, *needed])
        assert build(read_settings(compose_run(arguments)).backbone).num_classes == classes


def test_good_arguments(toy_conf, tmp_path):
    check_arguments(["method=[random,rise]", "method.rise.num_masks=3", "seed=1", "~experiment"])
    check_arguments([f'results_dir="{tmp_path}/a=b c"', "seed=0"])
    check_arguments(["method=[flat]", "--config-dir", str(toy_conf)])
    check_arguments([f"hydra.searchpath=[file://{toy_conf}]", "backbone=toy"])


def test_user_folders(toy_conf):
    assert user_folders(["-cd", str(toy_conf), "seed=1"]) == [toy_conf]
    assert user_folders([f"hydra.searchpath=[{toy_conf},pkg://bench]"]) == [
        toy_conf,
        Path(__file__).parents[2] / "bench",
    ]
    assert known_names("method", [toy_conf])["flat"] == "One value everywhere"


def test_flags_may_stand_anywhere():
    arguments = ["seed=1", "-cd", "my=conf", "-m", "method=[rise]", "--cfg", "job", "~dataset"]
    assert flags_first(arguments) == [
        "--config-dir", "my=conf", "-m", "--cfg", "job", "seed=1", "method=[rise]", "~dataset",
    ]  # fmt: skip


def test_the_configuration_of_a_run_without_running(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("first one", "second"):
        (tmp_path / name / "dataset").mkdir(parents=True)
        (tmp_path / name / f"dataset/{name[:5]}.yaml").write_text(f"_target_: {name[:5]}.Data")
    folders = ["--config-dir", "first one", "hydra.searchpath=[file://second]"]
    for name in ("first", "secon"):
        config = compose_run([*folders, f"dataset={name}", "seed=3"])
        assert config.dataset._target_ == f"{name}.Data"
        assert config.seed == 3
    assert compose_run([]).dataset.name == "photos"
    with pytest.raises(BenchError, match=r"'seeed': did you mean seed=3"):
        compose_run(["seeed=3"])
    with pytest.raises(BenchError, match=r"expected key=value .*'-m'"):
        compose_run(["-m"])


def test_groups_that_a_command_line_names():
    assert named_groups(["dataset=list", "backbone.classes=3", "seed=1", "select.seed=2"]) == {
        "dataset", "backbone",
    }  # fmt: skip
    assert named_groups(["~method", "+experiment=demo"]) == {"method", "experiment"}
    assert named_groups(["--config-dir", "x"]) == set()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["method=[rise]", "method.n_masks=5"], "did you mean method.rise.num_masks=5"),
        (["methods=[rise]"], "did you mean method=[rise]"),
        (["metric=[road]"], "did you mean +metric=[road]"),
        (["method=rise,random"], "did you mean method=[rise,random]"),
        (["backbone.name=resnet50"], "did you mean backbone=timm backbone.name=resnet50"),
        (["demo"], "found 'demo': did you mean experiment=demo"),
        (["method=[rise]", "saliency"], "did you mean method=[saliency]"),
        (["--method", "rise"], "unknown option '--method': settings are key=value"),
        (["+unknown=1"], "unknown setting 'unknown'. Known: assets,"),
        (["++seed2=1"], "did you mean seed=1"),
        (["+maps.foo=1"], "unknown setting 'maps.foo'. Known: dtype, folder, keep"),
        (["+report.foo=1"], "unknown setting 'report.foo'"),
    ],
)
def test_a_wrong_door_leads_to_the_right_one(arguments, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BenchError) as error:
        compose_run(arguments)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_added_and_read_is_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = compose_run(
        ["++seed=3", "+metric=[road]", "+place=here", "name=${place}", "+assets.x=y"]
    )
    assert (config.seed, config.name, config.assets.x) == (3, "here", "y")
