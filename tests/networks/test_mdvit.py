"""MDViT: its published counts, its attention and domain adapters, its auxiliary heads."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segdistill.cost import count
from segdistill.networks import catch, stage_names
from segdistill.networks.blocks.factorised_attention import (
    FactorisedAttention,
    RelativePosition,
    TransformerStage,
)
from segdistill.networks.mdvit import MDViT

SMALL: dict[str, Any] = {
    "feature_sizes": (8, 8, 16, 16),
    "depths": (1, 2, 1, 1),
    "heads": (1, 1, 2),
    "mlp_ratios": (1, 1, 1, 1),
    "auxiliary_size": 4,
    "unused_heads": False,
}


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def small(spatial_dims: int = 2, **settings: Any) -> MDViT:
    torch.manual_seed(0)
    return MDViT(spatial_dims, 1, 2, **(SMALL | settings))


def image(batch: int = 2) -> Tensor:
    return torch.randn(batch, 1, 64, 32, generator=torch.Generator().manual_seed(1))


def test_the_published_counts() -> None:
    with torch.device("meta"):
        network = MDViT(2, 3, 2)
    counts = count(network, (3, 384, 384))
    assert counts.parameters == 34_966_250
    assert counts.macs / 1e9 == pytest.approx(23.620, abs=5.1e-4)
    # In thop's convention: shared convolutions count three times, their operations nine times.
    assert counts.thop_parameters == 30_303_460
    assert counts.thop_macs / 1e9 == pytest.approx(24.946, abs=5.1e-4)


def test_heads_that_never_run_can_be_left_out() -> None:
    with torch.device("meta"):
        networks = [MDViT(2, 3, 2, unused_heads=False), MDViT(2, 3, 2, auxiliary=False)]
    with_one, without = map(parameters, networks)
    assert with_one == 34_966_250 - 3 * (with_one - without) == 30_135_524
    assert len(small(domains=5, unused_heads=True).auxiliary) == 5  # type: ignore[arg-type]


def test_attention_against_naive_loops() -> None:
    torch.manual_seed(0)
    width, heads, c, space = 6, 3, 2, (2, 3)
    relative = RelativePosition(2, c, (1, 0, 2))
    attention = FactorisedAttention(width, heads, 2, relative)
    tokens, domain = torch.randn(1, 6, width), torch.tensor([[0.25, 0.75]])
    query, key, value = attention.qkv(tokens)[0].split(width, dim=1)
    near = torch.zeros(6, width)
    kernels = [(relative.convolutions[0], 3, 0), (relative.convolutions[1], 7, c)]
    for layer, window, start in kernels:
        for k in range(layer.weight.shape[0]):  # type: ignore[union-attr]
            for i in range(6):
                near[i, start + k] = layer.bias[k]  # type: ignore[index]
                for j in range(6):
                    rows, columns = j // 3 - i // 3 + window // 2, j % 3 - i % 3 + window // 2
                    if 0 <= rows < window and 0 <= columns < window:
                        near[i, start + k] += layer.weight[k, 0, rows, columns] * value[j, start + k]  # type: ignore[index]
    raw = attention.domain(domain)[0]
    mixed = torch.zeros(6, width)
    for h in range(heads):
        for k in range(c):
            share = raw[h * c + k].exp() / sum(raw[other * c + k].exp() for other in range(heads))
            for i in range(6):
                total = torch.zeros(())
                for m in range(c):
                    over = key[:, h * c + m].exp() / key[:, h * c + m].exp().sum()
                    total = total + query[i, h * c + m] * (over * value[:, h * c + k]).sum()
                own = c**-0.5 * total + query[i, h * c + k] * near[i, h * c + k]
                mixed[i, h * c + k] = share * own
    expected = attention.projection(mixed)
    torch.testing.assert_close(attention(tokens, domain, space)[0], expected, rtol=1e-4, atol=1e-5)


def test_the_layers_of_a_stage_share_their_positions() -> None:
    one = TransformerStage(2, 8, (1, 1, 2), 1, 2, 1)
    three = TransformerStage(2, 8, (1, 1, 2), 3, 2, 1)
    shared = parameters(one.position) + parameters(one.relative)
    assert parameters(three) - parameters(one) == 2 * (parameters(one.layers[0]) - shared)
    assert all(layer.position is three.position for layer in three.layers)


def test_the_site_of_an_image_chooses_its_answer() -> None:
    network = small(domains=3).eval()
    x = image()
    with torch.no_grad():
        first = network(x, torch.tensor([0, 0]))
        mixed = network(x, torch.tensor([0, 2]))
        torch.testing.assert_close(mixed[0], first[0])
        assert not torch.allclose(mixed[1], first[1])
        assert not torch.allclose(network(x), first)
        assert torch.equal(small().eval()(x, torch.tensor([0, 2])), small().eval()(x))
    with pytest.raises(ValueError, match="2 images"):
        network(x, torch.tensor(0))


def test_an_auxiliary_head_learns_from_the_images_of_its_site_alone() -> None:
    network = small(domains=2).train()
    main, auxiliary = network(image(), torch.tensor([1, 1]))
    assert main.shape == auxiliary.shape == (2, 2, 64, 32)
    auxiliary.square().sum().backward()
    heads = network.auxiliary
    assert heads is not None
    assert not any(p.grad.any() for p in heads[0].parameters())
    assert heads[1].out.weight.grad.any()
    assert isinstance(network.eval()(image()), Tensor)
    assert isinstance(small(auxiliary=False).train()(image()), Tensor)


def test_without_a_site_the_auxiliary_logits_are_the_mean_of_the_heads() -> None:
    network = small(domains=2).eval()
    heads = network.auxiliary
    assert heads is not None
    outputs: list[Tensor] = []
    for head in heads:
        head.register_forward_hook(lambda *arguments: outputs.append(arguments[-1]))
    with torch.no_grad(), catch(network, ["decoder/1/auxiliary"]) as maps:
        network(image())
    torch.testing.assert_close(maps["decoder/1/auxiliary"], (outputs[0] + outputs[1]) / 2)


def test_stages() -> None:
    network = small(3).eval()
    with torch.no_grad(), catch(network, stage_names(network)) as maps:
        network(torch.randn(1, 1, 64, 32, 32))
    widths = {name: (tensor.shape[1], tensor.shape[2]) for name, tensor in maps.items()}
    assert widths == {
        "encoder/2": (4, 32),
        "encoder/4/stem": (8, 16),
        "encoder/4": (8, 16),
        "encoder/8": (8, 8),
        "encoder/16": (16, 4),
        "encoder/32/stage": (16, 2),
        "encoder/32": (32, 2),
        "decoder/32": (16, 2),
        "decoder/16": (16, 4),
        "decoder/8": (8, 8),
        "decoder/4": (8, 16),
        "decoder/1/auxiliary": (2, 64),
        "decoder/1": (8, 64),
        "logits": (2, 64),
        "encoder/deepest": (32, 2),
        "decoder/last": (8, 64),
    }


def test_widths_that_the_heads_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match=r"mdvit: .*number of heads, 3; 64"):
        MDViT(2, 1, 2, heads=(1, 1, 1))
    with pytest.raises(ValueError, match="at least one head"):
        MDViT(2, 1, 2, heads=(0, 0, 0))
