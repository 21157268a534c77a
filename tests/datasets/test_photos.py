from bench.datasets.photos import Photos


def test_each_box_lies_in_its_photo_and_one_photo_has_none():
    photos = Photos()
    samples = photos.samples
    assert len(samples) == 20
    names = [photos.class_names[sample.target] for sample in samples]
    assert (names[0], names[-1], len(photos.class_names)) == ("bull mastiff", "dung beetle", 1000)
    without = [sample.image_id for sample in samples if sample.annotation is None]
    assert without == ["imagenet_12_741.jpg"]
    counts = []
    for sample in samples:
        if sample.annotation is not None:
            left, top, right, bottom = sample.annotation.boxes.T
            height, width, _ = sample.read().shape
            assert (left >= 0).all()
            assert (top >= 0).all()
            assert (right <= width).all()
            assert (bottom <= height).all()
            assert ((right - left) * (bottom - top) > 0.01 * height * width).all()
            counts.append(len(left))
    assert counts == [1, 8, 2, 2, 9, 2, 1, 1, 2, 1, 1, 1, 1, 2, 4, 1, 1, 1, 1]
