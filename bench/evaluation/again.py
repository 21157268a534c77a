"""Asks methods once more about the images of a block, for metrics that change inputs or network."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bench.attribution.maps import in_one_channel
from bench.attribution.method import Batch
from bench.evaluation.explain import Explainer, Failed, part_of
from bench.evaluation.method_run import MethodRun
from bench.metrics.metric import Explaining


@dataclass(frozen=True)
class Asked:
    """A method whose maps of a block are at hand.

    Attributes:
        run: The method.
        positions: The images in the block that it explained, one a map.
    """

    run: MethodRun
    positions: Sequence[int]


class AskAgain(Explaining):
    """See `Explaining`; failures are kept, and cost nobody else's maps.

    Attributes:
        failures: By the number of a map, why its method could not explain its image again.

    Args:
        explainer: Calls the methods.
        batch: All images of the block as methods are given them.
        asked: The methods, in the order of the block's maps.
    """

    def __init__(self, explainer: Explainer, batch: Batch, asked: Sequence[Asked]) -> None:
        self.explained = explainer.scorer
        self.inputs = batch.x
        self.targets = batch.targets
        can_explain = [each.run.method.can_explain_again for each in asked for _ in each.positions]
        self.can_explain = torch.tensor(can_explain, device=batch.x.device)
        self.failures: dict[int, Failed] = {}
        self._explainer = explainer
        self._batch = batch
        self._asked = asked

    @torch.inference_mode(False)
    @torch.enable_grad()
    def __call__(self, numbers: Tensor, x: Tensor, targets: Tensor) -> Tensor:
        """See `Explaining`."""
        made = torch.full((len(x), *x.shape[2:]), torch.nan, dtype=torch.float64, device=x.device)
        first = 0
        for each in self._asked:
            of_method = range(first, first + len(each.positions))
            wanted = [
                (place, number - first)
                for place, number in enumerate(numbers.tolist())
                if number in of_method and number not in self.failures
            ]
            if wanted and each.run.method.can_explain_again:
                places, which = map(list, zip(*wanted, strict=True))
                batch = part_of(self._batch, [each.positions[i] for i in which])
                batch = replace(batch, x=x[places].detach(), targets=targets[places])
                self._explain(each.run, batch, places, [first + i for i in which], made)
            first += len(each.positions)
        return made

    def _explain(
        self, run: MethodRun, batch: Batch, places: list[int], numbers: list[int], made: Tensor
    ) -> None:
        """Puts a method's maps in their places (n,) among all, and keeps what it failed on."""
        found = self._explainer.again(run, batch)
        if found.maps is not None:
            made[[places[i] for i in found.positions]] = in_one_channel(found.maps).to(made.dtype)
        reasons = {failure.image_id: failure for failure in found.failures}
        for position in set(range(len(places))) - set(found.positions):
            image_id = batch.image_ids[position]
            given_up = Failed(run.name, image_id, f"method '{run.name}' was asked no more")
            self.failures[numbers[position]] = reasons.get(image_id, given_up)
