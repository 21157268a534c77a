"""The provenance that a page shows.

It names only folders that a command names, and packages that change numbers.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.report.citations import entries
from bench.storage.store import Run

_PACKAGES = ("insdel-bench", "torch", "torchvision", "timm", "numpy", "opencv-python-headless")
_FOLDER = re.compile(r"(/(?:home|Users)/[^/\s'\"]+|/root|[A-Z]:\\Users\\[^\\\s'\"]+)")


@dataclass(frozen=True)
class Citation:
    """A citation.

    Attributes:
        text: As the run was told.
        link: Where it leads to, or empty.
    """

    text: str
    link: str


@dataclass(frozen=True)
class MethodFacts:
    """What a method is.

    Attributes:
        name: Its row's.
        cited: Where it comes from.
        settings: `key = value`, one a setting.
        seed: Its seed, or those of its draws.
        key: The run's, shortened.
    """

    name: str
    cited: list[Citation]
    settings: list[str]
    seed: str
    key: str


@dataclass(frozen=True)
class MissingImages:
    """A method that lacks images.

    Attributes:
        name: Its row's.
        count: How many images it lacks.
        of: How many there are.
        failures: Reason -> the images that failed for it.
    """

    name: str
    count: int
    of: int
    failures: Mapping[str, list[str]]


def method_facts(name: str, run: Run) -> MethodFacts:
    """What a run's method is; `name` is its row's."""
    settings = run.identity.method.settings
    return MethodFacts(
        name,
        _cited(run.citations.get("method", "")),
        [
            f"{key} = {json.dumps(value)}"
            for key, value in settings.items()
            if key not in ("kind", "_target_")
        ],
        run.seeds_in_words,
        run.key[:12],
    )


def _cited(citation: str) -> list[Citation]:
    """Citations, with links to where the record says they are."""
    texts = [text.strip() for text in citation.split(";") if text.strip()]
    return [Citation(text, _link(entry.fields)) for text in texts for entry in entries(text)]


def cited_by_all(runs: Mapping[str, Run]) -> list[tuple[str, list[Citation]]]:
    """What data set, network and protocol cite."""
    found = []
    for part, term in (("dataset", "Data set"), ("backbone", "Network"), ("protocol", "Protocol")):
        told = next(filter(None, (run.citations.get(part) for run in runs.values())), "")
        found += [(term, _cited(told))] if told else []
    return found


def _link(fields: Mapping[str, str]) -> str:
    if "eprint" in fields:
        return f"https://arxiv.org/abs/{fields['eprint']}"
    if "doi" in fields:
        return f"https://doi.org/{fields['doi']}"
    return fields.get("url", "") if fields.get("url", "").startswith("https://") else ""


def missing_images(name: str, run: Run) -> MissingImages:
    """How many images a run lacks, and why; `name` is its row's."""
    rows = run.rows()
    failures: dict[str, list[str]] = {}
    for image_id, reason in run.failures(rows).items():
        failures.setdefault(without_folders(reason, run), []).append(image_id)
    return MissingImages(name, run.num_images - len(rows), run.num_images, failures)


def provenance_facts(runs: Mapping[str, Run]) -> list[tuple[str, list[str]]]:
    """Where the numbers come from: terms, and what the runs say of them, each once."""
    found: dict[str, dict[str, None]] = {}

    def tell(term: str, value: Any) -> None:
        if value:
            found.setdefault(term, {})[str(value)] = None

    for run in runs.values():
        origin, identity = run.manifest.provenance, run.identity
        packages, git = origin.get("packages", {}), origin.get("git") or {}
        tell("Command", without_folders(" ".join(origin.get("command", [])), run))
        tell("Begun", origin.get("created"))
        tell("Device", origin.get("device"))
        tell("Commit", git.get("commit", "") + (" and changes" if git.get("dirty") else ""))
        tell("Python", origin.get("python"))
        installed = [f"{name} {packages[name]}" for name in _PACKAGES if name in packages]
        tell("Packages", ", ".join(installed))
        tell("CUDA", origin.get("cuda") if origin.get("cudnn") else None)
        tell("Precision", identity.precision)
        tell("Weights", _hash(identity.backbone.weights_sha256))
        tell("List of images", _hash(identity.dataset.list_sha256))
        tell("Pixels", _hash(identity.dataset.pixels_sha256))
        tell("Protocol", _hash(run.protocol.hash))
    return [(term, list(values)) for term, values in found.items()]


def _hash(digest: str | None) -> str | None:
    return digest and f"sha256 {digest}"


def without_folders(text: str, run: Run) -> str:
    """Text without the folder that the run was begun in, and without home folders."""
    folder = run.manifest.provenance.get("directory")
    if folder and folder != "/":
        text = text.replace(folder, ".")
    return _FOLDER.sub("~", text)
