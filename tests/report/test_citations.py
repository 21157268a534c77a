"""The shipped entries, entries made of lines, and what a run remembers."""

import re
from pathlib import Path

import pytest
import yaml
from hydra.utils import get_class
from omegaconf import OmegaConf

from bench.attribution.control import Inverted, Random
from bench.attribution.masking import Rise
from bench.backbones.torch_module import timm_model
from bench.metrics.protocol import load_protocol, shipped_protocols
from bench.report.citations import bibliography, cited_keys, entries, references
from bench.storage.store import read_manifest, stored_runs

ROOT = Path(__file__).parents[2]
BIB = (ROOT / "bench/report/references.bib").read_text()
OWN = {"list", "folder", "keras_h5", "module", "resnet101", "timm"}
"""What the user brings; its citation is the user's, too, or depends on the name."""


def parsed(text):
    """(kind, key, fields) of each entry, by counting braces: another reading than bench's."""
    found, at = [], text.find("@")
    while at >= 0:
        kind, start = re.match(r"@(\w+)\{", text[at:])[1], text.index("{", at)
        depth, end = 1, start
        while depth:
            end += 1
            depth += {"{": 1, "}": -1}.get(text[end], 0)
        key, _, body = text[start + 1 : end].partition(",")
        fields = {}
        while body.strip():
            name, _, rest = body.partition("=")
            assert name.strip() not in fields
            rest = rest.lstrip()
            assert rest[0] == "{"
            depth = close = 0
            for close, character in enumerate(rest):  # noqa: B007
                depth += {"{": 1, "}": -1}.get(character, 0)
                if not depth:
                    break
            fields[name.strip()] = rest[1:close]
            body = rest[close + 1 :].lstrip().removeprefix(",")
        found.append((kind, key, fields))
        at = text.find("@", end)
    return found


def test_the_shipped_file_parses_and_its_keys_are_unique():
    shipped = parsed(BIB)
    assert len(shipped) > 30
    assert [(key, fields) for _, key, fields in shipped] == [
        (entry.key, dict(entry.fields)) for entry in references()
    ]
    keys = [key for _, key, _ in shipped]
    assert len(set(keys)) == len(keys)
    for name in ("eprint", "doi", "url", "title"):
        values = [fields[name] for _, _, fields in shipped if name in fields]
        assert len(set(values)) == len(values)
    needed = {
        "inproceedings": "booktitle", "article": "journal", "techreport": "institution",
        "misc": "title",
    }  # fmt: skip
    for kind, key, fields in shipped:
        assert {"author", "title", "year", needed[kind]} <= fields.keys(), key
        assert fields.keys() & {"eprint", "url", "doi"}
        assert re.fullmatch(r"(19|20)\d\d", fields["year"])
        assert fields["year"] in key
        assert BIB.isascii()
        if "eprint" in fields:  # a paper is not printed before it is there
            assert 2000 + int(fields["eprint"][:2]) <= int(fields["year"]) + 1 or key == (
                "zhong2021sface"  # put there a year later
            )


def citations():
    for path in sorted((ROOT / "conf/method").glob("*.yaml")):
        (node,) = (value for value in OmegaConf.load(path).values() if OmegaConf.is_dict(value))
        target = node["_target_"]
        if not target.startswith("bench.attribution.control") and path.stem not in (
            "function", "stored",
        ):  # fmt: skip
            yield path.stem, get_class(target).citation
    for group in ("dataset", "backbone"):
        for path in sorted((ROOT / "conf" / group).glob("*.yaml")):
            if path.stem not in OWN:
                yield path.stem, yaml.safe_load(path.read_text())["citation"]
    for name in shipped_protocols():
        yield name, "; ".join(load_protocol(name).citations)
        if name.startswith(("xplique", "rise", "smdl")):
            yield name, load_protocol(name).citation
    for path in sorted((ROOT / "conf/experiment/paper").glob("*.yaml")):
        node = yaml.safe_load(path.read_text())
        if "name" in node["backbone"]:
            yield path.stem, node["backbone"]["citation"]
        if "name" in node.get("dataset", {}):
            yield path.stem, node["dataset"]["citation"]


@pytest.mark.parametrize(("name", "citation"), list(citations()))
def test_everything_shipped_has_an_entry(name, citation):
    found = entries(citation)
    assert found, name
    assert all(entry in references() for entry in found), citation
    for line, entry in zip(citation.split(";"), found, strict=True):
        first, year = line.split()[0], re.search(r"\b(?:19|20)\d\d\b", line)[0]
        assert entry.fields["author"].startswith(first)
        # DeepLIFT's first form came in 2016, and its line says when it was last revised.
        assert entry.fields["year"] == year or entry.key == "shrikumar2016not"


@pytest.mark.parametrize("name", ["resnet18", "resnet18.a1_in1k"])
def test_networks_of_timm_are_cited_by_their_names(name):
    settings = {"weights": "random", "preprocessing": {}}
    found = entries(timm_model(name, **settings).citation)
    assert [entry.key for entry in found] == ["he2016deep", "wightman2019timm"]
    other = timm_model("mobilenetv3_small_050", **settings)
    assert [entry.key for entry in entries(other.citation)] == ["wightman2019timm"]


def test_entries_are_found_by_their_ids_alone():
    found = entries(
        "anybody, see arxiv:1806.07421v3; https://github.com/jacobgil/pytorch-grad-cam/"
    )
    assert [entry.key for entry in found] == ["petsiuk2018rise", "gildenblat2021pytorch"]
    (entry,) = entries("a fork 2022, github.com/jacobgil/pytorch-grad-cam-2")
    assert entry not in references()


def test_other_lines_become_entries_that_say_no_more():
    (entry,) = entries("Somebody et al. 2026, arXiv 2601.00001")
    assert (entry.key, entry.fields["author"]) == ("arxiv:2601.00001", "Somebody and others")
    assert (entry.fields["eprint"], entry.fields["year"]) == ("2601.00001", "2026")
    ((kind, key, fields),) = parsed(entry.text)
    assert (kind, key, fields) == ("misc", entry.key, dict(entry.fields))
    one, two = entries("Our handbook, 3rd edition; Our handbook, 4th edition")
    assert one.key != two.key
    assert "eprint" not in one.fields
    assert one.fields["note"] == "Our handbook, 3rd edition"


def test_hostile_citations_stay_in_their_place():
    hostile = "x} @misc{evil, \\input{/etc/passwd}\n@book{y, 50 % & #1 $ ~ ^ 2020"
    text = bibliography(
        [("ok", hostile), ("@misc{name,\n@", ""), ("rise", "arXiv 1806.07421")], "t@"
    )
    found = parsed(text)
    assert [(kind, key) for kind, key, _ in found][1:] == [("inproceedings", "petsiuk2018rise")]
    assert found[0][0] == "misc"
    assert "\\input" not in text
    for line in text.splitlines():
        assert not line.startswith("%") or "@" not in line


def test_a_bibliography_names_whom_each_row_cites():
    cited = [("rise", "arXiv 1806.07421"), ("inverted rise", "arXiv 1806.07421"), ("random", "")]
    assert cited_keys(cited) == [
        "rise: petsiuk2018rise", "inverted rise: petsiuk2018rise", "no citation: random",
    ]  # fmt: skip
    text = bibliography(cited, "board")
    assert text.startswith("% board\n% rise: petsiuk2018rise\n")
    assert "% no citation: random\n" in text
    assert [key for _, key, _ in parsed(text)] == ["petsiuk2018rise"]


def test_methods_cite_those_that_they_call():
    assert (
        Inverted(Rise()).citations == Rise().citations == ["Petsiuk et al. 2018, arXiv 1806.07421"]
    )
    assert Random().citations == []


def test_protocols_cite_their_parts_and_their_hash_knows_nothing_of_it():
    protocol = load_protocol("xplique-mufidelity")
    keys = [entry.key for line in protocol.citations for entry in entries(line)]
    assert keys == ["petsiuk2018rise", "bhatt2020evaluating", "fel2022xplique"]
    assert "citation" not in protocol.settings()


def test_a_run_remembers_and_its_leaderboard_has_a_bib_file(bench):
    code, _, err = bench("method=[saliency,center]", "dataset.citation='Me 2026, arXiv 2601.00002'")
    assert code == 0, err
    runs = {run.identity.method.name: run for run in stored_runs(Path("results"))}
    assert runs["saliency"].citations == {
        "dataset": "Me 2026, arXiv 2601.00002",
        "backbone": "",
        "protocol": "Petsiuk et al. 2018, arXiv 1806.07421; Fel et al. 2022, arXiv 2206.04394",
        "method": "Simonyan et al. 2014, arXiv 1312.6034",
    }
    (path,) = Path("results/leaderboards").glob("*.bib")
    text = path.read_text()
    keys = [key for _, key, _ in parsed(text)]
    assert keys == ["simonyan2014deep", "arxiv:2601.00002", "petsiuk2018rise", "fel2022xplique"]
    assert "% no citation: center\n" in text
    latex = path.with_suffix(".tex").read_text()
    assert "% saliency: simonyan2014deep" in latex

    run = runs["saliency"]  # as begun before runs kept what they cite
    kept = run.manifest.provenance.pop("citations")
    run._write_manifest()
    bench("method=[saliency,center]", "dataset.citation='Me 2026, arXiv 2601.00002'")
    assert read_manifest(run.folder / "manifest.json").provenance["citations"] == kept
    bench("method=[saliency,center]", "dataset.citation=another")  # nothing is taken back
    assert read_manifest(run.folder / "manifest.json").provenance["citations"] == kept
