"""Counts of images by true and predicted class, and the most frequent mistakes among them."""

import numpy as np

from hybridnets.stats import confusion, most_confused


def test_images_are_counted_by_true_and_predicted_class() -> None:
    label = np.array([0, 0, 2, 2, 2, 1], np.uint8)  # of a small type, which a product would overflow
    predicted = np.array([0, 1, 2, 0, 0, 1], np.uint8)
    counts = confusion(label, predicted, 200)
    assert counts.shape == (200, 200)
    assert counts.dtype == np.int64
    assert counts[:3, :3].tolist() == [[1, 1, 0], [0, 1, 0], [2, 0, 1]]
    assert counts.sum() == 6
    assert confusion(np.array([199], np.uint8), np.array([198], np.uint8), 200)[199, 198] == 1


def test_the_most_frequent_mistakes_come_first_and_equals_in_order() -> None:
    counts = np.array([[9, 1, 0], [3, 9, 1], [0, 0, 9]])
    assert most_confused(counts, 9) == [(1, 0, 3), (0, 1, 1), (1, 2, 1)]
    assert most_confused(counts, 2) == [(1, 0, 3), (0, 1, 1)]
    assert most_confused(np.diag([1, 2]), 5) == []
