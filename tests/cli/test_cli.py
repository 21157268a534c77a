"""The command line from end to end, with small pieces."""

import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from outcomes import assert_bad, files
from toy import ConvModel

from bench import load_rows
from bench.cli import main
from bench.storage.store import stored_runs

BOARD = Path("results/leaderboards/list_toy_xplique-probability.csv")


DIAGRAMS = "curves distributions scatter ranks cost_passes cost_seconds".split()


def test_a_run_writes_everything_under_results_dir(bench):
    code, out, _ = bench("figures=true")
    assert code == 0
    assert [path.name for path in Path().iterdir()] == ["results"]
    assert sorted(path.name for path in Path("results").iterdir()) == [
        "hydra", "leaderboards", "maps", "pictures", "runs",
    ]  # fmt: skip
    rows = load_rows("results").drop_duplicates("image_id")
    right = (rows["prediction"] == rows["target"]).sum()
    assert 0 < right < 7
    assert f"toy on list: top-1 right on {right} of 7 images" in out
    assert str(BOARD) in out
    table = pd.read_csv(BOARD)
    assert sorted(table["method"]) == ["random", "saliency"]
    assert (table["n_images"] == 7).all()
    tables = (".bib", ".csv", ".md", ".tex", "_statistics.md", "_pairs.csv", "_figures.json")
    names = {path.name for path in BOARD.parent.iterdir()}
    drawn = (*DIAGRAMS, "maps", "gallery_saliency")
    figures = {f"_{name}.{kind}" for name in drawn for kind in ("png", "svg")}
    assert names == {BOARD.stem + ending for ending in (*tables, *figures)}
    assert f"{BOARD.stem}_*.png, .svg" in out


def test_the_same_command_again_recomputes_nothing(bench):
    bench()
    before, csv = files("results/runs"), BOARD.read_bytes()
    code, out, _ = bench()
    assert code == 0
    assert " images, " not in out
    assert "To do" not in out
    assert files("results/runs") == before
    assert BOARD.read_bytes() == csv


def test_a_new_method_joins_the_table_and_the_old_rows_stay(bench):
    bench()
    before = files("results/runs")
    bench("method=[edge]", "method.edge.label='edge, Sobel'")
    assert before.items() <= files("results/runs").items()
    assert set(pd.read_csv(BOARD)["method"]) == {"random", "saliency", "edge, Sobel"}


def test_an_interrupted_run_goes_on_where_it_stopped(bench, monkeypatch):
    bench("results_dir=whole", "block_size=2")
    from bench.storage.store import Run

    append, calls = Run.append, []

    def killed(self, rows):
        calls.append(self.folder)
        if len(calls) == 4:
            raise KeyboardInterrupt
        append(self, rows)

    monkeypatch.setattr(Run, "append", killed)
    code, _, err = bench("results_dir=broken", "block_size=2")
    assert code == 130
    assert "the same command goes on from there" in err
    code, out, _ = bench("broken", command="leaderboard")
    assert code == 0
    assert "3 of 7 images missing" in out
    monkeypatch.setattr(Run, "append", append)
    parts = files("broken/runs")
    assert sum(path.suffix == ".parquet" for path in parts) == 3 * 2  # two metrics
    bench("results_dir=broken", "block_size=2")
    assert {p: t for p, t in files("broken/runs").items() if p.suffix == ".parquet"}.items() >= {
        p: t for p, t in parts.items() if p.suffix == ".parquet"
    }.items()
    whole, broken = (load_rows(folder).drop(columns="seconds") for folder in ("whole", "broken"))
    pd.testing.assert_frame_equal(whole, broken, check_exact=True)
    name = BOARD.name
    assert Path(f"whole/leaderboards/{name}").read_bytes() == (
        Path(f"broken/leaderboards/{name}").read_bytes()
    )


def test_sweeps_make_rows_that_do_not_collide(bench):
    code, _, _ = bench("-m", "method=[rise]", "method.rise.num_masks=2,3", "seed=0,1")
    assert code == 0
    assert [path.name for path in Path().iterdir()] == ["results"]
    table = pd.read_csv(BOARD)
    assert sorted(table["method"]) == [
        f"rise (num_masks={masks}, seed={seed})" for masks in (2, 3) for seed in (0, 1)
    ]
    assert table["insertion_auc"].nunique() == 4
    rows = load_rows("results")
    assert set(rows["method"]) == {"rise"}
    means = rows.groupby("label")["insertion_auc"].mean()
    assert means.to_dict() == pytest.approx(
        dict(zip(table["method"], table["insertion_auc"], strict=True)), abs=1e-6
    )


def test_a_new_label_or_version_of_a_method(bench, monkeypatch):
    bench("method=[edge]")
    before = {p: t for p, t in files("results/runs").items() if p.suffix == ".parquet"}
    bench("method=[edge]", "method.edge.label=Sobel")
    assert pd.read_csv(BOARD)["method"].tolist() == ["Sobel"]
    assert {p: t for p, t in files("results/runs").items() if p.suffix == ".parquet"} == before
    monkeypatch.setattr("bench.attribution.control.Edge.version", 2)
    bench("method=[edge]", "method.edge.label=Sobel")
    assert sorted(pd.read_csv(BOARD)["method"]) == ["Sobel (version=1)", "Sobel (version=2)"]


def test_leaderboard_is_written_again_from_stored_rows(bench):
    bench("name=mine")
    path = Path("results/leaderboards/mine.csv")
    csv = path.read_bytes()
    path.unlink()
    code, out, _ = bench("results", command="leaderboard")
    assert code == 0
    assert path.read_bytes() == csv
    assert "saliency" in out


def test_another_auc_rule_needs_no_model(bench, monkeypatch):
    bench("method=[random]")
    csv = BOARD.read_bytes()
    monkeypatch.setattr("bench.evaluation.loop.evaluate_runs", None)
    code, out, _ = bench("results", "auc=mean", command="leaderboard")
    assert code == 0
    assert "AUC: mean" in out
    assert BOARD.read_bytes() == csv
    (row,) = pd.read_csv(BOARD.with_stem(BOARD.stem + "_mean")).to_dict("records")
    assert row["auc"] == "mean"
    curves = np.stack(load_rows("results")["insertion_curve"].tolist()).astype(np.float64)
    assert row["insertion_auc"] == pytest.approx(curves.mean(), abs=1e-6)
    found = load_rows("results", auc="mean")["insertion_auc"]
    assert found.to_numpy() == pytest.approx(curves.mean(axis=1))
    assert_bad(bench("auc=meen", command="leaderboard"), "Did you mean 'mean'")


def test_the_colour_of_a_constant_baseline_is_told(bench):
    _, out, _ = bench("method=[random]")
    assert "insertion baseline: RGB (120, 110, 100)" in out


def test_precision_is_part_of_a_row(bench):
    bench("method=[random]")
    bench("method=[random]", "precision=bf16")
    methods = pd.read_csv(BOARD).set_index("method")["insertion_auc"]
    assert set(methods.index) == {"random (precision=fp32)", "random (precision=bf16)"}
    assert 0 < abs(methods.diff().iloc[1]) < 0.01
    assert_bad(bench("precision=fp8"), "precision: unknown name 'fp8'")


def test_every_baseline_runs_under_a_protocol_of_its_own(bench):
    for kind in ("{kind: constant, rgb: [0, 128, 255]}", "{kind: mean}", "{kind: uniform}"):
        name = kind.split()[1].strip("},") + "-baseline"
        code, out, _ = bench(
            f"protocol.name={name}",
            f"++protocol.metrics.insertion.baseline={kind.replace(' ', '')}",
            f"++protocol.metrics.deletion.baseline={kind.replace(' ', '')}",
        )
        assert code == 0
        assert ("RGB (0, 128, 255)" in out) == (name == "constant-baseline")
        rows = load_rows("results", f"list_toy_{name}")
        # All methods meet the same baseline.
        assert (rows.groupby("image_id")["baseline_score"].nunique() == 1).all()


def test_gallery_keeps_the_first_maps(bench):
    bench("gallery=2")
    for run in stored_runs(Path("results")):
        for name in ("class 0/photo 0.png", "class 1/photo 1.png"):
            assert run.load_map(name).shape == (23, 23)


def test_paths_with_spaces_and_equals_signs(bench, image_folder):
    odd = image_folder.rename(image_folder.parent / "a=b c")
    code, _, _ = bench(
        f'dataset.root="{odd}"', f'dataset.list="{odd}/list.txt"', 'results_dir="out=1 x"'
    )
    assert code == 0
    assert Path("out=1 x/leaderboards").is_dir()


@pytest.mark.parametrize("argument", ["precision=half", "batch_size=0", "seed=-1"])
def test_settings_are_refused_before_an_image_is_read(bench, monkeypatch, argument):
    monkeypatch.setattr("bench.experiment.run.build_dataset", None)
    assert_bad(bench(argument), argument.partition("=")[0])


def test_settings_of_methods_not_chosen_are_told(bench):
    code, out, _ = bench("experiment=demo", "method=[random]", "gallery=0")
    assert code == 0
    assert "Not chosen, so their settings are not used: rise" in out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["method=[random,rize]"], ["unknown name 'rize'", "Did you mean 'rise'?", "saliency"]),
        (["backbone=toi"], ["Did you mean 'toy'?", "efficientnet_lite0"]),
        (["dataset=lst"], ["Did you mean 'list'?"]),
        (["protocol=rize"], ["Did you mean 'rise'?"]),
        (["experiment=dmo"], ["Did you mean 'demo'?"]),
        (["method=[rise]", "method.rise.num_masks=-3"], ["method.rise.num_masks", ">= 1", "-3"]),
        (["method=[rise]", "method.rise.masks=3"], ["method.rise.masks"]),
        (["method=[rise]", "+method.rise.masks=3"], ["method.rise", "'masks'"]),
        (["method=[]"], ["none is chosen"]),
        (["protocol.metrics.insertion.steps=3"], ["frozen", "protocol.name=NAME"]),
        (["backbone.classes=3"], ["label 3 of 'class 3/photo 3.png'", "0..2"]),
        (["backbone.output_kind=cosines"], ["cannot be read off cosines"]),
        (["dataset.list=nowhere.txt"], ["dataset.list", "nowhere.txt"]),
        (["dataset.list=???"], ["add dataset.list=VALUE"]),
        (["device=cuda:99"], ["device: 'cuda:99'"]),
        (["batch_size=0"], ["batch_size", ">= 1", "0"]),
        (["seed=-1"], ["seed: expected an integer >= 0, found -1"]),
        (["block_size=0"], ["block_size: expected an integer >= 1, found 0"]),
        (["workers=0"], ["workers: expected an integer >= 1, found 0"]),
        (["select.subset=right"], ["select.subset: unknown name 'right'"]),
        (["select.per_class=0"], ["select.per_class: expected an integer >= 1, found 0"]),
        (["+select.steps=3"], ["select: expected the settings subset, per_class"]),
        (["gallery=-1"], ["gallery: expected an integer >= 0, found -1"]),
        (["results_dir=taken"], ["results_dir", "'taken'", "Not a directory"]),
        (["-m", "seed=1,2", "results_dir=/proc/nope"], ["results_dir", "'/proc/nope'"]),
        (["dataset.root=a=b"], ["'dataset.root=a=b'", "quote"]),
        (["name=${nothing}"], ["nothing"]),
        (["name=a/b"], ["name: 'a/b' cannot be a file's name", "name=a-b"]),
        (["name=.."], ["name", "cannot be a file's name"]),
        (["method=null"], ["method: expected a name, found null"]),
        (["experiment=null"], ["experiment: expected a name, found null"]),
        (["reproduces={table:x}"], ["reproduces.backbone: expected text, found None"]),
        (
            ["reproduces={table:x,backbone:y,list:z}"],
            ["reproduces.list: unknown name 'z'", "cub200/eval-resnet"],
        ),
        (["name=demo_mean"], ["name: expected one that does not end in '_mean'", "'demo'"]),
        (["name=demo_Statistics"], ["name: expected one that does not end in '_statistics'"]),
        (["protocol.name=permutation"], ["name: expected one that does not end in '_permutation'"]),
        (["results_dir="], ["results_dir: expected a folder"]),
        (["results_dir=null"], ["results_dir: expected a folder"]),
        (["device=meta"], ["device: 'meta'"]),
        (["figures=maybe"], ["figures: expected true or false"]),
        (["method=[no_method]"], ["method.no_method", "subclass of", "toy.LinearModel"]),
        (["method=[broken_yaml]"], ["expected"]),
        (["dataset=no_data"], ["dataset: expected _target_ to be a subclass", "toy.Constant"]),
        (["method=[elsewhere]"], ["method.elsewhere: cannot build", "nowhere"]),
    ],
)
def test_bad_input_is_one_line_and_exit_code_1(bench, arguments, expected):
    Path("taken").write_text("")
    assert_bad(bench(*arguments), *expected)


def test_missing_extra(bench, monkeypatch):
    monkeypatch.setattr("bench.datasets.photos.find_spec", lambda name: None)
    assert_bad(bench("dataset=photos"), "insdel-bench[demo]")


def test_broken_images_are_all_named(bench, image_folder):
    (image_folder / "class 0/photo 0.png").write_bytes(b"")
    path = image_folder / "class 3/photo 3.png"
    path.write_bytes(path.read_bytes()[:-40])
    assert_bad(bench(), "photo 0.png", "photo 3.png")


def test_a_failing_method_loses_nothing_of_the_others(bench):
    outcome = bench("method=[random,wrong_shape]")
    assert_bad(outcome, "method 'wrong_shape'", "(1, 23, 23)", "(1, 3, 23, 23)")
    table = pd.read_csv(BOARD).set_index("method")
    assert table.loc["random", "rank"] == 1
    assert table.loc["wrong_shape", "n_missing"] == 7
    assert np.isnan(table.loc["wrong_shape", "insertion_auc"])


def test_a_method_that_raises_loses_nothing_of_the_others(bench):
    code, _, err = bench("method=[random,raises]")
    assert code == 1
    assert "and 2 more images: method 'raises' raised ZeroDivisionError: " in err
    assert "in __call__" in err  # the traceback is for the method's author
    table = pd.read_csv(BOARD).set_index("method")
    assert table["n_missing"].to_dict() == {"random": 0, "raises": 7}


def test_names_that_look_like_numbers(bench):
    names = ["name=2024", "method.random.label=1", "dataset.name=3"]
    for _ in range(2):
        code, _, _ = bench("method=[random]", *names)
        assert code == 0
    assert pd.read_csv("results/leaderboards/2024.csv")["method"].tolist() == [1]


def test_figures_show_the_whole_table(bench, monkeypatch):
    drawn = []

    def draw(comparison):
        drawn.append(set(comparison.runs))
        return []

    monkeypatch.setattr("bench.report.writer.diagrams", draw)
    bench("method=[random,wrong_shape]", "figures=true")
    bench("method=[edge]", "figures=true")
    bench("method=[edge]", "figures=true", "seed=1")
    bench("method=[center]", "dataset.max_images=2", "figures=true")
    assert drawn == [
        {"random"},
        {"random", "edge"},
        {"random", "edge (seed=0)", "edge (seed=1)"},
        {"center"},
    ]


def test_stored_rows_are_told(bench):
    assert "stored before" not in bench("method=[random]")[1]
    assert "Rows stored before: random 7 of 7" in bench("method=[random,edge]")[1]


def test_nan_maps_name_method_and_image(bench):
    assert_bad(bench("method=[not_finite]"), "method 'not_finite'", "'class 2/photo 2.png'")


def test_one_bad_job_does_not_end_a_sweep(bench):
    code, _, err = bench("-m", "method=[rise]", "method.rise.num_masks=-1,2")
    assert code == 1
    assert "num_masks: expected an integer >= 1, found -1" in err
    assert pd.read_csv(BOARD)["n_images"].tolist() == [7]


def test_leaderboard_of_nothing(bench):
    assert_bad(bench("nowhere", command="leaderboard"), "'nowhere' is missing")
    Path("empty").mkdir()
    assert_bad(bench("empty", command="leaderboard"), "no runs in 'empty'")


@pytest.mark.parametrize(
    "what", ["methods", "backbones", "datasets", "protocols", "metrics", "experiments"]
)
def test_list(bench, what):
    code, out, _ = bench(what, command="list")
    assert code == 0
    known = {"methods": "rise", "backbones": "efficientnet_lite0", "datasets": "photos",
             "protocols": "smdl-cub", "metrics": "mufidelity", "experiments": "demo"}  # fmt: skip
    assert known[what] in out


def test_list_shows_a_users_own(bench, toy_conf):
    assert "One value everywhere" in bench("methods", "-cd", str(toy_conf), command="list")[1]


def test_a_run_says_and_keeps_which_list_it_used(bench, image_folder):
    _, out, _ = bench("method=[random]")
    note = f"List: {image_folder}/list.txt: 7 lines, none of the published lists; sha256 "
    assert note in out
    (run,) = stored_runs(Path("results"))
    (kept,) = run.manifest.provenance["dataset"]
    assert kept.startswith(note)


def test_a_run_on_a_selection_is_a_run_on_its_list(bench, image_folder):
    code, out, _ = bench("method=[random]", "select.subset=misclassified", "select.max_images=2")
    assert code == 0
    assert "predictions: 7/7 images, " in out
    assert "random: 2/2 images, " in out
    (path,) = Path("results/lists").glob("*.txt")
    assert f"Selected 2 of 7 images (subset=misclassified, max_images=2, seed=0): {path}; " in out
    rows = load_rows("results")
    assert len(rows) == 2
    assert (rows["prediction"] != rows["target"]).all()
    before = files("results/runs")
    _, out, _ = bench("method=[random]", f"dataset.list={path}")
    assert "Rows stored before: random 2 of 2" in out
    assert files("results/runs") == before
    _, out, _ = bench("method=[random]", "select.subset=misclassified", "select.max_images=2")
    assert " images, " not in out
    assert "To do" not in out


def test_a_table_fits_a_narrow_terminal(bench, monkeypatch):
    """What has no room is left out and told: tests/report/tables/test_terminal.py."""
    monkeypatch.setenv("COLUMNS", "40")
    _, out, _ = bench("method=[random]")
    (head,) = [line for line in out.splitlines() if " ins ↑ " in line]
    assert head.split()[:4] == ["#", "method", "ins", "↑"]
    assert len(head.rstrip()) <= 40
    assert "No room here, but in the files:" in out


def test_no_choice_is_said_with_a_tilde(bench):
    assert_bad(bench("backbone@explain.backbone=null"), "say ~backbone@explain.backbone")
    assert bench("method=[saliency]", "~backbone@explain.backbone")[0] == 0


def test_a_run_says_what_it_will_cost(bench):
    code, out, _ = bench("method=[random,saliency]")
    assert code == 0
    (line,) = [line for line in out.splitlines() if line.startswith("To do: ")]
    assert line.startswith("To do: 259 forward and 7 backward passes, about ")  # 7 * (2 * 18 + 1)
    assert (
        "Maps:  14.8 kB more in results/maps (maps.keep=false keeps none" in out
    )  # 7 * 23 * 23 * 4
    table = pd.read_csv(BOARD, index_col="method")
    assert table.loc["saliency", ["forward_passes", "backward_passes"]].tolist() == [1, 1]
    assert table.loc["random", ["forward_passes", "backward_passes"]].tolist() == [0, 0]
    assert "| 1+1 |" in BOARD.with_suffix(".md").read_text()


def test_maps_serve_every_protocol(bench):
    bench("method=[saliency,random]")
    (maps,) = Path("results/maps").iterdir()  # random makes no passes: it is not worth the disk
    before = files(maps)
    code, out, _ = bench("method=[saliency]", "protocol=smdl-cub")
    assert code == 0
    assert "Rows stored before: saliency 7 of 7 (insertion 0)" in out  # deletion is the same
    assert "To do: 168 forward and 0 backward passes" in out  # 7 * 24
    assert "Maps:" not in out
    assert files(maps) == before
    bench("method=[saliency]", "protocol=smdl-cub", "maps.keep=false", "results_dir=none")
    assert not Path("none/maps").exists()
    kept, none = (load_rows(folder) for folder in ("results", "none"))
    kept = kept[kept["protocol"] == "smdl-cub"].reset_index(drop=True)
    pd.testing.assert_frame_equal(
        kept.drop(columns="seconds"), none.drop(columns="seconds"), check_exact=True
    )
    bench("method=[saliency]", "protocol=smdl-cub", "maps.dtype=float16", "results_dir=half")
    assert set(load_rows("half")["run_key"]).isdisjoint(kept["run_key"])
    assert_bad(bench("maps.dtype=int8"), "maps.dtype", "int8", "float16")
    assert_bad(bench("maps.keep=3"), "maps.keep: expected true or false, found 3")


def test_another_network_or_score_may_be_explained(bench, toy_conf):
    (toy_conf / "backbone/seed1.yaml").write_text("_target_: toy.backbone\nclasses: 4\nseed: 1\n")
    bench("method=[saliency]")
    code, out, _ = bench("method=[saliency]", "backbone@explain.backbone=seed1")
    assert code == 0
    bench("method=[saliency]", "explain.score=logit")
    code, out, _ = bench("method=[saliency]", "backbone@explain.backbone=toy")  # the same network
    assert "Rows stored before: saliency 7 of 7" in out
    table = pd.read_csv(BOARD)
    assert len(table) == 3
    assert table["insertion_auc"].nunique() == 3
    assert table["mean_clean_score"].nunique() == 1
    explained = [run.identity.explain for run in stored_runs(Path("results"))]
    assert sorted(found.score for found in explained) == ["logit", "probability", "probability"]
    assert sum(found.backbone is None for found in explained) == 2
    assert len(list(Path("results/maps").iterdir())) == 3
    assert_bad(bench("explain.score=nonsense"), "score", "nonsense", "probability")
    assert_bad(bench("backbone@explain.backbone=nobody"), "nobody", "seed1")
    for change, expected in (
        ("classes=5", "expected classes as of backbone 'toy', 4, found 5 of 'toy'"),
        ("size=24", "expected inputs as of backbone 'toy', 23, found 24 of 'toy'"),
    ):
        new = "+" if change.startswith("size") else ""
        override = f"{new}explain.backbone.{change}"
        assert_bad(bench("backbone@explain.backbone=toy", override), "explain.backbone", expected)


def test_select_writes_the_list_and_evaluates_nothing(bench, image_folder):
    code, out, _ = bench("select.subset=correct", command="select")
    assert code == 0
    assert [path.name for path in Path("results").iterdir()] == ["lists"]
    (path,) = Path("results/lists").glob("*.txt")
    assert str(path) in out
    assert "Selected" in out
    code, out, _ = bench("backbone=elsewhere", command="select")
    assert code == 1
    code, out, _ = bench("backbone.classes=???", command="select")  # not needed, so not built
    assert code == 0
    assert "Selected 7 of 7 images (subset=all)" in out


def test_a_data_set_of_ones_own(bench):
    code, out, _ = bench("dataset=drawn", "dataset.count=4", "method=[random]")
    assert code == 0
    assert "Drawn just now" in out
    rows = load_rows("results")
    assert rows[["image_id", "target"]].to_numpy().tolist() == [[f"{i}.png", i] for i in range(4)]
    code, out, _ = bench("dataset=drawn", command="check")
    assert code == 0
    assert "images that can be read: 3 of 3" in out


def test_check_a_data_set(bench, image_folder):
    code, out, _ = bench(command="check")
    assert code == 0
    assert "images that can be read: 7 of 7" in out
    assert [p.as_posix() for p in Path("results").rglob("*.png")] == ["results/checks/list.png"]
    (image_folder / "class 0/photo 0.png").write_bytes(b"")
    (image_folder / "class 2/photo 2.png").write_bytes(b"")
    code, out, err = bench(command="check")
    assert code == 1
    assert "PROBLEM images that can be read: 5 of 7" in out
    assert "bench: error: images that cannot be read (2): " in err


@pytest.mark.parametrize(
    ("command", "arguments", "expected"),
    [
        ("check", ["dataset=lst"], ["Did you mean 'list'?"]),
        ("check", ["dataset.roots=3"], ["'dataset.roots': did you mean dataset.root=3"]),
        ("select", ["--multirun"], ["expected key=value", "'--multirun'"]),
        ("select", ["dataset.root=nowhere"], ["dataset.root: 'nowhere' is not a folder"]),
        ("select", ["results_dir=/proc/nope"], ["results_dir"]),
        ("select", ["select.subset=right"], ["select.subset"]),
    ],
)
def test_bad_input_of_the_other_commands(bench, command, arguments, expected):
    assert_bad(bench(*arguments, command=command), *expected)


def test_check_a_backbone(bench):
    code, out, _ = bench("backbone=toy", "batch_size=4", command="check")
    assert code == 0
    assert "images that can be read: 7 of 7" in out  # both are named
    for line in (
        "backbone toy",
        "input           23 x 23, rgb, cv2_linear",
        "zero baseline   RGB (120, 110, 100)",
        "outputs         4 logits; score: output",
        "CAM layer       last (8, 12, 12)",
        "feature layer   none",
        "parameters      656",
        "images/s in batches of 4, fp32, cpu",
    ):
        assert " ".join(line.split()) in " ".join(out.split())
    cosines = ["backbone=toy", "backbone.output_kind=cosines", "protocol=smdl-cub"]
    assert_bad(bench(*cosines, command="check"), "cannot be read off cosines")


def test_check_needs_something_to_check(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["check", "seed=3"])
    assert stop.value.code == 1
    assert "expected what to check" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["select", "check"])
def test_help_of_the_other_commands(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert "KEY=VALUE" in capsys.readouterr().out


def test_help_is_about_bench(capsys):
    def output(*arguments):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code in (None, 0)
        return capsys.readouterr().out

    assert "bench run experiment=demo" in output("--help")
    text = output("run", "--help")
    assert "bench run dataset=list dataset.root=FOLDER" in text
    assert "gradient_input" in text
    assert "results_dir: results" in text


def module_backbone(*arguments):
    declared = {"size": 23, "mean": "[120,110,100]", "std": "[60,61,62]"}
    return [
        "backbone=module",
        "backbone.module={_target_:toy.ConvModel,classes:4}",
        "backbone.name=mine",
        "backbone.output_kind=logits",
        *(f"backbone.preprocessing.{key}={value}" for key, value in declared.items()),
        *arguments,
    ]


def test_own_module_with_a_checkpoint(bench, tmp_path):
    """Its hash is in the manifest, and other weights are another row."""
    torch.save({"model": ConvModel(4, seed=5).state_dict()}, tmp_path / "mine.pth")
    digest = hashlib.sha256((tmp_path / "mine.pth").read_bytes()).hexdigest()
    weights = [f'backbone.weights="{tmp_path}/mine.pth"', f"backbone.sha256={digest}"]
    assert bench(*module_backbone(*weights))[0] == 0
    (manifest, _) = (run.manifest for run in stored_runs(Path("results")))
    assert manifest.provenance["weights_file_sha256"] == digest
    bench(*module_backbone())
    assert len(list(Path("results/runs").glob("list_mine/random-*"))) == 2


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["backbone=resnet101"], ["add backbone.weights=VALUE"]),
        (["backbone=resnet101", "backbone.weights=lost.pth"], ["'lost.pth' is missing"]),
        (["backbone=module"], ["backbone.module=VALUE"]),
        (module_backbone("backbone.preprocessing.std=[1,0,1]"), ["std: expected no zero"]),
        (["backbone=sface"], ["backbone.head=FILE", "dataset@backbone.gallery", "neither"]),
        (["backbone=sface", "dataset@backbone.gallery=lits"], ["Did you mean 'list'"]),
    ],
)
def test_bad_backbones(bench, arguments, expected):
    assert_bad(bench(*arguments), *expected)


def test_prototypes_of_a_gallery(bench, image_folder):
    """Class vectors from some images serve others; the same images are refused."""
    lines = (image_folder / "list.txt").read_text().splitlines()
    (image_folder / "gallery.txt").write_text("\n".join(lines[:4]))  # one of each class
    (image_folder / "others.txt").write_text("\n".join(lines[4:]))
    gallery = [
        "backbone=sface",
        "dataset@backbone.gallery=list",
        f'backbone.gallery.root="{image_folder}"',
        f'backbone.gallery.list="{image_folder}/gallery.txt"',
        "protocol=smdl-face",
        "method=[random]",
    ]
    code, out, _ = bench(*gallery, f'dataset.list="{image_folder}/others.txt"')
    assert code == 0
    assert "sface on list" in out
    (prototypes,) = Path("results/prototypes").glob("*.safetensors")
    assert prototypes.stat().st_size > 4 * 4 * 128
    assert_bad(bench(*gallery), "backbone.gallery: 4 of 7 evaluated images are in it")


def test_a_gallery_of_other_people_is_refused(bench, image_folder):
    """Labels are ranks of folder names, so that a missing person would shift them."""
    for split, people in (("gallery", ["anna", "berta"]), ("test", ["anna", "carla"])):
        for number, person in enumerate(people):
            folder = image_folder / split / person
            folder.mkdir(parents=True)
            photo = (
                image_folder / f"class {number}/photo {number + (4 if split == 'test' else 0)}.png"
            )
            (folder / "photo.png").write_bytes(photo.read_bytes())
    arguments = ["experiment=demo_faces", f'faces_root="{image_folder}"', "method=[random]"]
    arguments += ["dataset=folder", "backbone=sface", "batch_size=4"]
    assert_bad(bench(*arguments), "label 1 is 'berta' there, but 'carla' in dataset 'faces'")
    (image_folder / "test/carla").rename(image_folder / "test/berta")
    code, out, _ = bench(*arguments)
    assert code == 0
    assert "sface on faces" in out


def test_methods_named_by_methods(bench, toy_conf):
    """By name, with settings of their own, one inside the other, and one of the user's."""
    (toy_conf / "method/twice.yaml").write_text(
        "twice:\n  _target_: bench.attribution.control.Inverted\n  of: inverted\n"
    )
    arguments = ["method=[saliency,twice,blurred,inverted]", "method.blurred.of=flat"]
    code, _, err = bench(*arguments, "++method.inverted.of={method:rise,num_masks:5}")
    assert code == 0, err
    table = pd.read_csv(BOARD).set_index("method")
    assert table.loc["twice", "insertion_auc"] == table.loc["saliency", "insertion_auc"]
    (manifest,) = Path("results/runs").glob("*/inverted-*/manifest.json")
    settings = json.loads(manifest.read_text())["identity"]["method"]["settings"]
    assert settings["of"]["num_masks"] == 5
    assert settings["of"]["grid_size"] == 7
    assert_bad(bench("method=[blurred]", "method.blurred.of=salency"), "Did you mean 'saliency'")
    assert_bad(bench("method=[blurred]", "method.blurred.of=3"), "expected the name of a method")


def test_maps_made_elsewhere(bench, image_folder):
    """Their content is part of the row's identity; missing ones are told before anything runs."""
    names = [
        line.rpartition(" ")[0] for line in (image_folder / "list.txt").read_text().splitlines()
    ]
    for number, name in enumerate(names):
        path = (Path("maps") / name).with_suffix(".npy")
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.random.default_rng(number).random((23, 23)))
    arguments = ["method=[stored]", "method.stored.root=maps"]
    assert bench(*arguments)[0] == 0
    bench(*arguments)
    assert len(list(Path("results/runs").glob("*/stored-*"))) == 1
    np.save(path, np.zeros((23, 23)))
    bench(*arguments)
    assert len(list(Path("results/runs").glob("*/stored-*"))) == 2
    path.unlink()
    assert_bad(bench(*arguments), "1 of 7 maps are missing", path.name)
    assert_bad(bench("method=[stored]"), "add method.stored.root=VALUE")


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("list methods > /dev/full", 1, "standard output cannot be written (No space left"),
        ("run method=[random] dataset.max_images=1 gallery=0 > /dev/full", 1, "No space left"),
        ("list methods | head -1", 0, ""),
        ("list nonsense 2> /dev/full", 2, ""),
        ("leaderboard nowhere 2> /dev/full", 1, ""),
    ],
)
def test_what_cannot_be_written(tmp_path, command, code, said):
    program = f"'{sys.executable}' -m bench {command}"
    made = subprocess.run(
        ["bash", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert made.returncode == code
    assert said in made.stderr
    assert made.stderr.count("\n") == bool(said)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_terminals_that_lack_letters(bench, image_folder, monkeypatch, encoding):
    """Names, tables and progress are shown with escapes."""
    path = image_folder / "class 0/photo 0.png"
    path.rename(path.with_name("photö 日.png"))
    text = (image_folder / "list.txt").read_text().replace("class 0/photo 0", "class 0/photö 日")
    (image_folder / "list.txt").write_text(text)
    streams = [io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(2)]
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    monkeypatch.setenv("COLUMNS", "20")
    code, *_ = bench("method=[random,wrong_shape]", 'dataset.name="vögel 日"')
    out, err = (stream.buffer.getvalue().decode(encoding) for stream in streams)
    assert code == 1
    assert "Traceback" not in err
    assert "\\u65e5.png' and 2 more images" in err
    assert "\\u65e5" in out


@pytest.mark.parametrize(
    "argument",
    [
        "seed=18446744073709551616", "device=null", "store=null", "maps=null", "explain=null",
        "maps.folder='~no_such_user/x'", "explain.backbone=word", "select.subset=[]",
        "protocol.name=3", 'name="a\udce9"', "dataset.name=null", "protocol.metrics=null",
        "gallery=1e400",
        "protocol.metrics.deletion.baseline=word", "protocol.metrics.deletion.baseline.kind={}",
        "method.saliency._target_=[a]",
    ],
)  # fmt: skip
def test_values_of_another_kind_are_told_in_a_line(bench, argument):
    code, _, err = bench(argument)
    assert (code, err.count("\n"), "Traceback" in err) == (1, 1, False), err
