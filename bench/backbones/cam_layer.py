"""Chooses the layer for class activation maps, from one forward pass through the network."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

MLP_LAYERS = 2
"""Linear layers that the block of the last convolution may have after it, as ConvNeXt's has."""

EXPECTED = "expected (channels, height, width) with height and width above 1"


@dataclass(frozen=True)
class LayerOutput:
    """What a submodule gave in one call.

    Attributes:
        shape: For one image, without the batch dimension; None if it was no single tensor.
        node: Where it stands in the autograd graph; None if nothing is differentiated there.
    """

    shape: tuple[int, ...] | None
    node: Node | None


@dataclass(frozen=True)
class Partner:
    """A tensor that a layer's output, or what became of it, is joined with.

    Attributes:
        join: How: `concatenation`, `sum` or `product`.
        is_deeper: Whether it has passed more convolutions than what it joins.
        is_as_deep: Whether it has passed as many.
    """

    join: str
    is_deeper: bool
    is_as_deep: bool


class LayerTrace:
    """The outputs of all submodules in one forward pass.

    Args:
        module: In eval mode: inputs (B, C, H, W) to outputs (B, K).
        x: One input (1, C, H, W).
    """

    def __init__(self, module: nn.Module, x: Tensor) -> None:
        self._modules = {name: layer for name, layer in module.named_modules() if name}
        self._calls: dict[str, list[LayerOutput]] = {name: [] for name in self._modules}
        self._in_order: list[str] = []
        handles = [
            layer.register_forward_hook(
                lambda _module, _inputs, output, name=name: self._record(name, output)
            )
            for name, layer in self._modules.items()
        ]
        try:
            with torch.inference_mode(False), torch.enable_grad():
                leaf = x.detach().clone().requires_grad_()
                outputs = module(leaf.clone())  # a network may change its input in place
        finally:
            for handle in handles:
                handle.remove()
        self._graph = _Graph(getattr(outputs, "grad_fn", None), leaf)

    def _record(self, name: str, output: object) -> None:
        found = LayerOutput(None, None)
        if isinstance(output, Tensor):
            found = LayerOutput(tuple(output.shape[1:]), output.grad_fn)
        self._calls[name].append(found)
        self._in_order.append(name)

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Shape of a submodule's output for one image, without the batch dimension."""
        return self._calls[name][0].shape if self._calls[name] else None

    def refusal(self, name: str) -> str:
        """Why class activation maps cannot be taken from a submodule; empty if they can."""
        calls = self._calls[name]
        if len(calls) != 1:
            return f"{name} is called {len(calls)} times in a forward pass: expected once"
        node, shape = calls[0].node, calls[0].shape
        problem = _shape_problem(self._modules[name], shape)
        if problem:
            return f"{name} {problem}: {EXPECTED}"
        if node is None:
            return ""
        if node not in self._graph:
            return f"{name} does not reach the network's outputs"
        if self._is_patch_embedding(name):
            return f"{name} {shape} is the patch embedding, which sees single patches only"
        if any(partner.join == "concatenation" for partner in self._graph.partners(node)):
            return f"{name} {shape} is one branch of a concatenation"
        return ""

    def find(self, convolutions: Sequence[str]) -> tuple[str | None, str]:
        """Finds the last convolution that class activation maps can be taken from.

        Convolutions whose outputs are 1 x 1 (squeeze-and-excitation, heads after pooling,
        classifiers), gates, shortcuts, and those that another one follows are passed over.

        Args:
            convolutions: Names of submodules, in the order in which the network has them.

        Returns:
            Its name and nothing; or None and the reason.
        """
        spatial = [name for name in convolutions if self._is_spatial(name)]
        passed = [name for name in spatial if not self._is_bypassed(name)]
        for name in reversed(passed):
            if self._leads_to(name, passed):
                continue
            problem = self.refusal(name) or self._is_no_end(name)
            if not problem:
                return name, ""
            return None, f"its last convolution {problem}{self._suggestion(name, passed)}"
        if not spatial:
            return None, f"none of its {len(convolutions)} convolutions gives maps: {EXPECTED}"
        hint = self._suggestion(spatial[-1], passed)
        return None, f"its last convolutions are gates, or lead past the rest of it{hint}"

    def _is_no_end(self, name: str) -> str:
        """Why a layer, although maps can be taken from it, is not the network's last one."""
        node = self._calls[name][0].node
        if node is None:
            return ""
        partners = self._graph.partners(node)
        if any(partner.join == "sum" and partner.is_as_deep for partner in partners):
            return f"{name} {self.shape(name)} is one of several parallel branches of a sum"
        count = self._linear_layers_after(node)
        if count > MLP_LAYERS:
            return f"{name} {self.shape(name)} is followed by {count} linear layers over positions"
        return ""

    def _suggestion(self, last: str, spatial: Sequence[str]) -> str:
        """A layer after the last convolution that the whole network passes through, if any."""
        after = self._in_order[self._in_order.index(last) + 1 :]
        for name in reversed(after):
            node = self._calls[name][0].node
            if node is None or self.refusal(name) or self._leads_to(name, spatial):
                continue
            if not self._graph.partners(node) and not self._linear_layers_after(node):
                return f" (a layer that would do: {name} {self.shape(name)})"
        return ""

    def _is_spatial(self, name: str) -> bool:
        is_called = bool(self._calls[name])
        return is_called and not _shape_problem(self._modules[name], self.shape(name))

    def _leads_to(self, name: str, others: Sequence[str]) -> bool:
        node = self._calls[name][0].node
        if node is None or node not in self._graph:
            return False
        after = self._graph.descendants(node)
        return any(
            call.node in after for other in others if other != name for call in self._calls[other]
        )

    def _is_bypassed(self, name: str) -> bool:
        """Whether a layer is a gate, or a shortcut past other convolutions, or leads nowhere."""
        node = self._calls[name][0].node
        if node is None:
            return False
        if node not in self._graph:
            return True
        partners = self._graph.partners(node)
        return any(
            partner.join == "product" or (partner.join == "sum" and partner.is_deeper)
            for partner in partners
        )

    def _is_patch_embedding(self, name: str) -> bool:
        layer, node = self._modules[name], self._calls[name][0].node
        if not isinstance(layer, nn.Conv2d) or node is None or self._graph.depth(node) != 1:
            return False
        return layer.stride == layer.kernel_size and max(layer.stride) > 1

    def _linear_layers_after(self, node: Node) -> int:
        """How many linear layers see more than one position of what follows a node."""
        after = self._graph.descendants(node)
        return sum(
            call.node in after and call.shape is not None and len(call.shape) > 1
            for name, layer in self._modules.items()
            for call in self._calls[name]
            if isinstance(layer, nn.Linear) and call.shape is not None
        )


_JOINS = {
    "Cat": "concatenation",
    "Stack": "concatenation",
    "Add": "sum",
    "Sub": "sum",
    "Mul": "product",
}
"""How the names of nodes begin that join tensors."""


class _Graph:
    """An autograd graph, as far as it depends on the network's input.

    Args:
        end: Node of the outputs; None: nothing is differentiated.
        start: The input, a leaf.
    """

    def __init__(self, end: Node | None, start: Tensor) -> None:
        self._depths: dict[Node, int] = {}
        self._users: dict[Node, list[Node]] = {}
        for node in _parents_first(end):
            parents = [parent for parent in _parents(node) if parent in self._depths]
            if not parents and getattr(node, "variable", None) is not start:
                continue  # weights and constants
            deepest = max((self._depths[parent] for parent in parents), default=0)
            self._depths[node] = deepest + ("Conv" in node.name())
            for parent in parents:
                self._users.setdefault(parent, []).append(node)

    def __contains__(self, node: Node) -> bool:
        return node in self._depths

    def depth(self, node: Node) -> int:
        """The most convolutions on a way from the input to a node, itself counted."""
        return self._depths[node]

    def descendants(self, node: Node) -> set[Node]:
        """All that is computed from a node."""
        found: set[Node] = set()
        left = [node]
        while left:
            new = [user for user in self._users.get(left.pop(), ()) if user not in found]
            found.update(new)
            left += new
        return found

    def partners(self, node: Node) -> list[Partner]:
        """What a node's descendants are joined with that is none of them."""
        ours = self.descendants(node) | {node}
        found = []
        for user in ours - {node}:
            joins = [join for key, join in _JOINS.items() if user.name().startswith(key)]
            parents = [parent for parent in _parents(user) if parent in self._depths]
            here = max(self._depths[parent] for parent in parents if parent in ours)
            for other in (parent for parent in parents if parent not in ours):
                depth = self._depths[other]
                found += [Partner(join, depth > here, depth == here) for join in joins]
        return found


def _parents_first(end: Node | None) -> Iterator[Node]:
    """All nodes that lead to one, each after those that it is computed from."""
    seen: set[Node] = set()
    stack = [] if end is None else [(end, False)]
    while stack:
        node, is_done = stack.pop()
        if is_done:
            yield node
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack += [(parent, False) for parent in _parents(node)]


def _parents(node: Node) -> list[Node]:
    """The nodes that a node is computed from; what needs no gradient has none."""
    return [parent for parent, _ in node.next_functions if parent is not None]


def _shape_problem(layer: nn.Module, shape: tuple[int, ...] | None) -> str:
    """Why an output of this shape is no map; empty if it is one."""
    if shape is None:
        return "gives no single tensor"
    if len(shape) != 3 or min(shape[1:]) < 2:
        return f"gives {shape} for one image"
    # Inputs are square, so height and width are equal where the channels come first.
    if shape[0] == shape[1] != shape[2] and not isinstance(layer, nn.Conv2d):
        return f"gives {shape} for one image, the channels last"
    return ""
