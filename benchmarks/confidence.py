"""Which number tells right labels from wrong ones: the experiment behind docs/confidence.md, and the fit of confidence.

    python benchmarks/confidence.py w.duckdb --photos photos/ --tar tiny_imagenet_val_25.tar --run
    python benchmarks/confidence.py w.duckdb

With --run, EfficientNet-Lite0, 1 and 2 look at photographs of ImageNet's classes: one a class (a folder for each
WordNet id), and 25, 5 and 2 a class (a tar with a folder for each). Their classifiers' units, whose meaning is known,
are labelled by five methods with two concept sets. All of it is kept in the warehouse, and done once, in an hour on two
cores. Needs the extra `demo`.

Then each number is judged by the area under its ROC curve for right labels, within each layer and setting; and logistic
fits of several numbers by what they say of pairs of a network and a probe of which they have seen neither.
"""

from __future__ import annotations

import argparse
import math
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from scipy.optimize import minimize
from scipy.stats import rankdata

import neuronlake
from neuronlake.ingest.concepts.builtin_sets import builtin_names, imagenet_name
from neuronlake.ingest.concepts.concept import same_text
from neuronlake.ingest.labelers.similarity import METHODS, default_parameters

NETWORKS = tuple(f"efficientnet-lite{size}-imagenet" for size in (0, 1, 2))
LAYER = "_fc"
CONCEPT_SETS = (("imagenet",), ("imagenet", "broden"))
TOP_K = {"class25": 25, "class5": 5, "class2": 5, "class1": 5}
NUMBERS = (
    "similarity",
    "margin",
    "stability",
    "correlation",
    "cubed_correlation",
    "auprc",
    "f1",
    "iou",
    "held_out_correlation",
    "held_out_cubed_correlation",
    "held_out_auprc",
    "held_out_f1",
    "ceiling",
)
FITS = {
    "cubed correlation": ("root",),
    "cubed correlation, images": ("root", "log_images"),
    "cubed correlation, stability": ("root", "stability"),
    "cubed correlation, stability, images": ("root", "stability", "log_images"),
    "the same and correlation": ("root", "stability", "log_images", "correlation"),
    "the same and held-out cubed": ("root", "stability", "log_images", "held_out_cubed_correlation"),
    "the same and ceiling": ("root", "stability", "log_images", "ceiling"),
}
CELL = ("model", "probe", "concept_set", "method")
RESAMPLES = 1_000
BINS = 10


def probes(photos: Path, tar: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """Each probe by its name: the folder of photographs, and lists of the first images of each class of the tar."""
    yield "class1", photos
    with tarfile.open(tar) as packed:
        packed.extractall(folder, filter="data")
    files = pl.DataFrame({"path": sorted(str(file) for file in folder.rglob("*.*") if file.is_file())})
    labelled = files.with_columns(label=pl.col("path").str.split("/").list.get(-2))
    for count in (25, 5, 2):
        listed = folder / f"class{count}.csv"
        labelled.group_by("label", maintain_order=True).head(count).select("path", "label").write_csv(listed)
        yield f"class{count}", listed


def label(warehouse: neuronlake.Warehouse, photos: Path, tar: Path) -> None:
    """Extract, and label by every method with every set; what is there is not done again."""
    with tempfile.TemporaryDirectory() as folder:
        for name, where in probes(photos, tar, Path(folder)):
            for concepts in CONCEPT_SETS:
                for method in METHODS:
                    top_k = {"top_k": TOP_K[name]} if "top_k" in default_parameters(method) else {}
                    print(f"{name}, {'+'.join(concepts)}, {method}", flush=True)
                    neuronlake.ingest(
                        warehouse,
                        models=NETWORKS,
                        layers=LAYER,
                        probe=f"{name}={where}",
                        concepts=concepts,
                        encoder="conse",
                        method=method,
                        parameters=top_k,
                    )


def known_units(warehouse: neuronlake.Warehouse) -> pl.DataFrame:
    """A row for each label of a unit whose class has images: what is known of it, and whether it is right."""
    judged = warehouse.sql("from fidelity where layer = $layer", layer=LAYER).pl()
    labels = warehouse.sql("select scoring, unit, similarity, margin, method, concept_set, probe from unit_labels").pl()
    rows = judged.join(labels, on=("scoring", "unit"))
    images = warehouse.sql("select distinct probe, label from top_images").pl()
    with_images = images.with_columns(name=pl.col("label").map_elements(imagenet_name, return_dtype=pl.String))
    names = pl.DataFrame({"unit": range(1000), "name": builtin_names("imagenet")}, schema_overrides={"unit": pl.Int32})
    known = rows.join(names, on="unit").join(with_images, on=("probe", "name"), how="semi")
    spelled = pl.col("concept", "name").map_elements(same_text, return_dtype=pl.String)
    return (
        known.with_columns(spelled)
        .with_columns(
            right=pl.col("concept") == pl.col("name"),
            root=pl.col("cubed_correlation").clip(0).sqrt(),
            log_images=pl.col("judged_images").clip(1, 5_000).log(),
        )
        .sort(*CELL, "unit")
    )


def auc(numbers: np.ndarray, right: np.ndarray) -> float:
    """The chance that a right label has the higher number, ties counting one half; NaN where all are alike."""
    ranks, count = rankdata(numbers), right.sum()
    wrong = len(right) - count
    if not count or not wrong:
        return math.nan
    return float((ranks[right].sum() - count * (count + 1) / 2) / (count * wrong))


def expected_error(chances: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error over ten bins of equal width, as Guo et al. (ICML 2017) define it."""
    places = np.minimum((chances * BINS).astype(int), BINS - 1)
    gaps = [abs(chances[places == each].mean() - right[places == each].mean()) for each in np.unique(places)]
    return float(np.dot(gaps, np.unique(places, return_counts=True)[1]) / len(right))


def fitted(rows: pl.DataFrame, names: Sequence[str]) -> np.ndarray:
    """Weights of numbers and a constant by maximum likelihood, each layer and setting counting the same."""
    values = rows.select(*names, constant=1.0).to_numpy()
    scale = np.abs(values).max(axis=0)
    right = rows["right"].to_numpy().astype(float)
    weights = rows.select(1 / pl.len().over(CELL)).to_numpy()[:, 0]

    def loss(solution: np.ndarray) -> tuple[float, np.ndarray]:
        odds = values / scale @ solution
        chances = 1 / (1 + np.exp(-odds))
        total = np.dot(weights, np.logaddexp(0, odds) - right * odds)
        return float(total), (values / scale).T @ (weights * (chances - right))

    return minimize(loss, np.zeros(len(scale)), jac=True, method="BFGS").x / scale


def chances_of_unseen(rows: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """The rows with the chance that a fit gives them which has seen neither their network nor their probe."""
    parts: list[pl.DataFrame] = []
    for (model, probe), pair in rows.group_by("model", "probe", maintain_order=True):
        others = rows.filter((pl.col("model") != model) & (pl.col("probe") != probe))
        odds = pair.select(*names, constant=1.0).to_numpy() @ fitted(others, names)
        parts.append(pair.with_columns(chance=1 / (1 + np.exp(-odds))))
    return pl.concat(parts)


def aucs(rows: pl.DataFrame, number: str) -> pl.DataFrame:
    """One for each layer and setting, with a bootstrap 95 % interval half as wide as `slack`."""
    found: list[dict[str, object]] = []
    generator = np.random.default_rng(0)
    for key, cell in rows.group_by(CELL, maintain_order=True):
        values, right = cell[number].fill_nan(0).fill_null(0).to_numpy(), cell["right"].to_numpy()
        drawn = generator.integers(0, len(right), (RESAMPLES // 10, len(right)))
        spread = np.nanstd([auc(values[places], right[places]) for places in drawn])
        found.append(dict(zip(CELL, key, strict=True)) | {"auc": auc(values, right), "slack": 1.96 * float(spread)})
    return pl.DataFrame(found).with_columns(method=pl.col("method").str.split("(").list.first())


def mean_with_interval(found: pl.DataFrame) -> str:
    """Their mean, with a 95 % interval by drawing pairs of a network and a probe anew."""
    of_pairs = found.group_by("model", "probe", maintain_order=True).agg(pl.mean("auc"))["auc"].to_numpy()
    drawn = np.random.default_rng(0).choice(of_pairs, (RESAMPLES, len(of_pairs))).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{of_pairs.mean():.3f} ({low:.3f} to {high:.3f})"


def main() -> None:
    """Label where asked, then the tables of docs/confidence.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("warehouse", type=Path)
    parser.add_argument("--run", action="store_true")
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--tar", type=Path)
    chosen = parser.parse_args()
    with neuronlake.open(chosen.warehouse, write=chosen.run) as warehouse:
        if chosen.run:
            label(warehouse, chosen.photos, chosen.tar)
        rows = known_units(warehouse)
    pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_width_chars=200, float_precision=3, tbl_hide_dataframe_shape=True)
    print(f"{rows.height:,} labels of known units, {rows['right'].mean():.1%} right")
    own = aucs(rows, "similarity")
    for number in NUMBERS:
        print(f"AUC of {number:28} {mean_with_interval(aucs(rows, number))}")
    print(
        pl.concat([own, aucs(rows, "cubed_correlation").rename({"auc": "cubed"}).select("cubed")], how="horizontal")
        .group_by("probe", "method", maintain_order=True)
        .agg(pl.mean("auc", "cubed"))
    )
    for name, numbers in FITS.items():
        unseen = chances_of_unseen(rows, numbers)
        found = aucs(unseen, "chance")
        below = (found["auc"] - own["auc"]).min()
        errors = [
            expected_error(pair["chance"].to_numpy(), pair["right"].to_numpy())
            for _, pair in unseen.group_by("model", "probe")
        ]
        print(
            f"{name:40} AUC {mean_with_interval(found)}, least beside the own score {below:+.3f}; "
            f"error {np.mean(errors):.3f}, at most {max(errors):.3f}"
        )
    unseen = chances_of_unseen(rows, FITS["cubed correlation, stability, images"])
    print(aucs(unseen, "chance").group_by("probe", "method", maintain_order=True).agg(pl.mean("auc", "slack")))
    for numbers in (("root", "stability", "log_images"), ("root", "log_images")):
        print(dict(zip((*numbers, "constant"), fitted(rows, numbers).round(3).tolist(), strict=True)))


if __name__ == "__main__":
    main()
