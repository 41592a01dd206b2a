"""Files of a whole network's parameters: safetensors and HDF5, good, hostile and damaged."""

from __future__ import annotations

import copy
import pickle
import zipfile
from pathlib import Path

import needs
import numpy as np
import pytest
import torch
from needs import package
from safetensors.torch import save_file
from test_network import Network, draw
from torch import nn

from torchconv2d import interop
from torchconv2d.messages import elided


def test_files(tmp_path: Path) -> None:
    package("h5py")
    network, other = Network(), Network()
    nn.init.normal_(network.norm.running_mean)
    save_file(network.state_dict(), tmp_path / "a.safetensors")
    interop.load_network(other, tmp_path / "a.safetensors", "torch")
    assert all(
        torch.equal(each, network.state_dict()[name]) for name, each in other.state_dict().items()
    )
    for content in (pickle.dumps({"a": 1}), b"\x89HDF\r\n\x1a\n damaged", b""):
        (tmp_path / "b").write_bytes(content)
        with pytest.raises(ValueError, match=r"no safetensors file|cannot be read") as caught:
            interop.load_network(other, tmp_path / "b", "torch")
        assert str(caught.value).startswith(elided(str(tmp_path / "b")))
    with zipfile.ZipFile(tmp_path / "c.keras", "w") as archive:
        archive.writestr("model.weights.h5", "weights")
    with pytest.raises(ValueError, match=r"c\.keras is a \.keras archive\. Pass the model instead"):
        interop.load_network(other, tmp_path / "c.keras", "keras")


def test_each_message_on_a_damaged_hdf5_file_names_it(tmp_path: Path) -> None:
    needs.package("h5py")
    import h5py

    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        file["layers/dense/vars/0"], file["layers/dense/vars/1"] = draw(3, 2), draw(2)
        file["layers/dense/again"] = file["layers"]
    looped = path.read_bytes()
    with h5py.File(path, "a") as file:
        del file["layers/dense/again"]
    whole, said = path.read_bytes(), set[str]()
    generator = np.random.default_rng(5)

    def outcome(content: bytes) -> str:
        path.write_bytes(content)
        model = nn.Sequential(nn.Linear(3, 2))
        before = copy.deepcopy(model.state_dict())
        try:
            interop.load_network(model, path, "keras")
        except (TypeError, ValueError) as error:
            message = str(error)
        else:
            return ""
        assert message.startswith(f"{elided(str(path))}: ")
        assert len(message) <= 1000
        assert all(torch.equal(before[name], each) for name, each in model.state_dict().items())
        return message

    assert "/layers/dense/again is in itself, or at two places" in outcome(looped)
    assert outcome(whole) == ""
    for _ in range(100):
        damaged = np.frombuffer(whole, np.uint8).copy()
        damaged[generator.integers(8, len(whole), 20)] = generator.integers(0, 256, 20)
        said.add(outcome(bytes(damaged[: generator.integers(len(whole) // 2, 2 * len(whole))])))
    assert len(said) > 20


def test_hdf5_follows_no_link_out_of_the_file(tmp_path: Path) -> None:
    needs.package("h5py")
    import h5py

    model = nn.Sequential(nn.Linear(3, 2))
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["layers/dense/vars/0"], file["layers/dense/vars/1"] = draw(3, 2), draw(2).astype(">f4")
        file["layers/dense/vars"].attrs["name"] = "first"
    interop.load_network(model, tmp_path / "w.h5", "keras", {"0": "first"})
    assert np.array_equal(model[0].bias.numpy(force=True), draw(2))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["layers/dense/vars/0"] = h5py.ExternalLink(
            str(tmp_path / "w.h5"), "layers/dense/vars/0"
        )
    with pytest.raises(ValueError, match=r"layers/dense/vars/0 is a link"):
        interop.load_network(model, tmp_path / "x.h5", "keras")
