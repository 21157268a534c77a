"""Image files to RGB pixels, one at a time or in threads that run ahead of who uses them."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from bench.errors import BenchError, require_integer


def read_image(path: Path) -> NDArray[np.uint8]:
    """Reads an image as the published numbers' scripts do: `cv2.imread(path)[..., ::-1]`.

    Whatever OpenCV makes of a file is what the published pipeline saw: it turns the image by its
    EXIF orientation, repeats grey in three channels, keeps the upper 8 of 16 bits, drops alpha,
    and converts CMYK by its own formula (Pillow's differs by a few levels).

    Args:
        path: Any format that OpenCV reads, under any name.

    Returns:
        RGB uint8 (H, W, 3), contiguous.

    Raises:
        BenchError: The file is missing, no image, truncated, or of a kind OpenCV cannot decode.
    """
    try:
        # OpenCV fills what a truncated file lacks with grey and says nothing; Pillow refuses it.
        with Image.open(path) as image:
            image.load()
        encoded = np.fromfile(path, dtype=np.uint8)
    except FileNotFoundError:
        raise BenchError(f"image '{path}' is missing: check the root and the list") from None
    except UnidentifiedImageError:
        raise BenchError(f"image '{path}' is not an image file that can be read") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BenchError(f"image '{path}' is broken: {error}") from None
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    if decoded is None:
        raise BenchError(
            f"image '{path}' cannot be decoded by OpenCV: convert it to an 8-bit JPEG or PNG"
        )
    return np.ascontiguousarray(decoded[..., ::-1])


def pixels_sha256(image: NDArray[np.uint8]) -> str:
    """Hash over an image's shape and pixels, whatever file it comes from."""
    digest = hashlib.sha256(str(image.shape).encode())
    digest.update(np.ascontiguousarray(image))
    return digest.hexdigest()


def read_ahead(
    reads: Iterable[Callable[[], NDArray[np.uint8]]], workers: int, ahead: int
) -> Iterator[NDArray[np.uint8] | BenchError]:
    """Calls `reads` in threads, while who iterates is busy with what came before.

    Order and results do not depend on the number of threads; OpenCV and Pillow decode without the
    interpreter's lock.

    Args:
        reads: Each gives an image, as `Sample.read` does; taken one by one, as they are needed.
        workers: Threads.
        ahead: How many images may wait to be taken: bounds the memory.

    Yields:
        For each of `reads`, in their order, the image, or the `BenchError` that it raised.
    """
    require_integer("workers", workers, 1)
    waiting: deque[Future[NDArray[np.uint8]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="reading")
    try:
        for read in reads:
            waiting.append(pool.submit(read))
            if len(waiting) > ahead:
                yield _outcome(waiting.popleft())
        while waiting:
            yield _outcome(waiting.popleft())
    finally:  # whoever stops early waits for no more than the images being read
        pool.shutdown(cancel_futures=True)


def _outcome(future: "Future[NDArray[np.uint8]]") -> NDArray[np.uint8] | BenchError:
    try:
        return future.result()
    except BenchError as error:
        return error
