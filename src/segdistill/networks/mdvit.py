"""MDViT: one Transformer for the images of several sites, with a light auxiliary head for each."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, cat, nn
from torch.nn.functional import interpolate, one_hot

from segdistill.networks.blocks import BATCH_NORM, CONVOLUTION, LINEAR_MODE
from segdistill.networks.blocks.domain_heads import AuxiliaryHead, AuxiliaryHeads, Up
from segdistill.networks.blocks.factorised_attention import TransformerStage, initialise
from segdistill.networks.sizes import check_channels, check_image
from segdistill.networks.stages import Stage

Size = Annotated[int, Field(ge=1)]
Four = tuple[Size, Size, Size, Size]
Count = Annotated[int, Field(ge=0)]
BUILT_HEADS = 4  # auxiliary heads in the authors' network, however many domains there are


class MDViT(nn.Module):
    """MDViT (Du et al., MICCAI 2023): a U-shaped Transformer that knows which site (domain) an image is from.

    A stem of two convolutions to 1/4; four stages at 1/4, 1/8, 1/16 and 1/32 with `feature_sizes` channels, each a
    depthwise separable patch embedding and `depths` layers of MPViT's factorised attention; a bridge of two
    convolutions to twice the last width; four decoder blocks (upsample, 1-wide convolution, concatenate the skip,
    depthwise separable convolution, layers as in the encoder); linear upsampling by 4 and the output convolution.
    Positions come from depthwise convolutions shared by the layers of a stage: `heads` are the numbers of heads whose
    values are convolved over windows of 3, 5 and 7. Domain adapters: two linear layers on the domain's one-hot vector
    and a softmax over the heads weigh the heads of each layer. The paper has 2-D; 3-D is the same with 3-D operations.

    `domains`: sites; `forward` takes the number of each image's site. Without it, and for other numbers than 0
    .. `domains` - 1, every site is equally likely (the domain vector is uniform), so export and inference need
    the image alone; with one domain `site` is not looked at.

    `auxiliary`: a head for each domain (the paper's MLPFM: the four encoder maps, projected to `auxiliary_size`
    and upsampled to 1/4, with the decoder's) gives logits of its own, from which the main output learns and
    which learn from it. In training the network returns [main logits, auxiliary logits], in evaluation the main
    logits. The heads run always, as they are a stage and in the published counts: at 384 x 384 they are 10.7 of
    the 23.6e9 multiply-adds. With several domains each head sees the whole batch, batch norm too, and an
    image's logits are those of its domain's head (without `site` the mean of all heads); the authors' batches
    are of one domain each. The authors build four heads whatever `domains` is; those beyond it never run nor
    get a gradient: `unused_heads: false` leaves them out (4,830,726 parameters of the default's).

    Each of `feature_sizes` must be divisible by the number of heads. Sizes: every axis divisible by 32, more than one
    voxel left. Defaults in 2-D, three channels and two classes: 34,966,250 parameters, 23.620e9 multiply-adds at
    384 x 384. The 30.30 M and 24.95 G that Teach-Former prints are thop's, which leaves out what does not run and
    counts the shared convolutions of a stage, which have three parents (the stage and its two layers), three times in
    parameters and nine times in operations.

    Stages: `encoder/2` and `encoder/4/stem` the stem; `encoder/4` .. `encoder/16`, `encoder/32/stage` the stages;
    `encoder/32` the bridge; `decoder/32` .. `decoder/4` the blocks; `decoder/1/auxiliary` the auxiliary logits;
    `decoder/1` the last block's map upsampled; `logits`.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        *,
        feature_sizes: Four = (64, 128, 320, 512),
        depths: Four = (2, 2, 2, 2),
        mlp_ratios: Four = (8, 8, 4, 4),
        heads: tuple[Count, Count, Count] = (2, 3, 3),
        domains: Size = 1,
        auxiliary: bool = True,
        auxiliary_size: Size = 512,
        unused_heads: bool = True,
    ) -> None:
        super().__init__()
        check_channels("mdvit", spatial_dims, in_channels, out_channels)
        if not sum(heads):
            raise ValueError("mdvit: heads must name at least one head, for one of the windows 3, 5 and 7")
        if uneven := [width for width in feature_sizes if width % sum(heads)]:
            raise ValueError(
                f"mdvit: each of feature_sizes {list(feature_sizes)} must be divisible by the number of heads, "
                f"{sum(heads)}; {uneven[0]} is not"
            )
        self.spatial_dims, self.in_channels = spatial_dims, in_channels
        self.divisible_by = 32
        self.domains = domains
        convolution, norm = CONVOLUTION[spatial_dims], BATCH_NORM[spatial_dims]
        first, last = feature_sizes[0], feature_sizes[-1]

        def strided(inputs: int, outputs: int) -> nn.Sequential:
            layer = convolution(inputs, outputs, 3, stride=2, padding=1, bias=False)
            return nn.Sequential(layer, norm(outputs), nn.Hardswish())

        def stages() -> list[TransformerStage]:
            return [
                TransformerStage(spatial_dims, width, heads, depth, ratio, domains)
                for width, depth, ratio in zip(feature_sizes, depths, mlp_ratios, strict=True)
            ]

        half = max(first // 2, 1)
        self.stem = nn.Sequential(strided(in_channels, half), strided(half, first))
        self.embeddings = nn.ModuleList(
            separable(spatial_dims, a, b, groups=a, stride=1 if i == 0 else 2)
            for i, (a, b) in enumerate(zip((first, *feature_sizes[:-1]), feature_sizes, strict=True))
        )
        self.encoder = nn.ModuleList(stages())
        self.bridge = nn.Sequential()
        for a, b in ((last, last), (last, 2 * last)):
            self.bridge.extend([convolution(a, b, 3, padding=1), norm(b), nn.ReLU()])
        deeper = (*feature_sizes[1:], 2 * last)
        self.decoder = nn.ModuleList(
            DecoderBlock(spatial_dims, a, b, stage)
            for a, b, stage in reversed(list(zip(deeper, feature_sizes, stages(), strict=True)))
        )
        self.up = Up(spatial_dims, 4)
        self.out = convolution(first, out_channels, 1)
        self.auxiliary = None
        if auxiliary:
            built = max(domains, BUILT_HEADS) if unused_heads else domains
            self.auxiliary = AuxiliaryHeads(
                AuxiliaryHead(spatial_dims, feature_sizes, auxiliary_size, out_channels) for _ in range(built)
            )
        self.apply(initialise)

    def forward(self, image: Tensor, site: Tensor | None = None) -> Tensor | list[Tensor]:
        """(B, in_channels, *S), and (B,) numbers of the sites if known -> (B, out_channels, *S); see `auxiliary`."""
        check_image(
            image,
            "mdvit",
            in_channels=self.in_channels,
            spatial_dims=self.spatial_dims,
            divisible_by=self.divisible_by,
        )
        domain = self._domain(image, site)
        x = self.stem(image)
        maps: list[Tensor] = []
        for embedding, stage in zip(self.embeddings, self.encoder, strict=True):
            x = stage(embedding(x), domain)
            maps.append(x)
        x = self.bridge(x)
        for block, skip in zip(self.decoder, reversed(maps), strict=True):
            x = block(x, skip, domain)
        others = [] if self.auxiliary is None else [self.auxiliary([*maps, x], domain)]
        logits = self.out(self.up(x))
        return [logits, *others] if others and self.training else logits

    def stages(self) -> dict[str, Stage]:
        """Stage name -> (module, None), in forward order."""
        table: dict[str, Stage] = {"encoder/2": (self.stem[0], None), "encoder/4/stem": (self.stem[1], None)}
        names = ["encoder/4", "encoder/8", "encoder/16", "encoder/32/stage"]
        table |= {name: (stage, None) for name, stage in zip(names, self.encoder, strict=True)}
        table["encoder/32"] = (self.bridge, None)
        table |= {f"decoder/{32 >> i}": (block, None) for i, block in enumerate(self.decoder)}
        if self.auxiliary is not None:
            table["decoder/1/auxiliary"] = (self.auxiliary, None)
        return table | {"decoder/1": (self.up, None), "logits": (self.out, None)}

    def _domain(self, image: Tensor, site: Tensor | None) -> Tensor:
        """(B, domains): how likely each image is of each site."""
        if site is None or self.domains == 1:
            return image.new_full((image.shape[0], self.domains), 1 / self.domains)
        if site.shape != image.shape[:1]:
            raise ValueError(
                f"mdvit: site has one number for each of the {image.shape[0]} images; got {tuple(site.shape)}"
            )
        known = one_hot(site.long().clamp(0, self.domains - 1), self.domains).to(image.dtype)
        return known.where(((site >= 0) & (site < self.domains))[:, None], 1 / self.domains)


class DecoderBlock(nn.Module):
    """Upsample to the skip's size, reduce, concatenate, fuse, attend."""

    def __init__(self, spatial_dims: int, inputs: int, width: int, stage: TransformerStage) -> None:
        super().__init__()
        self.mode = LINEAR_MODE[spatial_dims]
        self.reduce = CONVOLUTION[spatial_dims](inputs, width, 1)
        self.fuse = separable(spatial_dims, 2 * width, width, groups=width, stride=1)
        self.stage = stage

    def forward(self, x: Tensor, skip: Tensor, domain: Tensor) -> Tensor:
        x = self.reduce(interpolate(x, size=skip.shape[2:], mode=self.mode, align_corners=False))
        return self.stage(self.fuse(cat([skip, x], dim=1)), domain)


def separable(spatial_dims: int, inputs: int, outputs: int, *, groups: int, stride: int) -> nn.Sequential:
    """3-wide convolution in `groups`, 1-wide convolution, batch norm, Hardswish.

    The middle width is the number of groups: depthwise, or, in the decoder, of pairs of channels.
    """
    convolution = CONVOLUTION[spatial_dims]
    return nn.Sequential(
        convolution(inputs, groups, 3, stride=stride, padding=1, groups=groups, bias=False),
        convolution(groups, outputs, 1, bias=False),
        BATCH_NORM[spatial_dims](outputs),
        nn.Hardswish(),
    )
