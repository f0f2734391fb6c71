"""The timm backbone against timm's own forward pass, on networks with random weights."""

from __future__ import annotations

import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from prelabel.data.records import Image, PatchFeatures
from prelabel.errors import UserError
from prelabel.steps.features import Extractor
from prelabel.storage.threads import open_lanes
from prelabel.strategies.contracts import check
from prelabel.strategies.protocols import CropBackbone
from prelabel.strategies.registry import make
from prelabel.weights.load import load
from prelabel.weights.timm_import import timm
from prelabel_plugins.backbones.timm_network import Network
from support.random_vit import TINY, MakeVit, WeightsFile

NATIVE, DIM, DEPTH, HEADS = 160, 64, 6, 2
"""Of TINY: the size in pixels that its position grid is for, and its own sizes."""
REGISTERS = "vit_small_patch14_reg4_dinov2"
ROTATED = ["vit_small_patch16_dinov3", "vit_small_patch16_dinov3_qkvb"]


def _photo(height: int = NATIVE, width: int = NATIVE, *, seed: int = 0) -> NDArray[np.uint8]:
    small = np.random.default_rng(seed).integers(0, 256, (7, 7, 3), dtype=np.uint8)
    rows, columns = np.arange(height) * 7 // height, np.arange(width) * 7 // width
    return np.ascontiguousarray(small[rows][:, columns])


class _Reference:
    """timm's own network in its plain form, with what a forward hook sees of a block's qkv."""

    def __init__(
        self, file: Path, *, height: int = NATIVE, width: int = NATIVE, block: int = -1
    ) -> None:
        from safetensors.torch import load_file

        state = load_file(file)
        grid = (height // 16, width // 16)
        if grid != (10, 10):
            state["pos_embed"] = _resampled(state["pos_embed"], grid)
        self.network = timm.create_model(TINY, num_classes=0, img_size=(height, width)).eval()
        self.network.load_state_dict(state)
        self.network.blocks[block].attn.qkv.register_forward_hook(self._keep)

    def _keep(self, module: object, inputs: object, output: Tensor) -> None:
        n, tokens, _ = output.shape
        parts = output.reshape(n, tokens, 3, HEADS, -1)
        self.query, self.key, self.value = parts.unbind(2)  # (n, tokens, heads, DIM / HEADS)

    @torch.inference_mode()
    def __call__(self, photo: NDArray[np.uint8]) -> Tensor:
        """All tokens after the last norm, float32 (tokens, dim)."""
        scaled = torch.from_numpy(photo).float() / 255
        tokens = self.network.forward_features(((scaled - 0.5) / 0.5).permute(2, 0, 1)[None])
        return tokens[0]  # type: ignore[no-any-return]

    def attention(self) -> Tensor:
        """softmax(q k^T / sqrt(d)) of the CLS row, over heads and relative to the patches' mean."""
        rows = []
        for head in range(HEADS):
            query, key = self.query[0, 0, head], self.key[0, :, head]
            rows.append(torch.softmax(key @ query / (DIM / HEADS) ** 0.5, dim=0)[1:])
        mean = torch.stack(rows).mean(dim=0)
        return mean / mean.mean()


def _resampled(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    """As in DINO's repository: bicubic, without antialiasing."""
    patches = positions[:, 1:].reshape(1, 10, 10, -1).permute(0, 3, 1, 2)
    patches = functional.interpolate(patches, size=grid, mode="bicubic", align_corners=False)
    return torch.cat([positions[:, :1], patches.flatten(2).transpose(1, 2)], dim=1)


def _close(found: NDArray[np.float16], expected: Tensor) -> bool:
    reference = expected.numpy().astype(np.float64)
    scale = np.abs(reference).max()
    assert scale > 0.01
    return bool(np.abs(found.astype(np.float64) - reference).max() < 2e-3 * scale)


@pytest.mark.parametrize("block", [-1, 2])
@pytest.mark.parametrize("feature", ["key", "query", "value"])
def test_extract__projections_are_what_a_hook_sees(
    vit: MakeVit, weights_file: WeightsFile, feature: str, block: int
) -> None:
    reference = _Reference(weights_file(TINY), block=block)
    reference(_photo())
    expected = getattr(reference, feature)[0, 1:].reshape(10, 10, DIM)
    answer = vit(feature=feature, block=block).extract(_photo()[None])[0]
    assert answer.patches.shape == (10, 10, DIM)
    assert _close(answer.patches, expected)
    assert _close(answer.attention, reference.attention().reshape(10, 10))


@pytest.mark.parametrize(("height", "width"), [(160, 160), (96, 208), (64, 48), (16, 16)])
def test_extract__tokens_and_attention_are_timms(
    vit: MakeVit, weights_file: WeightsFile, height: int, width: int
) -> None:
    photo = _photo(height, width)
    reference = _Reference(weights_file(TINY), height=height, width=width)
    tokens = reference(photo)
    answer = vit(feature="token").extract(photo[None])[0]
    grid = (height // 16, width // 16)
    assert answer.patches.shape == (*grid, DIM)
    assert _close(answer.patches, tokens[1:].reshape(*grid, DIM))
    assert _close(answer.cls, tokens[0])
    assert _close(answer.attention, reference.attention().reshape(grid))
    assert np.ptp(reference.attention().numpy()) > 0.1 or grid == (1, 1)


@pytest.mark.parametrize("block", [-1, 2])
def test_extract__the_cls_token_alone_is_that_of_the_whole_block(vit: MakeVit, block: int) -> None:
    photos = np.stack([_photo(96, 208, seed=seed) for seed in range(2)])
    whole = vit(feature="token", block=block).extract(photos)  # every token leaves the block
    for feature in ("key", "query", "value"):
        alone = vit(feature=feature, block=block).extract(photos)
        for one, other in zip(alone, whole, strict=True):
            assert _close(one.cls, torch.from_numpy(other.cls).float())
            assert _close(one.attention, torch.from_numpy(other.attention).float())


@pytest.mark.parametrize("changed", ["norm", "scale"])
def test_extract__the_cls_token_alone_of_other_blocks(
    weights_file: WeightsFile, changed: str
) -> None:
    network = Network(
        load(TINY, str(weights_file(TINY))), device=torch.device("cpu"), dtype=torch.float32
    )
    plain = network.extract(_photo()[None], feature="key", block=-1)[0]
    last = network.model.blocks[-1]
    if changed == "norm":
        last.attn.q_norm = last.attn.k_norm = torch.nn.LayerNorm(DIM // HEADS)
    else:
        last.ls1, last.ls2 = torch.nn.Tanh(), torch.nn.Softsign()
    alone = network.extract(_photo()[None], feature="key", block=-1)[0]
    whole = network.extract(_photo()[None], feature="token", block=-1)[0]
    assert not _close(plain.cls, torch.from_numpy(whole.cls).float())
    assert _close(alone.cls, torch.from_numpy(whole.cls).float())
    assert _close(alone.attention, torch.from_numpy(whole.attention).float())


def test_extract__tokens_of_an_earlier_block(vit: MakeVit, weights_file: WeightsFile) -> None:
    reference = _Reference(weights_file(TINY)).network
    pixels = torch.from_numpy(_photo()).float().permute(2, 0, 1)[None] / 127.5 - 1
    with torch.inference_mode():
        expected = reference.get_intermediate_layers(pixels, n=[3], norm=True, reshape=True)[0][0]
    answer = vit(feature="token", block=3).extract(_photo()[None])[0]
    assert _close(answer.patches, expected.permute(1, 2, 0))


@pytest.mark.slow
def test_extract__with_timms_fused_attention_switched_off(
    vit: MakeVit, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = vit().extract(_photo()[None])[0]
    monkeypatch.setattr("prelabel_plugins.backbones.timm_network._networks", {})
    monkeypatch.setattr("timm.layers.attention.use_fused_attn", lambda *_, **__: False)
    found = vit().extract(_photo()[None])[0]
    assert (found.attention == expected.attention).all()


def test_extract__warns_of_patches_with_outlying_norms(
    weights_file: WeightsFile, caplog: pytest.LogCaptureFixture
) -> None:
    network = Network(
        load(TINY, str(weights_file(TINY))), device=torch.device("cpu"), dtype=torch.float32
    )
    photos = _photo()[None]  # 100 patches

    def outlying(module: object, inputs: object, tokens: Tensor) -> Tensor:
        factors = torch.ones(tokens.shape[1])
        factors[1 + 44] = 50.0  # after the CLS token
        return tokens * factors[:, None]

    plain = [network.extract(photos, feature="key", block=-1) for _ in range(101)]
    assert not caplog.records
    network = Network(
        load(TINY, str(weights_file(TINY))), device=torch.device("cpu"), dtype=torch.float32
    )
    network.model.blocks[-1].register_forward_hook(outlying)
    changed = [network.extract(photos, feature="key", block=-1) for _ in range(101)]
    (record,) = caplog.records
    assert "test_vit: 1.0 % of the patches" in record.getMessage()
    # A block's keys are made before its output, and do not show it.
    assert np.array_equal(changed[-1][0].patches, plain[0][0].patches)


def test_extract__a_size_leaves_no_trace_for_the_next(vit: MakeVit) -> None:
    backbone = vit()
    first = backbone.extract(_photo()[None])[0]
    backbone.extract(_photo(96, 320)[None])
    again = backbone.extract(_photo()[None])[0]
    for field in ("patches", "cls", "attention"):
        assert np.array_equal(getattr(first, field), getattr(again, field))


def test_extract__a_photo_does_not_depend_on_its_batch(vit: MakeVit) -> None:
    photos = np.stack([_photo(seed=seed) for seed in range(3)])
    backbone = vit()
    together = backbone.extract(photos)
    assert len(together) == 3
    for photo, answer in zip(photos, together, strict=True):
        assert _close(answer.patches, torch.from_numpy(backbone.extract(photo[None])[0].patches))
    assert not np.array_equal(together[0].cls, together[1].cls)

    # As the pipeline calls it, to the bit.
    pictures = [Image(photo, NATIVE, NATIVE, str(i)) for i, photo in enumerate(photos)]
    extractor = Extractor(backbone, name="timm", size=NATIVE)
    alone = [extractor.extract([picture])[0] for picture in pictures]
    for one, other in zip(extractor.extract(pictures), alone, strict=True):
        assert np.array_equal(one.patches, other.patches)
        assert np.array_equal(one.attention, other.attention)


@pytest.mark.parametrize("block", [DEPTH, -DEPTH - 1, 99])
def test_extract__no_such_block(vit: MakeVit, block: int) -> None:
    with pytest.raises(UserError, match=rf"block = {block}: .* {DEPTH} "):
        vit(block=block).extract(_photo()[None])


def test_settings__that_cannot_be() -> None:
    with pytest.raises(UserError, match=r"backbone\.feature = 'keys'"):
        make("backbone", "timm", {"feature": "keys"})
    with pytest.raises(UserError, match=r"backbone\.precision = 'float64'"):
        make("backbone", "timm", {"precision": "float64"})


def test_device__that_is_not_there(vit: MakeVit) -> None:
    with pytest.raises(UserError, match="'abacus'"):
        _ = vit(device="abacus").patch


def test_extract__needs_a_cls_token(tmp_path: Path) -> None:
    with torch.device("meta"):
        convolutional = timm.create_model("resnet18", num_classes=0)
    state = {k: torch.zeros(v.shape, dtype=v.dtype) for k, v in convolutional.state_dict().items()}
    save_file(state, tmp_path / "resnet.safetensors")
    settings = {"model": "resnet18", "weights": str(tmp_path / "resnet.safetensors")}
    with pytest.raises(UserError, match=r"resnet18 .*CLS token"):
        _ = make("backbone", "timm", settings).patch


def test_identity__tells_what_decides_the_features(vit: MakeVit) -> None:
    identity = vit().identity()
    assert identity["architecture"] == TINY
    assert identity["feature"] == "key"
    assert identity["block"] == vit(block=DEPTH - 1).identity()["block"] == DEPTH - 1
    assert identity["precision"] == "float32"
    assert identity == vit().identity()
    for other in (vit(feature="value"), vit(block=3), vit(precision="bfloat16")):
        assert other.identity() != identity


def test_resolve__and_pickled(vit: MakeVit) -> None:
    backbone = vit()
    assert backbone.resolve() == backbone
    assert pickle.loads(pickle.dumps(backbone)) == backbone
    assert (backbone.patch, backbone.dim, backbone.batch) == (16, DIM, 1)


def test_precision__bfloat16_is_close(vit: MakeVit) -> None:
    exact = vit(feature="key").extract(_photo()[None])[0].patches.astype(np.float32)
    rough = vit(feature="key", precision="bfloat16").extract(_photo()[None])[0]
    cosine = (exact * rough.patches).sum(-1) / (
        np.linalg.norm(exact, axis=-1) * np.linalg.norm(rough.patches.astype(np.float32), axis=-1)
    )
    assert cosine.min() > 0.99


@pytest.mark.parametrize("feature", ["key", "token"])
def test_openvino__computes_what_torch_does(vit: MakeVit, feature: str) -> None:
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    expected, found = vit(feature=feature), vit(feature=feature, runtime="openvino")
    for height, width in ((NATIVE, NATIVE), (96, 208)):  # other numbers of tokens
        photos = np.stack([_photo(height, width, seed=seed) for seed in range(2)])
        pairs = zip(expected.extract(photos), found.extract(photos), strict=True)
        for ours, theirs in pairs:
            for field in ("patches", "cls", "attention"):
                reference = torch.from_numpy(getattr(ours, field)).float()
                assert _close(getattr(theirs, field), reference)
    facts = {k: v for k, v in found.identity().items() if k != "crops"}  # by the processor
    assert facts == {**expected.identity(), "runtime": "openvino"}


@pytest.mark.parametrize("runtime", ["torch", "openvino"])
@pytest.mark.parametrize("lanes", [1, 3])
def test_extract__beside_each_other(vit: MakeVit, runtime: str, lanes: int) -> None:
    if runtime == "openvino":
        pytest.importorskip("openvino", reason="the extra openvino is not installed")
    backbone = vit(runtime=runtime)
    photos = [_photo(height, 96, seed=height)[None] for height in (64, 160, 96, 80)] * 6
    alone = [backbone.extract(photo)[0] for photo in photos]
    threads = torch.get_num_threads()
    with open_lanes(lanes), ThreadPoolExecutor(3) as pool:
        together = [found for (found,) in pool.map(backbone.extract, photos)]
    for one, other in zip(alone, together, strict=True):
        assert one.patches.shape == other.patches.shape
        for field in ("patches", "cls", "attention"):
            exact = torch.from_numpy(getattr(one, field)).float()
            assert _close(getattr(other, field), exact)
    assert torch.get_num_threads() == threads  # of this thread


def test_extract__takes_its_share_of_the_threads(
    vit: MakeVit, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone, seen = vit(), list[int]()
    backbone.extract(_photo()[None])
    before = functional.gelu

    def gelu(*args: Any, **kwargs: Any) -> Tensor:
        seen.append(torch.get_num_threads())
        return before(*args, **kwargs)

    monkeypatch.setattr(functional, "gelu", gelu)
    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        for lanes in (1, 2, 9):
            with open_lanes(lanes):
                backbone.extract(_photo()[None])
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(threads)
    assert sorted(set(seen)) == [1, 2, 4]


@pytest.mark.slow
@pytest.mark.parametrize("architecture", [REGISTERS, ROTATED[0]])
def test_openvino__other_networks(vit: MakeVit, architecture: str) -> None:
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    photo = _photo(112, 224) if architecture == REGISTERS else _photo(96, 160)
    expected = vit(architecture).extract(photo[None])[0]
    found = vit(architecture, runtime="openvino").extract(photo[None])[0]
    assert _close(found.patches, torch.from_numpy(expected.patches).float())
    assert _close(found.cls, torch.from_numpy(expected.cls).float())
    rough = vit(architecture, runtime="openvino", precision="int8").extract(photo[None])[0]
    both = np.stack([rough.cls, expected.cls]).astype(np.float64)
    assert (both[0] @ both[1]) / np.prod(np.linalg.norm(both, axis=1)) > 0.98


def test_openvino__bfloat16_is_close(vit: MakeVit) -> None:
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    exact = vit().extract(_photo()[None])[0].patches.astype(np.float32)
    backbone = vit(precision="bfloat16", runtime="openvino")
    rough = backbone.extract(_photo()[None])[0].patches.astype(np.float32)
    cosine = (exact * rough).sum(-1)
    cosine /= np.linalg.norm(exact, axis=-1) * np.linalg.norm(rough, axis=-1)
    assert cosine.min() > 0.99
    assert not np.array_equal(exact, rough)


@pytest.mark.parametrize("n", [1, 2])
def test_int8__is_close_and_the_same_in_any_batch(vit: MakeVit, n: int) -> None:
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    photos = np.stack([_photo(seed=seed) for seed in range(n)])
    exact = vit(runtime="openvino", precision="float32").extract(photos)[0]
    backbone = vit(runtime="openvino", precision="int8")
    rough = backbone.extract(photos)[0]
    for ours, theirs in ((exact.patches, rough.patches), (exact.cls[None], rough.cls[None])):
        a, b = ours.astype(np.float32), theirs.astype(np.float32)
        cosine = (a * b).sum(-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))
        assert cosine.min() > 0.99
        assert not np.array_equal(a, b)
    alone = backbone.extract(photos[:1])[0]
    np.testing.assert_allclose(alone.patches, rough.patches, rtol=0, atol=5e-3)
    assert backbone.identity()["precision"] == "int8"


def test_int8__is_openvinos(vit: MakeVit) -> None:
    with pytest.raises(UserError, match=r"add backbone\.runtime=openvino"):
        vit(precision="int8").identity()


def test_for_crops__is_int8_instead_of_float32(
    vit: MakeVit, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    monkeypatch.setattr("prelabel.weights.devices.computes_int8", lambda: True)
    backbone = vit(runtime="openvino", precision="float32")
    assert isinstance(backbone, CropBackbone)
    exact_facts = dict(backbone.identity())
    assert exact_facts.pop("crops") == "int8"
    assert backbone.for_crops.identity() == {**exact_facts, "precision": "int8", "vnni": True}
    for exact in (
        vit(precision="float32"),
        vit(runtime="openvino", precision="bfloat16"),
        vit(runtime="openvino", precision="int8"),
    ):
        assert isinstance(exact, CropBackbone)
        assert exact.for_crops is exact
    monkeypatch.setattr("prelabel.weights.devices.computes_int8", lambda: False)
    assert backbone.for_crops is backbone
    assert backbone.identity() == exact_facts


def test_int8__a_network_is_loaded_once(vit: MakeVit, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    monkeypatch.setattr("prelabel_plugins.backbones.timm_network._networks", {})
    monkeypatch.setattr("prelabel_plugins.backbones.timm_network._fastest", lambda *_: "float32")
    loaded: list[Network] = []
    make_network = Network.__init__

    def counted(self: Network, *args: Any, **kwargs: Any) -> None:
        loaded.append(self)
        make_network(self, *args, **kwargs)

    monkeypatch.setattr(Network, "__init__", counted)
    for precision in ("auto", "int8", "float32"):
        vit(runtime="openvino", precision=precision).identity()
    assert len(loaded) == 1


def test_int8__beside_float32(vit: MakeVit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are compiled at their first photo: torch traces one network at a time."""
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    photo = _photo()[None]
    for _ in range(3):
        monkeypatch.setattr("prelabel_plugins.backbones.timm_network._networks", {})
        backbones = [vit(runtime="openvino", precision=own) for own in ("float32", "int8")]
        backbones[0].identity()
        with ThreadPoolExecutor(2) as pool:
            exact, rough = pool.map(lambda backbone: backbone.extract(photo)[0], backbones)
        assert exact.patches.shape == rough.patches.shape


def test_openvino__is_for_cpus(vit: MakeVit) -> None:
    with pytest.raises(UserError, match=r"runs on the CPU, not on backbone\.device=cuda"):
        _ = vit(runtime="openvino", device="cuda").patch


def test_openvino__that_is_not_installed(vit: MakeVit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prelabel_plugins.backbones.timm_network._networks", {})
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UserError, match=r"pip install 'prelabel\[openvino\]'"):
        vit(runtime="openvino").identity()


def _check_shapes(answer: PatchFeatures, grid: tuple[int, int]) -> None:
    assert answer.patches.shape == (*grid, 384)
    assert answer.cls.shape == (384,)
    assert answer.attention.shape == grid
    assert all(np.isfinite(a).all() for a in (answer.patches, answer.cls, answer.attention))
    assert abs(float(answer.attention.astype(np.float64).mean()) - 1) < 1e-2
    assert np.ptp(answer.attention) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("feature", ["key", "query", "value", "token"])
def test_registers__are_left_out(vit: MakeVit, weights_file: WeightsFile, feature: str) -> None:
    backbone = vit(REGISTERS, feature=feature)
    answer = backbone.extract(_photo(112, 168)[None])[0]
    _check_shapes(answer, (8, 12))
    assert (backbone.patch, backbone.dim) == (14, 384)


@pytest.mark.slow
def test_registers__at_the_native_size_tokens_are_timms(
    vit: MakeVit, weights_file: WeightsFile
) -> None:
    from safetensors.torch import load_file

    photo = _photo(518, 518)
    network = timm.create_model(REGISTERS, num_classes=0).eval()
    network.load_state_dict(load_file(weights_file(REGISTERS)))
    mean, std = (torch.tensor(network.pretrained_cfg[key]) for key in ("mean", "std"))
    with torch.inference_mode():
        pixels = ((torch.from_numpy(photo) / 255 - mean) / std).permute(2, 0, 1)[None]
        tokens = network.forward_features(pixels)[0]
    answer = vit(REGISTERS, feature="token").extract(photo[None])[0]
    assert _close(answer.patches, tokens[5:].reshape(37, 37, 384))  # behind CLS and 4 registers
    assert _close(answer.cls, tokens[0])


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ROTATED)
def test_rotary_positions__tokens_and_projections_are_timms(
    vit: MakeVit, weights_file: WeightsFile, architecture: str
) -> None:
    from safetensors.torch import load_file

    photo = _photo(96, 160)
    network = timm.create_model(architecture, num_classes=0, dynamic_img_size=True).eval()
    network.load_state_dict(load_file(weights_file(architecture)))
    mean, std = (torch.tensor(network.pretrained_cfg[key]) for key in ("mean", "std"))
    inputs: list[Tensor] = []
    attn = network.blocks[-1].attn
    attn.register_forward_pre_hook(lambda _, args, kwargs: inputs.append(args[0]), with_kwargs=True)
    with torch.inference_mode():
        pixels = ((torch.from_numpy(photo) / 255 - mean) / std).permute(2, 0, 1)[None]
        tokens = network.forward_features(pixels)[0]
        # timm's bias for the keys is fixed at zero.
        projected = functional.linear(inputs[0], attn.qkv.weight)[0]
        if attn.q_bias is not None:
            projected = projected + torch.cat(
                [attn.q_bias, torch.zeros_like(attn.q_bias), attn.v_bias]
            )
    for index, feature in enumerate(("query", "key", "value")):
        answer = vit(architecture, feature=feature).extract(photo[None])[0]
        _check_shapes(answer, (6, 10))
        assert _close(answer.patches, projected.chunk(3, dim=-1)[index][5:].reshape(6, 10, 384))
    answer = vit(architecture, feature="token").extract(photo[None])[0]
    assert _close(answer.patches, tokens[5:].reshape(6, 10, 384))
    assert _close(answer.cls, tokens[0])


def test_contract__kept(vit: MakeVit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prelabel.strategies.registry.make", lambda *_: vit())
    assert check("backbone", "timm") == []
