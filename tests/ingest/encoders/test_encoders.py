"""Encoders: checkpoints as they are published, and the offline stand-in."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import open_clip
import pytest
import torch
from torch.nn.functional import normalize

from neuronlake.ingest.encoders.loading import load_encoder
from neuronlake.ingest.encoders.protocol import EncoderError
from tiny import TINY_CLIP, TINY_PREPROCESSING


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def expected_images(network: torch.nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return normalize(network.encode_image(pixels), dim=1)  # pyright: ignore[reportCallIssue]


def test_a_local_folder_is_loaded_with_its_preprocessing(
    tiny_clip: torch.nn.Module, tiny_clip_folder: Path, pixels: torch.Tensor
) -> None:
    encoder = load_encoder(f"local-dir:{tiny_clip_folder}")
    assert encoder.dimensions == 32
    assert encoder.preprocessing.mean == (0.5, 0.5, 0.5)
    assert encoder.preprocessing.interpolation == "bicubic"
    with torch.inference_mode():
        torch.testing.assert_close(encoder.encode_images(pixels), expected_images(tiny_clip, pixels))


def test_texts_are_tokenised_and_scaled_to_length_one(tiny_clip: torch.nn.Module, tiny_clip_folder: Path) -> None:
    encoder = load_encoder(f"local-dir:{tiny_clip_folder}")
    texts = ["a cat", "striped", "a very long concept " * 30]
    tokens = open_clip.SimpleTokenizer()(texts)
    with torch.inference_mode():
        expected = normalize(tiny_clip.encode_text(tokens), dim=1)  # pyright: ignore[reportCallIssue]
    encoded = encoder.encode_texts(texts)
    torch.testing.assert_close(encoded, expected)
    torch.testing.assert_close(encoded.norm(dim=1), torch.ones(3))


OPENAI_SIZES = {"input_resolution": 32, "context_length": 77, "vocab_size": 49408}


def quickgelu_clip() -> torch.nn.Module:
    """A network whose weights are half-precision numbers, as OpenAI's are."""
    torch.manual_seed(2)
    return open_clip.CLIP(**TINY_CLIP, quick_gelu=True).half().float().eval()  # pyright: ignore[reportArgumentType]


def test_openais_torchscript_archive_runs_with_quickgelu(tmp_path: Path, pixels: torch.Tensor) -> None:
    network = quickgelu_clip()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        published = quickgelu_clip()
        for name, size in OPENAI_SIZES.items():
            if hasattr(published, name):
                delattr(published, name)
            published.register_buffer(name, torch.tensor(size))
        mask = published.attn_mask
        del published.attn_mask
        published.attn_mask = mask  # no buffer in OpenAI's archives
        traced = torch.jit.trace(published, (pixels, open_clip.SimpleTokenizer()(["a", "b", "c"])))
        torch.jit.save(traced, tmp_path / "tiny.pt")
    encoder = load_encoder(f"ViT-B-16/{tmp_path / 'tiny.pt'}", trust_code=True)
    with torch.inference_mode():
        torch.testing.assert_close(encoder.encode_images(pixels), expected_images(network, pixels))


def test_an_openai_state_dict_runs_with_quickgelu(tmp_path: Path, pixels: torch.Tensor) -> None:
    network = quickgelu_clip()
    published = network.state_dict() | {name: torch.tensor(size) for name, size in OPENAI_SIZES.items()}
    halved = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in published.items()}
    torch.save(halved, tmp_path / "tiny.pt")

    encoder = load_encoder(f"ViT-B-16/{tmp_path / 'tiny.pt'}")

    assert encoder.name == "ViT-B-16/tiny.pt"
    assert encoder.preprocessing.mean[0] == pytest.approx(0.48145466)
    with torch.inference_mode():
        torch.testing.assert_close(encoder.encode_images(pixels), expected_images(network, pixels))


def test_an_open_clip_checkpoint_is_loaded_by_its_architecture(
    tmp_path: Path, tiny_clip: torch.nn.Module, pixels: torch.Tensor
) -> None:
    (tmp_path / "tiny-for-this-test.json").write_text(json.dumps(TINY_CLIP))
    open_clip.add_model_config(tmp_path)
    # as open_clip's training writes it
    torch.save({"epoch": 1, "name": "tiny", "state_dict": tiny_clip.state_dict()}, tmp_path / "epoch_1.pt")
    encoder = load_encoder(f"tiny-for-this-test/{tmp_path / 'epoch_1.pt'}")
    with torch.inference_mode():
        torch.testing.assert_close(encoder.encode_images(pixels), expected_images(tiny_clip, pixels))


def test_fingerprints_tell_weights_and_preprocessing_apart(tmp_path: Path, tiny_clip: torch.nn.Module) -> None:
    def saved(name: str, preprocessing: dict[str, object]) -> str:
        folder = tmp_path / name
        folder.mkdir()
        config = {"model_cfg": TINY_CLIP, "preprocess_cfg": preprocessing}
        (folder / "open_clip_config.json").write_text(json.dumps(config))
        torch.save(tiny_clip.state_dict(), folder / "open_clip_pytorch_model.bin")
        return load_encoder(f"local-dir:{folder}").fingerprint

    same, again = saved("a", TINY_PREPROCESSING), saved("b", TINY_PREPROCESSING)
    other = saved("c", TINY_PREPROCESSING | {"interpolation": "bilinear"})
    assert same == again != other


def test_settings_and_tokenizer_of_a_folder_count(tmp_path: Path, tiny_clip: torch.nn.Module) -> None:
    torch.save(tiny_clip.state_dict(), tmp_path / "open_clip_pytorch_model.bin")

    def seen(**text: object) -> str:
        model = TINY_CLIP | {"text_cfg": TINY_CLIP["text_cfg"] | text}
        config = {"model_cfg": model, "preprocess_cfg": TINY_PREPROCESSING}
        (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
        return load_encoder(f"local-dir:{tmp_path}").fingerprint

    before = seen()
    changed = {seen(heads=2), seen(pool_type="last"), seen(tokenizer_kwargs={"clean": "canonicalize"})}
    (tmp_path / "notes.txt").write_text("no setting")
    assert seen() == before
    (tmp_path / "tokenizer.json").write_text("{}")
    assert len({before, seen(), *changed}) == 5


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("ViT-B-61/openai", "no architecture 'ViT-B-61'; did you mean ViT-B-16"),
        ("ViT-B-16", "names no weights; use ARCH/PRETRAINED such as ViT-B-16/openai"),
        ("ViT-B-16/openia", "'openia' is not one of its weights; ViT-B-16 has openai"),
        ("ViT-B-16/nowhere/file.pt", "'nowhere/file.pt' is no file"),
        ("local-dir:/nowhere", "cannot be loaded"),
    ],
)
def test_an_unknown_encoder_says_what_there_is(name: str, complaint: str) -> None:
    with pytest.raises(EncoderError) as error:
        load_encoder(name)
    assert complaint in str(error.value)


def test_without_a_network_the_message_offers_a_file_and_conse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(EncoderError) as error:
        load_encoder("RN50/cc12m")
    assert "encoder RN50/cc12m cannot be loaded" in str(error.value)
    assert "ARCH/path/to/file" in str(error.value)
    assert "--encoder conse" in str(error.value)


@pytest.mark.slow
def test_conse_embeds_an_image_near_the_name_of_what_it_shows() -> None:
    import skimage
    from PIL import Image

    encoder = load_encoder("conse")
    folder = Path(skimage.__file__).parent / "data"
    pictures = [Image.open(folder / name).convert("RGB") for name in ("chelsea.png", "coffee.png", "rocket.jpg")]
    batch = torch.stack([encoder.preprocessing.pixels(picture) for picture in pictures])
    with torch.inference_mode():
        images = encoder.encode_images(encoder.preprocessing.normalise(batch))
    texts = encoder.encode_texts(["tabby cat", "espresso", "space rocket"])
    torch.testing.assert_close(images.norm(dim=1), torch.ones(3))
    assert (images @ texts.T).argmax(dim=1).tolist() == [0, 1, 2]
