"""`cli verify`: each fault that is put into a whole warehouse is found; what is unfinished is no fault."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import small_comparison
import small_masks
import small_sums

from neuronlake.ingest.probes.locations import Location
from neuronlake.ingest.probes.probe import Probe
from neuronlake.ingest.probes.sources import FileBytes, ProbeImage
from neuronlake.sql import catalog
from neuronlake.sql.opening import open_warehouse
from neuronlake.sql.verify import verify

# What goes wrong, and the check that names it; others may see it too.
FAULTS = {
    "an image is missing": ("delete from store.images where image_id = 5", "probes_whole"),
    "an image is another": ("update store.images set sha256 = 'x' where image_id = 5", "probes_whole"),
    "a concept left its set": ("delete from store.concept_set_concepts where position = 5", "concept_sets_whole"),
    "a concept stands twice in a set": (
        "update store.concept_set_concepts set concept_id = 1 where position = 5",
        "concept_sets_whole",
    ),
    "a chunk is recorded twice": ("insert into store.chunks from store.chunks limit 1", "chunks_whole"),
    "a chunk counts wrong": (
        "update store.chunks set images = 1 where chunk = 1 and layer_id = 2",
        "chunks_whole",
    ),
    "a layer lacks an image that others have": (
        "update store.chunks set images = 1 where chunk = 1 and layer_id = 2",
        "chunks_even",
    ),
    "a chunk lies beyond the probe": ("insert into store.chunks values (1, 3, 1, null, 1, 0)", "chunks_whole"),
    "an activation is missing": (
        "delete from store.activations where layer_id = 2 and unit = 3 and image_id = 4",
        "activations_whole",
    ),
    "an activation stands twice": (
        "insert into store.activations from store.activations limit 1",
        "activations_whole",
    ),
    "one activation took another's place": (
        "update store.activations set unit = 2 where layer_id = 2 and unit = 3 and image_id = 4",
        "activations_whole",
    ),
    "all activations of a layer are gone": ("delete from store.activations where layer_id = 3", "activations_whole"),
    "a chunk's record is gone": (
        "delete from store.chunks where layer_id = 1 and chunk = 0",
        "activations_whole",
    ),
    "activations of a unit that the layer lacks": (
        "update store.activations set unit = 9 where layer_id = 1 and unit = 2",
        "activations_whole",
    ),
    "an activation is NaN": ("update store.activations set activation = 'nan' where unit = 3", "numbers_finite"),
    "an activation is infinite": ("update store.activations set activation = 'inf' where unit = 3", "numbers_finite"),
    "a similarity is NaN": ("update store.similarities set similarity = 'nan' where unit = 3", "numbers_finite"),
    "a sum begins at NaN": ("update store.labels set intercept = 'nan' where unit = 0", "numbers_finite"),
    "a p-value is above 1": ("update store.labels set p_value = 1.5 where unit = 0", "numbers_finite"),
    "an image's embedding is missing": (
        "delete from store.image_embeddings where image_id = 2",
        "embeddings_whole",
    ),
    "an image is embedded twice": (
        "insert into store.image_embeddings from store.image_embeddings limit 1",
        "embeddings_whole",
    ),
    "an embedding is not of length 1": (
        "update store.image_embeddings set embedding = [1, 1, 0] where image_id = 1",
        "embeddings_unit_length",
    ),
    "an embedding is NaN": (
        "update store.concept_embeddings set embedding = ['nan'::float, 0, 0] where concept_id = 1",
        "embeddings_unit_length",
    ),
    "an embedding is cut short": (
        "update store.concept_embeddings set embedding = [1, 0] where concept_id = 1",
        "embeddings_unit_length",
    ),
    "a concept is embedded twice": (
        "insert into store.concept_embeddings from store.concept_embeddings limit 1",
        "embeddings_unit_length",
    ),
    "a label's concept does not exist": (
        "update store.labels set runner_up_id = 99 where scoring_id = 2 and unit = 0",
        "references_valid",
    ),
    "a scoring's run does not exist": (
        "update store.scorings set run_id = 99 where scoring_id = 6",
        "references_valid",
    ),
    "a dead unit is called live": ("update store.units set status = 'live' where status = 'dead'", "units_whole"),
    "a unit's maximum is wrong": ("update store.units set maximum = 17 where unit = 3", "units_whole"),
    "units were never finished": ("delete from store.units where layer_id = 1", "units_whole"),
    "a unit stands twice": ("insert into store.units from store.units limit 1", "units_whole"),
    "top images are missing": ("delete from store.top_images where layer_id = 1", "top_images_whole"),
    "a top image is missing": (
        "delete from store.top_images where layer_id = 1 and unit = 0 and rank = 2",
        "top_images_whole",
    ),
    "top images are in the wrong order": (
        "update store.top_images set rank = 5 - rank where layer_id = 1 and unit = 1",
        "top_images_whole",
    ),
    "a top image's activation is another": (
        "update store.top_images set activation = 9 where layer_id = 1 and unit = 1 and rank = 1",
        "top_images_true",
    ),
    "a label is missing": ("delete from store.labels where scoring_id = 4 and unit = 2", "labels_whole"),
    "a dead unit's label is missing": ("delete from store.labels where scoring_id = 1 and unit = 2", "labels_whole"),
    "a unit has two labels": (
        "insert into store.labels from store.labels where scoring_id = 4 limit 1",
        "labels_whole",
    ),
    "a dead unit has a label": (
        "insert into store.label_terms values (1, 2, 0, 1, 1, null)",
        "labels_whole",
    ),
    "a live unit's concept is missing": (
        "delete from store.label_terms where scoring_id = 2 and unit = 2",
        "labels_whole",
    ),
    "a label's first concept is missing": (
        "update store.label_terms set position = 1 where scoring_id = 2 and unit = 2",
        "label_terms_whole",
    ),
    "a judged label has no fidelity": (
        "delete from store.fidelities where scoring_id = 5 and unit = 0",
        "fidelities_whole",
    ),
    "a correlation is beyond 1": (
        "update store.fidelities set correlation = 1.5 where scoring_id = 5 and unit = 0",
        "fidelities_whole",
    ),
    "a monosemanticity is beyond 1": (
        "update store.fidelities set monosemanticity = 1.5 where scoring_id = 5 and unit = 0",
        "fidelities_whole",
    ),
    "a label of one concept has two shares": (
        "update store.fidelities set shares = [0.5, 0.5] where scoring_id = 5 and unit = 0",
        "fidelities_whole",
    ),
    "a share is NaN": (
        "update store.fidelities set shares = ['nan'] where scoring_id = 5 and unit = 0",
        "fidelities_whole",
    ),
    "the shares of a label are not the whole": (
        "update store.fidelities set shares = [0.9] where scoring_id = 5 and unit = 0",
        "fidelities_whole",
    ),
    "a polysemantic unit has a label of one concept": (
        "update store.fidelities set shares = [1], is_polysemantic = true where scoring_id = 5 and unit = 0",
        "fidelities_whole",
    ),
    "a polysemantic unit has no shares": (
        "update store.fidelities set is_polysemantic = true where scoring_id = 5 and unit = 0",
        "fidelities_whole",
    ),
    "a fidelity is there twice": (
        "insert into store.fidelities from store.fidelities where scoring_id = 5 limit 1",
        "fidelities_whole",
    ),
    "a judging probe that is not there": (
        "update store.judgements set probe_id = 77 where scoring_id = 5",
        "references_valid",
    ),
    "labels without a scoring": ("delete from store.scorings where scoring_id = 5", "references_valid"),
    "a label is not the best concept": (
        "update store.label_terms set concept_id = 1 where scoring_id = 2 and unit = 2",
        "labels_best",
    ),
    "a label and its runner-up changed places": (
        "update store.label_terms set concept_id = 1 where scoring_id = 2 and unit = 2;"
        " update store.labels set runner_up_id = 2 where scoring_id = 2 and unit = 2",
        "labels_best",
    ),
    "a label's similarity is another": (
        "update store.labels set similarity = 0.99 where scoring_id = 3 and unit = 0",
        "labels_best",
    ),
    "a similarity is missing": (
        "delete from store.similarities where scoring_id = 3 and unit = 0 and concept_id = 6",
        "similarities_whole",
    ),
    "a similarity stands twice": (
        "insert into store.similarities from store.similarities where scoring_id = 3 limit 1",
        "similarities_whole",
    ),
    "similarities for a concept of another set": (
        "update store.similarities set concept_id = 6 where scoring_id = 5 and unit = 0 and concept_id = 2",
        "similarities_whole",
    ),
    "all similarities of a scoring are gone": (
        "delete from store.similarities where scoring_id = 6",
        "similarities_whole",
    ),
    "a scoring counts its images wrong": (
        "update store.scorings set images = 5 where scoring_id = 6",
        "scorings_whole",
    ),
    "a scored layer lacks a chunk": (
        "delete from store.chunks where layer_id = 2 and chunk = 2",
        "scorings_whole",
    ),
    "an image has no picture": ("delete from store.thumbnails where image_id = 4", "images_seen"),
    "an image failed and did not": ("insert into store.failed_images values (4, 'x')", "images_seen"),
}

# The same of labels by masks; small_masks.py has what is there.
FAULTS_OF_MASKS = {
    "a unit and a concept stand twice": (
        "insert into store.intersections from store.intersections limit 1",
        "intersections_whole",
    ),
    "an intersection is more than the union": (
        "update store.intersections set intersection_pixels = 201 where scoring_id = 9 and unit = 0 and concept_id = 3",
        "intersections_whole",
    ),
    "a union is of no pixels": (
        "update store.intersections set intersection_pixels = 0, union_pixels = 0 where concept_id = 3",
        "intersections_whole",
    ),
    "an intersection with a concept of another set": (
        "update store.intersections set concept_id = 6 where scoring_id = 9 and unit = 0 and concept_id = 2",
        "intersections_whole",
    ),
    "an intersection of a unit that the layer lacks": (
        "update store.intersections set unit = 4 where scoring_id = 9 and unit = 2",
        "intersections_whole",
    ),
    "a label's pixels are not its similarity": (
        "update store.labels set similarity = 0.200002 where scoring_id = 9 and unit = 0",
        "intersections_whole",
    ),
    "a formula's pixels are not its similarity": (
        "update store.labels set intersection_pixels = 31 where scoring_id = 10 and unit = 0",
        "intersections_whole",
    ),
    "a label has half of its pixels": (
        "update store.labels set union_pixels = null where scoring_id = 10 and unit = 0",
        "intersections_whole",
    ),
    "a label's pixels are not its concept's": (
        "update store.labels set intersection_pixels = 40, union_pixels = 200 where scoring_id = 9 and unit = 0",
        "intersections_whole",
    ),
    "a label has no pixels and its concept has": (
        "update store.labels set intersection_pixels = null, union_pixels = null where scoring_id = 9 and unit = 0",
        "intersections_whole",
    ),
    "intersections without a scoring": ("update store.intersections set scoring_id = 99", "references_valid"),
    "a region of a concept that is not there": (
        "update store.regions set concept_ids = [99] where image_id = 3",
        "references_valid",
    ),
    "a region of a concept of another set": (
        "update store.regions set concept_ids = [6] where image_id = 3",
        "regions_whole",
    ),
    "a region of concepts out of order": (
        "update store.regions set concept_ids = [3, 1] where image_id = 1 and region = 1",
        "regions_whole",
    ),
    "a region is missing": ("delete from store.regions where image_id = 1 and region = 1", "regions_whole"),
    "a region stands twice": ("insert into store.regions from store.regions limit 1", "regions_whole"),
    "a region is of no pixel": ("update store.regions set pixels = 0 where image_id = 4", "regions_whole"),
    "an image has more pixels than are looked at": (
        "update store.regions set pixels = 112 * 112 where image_id = 4 and region = 0",
        "regions_whole",
    ),
    "more is active than is there": (
        "update store.active_regions set pixels = 51 where dissection_id = 1 and unit = 0 and image_id = 3",
        "regions_whole",
    ),
    "a unit is active in a region twice": (
        "insert into store.active_regions from store.active_regions limit 1",
        "regions_whole",
    ),
    "a unit that the layer lacks is active": (
        "update store.active_regions set unit = 9 where dissection_id = 1 and unit = 0",
        "regions_whole",
    ),
    "a unit has no threshold": (
        "delete from store.thresholds where dissection_id = 1 and unit = 3",
        "dissections_whole",
    ),
    "no unit has a threshold": ("delete from store.thresholds where dissection_id = 2", "dissections_whole"),
    "a unit has two thresholds": (
        "insert into store.thresholds from store.thresholds limit 1",
        "dissections_whole",
    ),
    "a threshold is NaN": ("update store.thresholds set threshold = 'nan' where unit = 0", "numbers_finite"),
    "a label's threshold is infinite": ("update store.labels set threshold = 'inf' where unit = 0", "numbers_finite"),
    "a chunk is dissected twice": (
        "insert into store.dissected_chunks from store.dissected_chunks limit 1",
        "dissections_whole",
    ),
    "a dissected chunk lies beyond the probe": (
        "update store.dissected_chunks set chunk = 3 where chunk = 2",
        "dissections_whole",
    ),
    "an outline is on an image that is not there": (
        "update store.outlines set image_id = 99 where unit = 1",
        "references_valid",
    ),
    "an outline is of a unit that the layer lacks": (
        "update store.outlines set unit = 4 where unit = 1",
        "dissections_whole",
    ),
    "an outline stands twice": ("insert into store.outlines from store.outlines limit 1", "dissections_whole"),
    "a dissection of no layer": (
        "update store.dissections set layer_id = 9 where dissection_id = 2",
        "references_valid",
    ),
    "a formula's concepts are joined by an unknown word": (
        "update store.label_terms set operator = 'xor' where operator = 'or'",
        "label_terms_whole",
    ),
    "a formula's first concept is joined to nothing": (
        "update store.label_terms set operator = 'or' where scoring_id = 10 and position = 0",
        "label_terms_whole",
    ),
    "a label is half a formula and half a sum": (
        "update store.label_terms set operator = null where operator = 'or'",
        "label_terms_whole",
    ),
    "a label by masks is not the best concept": (
        "update store.label_terms set concept_id = 2 where scoring_id = 9 and unit = 0",
        "labels_best",
    ),
}

# The same of two layers that were compared; small_comparison.py has what is there.
FAULTS_OF_COMPARISONS = {
    "a live unit's row is missing": (
        "delete from store.closest_units where side = 'b' and unit = 2",
        "comparisons_whole",
    ),
    "a unit stands twice": ("insert into store.closest_units from store.closest_units limit 1", "comparisons_whole"),
    "a dead unit has a row": (
        "update store.closest_units set unit = 2 where side = 'a' and unit = 1",
        "comparisons_whole",
    ),
    "the closest unit is dead": (
        "update store.closest_units set closest_unit = 2 where side = 'b' and unit = 1",
        "comparisons_whole",
    ),
    "no unit is closest": ("update store.closest_units set closest_unit = null where unit = 1", "comparisons_whole"),
    "a correlation is NaN": ("update store.closest_units set correlation = 'nan' where unit = 1", "comparisons_whole"),
    "a correlation is beyond 1": (
        "update store.closest_units set correlation = 1.5 where unit = 0",
        "comparisons_whole",
    ),
    "the unit of its own number is closer than the closest": (
        "update store.closest_units set own_correlation = 0.9 where unit = 1",
        "comparisons_whole",
    ),
    "units of one number correlate in two ways": (
        "update store.closest_units set own_correlation = 0.5 where side = 'a' and unit = 0",
        "comparisons_whole",
    ),
    "a unit is paired and numbers are not kept": (
        "update store.comparisons set is_by_number = false",
        "comparisons_whole",
    ),
    "a pair is told from one side": (
        "update store.closest_units set paired_unit = null, paired_correlation = null where side = 'b' and unit = 0",
        "comparisons_whole",
    ),
    "a pair is of two correlations": (
        "update store.closest_units set paired_correlation = 0.5 where side = 'b' and unit = 0",
        "comparisons_whole",
    ),
    "a pair is of no correlation": (
        "update store.closest_units set paired_correlation = null where unit = 0",
        "comparisons_whole",
    ),
    "the activations have another correlation": (
        "update store.closest_units set correlation = 0.999, own_correlation = 0.99, paired_correlation = 0.99 "
        "where unit = 0",
        "comparisons_true",
    ),
    "images are counted wrong": ("update store.comparisons set images = 5", "comparisons_true"),
    "a comparison over a probe that is not there": ("update store.comparisons set probe_id = 7", "references_valid"),
    "a comparison with a layer that is not there": ("update store.comparisons set layer_b_id = 7", "references_valid"),
    "a comparison of no run": ("update store.comparisons set run_id = 7", "references_valid"),
    "rows of no comparison": ("update store.closest_units set comparison_id = 7", "references_valid"),
}

# The states that a run leaves behind wherever it is killed: a chunk is one transaction, and so is each
# layer's finish and each scoring.
KILLED = {
    "before anything was loaded": (
        "delete from store.activations",
        "delete from store.image_embeddings",
        "delete from store.concept_embeddings",
        "delete from store.thumbnails",
        "delete from store.failed_images",
        "delete from store.chunks",
    ),
    "after one chunk": (
        "delete from store.activations where image_id > 2",
        "delete from store.image_embeddings where image_id > 2",
        "delete from store.thumbnails where image_id > 2",
        "delete from store.failed_images",
        "delete from store.chunks where chunk > 0",
    ),
    "between the last chunk and the layers' finish": (),
}


@pytest.fixture
def path(small_file: Path, tmp_path: Path) -> Path:
    file = tmp_path / "w.duckdb"
    file.write_bytes(small_file.read_bytes())
    return file


def found(path: Path, *statements: str) -> list[str]:
    """The names of the checks that find something after these statements."""
    with open_warehouse(path, write=True) as warehouse:
        for statement in statements:
            warehouse.execute(statement)
        return [fault.check for fault in verify(warehouse)]


def compared(path: Path) -> None:
    """Put a comparison into a small warehouse."""
    with open_warehouse(path, write=True) as warehouse:
        small_comparison.insert(warehouse)


def test_layers_that_were_compared_have_no_fault(path: Path) -> None:
    compared(path)
    assert found(path) == []


@pytest.mark.parametrize(("statement", "check"), FAULTS_OF_COMPARISONS.values(), ids=FAULTS_OF_COMPARISONS)
def test_each_fault_of_a_comparison_is_found(path: Path, statement: str, check: str) -> None:
    compared(path)
    assert check in found(path, statement)


def test_images_of_one_photograph_are_those_of_their_probes_fingerprint(path: Path) -> None:
    with open_warehouse(path, write=True) as changed:
        changed.execute("update store.images set image_group = 'cat' where image_id % 2 = 0")
        rows = changed.sql(
            "select path, label, sha256, part, image_group from store.images where probe_id = 1 order by image_id"
        ).fetchall()
        images = tuple(
            ProbeImage(path, label, FileBytes(Location(path)), sha256, part, group)
            for path, label, sha256, part, group in rows
        )
        fingerprint = Probe("grouped", images, ()).fingerprint
        changed.execute("update store.probes set fingerprint = $now where probe_id = 1", now=fingerprint)
        assert verify(changed) == []
        changed.execute("update store.images set image_group = 'dog' where image_id = 2")
        assert [fault.check for fault in verify(changed)] == ["probes_whole"]


def test_a_whole_warehouse_has_no_fault(path: Path) -> None:
    assert found(path) == []


def test_sums_have_no_fault(tmp_path: Path) -> None:
    with small_sums.build(tmp_path / "w.duckdb") as warehouse:
        assert verify(warehouse) == []
        # single precision has no digits for a whole of 1 between these
        large = "update store.fidelities set shares = [100000008, -100000000] where scoring_id = 7 and unit = 2"
        warehouse.execute(large)
        assert verify(warehouse) == []


def test_an_empty_warehouse_has_no_fault(tmp_path: Path) -> None:
    assert found(tmp_path / "new.duckdb") == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(path: Path, fault: str) -> None:
    statement, check = FAULTS[fault]
    # keys would forbid some of these, which a damaged file does not ask
    drop_keys = [f"alter table store.{table} rename to old_{table}" for table in ("scorings", "images")]
    copies = [f"create table store.{table} as from store.old_{table}" for table in ("scorings", "images")]
    assert check in found(path, *drop_keys, *copies, statement)


@pytest.fixture(scope="module")
def masks_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("masks") / "masks.duckdb"
    small_masks.build(file).close()
    return file


@pytest.fixture
def masks_path(masks_file: Path, tmp_path: Path) -> Path:
    file = tmp_path / "w.duckdb"
    file.write_bytes(masks_file.read_bytes())
    return file


def test_labels_by_masks_have_no_fault(masks_path: Path) -> None:
    """Among them a formula, which no concept is as good as and whose first concept is not the best."""
    best = "update store.similarities set similarity = 0.29 where scoring_id = 10 and unit = 0 and concept_id = 2"
    assert found(masks_path) == []
    assert found(masks_path, best) == []


@pytest.mark.parametrize("fault", FAULTS_OF_MASKS)
def test_a_fault_of_masks_is_found(masks_path: Path, fault: str) -> None:
    statement, check = FAULTS_OF_MASKS[fault]
    assert check in found(masks_path, statement)


def test_formulas_that_came_out_as_one_concept_are_asked_for_nothing_of_its_own(masks_path: Path) -> None:
    """Their pixels are of all images, those of a concept of the images that show its category."""
    longer = "update store.scorings set parameters = '{\"length\": 3}' where scoring_id = 9"
    other = "update store.labels set similarity = 0.1, union_pixels = 200 where scoring_id = 9 and unit = 0"
    assert found(masks_path, longer, other) == []


KILLED_DISSECTIONS = {
    "while thresholds are sought": (
        "delete from store.dissected_chunks where pass = 'regions' or chunk > 0",
        "insert into store.tails select dissection_id, unit, [0.5] from store.thresholds",
        "delete from store.thresholds",
    ),
    "before the thresholds are written": (
        "delete from store.dissected_chunks where pass = 'regions'",
        "delete from store.thresholds",
    ),
    "while regions are counted": (
        "delete from store.dissected_chunks where pass = 'regions' and chunk > 0",
        "delete from store.active_regions where image_id > 2",
        "delete from store.regions where image_id > 2",
        "delete from store.region_chunks where chunk > 0",
    ),
}


@pytest.mark.parametrize("moment", KILLED_DISSECTIONS)
def test_a_dissection_killed_between_its_chunks_is_incomplete_and_not_wrong(masks_path: Path, moment: str) -> None:
    gone = ("labels", "label_terms", "similarities", "intersections", "scorings")
    labels = [f"delete from store.{table} where scoring_id > 8" for table in gone]
    killed = "update store.runs set status = 'interrupted' where run_id = 2"
    assert found(masks_path, *labels, "delete from store.outlines", *KILLED_DISSECTIONS[moment], killed) == []


@pytest.mark.parametrize("check", [check.name for check in catalog.checks()])
def test_every_check_has_a_fault_to_find(check: str) -> None:
    assert check in {
        expected for _, expected in (*FAULTS.values(), *FAULTS_OF_MASKS.values(), *FAULTS_OF_COMPARISONS.values())
    }


@pytest.mark.parametrize("moment", KILLED)
def test_a_killed_run_is_incomplete_and_not_wrong(path: Path, moment: str) -> None:
    assert (
        found(
            path,
            "delete from store.labels",
            "delete from store.label_terms",
            "delete from store.similarities",
            "delete from store.scorings",
            "delete from store.judgements",
            "delete from store.fidelities",
            "delete from store.units",
            "delete from store.top_images",
            "update store.runs set status = 'running', finished_at = null",
            *KILLED[moment],
        )
        == []
    )


def test_a_run_killed_between_two_scorings_is_incomplete_and_not_wrong(path: Path) -> None:
    assert (
        found(
            path,
            "delete from store.labels where scoring_id > 3",
            "delete from store.label_terms where scoring_id > 3",
            "delete from store.similarities where scoring_id > 3",
            "delete from store.scorings where scoring_id > 3",
            "delete from store.judgements where scoring_id > 3",
            "delete from store.fidelities where scoring_id > 3",
            "delete from store.units where layer_id = 4",
            "delete from store.top_images where layer_id = 4",
            "update store.runs set status = 'interrupted'",
        )
        == []
    )


def run_cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from neuronlake.cli import main; sys.argv[0] = 'cli'; main()"
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


def test_the_command_says_that_all_is_well(path: Path) -> None:
    answer = run_cli("verify", "--warehouse", str(path))
    assert (answer.returncode, answer.stdout) == (0, "")
    assert answer.stderr.endswith(f"{path} is whole\n")


def test_the_command_lists_what_is_off_and_ends_with_status_1(path: Path) -> None:
    found(path, "update store.labels set similarity = 0.99 where scoring_id = 3 and unit = 0")
    answer = run_cli("verify", "--warehouse", str(path))
    assert answer.returncode == 1
    assert answer.stdout.startswith("labels_best: 1 row breaks this: Every label is the concept with the highest")
    assert "scoring_id=3, unit=0" in answer.stdout
    assert answer.stdout.count("\n") == 1
    assert "is not whole" in answer.stderr
