import io

import pytest
import torch
import toy
from rich.console import Console

from bench.checks.backbone import check_backbone


@pytest.mark.parametrize(("classes", "told"), [([], 0), ([2], 4), ([0, 1, 2, 3], 4)])
def test_outputs_that_are_no_numbers_are_told(classes, told):
    """A checkpoint full of NaN loads like any other."""
    network = toy.backbone()
    with torch.no_grad():
        network.module.head.weight[classes] = torch.nan
    written = io.StringIO()
    check_backbone(network, "output", torch.device("cpu"), 4, Console(file=written, width=200))
    warning = "Warning: outputs are NaN or infinite for 4 of 4 noise images: look at the weights"
    assert written.getvalue().count(warning) == bool(told)
