"""Files that somebody else made: nothing in them is run, none leads out of its place, and names
that mean something to Markdown, HTML, LaTeX or a terminal are shown as they are written."""

import json
import os
import pickle
import re
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from outcomes import assert_bad
from toy_rows import begin, rows

from bench.config.shipped import shipped
from bench.experiment.rerun import _changed, _foreign
from bench.leaderboard.table import leaderboard
from bench.report.tables import to_csv, to_latex, to_markdown
from bench.storage.store import stored_runs

HOSTILE = (
    "<script>alert(1)</script> | [x](http://x) `*b*` \\input{/etc/passwd} $\\bad$ [/red] "
    "\x1b[2J\nnew"
)


class Evil:
    """Makes a folder when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("evil",)


def assert_refused(outcome, *expected):
    assert_bad(outcome, *expected)
    assert not Path("evil").exists()


def module(weights):
    return [
        "backbone=module",
        "backbone.module={_target_:toy.ConvModel,classes:4}",
        "backbone.name=mine",
        "backbone.output_kind=logits",
        "backbone.preprocessing={size:23,mean:[0,0,0],std:[1,1,1]}",
        f"backbone.weights={weights}",
    ]


def test_a_checkpoint_with_code(bench):
    torch.save({"state_dict": {"a": Evil()}}, "evil.pth")
    assert_refused(bench(*module("evil.pth")), "'evil.pth' holds more than tensors (posix.mkdir)")
    Path("bare.pth").write_bytes(pickle.dumps(Evil()))
    assert_refused(bench(*module("bare.pth")), "weights: 'bare.pth'")


def test_a_keras_file_with_code(bench):
    layer = {"class_name": "Lambda", "name": "evil", "config": {"name": "evil", "function": "x"}}
    settings = {"class_name": "Sequential", "config": {"name": "m", "layers": [layer]}}
    with h5py.File("evil.h5", "w") as file:
        file.attrs["model_config"] = json.dumps(settings)
        file.create_group("model_weights")
    arguments = ["backbone=keras_h5", "backbone.weights=evil.h5", "backbone.preprocessing=tf"]
    assert_refused(bench(*arguments), "evil.h5")


@pytest.mark.parametrize("line", ["../secret.png 0", "a/../../secret.png 0", "/etc/hostname 0"])
def test_a_list_that_leaves_its_root(bench, image_folder, line):
    (image_folder.parent / "secret.png").write_bytes(
        (image_folder / "class 0/photo 0.png").read_bytes()
    )
    (image_folder / "list.txt").write_text(line)
    assert_refused(bench(), "paths that leave the root", line.removesuffix(" 0"))


def test_a_link_to_what_is_no_image(bench, image_folder):
    """Links are followed, as people's data sets consist of them; what is no image is refused."""
    path = image_folder / "class 0/photo 0.png"
    path.unlink()
    path.symlink_to("/etc/passwd")
    outcome = bench()
    assert_refused(outcome, "photo 0.png")
    assert "root:" not in "".join(map(str, outcome))


def test_stored_maps_with_code(bench, image_folder):
    for line in (image_folder / "list.txt").read_text().splitlines():
        path = (Path("maps") / line.rpartition(" ")[0]).with_suffix(".npy")
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.array([Evil()], dtype=object), allow_pickle=True)
    code, _, err = bench("method=[stored]", "method.stored.root=maps")
    assert code == 1
    assert "cannot be read: Object arrays cannot be loaded" in err
    assert not Path("evil").exists()


def test_a_kept_map_with_code(bench):
    bench("method=[random]", "gallery=1")
    path = next(Path("results/runs").rglob("map-*.npy"))
    np.save(path, np.array([Evil()], dtype=object), allow_pickle=True)
    code, _, err = bench("method=[random]", "gallery=1", "figures=true")
    assert (code, err) == (0, "")  # nothing in it is executed, and the map is made again
    assert not Path("evil").exists()
    assert np.load(path).shape == (23, 23)


def test_parts_with_code(bench):
    """A pickle in a part's place is no Parquet file and no safetensors."""
    bench("method=[saliency]")
    part = next(Path("results/runs").rglob("part-*.parquet"))
    part.write_bytes(pickle.dumps(Evil()))
    code, _, err = bench("results", command="leaderboard")
    assert code == 0
    assert f"{part}' is broken" in err
    for maps in Path("results/maps").rglob("part-*.safetensors"):
        maps.write_bytes(pickle.dumps(Evil()))
    bench("method=[saliency]")
    assert not Path("evil").exists()


@pytest.fixture
def manifest(bench):
    """Writes a stored manifest with changed values, by key with dots; returns its path."""
    bench("method=[random]", "backbone=module", *module("null")[1:])
    (path,) = Path("results/runs").rglob("manifest.json")
    clean = json.loads(path.read_text())
    clean["config"]["backbone"] = {
        "_target_": "bench.backbones.torch_module.timm_model",
        "name": "resnet18",
        "weights": "random",
        "preprocessing": {"size": 32},
    }

    def write(key="", value=None):
        content = json.loads(json.dumps(clean))
        if key:
            *parents, last = key.split(".")
            node = content
            for parent in parents:
                node = node.setdefault(parent, {})
            node[last] = value
        path.write_text(json.dumps(content))
        return str(path)

    return write


def test_a_manifest_of_shipped_pieces_needs_no_trust(bench, manifest):
    code, out, err = bench(manifest(), command="rerun")
    assert code == 0, err
    assert "7 of 7 stored rows compared" in out


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("config.method.random._target_", "os.mkdir"),
        ("config.method.random._target_", "bench.storage.provenance.subprocess.run"),
        ("config.method.random._target_", "bench.attribution.adapters.Function"),
        ("config.method.random.of", {"_target_": "os.mkdir", "path": "evil"}),
        ("config.dataset.samples", [[{"_target_": "os.mkdir", "path": "evil"}]]),
        ("config.backbone._target_", ["os.mkdir"]),
        ("config.explain.backbone", {"_target_": "toy.backbone"}),
        ("config.anything", {"deep": {"_target_": "os.mkdir", "path": "evil"}}),
    ],
)
def test_a_manifest_with_code(bench, manifest, key, value):
    text = re.findall(r"[\w.]*\w", str(value).replace("_target_", "").replace("path", ""))[0]
    outcome = bench(manifest(key, value), command="rerun")
    assert_refused(outcome, "loads code that is not shipped", "_target_", text, "--trust")
    assert not Path("rerun").exists()


def test_code_of_ones_own_runs_when_it_is_trusted(bench, manifest):
    path = manifest("config.method.random", {"_target_": "toy.Constant"})
    assert_refused(bench(path, command="rerun"), "method.random._target_=toy.Constant;")
    assert bench(path, "--trust", command="rerun")[0] == 0


@pytest.mark.parametrize("value", ["${oc.env:HOME}", "${hydra:runtime.cwd}", "${seed}"])
def test_a_manifest_that_looks_things_up(bench, manifest, value):
    path = manifest("config.method.random.label", value)
    assert_refused(bench(path, "--trust", command="rerun"), "expected plain values", value)


def test_a_manifest_writes_nothing_elsewhere(bench, manifest, tmp_path):
    places = {"results_dir": "a", "maps": {"keep": True, "dtype": "float32", "folder": "b"}}
    path = manifest()
    content = json.loads(Path(path).read_text())
    content["config"] |= {
        key: str(tmp_path / "outside" / place) if isinstance(place, str) else place
        for key, place in places.items()
    }
    content["config"]["maps"]["folder"] = str(tmp_path / "outside/maps")
    Path(path).write_text(json.dumps(content))
    assert bench(path, "results_dir=mine", command="rerun")[0] == 0
    assert not (tmp_path / "outside").exists()
    assert {path.name for path in Path().iterdir()} == {"results", "mine"}
    assert_refused(bench(manifest("config.name", "../../x"), command="rerun"), "name: '../../x'")


@pytest.mark.parametrize("value", [None, 3, "x", [], {"random": 3}])
def test_a_manifest_of_another_shape(bench, manifest, value):
    assert_refused(bench(manifest("config.method", value), command="rerun"), "manifest.json")
    assert_refused(bench(manifest("config", value), command="rerun"), "manifest.json")
    assert_refused(bench(manifest("config.dataset", value), command="rerun"))
    assert_refused(bench(manifest("config.select", value), command="rerun"))


def test_what_is_shipped_is_listed_by_whole_paths_and_places():
    groups, settings = shipped().groups, shipped().settings
    assert "bench.attribution.gradient.Saliency" in groups["method"]
    assert "bench.backbones.arcface.edl_r100" not in groups["backbone"]
    smdl = settings["bench.attribution.submodular.Smdl"]
    assert "bench.backbones.arcface.edl_r100" in smdl.parts["uncertainty"]
    assert "bench.attribution.gradient.Saliency" in smdl.parts["prior"]
    assert set(settings["bench.backbones.sface.sface"].parts) == {"gallery"}
    assert not settings["bench.backbones.torch_module.torch_module"].parts  # `module` is anything
    assert settings["bench.attribution.masking.Rise"].names == {
        "label", "published", "title", "num_masks", "grid_size", "probability",
    }  # fmt: skip
    assert "bench.metrics.mufidelity.MuFidelity" in groups["metric"]
    assert settings["bench.metrics.mufidelity.MuFidelity"].names == {
        "num_masks", "grid_size", "subset", "baseline",
    }  # fmt: skip
    assert all(name.startswith("bench.") for name in settings)


SFACE = {
    "_target_": "bench.backbones.sface.sface",
    "gallery": {"_target_": "bench.datasets.photos.Photos", "max_images": 1},
    "cache": "OUTSIDE/cache",
}
"""A shipped network that writes to a folder of its settings, if it is built."""

ATTACKS = {
    "a network in a setting of a method": ("method.random.of", SFACE),
    "a network as the method that a control changes": ("method.inverted.of", SFACE),
    "a network as a prior": ("method.smdl.prior", SFACE),
    "a network deeper": (
        "method.inverted.of",
        {"_target_": "bench.attribution.control.Inverted", "of": SFACE},
    ),
    "a network in a list": ("method.random.label", [[SFACE]]),
    "a network that a prior must not have": (
        "method.smdl.uncertainty", SFACE,
    ),
    "a network in the data set": ("dataset.name", SFACE),
    "a network as the data set": ("dataset", SFACE),
    "a network in a baseline": ("protocol.metrics.insertion.baseline", SFACE),
    "a network in the protocol": ("protocol.score", SFACE),
    "a network as a metric of the protocol": ("protocol.metrics.mine", SFACE),
    "a network as a metric": ("metric.mine", SFACE),
    "a network in a metric": (
        "metric.confidence",
        {"_target_": "bench.metrics.confidence.HighestConfidence", "baseline": SFACE},
    ),
    "a metric of one's own": ("metric.center", {"_target_": "toy.CenterMetric"}),
    "a metric that is no mapping": ("metric.center", [SFACE]),
    "a metric as a method": ("method.random._target_", "bench.metrics.mufidelity.MuFidelity"),
    "a method as a metric": ("metric.mine", {"_target_": "bench.attribution.control.Random"}),
    "a network as a module": ("backbone.module", SFACE),
    "a network in the preprocessing": ("backbone.preprocessing.size", SFACE),
    "a network that brings its data": (
        "backbone",
        SFACE | {"gallery": {"_target_": "bench.backbones.sface.sface", "cache": "OUTSIDE/c"}},
    ),
    "a network beside what is explained": ("explain.other", SFACE),
    "a network among the images": ("select.seed", SFACE),
    "a network as the device": ("device", SFACE),
    "an adapter within": (
        "method.inverted.of",
        {"_target_": "bench.attribution.adapters.Function", "function": "os.mkdir"},
    ),
    "arguments by place": ("method.random._args_", ["evil"]),
    "a part of a call": ("method.random._partial_", True),
    "another conversion": ("dataset._convert_", "none"),
    "no recursion": ("backbone._recursive_", False),
    "an instruction that holds nothing": ("dataset.root", {"_target_": {}}),
    "a target that is a list": ("method.random._target_", ["os.mkdir"]),
    "a setting that is not shipped": ("method.random.cache", "OUTSIDE/cache"),
    "weights from elsewhere": ("backbone.weights", "pretrained"),
    "a lookup": ("method.random.label", "${oc.env:HOME}"),
    "a lookup of code": ("method.random.label", "${oc.decode:'[1]'}"),
    "a lookup in a key's place": ("dataset.root", {"a": ["${oc.create:{}}"]}),
    "a leaderboard elsewhere": ("name", "OUTSIDE/board"),
    "a leaderboard above": ("name", "../board"),
    "a network's name that leads up": ("backbone.name", "resnet18./../../../outside/net"),
    "a callback that is built": ("hydra.callbacks.evil", {"_target_": "os.mkdir", "path": "evil"}),
}  # fmt: skip

HARMLESS = {
    "results_dir": "OUTSIDE/results",
    "maps.folder": "OUTSIDE/maps",
    "hydra": {"run": {"dir": "OUTSIDE"}, "sweep": {"dir": "OUTSIDE"}, "job": {"chdir": True}},
    "hydra.searchpath": ["file://OUTSIDE"],
    "hydra.callbacks": {"evil": {"on_job_start": "os.mkdir"}},
    "shard": "../../1",
    "assets": {"root": "OUTSIDE/assets"},
    "reproduces": {"table": "OUTSIDE/table"},
    "dataset.name": "../../../outside/set",
    "method.random.label": "../../../outside/label",
    "protocol.name": "../../../outside/protocol",
}
"""What is not used, or only as a word: the run ends well."""


@pytest.fixture
def outside(bench, tmp_path, monkeypatch):
    """Gives what lies outside of the working directory's `rerun`: path -> content."""
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "outside").mkdir()
    monkeypatch.setenv("HOME", str(home))

    def snapshot():
        rerun = tmp_path / "here/rerun"
        return {
            path: path.read_bytes() if path.is_file() else None
            for path in tmp_path.rglob("*")
            if not path.is_relative_to(rerun)
        }

    return snapshot


def rewrite(path, key, value, folder):
    """Writes a value into a manifest, by key with dots; the method it names is the manifest's."""
    content = json.loads(Path(path).read_text())
    *parents, last = f"config.{key}".split(".")
    if parents[1:2] == ["method"] and parents[2] != "random":
        kind = {"inverted": "control.Inverted", "smdl": "submodular.Smdl"}[parents[2]]
        settings = {"_target_": f"bench.attribution.{kind}", "label": "x"}
        content["config"]["method"] = {parents[2]: settings}
        content["identity"]["method"]["name"] = parents[2]
    node = content
    for parent in parents:
        node = node.setdefault(parent, {})
    node[last] = value
    Path(path).write_text(json.dumps(content).replace("OUTSIDE", str(folder)))


def test_attacks_are_refused_and_leave_nothing(bench, manifest, outside, tmp_path):
    for attack, (key, value) in ATTACKS.items():
        path = manifest()
        rewrite(path, key, value, tmp_path / "outside")
        before = outside()
        code, _, err = bench(path, command="rerun")
        assert (code, err.count("\n"), "Traceback" in err) == (1, 1, False), f"{attack}: {err}"
        assert outside() == before, attack
        assert not Path("rerun/runs").exists(), attack


def test_the_attack_by_a_network_in_a_method_is_a_real_one(
    bench, manifest, outside, tmp_path, image_folder
):
    """Trusted, it leaves prototypes where it likes; without trust nothing of it is built."""
    gallery = {"_target_": "bench.datasets.listed.ImageList", "name": "faces"}
    gallery |= {"root": str(image_folder), "list": str(image_folder / "list.txt")}
    path = manifest()
    rewrite(path, "method.inverted.of", SFACE | {"gallery": gallery}, tmp_path / "outside")
    before = outside()
    assert_refused(bench(path, command="rerun"), "loads code that is not shipped", "inverted.of")
    assert outside() == before
    assert bench(path, "--trust", command="rerun")[0] == 1  # a network is no method
    assert list((tmp_path / "outside/cache").glob("*.safetensors"))


def test_what_is_not_used_does_not_harm(bench, manifest, outside, tmp_path):
    path = manifest()
    for key, value in HARMLESS.items():
        rewrite(path, key, value, tmp_path / "outside")
    before = outside()
    code, out, err = bench(path, command="rerun")
    assert code == 0, err
    assert "stored rows compared" in out
    assert outside() == before


@pytest.mark.parametrize("cache", [None, "OUTSIDE/cache"])
def test_prototypes_lie_in_the_folder_that_is_given(manifest, tmp_path, cache):
    """Also where the manifest leaves their folder out: the default is in the working directory."""
    path = manifest()
    network = {key: value for key, value in SFACE.items() if key != "cache"}
    for place in ("backbone", "explain.backbone"):
        rewrite(path, place, network | ({"cache": cache} if cache else {}), tmp_path)
    config = json.loads(Path(path).read_text())["config"]
    made = _changed(config, ["results_dir=mine"])
    assert made.backbone.cache == made.explain.backbone.cache == "mine/prototypes"
    assert not list(_foreign(config | {"method": {}}))


def test_links_in_the_folder_that_lead_out_of_it(bench, manifest, outside, tmp_path):
    path = manifest()
    Path("rerun").mkdir()
    Path("rerun/runs").symlink_to(tmp_path / "outside")
    before = outside()
    assert_refused(bench(path, command="rerun"), "links that lead out of it, found 'rerun/runs'")
    assert outside() == before


def test_labels_of_a_manifest_that_lead_out_of_the_folder(bench, outside):
    bench("method=[random]")
    (path,) = Path("results/runs").rglob("manifest.json")
    content = json.loads(path.read_text())
    (key,) = content["protocols"]
    rows = {key: {"label": "../x", "reproduces": None}}
    content["leaderboards"] = {"../../../outside/board": rows, "/tmp/board": rows}
    path.write_text(json.dumps(content))
    before = outside()
    code, _, err = bench("results", command="leaderboard")
    assert code == 0, err
    here = Path("results/leaderboards").absolute()
    assert all(path.is_relative_to(here) for path in outside().keys() - before.keys())


def test_a_method_whose_name_is_a_path(bench, manifest, outside):
    path = Path(manifest())
    content = json.loads(path.read_text())
    content["identity"]["method"]["name"] = name = "../../../outside/method"
    content["config"]["method"] = {name: content["config"]["method"]["random"]}
    path.write_text(json.dumps(content))
    before = outside()
    code, _, err = bench(str(path), command="rerun")
    assert code == 0, err
    assert outside() == before


def test_hostile_names_in_leaderboards(bench, tmp_path):
    dataset = {"name": HOSTILE, "num_images": 3, "list_sha256": "a", "pixels_sha256": "b"}
    begin(tmp_path / "made", HOSTILE, dataset=dataset).append(rows("a", "b", "c"))
    table = leaderboard(stored_runs(tmp_path / "made", "board"), "board")
    table = replace(table, name=HOSTILE)
    remarks = [HOSTILE]
    markdown = to_markdown(table, remarks)
    assert "<" not in markdown
    assert "\x1b" not in markdown
    for character in ("|", "[", "]", "`", "*"):
        inside = [line for line in markdown.splitlines() if "script" in line]
        assert len(inside) == 4  # heading, title, row, remark: no line was added
        for line in inside:
            bare = len(re.findall(rf"(?<!\\)(?:\\\\)*{re.escape(character)}", line))
            assert bare == (
                0 if character != "|" or not line.startswith("| ") else line.count(" | ") + 2
            )
    latex = to_latex(table, remarks)
    assert not re.search(r"^(?!%).*\\input", latex, flags=re.MULTILINE)
    assert not re.search(r"^new", latex, flags=re.MULTILINE)
    assert re.search(r"\\textbackslash\{\}input\\\{/etc/passwd\\\} \\\$", latex)
    assert pd.read_csv(pd.io.common.StringIO(to_csv(table.rows)))["method"].tolist() == [HOSTILE]
    code, out, _ = bench(str(tmp_path / "made"), command="leaderboard")
    assert code == 0
    assert "\x1b" not in out
    assert "[/red]" in "".join(out.split())


def test_hostile_file_names(bench, image_folder):
    """Image ids may hold anything that a path does."""
    path = image_folder / "class 0/photo 0.png"
    name = "<b>|$\\x$ [/red].png"  # a folder that ends in [
    (image_folder / name).parent.mkdir()
    path.rename(image_folder / name)
    text = (image_folder / "list.txt").read_text()
    (image_folder / "list.txt").write_text(text.replace("class 0/photo 0.png", name))
    code, _, err = bench("method=[random]", "figures=true")
    assert code == 0, err
    assert name in set(pd.read_parquet(next(Path("results").rglob("part-*")))["image_id"])
    code, out, err = bench("method=[random,wrong_shape]")
    assert code == 1
    assert f"'{name}' and 2 more images: method 'wrong_shape'" in err
    assert f"(a) 3 failed, {name} first: " in out
    (image_folder / name).write_bytes(b"")
    code, _, err = bench("method=[edge]")
    assert code == 1
    assert name in err
