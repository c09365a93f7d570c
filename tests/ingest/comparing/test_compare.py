"""Two models compared: a network that was really fine-tuned and rewired by hand, and a small warehouse to count on."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import finetuned
import polars as pl
import pytest
import torch

import neuronlake
from neuronlake import NeuronlakeError
from neuronlake.sql.opening import open_warehouse
from neuronlake.sql.verify import verify
from neuronlake.sql.warehouse import Warehouse

SWAPPED, ZEROED = (3, 7), 11
ORDER = torch.randperm(24, generator=torch.Generator().manual_seed(4))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network before and after fine-tuning, then with three units rewired, one in another order, and a stranger."""
    folder = tmp_path_factory.mktemp("trained")
    before, after = finetuned.before_and_after()
    rewired, permuted = copy.deepcopy(after), copy.deepcopy(before)
    finetuned.swap(rewired, *SWAPPED)
    finetuned.zero(rewired, ZEROED)
    finetuned.permute(permuted, ORDER)
    networks = {
        "before": before,
        "after": after,
        "rewired": rewired,
        "permuted": permuted,
        "stranger": finetuned.network(seed=5),
    }
    with neuronlake.open(folder / "w.duckdb") as warehouse:
        neuronlake.ingest(
            warehouse,
            models={name: (network, finetuned.PREPROCESSING) for name, network in networks.items()},
            layers=finetuned.LAYERS,
            probe=str(finetuned.write_pictures(folder / "pictures", each=20)),
            method="network_dissection",
        )
        for model in ("after", "rewired", "permuted", "stranger"):
            neuronlake.compare(warehouse, "before", model)
    return folder / "w.duckdb"


@pytest.fixture(scope="module")
def opened(trained: Path) -> Iterator[Warehouse]:
    with open_warehouse(trained) as warehouse:
        yield warehouse


def changes(warehouse: Warehouse, model: str, layer: str = finetuned.REWIRED) -> dict[str, list[int]]:
    """The units of a layer by what became of them, from before to a model."""
    select = "select change, list(unit order by unit) from label_changes where model_b = $m and layer = $l group by all"
    return dict(warehouse.sql(select, m=model, l=layer).fetchall())


def test_what_was_swapped_by_hand_moved_and_what_was_zeroed_died(opened: Warehouse) -> None:
    found = changes(opened, "rewired")
    assert found.pop("moved") == [*SWAPPED]
    assert found.pop("died") == [ZEROED]
    assert set(found) <= {"same", "changed"}
    pairs = "select unit, unit_b, own_correlation < activation_correlation from label_changes where change = 'moved'"
    assert opened.sql(f"{pairs} order by unit").fetchall() == [(3, 7, True), (7, 3, True)]
    # what stands before the rewired layer is as it was
    untouched = [changes(opened, model, finetuned.LAYERS[0]) for model in ("after", "rewired")]
    assert untouched[0] == untouched[1]
    assert not {"moved", "died"} & set(untouched[0])


def test_fine_tuning_alone_moves_nothing_and_kills_nothing(opened: Warehouse) -> None:
    for layer in finetuned.LAYERS:
        found = changes(opened, "after", layer)
        assert set(found) <= {"same", "changed"}
        assert len(found["same"]) > len(found.get("changed", []))
    by_layer = opened.query("changes_by_layer", model_b="after").pl()
    assert by_layer["is_by_number"].all()
    assert by_layer["activation_correlation"].min() > 0.9  # pyright: ignore[reportOperatorIssue]  a number


def test_every_unit_of_a_permuted_copy_is_found_in_its_place(opened: Warehouse) -> None:
    select = "select unit, unit_b, activation_correlation, fate from unit_matches where model_b = 'permuted'"
    found = opened.sql(f"{select} and layer = $layer and status_a = 'live' order by unit", layer=finetuned.REWIRED).pl()
    assert found.height > 20
    # the unit at a place of the copy is the one that ORDER has there
    assert ORDER[found["unit_b"].to_torch()].tolist() == found["unit"].to_list()
    assert found["activation_correlation"].to_list() == pytest.approx([1] * found.height, abs=1e-5)
    assert found["fate"].unique().to_list() == ["kept"]
    assert set(changes(opened, "permuted")) <= {"same", "dead"}


def test_a_network_that_was_trained_apart_has_no_unit_by_number(opened: Warehouse) -> None:
    by_layer = opened.query("changes_by_layer", model_b="stranger").pl()
    assert by_layer["layer"].to_list() == [*finetuned.LAYERS]
    assert not by_layer["is_by_number"].any()
    assert by_layer.select("moved", "died", "appeared").sum().row(0) == (0, 0, 0)


def test_every_correlation_is_duckdbs(opened: Warehouse) -> None:
    exact = """
        select max(abs(matches.closest_correlation - exact.correlation)), count(*)
        from (
            select a.model, a.layer, a.unit, b.model as model_b, b.unit as unit_b,
                corr(a.activation, b.activation) as correlation
            from activations as a
            inner join activations as b on a.image = b.image and a.layer = b.layer and a.model = 'before'
            where b.model in ('rewired', 'stranger')
            group by all
        ) as exact
        inner join unit_matches as matches
            on matches.layer = exact.layer and matches.model_b = exact.model_b
            and matches.unit = exact.unit and matches.closest_unit = exact.unit_b
    """
    [(difference, units)] = opened.sql(exact).fetchall()
    assert difference < 1e-5
    assert units > 120


def test_concepts_flow_from_the_labels_before_to_those_now(opened: Warehouse) -> None:
    select = "select * from concept_flow where model_b = 'rewired' and layer = $layer"
    flow = opened.sql(select, layer=finetuned.REWIRED).pl()
    labels = "select concept, count(*) from unit_labels where model = $model and layer = $layer and concept is not null"
    for model, column in (("before", "units_a"), ("rewired", "units_b")):
        counted = opened.sql(f"{labels} group by concept", model=model, layer=finetuned.REWIRED).fetchall()
        assert dict(flow.filter(pl.col(column) > 0).select("concept", column).iter_rows()) == dict(counted)
    assert (flow["units_a"] - flow["lost"]).to_list() == flow["kept"].to_list()
    assert (flow["units_b"] - flow["gained"]).to_list() == flow["kept"].to_list()
    gone = opened.sql("select concept_a from label_changes where change = 'died' and model_b = 'rewired'").fetchall()
    assert flow.filter(pl.col("concept") == gone[0][0])["lost"].item() >= 1


def test_it_is_whole_and_told_by_the_other_model_first_it_is_another_comparison(trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    path.write_bytes(trained.read_bytes())
    with open_warehouse(path, write=True) as warehouse:
        assert verify(warehouse) == []
        assert neuronlake.compare(warehouse, "rewired", "before").compared_layers == 3
        assert verify(warehouse) == []
        select = "select change, unit, unit_b from label_changes where model_a = 'rewired' and change in $changes"
        changes = ["moved", "appeared"]
        assert warehouse.sql(f"{select} order by unit", changes=changes).fetchall() == [
            ("moved", 3, 7),
            ("moved", 7, 3),
            ("appeared", 11, 11),
        ]


@pytest.fixture
def small(small_file: Path, tmp_path: Path) -> Iterator[Warehouse]:
    path = tmp_path / "w.duckdb"
    path.write_bytes(small_file.read_bytes())
    with open_warehouse(path, write=True) as warehouse:
        yield warehouse


def test_small_layers_by_hand(small: Warehouse) -> None:
    """Alpha's early units are 1 2 3 3, 4 3 2 1 and a dead one; beta's 2 4 6 6, 1 2 3 4 and 1 1 2 1."""
    assert neuronlake.compare(small, "alpha", "beta").compared_layers == 1
    found = small.sql("select * from unit_matches order by unit").pl()
    assert found.select("unit", "fate", "unit_b", "closest_unit", "is_mutual", "status_a", "status_b").rows() == [
        (0, "kept", 0, 0, True, "live", "live"),
        (1, "unmatched", 2, 2, False, "live", "live"),
        (2, "dead", None, None, False, "dead", None),
    ]
    assert found["own_correlation"].to_list() == pytest.approx([1, -1, None])
    assert found["closest_correlation"].to_list() == pytest.approx([1, -0.5 / (5 * 0.75) ** 0.5, None])
    assert found.select("images", "probe", "is_by_number").unique().rows() == [(4, "photos", False)]
    back = "select unit, closest_unit, own_correlation is null from store.closest_units where side = 'b' order by unit"
    assert small.sql(back).fetchall() == [(0, 0, False), (1, 0, False), (2, 0, True)]


def test_the_same_again_does_nothing(small: Warehouse) -> None:
    first = neuronlake.compare(small, "alpha", "beta", command="cli compare alpha beta")
    again = neuronlake.compare(small, "alpha", "beta")
    assert (first.layers, first.compared_layers) == (1, 1)
    assert (again.layers, again.compared_layers) == (1, 0)
    assert (first.setting, again.setting) == (1, 1)
    runs = small.sql("select command, status from runs where recipe::varchar like '%compare%'").fetchall()
    assert runs == [("cli compare alpha beta", "finished")]


def test_layers_of_two_names_and_of_one_model_are_paired(small: Warehouse) -> None:
    done = neuronlake.compare(small, "alpha", "beta", layers="late = head, early, early")
    assert done.compared_layers == 2
    assert neuronlake.compare(small, "alpha", "alpha", layers=["early=late"]).compared_layers == 1
    pairs = "select distinct model_a, layer, model_b, layer_b from unit_matches order by all"
    assert small.sql(pairs).fetchall() == [
        ("alpha", "early", "alpha", "late"),
        ("alpha", "early", "beta", "early"),
        ("alpha", "late", "beta", "head"),
    ]
    assert verify(small) == []


def test_a_layer_without_a_live_unit_has_died(small: Warehouse) -> None:
    small.execute("update store.units set status = 'dead' where layer_id = 3")
    neuronlake.compare(small, "alpha", "beta")
    found = small.sql("select fate, activation_correlation from unit_matches order by unit").fetchall()
    assert found == [("died", None), ("died", None), ("dead", None)]
    assert not {"comparisons_whole", "comparisons_true"} & {fault.check for fault in verify(small)}


MISTAKES = {
    "a model": (
        ("alpah", "beta"),
        {},
        "holds no activations of 'alpah'; did you mean alpha? it holds those of alpha, beta",
    ),
    "a layer": (
        ("alpha", "beta"),
        {"layers": "eraly"},
        "alpha has no activations of 'eraly'; did you mean early? there are those of early, late; "
        "layers of two names are paired with LAYER_A=LAYER_B",
    ),
    "a layer that one has": (
        ("alpha", "beta"),
        {"layers": "late"},
        "beta has no activations of 'late'; there are those of early, head; "
        "layers of two names are paired with LAYER_A=LAYER_B",
    ),
    "a probe": (
        ("alpha", "beta"),
        {"probe": "foto"},
        "no layer of alpha and beta has seen a probe 'foto'; did you mean photos? they have seen photos",
    ),
    "itself": (
        ("alpha", "alpha"),
        {},
        "early of alpha is compared with itself; name two models, or two layers with LAYER_A=LAYER_B",
    ),
    "a device": (("alpha", "beta"), {"device": "abacus"}, "abacus"),
}


@pytest.mark.parametrize(("models", "given", "said"), MISTAKES.values(), ids=MISTAKES)
def test_what_is_not_there_is_said_with_what_is(
    small: Warehouse, models: tuple[str, str], given: dict[str, str], said: str
) -> None:
    with pytest.raises(NeuronlakeError) as error:
        neuronlake.compare(small, *models, **given)  # pyright: ignore[reportArgumentType]
    assert said in str(error.value)
    assert small.scalar("select count(*) from store.comparisons") == 0
    assert small.scalar("select count(*) from runs") == 2


def test_models_without_a_layer_of_one_name_are_told_how_to_pair(small: Warehouse) -> None:
    small.execute("update store.layers set name = 'first' where layer_id = 3")
    with pytest.raises(NeuronlakeError, match=r"early, late and first, head; pair them with --layers LAYER_A=LAYER_B"):
        neuronlake.compare(small, "alpha", "beta")


def test_layers_that_saw_other_images_are_not_compared(small: Warehouse) -> None:
    """The layers of beta were shown other photographs."""
    small.execute("insert into store.probes values (2, 'drawings', 'x', '/drawings', 5, 2, false)")
    small.execute("update store.units set probe_id = 2 where layer_id in (3, 4)")
    small.execute("update store.chunks set probe_id = 2 where layer_id in (3, 4)")
    apart = (
        r"early of alpha has seen photos and early of beta drawings, no images of both; show it photos with `cli ingest"
    )
    with pytest.raises(NeuronlakeError, match=apart):
        neuronlake.compare(small, "alpha", "beta")
    with pytest.raises(NeuronlakeError, match=r"early of alpha has not seen drawings, it has seen photos"):
        neuronlake.compare(small, "alpha", "beta", probe="drawings")
    small.execute("update store.units set probe_id = 1 where layer_id = 4")
    small.execute("update store.chunks set probe_id = 1 where layer_id = 4")
    small.execute("update store.layers set name = 'late' where layer_id = 4")
    done = neuronlake.compare(small, "alpha", "beta")
    assert done.layers == 1
    assert done.notes[0].startswith("left out: early of alpha has seen photos and early of beta drawings")
