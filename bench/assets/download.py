"""Single files from the web, by pooch, and from the Hugging Face hub, by huggingface_hub."""

import errno
import io
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from bench.backbones.offline import OFFLINE, is_offline
from bench.errors import BenchError

SILENCE = 30.0
"""Seconds after which a server that says nothing is given up."""

_AGAIN = 2
"""Times that a connection is tried again after the first."""

_CHUNK = 2**20


class Bar(Protocol):
    """What is told how far a download is."""

    def begin(self, total: int | None) -> None:
        """A file begins, again if a connection broke; `total` bytes, if that is known."""

    def advance(self, size: int) -> None:
        """So many more bytes are there."""


class _PoochBar:
    """A bar as pooch drives it.

    Attributes:
        total: The bytes that the server announced; 0: none.
    """

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._total = 0

    @property
    def total(self) -> int:
        return self._total

    @total.setter
    def total(self, total: int) -> None:
        self._total = total
        self._bar.begin(total or None)

    def update(self, size: int) -> None:
        self._bar.advance(size)

    def reset(self) -> None:
        self._bar.begin(self._total or None)

    def close(self) -> None:
        """Whoever made the bar takes it away."""


def download(url: str, path: Path, bar: Bar) -> None:
    """Gets a file from the web; what stood there stays if it cannot be had whole.

    pooch writes a temporary file beside and renames it. A connection that breaks is begun anew, as
    pooch does not resume.

    Args:
        url: `https://...`.
        path: Where it goes; its folder is made.
        bar: Shows how far it is.

    Raises:
        BenchError: It cannot be had, in one line: offline, no connection, the server's answer,
            silence, a file that ended early, a disk that is full.
    """
    _require_online(url)
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")
    shown = _PoochBar(bar)
    keeper = pooch.create(
        path.parent, "", registry={path.name: None}, urls={path.name: url}, retry_if_failed=_AGAIN
    )
    downloader = pooch.HTTPDownloader(
        progressbar=shown,
        chunk_size=_CHUNK,
        timeout=SILENCE,
        headers={"Accept-Encoding": "identity"},  # as many bytes as are announced
    )
    try:
        keeper.fetch(path.name, downloader=downloader)
    except requests.HTTPError as error:
        answer = error.response
        told = "an error" if answer is None else f"{answer.status_code} {answer.reason}"
        raise BenchError(f"'{url}' answers {told}: {_ELSEWHERE}") from None
    except requests.RequestException as error:
        raise BenchError(_no_connection(url, error)) from None
    except OSError as error:
        raise BenchError(_cannot_write(path, error)) from None
    _require_whole(path, shown.total, url)


def download_from_hub(
    repository: str, revision: str | None, name: str, folder: Path, bar: Bar
) -> Path:
    """Gets a file of a repository on the Hugging Face hub.

    Where a connection breaks, the library goes on from there.

    Args:
        repository: `OWNER/NAME`.
        revision: Branch, tag or commit; None: the newest.
        name: The file's path in the repository.
        folder: An empty folder; the library also keeps notes in it.
        bar: Shows how far it is.

    Returns:
        The file, at its path in the folder.

    Raises:
        BenchError: It cannot be had, in one line.
    """
    told = f"'{name}' of huggingface.co/{repository}"
    _require_online(told)
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HTTPError
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()
    try:
        return Path(
            hf_hub_download(
                repository, name, revision=revision, local_dir=folder, tqdm_class=_hub_bar(bar)
            )
        )
    except OSError as error:
        if error.errno is not None:
            raise BenchError(_cannot_write(folder / name, error)) from None
        raise BenchError(f"{told} cannot be fetched ({_short(error)}): {_ELSEWHERE}") from None
    except (HTTPError, ValueError, RuntimeError) as error:
        raise BenchError(f"{told} cannot be fetched ({_short(error)}): {_ELSEWHERE}") from None


_ELSEWHERE = "try again later, or get it elsewhere and put it in its place"


def _hub_bar(bar: Bar) -> Any:
    """A class of bars as the hub's library drives them, which show nothing but `bar`."""
    from tqdm import tqdm

    class HubBar(tqdm):  # type: ignore[type-arg]  # generic in its stubs alone
        def __init__(
            self, *_: Any, total: float | None = None, initial: float = 0, **settings: Any
        ) -> None:
            super().__init__(None, total=total, initial=initial, file=io.StringIO())
            bar.begin(None if total is None else int(total))
            bar.advance(int(initial))

        def update(self, n: float | None = 1) -> bool | None:
            bar.advance(int(n or 0))
            return super().update(n)

    return HubBar


def remote_size(url: str) -> int | None:
    """The bytes that a server announces of a file; None: it does not say, or cannot be asked.

    Args:
        url: `https://...`; some servers answer such a question with a refusal.
    """
    if is_offline():
        return None
    import requests

    try:
        answer = requests.head(
            url, allow_redirects=True, timeout=10, headers={"Accept-Encoding": "identity"}
        )
    except requests.RequestException:
        return None
    length = answer.headers.get("x-linked-size") or answer.headers.get("content-length", "")
    return int(length) if answer.ok and length.isdigit() else None


def size_on_hub(repository: str, revision: str | None, name: str) -> int | None:
    """The bytes of a file on the hub; None: that is not known.

    Args:
        repository: `OWNER/NAME`.
        revision: Branch, tag or commit; None: the newest.
        name: The file's path in the repository.
    """
    from huggingface_hub import hf_hub_url

    return remote_size(hf_hub_url(repository, name, revision=revision))


def _require_online(what: str) -> None:
    if is_offline():
        raise BenchError(f"{what} is not fetched: {OFFLINE}=1 forbids to connect")


def _require_whole(path: Path, announced: int, url: str) -> None:
    found = path.stat().st_size
    if announced and found != announced:
        path.unlink()
        raise BenchError(
            f"'{url}' ended after {found:,} of {announced:,} bytes: {_ELSEWHERE}; nothing is kept"
        )


def _no_connection(url: str, error: Exception) -> str:
    import requests

    host = urlsplit(url).netloc
    if isinstance(error, requests.Timeout):
        return f"{host} says nothing for {SILENCE:g} s ('{url}'): {_ELSEWHERE}"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return f"the connection to {host} broke {_AGAIN + 1} times ('{url}'): {_ELSEWHERE}"
    return f"no connection to {host} ('{url}'; {_short(error)}): {_ELSEWHERE}"


def _cannot_write(path: Path, error: OSError) -> str:
    mend = "make room, or choose another folder with --to"
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        mend = "choose another folder with --to"
    return f"cannot write '{path}' ({error.strerror}): {mend}"


def _short(error: Exception) -> str:
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {' '.join(str(cause).split())[:160]}"
