import json

import torch

from bench.provenance import provenance


def test_it_is_json_and_tells_versions_and_machine():
    told = json.loads(json.dumps(provenance(torch.device("cpu"))))
    assert torch.__version__.startswith(told["packages"]["torch"])
    assert told["packages"]["insdel-bench"]
    assert told["device"]
    assert told["tf32"].keys() == {"matmul", "cudnn"}
    assert isinstance(told["numpy_cpu_features"], list)
    assert told["git"] is None or set(told["git"]) == {"commit", "dirty"}
