import errno
import os
import socket
import time
from pathlib import Path

import huggingface_hub.constants
import pytest
from fetched import serving

import bench.assets.download
from bench.assets.download import download, download_from_hub, remote_size
from bench.errors import BenchError

CONTENT = os.urandom(300_001)
HUB = "/somebody/nets/resolve/main/nets/a.h5"


class Shown:
    """A bar that remembers."""

    def __init__(self):
        self.begun, self.done = [], 0

    def begin(self, total):
        self.begun.append(total)
        self.done = 0

    def advance(self, size):
        self.done += size


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("BENCH_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with serving() as site:
        template = site.url + "/{repo_id}/resolve/{revision}/{filename}"  # as HF_ENDPOINT makes it
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", site.url)
        site.files |= {"/a.bin": CONTENT, HUB: CONTENT}
        yield site


@pytest.fixture
def no_waiting(monkeypatch):
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.01)))


def refused(url, path="in/a.bin"):
    with pytest.raises(BenchError) as error:
        download(url, Path(path), Shown())
    assert not Path(path).exists()
    assert not Path(path).parent.exists() or list(Path(path).parent.iterdir()) == []
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_file_and_how_far_it_is(site):
    shown = Shown()
    download(f"{site.url}/a.bin", Path("in/a.bin"), shown)
    assert Path("in/a.bin").read_bytes() == CONTENT
    assert {*shown.begun} == {len(CONTENT)}
    assert [path.name for path in Path("in").iterdir()] == ["a.bin"]


def test_what_is_there_whole_is_not_fetched_again(site):
    for _ in range(2):
        download(f"{site.url}/a.bin", Path("in/a.bin"), Shown())
    assert len(site.asked) == 1


def test_redirects(site):
    site.redirects["/old.bin"] = f"{site.url}/a.bin"
    download(f"{site.url}/old.bin", Path("a.bin"), Shown())
    assert Path("a.bin").read_bytes() == CONTENT
    site.redirects["/round"] = f"{site.url}/round"
    assert "TooManyRedirects" in refused(f"{site.url}/round")


def test_a_connection_that_breaks(site, no_waiting):
    site.breaks["/a.bin"] = 2
    download(f"{site.url}/a.bin", Path("a.bin"), Shown())
    assert Path("a.bin").read_bytes() == CONTENT
    assert len(site.asked) == 3
    site.breaks["/a.bin"] = 3
    assert "broke 3 times" in refused(f"{site.url}/a.bin")


def test_a_library_that_takes_half_a_file_for_whole(site, monkeypatch):
    """As urllib3 did before its second version, which has the check of its own."""
    import pooch

    call = pooch.HTTPDownloader.__call__

    def half(self, url, output_file, *arguments, **settings):
        call(self, url, output_file, *arguments, **settings)
        os.truncate(output_file, 1000)

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", half)
    assert "ended after 1,000 of 300,001 bytes" in refused(f"{site.url}/a.bin")
    assert site.encodings == ["identity"]  # so that the bytes that are announced are those


def test_answers_that_are_no_file(site, no_waiting):
    assert "answers 404 Not Found: try again later, or get it" in refused(f"{site.url}/gone.bin")


def test_a_slow_server_is_waited_for_and_a_silent_one_is_not(site, no_waiting, monkeypatch):
    monkeypatch.setattr(bench.assets.download, "SILENCE", 0.3)
    site.slow["/a.bin"] = 0.01
    download(f"{site.url}/a.bin", Path("a.bin"), Shown())
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes calls, and never answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.bin"
        assert "says nothing for 0.3 s" in refused(url)


def test_no_network(site, no_waiting):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert f"no connection to 127.0.0.1:{port}" in refused(f"http://127.0.0.1:{port}/a.bin")


def test_a_disk_that_fills(site, monkeypatch):
    import pooch

    call = pooch.HTTPDownloader.__call__

    def filling(self, url, output_file, *arguments, **settings):
        call(self, url, output_file, *arguments, **settings)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), output_file)

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", filling)
    told = refused(f"{site.url}/a.bin")
    assert "No space left on device): make room, or choose another folder with --to" in told


def test_a_folder_that_cannot_be_made(site):
    Path("in").touch()
    with pytest.raises(BenchError, match=r"cannot write 'in/a.bin' \(.+--to"):
        download(f"{site.url}/a.bin", Path("in/a.bin"), Shown())


def test_files_of_the_hub(site):
    shown = Shown()
    path = download_from_hub("somebody/nets", None, "nets/a.h5", Path("hub"), shown)
    assert path.read_bytes() == CONTENT
    assert path.resolve() == Path("hub/nets/a.h5").resolve()
    assert (shown.begun[-1], shown.done) == (len(CONTENT), len(CONTENT))


def test_the_hub_goes_on_where_a_connection_broke(site, no_waiting, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 1000)  # 10 MB else
    site.breaks[HUB] = 1
    path = download_from_hub("somebody/nets", None, "nets/a.h5", Path("hub"), Shown())
    assert path.read_bytes() == CONTENT
    assert [wanted for method, _, wanted in site.asked if method == "GET"][-1] == "bytes=150000-"


@pytest.mark.parametrize("name", ["gone.h5", "../a.h5"])
def test_files_that_the_hub_does_not_have(site, name):
    with pytest.raises(BenchError, match=f"'{name}' of huggingface.co/somebody/nets cannot be f"):
        download_from_hub("somebody/nets", None, name, Path("hub"), Shown())
    assert not list(Path().rglob("*.h5"))


def test_offline_nothing_connects(site, monkeypatch):
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    assert "BENCH_OFFLINE=1 forbids to connect" in refused(f"{site.url}/a.bin")
    with pytest.raises(BenchError, match="BENCH_OFFLINE=1"):
        download_from_hub("somebody/nets", None, "nets/a.h5", Path("hub"), Shown())
    assert remote_size(f"{site.url}/a.bin") is None
    assert site.asked == []


def test_sizes_are_asked_for(site):
    assert remote_size(f"{site.url}/a.bin") == len(CONTENT)
    assert remote_size(f"{site.url}/gone.bin") is None
