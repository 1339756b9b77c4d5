"""Which column of a source is what, where its name does not say it: by --map, or as a proposal that the report states."""

import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from hybridnets.program import few
from hybridnets.report.reading.results import ReportError
from hybridnets.report.reading.score_kind import NO_OPTIONS, ScoreOptions
from hybridnets.report.reading.scores import proposals
from hybridnets.report.reading.scores.column_names import NEEDED, canonical, normalise
from hybridnets.report.reading.scores.long_form import to_long_form
from hybridnets.report.reading.scores.proposals import ColumnKinds
from hybridnets.report.reading.scores.text_table import Line, TextTable
from hybridnets.report.text import visible

ROLES = (
    *(*NEEDED, "split", "fold", "repetition", "dataset", "n_train", "n_val", "predictions", "seconds", "parameters"),
    "status",
)
EPOCHS = ("best", "last")
JOIN = "+"
MAX_NAMES = 30  # that a sentence lists


@dataclass(frozen=True)
class Reading:
    """How a source of scores is to be read.

    Attributes:
        columns: By role, as variant, seed or score, what the user calls its column; several names are joined by +.
        at: Which value of a metric counts, best or last; empty for the default, last.
        scores: What the scores are.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    at: str = ""
    scores: ScoreOptions = NO_OPTIONS

    @classmethod
    def of(cls, words: Sequence[str], at: str | None = None, scores: ScoreOptions = NO_OPTIONS) -> "Reading":
        """Checks the words of the command line.

        Args:
            words: ROLE=COLUMN each.
            at: Which of a metric's values counts.
            scores: What the scores are.

        Raises:
            ReportError: If a role is unknown, or given twice.
        """
        columns: dict[str, str] = {}
        for word in words:
            role, equals, name = word.partition("=")
            if not equals or not name or role not in ROLES:
                raise ReportError(f"--map must be ROLE=COLUMN, where ROLE is one of {', '.join(ROLES)}, got {word}")
            if role in columns:
                raise ReportError(f"--map must give each role once, got {role} twice")
            columns[role] = name
        name = scores.name
        if name and columns.get("score", name) != name:
            raise ReportError(f"--metric and --map score= must name the same metric, got {name} and {columns['score']}")
        return cls(columns, at or "", scores)

    @property
    def of_metrics(self) -> "Reading":
        """The same for a source of several metrics, where the score's name is that of one of them."""
        name = self.scores.name
        return replace(self, columns={**self.columns, "score": name}) if name else self

    @property
    def options(self) -> str:
        """The first option that was given; empty if none was."""
        return "--map" if self.columns else "--at" * bool(self.at)


@dataclass(frozen=True)
class Choice:
    """Which of a source's columns became which.

    Attributes:
        roles: By role the columns, of which variant may have several; empty if the names say it.
        sentences: What the report says about it in its first lines; empty if nothing was proposed.
    """

    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sentences: tuple[str, ...] = ()

    @property
    def score_name(self) -> str:
        """What the source calls the score; empty if it calls it score."""
        return "".join(self.roles.get("score", ()))


AS_IT_IS = Reading()


def name_columns(path: Path, table: TextTable, reading: Reading) -> tuple[TextTable, Choice]:
    """A file's table with the columns that a table of scores needs; as it is where its own names say them.

    Args:
        path: The file.
        table: Its table.
        reading: Which column is what.

    Raises:
        ReportError: If a column does not exist, or if some are missing and cannot be proposed.
    """
    if reading.at:
        raise ReportError(f"--at chooses among the values of a metric, got {path}, a table with one value per run")
    columns = find_columns(path, table.header, reading)
    wanted = normalise(reading.scores.name)
    if named := [name for name in table.header if name and normalise(name) == wanted != "score"]:
        columns.setdefault("score", (named[0],))  # the column that --metric names
    given = Choice(columns)
    kinds = proposals.kinds_of_columns(table)
    table = without_columns(table, kinds.others - {name for names in given.roles.values() for name in names})
    renamed = rename(table, given.roles)
    if {*NEEDED} <= {*canonical(renamed.header)} or _is_readable(renamed):
        return renamed, given
    for role, name in proposals.wide_columns(renamed):
        if role not in given.roles and _is_readable(wide := rename(renamed, {role: (name,)})):
            return wide, Choice(given.roles, (_proposal({**given.roles, role: (name,)}),))
    if reading.scores.name and "score" not in given.roles and len(kinds.metrics) > 1:
        _find(path, table.header, "score", reading.scores.name)  # refused: it is none of several that may be meant
    choice = choose(path, table, kinds, reading, given.roles)
    if choice is None:
        return table, Choice()  # whose reading says what is missing
    return rename(table, choice.roles), choice


def choose(
    path: Path,
    table: TextTable,
    kinds: ColumnKinds,
    reading: Reading,
    given: Mapping[str, tuple[str, ...]],
) -> Choice | None:
    """The given columns, and proposals for variant, seed and score where they are not given.

    Args:
        path: The source.
        table: Its table.
        kinds: Which columns may be proposed as what.
        reading: What the user said.
        given: The columns that the user gave, by role.

    Returns:
        None if nothing was given, and nothing can be proposed either.

    Raises:
        ReportError: If something was given, and the rest cannot be proposed.
    """
    roles = {**proposals.folds(table, kinds, given), **given}
    lacking = [role for role in NEEDED if role not in roles]
    for role in ("score", "seed", "variant"):
        if role in lacking:
            proposed = (role,) if role in table.header else proposals.propose(role, table, kinds, roles)
            if role == "seed" and not proposed and ("fold" in roles or "fold" in canonical(table.header)):
                continue  # folds number the runs
            if not proposed and not reading.columns and table.unit == "row":
                return None
            if not proposed:
                raise ReportError(
                    f"--map must say which column of {visible(str(path))} is the {role}, as in {role}=COLUMN, because none "
                    f"can be proposed: its columns are {list_names(proposals.legal(role, table, kinds))}"
                )
            roles[role] = proposed
    roles = {role: roles[role] for role in ROLES if role in roles}
    return Choice(roles, (_proposal(roles),) * bool(lacking))


def _proposal(roles: Mapping[str, tuple[str, ...]]) -> str:
    words = shlex.join(f"{role}={JOIN.join(names)}" for role, names in roles.items())
    return f"Which column is what was proposed: --map {visible(words)}; give --map to change it."


def find_columns(path: Path, header: Sequence[str], reading: Reading) -> dict[str, tuple[str, ...]]:
    """The columns that the user gave, by role.

    Raises:
        ReportError: If there is no such column.
    """
    return {role: _find(path, header, role, text) for role, text in reading.columns.items()}


def _find(path: Path, header: Sequence[str], role: str, text: str) -> tuple[str, ...]:
    if text in header:
        return (text,)
    names = text.split(JOIN) if role == "variant" else [text]
    columns = []
    for name in names:
        alike = [other for other in header if other == name] or [
            other for other in header if normalise(other) == normalise(name)
        ]
        if len(alike) != 1 or not name:
            option = f"--metric or --map {role}=" if role == "score" else f"--map {role}="
            raise ReportError(
                f"{option} must name a column of {visible(str(path))}, got {name or 'nothing'}: "
                f"its columns are {list_names(header)}"
            )
        columns += alike
    return tuple(columns)


def list_names(names: Collection[str]) -> str:
    """Names in a sentence, the first ones of many."""
    return few((visible(name) for name in names if name), MAX_NAMES) or "none"


def rename(table: TextTable, roles: Mapping[str, tuple[str, ...]]) -> TextTable:
    """The table with its columns named by their roles; several columns of a variant stay, as its settings.

    Args:
        table: The table.
        roles: The columns by role.
    """
    if not roles:
        return table
    role_of = {names[0]: role for role, names in reversed([*roles.items()]) if len(names) == 1}
    joined = {role: names for role, names in roles.items() if len(names) > 1 or role_of.get(names[0]) != role}
    hidden = {n for n, name in enumerate(table.header) if name not in role_of and normalise(name) in roles}
    kept = [n for n in range(len(table.header)) if n not in hidden]
    places = {name: n for n, name in enumerate(table.header)}

    def cells(line: Line) -> list[str]:
        extra = [proposals.label(names, [line.cells[places[name]] for name in names]) for names in joined.values()]
        return [*extra, *(line.cells[n] for n in kept)]

    header = [*joined, *(role_of.get(name, name) for name in (table.header[n] for n in kept))]
    return replace(table, header=header, rows=[Line(line.number, cells(line)) for line in table.rows])


def without_columns(table: TextTable, names: Collection[str]) -> TextTable:
    """The table without some columns.

    Args:
        table: The table.
        names: Their names.
    """
    kept = [n for n, name in enumerate(table.header) if name not in names]
    rows = [Line(line.number, [line.cells[n] for n in kept]) for line in table.rows]
    return replace(table, header=[table.header[n] for n in kept], rows=rows)


def _is_readable(table: TextTable) -> bool:
    try:
        to_long_form(table)
    except ValueError:
        return False
    return True
