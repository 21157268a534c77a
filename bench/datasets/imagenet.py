"""Names of the 1000 classes of ILSVRC, in the order of their numbers."""

import warnings


def imagenet_class_names() -> list[str]:
    """The first name of each class's synset; numbers tell classes of one name apart.

    Two names stand for two classes each: crane (134, 517) and maillot (638, 639).

    Returns:
        1000 names.

    Example:
        >>> names = imagenet_class_names()
        >>> len(names), names[0], names[999]
        (1000, 'tench', 'toilet tissue')
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm's, in notebooks without widgets
        from timm.data import ImageNetInfo  # takes seconds, and only runs need names

    return [text.partition(",")[0] for text in ImageNetInfo("imagenet-1k").label_descriptions()]
