"""`convert/reproduction/tables/NAME.toml` -> `Paper`: the models of a paper, its tables, and its own figures."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from edge.settings import build, read_toml


@dataclass(frozen=True, slots=True)
class Model:
    """One training of a paper."""

    name: str
    recipe: str  # a shipped recipe
    train: tuple[str, ...]  # data, such as `starss22:dev-train@0.5`: a corpus, its format and parts, its weight
    note: str = ""  # what it is in the paper
    dev: tuple[str, ...] = ()  # scored in training; of the same form
    stages: tuple[str, ...] = ()  # that are trained; empty: all
    set: tuple[str, ...] = ()  # other values in the recipe, as `seld-convert train --set` takes them
    begins: str = ""  # the model of which it takes the features and the nets of the other stages


@dataclass(frozen=True, slots=True)
class Column:
    """One column of figures."""

    name: str
    metric: str = ""  # path in the JSON of `seld-convert evaluate`, such as `2022_macro.er`; a row may have its own
    factor: float = 1.0  # from that figure to the unit of the table
    digits: int = 2


@dataclass(frozen=True, slots=True)
class Row:
    """One row: figures of the paper by column, and where ours come from."""

    label: str
    paper: dict[str, float]
    model: str = ""  # empty: a row of other people's, of which there are no figures of ours
    evaluate: tuple[str, ...] = ()  # options for `seld-convert evaluate`
    metrics: dict[str, str] | None = None  # by column, where they differ from those of the columns


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a paper."""

    number: int
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    test: str = ""  # data that the rows are scored on; empty: models are trained, and there is nothing to score them on
    evaluate: tuple[str, ...] = ()  # options for all rows


@dataclass(frozen=True, slots=True)
class Paper:
    """What is to be rebuilt of a paper.

    Raises:
        ValueError: A row or a model names a model that is not there.
    """

    title: str
    models: tuple[Model, ...]
    tables: tuple[Table, ...]
    quick: tuple[str, ...]  # other values in all recipes for `--quick`
    evaluate: tuple[str, ...] = ()  # options for all tables

    def __post_init__(self) -> None:
        known = [model.name for model in self.models]
        named = [row.model for table in self.tables for row in table.rows] + [model.begins for model in self.models]
        for name in named:
            if name and name not in known:
                raise ValueError(f"got model {name!r}, wanted one of {', '.join(known)}")

    def model(self, name: str) -> Model:
        """The model of that name."""
        return next(model for model in self.models if model.name == name)

    def needed(self, tables: tuple[Table, ...]) -> tuple[Model, ...]:
        """The models that tables take, each after the one that it begins with."""
        found: dict[str, Model] = {}
        for name in (row.model for table in tables for row in table.rows if row.model):
            begins = self.model(name).begins
            for each in (begins, name) if begins else (name,):
                found[each] = self.model(each)
        return tuple(found.values())


def papers() -> tuple[str, ...]:
    """The names of the papers that there are tables of."""
    return tuple(sorted(path.stem for path in _folder().glob("*.toml")))


def read_paper(name: str) -> Paper:
    """Read the file of a paper. Raises ValueError for an unknown name or a wrong file."""
    if name not in papers():
        raise ValueError(f"paper: got {name!r}, wanted one of {', '.join(papers())}")
    path = _folder() / f"{name}.toml"
    return build(Paper, read_toml(path), str(path))


def _folder() -> Path:
    return Path(str(resources.files("convert"))) / "reproduction" / "tables"
