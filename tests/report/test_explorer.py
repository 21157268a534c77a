import base64

import cv2
import numpy as np
import pytest
from stored_results import SIDE, write_results

from bench.errors import BenchWarning
from bench.leaderboard.comparison import comparisons
from bench.metrics.baseline import ZeroBaseline
from bench.metrics.deletion import Deletion
from bench.metrics.insertion import Insertion
from bench.metrics.protocol import Protocol, load_protocol
from bench.report.explorer import explorer, level_map, levels
from bench.report.steps import step_of_pixel, step_pictures
from bench.storage.pictures import Picture, load_picture, pictures_folder, save_picture
from bench.storage.store import stored_runs

CURVES = ("insertion", "deletion")
PLENTY = 10**9


def compared(folder):
    return comparisons(stored_runs(folder, "board"), "board")[0]


def decoded(uri):
    content = base64.b64decode(uri.partition(",")[2])
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize(
    ("insertion", "deletion"),
    [
        ({"steps": 10}, {"steps": 10}),
        ({"steps": 25}, {"steps": 10}),
        ({"rows_per_step": 1}, {"rows_per_step": 1}),
        ({"rows_per_step": 1}, {"steps": 7, "max_fraction": 0.5}),
        ({"steps": -1}, {"steps": -1}),
        ({"steps": -1}, {"steps": 300}),
    ],
)
def test_levels_hold_the_steps_of_both_curves(insertion, deletion):
    curves = Insertion(ZeroBaseline(), **insertion), Deletion(ZeroBaseline(), **deletion)
    settings = Protocol.of("mine", "output", "stable", *curves)
    height, width = 36, 40
    counts = {name: curve.counts(height, width) for name, curve in settings.curves.items()}
    lengths = {name: len(every) for name, every in counts.items()}
    known = levels(settings, lengths, height, width)
    saliency_map = np.random.default_rng(0).integers(0, 99, (height, width)).astype(np.float32)
    coded = level_map(saliency_map, settings, known)
    assert coded.dtype == np.uint8
    for name in CURVES:
        points, steps = known.points[name], step_of_pixel(saliency_map, settings, name)
        assert (points[0], points[-1]) == (0, lengths[name] - 1)
        assert (known.changed[name] == counts[name][points]).all()
        for number, point in enumerate(points):
            assert ((known.first[name][coded] <= number) == (steps <= point)).all()
    if lengths["insertion"] <= 100:
        assert (known.points["insertion"] == np.arange(lengths["insertion"])).all()


def test_few_steps_leave_room_for_shades():
    settings = load_protocol("xplique-probability")
    known = levels(settings, dict.fromkeys(CURVES, 11), 40, 40)
    assert 32 <= known.of_position.max() + 1 <= 42


def test_what_the_page_draws_is_what_the_curve_measured(tmp_path):
    comparison = compared(write_results(tmp_path))
    found = explorer(comparison, tmp_path, {}, PLENTY)
    assert [image["id"] for image in found["images"]] == ["a.png", "b.png", "c.png"]
    assert found["kept"] == 3
    image, settings = found["images"][1], comparison.protocol
    assert (image["label"], image["size"]) == ("bird 1, class 1", (SIDE, SIDE))
    folder = pictures_folder(tmp_path, comparison.title, comparison.key)
    picture = load_picture(folder, "b.png")
    photo = decoded(image["photo"])[:, :, ::-1].astype(int)
    assert abs(photo - picture.photo).mean() < 12  # noise, the worst that JPEG can be given
    assert image["baselines"]["insertion"] == [127, 127, 127]
    noise = decoded(image["baselines"]["deletion"])
    assert noise.shape == picture.baselines["deletion"].shape
    for number, (name, run) in enumerate(comparison.runs.items()):
        saliency = decoded(image["maps"][number])
        for place in CURVES:
            first = np.array(found["curves"][place]["first"])[saliency]
            shown = comparison.curves(name, place)[1]
            assert image["curves"][place][number] == pytest.approx(shown, abs=1e-4)
            assert image["values"][place][number] == pytest.approx(
                comparison.values(place).loc["b.png", name], abs=1e-4
            )
            pictures = step_pictures(picture, run.load_map("b.png"), settings, place)
            assert len(pictures) == len(found["curves"][place]["fractions"])
            start, end = {
                "insertion": (picture.baselines["insertion"], picture.photo),
                "deletion": (picture.photo, picture.baselines["deletion"]),
            }[place]
            for point, expected in enumerate(pictures):
                assert (np.where((first <= point)[..., None], end, start) == expected).all()
    fractions = found["curves"]["insertion"]["fractions"]
    assert (fractions[0], fractions[-1], len(fractions)) == (0, 1, 26)


def test_images_are_left_out_where_there_is_no_room(tmp_path):
    comparison = compared(write_results(tmp_path))
    whole = explorer(comparison, tmp_path, {}, PLENTY)
    room = len(str(whole["images"][0])) + len(str(whole["images"][1]))
    found = explorer(comparison, tmp_path, {"c.png": "best of rise"}, room)
    assert [(image["id"], image["why"]) for image in found["images"]] == [
        ("c.png", "best of rise"), ("a.png", ""),
    ]  # fmt: skip
    assert found["kept"] == 3
    assert len(explorer(comparison, tmp_path, {}, 0)["images"]) == 1


def test_images_with_all_maps_come_first(tmp_path):
    comparison = compared(write_results(tmp_path))
    comparison.runs["rise"]._map_path("a.png").unlink()
    found = explorer(comparison, tmp_path, {"a.png": "best of random"}, PLENTY)
    assert [image["id"] for image in found["images"]] == ["b.png", "c.png", "a.png"]
    place = list(comparison.runs).index("rise")
    assert [encoded is None for encoded in found["images"][2]["maps"]] == [
        place == i for i in range(3)
    ]


def test_without_pictures_or_maps_there_is_nothing_to_explore(tmp_path):
    comparison = compared(write_results(tmp_path))
    assert explorer(comparison, tmp_path / "elsewhere", {}, PLENTY) is None
    for run in comparison.runs.values():
        for image_id in comparison.image_ids:
            run._map_path(image_id).unlink()
    assert explorer(comparison, tmp_path, {}, PLENTY) is None


def test_large_pictures_become_smaller(tmp_path):
    comparison = compared(write_results(tmp_path, images=["a.png"], side=512))
    image = explorer(comparison, tmp_path, {}, PLENTY)["images"][0]
    assert image["size"] == (256, 256)
    assert decoded(image["photo"]).shape == (256, 256, 3)
    assert decoded(image["maps"][0]).shape == (256, 256)


def test_a_picture_without_a_map_of_its_size_is_left_out(tmp_path):
    comparison = compared(write_results(tmp_path))
    small = np.zeros((5, 7, 3), np.uint8)
    folder = pictures_folder(tmp_path, comparison.title, comparison.key)
    save_picture(folder, Picture("b.png", small, "bird", {"insertion": small, "deletion": small}))
    with pytest.warns(BenchWarning, match=r"expected a map of \(5, 7\), found \(24, 24\)"):
        shown = explorer(comparison, tmp_path, {}, PLENTY)["images"]
    assert [image["id"] for image in shown] == ["a.png", "c.png"]


def test_rows_with_scores_that_are_not_finite_are_none(tmp_path):
    write_results(tmp_path)
    for run in stored_runs(tmp_path, "board"):
        rows = run.rows()
        rows["deletion_curve"] = [
            np.append(curve[:-1], -np.inf) for curve in rows["deletion_curve"]
        ]
        run.append(rows)
    with pytest.warns(BenchWarning, match="deletion_curve: holds NaN or infinite scores"):
        assert comparisons(stored_runs(tmp_path, "board"), "board") == []
