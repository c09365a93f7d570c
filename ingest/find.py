"""Units for free text: what is in no concept set, scored against the units beside the stored concepts."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from typing import Any

import polars as pl
import torch

from neuronlake import NeuronlakeError
from neuronlake.ingest.encoders.loading import encoder_of_row
from neuronlake.ingest.encoders.prompts import embed_texts
from neuronlake.ingest.labelers import similarity
from neuronlake.ingest.labelers.correlation import correlations
from neuronlake.ingest.labelers.predicting.signals import shaped_cosines
from neuronlake.ingest.labelers.registry import METHODS
from neuronlake.sql import hints
from neuronlake.sql.settings import chosen_setting
from neuronlake.sql.store import features
from neuronlake.sql.warehouse import Warehouse
from neuronlake.sql.words import Progress, no_progress


class FindError(NeuronlakeError):
    """The text cannot be looked for in this warehouse."""


def find_units(
    warehouse: Warehouse,
    text: str,
    *,
    setting: int | str | None = None,
    top: int = 20,
    images: int = 1,
    encoder: str | None = None,
    trust_code: bool = False,
    progress: Progress = no_progress,
) -> pl.DataFrame:
    """The units that score highest for a text, as if it were one more concept of the set.

    What labels with sums scores no concept by itself: there it is how well the text's own signal predicts the unit, the
    correlation of the two over the images.

    Args:
        warehouse: to read.
        text: anything the encoder's text side takes.
        setting: number of the setting to score under, or its method; the newest where None.
        top: how many units.
        images: how many of the images that excite each unit most to name, up to 20.
        encoder: where the encoder is, as for `Recipe`; if not given, where the warehouse says.
        trust_code: run code that only the warehouse names, and read files that hold code.
        progress: called with a stage, the number done and the total.

    Returns:
        One row a unit, the highest similarity first: model, layer, unit, similarity, rank (of the text among the
        concepts, for that unit), label (the unit's own, with all of its concepts) and images (a list of paths).

    Raises:
        SettingError: the warehouse holds no scoring, or none of that setting.
        FindError: there are no activations and embeddings under this setting, or the text's signal is the same for all
            images.
        EncoderError: the encoder has changed, or cannot be had.
    """
    shown = chosen_setting(warehouse, setting)
    layers = warehouse.query("scored_layers", setting=str(shown.number)).pl()
    if layers.is_empty():
        run = hints.command("cli ingest", warehouse.path)
        raise FindError(
            f"{warehouse.path} holds no activations to search under setting {shown.short}; choose another with "
            f"--setting (`{hints.command('cli sql settings', warehouse.path)}` lists them), or run `{run}`"
        )
    first = layers.row(0, named=True)
    if first["method"] not in METHODS or first["encoder_id"] is None:
        words = f"cli sql units_for_concept {shlex.quote(f'concept={text}')} setting={shown.number}"
        raise FindError(
            f"{first['method']} of setting {shown.short} scores no text; choose another with --setting, or look for a "
            f"word of its labels with `{hints.command(words, warehouse.path)}`"
        )
    chosen = encoder if encoder != first["encoder"] else None
    network = encoder_of_row(first, chosen=chosen, trust_code=trust_code)
    wanted = embed_texts(network, first["prompts"], [text])
    found = _score_layers(warehouse, layers, wanted, progress)
    if not found:
        look = hints.command("cli sql layer_summary", warehouse.path)
        raise FindError(f"no unit of setting {shown.short} is alive; look at `{look}`")
    best = pl.concat(found).sort("similarity", descending=True).head(top)
    return _with_labels(warehouse, best, {"setting": str(shown.number), "images": str(images)})


def _score_layers(
    warehouse: Warehouse, layers: pl.DataFrame, wanted: torch.Tensor, progress: Progress
) -> list[pl.DataFrame]:
    """For each layer with live units the score and rank of a text, (1, dimensions), beside the stored concepts."""
    first = layers.row(0, named=True)
    image_ids, images = features.image_features(warehouse, first["encoder_id"], first["probe_id"])
    concepts = features.concept_features(warehouse, first["encoder_id"], first["prompts"], first["concept_set_id"])
    cosines = similarity.Cosines(torch.from_numpy(images), torch.cat([torch.from_numpy(concepts), wanted]))
    scores = _scores(first, cosines)
    found: list[pl.DataFrame] = []
    for done, layer in enumerate(layers.iter_rows(named=True)):
        progress("Scoring layers", done, layers.height)
        live = features.live_units(warehouse, layer["layer_id"], layer["probe_id"])
        if live:
            activations = torch.from_numpy(features.activations(warehouse, layer["layer_id"], live, image_ids))
            found.append(_score(layer, live, scores(activations)))
    progress("Scoring layers", layers.height, layers.height)
    return found


def _scores(scoring: dict[str, Any], cosines: similarity.Cosines) -> Callable[[torch.Tensor], torch.Tensor]:
    """What gives the scores of all texts for units, (units, texts), from activations, (images, units)."""
    parameters = json.loads(scoring["parameters"])
    if function := similarity.METHODS.get(scoring["method"]):
        return lambda activations: function(cosines, similarity.in_range(activations), **parameters)
    signals = shaped_cosines(cosines, parameters.get("signal"))
    if not signals.usable()[-1]:
        raise FindError("this text is in no image or in all alike, so that no unit goes with it; look for another")
    return lambda activations: correlations(signals, activations)


def _score(layer: dict[str, Any], live: list[int], scores: torch.Tensor) -> pl.DataFrame:
    """Score of the last text for each unit of a layer, and its rank among all texts, from (units, texts)."""
    text = scores[:, -1:]
    return pl.DataFrame(
        {
            "model": [layer["model"]] * len(live),
            "layer": [layer["layer"]] * len(live),
            "unit": live,
            "similarity": text[:, 0].tolist(),
            "rank": ((scores[:, :-1] > text).sum(dim=1) + 1).tolist(),
        }
    )


def _with_labels(warehouse: Warehouse, best: pl.DataFrame, given: dict[str, str]) -> pl.DataFrame:
    """Add each unit's label and the images that excite it most."""
    known = warehouse.query("unit_images", **given).pl().drop("concept").rename({"explanation": "label"})
    return best.join(known.cast({"unit": pl.Int64}), on=["model", "layer", "unit"], how="left", maintain_order="left")
