import warnings

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn_metrics
from torchmetrics.functional import classification as torch_metrics

from hybridnets.stats import QUALITY, Predicted


def draw(n: int = 400, classes: int = 6, key: int = 0, only: int | None = None) -> Predicted:
    """Predictions that are right more often than by chance; `only` leaves out all labels from that class on."""
    rng = np.random.default_rng([n, classes, key])
    label = rng.integers(0, only or classes, n)
    logits = rng.normal(0, 1, (n, classes)) + 1.5 * (np.arange(classes) == label[:, None])
    probabilities = torch.softmax(torch.tensor(logits, dtype=torch.float32), 1).numpy()
    return Predicted(label, probabilities.argmax(1), classes, probabilities)


def values(predictions: Predicted) -> dict[str, float]:
    return {key: quality.of(predictions) for key, quality in QUALITY.items()}


@pytest.mark.parametrize(("classes", "key"), [(2, 0), (6, 0), (6, 1), (10, 2)])
def test_all_measures_equal_those_of_scikit_learn_and_torchmetrics(classes: int, key: int) -> None:
    p = draw(500, classes, key)
    assert p.probabilities is not None
    scores, label, every = values(p), p.label, np.arange(classes)
    probabilities = p.probabilities.astype(np.float64)
    probabilities /= probabilities.sum(1, keepdims=True)  # scikit-learn insists on it
    expected = {
        "accuracy": sklearn_metrics.accuracy_score(label, p.predicted),
        "macro_f1": sklearn_metrics.f1_score(label, p.predicted, average="macro"),
        "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(label, p.predicted),
        "nll": sklearn_metrics.log_loss(label, probabilities, labels=every),
        "brier": ((probabilities - np.eye(classes)[label]) ** 2).sum(1).mean(),
        "auroc": np.mean([sklearn_metrics.roc_auc_score(label == k, probabilities[:, k]) for k in every]),
    }
    for places in (2, 5):
        if places < classes:
            expected[f"top{places}"] = sklearn_metrics.top_k_accuracy_score(label, probabilities, k=places)
    tensors = torch.tensor(p.probabilities), torch.tensor(label)
    expected["ece"] = float(torch_metrics.multiclass_calibration_error(*tensors, classes, n_bins=15, norm="l1"))
    defined = {name for name, value in scores.items() if not np.isnan(value)}
    assert defined == set(expected)
    assert {name: scores[name] for name in expected} == pytest.approx(expected, rel=2e-6)
    torch_expected = {
        "macro_f1": torch_metrics.multiclass_f1_score(*tensors, classes, average="macro"),
        "auroc": torch_metrics.multiclass_auroc(*tensors, classes, average="macro"),
    }
    for name, value in torch_expected.items():
        assert scores[name] == pytest.approx(float(value), rel=1e-5)
    assert np.array_equal(p.confusion, sklearn_metrics.confusion_matrix(label, p.predicted))


def test_the_brier_score_equals_scikit_learns() -> None:
    p = draw(300, 2)
    assert p.probabilities is not None
    half = sklearn_metrics.brier_score_loss(p.label, p.probabilities[:, 1].astype(np.float64))  # of one class of two
    assert QUALITY["brier"].of(p) == pytest.approx(2 * half, rel=1e-6)


def test_a_worked_example() -> None:
    label, predicted = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 1])
    probabilities = np.array([[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.25, 0.5, 0.25], [0.0, 1.0, 0.0]])
    scores = values(Predicted(label, predicted, 3, probabilities))
    assert scores["accuracy"] == 0.5
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 2 / 4 + 0) / 3)
    assert scores["balanced_accuracy"] == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert scores["top2"] == pytest.approx((1 + 1 + 1 + 0.5) / 4)  # classes 0 and 2 share the second place
    assert scores["nll"] == pytest.approx(-(np.log([0.8, 0.3, 0.5]).sum() - 23 * np.log(2)) / 4)
    assert scores["brier"] == pytest.approx((0.06 + 0.86 + 0.375 + 2) / 4)
    assert scores["ece"] == pytest.approx((0.2 + 0.6 + 0.5 + 1) / 4)
    # Class 0 against the rest: .8 and .3 above .25 and 0; class 1: .5 above .1, below .6 and 1; class 2: 0 below all.
    assert scores["auroc"] == pytest.approx((1 + 1 / 3 + 0) / 3)
    assert np.isnan(scores["top5"])


def test_every_measure_has_its_unit_and_direction() -> None:
    assert {key: (q.unit, q.higher_is_better, q.needs) for key, q in QUALITY.items()} == {
        "accuracy": ("percent", True, "classes"),
        "macro_f1": ("percent", True, "classes"),
        "balanced_accuracy": ("percent", True, "classes"),
        "top2": ("percent", True, "probabilities"),
        "top5": ("percent", True, "probabilities"),
        "nll": ("nats", False, "true_probability"),
        "brier": ("", False, "probabilities"),
        "ece": ("percent", False, "probabilities"),
        "auroc": ("", True, "probabilities"),
    }
    assert all(quality.key == key for key, quality in QUALITY.items())
    label = np.arange(6)
    perfect = values(Predicted(label, label, 6, np.eye(6)))
    assert all(perfect[key] == (1 if quality.higher_is_better else 0) for key, quality in QUALITY.items())


def test_the_mean_over_images_is_the_measure() -> None:
    p = draw()
    means = {key: quality.per_image(p).mean() for key, quality in QUALITY.items() if quality.per_image}
    assert set(means) == {"accuracy", "top2", "top5", "nll", "brier"}
    assert means == {key: QUALITY[key].of(p) for key in means}


def test_what_is_not_stored_is_undefined_with_a_reason() -> None:
    every = draw()
    true = every.true_probability
    assert true is not None
    classes = Predicted(every.label, every.predicted, 6)
    one = Predicted(every.label, every.predicted, 6, probability=true.astype(np.float32))
    assert {key for key, q in QUALITY.items() if not q.why_not(classes)} == {
        "accuracy",
        "macro_f1",
        "balanced_accuracy",
    }
    assert QUALITY["nll"].of(one) == QUALITY["nll"].of(every)
    assert QUALITY["nll"].why_not(classes) == "no probabilities of the true class"
    assert QUALITY["brier"].why_not(one) == QUALITY["ece"].why_not(one) == "no probabilities of all classes"
    assert QUALITY["top5"].why_not(draw(classes=5)) == "fewer than 6 classes"
    assert np.isnan(QUALITY["auroc"].of(one))


def test_classes_without_images_are_left_out_without_a_warning() -> None:
    p = draw(only=4)  # classes 4 and 5 are predicted, but are no label
    assert p.probabilities is not None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = values(p)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the classes that are no label
        expected = sklearn_metrics.balanced_accuracy_score(p.label, p.predicted)
    assert scores["balanced_accuracy"] == pytest.approx(expected)
    assert scores["macro_f1"] == pytest.approx(sklearn_metrics.f1_score(p.label, p.predicted, average="macro"))
    areas = [sklearn_metrics.roc_auc_score(p.label == k, p.probabilities[:, k]) for k in range(4)]
    assert scores["auroc"] == pytest.approx(np.mean(areas))
    single = Predicted(np.zeros(3, int), np.array([0, 1, 0]), 2, np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]]))
    assert QUALITY["auroc"].why_not(single) == "one class only"
    assert QUALITY["balanced_accuracy"].of(single) == pytest.approx(2 / 3)


def test_probabilities_that_are_0_or_not_finite() -> None:
    label = np.array([0, 1])
    certain = Predicted(label, 1 - label, 2, np.array([[0.0, 1.0], [1.0, 0.0]], np.float32))
    assert QUALITY["nll"].of(certain) == pytest.approx(23 * np.log(2))
    assert QUALITY["nll"].of(certain) == pytest.approx(
        sklearn_metrics.log_loss(label, certain.probabilities, labels=[0, 1]), rel=1e-6
    )
    diverged = Predicted(label, label, 2, np.array([[np.nan, np.nan], [1.0, 0.0]]))
    assert QUALITY["accuracy"].of(diverged) == 1
    for key in ("nll", "brier", "ece", "auroc"):
        assert QUALITY[key].why_not(diverged) == "probabilities that are not finite"
        assert np.isnan(QUALITY[key].of(diverged))


def test_rounding_to_an_archives_steps_changes_little() -> None:
    p = draw(2000)
    true = p.true_probability
    assert p.probabilities is not None
    assert true is not None
    rounded = Predicted(p.label, p.predicted, 6, np.rint(p.probabilities * 254) / 254)
    for key in ("brier", "ece", "auroc", "top2"):
        assert QUALITY[key].of(rounded) == pytest.approx(QUALITY[key].of(p), abs=0.005)
    steps = Predicted(p.label, p.predicted, 6, probability=np.rint(true * 65534) / 65534)
    assert QUALITY["nll"].of(steps) == pytest.approx(QUALITY["nll"].of(p), abs=1e-4)


def test_predictions_that_do_not_fit_are_refused_by_name() -> None:
    label = np.array([0, 1, 2])
    with pytest.raises(ValueError, match="label must be 0 to 1, got 0 to 2"):
        Predicted(label, label, 2)
    with pytest.raises(ValueError, match="predicted must be a row"):
        Predicted(label, label[:2], 3)
    with pytest.raises(ValueError, match="label must be a row of at least one class"):
        Predicted(label[:0], label[:0], 3)
    with pytest.raises(ValueError, match=r"probabilities must have the shape \(3, 3\), got \(3, 2\)"):
        Predicted(label, label, 3, np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"probability must have the shape \(3,\)"):
        Predicted(label, label, 3, probability=np.ones(2))
