"""Tags of units: kept beside the warehouse, which stays as it is."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

from neuronlake.reports.explore.tags import TagError, add_tag, read_tags, remove_tag, tags_file, with_tags

UNITS = pl.DataFrame({"model": "alpha", "layer": "late", "unit": [0, 2]})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "w.duckdb"


def pairs(tags: pl.DataFrame) -> list[tuple[int, str]]:
    return tags.select("unit", "tag").rows()


def test_a_tag_is_kept_in_a_file_beside_the_warehouse(file: Path) -> None:
    add_tag(file, UNITS, "cats, perhaps")
    assert tags_file(file) == file.with_name("w.tags.csv")
    assert pairs(read_tags(file)) == [(0, "cats, perhaps"), (2, "cats, perhaps")]
    assert pl.read_csv(tags_file(file)).columns == ["model", "layer", "unit", "tag", "tagged_at"]


def test_a_unit_has_a_tag_once_and_may_have_several(file: Path) -> None:
    add_tag(file, UNITS, "a")
    add_tag(file, UNITS, "  a ")
    tags = add_tag(file, UNITS[:1], "b")
    assert pairs(tags) == [(0, "a"), (2, "a"), (0, "b")]


def test_a_tag_taken_back_leaves_the_others(file: Path) -> None:
    add_tag(file, UNITS, "a")
    add_tag(file, UNITS, "b")
    assert pairs(remove_tag(file, UNITS[1:], "a")) == [(0, "a"), (0, "b"), (2, "b")]


def test_an_empty_tag_and_a_file_of_something_else_are_refused_and_kept(file: Path) -> None:
    with pytest.raises(TagError, match="type one"):
        add_tag(file, UNITS, " \n ")
    assert not tags_file(file).exists()
    tags_file(file).write_text("what,ever\n1,2\n")
    with pytest.raises(TagError, match=r"cannot be read as tags .*; its columns are model, layer, unit, tag"):
        add_tag(file, UNITS, "a")
    assert tags_file(file).read_text() == "what,ever\n1,2\n"


def test_units_of_another_layer_do_not_get_the_tags(file: Path) -> None:
    tags = add_tag(file, UNITS, "b")
    tags = add_tag(file, UNITS[:1], "a")
    units = pl.DataFrame({"unit": [0, 1, 2]})
    assert with_tags(units, tags, "alpha", "late")["tags"].to_list() == ["a, b", "", "b"]
    assert with_tags(units, tags, "alpha", "early")["tags"].to_list() == ["", "", ""]


def test_tags_say_nothing_of_the_warehouse_itself(file: Path, small_file: Path) -> None:
    shutil.copy(small_file, file)
    before = file.read_bytes()
    add_tag(file, UNITS, "a")
    assert file.read_bytes() == before


def test_an_exported_folder_has_its_tags_beside_it_also_where_one_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert tags_file(Path()) == tags_file(folder) == tmp_path / "shared.tags.csv"
