"""Concept sets: what is read, what is dropped, what is refused."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import polars as pl
import pytest

from neuronlake.ingest.concepts.builtin_sets import builtin_names, imagenet_name
from neuronlake.ingest.concepts.concept import Concept, ConceptError
from neuronlake.ingest.concepts.concept_sets import load_concepts, mask_concepts
from neuronlake.ingest.names import Part


def write(path: Path, content: str | bytes) -> str:
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content, encoding="utf-8")
    return str(path)


def test_a_text_file_has_one_concept_a_line_and_drops_are_counted(tmp_path: Path) -> None:
    file = write(tmp_path / "words.txt", "cat\n\n  red   car \nCat\ncat\n   \ndog\n")
    loaded = load_concepts([file])
    assert loaded.texts == ["cat", "red car", "dog"]
    assert (loaded.dropped_duplicates, loaded.dropped_blanks) == (2, 2)
    assert loaded.name == "words.txt"


def test_a_csv_file_gives_categories(tmp_path: Path) -> None:
    file = write(tmp_path / "words.csv", 'concept,category\n"striped",texture\n"bed, double",object\nthing,\n')
    loaded = load_concepts([file])
    assert [(c.text, c.category) for c in loaded.concepts] == [
        ("striped", "texture"),
        ("bed, double", "object"),
        ("thing", "none"),
    ]


def test_any_text_is_a_category_trimmed_and_in_its_own_case(tmp_path: Path) -> None:
    """Broden's are known in any case; a blank one is none."""
    rows = {"cow": " Farm  Animal ", "oak": "plant", "elm": "Plant", "red": "COLOR", "x": "  ", "y": "None", "z": None}
    table = "concept,category\n" + "".join(f"{text},{category or ''}\n" for text, category in rows.items())
    pl.DataFrame({"concept": list(rows), "category": list(rows.values())}).write_parquet(tmp_path / "words.parquet")
    for file in (write(tmp_path / "words.csv", table), str(tmp_path / "words.parquet")):
        assert {concept.text: concept.category for concept in load_concepts([file]).concepts} == {
            "cow": "Farm Animal",
            "oak": "plant",
            "elm": "Plant",
            "red": "color",
            "x": "none",
            "y": "none",
            "z": "none",
        }


def test_sets_are_joined_and_the_first_category_stays(tmp_path: Path) -> None:
    plain = write(tmp_path / "plain.txt", "striped\nnew word\n")
    loaded = load_concepts([plain, "broden"])
    categories = {concept.text: concept.category for concept in loaded.concepts}
    assert categories["striped"] == "texture"
    assert categories["new word"] == "none"
    assert loaded.name == "plain.txt + broden"


def test_a_concept_keeps_the_sets_that_it_is_in(tmp_path: Path) -> None:
    plain = write(tmp_path / "plain.txt", "Striped\nnew word\n")
    sets = {concept.text: concept.sets for concept in load_concepts([plain, "broden"]).concepts}
    assert sets["Striped"] == ("plain.txt", "broden")
    assert sets["new word"] == ("plain.txt",)
    assert sets["dotted"] == ("broden",)


def test_a_parquet_file_gives_categories(tmp_path: Path) -> None:
    file = tmp_path / "words.parquet"
    pl.DataFrame({"concept": ["striped", "thing", None], "category": ["Texture", None, "object"]}).write_parquet(file)
    loaded = load_concepts([str(file)])
    assert [(c.text, c.category) for c in loaded.concepts] == [("striped", "texture"), ("thing", "none")]
    assert loaded.dropped_blanks == 1
    pl.DataFrame({"concept": ["striped"]}).write_parquet(file)
    assert load_concepts([str(file)]).texts == ["striped"]


def test_a_parquet_file_that_holds_no_concepts_is_refused_by_row(tmp_path: Path) -> None:
    file = tmp_path / "words.parquet"
    file.write_text("not Parquet")
    with pytest.raises(ConceptError, match="is not a readable Parquet file"):
        load_concepts([str(file)])
    pl.DataFrame({"word": ["striped"]}).write_parquet(file)
    with pytest.raises(ConceptError, match="has no column 'concept' of texts; it has word"):
        load_concepts([str(file)])


def test_a_concept_without_categories_keeps_its_place_when_a_later_set_knows_one(tmp_path: Path) -> None:
    loaded = load_concepts([write(tmp_path / "plain.txt", "zebra\nstriped\n"), "broden"])
    assert loaded.texts[:2] == ["zebra", "striped"]


@pytest.mark.parametrize(("name", "count"), [("imagenet", 1000), ("places365", 365), ("broden", 1153)])
def test_built_in_sets_are_complete(name: str, count: int) -> None:
    assert len(load_concepts([name]).concepts) == count


def test_class_names_stand_in_the_order_of_the_outputs() -> None:
    assert builtin_names("imagenet")[0] == "tench, Tinca tinca"
    assert builtin_names("imagenet")[999] == "toilet tissue, toilet paper, bathroom tissue"
    assert builtin_names("places365")[0] == "airfield"
    assert builtin_names("places365")[364] == "zen garden"


def test_imagenets_classes_are_known_by_their_wordnet_ids() -> None:
    """The ids of the first and the last class, and of one in between, as ImageNet's own list has them."""
    assert imagenet_name("n01440764") == "tench, Tinca tinca"
    assert imagenet_name("n07920052") == "espresso" == builtin_names("imagenet")[967]
    assert imagenet_name("n15075141") == "toilet tissue, toilet paper, bathroom tissue"
    assert imagenet_name("n00000000") is None


def test_broden_has_categories() -> None:
    categories = {concept.text: concept.category for concept in load_concepts(["broden"]).concepts}
    assert (categories["striped"], categories["bird"], categories["red-c"]) == ("texture", "object", "color")


def test_common_words_are_the_most_frequent_of_three_letters_or_more() -> None:
    loaded = load_concepts(["common:500"])
    assert len(loaded.concepts) == 500
    assert loaded.texts[:2] == ["the", "and"]
    assert all(len(text) >= 3 and text.isalpha() for text in loaded.texts)


def test_the_fingerprint_follows_the_concepts_and_not_the_file(tmp_path: Path) -> None:
    first = load_concepts([write(tmp_path / "a.txt", "cat\ndog\n")])
    same = load_concepts([write(tmp_path / "b.txt", "cat\n\ndog")])
    other = load_concepts([write(tmp_path / "c.txt", "dog\ncat\n")])
    assert first.fingerprint == same.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("file_name", "content", "complaint"),
    [
        ("empty.txt", "\n \n", "holds no concept"),
        ("latin.txt", "caf\xe9\n".encode("latin-1"), "is not UTF-8 text (byte 3)"),
        ("null.txt", "cat\nd\0g\n", "null byte in line 2"),
        ("columns.csv", "word,kind\ncat,object\n", "has no column 'concept'"),
    ],
)
def test_a_bad_file_is_refused_with_its_reason(
    tmp_path: Path, file_name: str, content: str | bytes, complaint: str
) -> None:
    with pytest.raises(ConceptError) as error:
        load_concepts([write(tmp_path / file_name, content)])
    assert complaint in str(error.value)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("nowhere.txt", "there is no concept file nowhere.txt"),
        ("common:lots", "is not common:N"),
        ("common:0", "is not common:N"),
        ("common:99999999", "more words than there are"),
    ],
)
def test_an_unknown_set_is_refused(name: str, complaint: str) -> None:
    with pytest.raises(ConceptError) as error:
        load_concepts([name])
    assert complaint in str(error.value)


def test_concepts_of_masks_are_another_set_with_other_masks() -> None:
    concepts = (Concept("sky", "object"), Concept("dotted", "texture"))
    found = mask_concepts(Part("masks of photos", "masks"), concepts, "one")
    other = mask_concepts(Part("masks of photos", "masks"), concepts, "two")
    words = dataclasses.replace(found, masks="")
    assert (found.name, found.texts) == ("masks of photos", ["sky", "dotted"])
    assert len({found.fingerprint, other.fingerprint, words.fingerprint}) == 3
    assert found.entry.another_name({"masks of photos"}) == "--masks masks-of-photos-2=masks"
    # of words alone as before
    assert words.fingerprint == hashlib.sha256(b"[('sky', 'object'), ('dotted', 'texture')]").hexdigest()
