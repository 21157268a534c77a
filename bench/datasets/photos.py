"""The labelled ImageNet photos that the foolbox package ships."""

import re
from importlib.util import find_spec
from pathlib import Path

from bench.datasets.annotation_files import annotated
from bench.datasets.dataset import Dataset, Sample
from bench.datasets.imagenet import imagenet_class_names
from bench.errors import BenchError


class Photos(Dataset):
    """Twenty photos `imagenet_<number>_<class>.jpg` of foolbox; labels are ILSVRC class indices.

    Nineteen have boxes, drawn by hand for this package (docs/how-to/data-sets.md tells how). The
    photo of the class prayer rug shows windows and no rug, so it has none.

    Args:
        name: Name of the benchmark in tables.
        max_images: Keep the first so many only; None: all twenty.

    Raises:
        BenchError: foolbox is not installed.

    Example:
        >>> photos = Photos()
        >>> first = photos.samples[0]
        >>> len(photos), first.image_id, photos.class_names[first.target]
        (20, 'imagenet_00_243.jpg', 'bull mastiff')
    """

    def __init__(self, name: str = "photos", max_images: int | None = None) -> None:
        # Its files are all that is needed: importing the package would load much more.
        spec = find_spec("foolbox")
        if spec is None or not spec.submodule_search_locations:
            raise BenchError(
                "dataset 'photos' needs the photos in the package foolbox: "
                "pip install 'insdel-bench[demo]'"
            )
        folder = Path(spec.submodule_search_locations[0]) / "data"
        samples = []
        for path in sorted(folder.glob("imagenet_*.jpg")):
            label = re.fullmatch(r"imagenet_\d+_(\d+)", path.stem)
            if label:
                samples.append(Sample(path.name, path, int(label[1])))
        boxes = Path(__file__).with_name("photos_boxes.csv")
        samples, _ = annotated(samples, boxes=str(boxes))
        super().__init__(name, samples, max_images, class_names=imagenet_class_names())
