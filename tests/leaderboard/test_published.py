from bench.leaderboard.published import published_cells, published_subset


def test_published_cells_keep_blanks_out():
    cells = published_cells("cub_errors", "ResNet-101")
    assert cells["HSIC-Attribution"] == {"avg_highest_conf": 0.2493, "insertion_auc": 0.1446}
    assert cells["SMDL-Attribution (ICLR version)"] == {"avg_highest_conf": 0.4513}
    assert published_cells("cub", "ResNet-101")["RISE"]["deletion_auc"] == 0.0665
    assert published_cells("cub", "VGG19") == {}


def test_which_images_a_table_is_of():
    assert published_subset("cub_errors") == "misclassified"
    assert published_subset("cub") in ("correct", None)
