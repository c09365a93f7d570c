"""What DuckDB complains of, in plain words: one line that says what is wrong and what to do."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import psutil

from neuronlake import NeuronlakeError
from neuronlake.sql import hints
from neuronlake.sql.words import first_line

_KEPT = "what was committed is kept"
# What DuckDB and the operating system say where a file cannot grow, and what that means; the first that fits.
_WRITE_FAILURES = (
    ("No space left", f"the disk is full; {_KEPT}: free some space and run the same command again"),
    ("[Qq]uota exceeded", f"your share of the disk is full; {_KEPT}: free some space and run the same command again"),
    (
        "File too large",
        f"a limit on the size of files is reached (see `ulimit -f`, or the disk's format); {_KEPT}: "
        "lift the limit or move the file, and run the same command again",
    ),
)
# What DuckDB says of a block that is not as it was written, and where a query asks for more than the warehouse.
_DAMAGED = "computed checksum .* does not match stored checksum"
_NO_OTHER_FILES = "Permission Error: .* (disabled by|disabled through) configuration"
# What DuckDB says where something is to be changed that is read-only, or a view.
_READ_ONLY = "in read-only mode|is not an? table|Can only (delete from|update|modify|insert into) base table"
_LONGEST_COMMAND = 60


class WarehouseError(NeuronlakeError):
    """The warehouse cannot be opened."""


class InUseError(WarehouseError):
    """Another process holds the file; the message says which, and what to do after a semicolon."""


class QueryError(NeuronlakeError):
    """DuckDB cannot run this SQL."""


# What DuckDB says where it cannot open a file, and what that means; the first that fits.
_OPEN_FAILURES = (
    ("different configuration", "is open in this process already; close it there first"),
    ("not a valid DuckDB database", "is not a DuckDB file; name a warehouse with --warehouse"),
    ("version number", "was written by a newer DuckDB; update it with: pip install --upgrade duckdb"),
    (
        "Could not read|[Cc]orrupt|checksum|Serialization Error",
        "is damaged or cut short; {mend}",
    ),
    (
        "[Pp]ermission denied|[Rr]ead-only",
        "cannot be opened: permission denied; change its permissions or name another file with --warehouse",
    ),
    *((pattern, f"cannot be written: {meaning}") for pattern, meaning in _WRITE_FAILURES),
)


def open_failure(path: Path, message: str) -> WarehouseError:
    """What DuckDB or the system says where a file cannot be opened, as one line."""
    if holder := re.search(r"PID (\d+)", message):
        return InUseError(
            f"{path} is in use by process {_process(int(holder[1]))}; if that is a notebook, close the connection "
            "there (wh.close()), if `cli explore`, end it with Ctrl-C, else wait until it ends, as --wait does for a "
            "command that writes, or work on a copy made after that"
        )
    meanings = (meaning for pattern, meaning in _OPEN_FAILURES if re.search(pattern, message))
    meaning = next(meanings, "cannot be opened: " + message.strip().splitlines()[0])
    return WarehouseError(f"{path} {meaning.replace('{mend}', _mend(path))}")


def read_only_folder(path: Path) -> str:
    """Why nothing can be changed there."""
    return (
        f"{path} is an exported folder, which is read-only; change the warehouse that it was made of, "
        "and export it again"
    )


def _mend(path: Path) -> str:
    """What to do with a damaged file."""
    check = hints.command("cli verify", path)
    return f"put a copy in its place and check it with `{check}`, or delete it and make it again"


def _process(number: int) -> str:
    """A process by its number, and by what was typed to start it where that can be had."""
    try:
        words = psutil.Process(number).cmdline()
    except psutil.Error:
        return str(number)
    typed = " ".join(" ".join([Path(words[0]).name, *words[1:]]).split()) if words else ""
    shown = typed if len(typed) <= _LONGEST_COMMAND else f"{typed[:_LONGEST_COMMAND]}…"
    return f"{number} ({shown})" if shown else str(number)


def one_line(message: str) -> str:
    """DuckDB's several lines as one: what is wrong, near names, and the line of the query without the carets below."""
    # tables behind the views may change, so they are nobody's next guess
    public = re.sub(r'\s*Did you mean "store\.\w+"\?', " `cli views` lists what there is.", message)
    lines = [line.strip() for line in public.splitlines()]
    if '="' in message.replace(" ", "") and "Referenced column" in message:
        lines.append("text goes in single quotes")
    return "; ".join(line for line in lines if line.strip("^~ "))


@contextmanager
def plain_errors(path: Path) -> Generator[None]:
    """What DuckDB says of a query as one of our errors, of one line; it names the place and near names itself."""
    try:
        yield
    except duckdb.Error as error:
        message = one_line(str(error))
        full = next((meaning for pattern, meaning in _WRITE_FAILURES if re.search(pattern, message)), None)
        if full:
            message = f"{path} cannot be written: {full}"
        elif re.search(_DAMAGED, message):
            message = f"{path} is damaged: the checksum of a block is not that of its bytes; {_mend(path)}"
        elif re.search(_NO_OTHER_FILES, message):
            message = f"{message}; --allow-files lets a query read and write other files"
        elif path.is_dir() and re.search(_READ_ONLY, message):
            message = read_only_folder(path)
        elif isinstance(error, duckdb.OutOfMemoryException):
            hint = "give it more with the environment variable NEURONLAKE_MEMORY, such as 8GB, or ask for less at once"
            message = f"{first_line(error)}; {hint}"
        raise QueryError(message) from error
    except RuntimeError as error:
        if str(error) != "Query interrupted":
            raise
        raise KeyboardInterrupt from error
