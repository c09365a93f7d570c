"""The SQL files of this package: migrations, views, named queries and checks, with their comments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib import resources

from neuronlake import NeuronlakeError
from neuronlake.sql.words import did_you_mean

_COMMENT_LINE = re.compile(r"--\s?(.*)")
_DOCUMENTED_NAME = re.compile(r"\s{2,}(\$?\w+): (.+)")
_DEFAULT = re.compile(r"(\w+)(?: = (.*?))?; (.*)")


class UnknownQueryError(NeuronlakeError):
    """No named query has this name."""


class QueryParameterError(NeuronlakeError):
    """A named query got a parameter it does not know, or lacks one it needs."""


@dataclass(frozen=True)
class View:
    """One view: a file of ``sql/views``."""

    name: str
    body: str
    comment: str
    column_comments: dict[str, str]

    @property
    def has_setting(self) -> bool:
        """Whether its rows are of settings, by a column of that name."""
        return re.search(r"\bsetting\b", self.body) is not None


@dataclass(frozen=True)
class Parameter:
    """One parameter of a named query; `default` is None where a value must be given."""

    name: str
    type: str
    default: str | None
    comment: str


@dataclass(frozen=True)
class Query:
    """One named question: a file of ``sql/queries``."""

    name: str
    body: str
    comment: str
    parameters: tuple[Parameter, ...]

    def bind(self, given: dict[str, str]) -> dict[str, str | None]:
        """The value of each parameter: as given, else its default; an empty default stands for null.

        Raises:
            QueryParameterError: a parameter is unknown, or has no value.
        """
        names = [parameter.name for parameter in self.parameters]
        for name in given:
            if name not in names:
                hint = f"it takes {', '.join(names)}" if names else "it takes none"
                raise QueryParameterError(f"query {self.name} has no parameter {name!r}; {hint}")
        values: dict[str, str | None] = {}
        for parameter in self.parameters:
            value = given.get(parameter.name, parameter.default)
            if value is None:
                raise QueryParameterError(
                    f"query {self.name} needs {parameter.name}, {parameter.comment}; add {parameter.name}=VALUE"
                )
            values[parameter.name] = value or None
        return values

    def spelled_out(self, given: dict[str, str]) -> str:
        """The SQL with its parameters in place, for a reader to copy.

        Raises:
            QueryParameterError: a parameter is unknown, or has no value.
        """
        body = self.body
        for name, value in self.bind(given).items():
            literal = "null" if value is None else "'" + value.replace("'", "''") + "'"
            plain = value if value is not None and re.fullmatch(r"\d+", value) else literal
            body = re.sub(rf"\${name}::\w+", lambda _, text=plain: text, body)
            body = re.sub(rf"\${name}\b", lambda _, text=literal: text, body)
        return body


@dataclass(frozen=True)
class Check:
    """One promise about the tables: a file of ``sql/checks``, whose query must return no rows."""

    name: str
    body: str
    comment: str


def _files(folder: str) -> dict[str, str]:
    """The texts of ``sql/FOLDER/*.sql`` by file name without its ending, in alphabetical order."""
    found = list((resources.files("neuronlake.sql") / folder).iterdir())
    texts = {entry.name: entry.read_text(encoding="utf-8") for entry in found if entry.name.endswith(".sql")}
    return {name.removesuffix(".sql"): texts[name] for name in sorted(texts)}


def _split_head(text: str) -> tuple[str, dict[str, str], str]:
    """The head comment of a SQL file: its prose, its documented names, and the statement below it."""
    lines = text.splitlines()
    prose: list[str] = []
    named: dict[str, str] = {}
    for number, line in enumerate(lines):
        comment = _COMMENT_LINE.fullmatch(line)
        if comment is None:
            return " ".join(prose), named, "\n".join(lines[number:]).strip()
        if documented := _DOCUMENTED_NAME.fullmatch(comment[1]):
            named[documented[1]] = documented[2]
        elif named and comment[1].startswith("    "):
            named[list(named)[-1]] += f" {comment[1].strip()}"
        else:
            prose.append(comment[1].strip())
    return " ".join(prose), named, ""


def migrations() -> list[tuple[int, str]]:
    """Number and script of each migration, in order."""
    return [(int(name.split("_")[0]), text) for name, text in _files("schema").items()]


@cache
def steps() -> dict[str, str]:
    """Statements of the pipeline, by name: the files of ``sql/steps``."""
    return _files("steps")


@cache
def views() -> tuple[View, ...]:
    """All views, each after those it reads."""
    found: dict[str, View] = {}
    for name, text in _files("views").items():
        comment, columns, body = _split_head(text)
        found[name] = View(name, body, comment, columns)
    return in_reading_order(found)


def in_reading_order(found: Mapping[str, View]) -> tuple[View, ...]:
    """The views, each after those it reads.

    Args:
        found: the views by name.

    Raises:
        AssertionError: views read each other in a circle.
    """
    order = TopologicalSorter[str](dict.fromkeys(found, ()))  # so that only what reads another leaves the alphabet
    for name, view in found.items():
        read = (other for other in found if re.search(rf"(?<![.\w])(?:from|join)\s+{other}\b", view.body))
        order.add(name, *(other for other in read if other != name))
    try:
        return tuple(found[name] for name in order.static_order())
    except CycleError as error:
        raise AssertionError(f"views read each other in a circle: {', '.join(error.args[1])}") from error


@cache
def queries() -> dict[str, Query]:
    """All named queries, by name."""
    found: dict[str, Query] = {}
    for name, text in _files("queries").items():
        comment, named, body = _split_head(text)
        parameters = tuple(_parameter(key, text) for key, text in named.items() if key.startswith("$"))
        found[name] = Query(name, body, comment, parameters)
    return found


@cache
def checks() -> tuple[Check, ...]:
    """All checks of `cli verify`, in alphabetical order."""
    found: list[Check] = []
    for name, text in _files("checks").items():
        comment, _, body = _split_head(text)
        found.append(Check(name, body, comment))
    return tuple(found)


def check(name: str) -> Check:
    """The check of that name."""
    return next(check for check in checks() if check.name == name)


def _parameter(name: str, text: str) -> Parameter:
    """A parameter from its line in the head comment: ``$name: type = default; what it is``."""
    parts = _DEFAULT.fullmatch(text)
    if parts is None:
        raise AssertionError(f"parameter {name} is documented as {text!r}, not as 'type = default; comment'")
    return Parameter(name.removeprefix("$"), parts[1], parts[2], parts[3])


def named_query(name: str) -> Query:
    """The named query of that name; of a view with a column `setting`, the query for its rows of one.

    Raises:
        UnknownQueryError: there is none.
    """
    if query := queries().get(name):
        return query
    if view := next((view for view in views() if view.name == name and view.has_setting), None):
        chosen = "coalesce($setting::integer, (select newest_setting.setting from newest_setting))"
        body = f"select * from {name} where setting = {chosen} order by all"  # noqa: S608  a name of ours
        return Query(name, body, view.comment, (Parameter("setting", "integer", "", "the newest where not given"),))
    known = [*queries(), *(view.name for view in views())]
    hint = did_you_mean(name, known, most=3, then="`cli views` lists all")
    raise UnknownQueryError(f"no query or view is named {name!r}; {hint}")


def describe(name: str) -> str:
    """A view or named query in full: comment, columns or parameters, SQL.

    Raises:
        UnknownQueryError: there is neither.
    """
    for view in views():
        if view.name == name:
            columns = [f"  {column}: {comment}" for column, comment in view.column_comments.items()]
            return "\n".join([view.comment, "", "Columns:", *columns, "", view.body])
    query = named_query(name)
    parameters = [
        f"  {parameter.name} ({parameter.type}{_default_text(parameter)}): {parameter.comment}"
        for parameter in query.parameters
    ]
    return "\n".join([query.comment, "", "Parameters:", *(parameters or ["  none"]), "", query.body])


def _default_text(parameter: Parameter) -> str:
    """How a parameter's default reads."""
    if parameter.default is None:
        return ""
    return f", {parameter.default} if not given" if parameter.default else ", optional"
