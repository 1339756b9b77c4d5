"""The short name, the axes and the label of a variant follow from the fields of its identity."""

from typing import Any

import pytest

from hybridnets.runs.identities import axes, name
from hybridnets.runs.labels import differing_settings, label_variants

BILSTM = {"_target_": "hybridnets.rnn.LSTM", "bidirectional": True}
CNN: dict[str, Any] = {"model": {"_target_": "hybridnets.models.CNN"}}
ECRNN: dict[str, Any] = {
    "model": {"_target_": "hybridnets.models.ECRNN", "rnn": BILSTM, "num_layers": 2, "hidden_size": 16}
}
CAE: dict[str, Any] = {
    "model": {"_target_": "hybridnets.models.FeatureAutoencoder", "kind": "cae", "channels": 8},
    "backbone": ECRNN,
}


@pytest.mark.parametrize(
    ("identity", "short_name", "levels"),
    [
        (CNN, "cnn", {"model": "cnn"}),
        (ECRNN, "ecrnn-bilstm-2x16", {"model": "ecrnn", "rnn": "bilstm", "layers": "2", "nodes": "16"}),
        (
            CAE,
            "ecrnn-bilstm-2x16+cae-8",
            {"model": "ecrnn-bilstm-2x16+autoencoder", "kind": "cae", "channels": "8"},
        ),
        (
            {"model": {"_target_": "mine.Code"}, "backbone": CNN},
            "cnn+code",
            {"model": "cnn+code"},
        ),
    ],
)
def test_name_and_axes_agree(identity: dict[str, Any], short_name: str, levels: dict[str, str]) -> None:
    assert name(identity) == short_name
    assert axes(identity) == levels


def test_a_label_that_settings_cannot_distinguish_gets_the_beginning_of_its_key() -> None:
    identities = {"a" * 64: {**CNN, "note": "1"}, "b" * 64: {**CNN, "note": "1"}}
    labels = label_variants(identities, dict.fromkeys(identities, "cnn"))
    assert labels == {
        "a" * 64: ("cnn aaaaaa", {"variant": "aaaaaa"}),
        "b" * 64: ("cnn bbbbbb", {"variant": "bbbbbb"}),
    }


def test_settings_that_differ_have_their_path_and_both_values() -> None:
    first = {"model": CNN["model"], "optimizer": {"lr": 0.1}, "trainer": {"max_epochs": 5}}
    second = {"model": CNN["model"], "optimizer": {"lr": 0.1}, "trainer": {"max_epochs": 7, "precision": "16"}}
    assert differing_settings(first, second) == [
        ("trainer.max_epochs", "5", "7"),
        ("trainer.precision", "unset", "16"),
    ]


def epochs(max_epochs: int, t_max: int | None) -> dict[str, Any]:
    scheduler = {"_target_": "torch.optim.lr_scheduler.CosineAnnealingLR", "T_max": t_max} if t_max else None
    return {**CNN, "scheduler": scheduler, "trainer": {"max_epochs": max_epochs}}


def test_a_setting_that_follows_another_one_is_shown_only_where_it_differs_from_it() -> None:
    variants = {"a": epochs(20, 20), "b": epochs(30, 30)}
    labels = label_variants(variants, dict.fromkeys(variants, "cnn"))
    assert labels == {
        "a": ("cnn max_epochs=20", {"max_epochs": "20"}),
        "b": ("cnn max_epochs=30", {"max_epochs": "30"}),
    }
    assert differing_settings(variants["a"], variants["b"]) == [("trainer.max_epochs", "20", "30")]

    variants["c"] = epochs(20, 40)
    labels = label_variants(variants, dict.fromkeys(variants, "cnn"))
    assert labels["a"][0] == "cnn T_max=20 max_epochs=20"
    assert labels["c"][0] == "cnn T_max=40 max_epochs=20"

    constant = {"a": epochs(20, 20), "d": epochs(20, None)}
    labels = label_variants(constant, dict.fromkeys(constant, "cnn"))
    assert [label for label, _ in labels.values()] == ["cnn scheduler=CosineAnnealingLR", "cnn scheduler=null"]


def test_a_setting_of_the_backbone_follows_the_backbones_own() -> None:
    variants = {str(n): {**CAE, "backbone": epochs(n, n), "trainer": {"max_epochs": 5}} for n in (20, 30)}
    labels = label_variants(variants, dict.fromkeys(variants, "cnn+cae-8"))
    assert [label for label, _ in labels.values()] == [
        "cnn+cae-8 backbone.trainer.max_epochs=20",
        "cnn+cae-8 backbone.trainer.max_epochs=30",
    ]


def test_what_an_identity_leaves_out_because_it_is_off_has_that_value_in_a_label() -> None:
    augment = {"flip": False, "crop": 0}
    settings: list[dict[str, Any]] = [
        {"data": {"augment": augment}},
        {"data": {"augment": {**augment, "mixup": 0.2}}, "loss": {"label_smoothing": 0.1}},
        {"data": {"augment": {**augment, "randaugment": {"operations": 2, "magnitude": 9}}}},
    ]
    variants = {str(i): {**CNN, **parts} for i, parts in enumerate(settings)}
    labels = label_variants(variants, dict.fromkeys(variants, "cnn"))
    assert [labels[key][0] for key in variants] == [
        "cnn mixup=0 randaugment=null label_smoothing=0",
        "cnn mixup=0.2 randaugment=null label_smoothing=0.1",
        "cnn mixup=0 randaugment={magnitude:9,operations:2} label_smoothing=0",
    ]
    assert differing_settings(variants["0"], variants["2"]) == [
        ("data.augment.randaugment", "null", "{magnitude:9,operations:2}")
    ]
