"""Chooses the layer for class activation maps, from one forward pass through the network."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from bench.backbones.layout import Layout, LayoutReader, LayoutSetting

MLP_LAYERS = 2
"""Linear layers that the block of the last convolution may have after it, as ConvNeXt's has."""

BLOCK_LAYERS = 12
"""Linear layers and convolutions that may come after the layer of a network without convolutions,
as one block of a transformer and a head with attention have."""


@dataclass(frozen=True)
class _LayerOutput:
    """What a submodule gave in one call.

    Attributes:
        shape: For one image, without the batch dimension; None if it was no single tensor, or one
            of several images.
        node: Where it stands in the autograd graph; None if nothing is differentiated there.
        source: Where the layer's first input stands in it.
    """

    shape: tuple[int, ...] | None
    node: Node | None
    source: Node | None = None


@dataclass(frozen=True)
class _Partner:
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
        setting: What is known of the layouts of its layers.

    Example:
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
        >>> trace = LayerTrace(net.eval(), torch.rand(1, 3, 8, 8))
        >>> trace.find(convolutions=["0"])
        ('0', '')
        >>> trace.shape("0"), trace.refusal("3").partition(":")[0]
        ((4, 6, 6), '3 gives (5,) for one image')
    """

    def __init__(self, module: nn.Module, x: Tensor, setting: LayoutSetting | None = None) -> None:
        self._reader = LayoutReader(module, (x.shape[-2], x.shape[-1]), setting)
        self._modules = {name: layer for name, layer in module.named_modules() if name}
        self._calls: dict[str, list[_LayerOutput]] = {name: [] for name in self._modules}
        self._in_order: list[str] = []
        handles = [
            layer.register_forward_hook(
                lambda _module, inputs, output, name=name: self._record(name, inputs, output)
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
        self._outputs = outputs
        self._leaf = leaf
        self._graph = _Graph(getattr(outputs, "grad_fn", None), leaf)

    def _record(self, name: str, inputs: tuple[object, ...], output: object) -> None:
        found = _LayerOutput(None, None)
        if isinstance(output, Tensor):
            shape = tuple(output.shape[1:]) if output.shape[:1] == (1,) else None
            source = inputs[0].grad_fn if inputs and isinstance(inputs[0], Tensor) else None
            found = _LayerOutput(shape, output.grad_fn, source)
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
        layout, problem = self.layout(name)
        if layout is None:
            return f"{name} {problem}"
        if node is None:
            return ""
        if node not in self._graph:
            return f"{name} does not reach the network's outputs"
        if self._is_patch_embedding(name):
            return f"{name} {shape} is the patch embedding, which sees single patches only"
        if any(partner.join == "concatenation" for partner in self._graph.partners(node)):
            return f"{name} {shape} is one branch of a concatenation"
        if layout.kind != "bchw" and not self._tells(node, layout):
            return f"{name} {shape} has no gradient at any place: the outputs follow from others"
        return ""

    def layout(self, name: str) -> tuple[Layout | None, str]:
        """How a submodule's output holds maps; or None and the reason why it holds none."""
        return self._reader.read(name, self.shape(name))

    def find(self, convolutions: Sequence[str]) -> tuple[str | None, str]:
        """Finds the last layer that class activation maps can be taken from.

        That is the last convolution, if the network ends in convolutions, else the last layer that
        all of the network passes through, or a norm of that.

        Args:
            convolutions: Names of submodules, in the order in which the network has them.

        Returns:
            Its name and nothing; or None and the reason.
        """
        name, problem = self._last_convolution(convolutions)
        if name is not None:
            return name, ""
        name, reason = self._last_view(convolutions)
        return (name, "") if name is not None else (None, f"{problem}; {reason}")

    def _last_convolution(self, convolutions: Sequence[str]) -> tuple[str | None, str]:
        """The last convolution that maps can be taken from; or None and the reason.

        Convolutions whose outputs are 1 x 1 (squeeze-and-excitation, heads after pooling,
        classifiers), gates, shortcuts, and those that another one follows are passed over.
        """
        spatial = [name for name in convolutions if self._is_spatial(name)]
        passed = [name for name in spatial if not self._is_bypassed(name)]
        for name in reversed(passed):
            if self._leads_to(name, passed):
                continue
            problem = self.refusal(name) or self._is_no_end(name)
            return (None, f"its last convolution {problem}") if problem else (name, "")
        if not spatial:
            return None, f"none of its {len(convolutions)} convolutions gives maps"
        return None, "its last convolutions are gates, or lead past the rest of it"

    def _last_view(self, convolutions: Sequence[str]) -> tuple[str | None, str]:
        """The last layer whose output, or what it normalises, all of the network passes through.

        Of tokens that attention mixes it is one before the last attention: a class token takes
        nothing from the others after that. No convolution may follow, but for those between tokens.
        """
        spatial = [name for name in convolutions if self._is_spatial(name)]
        views = [name for name in reversed(self._in_order) if self._is_view(name)]
        for name in views:
            (call,) = self._calls[name]
            is_mixed = call.shape is not None and len(call.shape) == 2 and self._graph.has_attention
            if call.node is None or (is_mixed and not self._graph.is_attended(call.node)):
                continue
            count = self._layers_after(call.node)
            if count > BLOCK_LAYERS:
                return None, f"{count} layers come after {name}, the last that all of it passes"
            layout, problem = self.layout(name)
            if layout is None:
                return None, f"{name}, which all of it passes through, {problem}"
            if layout.kind == "bchw" and self._leads_to(name, spatial):
                break
            if self._tells(call.node, layout) and not self.refusal(name):
                return name, ""
        return None, "there is no layer with maps that all of it passes through"

    def _is_view(self, name: str) -> bool:
        """Whether all of the network passes through a layer's output, or through what it norms."""
        if len(self._calls[name]) != 1:
            return False
        (call,) = self._calls[name]
        layer = self._modules[name]
        if call.node is None or call.node not in self._graph or not _has_places(call.shape):
            return False
        parent = self._modules.get(name.rpartition(".")[0])
        if parent is not None and _is_attention_module(parent):  # it gives (heads, tokens, ...)
            return False
        if isinstance(layer, nn.Linear) or (_passes_on(layer) and not self._is_first(name)):
            return False
        if not self._graph.partners(call.node):
            return True
        source = call.source
        if (
            source is None
            or source not in self._graph
            or "norm" not in type(layer).__name__.lower()
        ):
            return False
        return not self._graph.partners(source)

    def _is_first(self, name: str) -> bool:
        """Whether no other submodule has given the same output before."""
        node = self._calls[name][0].node
        return name == next(n for n in self._in_order if self._calls[n][0].node is node)

    def _tells(self, node: Node, layout: Layout) -> bool:
        """Whether the outputs have a gradient at any place of a layer's output.

        Where they have none at all, as with a classifier of zeros, nobody can say.
        """
        found: list[Tensor] = []
        handle = node.register_prehook(lambda gradients: found.extend(gradients[:1]))
        draws = torch.Generator().manual_seed(0)
        try:
            with torch.inference_mode(False), torch.enable_grad():
                weights = torch.randn(self._outputs.shape, generator=draws).to(self._outputs)
                total = (self._outputs * weights).sum()
                (at_input,) = torch.autograd.grad(total, self._leaf, retain_graph=True)
        finally:
            handle.remove()
        return not at_input.any() or bool(layout.to_maps(found[0]).any())

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

    def _is_spatial(self, name: str) -> bool:
        return bool(self._calls[name]) and self.layout(name)[0] is not None

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
        return self._layers_after(node, (nn.Linear,))

    def _layers_after(
        self, node: Node, kinds: tuple[type[nn.Module], ...] = (nn.Linear, nn.Conv2d)
    ) -> int:
        after = self._graph.descendants(node)
        return sum(
            call.node in after and call.shape is not None and len(call.shape) > 1
            for name, layer in self._modules.items()
            for call in self._calls[name]
            if isinstance(layer, kinds)
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

    @property
    def has_attention(self) -> bool:
        """Whether places are mixed by attention anywhere."""
        return any(map(_is_attention, self._depths))

    def is_attended(self, node: Node) -> bool:
        """Whether attention follows a node."""
        return any(map(_is_attention, self.descendants(node)))

    def __contains__(self, node: object) -> bool:
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

    def partners(self, node: Node) -> list[_Partner]:
        """What a node's descendants are joined with that is none of them."""
        ours = self.descendants(node) | {node}
        found = []
        for user in ours - {node}:
            joins = [join for key, join in _JOINS.items() if user.name().startswith(key)]
            parents = [parent for parent in _parents(user) if parent in self._depths]
            here = max(self._depths[parent] for parent in parents if parent in ours)
            for other in (parent for parent in parents if parent not in ours):
                depth = self._depths[other]
                found += [_Partner(join, depth > here, depth == here) for join in joins]
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


def _is_attention(node: Node) -> bool:
    return "ScaledDotProduct" in node.name() or "Softmax" in node.name()


def _is_attention_module(layer: nn.Module) -> bool:
    return "att" in type(layer).__name__.lower() and hasattr(layer, "num_heads")


def _passes_on(layer: nn.Module) -> bool:
    """Whether a layer gives in eval mode what it, or the last of its parts, is given or gives."""
    is_off = isinstance(layer, nn.Dropout | nn.Dropout2d) or "Drop" in type(layer).__name__
    return is_off or isinstance(layer, nn.Identity | nn.Sequential)


def _has_places(shape: tuple[int, ...] | None) -> bool:
    """Whether an output may hold more than one place."""
    return shape is not None and len(shape) > 1 and sorted(shape)[-2] > 1
