"""One row of a table of scores becomes one run."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from hybridnets.report.reading.predictions import read_predictions
from hybridnets.report.reading.results import FinishedRun
from hybridnets.report.reading.scores import cell_values
from hybridnets.report.reading.scores.column_names import OPTIONAL
from hybridnets.report.reading.scores.column_roles import ColumnRoles, UnknownStateError, run_state
from hybridnets.report.reading.scores.long_form import ScoreRow
from hybridnets.report.reading.scores.text_table import Places
from hybridnets.report.text import visible
from hybridnets.runs import identities
from hybridnets.runs.records.errors import LARGEST_COUNT
from hybridnets.runs.records.predictions import PartPredictions, PredictionsReader

LARGEST = 1e100  # a score whose square is still finite
MAX_CLASSES = 1000  # that get a name


class RowError(ValueError):
    """Why a row cannot be used.

    Args:
        sentence: Why, with the value got.
        kind: What all rows with this fault have in common, in a few words.
    """

    def __init__(self, sentence: str, kind: str) -> None:
        super().__init__(sentence)
        self.kind = kind


class RunBuilder:
    """Makes runs of rows.

    Args:
        places: Where the rows are.
        roles: What the columns are for.
        axes: The settings of each variant.
        mark: The decimal mark of the scores; empty if unknown.
    """

    def __init__(self, places: Places, roles: ColumnRoles, axes: Mapping[str, Mapping[str, str]], mark: str) -> None:
        self.path = places.path
        self.places = places
        self.roles = roles
        self.axes = axes
        self.mark = mark
        self._predictions = PredictionsReader()

    def run(self, row: ScoreRow) -> FinishedRun:
        """The run of a row; without scores if its score is missing.

        Raises:
            RowError: If the row cannot be used.
        """
        state = self._state(row)
        values = {
            name: "" if name in OPTIONAL and cell_values.is_missing(text) else text for name, text in row.values.items()
        }
        if not values["variant"]:
            raise RowError("variant must be a name, got nothing", "variant must be a name")
        try:
            seed = cell_values.parse_seed(values["seed"])
        except ValueError as error:
            raise RowError(str(error), "seed must be a whole number") from None
        failed = state == "failed" or cell_values.is_failure(values["score"])
        has_score = not (failed or state == "unfinished" or cell_values.is_missing(values["score"]))
        score = _number(values, "score", self.mark) if has_score else 0.0
        predictions = self._read_predictions(values.get("predictions", ""))
        data = self._data_set(row)
        identity = {
            "variant": values["variant"],
            **({"data": {"name": data}} if data else {}),
            "seeds": dict.fromkeys(identities.SEED_KINDS, seed),
        }
        return FinishedRun(
            folder=self.path if has_score or failed else Path(self.places.of(row.line)),
            hash=identities.hash_of(identity),
            identity=identity,
            data=visible(data or self.path.stem),
            name=values["variant"],
            seeds=(seed, seed, seed),
            scores={"score": score} if has_score or failed else {},
            split=row.fold.name if row.fold else values.get("split", ""),
            ratio=_ratio(values),
            fold=row.fold,
            diverged=failed,
            parameters=int(_amount(values, "parameters")) if values.get("parameters") else None,
            classes=_class_names(predictions.values()),
            outcomes=predictions,
            epoch_seconds=(_amount(values, "seconds"),) if values.get("seconds") else (),
            axes=self.axes[row.values["variant"]],
        )

    def _data_set(self, row: ScoreRow) -> str:
        """The data set's name; empty where the file has only one.

        Raises:
            RowError: If the row names none.
        """
        names = [row.values[column] for column in self.roles.data_sets]
        if not all(names):
            column = self.roles.data_sets[names.index("")]
            rule = f"{column} must be the name of a data set"
            raise RowError(f"{rule}, got nothing", rule)
        return ", ".join(names)

    def _state(self, row: ScoreRow) -> str:
        try:
            return run_state(row, self.roles.states)
        except UnknownStateError as error:
            kind = f"{error.column} {error.word}, which does not say how the run ended"
            raise RowError(str(error), kind) from None

    def _read_predictions(self, name: str) -> dict[str, PartPredictions]:
        """The predictions in a file next to the scores; empty without a name."""
        if not name:
            return {}
        path = self.path.parent / name
        try:
            return {"score": read_predictions(path, self._predictions)}
        except ValueError as error:
            raise RowError(str(error), str(error).replace(str(path), "predictions")) from None


def _number(values: Mapping[str, str], key: str, mark: str = ".") -> float:
    rule = f"{key} must be a number, at most {LARGEST:g}"
    try:
        value = cell_values.parse_number(values[key], mark)
    except cell_values.AmbiguousNumberError as error:
        why = f"{key} must be one number, {error}: write all numbers with the same decimal mark"
        raise RowError(why, f"{key} may be two numbers") from None
    except ValueError as error:
        raise RowError(f"{rule}, {error}", rule) from None
    if not abs(value) <= LARGEST:
        raise RowError(f"{rule}, got {values[key]}", rule)
    return value


def _amount(values: Mapping[str, str], key: str) -> float:
    value = _number(values, key)
    if not 0 <= value <= LARGEST_COUNT:
        rule = f"{key} must be a number from 0 to {LARGEST_COUNT:g}"
        raise RowError(f"{rule}, got {values[key]}", rule)
    return value


def _ratio(values: Mapping[str, str]) -> float | None:
    """Held-out images per training image; None if the table does not have both sizes."""
    sizes = [_number(values, key) for key in ("n_val", "n_train") if values.get(key)]
    if sizes and (len(sizes) < 2 or not 1 <= min(sizes) <= max(sizes) <= LARGEST_COUNT):
        rule = f"n_train and n_val must both be numbers from 1 to {LARGEST_COUNT:g}"
        raise RowError(rule, rule)
    return sizes[0] / sizes[1] if sizes else None


def _class_names(predictions: Iterable[PartPredictions]) -> tuple[str, ...]:
    """The classes by their numbers; empty if there are too many."""
    largest = max((int(column.max()) for part in predictions for column in (part.label, part.predicted)), default=-1)
    return tuple(map(str, range(largest + 1))) if largest < MAX_CLASSES else ()
