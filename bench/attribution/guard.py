"""Restores the network and torch's settings after each call of a method.

A method may be code of other people. It runs on the network that scores the curves of all methods,
in a process whose settings and random generators all methods share. So these are compared before
and after each call, and put back: rows of other methods have the same bits with and without it.
"""

import os
import random
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules import module as torch_module

from bench.attribution.scorer import Scorer


class Change(NamedTuple):
    """One thing that was left changed, as `training mode of` `layer1`.

    Attributes:
        kind: What was changed.
        name: Of which module, function or setting.

    Example:
        >>> kind, name = Change("training mode of", "layer1")
        >>> print(kind, name)
        training mode of layer1
    """

    kind: str
    name: str


_HOOKS = "hooks of"
"""The one kind that is no failure: to leave hooks is the nature of grad-cam's classes."""

_MEMBERS = {"_parameters": "parameter", "_buffers": "buffer", "_modules": "submodule"}

_found: ContextVar[list[Change] | None] = ContextVar("_found", default=None)
"""What has been found so far within the outermost `guarded`; None outside of one."""


@contextmanager
def guarded(
    scorer: Scorer,
    x: Tensor,
    report_changes: Callable[[str], None],
    report_hooks: Callable[[str], None] = lambda _: None,
    networks: Sequence[nn.Module] = (),
) -> Iterator[None]:
    """Puts back what the code inside leaves changed, and reports it.

    Watched are the modules of the scorer's network (training mode, parameters, buffers and other
    tensors, submodules, attributes, classes, hooks), the attributes of scorer and backbone, the
    settings of torch in `_settings`, its grad mode, the functions of `torch`, of its tensors and of
    `torch.nn.functional`, the global generators and the working folder. Gradients, `requires_grad`,
    generators and folder are put back without a word. What the code has put back by itself is no
    change, nor is what a pass changes by itself, as a counter of passes.

    If the code raises, everything is put back, too, and nothing is reported. Within another
    `guarded`, the outer one does all this.

    Args:
        scorer: What the code is given.
        x: (B, C, H, W) inputs. One is passed through the network if there is a change, to see
            whether that is what a pass does.
        report_changes: Called, when everything is back, with what was changed, in words.
        report_hooks: Called if nothing but hooks was left, with where they were, in words.
        networks: Other networks to watch.

    Example:
        >>> from bench.attribution.scorer import Scorer
        >>> from bench.backbones.backbone import Backbone, Preprocessing
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2, bias=False))
        >>> net[1].weight.data = torch.tensor([[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0]])
        >>> backbone = Backbone("toy", net, Preprocessing(2, mean=0, std=255), "logits")
        >>> scorer, x = Scorer(backbone, "logit", 16), torch.ones(1, 1, 2, 2)
        >>> with guarded(scorer, x, report_changes=print):
        ...     net[1].weight.data += 1
        parameter 1.weight
        >>> net[1].weight.tolist()[0]
        [1.0, 2.0, 3.0, 4.0]
    """
    if _found.get() is not None:
        yield
        return
    found: list[Change] = []
    kept, token = _Kept(scorer, networks), _found.set(found)
    try:
        with _settings_kept(found):
            yield
    finally:
        _found.reset(token)
        found += kept.put_back()
    harmful = [change for change in dict.fromkeys(found) if change.kind != _HOOKS]
    if harmful:
        by_itself: list[Change] = []
        with _settings_kept(by_itself):
            _pass_once(scorer, x)
        by_itself += kept.put_back()
        harmful = [change for change in harmful if change not in by_itself]
    if harmful:
        report_changes(_in_words(harmful))
    elif hooks := [change for change in dict.fromkeys(found) if change.kind == _HOOKS]:
        report_hooks(_in_words(hooks))


class Isolation:
    """Within `guarded`, keeps each of several calls from what the one before it left.

    All but values of tensors is put back after each, and found by the guard.

    Args:
        scorer: What the calls are given.

    Example:
        >>> from bench.attribution.scorer import Scorer
        >>> from bench.backbones.backbone import Backbone, Preprocessing
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2, bias=False))
        >>> net[1].weight.data = torch.tensor([[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0]])
        >>> backbone = Backbone("toy", net, Preprocessing(2, mean=0, std=255), "logits")
        >>> scorer = Scorer(backbone, "logit", 16)
        >>> isolated = Isolation(scorer)
        >>> with guarded(scorer, torch.ones(1, 1, 2, 2), report_changes=print):
        ...     with isolated():
        ...         _ = net.train()
        ...     print(net.training)
        False
        training mode of Sequential, 0, 1
    """

    def __init__(self, scorer: Scorer) -> None:
        self._kept = _Kept(scorer, values=False)

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Around one call."""
        changes: list[Change] = []
        try:
            with _settings_kept(changes):
                yield
        finally:
            changes += self._kept.put_back()
            found = _found.get()
            if found is not None:
                found += [change for change in changes if change.kind != _HOOKS]


class _CanPutBack(Protocol):
    def put_back(self) -> list[Change]:
        """Puts something back, and returns what had been changed."""


class _Kept:
    """Network, generators and working folder, as they were."""

    def __init__(
        self, scorer: Scorer, networks: Sequence[nn.Module] = (), values: bool = True
    ) -> None:
        names: dict[Any, str] = {scorer: "scorer", scorer.backbone: "backbone"}
        for network in (scorer.backbone.module, *networks):
            for name, module in network.named_modules():
                names.setdefault(module, name or type(network).__name__)
        classes = {base for thing in names for base in type(thing).__mro__ if base is not object}
        self._objects = [_Object(thing, name) for thing, name in names.items()]
        self._tensors = _Tensors(self._objects, values)
        self._functions = [_Functions(owner) for owner in (torch, Tensor, functional, *classes)]
        self._global_hooks = _GlobalHooks()
        self._states = [*_generators(), *_working_folder()]

    def put_back(self) -> list[Change]:
        """Puts everything back, and returns what had been changed."""
        changes = self._tensors.put_back()  # looks where tensors lie now, so it comes first
        kept: list[_CanPutBack] = [*self._objects, *self._functions, self._global_hooks]
        for part in kept:
            changes += part.put_back()
        for put, state in self._states:
            put(state)
        return changes


class _Object:
    """An object's class and attributes, and what its lists, sets and mappings hold."""

    def __init__(self, thing: Any, name: str) -> None:
        self.thing = thing
        self.name = name
        self._class = type(thing)
        self._attributes = dict(vars(thing))
        self._ids = _ids(self._attributes)
        containers = {
            key: value for key, value in self._attributes.items() if type(value) in _CONTAINERS
        }
        self._empty = {key: c for key, c in containers.items() if not c}  # most, as of hooks
        self._held = {key: c.copy() for key, c in containers.items() if c}
        self._held_ids = {key: _ids(c) for key, c in self._held.items()}

    def put_back(self) -> list[Change]:
        """Puts it back. A tensor in the place of another is not reported here but by `_Tensors`."""
        if self._is_untouched():
            return []
        changes = list(self._changes())
        if type(self.thing) is not self._class:
            self.thing.__class__ = self._class
        attributes = vars(self.thing)
        attributes.clear()
        attributes.update(self._attributes)
        for container in self._empty.values():
            container.clear()
        for key, held in self._held.items():
            _refill(attributes[key], held)
        return changes

    def _is_untouched(self) -> bool:
        """Whether nothing has been replaced, added or removed; fast, since it mostly is so."""
        return (
            type(self.thing) is self._class
            and _ids(vars(self.thing)) == self._ids
            and not any(self._empty.values())
            and all(_ids(self._attributes[key]) == ids for key, ids in self._held_ids.items())
        )

    def _changes(self) -> Iterator[Change]:
        if type(self.thing) is not self._class:
            yield Change("class of", self.name)
        empty = {
            key: type(value)()
            for key, value in self._attributes.items()
            if type(value) in _CONTAINERS
        }
        before, now = self._attributes | empty | self._held, vars(self.thing)
        for key in dict.fromkeys([*before, *now]):
            if key == "batch_size" and isinstance(self.thing, Scorer):
                continue  # a method may choose it; whoever calls it puts it back
            old, new = before.get(key), now.get(key)
            if (key in before) == (key in now) and _is_same(old, new):
                continue
            if "hook" in key:
                yield Change(_HOOKS, self.name)
            elif key == "training":
                yield Change("training mode of", self.name)
            elif key in _MEMBERS and isinstance(old, dict) and isinstance(new, dict):
                members = list(dict.fromkeys([*old, *new]))
                changed = [name for name in members if not _is_same(old.get(name), new.get(name))]
                for member in changed or members:  # or only their order
                    yield Change(_MEMBERS[key], f"{self.name}.{member}")
            else:
                yield Change("attribute", f"{self.name}.{key}")


_CONTAINERS = (dict, OrderedDict, list, set)


def _ids(held: Any) -> list[Any]:
    """Equal for two containers if they hold the same objects, under the same keys."""
    if isinstance(held, dict):
        return [*held, *map(id, held.values())]
    return list(map(id, held))


class _Tensors:
    """The tensors that objects hold: their values, and what autograd knows of them.

    Values are compared with a copy: torch's count of changes misses what BatchNorm writes,
    `.data`, and arrays of numpy that share the memory.

    Args:
        objects: They hold tensors as attributes, or in lists and mappings among these.
        values: Whether values are watched, too.
    """

    def __init__(self, objects: Iterable[_Object], values: bool) -> None:
        places = [(holder, *place) for holder in objects for place in _tensors(holder.thing)]
        kept = {id(tensor): _Tensor(tensor, values) for _, _, tensor in places}
        self._places = [(holder, place, kept[id(tensor)]) for holder, place, tensor in places]
        self._kept = kept
        self._values = values

    @torch.no_grad()
    def put_back(self) -> list[Change]:
        """Puts them back, and returns the places where other values lie now."""
        changes = self._put_values_back() if self._values else []
        for kept in self._kept.values():
            kept.put_state_back()
        return changes

    def _put_values_back(self) -> list[Change]:
        now = {holder: dict(_tensors(holder.thing)) for holder, _, _ in self._places}
        changes: list[Change] = []
        compared: list[tuple[Change, _Tensor, Tensor]] = []
        doubtful: dict[int, _Tensor] = {}
        for holder, place, kept in self._places:
            found = now[holder].get(place)
            change = Change(_MEMBERS.get(place[0], "tensor"), f"{holder.name}.{place[-1]}")
            if found is None or found.data_ptr() != kept.memory.data_ptr():
                doubtful[id(kept)] = kept  # what lies in its memory is not compared
            if found is None:
                continue  # reported with the object's attributes
            if _layout(found) == kept.layout:
                compared.append((change, kept, found))
            else:
                changes.append(change)
        differ = _differ([(found.detach(), kept.before) for _, kept, found in compared])
        for (change, kept, _), differs in zip(compared, differ, strict=True):
            if differs:
                changes.append(change)
                doubtful[id(kept)] = kept
        for kept in doubtful.values():
            kept.memory.copy_(kept.before)
        return changes


class _Tensor:
    """A tensor as it was.

    Attributes:
        memory: Where it lay.
        layout: Its dtype, device, shape and strides.
        before: Its values: a copy of them if they are watched, else the same memory.
    """

    def __init__(self, tensor: Tensor, values: bool) -> None:
        self._tensor = tensor
        self._values = values
        self.memory = tensor.detach()
        self.layout = _layout(tensor)
        self.before = self.memory.clone() if values else self.memory
        self._requires_grad = tensor.requires_grad
        self._is_leaf = tensor.is_leaf
        self._grad = tensor.grad if tensor.is_leaf else None
        self._hooks = tensor._backward_hooks, tensor._post_accumulate_grad_hooks

    def put_state_back(self) -> None:
        """Puts back where it lies, its gradient, and whether it wants one."""
        tensor, memory = self._tensor, self.memory
        if self._values and (
            tensor.data_ptr() != memory.data_ptr() or _layout(tensor) != self.layout
        ):
            tensor.data = memory
        if self._is_leaf and not tensor.is_leaf:
            tensor.detach_()
        if tensor.requires_grad != self._requires_grad:
            tensor.requires_grad_(self._requires_grad)
        if self._is_leaf and tensor.grad is not self._grad:
            tensor.grad = self._grad
        for name, hooks in zip(_TENSOR_HOOKS, self._hooks, strict=True):
            if hooks is None and getattr(tensor, name) is not None:
                setattr(tensor, name, None)


_TENSOR_HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")


class _Functions:
    """The functions of a class or a module, which code at large calls by their names."""

    def __init__(self, owner: Any) -> None:
        self._owner = owner
        self._functions = self._now()

    def _now(self) -> dict[str, Any]:
        """Of the special ones only `__call__`: torch.compile replaces some of the others."""
        return {
            name: value
            for name, value in vars(self._owner).items()
            if callable(value) and (name == "__call__" or not name.startswith("__"))
        }

    def put_back(self) -> list[Change]:
        """Puts them back, and returns those that were others."""
        now, before = self._now(), self._functions
        replaced = [name for name, function in before.items() if now.get(name) is not function]
        for name in replaced:
            setattr(self._owner, name, before[name])
        added = []
        if isinstance(self._owner, type):  # what a class gets hides what it inherits
            added = [name for name in now if name not in before]
        if self._owner is Tensor:  # but packages give it methods of new names, which harm nobody
            added = [name for name in added if hasattr(Tensor.__base__, name)]
        for name in added:
            delattr(self._owner, name)
        return [Change("function", f"{self._owner.__name__}.{name}") for name in replaced + added]


class _GlobalHooks:
    """Torch's hooks on all modules, and its mark of their kind."""

    def __init__(self) -> None:
        self._hooks = {
            key: hooks.copy() if isinstance(hooks, dict) else hooks
            for key, hooks in self._now().items()
        }

    def _now(self) -> dict[str, Any]:
        return {
            key: value for key, value in vars(torch_module).items() if key.startswith("_global_")
        }

    def put_back(self) -> list[Change]:
        """Takes them off."""
        now = self._now()
        if now == self._hooks:
            return []
        for key, hooks in self._hooks.items():
            if isinstance(hooks, dict):
                _refill(now[key], hooks)
            else:
                setattr(torch_module, key, hooks)
        return [Change(_HOOKS, "all modules")]


@contextmanager
def _settings_kept(found: list[Change]) -> Iterator[None]:
    """Puts torch's settings back, of which a process or thread has one each.

    Grad and inference mode are not set but entered: torch's context managers put them back,
    whatever contexts have been left open inside.

    Args:
        found: Gets those that were others.
    """
    settings = [(*setting, _read(setting[1])) for setting in _settings()]
    modes = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
    with torch.inference_mode(modes[1]):
        torch.set_grad_enabled(modes[0])
        try:
            yield
        finally:
            if (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) != modes:
                found.append(Change("torch's", "grad mode"))
            for name, get, put, before in settings:
                if before is not None and _read(get) != before:
                    put(before)
                    found.append(Change("torch's", name))


_FLAGS = (
    "cuda.matmul.allow_tf32",
    "cudnn.allow_tf32",
    "fp32_precision",  # after the switches that preceded it, which write it, too
    "cuda.matmul.fp32_precision",
    "cudnn.fp32_precision",
    "cudnn.conv.fp32_precision",
    "cudnn.rnn.fp32_precision",
    "mkldnn.fp32_precision",
    "mkldnn.matmul.fp32_precision",
    "mkldnn.conv.fp32_precision",
    "mkldnn.rnn.fp32_precision",
    "cuda.matmul.allow_fp16_reduced_precision_reduction",
    "cuda.matmul.allow_bf16_reduced_precision_reduction",
    "cuda.matmul.allow_fp16_accumulation",
    "cudnn.benchmark",
    "cudnn.benchmark_limit",
    "cudnn.deterministic",
    "cudnn.enabled",
    "mkldnn.deterministic",
    "mkldnn.enabled",
)
"""Attributes of `torch.backends`; not every release of torch has all of them."""

_ATTENTIONS = ("flash", "mem_efficient", "math", "cudnn")

Setting = tuple[str, Callable[[], Any], Callable[[Any], object]]
"""A name, what reads the setting, and what writes it."""


def _settings() -> Iterator[Setting]:
    """In an order in which none that is written overwrites one before it."""
    yield (
        "float32 matmul precision",
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    )
    for flag in _FLAGS:
        owner, _, name = flag.rpartition(".")
        yield f"backends.{flag}", partial(_flag, owner, name), partial(_set_flag, owner, name)
    for name in _ATTENTIONS:
        get = getattr(torch.backends.cuda, f"{name}_sdp_enabled")
        yield f"{name} attention", get, getattr(torch.backends.cuda, f"enable_{name}_sdp")
    for device in ("cpu", "cuda"):
        get, put = partial(_autocast, device), partial(_set_autocast, device)
        yield f"autocast on {device}", get, put
    mha = torch.backends.mha
    yield "fast path of attention", mha.get_fastpath_enabled, mha.set_fastpath_enabled
    yield "default dtype", torch.get_default_dtype, torch.set_default_dtype
    yield "default device", torch.get_default_device, _set_default_device
    yield "number of threads", torch.get_num_threads, torch.set_num_threads
    yield "deterministic algorithms", _deterministic, _set_deterministic
    yield "anomaly detection", torch.is_anomaly_enabled, torch.set_anomaly_enabled
    yield "flushing of denormal numbers", _flushes_denormals, torch.set_flush_denormal


def _read(get: Callable[[], Any]) -> Any:
    """A setting; None where torch has none of the name, or cannot say.

    It cannot where its old and its new switches of precision were used both.
    """
    try:
        return get()
    except (AttributeError, RuntimeError):
        return None


def _flag(owner: str, name: str) -> Any:
    return getattr(attrgetter(owner)(torch.backends) if owner else torch.backends, name)


def _set_flag(owner: str, name: str, value: Any) -> None:
    setattr(attrgetter(owner)(torch.backends) if owner else torch.backends, name, value)


def _autocast(device: str) -> tuple[bool, torch.dtype]:
    return torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)


def _set_autocast(device: str, value: tuple[bool, torch.dtype]) -> None:
    torch.set_autocast_enabled(device, value[0])
    torch.set_autocast_dtype(device, value[1])


def _set_default_device(device: torch.device) -> None:
    torch.set_default_device(None)
    if torch.get_default_device() != device:
        torch.set_default_device(device)


def _deterministic() -> tuple[bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


def _set_deterministic(value: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(value[0], warn_only=value[1])


def _flushes_denormals() -> bool:
    smallest = torch.tensor(1e-40, dtype=torch.float32, device="cpu")
    return (smallest * 1).item() == 0


def _generators() -> list[tuple[Callable[[Any], object], Any]]:
    """The global generators: what sets each, and its state."""
    generators: list[tuple[Callable[[Any], object], Any]] = [
        (random.setstate, random.getstate()),
        (np.random.set_state, np.random.get_state()),  # noqa: NPY002
        (torch.set_rng_state, torch.get_rng_state()),
    ]
    if torch.cuda.is_initialized():
        generators.append((torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all()))
    return generators


def _working_folder() -> list[tuple[Callable[[Any], object], Any]]:
    """The same of the folder from which paths of results and images are counted."""
    try:
        return [(os.chdir, os.getcwd())]  # noqa: PTH109 (a path that is put back as it was)
    except FileNotFoundError:  # it was removed under the run
        return []


def _pass_once(scorer: Scorer, x: Tensor) -> None:
    """One image forth and back, counted nowhere."""
    with torch.inference_mode(False), torch.enable_grad():
        image = x[:1].detach().clone().requires_grad_()
        outputs = scorer.backbone.outputs(image)
        if outputs.requires_grad:
            torch.autograd.grad(outputs.sum(), image, allow_unused=True)


def _tensors(thing: Any) -> Iterator[tuple[tuple[Any, ...], Tensor]]:
    """The tensors that an object's attributes are or hold, and their places."""
    for name, value in vars(thing).items():
        if isinstance(value, Tensor):
            yield (name,), value
            continue
        if isinstance(value, dict):
            members: Iterable[tuple[Any, Any]] = value.items()
        elif isinstance(value, list | tuple):
            members = enumerate(value)
        else:
            continue
        for key, member in members:
            if isinstance(member, Tensor):
                yield (name, key), member


def _layout(tensor: Tensor) -> tuple[object, ...]:
    return tensor.dtype, tensor.device, tensor.shape, tensor.stride()


def _differ(pairs: Sequence[tuple[Tensor, Tensor]]) -> list[bool]:
    """Whether the bits of two tensors of one layout differ; a GPU is waited for once."""
    differ = [_differs(_bits(one), _bits(other)) for one, other in pairs]
    on_device = [answer for answer in differ if isinstance(answer, Tensor)]
    fetched = iter(torch.stack(on_device).tolist() if on_device else [])
    return [next(fetched) if isinstance(answer, Tensor) else answer for answer in differ]


def _differs(one: Tensor, other: Tensor) -> bool | Tensor:
    """A bool on the CPU, where it is faster to stop at the first difference, else on the device."""
    return not torch.equal(one, other) if one.device.type == "cpu" else (one != other).any()


def _bits(tensor: Tensor) -> Tensor:
    """As integers, since NaN is unequal to itself."""
    integers = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    return tensor.view(integers[tensor.element_size()])


def _is_same(old: Any, new: Any) -> bool:
    """Whether two values are equal, as far as that is seen without harm; all tensors are."""
    if old is new or (isinstance(old, Tensor) and isinstance(new, Tensor)):
        return True
    if isinstance(old, dict) and isinstance(new, dict):
        return list(old) == list(new) and all(_is_same(old[key], new[key]) for key in old)
    if type(old) is not type(new):
        return False
    if isinstance(old, list | tuple):
        return len(old) == len(new) and all(map(_is_same, old, new))
    return isinstance(old, _PLAIN) and old == new


_PLAIN = (bool, int, float, complex, str, bytes, set, frozenset, torch.dtype, torch.device)


def _refill(held: Any, before: Any) -> None:
    """Makes a mapping, set or list, as itself, hold what it held before."""
    held.clear()
    held.extend(before) if isinstance(held, list) else held.update(before)


def _in_words(changes: Sequence[Change]) -> str:
    names = defaultdict(list)
    for change in changes:
        names[change.kind].append(change.name)
    return "; ".join(f"{kind} {_some(of_kind)}" for kind, of_kind in names.items())


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
