import cv2
import numpy as np

from bench.report.figures import draw_curves, draw_maps


def decode(png):
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image


def test_curves_are_drawn_and_differ():
    draws = np.random.default_rng(0)
    curves = {f"m{i}": (draws.uniform(size=(5, 26)), draws.uniform(size=(5, 11))) for i in range(3)}
    image = decode(draw_curves(curves, "probability"))
    assert image.shape[1] > image.shape[0] > 300
    assert (image != decode(draw_curves({"m0": curves["m0"]}, "probability"))).any()


def test_one_image_has_no_band():
    decode(draw_curves({"m": (np.zeros((1, 4)), np.ones((1, 4)))}, "output"))


def test_maps_and_gaps():
    photo = np.full((8, 8, 3), 200, np.uint8)
    ramp = np.arange(64, dtype=np.float32).reshape(8, 8)
    with_gap = decode(draw_maps({"a": photo, "b": photo}, {"m": {"a": ramp, "b": None}}))
    full = decode(draw_maps({"a": photo, "b": photo}, {"m": {"a": ramp, "b": ramp}}))
    assert (with_gap != full).any()
