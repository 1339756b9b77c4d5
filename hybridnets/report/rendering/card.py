"""A model card in Markdown: what a run, or a variant over its seeds, was made from, how good it is, and what nobody measured.

It is written from the records of the runs alone, by the functions that the report uses.

Source: Mitchell et al. 2019, Model Cards for Model Reporting, FAT*; the front matter is that of Hugging Face's cards,
https://huggingface.co/docs/hub/model-cards.
"""

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from hybridnets import stats
from hybridnets.program import plural
from hybridnets.report.comparing.resources import duration
from hybridnets.report.comparing.variants import Variant
from hybridnets.report.reading.progress import RunProgress
from hybridnets.report.reading.qualities import read_predicted
from hybridnets.report.reading.results import FinishedRun
from hybridnets.report.rendering.markdown import bulleted, inline, table
from hybridnets.report.text import visible
from hybridnets.runs.identities import SECTIONS
from hybridnets.version import __version__

LARGEST_TABLE = 20  # classes; the confusion of more is listed, not tabulated
MISTAKES = 5  # that are listed
NOT_STATED = "licence not stated"
UNDECIDED = "not stated: whoever publishes the weights decides"
MEASURES = ("test/nll", "test/ece")
PAPERS = {
    "hybridnets.models.ECRNN": "Woo, Kim, Choi: New Hybrid Approach of CNN and RNN based on Encoder and Decoder (in Korean)",
    "hybridnets.models.FeatureAutoencoder": "Go, Kwon, Kim: Compression method of feature based on CNN image classification "
    "network using Autoencoder (in Korean)",
    "hybridnets.models.VGG16": "Simonyan and Zisserman (2015): Very Deep Convolutional Networks for Large-Scale Image "
    "Recognition, arXiv:1409.1556",
}

Confusion = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class CardFacts:
    """What a card is written from.

    Attributes:
        variant: The variant, with its finished runs; a card of one run has that alone.
        unfinished: The runs of the same folder that have no result.
        licence: The licence of the data as its YAML states it; empty where it states none.
        problems: A sentence on each file that could not be used.
        resize: How the data brought pictures of other sizes to theirs: crop, pad or stretch; empty where unknown.
    """

    variant: Variant
    unfinished: Sequence[RunProgress]
    licence: str
    problems: Sequence[str] = ()
    resize: str = ""


def model_card(facts: CardFacts) -> str:
    """The card.

    Args:
        facts: What it is written from.
    """
    run = facts.variant.runs[0]
    title = f"{facts.variant.label} on {run.data}"
    parts = [
        _front_matter(facts),
        f"# {inline(title)}",
        *_summary(facts),
        "## Intended use and limits",
        *bulleted(_limits(facts)),
        "## Results",
        *_results(facts),
        "## Data",
        *bulleted(_data(facts)),
        "## Training",
        *bulleted(_training(facts)),
        "## Model",
        *bulleted(_model(facts)),
        "## How to use it",
        *_usage(facts),
        "## Citation",
        *bulleted(_citations(run)),
    ]
    return "\n\n".join(parts) + "\n"


def confusion(variant: Variant) -> Confusion | None:
    """The test images by true class (rows) and predicted class (columns), (K, K), summed over the runs that did not diverge.

    Args:
        variant: The variant.

    Returns:
        The counts; None if no run stored predictions.
    """
    tables = []
    for run in variant.sound:
        if "test" in run.outcomes and run.classes:
            predicted = read_predicted(run.folder, "test", run.outcomes["test"], len(run.classes))
            tables += [predicted.confusion] if predicted else []
    return np.asarray(np.sum(tables, axis=0)) if tables else None


def _front_matter(facts: CardFacts) -> str:
    variant, run, axes = facts.variant, facts.variant.runs[0], facts.variant.axes
    content: dict[str, Any] = {
        "license": "unknown",
        "library_name": "hybridnets",
        "pipeline_tag": "image-classification",
        "tags": [
            "image-classification",
            "pytorch",
            "hybridnets",
            *(axes[key] for key in ("model", "rnn") if key in axes),
        ],
        "datasets": [run.data],
        "metrics": ["accuracy"],
    }
    if level := variant.scores("test"):
        content["model-index"] = [
            {
                "name": variant.label,
                "results": [
                    {
                        "task": {"type": "image-classification"},
                        "dataset": {"name": run.data, "type": run.data, "split": "test"},
                        "metrics": [{"type": "accuracy", "value": round(level.mean, 6), "name": _averaged(variant)}],
                    }
                ],
            }
        ]
    return f"---\n{yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1000)}---"


def _averaged(variant: Variant) -> str:
    return "test accuracy" if len(variant.sound) == 1 else f"test accuracy, the mean of {len(variant.sound)} seeds"


def _summary(facts: CardFacts) -> Iterator[str]:
    variant, run = facts.variant, facts.variant.runs[0]
    n = len(variant.runs)
    what = f"one run (seed {run.seed})" if n == 1 else f"{n} runs, one for each of the seeds {_seeds(variant.runs)}"
    yield (
        f"An image classifier of {len(run.classes) or 'unnamed'} classes, trained by hybridnets: {what}. Everything below is "
        "written from what the runs recorded."
    )
    if incomplete := [*_incomplete(facts)]:
        yield "**Not all runs count.** " + " ".join(incomplete)


def _incomplete(facts: CardFacts) -> Iterator[str]:
    """A sentence on each run that is in no mean."""
    for run in facts.variant.runs:
        if run.diverged:
            yield f"Seed {run.seed} diverged (a loss is not finite): it is listed, and in no mean."
    for open_run in facts.unfinished:
        note = f" ({inline(open_run.note)})" if open_run.note else ""
        yield f"{inline(open_run.folder.name)} is {open_run.state}{note}: it is in nothing below."
    for problem in facts.problems:
        yield f"{inline(problem)}."


def _limits(facts: CardFacts) -> Iterator[str]:
    variant, run = facts.variant, facts.variant.runs[0]
    tests = f"{run.images['test']:,} test images" if run.images else "test images"
    names = ", ".join(inline(name) for name in run.classes)
    yield f"It is for images like those of {inline(run.data)}, {_shape(run)}, that show one of: {names}."
    yield (
        f"Nothing was measured beyond the {tests} of {inline(run.data)}: other cameras, other people's images and images of "
        "none of the classes, to which it gives a class all the same, may go wrong in any number."
    )
    if len(variant.sound) < 2:
        yield "One run counts here, so how much another seed would change is not known from it."
    else:
        yield (
            f"The interval over seeds is about further seeds on this data set ({len(variant.sound)} seeds), not about further "
            "data."
        )
    eces = [run.scores["test/ece"] for run in variant.sound if "test/ece" in run.scores]
    if eces:
        yield (
            f"Its probabilities were not calibrated after training: their expected calibration error on test is "
            f"{_percent(float(np.mean(eces)))} %, of 15 bins."
        )
    else:
        yield "Its probabilities are neither calibrated nor was their calibration measured."
    yield "Val accuracy is optimistic: it is measured at the epoch that was chosen on it."
    yield "Fairness between groups of people, robustness against attacks, and privacy of the training images were not measured."


def _results(facts: CardFacts) -> Iterator[str]:
    variant = facts.variant
    heads = ["seed", "val accuracy *", "test accuracy", "95 % interval over images", "NLL (nats)", "ECE"]
    yield table(heads, [_run_row(run) for run in variant.runs])
    if len(variant.sound) > 1:
        for part in ("val", "test"):
            yield _mean_over_seeds(variant, part)
    yield (
        "\\* at the epoch that was chosen on val: optimistic. The interval over images is Wilson's, of this trained network on "
        "images like its test images. NLL: negative log-likelihood; ECE: expected calibration error in 15 bins; both on test, "
        "lower is better."
    )
    yield from _confusion(facts)


def _run_row(run: FinishedRun) -> list[str]:
    images = run.images.get("test", 0)
    interval = "n/a"
    if images:
        ends = stats.wilson(round(run.scores["test"] * images), images)
        interval = f"{_percent(ends[0])} to {_percent(ends[1])} %"
    nll, ece = (run.scores.get(key) for key in MEASURES)
    return [
        run.seed + " (diverged)" * run.diverged,
        f"{_percent(run.scores['val'])} %",
        f"{_percent(run.scores['test'])} %",
        interval,
        "not stored" if nll is None else f"{nll:.4f}",
        "not stored" if ece is None else f"{_percent(ece)} %",
    ]


def _mean_over_seeds(variant: Variant, part: str) -> str:
    scores = [run.scores[part] for run in variant.sound]
    result, level = stats.mean_score(scores), stats.summary(scores)
    text = f"Mean {part} accuracy over {level.n} seeds: **{_percent(level.mean)} %**"
    if result.interval is None:
        return f"{text} (no interval: {result.why})."
    lower, upper = (min(max(end, 0.0), 1.0) for end in result.interval)
    return (
        f"{text}, 95 % interval {_percent(lower)} to {_percent(upper)} % (Student's over seeds), standard deviation "
        f"{_percent(level.sd or 0.0)} points."
    )


def _confusion(facts: CardFacts) -> Iterator[str]:
    counts, classes = confusion(facts.variant), facts.variant.runs[0].classes
    yield "### Confusion"
    if counts is None:
        why = "No predictions are stored" if facts.variant.sound else "All runs diverged"
        yield f"{why}, so it is not given."
        return
    n = len(facts.variant.sound)
    over = f", summed over {n} seeds" if n > 1 else ""
    yield f"Test images by true class (rows) and predicted class (columns){over}."
    if len(classes) <= LARGEST_TABLE:
        rows = [[name, *map(str, row)] for name, row in zip(classes, counts.tolist(), strict=True)]
        yield table(["true \\ predicted", *classes], rows)
    texts = [
        f"{inline(classes[true])} taken for {inline(classes[taken])} ({count})"
        for true, taken, count in stats.most_confused(counts, MISTAKES)
    ]
    yield f"Most frequent mistakes: {'; '.join(texts)}." if texts else "No test image is predicted wrong."


def _data(facts: CardFacts) -> Iterator[str]:
    run = facts.variant.runs[0]
    settings = run.identity["data"]
    yield f"Data set: {inline(run.data)}; its content has SHA-256 `{settings.get('sha256', 'not recorded')}`."
    yield f"Licence of the images: {inline(facts.licence) if facts.licence else NOT_STATED}."
    yield f"Licence of the weights: {UNDECIDED}."
    if run.images:
        yield "Images: " + ", ".join(f"{count:,} {part}" for part, count in run.images.items()) + "."
    if settings.get("split") == "kfold":
        split = f"one of {settings.get('folds')} folds for each seed"
    elif settings.get("train_fraction") is not None:
        split = f"drawn at random for each seed, {_percent(settings['train_fraction'])} % of them train"
    else:
        split = "the data set's own"
    yield f"Split into train and val: {split}. Test images were used for nothing but the measurement."
    yield f"Seeds (split, initialisation, order): {'; '.join(', '.join(map(str, run.seeds)) for run in facts.variant.runs)}."


def _training(facts: CardFacts) -> Iterator[str]:
    runs = facts.variant.runs
    epochs = "; ".join(f"seed {run.seed}: {run.epochs}, of which {run.best_epoch + 1} is reported" for run in runs)
    yield f"Epochs (the reported one was best by {runs[0].monitor or 'val'}): {epochs}."
    optimizer = runs[0].identity.get("optimizer", {})
    yield f"Optimiser: {_settings_text(optimizer)}."
    seconds = [run.seconds for run in runs if run.seconds is not None]
    unrecorded = f" ({plural(len(runs) - len(seconds), 'run')} recorded none)" if len(seconds) < len(runs) else ""
    took = f"{sum(seconds) / 3600:,.3g} hours ({duration(sum(seconds))}) for all epochs together{unrecorded}"
    yield f"Time: {took if seconds else 'not recorded'}."
    yield f"Hardware: {_several(run.hardware for run in runs)}."
    yield f"Versions: {_several(run.source for run in runs)}."


def _model(facts: CardFacts) -> Iterator[str]:
    variant, run = facts.variant, facts.variant.runs[0]
    model = variant.settings["model"]
    yield f"Architecture: `{model.get('_target_', 'not recorded')}`, {_shape(run)}."
    count = "not recorded" if variant.parameters is None else f"{variant.parameters:,} (as Keras counts them)"
    yield f"Parameters: {count}."
    settings = {section: variant.settings.get(section) for section in SECTIONS}
    yield f"Settings: {', '.join(f'`{key}={_class(value)}`' for key, value in _flat(settings) if _matters(key))}."
    hashes = ", ".join(f"seed {run.seed} `{run.hash}`" for run in variant.runs)
    yield f"Identity (SHA-256 of settings, seeds and data): {hashes}."


def _usage(facts: CardFacts) -> Iterator[str]:
    runs = facts.variant.sound or facts.variant.runs
    folder = runs[0].folder
    if len(runs) > 1:
        yield f"Each seed is a network of its own; this is seed {runs[0].seed}, which is not chosen for its accuracy."
    quoted = shlex.quote(str(folder))
    yield (
        "```bash\n"
        f"hybridnets predict {quoted} IMAGE...\n"
        f"hybridnets export {quoted} -o model.onnx   # for ONNX Runtime: uint8 images in, probabilities out\n"
        "```"
    )
    size = f"uint8 images, {_shape(runs[0])}, with the channels first in an exported file"
    if facts.resize:
        yield (
            f"The network takes {size}. `predict` brings a picture to it as its data were: turned as its camera says (EXIF), "
            f"transparent parts on white, resized by `{facts.resize}` with bilinear averaging. Whoever uses an exported file "
            "must do the same."
        )
    else:
        yield f"The network takes {size}."
    loaded = f"hybridnets.load({json.dumps(str(folder), ensure_ascii=False)})"
    yield f"```python\nimport hybridnets\n\nprobabilities = {loaded}.predict(images)\n```"


def _citations(run: FinishedRun) -> Iterator[str]:
    yield f"hybridnets {__version__}, Apache-2.0, https://github.com/hybridnets/hybridnets"
    identity: Mapping[str, Any] | None = run.identity
    while identity:  # of an autoencoder, then of its backbone
        if paper := PAPERS.get(identity["model"].get("_target_", "")):
            yield paper
        identity = identity.get("backbone")


def _shape(run: FinishedRun) -> str:
    """The size of an image, from the first layer of the model."""
    if not run.layers or len(run.layers[0].shape) != 3:
        return "of the size that it was trained on"
    height, width, channels = run.layers[0].shape
    return f"{height} x {width} pixels in {plural(channels, 'channel')}"


def _flat(settings: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The settings by their dotted keys."""
    for key, value in settings.items() if isinstance(settings, Mapping) else ():
        name = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping):
            yield from _flat(value, name)
        else:
            yield name, value


def _matters(key: str) -> bool:
    """Whether a setting says something that the card does not say elsewhere."""
    return not key.endswith("_partial_") and key not in ("model._target_", "data.name", "data.sha256")


def _settings_text(settings: Mapping[str, Any]) -> str:
    rest = [f"{key}={value}" for key, value in settings.items() if not key.startswith("_")]
    name = _class(settings.get("_target_", "not recorded"))
    return f"{name} ({', '.join(rest)})" if rest else name


def _class(value: Any) -> str:
    """A class by its name, without its module; any other value as it is."""
    text = visible(str(value)).replace("`", "'")
    is_dotted = isinstance(value, str) and all(part.isidentifier() for part in value.split("."))
    return text.rpartition(".")[2] if is_dotted else text


def _several(texts: Iterable[str]) -> str:
    """What runs recorded, each once."""
    return "; ".join(dict.fromkeys(inline(text) or "not recorded" for text in texts))


def _seeds(runs: Sequence[FinishedRun]) -> str:
    return ", ".join(run.seed for run in runs)


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"
