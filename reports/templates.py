"""The templates of the pages, with their style and script: the files of ``reports/assets``."""

from __future__ import annotations

from importlib import resources

import jinja2


def asset(name: str) -> str:
    """The text of a file of ``reports/assets``."""
    return (resources.files("neuronlake.reports") / "assets" / name).read_text(encoding="utf-8")


# a name that a template uses and is not given is an error
ENVIRONMENT = jinja2.Environment(
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
    loader=jinja2.FunctionLoader(asset),
)
ENVIRONMENT.policies["json.dumps_kwargs"] = {"sort_keys": True, "separators": (",", ":")}  # no blanks: a tenth less
