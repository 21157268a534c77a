import pytest

from bench.backbones.backbone import Preprocessing
from bench.backbones.declared import are_complete, chosen, declared
from bench.errors import BenchError


@pytest.mark.parametrize(("side", "resized"), [(224, 256), (224, 248), (299, 342), (33, 47)])
def test_the_shorter_side_before_the_crop_is_kept(side, resized):
    settings = declared((side, side), [0.5], [0.25], filter_="bicubic", resized=resized)
    assert round(side / settings["crop"]) == resized
    preprocessing = Preprocessing(**settings)
    assert (preprocessing.mean, preprocessing.std) == ((127.5,), (63.75,))


def test_what_is_given_goes_first():
    settings = declared((32, 24), [0.5] * 3, [0.25] * 3, filter_="bilinear", resized=30)
    assert settings["size"] == [32, 24]
    assert chosen(settings, {"size": None, "crop": 0.5}) == settings | {"crop": 0.5}
    assert chosen(settings, {"crop": "squash"})["crop"] is None
    assert not are_complete({"size": 3, "crop": None})
    with pytest.raises(BenchError, match=r"the filter hamming; expected one of .*pil_bicubic"):
        declared((3, 3), [0.5], [0.5], filter_="hamming", resized=None)
