"""Metrics that read boxes and masks, from a file of boxes to tables."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from bench import load_rows
from bench.storage.store import stored_runs

BOARD = "results/leaderboards/list_toy_xplique-probability"
OF_BOXES = (
    "pointing_game,energy_in_box,mass_accuracy,rank_accuracy,max_box_acc,max_box_acc_v2,grabcut_box"
)
ALL = f"+metric=[{OF_BOXES},segmentation,pxap]"
FEW = "+metric=[energy_in_box,max_box_acc,sparseness]"


@pytest.fixture
def marked(image_folder, tmp_path):
    """Boxes of five of the seven images, and masks of four; returns their settings."""
    masks = tmp_path / "masks"
    names = sorted(
        path.relative_to(image_folder).as_posix() for path in image_folder.rglob("*.png")
    )
    lines = ["image_id,x,y,width,height"]
    for number, name in enumerate(names):
        height, width, _ = cv2.imread(str(image_folder / name)).shape
        mask = np.zeros((height, width), np.uint8)
        mask[2 : height // 2, number : width // 2 + number] = 9
        if number < 5:
            lines.append(f'"{name}",{number},2,{width // 2},{height // 2 - 2}')
        if number > 2:
            (masks / name).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(masks / name), mask)
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("\n".join(lines), encoding="utf-8")
    return boxes, masks


def test_all_of_them_in_every_table(bench, marked):
    boxes, masks = marked
    code, out, err = bench(ALL, f"dataset.boxes={boxes}", f"dataset.masks={masks}")
    assert code == 0, err
    assert "Boxes: 5 in 5 of 7 images" in out and "Masks: of 4 of 7 images" in out
    assert "3 of 7 images have no mask: left out of segmentation, pxap" in out
    assert "have no box:" not in out  # two images have a mask alone, and the box around it
    assert (
        "3 of 7 images have no mask in the network's input: left out of means, intervals and tests "
        "of segmentation_iou, segmentation_accuracy, segmentation_ap, segmentation_roc, pxap" in out
    )
    table = pd.read_csv(f"{BOARD}.csv")
    names = [*OF_BOXES.split(","), "segmentation_iou", "segmentation_ap", "pxap"]
    for name in names:
        assert table[name].between(0, 1).all(), name
        assert (table[f"{name}_ci_low"] <= table[name]).all(), name
        assert (table[name] <= table[f"{name}_ci_high"]).all(), name
        assert f"{name}_letters" in table, name
    rows = load_rows("results")
    assert rows.groupby("method")["pointing_game"].count().tolist() == [7, 7]
    assert rows.groupby("method")["segmentation_accuracy"].count().tolist() == [4, 4]
    code, out, err = bench(ALL, f"dataset.boxes={boxes}", f"dataset.masks={masks}")
    assert "To do:" not in out and "Rows stored before: random 7 of 7, saliency 7 of 7" in out


def test_other_boxes_make_other_rows_of_these_metrics_alone(bench, marked):
    boxes, _ = marked
    first = boxes.read_text(encoding="utf-8")

    def ask():
        code, out, err = bench(FEW, f"dataset.boxes={boxes}", "method=[saliency]")
        assert code == 0, err
        (run,) = stored_runs(Path("results"))
        keys = {name: rows.key for name, rows in run.metrics.items()}
        return out, keys, run.rows().set_index("image_id")

    _, keys, rows = ask()
    boxes.write_text(first.replace(",2,", ",3,"), encoding="utf-8")
    out, other_keys, other = ask()
    changed = {name for name in keys if keys[name] != other_keys[name]}
    assert changed == {"energy_in_box", "max_box_acc"}
    assert "Rows stored before: saliency 7 of 7 (energy_in_box 0, max_box_acc 0)" in out
    assert (rows["sparseness"] == other["sparseness"]).all()
    having = rows["energy_in_box"].notna()
    assert having.sum() == 5 and (rows["energy_in_box"] != other["energy_in_box"])[having].any()
    boxes.write_text(first, encoding="utf-8")
    out, last_keys, last = ask()
    assert last_keys == keys and "To do:" not in out
    assert rows["energy_in_box"].equals(last["energy_in_box"])


def test_without_annotations_these_metrics_are_refused(bench, marked):
    code, _, err = bench("+metric=[pointing_game]")
    assert code == 1 and err.count("\n") == 1
    assert "metric 'pointing_game' on dataset 'list': no image has a box or mask" in err
    assert "dataset.boxes=FILE" in err
    code, _, err = bench("+metric=[pxap]", f"dataset.boxes={marked[0]}")
    assert code == 1 and "no image has a mask" in err and "dataset.masks=FOLDER" in err


def test_boxes_outside_their_images_are_refused_before_the_run(bench, marked):
    boxes, _ = marked
    text = boxes.read_text(encoding="utf-8").splitlines()
    boxes.write_text("\n".join([*text, text[1].rpartition('"')[0] + '",900,0,5,5']), "utf-8")
    code, _, err = bench("+metric=[pointing_game]", f"dataset.boxes={boxes}")
    assert code == 1 and "images with boxes that lie outside them (1)" in err and "line 2" in err
    code, _, _ = bench(f"dataset.boxes={boxes}", "method=[random]")  # nobody reads them
    assert code == 0


def test_their_keys_are_nobody_elses(bench, marked):
    """Rows of other metrics have the keys and bits that they have without any annotation."""
    boxes, masks = marked
    bench("method=[saliency]")
    bench(FEW, f"dataset.boxes={boxes}", f"dataset.masks={masks}", "method=[saliency]",
          "results_dir=marked")  # fmt: skip
    without, having = load_rows("results"), load_rows("marked")
    for curve in ("insertion_curve", "deletion_curve"):
        for left, right in zip(without[curve], having[curve], strict=True):
            assert (left == right).all()
    (first,), (second,) = (stored_runs(Path(each)) for each in ("results", "marked"))
    assert first.identity.key == second.identity.key
    for name in ("insertion", "deletion"):
        assert first.metrics[name].key == second.metrics[name].key


def test_a_rerun_compares_them(bench, marked):
    boxes, _ = marked
    bench(FEW, f"dataset.boxes={boxes}", "method=[saliency]")
    (run,) = stored_runs(Path("results"))
    code, out, err = bench(str(run.folder), command="rerun")
    assert code == 0 or "--trust" in err
    code, out, err = bench(str(run.folder), "--trust", command="rerun")
    assert code == 0, err
    assert "max box acc ious: the same bits" in out
    text = boxes.read_text(encoding="utf-8").replace(",2,", ",3,")
    boxes.write_text(text, encoding="utf-8")
    code, out, err = bench(str(run.folder), "--trust", command="rerun")
    assert "annotations.boxes: " in out
