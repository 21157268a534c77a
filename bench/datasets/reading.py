"""Image files to RGB pixels, one at a time or in threads that run ahead of who uses them."""

import hashlib
import io
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from bench.datasets.damage import find_damage, find_hole
from bench.errors import BenchError, require_integer


def read_image(path: Path) -> NDArray[np.uint8]:
    """Reads an image as the published numbers' scripts do: `cv2.imread(path)[..., ::-1]`.

    Whatever OpenCV makes of a file is what the published pipeline saw: it turns the image by its
    EXIF orientation, repeats grey in three channels, keeps the upper 8 of 16 bits, drops alpha,
    and converts CMYK by its formula (Pillow's differs by a few levels).

    Args:
        path: Any format that OpenCV reads, under any name.

    Returns:
        RGB uint8 (H, W, 3), contiguous.

    Raises:
        BenchError: The file is missing, no image, damaged (`damage.py`: OpenCV fills what is
            lacking and says nothing), or of a kind OpenCV cannot decode.

    Example:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> Image.new("RGB", (6, 4), "red").save("red.png")
        >>> pixels = read_image(Path("red.png"))
        >>> pixels.shape, pixels.dtype, pixels[0, 0].tolist()
        ((4, 6, 3), dtype('uint8'), [255, 0, 0])
    """
    content = _read_bytes(path)
    try:
        with Image.open(io.BytesIO(content)) as opened:
            damage = find_damage(content, opened)
    except UnidentifiedImageError:
        raise BenchError(
            f"image '{path}' is not an image file that can be read, or its beginning is damaged"
        ) from None
    except Image.DecompressionBombError as error:
        raise BenchError(f"image '{path}' cannot be read: {error}") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise _damaged(path, str(error)) from None
    if damage:
        raise _damaged(path, damage)
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        raise BenchError(
            f"image '{path}' cannot be decoded by OpenCV: convert it to an 8-bit JPEG or PNG"
        )
    pixels = np.asarray(decoded, np.uint8)
    hole = find_hole(content, opened, pixels)
    if hole:
        raise _damaged(path, hole)
    return np.ascontiguousarray(pixels[..., ::-1])


def _read_bytes(path: Path) -> bytes:
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise BenchError(f"image '{path}' is missing: check the root and the list") from None
    except OSError as error:
        raise BenchError(f"image '{path}' cannot be read: {error.strerror}") from None
    if not content:
        raise BenchError(f"image '{path}' is empty: copy it anew")
    return content


def _damaged(path: Path, finding: str) -> BenchError:
    return BenchError(
        f"image '{path}' is damaged ({finding}): copy it anew, or leave it out of the data set"
    )


def pixels_sha256(image: NDArray[np.uint8]) -> str:
    """Hash over an image's shape and pixels, whatever file it comes from.

    Args:
        image: (H, W, C), of any dtype.

    Returns:
        64 hexadecimal digits.

    Example:
        >>> pixels_sha256(np.zeros((4, 6, 3), np.uint8))[:12]
        'b15797b93cc7'
        >>> pixels_sha256(np.zeros((6, 4, 3), np.uint8))[:12]  # another shape
        '152a6ed8ab01'
    """
    digest = hashlib.sha256(str(image.shape).encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def read_ahead(
    reads: Iterable[Callable[[], NDArray[np.uint8]]], workers: int, ahead: int
) -> Generator[NDArray[np.uint8] | BenchError, None, None]:
    """Calls `reads` in threads, while who iterates is busy with what came before.

    Order and results do not depend on the number of threads; OpenCV and Pillow decode without the
    interpreter's lock, and so does simplejpeg.

    Args:
        reads: Each gives an image, as `Sample.read` does; taken one by one, as they are needed.
        workers: Threads.
        ahead: How many images may wait to be taken: bounds the memory.

    Yields:
        For each of `reads`, in their order, the image, or the `BenchError` that it raised.

    Raises:
        BenchError: `workers` is not 1 or more.

    Example:
        >>> def read():
        ...     return np.ones((4, 6, 3), np.uint8)
        >>> [image.shape for image in read_ahead([read, read], workers=2, ahead=1)]
        [(4, 6, 3), (4, 6, 3)]
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
