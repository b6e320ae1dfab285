"""Weights as torchvision publishes them: what a name says of a file, what is refused, and what the store keeps."""

import hashlib
import pickle
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load
from torch import Tensor
from torchvision.models import VisionTransformer

from subind.identity.run_ids import decode, encoded, run_id
from subind.networks.network import bound
from subind.specs.training import ImportedWeights, PublishedWeights
from subind.store.store import Store
from sweeps.grids import paper_vision
from sweeps.inputs import published_weights
from sweeps.inputs.imported_weights import import_weights
from sweeps.inputs.published_weights import import_published, imported_weights
from tests.vision_specs import RESNET, VIT, image_donor


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def written(folder: Path, content: Any, *, name: str = "resnet6") -> Path:
    """A file as torchvision names it: the name ends in the first digits of the SHA-256."""
    path = folder / "content"
    torch.save(content, path)
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    return path.rename(folder / f"{name}-{digits}.pth")


def resnet_state() -> dict[str, Tensor]:
    network = bound(RESNET, image_donor().task.signature())
    return network.to_library(network.initial(torch.Generator().manual_seed(1)))


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


def test_import_of_a_published_file_keeps_its_tensors_under_its_name(store: Store, tmp_path: Path) -> None:
    path = written(tmp_path, OrderedDict(resnet_state()))
    assert import_weights(store, path) == path.stem
    assert same(load(imported_weights(store, PublishedWeights(file=path.stem))), resnet_state())


def test_import_renames_a_vits_old_names_as_torchvision_does(store: Store, tmp_path: Path) -> None:
    """Torchvision's own module reads a state dict of the first version by a hook; that is what ours is held against."""
    network = VisionTransformer(
        image_size=16, patch_size=4, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=12, num_classes=16
    )
    state = network.state_dict()
    old = OrderedDict(
        (name.replace(".mlp.0.", ".mlp.linear_1.").replace(".mlp.3.", ".mlp.linear_2."), tensor + 1)
        for name, tensor in state.items()
    )
    assert old.keys() != state.keys()
    name = import_published(store, written(tmp_path, old, name="vit"))
    network.load_state_dict(old)
    found = load(imported_weights(store, PublishedWeights(file=name)))
    assert same(found, dict(network.state_dict()))
    bound(VIT, image_donor().task.signature()).from_library(found)


def test_import_of_a_file_with_another_checksum_is_refused(store: Store, tmp_path: Path) -> None:
    path = written(tmp_path, resnet_state())
    path = path.rename(tmp_path / "resnet18-f37072fd.pth")
    with pytest.raises(ValueError, match="which its name does not end in"):
        import_published(store, path)
    assert store.named_weights("resnet18-f37072fd") is None


@pytest.mark.parametrize("name", ["resnet18", "resnet18-F37072FD", "resnet18-f37072f", "-f37072fd", "a b-f37072fd"])
def test_import_of_a_file_that_is_not_named_as_published_is_refused(store: Store, tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.pth").write_bytes(b"")
    with pytest.raises(ValueError, match="such as resnet18-f37072fd"):
        import_published(store, tmp_path / f"{name}.pth")


class Touching:
    """What makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_import_of_a_file_that_would_run_code_is_refused_and_runs_none(store: Store, tmp_path: Path) -> None:
    path = written(tmp_path, {"conv1.weight": Touching(tmp_path / "touched")})
    with pytest.raises(ValueError, match="is not a file of tensors"):
        import_published(store, path)
    assert not (tmp_path / "touched").exists()
    pickle.loads(pickle.dumps(Touching(tmp_path / "touched")))
    assert (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [([torch.zeros(1)], "no state dict"), ({"fc.weight": torch.zeros(1)}, "neither conv1.weight nor")],
)
def test_import_of_other_tensors_is_refused(store: Store, tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        import_published(store, written(tmp_path, content))


def test_import_of_no_archive_is_refused(store: Store, tmp_path: Path) -> None:
    content = b"<html>not found</html>"
    path = tmp_path / f"resnet18-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is not a file of tensors"):
        import_published(store, path)


def test_import_of_an_absent_file_downloads_it(store: Store, tmp_path: Path) -> None:
    server = tmp_path / "server"
    server.mkdir()
    path = written(server, resnet_state())
    name = import_published(store, Path(path.name), server=server.as_uri())
    assert name == path.stem
    assert same(load(imported_weights(store, PublishedWeights(file=name))), resnet_state())


def test_import_that_can_not_be_downloaded_names_the_address(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"file:.*/resnet18-f37072fd\.pth cannot be had"):
        import_published(store, Path("resnet18-f37072fd.pth"), server=tmp_path.as_uri())


def test_names_of_torchvisions_files_are_names_of_specs() -> None:
    from torchvision.models import ResNet18_Weights, ViT_B_16_Weights

    urls = (ResNet18_Weights.IMAGENET1K_V1.url, ViT_B_16_Weights.IMAGENET1K_V1.url)
    for url, setting in zip(urls, (paper_vision.RESNET, paper_vision.VIT), strict=True):
        assert published_weights._url(Path(f"{setting.weights.file}{published_weights.ENDING}")) == url


def test_import_of_an_absent_file_that_torchvision_does_not_publish_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="torchvision publishes none of that name"):
        import_published(store, Path("resnet18-00000000.pth"))


def test_damaged_published_weights_are_refused(store: Store, tmp_path: Path) -> None:
    path = written(tmp_path, resnet_state())
    import_published(store, path)
    sha256 = store.named_weights(path.stem)
    (tmp_path / "store" / "weights" / f"{sha256}.safetensors").write_bytes(b"other bytes")
    with pytest.raises(ValueError, match="damaged"):
        imported_weights(store, PublishedWeights(file=path.stem))


def test_donor_of_published_weights_comes_back_from_json_with_an_id_of_its_own() -> None:
    donor = image_donor(weights=PublishedWeights(file="resnet18-f37072fd"))
    assert decode(encoded(donor)) == donor
    others = {image_donor(), replace(donor, weights=ImportedWeights(sha256="0" * 64))}
    assert run_id(donor) not in {run_id(each) for each in others}
