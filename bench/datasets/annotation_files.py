"""Boxes and masks from files: CSV, PASCAL VOC's XML, COCO's JSON, and folders of masks."""

import csv
import io
import json
import math
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any
from xml.parsers import expat

import numpy as np

from bench.datasets.annotation import Annotation, MaskFile, Outlines
from bench.datasets.dataset import Sample
from bench.datasets.image_files import SUFFIXES, image_files, is_hidden
from bench.datasets.problems import Problems
from bench.errors import BenchError, require_integer

Box = tuple[float, float, float, float]
"""Left, top, right and bottom; see `Annotation.boxes`."""

CSV_COLUMNS = ("image_id", "x", "y", "width", "height")
"""The columns of a file of boxes."""
_MASKS = frozenset(".bmp .png .tif .tiff".split())
"""Endings of masks. JPEG is none of them: it leaves grey around every edge."""


@dataclass(frozen=True)
class Mark:
    """One object that a file marks.

    Attributes:
        image: What the file calls the image.
        source: Where it stands, for messages: "'boxes.csv', line 3".
        box: Its box, if it has one.
        category: What the file calls the object's class, if it does.
        outlines: Its mask, if it has one.

    Example:
        >>> from pathlib import Path
        >>> from bench.datasets.problems import Problems
        >>> _ = Path("boxes.csv").write_text("wren.jpg,2,3,10,20")
        >>> [mark] = read_csv(Path("boxes.csv"), Problems("boxes"))
        >>> mark.image, mark.box, mark.source
        ('wren.jpg', (2.0, 3.0, 12.0, 23.0), "'boxes.csv', line 1")
    """

    image: str
    source: str
    box: Box | None = None
    category: str = ""
    outlines: Outlines | None = None


class ImageNames:
    """Finds the image that a file means, however much of its path it writes.

    `val/17.xml`, `17.png` and `17` are `images/val/17.jpg`, if no other image could be meant.

    Args:
        names: Of the images.

    Example:
        >>> names = ImageNames(["val/17.jpg", "val/18.jpg", "train/18.jpg"])
        >>> names.find("17.xml"), names.find("18"), names.find("train/18.png")
        (0, None, 2)
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._exact: dict[str, int] = {}
        self._by_stem: dict[str, list[tuple[tuple[str, ...], int]]] = defaultdict(list)
        for number, name in enumerate(names):
            parts = _parts(name)
            self._exact[_composed(name)] = number
            self._by_stem[parts[-1]].append((parts, number))

    def find(self, name: str) -> int | None:
        """The image's place among the names; None: there is none, or there are several."""
        exact = self._exact.get(_composed(name))
        if exact is not None:
            return exact
        parts = _parts(name)
        fitting = [
            number
            for theirs, number in self._by_stem.get(parts[-1], ())
            if all(ours == known for ours, known in zip(parts[::-1], theirs[::-1], strict=False))
        ]
        return fitting[0] if len(fitting) == 1 else None


def annotated(
    samples: Sequence[Sample],
    *,
    boxes: str | None = None,
    masks: str | None = None,
    mask_above: int = 0,
    class_names: Sequence[str] | None = None,
) -> tuple[list[Sample], list[str]]:
    """Images with the boxes and masks that a user's files hold.

    Args:
        samples: The images.
        boxes: A CSV with the columns `CSV_COLUMNS`, a COCO-style JSON, or a folder (or one file) of
            PASCAL VOC's XML; see `read_boxes`.
        masks: A folder of masks, each with the name of its image; see `MaskFile`.
        mask_above: The grey level above which a mask's pixels belong to the object.
        class_names: Name of each label. If the file of boxes knows some of them, an image gets the
            boxes of its class alone.

    Returns:
        The images, and lines on what they got and what was left out.

    Raises:
        BenchError: A file cannot be read, boxes in it are none (all of them are told at once), or
            no image has any.

    Example:
        >>> from pathlib import Path
        >>> from bench.datasets.dataset import Sample
        >>> _ = Path("of_wren.csv").write_text("wren.jpg,2,3,10,20")
        >>> wren = Sample("wren.jpg", Path("wren.jpg"), target=0)
        >>> [found], notes = annotated([wren], boxes="of_wren.csv")
        >>> found.annotation.boxes.tolist(), notes
        ([[2.0, 3.0, 12.0, 23.0]], ["Boxes: 1 in 1 of 1 images, from 'of_wren.csv'"])
    """
    names = [sample.image_id for sample in samples]
    notes = []
    if boxes is not None:
        problems = Problems(f"dataset.boxes: '{boxes}'")
        marks = read_boxes(boxes, problems)
        problems.raise_any()
        _require_pixels(boxes, marks)
        samples, note = with_marks(samples, names, marks, f"'{boxes}'", class_names)
        notes.append(note)
    if masks is not None:
        samples, note = with_masks(samples, names, Path(masks).expanduser(), mask_above)
        notes.append(note)
    return list(samples), notes


def _require_pixels(place: str, marks: Sequence[Mark]) -> None:
    """Refuses boxes that are shares of the image: each would be a speck in its corner."""
    edges = np.array([mark.box for mark in marks if mark.box is not None])
    if edges.size and edges.max() <= 1 and (edges % 1).any():
        raise BenchError(
            f"dataset.boxes: '{place}' has boxes in shares of the image, 0..1 "
            f"({marks[0].source}): expected pixels of the photo; multiply them by its width and "
            "height"
        )


def read_boxes(place: str, problems: Problems) -> list[Mark]:
    r"""All objects that a file or folder marks.

    Args:
        place: A CSV, a JSON file, an XML file or a folder of XML files.
        problems: Gets what is no box.

    Returns:
        The objects in the order of the file, or of the files' paths.

    Raises:
        BenchError: It is missing, cannot be read, or is of another kind.

    Example:
        >>> from pathlib import Path
        >>> from bench.datasets.problems import Problems
        >>> _ = Path("two.csv").write_text("wren.jpg,2,3,10,20\nowl.jpg,0,0,5,5\n")
        >>> [mark.box for mark in read_boxes("two.csv", Problems("two.csv"))]
        [(2.0, 3.0, 12.0, 23.0), (0.0, 0.0, 5.0, 5.0)]
    """
    path = Path(place).expanduser()
    readers = {".csv": read_csv, ".json": read_coco, ".xml": read_voc}
    if path.is_dir():
        return read_voc_folder(path, problems)
    if path.suffix.lower() not in readers:
        raise BenchError(
            f"dataset.boxes: expected a .csv, a .json or a folder of .xml files, found '{place}'"
        )
    return readers[path.suffix.lower()](path, problems)


def read_csv(path: Path, problems: Problems) -> list[Mark]:
    """Boxes of a CSV with lines `image_id,x,y,width,height`, several an image if need be.

    `x` and `y` are the left upper corner, in pixels from 0. A first line with these names is
    skipped.

    Args:
        path: The file, UTF-8.
        problems: Gets the lines that hold no box.

    Returns:
        A mark for each line that holds a box.

    Raises:
        BenchError: The file cannot be read.

    Example:
        >>> from pathlib import Path
        >>> from bench.datasets.problems import Problems
        >>> problems = Problems("empty.csv")
        >>> _ = Path("empty.csv").write_text("wren.jpg,2,3,0,20")
        >>> read_csv(Path("empty.csv"), problems), problems.lines()
        ([], ["boxes that are empty (1): line 1: ['2', '3', '0', '20']"])
    """
    marks: list[Mark] = []
    reader = csv.reader(io.StringIO(_read_text(path), newline=""))
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            is_header = not marks and tuple(cell.lower() for cell in cells) == CSV_COLUMNS
            if is_header or not any(cells):
                continue
            place = f"line {reader.line_num}"
            if len(cells) != len(CSV_COLUMNS):
                problems.add(f"lines that are not '{','.join(CSV_COLUMNS)}'", f"{place}: {row}")
            elif (box := _box(cells[1:], place, problems, sized=True)) is not None:
                marks.append(Mark(cells[0], f"'{path}', {place}", box))
    except csv.Error as error:
        problems.add("lines that cannot be read", f"line {reader.line_num}: {error}")
    return marks


def read_coco(path: Path, problems: Problems) -> list[Mark]:
    """Boxes `bbox` and masks `segmentation` of a COCO-style JSON.

    Polygons and uncompressed run-length codes are read; a compressed code is a problem.

    Args:
        path: The file, with `images` and `annotations`, and perhaps `categories`.
        problems: Gets what is no box and no mask.

    Returns:
        A mark for each annotation that has a box or a mask.

    Raises:
        BenchError: The file cannot be read, or is no such JSON.

    Example:
        >>> import json
        >>> from pathlib import Path
        >>> from bench.datasets.problems import Problems
        >>> image = {"id": 1, "file_name": "wren.jpg"}
        >>> content = {"images": [image], "annotations": [{"image_id": 1, "bbox": [2, 3, 10, 20]}]}
        >>> _ = Path("coco.json").write_text(json.dumps(content))
        >>> read_coco(Path("coco.json"), Problems("coco.json"))[0].box
        (2.0, 3.0, 12.0, 23.0)
    """
    try:
        content = json.loads(_read_text(path))
        images = {image["id"]: str(image["file_name"]) for image in content["images"]}
        if len(images) < len(content["images"]):
            problems.add("images with the id of another one", _repeated(content["images"]))
        found = content.get("categories", ())
        categories = {category["id"]: str(category["name"]) for category in found}
        annotations = [dict(annotation) for annotation in content["annotations"]]
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise BenchError(
            f"'{path}': expected COCO's JSON with images (id, file_name) and annotations "
            f"(image_id, bbox): {type(error).__name__} {error}"
        ) from None
    marks = []
    for number, annotation in enumerate(annotations, start=1):
        place = f"annotation {annotation.get('id', number)}"
        image = _known(images, annotation.get("image_id"))
        if image is None:
            problems.add("annotations of no image", place)
            continue
        box = None
        if annotation.get("bbox"):
            box = _box(annotation["bbox"], place, problems, sized=True)
        source = f"'{path}', {place}"
        outlines = _outlines(annotation.get("segmentation"), source, place, problems)
        category = _known(categories, annotation.get("category_id")) or ""
        if box is not None or outlines is not None:
            marks.append(Mark(image, source, box, category, outlines))
    return marks


def _repeated(images: Sequence[dict[str, Any]]) -> str:
    """The first id that two images have."""
    ids = [image["id"] for image in images]
    return f"id {next(each for each in ids if ids.count(each) > 1)!r}"


def read_voc_folder(folder: Path, problems: Problems) -> list[Mark]:
    """Boxes of all XML files in a folder and below; see `read_voc`.

    Args:
        folder: The folder. A file has the path of its image, relative to it.
        problems: Gets what is no box.

    Returns:
        A mark for each object, by the files' paths.

    Raises:
        BenchError: There is no XML file, or one cannot be read.

    Example:
        >>> from pathlib import Path
        >>> from bench.datasets.problems import Problems
        >>> edges = "<xmin>2</xmin><ymin>3</ymin><xmax>12</xmax><ymax>23</ymax>"
        >>> Path("voc/val").mkdir(parents=True)
        >>> object_ = f"<object><name>wren</name><bndbox>{edges}</bndbox></object>"
        >>> _ = Path("voc/val/17.xml").write_text(f"<annotation>{object_}</annotation>")
        >>> [mark.image for mark in read_voc_folder(Path("voc"), Problems("voc"))]
        ['val/17.xml']
    """
    files = sorted(path for path in folder.rglob("*.xml") if not is_hidden(path.name))
    if not files:
        raise BenchError(f"dataset.boxes: '{folder}' holds no .xml file; for masks: dataset.masks")
    marks = []
    for path in files:
        name = path.relative_to(folder).as_posix()
        marks += [replace(mark, image=name) for mark in read_voc(path, problems)]
    return marks


def read_voc(path: Path, problems: Problems) -> list[Mark]:
    """Boxes of a PASCAL VOC XML, as ImageNet has them: `object/bndbox/xmin`, `ymin`, ...

    They are taken as edges, as they stand (wsolevaluation reads ImageNet's in this way).

    Args:
        path: The file; the image is called like it.
        problems: Gets what is no box.

    Returns:
        A mark for each object that has a box.

    Raises:
        BenchError: The file cannot be read, is no XML, or declares a document type: nothing outside
            it is read, and nothing in it is expanded.

    Example:
        >>> from pathlib import Path
        >>> from bench.datasets.problems import Problems
        >>> edges = "<xmin>2</xmin><ymin>3</ymin><xmax>12</xmax><ymax>23</ymax>"
        >>> wren = f"<object><name>wren</name><bndbox>{edges}</bndbox></object>"
        >>> _ = Path("17.xml").write_text(f"<annotation>{wren}</annotation>")
        >>> [mark] = read_voc(Path("17.xml"), Problems("17.xml"))
        >>> mark.category, mark.box
        ('wren', (2.0, 3.0, 12.0, 23.0))
    """
    marks = []
    for number, (category, values) in enumerate(_objects(path), start=1):
        place = f"'{path.name}', object {number}"
        box = _box([values.get(edge, "") for edge in _EDGES], place, problems)
        if box is not None:
            marks.append(Mark(path.name, f"'{path}', object {number}", box, category))
    return marks


_EDGES = ("xmin", "ymin", "xmax", "ymax")


def _objects(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Name and edges of each object that an XML file of PASCAL VOC has."""
    found: list[tuple[str, dict[str, str]]] = []
    trail: list[str] = []
    text: list[str] = []

    def start(tag: str, _: dict[str, str]) -> None:
        trail.append(tag)
        text.clear()
        if trail[1:] == ["object"]:
            found.append(("", {}))

    def end(tag: str) -> None:
        value = "".join(text).strip()
        if trail[1:] == ["object", "name"]:
            found[-1] = (value, found[-1][1])
        elif trail[1:-1] == ["object", "bndbox"]:
            found[-1][1][tag] = value
        trail.pop()
        text.clear()

    def refuse(*_: object) -> None:
        raise BenchError(
            f"'{path}' declares a document type, which may hold entities: expected a plain XML of "
            "PASCAL VOC; delete the line <!DOCTYPE ...>"
        )

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text.append
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(_read(path), True)
    except expat.ExpatError as error:
        raise BenchError(f"'{path}' is no XML that can be read: {error}") from None
    yield from found


def with_marks(
    samples: Sequence[Sample],
    names: Sequence[str],
    marks: Sequence[Mark],
    source: str,
    class_names: Sequence[str] | None = None,
) -> tuple[list[Sample], str]:
    """Images with the objects that are theirs.

    Args:
        samples: The images.
        names: What a file may call them.
        marks: The objects.
        source: Where they were read, for messages.
        class_names: Name of each label. If the file knows some of them, an image gets the objects
            of its class alone.

    Returns:
        The images, and a line on what they got.

    Raises:
        BenchError: No object is one of these images'.

    Example:
        >>> from pathlib import Path
        >>> from bench.datasets.dataset import Sample
        >>> names = ["wren.jpg", "owl.jpg"]
        >>> samples = [Sample(name, Path(name), label) for label, name in enumerate(names)]
        >>> marks = [Mark("owl", "line 1", box=(0, 0, 5, 5))]
        >>> found, note = with_marks(samples, names, marks, "'boxes.csv'")
        >>> [sample.annotation is not None for sample in found], note
        ([False, True], "Boxes: 1 in 1 of 2 images, from 'boxes.csv'")
    """
    known = ImageNames(names)
    theirs = {mark.category for mark in marks if mark.category}
    of_class = class_names if class_names and theirs & set(class_names) else None
    of_image: dict[int, list[Mark]] = defaultdict(list)
    astray: list[str] = []
    others = 0
    for mark in marks:
        number = known.find(mark.image)
        if number is None:
            astray.append(mark.image)
        elif of_class is not None and mark.category != of_class[samples[number].target]:
            others += 1
        else:
            of_image[number].append(mark)
    if not of_image:
        raise BenchError(
            f"dataset.boxes: {source} has boxes of none of the {len(samples)} images; it names "
            f"'{marks[0].image}', the data set '{names[0]}'"
            if marks
            else f"dataset.boxes: {source} has no boxes"
        )
    count = sum(map(len, of_image.values()))
    note = f"Boxes: {count} in {len(of_image)} of {len(samples)} images, from {source}"
    if others:
        note += f"; {others} of other classes than their image's are left out"
    if astray:
        note += f"; {len(astray)} are of images that are not listed ('{astray[0]}' is the first)"
    return [
        replace(sample, annotation=_annotation(of_image[number])) if number in of_image else sample
        for number, sample in enumerate(samples)
    ], note


def with_masks(
    samples: Sequence[Sample], names: Sequence[str], folder: Path, above: int
) -> tuple[list[Sample], str]:
    """Images with the masks in a folder; boxes that they have are kept.

    Args:
        samples: The images.
        names: What a mask may be called, but for the ending.
        folder: Holds masks as .png, .bmp or .tif, at any depth.
        above: See `MaskFile`.

    Returns:
        The images, and a line on what they got.

    Raises:
        BenchError: The folder is missing, or has a mask of none of the images, or an image has two.

    Example:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from bench.datasets.dataset import Sample
        >>> Path("masks").mkdir()
        >>> Image.new("L", (3, 2), 255).save("masks/wren.png")
        >>> wren = Sample("wren.jpg", Path("wren.jpg"), target=0)
        >>> [found], note = with_masks([wren], ["wren.jpg"], Path("masks"), above=0)
        >>> found.annotation.mask((2, 3)).tolist()
        [[True, True, True], [True, True, True]]
        >>> note
        "Masks: of 1 of 1 images, from 'masks' (above 0)"
    """
    require_integer("dataset.mask_above", above, 0)
    if not folder.is_dir():
        raise BenchError(f"dataset.masks: '{folder}' is not a folder")
    known = ImageNames(names)
    found: dict[int, Path] = {}
    astray = 0
    problems = Problems(f"dataset.masks: '{folder}'")
    for file in image_files(folder):
        number = known.find(file) if Path(file).suffix.lower() in _MASKS else None
        if number is None:
            astray += 1
        elif number in found:
            problems.add("images with several masks", f"'{names[number]}'")
        else:
            found[number] = folder / file
    problems.raise_any()
    if not found:
        raise BenchError(
            f"dataset.masks: '{folder}' has a mask of none of the {len(samples)} images; expected "
            f"'{PurePosixPath(names[0]).with_suffix('.png')}' for '{names[0]}'"
        )
    note = f"Masks: of {len(found)} of {len(samples)} images, from '{folder}' (above {above})"
    if astray:
        note += f"; {astray} files are no masks of listed images"
    return [
        replace(sample, annotation=_masked(sample.annotation, MaskFile(found[number], above)))
        if number in found
        else sample
        for number, sample in enumerate(samples)
    ], note


def _masked(annotation: Annotation | None, mask: MaskFile) -> Annotation:
    if annotation is None:
        return Annotation(mask=mask, source=f"'{mask.path}'")
    return replace(annotation, mask=mask)


def _annotation(marks: Sequence[Mark]) -> Annotation:
    """The annotation of one image."""
    boxes = np.array([mark.box for mark in marks if mark.box is not None], np.float64)
    drawn = [mark.outlines for mark in marks if mark.outlines is not None]
    mask = None
    if drawn:
        polygons = [corners for outlines in drawn for corners in outlines.polygons]
        runs = [run for outlines in drawn for run in outlines.runs]
        mask = Outlines(polygons, runs, marks[0].source)
    return Annotation(boxes.reshape(-1, 4), mask, marks[0].source)


def box_of_size(values: Sequence[Any]) -> Box | None:
    """The box of a left upper corner, a width and a height; None if they are no box.

    Args:
        values: Left, top, width and height in pixels, as numbers or texts.

    Returns:
        Left, top, right and bottom.

    Example:
        >>> box_of_size(["60.0", "27.0", "325.0", "304.0"]), box_of_size([0, 0, 0, 5])
        ((60.0, 27.0, 385.0, 331.0), None)
    """
    return _told_box(values, sized=True)[0]


def _box(values: Any, place: str, problems: Problems, *, sized: bool = False) -> Box | None:
    """The box of four edges, or of a corner, a width and a height; None, with a problem: none."""
    box, fault = _told_box(values, sized=sized)
    if fault:
        problems.add(fault, f"{place}: {values!r:.80}")
    return box


def _told_box(values: Any, *, sized: bool) -> tuple[Box | None, str]:
    """A box, or None and why there is none."""
    try:
        left, top, right, bottom = (float(value) for value in values)
    except (TypeError, ValueError):
        return None, "boxes that are not four numbers"
    if sized:
        right, bottom = left + right, top + bottom
    if not all(map(math.isfinite, (left, top, right, bottom))):
        return None, "boxes that are NaN or infinite"
    if not (right > left and bottom > top):
        return None, "boxes that are empty"
    return (left, top, right, bottom), ""


def _outlines(value: Any, source: str, place: str, problems: Problems) -> Outlines | None:
    """A `segmentation` of COCO; None if there is none, or, with a problem, if it is none."""
    if not value:
        return None
    try:
        if isinstance(value, dict):
            if isinstance(value["counts"], str):
                kind = "compressed run-length codes: decode them with pycocotools first"
                problems.add(kind, place)
                return None
            height, width = (int(side) for side in value["size"])
            lengths = [int(length) for length in value["counts"]]
            if min(lengths) >= 0 and sum(lengths) == height * width:
                return Outlines(runs=[(lengths, (height, width))], source=source)
        else:
            polygons = [np.array(corners, np.float64).reshape(-1, 2) for corners in value]
            if all(len(each) > 2 and np.isfinite(each).all() for each in polygons):
                return Outlines(polygons, source=source)
    except (KeyError, TypeError, ValueError):
        pass
    problems.add("masks that are neither polygons nor run-length codes", place)
    return None


def _known(names: dict[Any, str], key: Any) -> str | None:
    try:
        return names.get(key)
    except TypeError:  # a list, say
        return None


def _parts(name: str) -> tuple[str, ...]:
    """The parts of a path, without the ending of an image or an annotation."""
    path = PurePosixPath(_composed(name))
    is_ending = path.suffix.lower() in SUFFIXES | {".xml"}
    return (path.with_suffix("") if is_ending else path).parts or ("",)


def _composed(name: str) -> str:
    return PurePosixPath(unicodedata.normalize("NFC", name).replace("\\", "/")).as_posix()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BenchError(f"dataset.boxes: cannot read '{path}': {error.strerror}") from None


def _read_text(path: Path) -> str:
    try:
        return _read(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BenchError(
            f"dataset.boxes: cannot read '{path}': {error}: save it as UTF-8 text"
        ) from None
