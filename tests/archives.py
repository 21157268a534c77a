"""Small files as the Papers with Code archive has them."""

import gzip
import json

import pyarrow as pa
from pyarrow import parquet

TITLE = "Less is More: Fewer Interpretable Region via Submodular Subset Selection"
URL = "https://arxiv.org/abs/2402.09164v3"
CUB = ("Deletion AUC score (ResNet-101)", "Insertion AUC score (ResNet-101)")
FACES = ("Deletion AUC score (ArcFace ResNet-101)", "Insertion AUC score (ArcFace ResNet-101)")


def row(method, values, title=TITLE, url=URL):
    return {
        "model_name": method, "paper_title": title, "paper_url": url, "paper_date": "2024-02-14",
        "code_links": [], "model_links": [], "metrics": values, "uses_additional_data": False,
    }  # fmt: skip


def dataset(name, *rows, columns=CUB, subdatasets=()):
    return {
        "dataset": name, "description": "", "dataset_links": [], "dataset_citations": [],
        "subdatasets": [*subdatasets], "sota": {"metrics": [*columns], "rows": [*rows]},
    }  # fmt: skip


def task(name, *datasets, subtasks=()):
    return {
        "task": name, "description": "", "categories": ["Computer Vision"], "synonyms": [],
        "source_link": None, "subtasks": [*subtasks], "datasets": [*datasets],
    }  # fmt: skip


def archive():
    """Of the rows of CUB-200-2011 two agree, one differs in a value, two are new."""
    cub = dataset(
        "CUB-200-2011",
        row("RISE", dict(zip(CUB, ("0.0665", "0.7193"), strict=True))),
        row("kernel-SHAP", dict(zip(CUB, ("10.16%", "0.6700"), strict=True))),
        row("GradCAM", dict(zip(CUB, ("8.1 %", ""), strict=True))),
        row("HSIC-Attribution Method", dict(zip(CUB, ("0.0710", "0.6843"), strict=True))),
        row("SMDL-Attribution", dict(zip(CUB, ("0.05", "0.8"), strict=True))),
    )
    celeba = dataset(
        "CelebA",
        row("Saliency", {FACES[0]: "0.1453", FACES[1]: "0.4632", "Speed": "3"}),
        row("Sobol", dict(zip(FACES, ("0.1345", "-"), strict=True))),
        columns=FACES,
    )
    other = dataset("ImageNet", row("RISE", {"Insertion AUC score (VGG19)": "0.5"}))
    attribution = task("Image Attribution", celeba, cub, other)
    learning = task("Interpretability", subtasks=[attribution])
    return [task("Image Classification", dataset("ImageNet", row("ViT", {"Top 1": "88%"}))),
            learning]  # fmt: skip


def write_json(path, tasks):
    text = json.dumps(tasks).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def write_parquet(path, tasks):
    """A row a task, and of metrics a column each, as the data sets of the hub are."""
    parquet.write_table(pa.Table.from_pylist(tasks), path)
    return path
