import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console
from stored_results import protocol, rows_of_protocol, write_results
from toy_rows import begin, identity

from bench.cli import main
from bench.errors import BenchWarning
from bench.report.front import FrontMatter
from bench.report.html import write_report
from bench.storage.store import stored_runs

HOSTILE = "</script><img src=x onerror=alert(1)>\"'`{{ 7*7 }} \u2028 &amp;"


class Page(HTMLParser):
    """A page taken apart: its elements with attributes, and the text of each."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append([tag, dict(attributes), ""])
        if tag not in ("meta", "link", "img", "input", "line", "path", "circle"):
            self.open.append(self.elements[-1])

    def handle_endtag(self, tag):
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        for element in self.open:
            element[2] += data

    def all(self, *tags):
        return [element for element in self.elements if element[0] in tags]

    def texts(self, *tags):
        return [" ".join(element[2].split()) for element in self.all(*tags)]


def report(folder, *more, **settings):
    output = folder / "page" / "report.html"
    write_report([folder, *more], output, Console(quiet=True), **settings)
    return output.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return report(write_results(tmp_path_factory.mktemp("results")))


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_headings_are_in_order(page):
    heads = [
        (int(element[0][1]), " ".join(element[2].split()))
        for element in page.all("h1", "h2", "h3", "h4")
    ]
    assert heads[0] == (1, "board")
    levels = [level for level, _ in heads]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert levels.count(1) == 1
    assert page.texts("h2") == ["birds · toy · smdl-cub"]
    assert page.texts("h3") == [
        "Leaderboard", "Images", "Figures", "What can be told apart", "Protocol", "Methods",
        "Provenance",
    ]  # fmt: skip
    assert page.texts("title") == ["board: attribution methods"]
    assert page.all("html")[0][1]["lang"] == "en"


def test_nothing_comes_from_elsewhere(page, text):
    for tag, attributes, _ in page.elements:
        for name in ("src", "srcset", "data", "poster"):
            assert attributes.get(name, "data:").startswith("data:"), tag
    assert all(
        element[1]["href"].startswith(("data:", "#", "https://")) for element in page.all("a")
    )
    assert [element[1]["href"] for element in page.all("link")] == ["data:,"]
    assert "@import" not in text
    assert "url(" not in page.texts("style")[0]


def test_the_policy_allows_this_style_and_script_alone(text):
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    parts = dict(directive.strip().split(" ", 1) for directive in policy.split(";"))
    assert parts["default-src"] == "'none'"
    assert parts["img-src"] == "data:"
    for tag in ("style", "script"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert parts[f"{tag}-src"] == f"'sha256-{digest}'"
    assert not re.search(r"<[^>]+ (style|on\w+)=", text)  # the policy would not let them be


def test_the_csv_is_the_leaderboard(page):
    (link,) = [element for element in page.all("a") if element[1].get("download") == "board.csv"]
    csv = base64.b64decode(link[1]["href"].partition(",")[2]).decode()
    assert csv.startswith("benchmark,backbone,protocol,auc,method,")
    assert len(csv.splitlines()) == 4


def test_ids_are_unique_and_links_lead_somewhere(page):
    ids = [element[1]["id"] for element in page.elements if "id" in element[1]]
    assert len(ids) == len(set(ids))
    targets = {
        element[1]["href"][1:] for element in page.all("a") if element[1]["href"].startswith("#")
    }
    assert targets <= set(ids)
    labels = {
        element[1]["aria-labelledby"]
        for element in page.elements
        if "aria-labelledby" in element[1]
    }
    assert labels <= set(ids)
    assert all(element[1].get("alt") for element in page.all("img"))


def test_what_a_page_begins_with_is_shown_as_it_is_written(tmp_path):
    front = FrontMatter(HOSTILE, f"{HOSTILE} and others", ("One.", HOSTILE))
    text = report(write_results(tmp_path, ["a.png"]), front=front)
    page = Page(text)
    assert "<img src=x" not in text
    written = " ".join(HOSTILE.split())
    assert page.texts("h1") == page.texts("title") == [written]
    assert [text for text in page.texts("p") if "</script>" in text] == [
        f"{written} and others", written,
    ]  # fmt: skip
    assert "One." in page.texts("p")


def test_rows_lead_to_figures_settings_and_papers(tmp_path):
    folder = write_results(tmp_path, ["a.png"])
    (run,) = (run for run in stored_runs(folder) if run.identity.method.name == "rise")
    run.manifest.provenance.update({"citations": {"method": "Petsiuk, arXiv 1806.07421"}})
    run._write_manifest()
    page = Page(report(folder))
    rows = {one[1]["data-method"]: one[1]["id"] for one in page.all("tr") if "id" in one[1]}
    links = {
        element[1]["aria-label"]: element[1]["href"]
        for element in page.all("a")
        if "aria-label" in element[1]
    }
    assert links["Paper of rise"] == "https://arxiv.org/abs/1806.07421"
    assert "Paper of grad_cam" not in links
    (figure,) = (one[1] for one in page.all("figure") if one[1].get("data-method") == "rise")
    assert links["Figure of rise"] == f"#{figure['id']}"
    settings = links["Settings of rise"][1:]
    assert rows["rise"] == settings  # of one name, the last
    assert links["rise in the table"] in {f"#p1-row-{number}" for number in (1, 2, 3)}


def test_names_are_shown_as_they_are_written(tmp_path):
    names = (HOSTILE, "grad_cam", "random")
    text = report(write_results(tmp_path, images=(HOSTILE, "b.png", "c.png"), names=names))
    page = Page(text)
    assert "<img src=x" not in text
    assert text.count("</script>") == 2  # the data's and the script's own
    shown = [text for text in page.texts("th") if text.startswith("</script>")]
    assert " ".join(HOSTILE.split()) in shown
    data = json.loads(next(element for element in page.all("script") if element[1].get("type"))[2])
    assert HOSTILE in [method["name"] for method in data["methods"]]
    assert HOSTILE in [image["id"] for image in data["images"]]


def test_what_people_pass_on_names_no_folder_of_theirs(tmp_path):
    run = begin(tmp_path, "rise", protocol=protocol())
    given = {
        "command": ["bench run", "experiment=demo", "dataset.root=/home/somebody/secret/birds"],
        "directory": "/data/somebody/project",
        "device": "a device",
        "git": {"origin": "git@private.example:x", "commit": "abc123", "dirty": True},
        "packages": {"torch": "2.9", "private-package": "1"},
    }
    run.manifest.provenance.update(given)
    run._write_manifest()
    run.append(rows_of_protocol("a", "b"))
    run.record_failure("c", "no file '/data/somebody/project/c.png' nor /Users/me/c.png", "trace")
    text = report(tmp_path)
    for secret in ("somebody", "/Users/me", "private", "trace<"):
        assert secret not in text
    page = Page(text)
    values = page.texts("dd")
    assert "bench run experiment=demo dataset.root=~/secret/birds" in values
    assert {"a device", "abc123 and changes", "torch 2.9", "sha256 a", "sha256 c"} <= set(values)
    told = "1 failed, c first: no file './c.png' nor ~/c.png"
    assert page.texts("li").count(told) == 2  # under the table, and where it says what is missing
    assert f"rise: 1 of 3 images. {told}" in page.texts("li")
    assert "Images" not in page.texts("h3")


def test_several_results_on_one_page(tmp_path):
    first, second = (write_results(tmp_path / name, ["a.png"]) for name in ("one", "two"))
    begin(second, protocol=protocol()).set_label("other", "rise")
    page = Page(report(first, second))
    titles = page.texts("h2")
    assert [title.split(" birds")[0] for title in titles] == [
        "board (one)", "board (two)", "other", "All together",
    ]  # fmt: skip
    assert page.texts("h1") == ["3 leaderboards"]
    assert len([element for element in page.all("script") if element[1].get("type")]) == 2


def test_images_are_left_out_before_the_page_grows_too_large(tmp_path):
    folder = write_results(tmp_path, side=200)
    whole = report(folder)
    largest = (len(whole) - 10_000) / 1e6
    small = report(folder, max_mb=largest)
    assert len(small) <= largest * 1e6
    assert "3 of 3 kept images shown" in whole
    assert "2 of 3 kept images shown" in small


def test_one_image_of_one_method(tmp_path):
    dataset = identity()["dataset"] | {"num_images": 1}
    begin(tmp_path, "rise", protocol=protocol(), dataset=dataset).append(rows_of_protocol("a"))
    page = Page(report(tmp_path))
    assert "What can be told apart" not in page.texts("h3")


def test_citations_lead_to_their_papers(tmp_path):
    run = begin(tmp_path, "rise", protocol=protocol())
    cited = {"method": "Petsiuk et al. 2018, arXiv 1806.07421", "backbone": "A page of mine"}
    run.manifest.provenance.update({"citations": cited})
    run._write_manifest()
    run.append(rows_of_protocol("a", "b", "c"))
    page = Page(report(tmp_path))
    links = {element[2]: element[1]["href"] for element in page.all("a")}
    assert links[cited["method"]] == "https://arxiv.org/abs/1806.07421"
    assert "Network: A page of mine" in page.texts("p")
    (bibtex,) = (
        element[1]["href"] for element in page.all("a") if element[1].get("download") == "board.bib"
    )
    assert "1806.07421" in base64.b64decode(bibtex.partition(",")[2]).decode()


def test_the_command_and_an_auc_rule_of_ones_own(tmp_path, capsys, monkeypatch):
    folder = write_results(tmp_path / "results", ["a.png"])
    monkeypatch.chdir(tmp_path)
    main(["report", "--output", "out/page.html", "auc=mean"])
    assert "Report: out/page.html (" in capsys.readouterr().out
    text = Path("out/page.html").read_text()
    assert "AUC: mean" in text
    assert "is the mean of its curve&#39;s points" in text
    main(["report", str(folder), "-o", "again.html"])
    assert Path("again.html").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nowhere", "-o", "x.html"], "results folder 'nowhere' is missing"),
        ([".", "-o", "x.html"], "no runs in '.'"),
        ([".", "auc=mine", "-o", "x.html"], "auc: unknown name 'mine'"),
        ([".", "auc=mean", "auc=mean", "-o", "x.html"], "auc: expected one, found mean and mean"),
    ],
)
def test_mistakes_are_told(arguments, expected, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["report", *arguments])
    assert expected in capsys.readouterr().err
    assert not Path("x.html").exists()


def test_broken_pictures_are_named_and_left_out(tmp_path):
    folder = write_results(tmp_path, ["a.png", "b.png"])
    (path, *_) = (folder / "pictures").glob("*/*.npz")
    path.write_bytes(b"broken")
    with pytest.warns(BenchWarning, match=f"{path.name}' is broken .* left out"):
        report(folder)
