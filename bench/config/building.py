"""Builds the objects of a run from its settings."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from rich.console import Console

from bench.attribution.method import Method, Passes, require_declared
from bench.backbones.backbone import Backbone
from bench.config.arguments import typed
from bench.config.composing import setting_comments
from bench.config.settings import Component, RunSettings
from bench.datasets.dataset import Dataset
from bench.errors import BenchError
from bench.metrics.metric import Metric
from bench.metrics.protocol import (
    Protocol,
    protocol_from_mapping,
    protocol_on,
    protocol_with,
)
from bench.metrics.registry import metric_from_settings
from bench.score import WITHOUT_GRADIENT, check_score, score_to_explain
from bench.target import Target, require_class


@dataclass(frozen=True)
class Explained:
    """What methods explain: a score that a network gives.

    Attributes:
        backbone: The network.
        score: A key of `bench.score.SCORES`.
        target: The class: see `bench.target.Target`.
        is_what_scores: Whether the network is the one that scores the curves.
    """

    backbone: Backbone
    score: str
    target: Target
    is_what_scores: bool


def build(component: Component) -> Any:
    """What a component names, made with its settings.

    Raises:
        BenchError: It cannot be built; the message says in one line what went wrong.
    """
    key, target = component.key, component.target
    _require_all_set(component)
    try:
        return instantiate(typed(component.node, key), _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, BenchError):
            argument = re.match(r"(\w+):", str(cause))
            inside = argument is not None and argument[1] in component.settings
            raise BenchError(f"{key}.{cause}" if inside else str(cause)) from error
        reason = " ".join(str(cause if cause is not None else error).split())
        raise BenchError(f"{key}: cannot build {target}: {reason}") from error
    except SystemExit as error:  # a script, imported, would end the run as if all had gone well
        raise BenchError(
            f"{key}: cannot build {target}: its code calls sys.exit({error.code!r}) when "
            "it is imported or built; put what makes it a script under if __name__ == '__main__'"
        ) from error


def _require_all_set(component: Component) -> None:
    """Refuses a component that is not given all that it needs, and says what can be given."""
    if not component.missing:
        return
    names = " ".join(f"{name}=VALUE" for name in component.missing)
    comments = setting_comments(component.target)
    inside = [name.removeprefix(f"{component.key}.") for name in component.missing]
    choices = "; ".join(f"{name}: {comments[name]}" for name in inside if name in comments)
    raise BenchError(
        f"{component.key}: not everything it needs is set; add {names}"
        f"{f' ({choices})' if choices else ''}"
    )


def build_protocol(settings: RunSettings) -> Protocol:
    """What is measured: the protocol, of the target asked for, with what is added to it.

    Raises:
        BenchError: The protocol or a metric cannot be built, or they do not go together.
    """
    metrics = {name: _metric(name, component) for name, component in settings.metrics.items()}
    protocol = protocol_from_mapping(settings.protocol)
    if settings.target is not None:
        protocol = protocol_on(protocol, settings.target)
    return protocol_with(protocol, metrics)


def _metric(name: str, component: Component) -> Metric:
    _require_all_set(component)
    return metric_from_settings(name, typed(component.node, component.key), component.key)


def build_dataset(component: Component, console: Console) -> Dataset:
    """The data set that a component names; what it has to say of itself is printed.

    Raises:
        BenchError: It cannot be built, or is no `Dataset`.
    """
    dataset = build(component)
    if not isinstance(dataset, Dataset):
        raise BenchError(
            "dataset: expected _target_ to be a subclass of bench.datasets.dataset.Dataset, "
            f"found {component.target}"
        )
    if component.citation is not None:
        dataset.citation = component.citation
    for note in dataset.notes:
        console.print(note, soft_wrap=True, highlight=False, markup=False)
    return dataset


def build_backbone(settings: RunSettings, device: torch.device) -> Backbone:
    """The backbone that scores, on a device, at the precision asked for.

    Raises:
        BenchError: It cannot be built.
    """
    return _network(settings.backbone, settings, device)


def build_explained(
    settings: RunSettings, protocol: Protocol, backbone: Backbone, device: torch.device
) -> Explained:
    """What `explain` asks for; by default what the protocol scores.

    Args:
        settings: The settings of the run.
        protocol: How maps become curves.
        backbone: The network that scores.
        device: Where the network will live.

    Raises:
        BenchError: The network cannot be built or does not fit the one that scores, the score
            cannot be read off it, or it does not have the class.
    """
    check_score(protocol.score, backbone.output_kind)
    require_class("target", protocol.target, backbone.num_classes)
    score = settings.explain.score or score_to_explain(protocol.score)
    asked = settings.explain.target
    target = protocol.target if asked is None else asked
    require_class("explain.target", target, backbone.num_classes)
    if settings.explain.backbone is None:
        check_score(score, backbone.output_kind)
        return Explained(backbone, score, target, is_what_scores=True)
    other = _network(settings.explain.backbone, settings, device)
    check_score(score, other.output_kind)
    for what, found, expected in (
        ("inputs", _input_shape(other), _input_shape(backbone)),
        ("classes", other.num_classes, backbone.num_classes),
    ):
        if found != expected:
            raise BenchError(
                f"explain.backbone: expected {what} as of backbone '{backbone.name}', {expected}, "
                f"found {found} of '{other.name}'"
            )
    is_the_same = other.identity() == backbone.identity()
    return Explained(backbone if is_the_same else other, score, target, is_the_same)


def _input_shape(backbone: Backbone) -> str:
    """Channels, height and width in words; of RGB squares the side alone."""
    made = backbone.preprocessing
    if isinstance(made.size, int) and made.channels == 3:
        return str(made.size)
    return f"{made.channels} x {made.shape[0]} x {made.shape[1]}"


def build_methods(settings: RunSettings, console: Console) -> dict[str, Method]:
    """The chosen methods by name; settings for methods that were not chosen are reported.

    Raises:
        BenchError: None is chosen, or one cannot be built.
    """
    if settings.unused_methods:
        unused = ", ".join(settings.unused_methods)
        console.print(f"Not chosen, so their settings are not used: {unused}")
    if not settings.methods:
        raise BenchError("method: none is chosen; expected at least one, as in method=[random]")
    return {name: build_method(component) for name, component in settings.methods.items()}


def build_method(component: Component) -> Method:
    """The method that a component describes.

    Raises:
        BenchError: It cannot be built, is no `Method`, or declares what a method cannot.
    """
    method = build(component)
    if not isinstance(method, Method):
        raise BenchError(
            f"{component.key}: expected _target_ to be a subclass of "
            f"bench.attribution.method.Method, found {component.target}"
        )
    require_declared(component.key, method)
    return method


def check_methods(
    methods: Mapping[str, Method], backbone: Backbone, score: str | None = None
) -> None:
    """Refuses methods that cannot explain a network, before anything is spent on them.

    Args:
        methods: By name.
        backbone: The network to explain.
        score: Of it that they explain, a key of `bench.score.SCORES`; None: any.

    Raises:
        BenchError: A method cannot explain it; all that cannot for the same reason are named.
    """
    refused: dict[str, list[str]] = {}
    for name, method in methods.items():
        try:
            method.check(backbone)
            _refuse_gradient(score, method.passes(backbone))
        except BenchError as error:
            refused.setdefault(str(error), []).append(name)
    for reason, names in refused.items():
        raise BenchError(f"method {', '.join(names)}: {reason}")


def _refuse_gradient(score: str | None, passes: Passes | None) -> None:
    """Refuses backward passes from a score without a gradient; of a method that declares them."""
    if score in WITHOUT_GRADIENT and passes is not None and passes.backward:
        raise BenchError(
            f"explain.score: '{score}' has no gradient, which this asks for; expected a score that "
            "has one: explain.score=output or another"
        )


def _network(component: Component, settings: RunSettings, device: torch.device) -> Backbone:
    network: Backbone = build(component).to(device)
    if component.citation is not None:
        network.citation = component.citation
    return network.set_speed(settings.precision, settings.compile)
