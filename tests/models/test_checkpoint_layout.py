"""The memory layout in which a checkpoint was saved decides nothing."""

import pytest

torch = pytest.importorskip("torch")

from tdnet_models import load_checkpoint  # noqa: E402


def test_channels_last_weights_are_loaded_contiguous(tiny_checkpoint, tmp_path):
    state = torch.load(tiny_checkpoint("td2-fa18"), weights_only=True)
    turned = {
        key: value.to(memory_format=torch.channels_last) if value.dim() == 4 else value
        for key, value in state.items()
    }
    assert not all(value.is_contiguous() for value in turned.values())
    torch.save(turned, tmp_path / "turned.pth")
    network = load_checkpoint(tmp_path / "turned.pth")
    assert all(parameter.is_contiguous() for parameter in network.parameters())
