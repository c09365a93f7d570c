"""The app served to this machine's browsers alone, and its notebook as a file of the user's own."""

from __future__ import annotations

import importlib
import os
import re
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from neuronlake import NeuronlakeError
from neuronlake.reports.explore.choosing import first_choice, opened_warehouse, unit_page
from neuronlake.reports.explore.units import units_of_layer
from neuronlake.reports.files import write_output
from neuronlake.sql.opening import open_warehouse

_HOST = "127.0.0.1"
# marimo's own
_FIRST_PORT = 2718
_PORTS_TRIED = 50
_SECONDS_TO_END = 1
_NOTEBOOK = Path(__file__).with_name("notebook.py")
# loaded before the first page asks for them
_LOADED_AHEAD = ("altair", "polars", "scipy.stats", "vl_convert")
# what marimo's editor shows as SQL
_SQL_CELL = '''@app.cell
def _(mo, warehouse):
    _rows = mo.sql(
        f"""
        select model, layer, unit, explanation, confidence
        from unit_labels
        join newest_setting using (setting)
        order by confidence desc nulls last
        limit 100
        """,
        engine=warehouse.connection,
    )
    return


'''


class ExploreError(NeuronlakeError):
    """The app cannot be served."""


def serve(file: Path, port: int | None, asked: dict[str, str], ready: Callable[[str], None]) -> None:
    """Serve the app until it is interrupted, to who knows its address with the token in it.

    Args:
        file: the warehouse, which stays open for reading meanwhile.
        port: of this machine; a free one where None.
        asked: what the page shows first, see `choosing.first_choice`.
        ready: called with the address once it can be opened.

    Raises:
        ExploreError: marimo is not installed, or the port is taken.
        WarehouseError: the warehouse cannot be read.
        SettingError: it has no scoring, or not the setting that was asked for.
    """
    marimo, uvicorn = _package("marimo"), _package("uvicorn")
    for name in _LOADED_AHEAD:
        importlib.import_module(name)
    _look_ahead(file, asked)
    os.environ["NEURONLAKE_WAREHOUSE"] = str(file)
    listening = _listen(port)
    token = secrets.token_urlsafe(16)
    apps = marimo.create_asgi_app(quiet=True, token=token)
    of_port = _of_port(listening.getsockname()[1])
    app = apps.with_app(path="", root=str(_NOTEBOOK), middleware=[of_port]).build()
    # pages that are open do not hold up the end
    config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=_SECONDS_TO_END)
    server = uvicorn.Server(config)
    ready(f"http://{_HOST}:{listening.getsockname()[1]}/?{urlencode({'access_token': token, **asked})}")
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listening])


def _look_ahead(file: Path, asked: dict[str, str]) -> None:
    """Read and draw what the first page shows, so that it comes the sooner, see `kept`."""
    warehouse = opened_warehouse(str(file))
    chosen = first_choice(warehouse, asked)
    units_of_layer(warehouse, chosen.setting, *chosen.layer)
    unit_page(warehouse, chosen.unit, chosen.setting)


def edit(file: Path, notebook: Path) -> None:
    """Open the app's notebook as a file of the user's own in marimo's editor, until that is closed.

    Args:
        file: the warehouse that a new notebook reads.
        notebook: made where it is not there.

    Raises:
        ExploreError: marimo is not installed, or the notebook is no place for one.
        WarehouseError: the warehouse that a new notebook is to read cannot be read.
        OutputError: the notebook cannot be written.
    """
    _package("marimo")
    if notebook.is_dir() or notebook.suffix != ".py":
        raise ExploreError(f"{notebook} is no Python file; name one that ends in .py with --notebook")
    if not notebook.absolute().parent.is_dir():
        raise ExploreError(f"the folder {notebook.parent} does not exist; make it or name another with --notebook")
    if not notebook.exists():
        open_warehouse(file).close()
        write_output(notebook, own_notebook(file).encode())
    command = [sys.executable, "-m", "marimo", "edit", str(notebook), "--host", _HOST]
    subprocess.run(command, check=False)  # noqa: S603  our own


def own_notebook(file: Path) -> str:
    """The notebook as text, for a warehouse."""
    text = _NOTEBOOK.read_text(encoding="utf-8")
    text = text.replace("run by `cli explore`, edited by `cli explore --edit`", "yours to change")
    text = re.sub(r"  # deptry:.*", "", text)
    text = text.replace("choosing.served_file()", repr(str(file.absolute())))
    return text.replace("if __name__ ==", f"{_SQL_CELL}if __name__ ==")


def _of_port(port: int) -> Callable[[Any], Any]:
    """What tells an app of marimo's its port: it names its cookie by it, and a browser gives cookies to all ports."""

    def told(app: Any) -> Any:
        app.state.port = port
        return app

    return told


def _listen(port: int | None) -> socket.socket:
    """A socket of this machine alone at the port, or at the first free one.

    Raises:
        ExploreError: there is none.
    """
    for tried in [port] if port else range(_FIRST_PORT, _FIRST_PORT + _PORTS_TRIED):
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((_HOST, tried))
            listening.listen()
        except OSError:
            listening.close()
            continue
        return listening
    taken = f"port {port} is taken" if port else f"ports {_FIRST_PORT} to {_FIRST_PORT + _PORTS_TRIED - 1} are taken"
    raise ExploreError(f"{taken}; name a free one with --port")


def _package(name: str) -> Any:
    """A package of the extra `explore`.

    Raises:
        ExploreError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ExploreError(f"{name} is not installed; run: pip install 'neuronlake[explore]'") from error
