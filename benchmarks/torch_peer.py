"""TransferNet's step and prediction in PyTorch, peers to be timed against.

Not a port of anybody's code: the layers and losses of this project, for
encoders with pooling switches, written the way PyTorch wants them (channels
first, `max_unpool2d` by indices, fused Adam). Needs the extra `bench`.
"""

import itertools
import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from keras_wsss.config import Config
from keras_wsss.encoders import get_encoder
from keras_wsss.encoders.vgg import Vgg
from keras_wsss.systems.transfernet.decoder import used_levels


class Peer(nn.Module):
    """Attention, tagger and decoder of a config, with random weights."""

    def __init__(self, config: Config, categories: int):
        super().__init__()
        model = config.model
        encoder = get_encoder(model.encoder)
        self.model, self.stride = model, encoder.stride
        channels, units = encoder.channels, model.attention_units
        cells = (config.image.size // encoder.stride) ** 2
        self.dense = model.attention == "dense"
        self.embed = nn.Linear(
            channels * cells if self.dense else channels, units
        )
        self.labels = nn.Embedding(categories, units)
        self.combine = nn.Linear(units, units)
        self.score = nn.Linear(units, cells if self.dense else 1)
        self.tag_hidden = nn.Linear(channels, model.tagger_units)
        self.tag_logits = nn.Linear(model.tagger_units, categories)
        self.class_hidden = nn.Linear(channels, model.classifier_units)
        self.class_logits = nn.Linear(model.classifier_units, categories)
        self.project = nn.Linear(channels, max(model.guide_features, 1))
        maps = (4 if model.guide_maps else 1) + model.guide_features
        widths = [
            max(8, round(model.decoder_width * level.channels))
            for level in encoder.levels
        ]
        self.first = nn.Conv2d(maps, widths[-1], 3, padding=1)
        self.used = used_levels(encoder.levels, model.output_stride)
        blocks, reached = [], encoder.stride
        for number in self.used:
            level, used = encoder.levels[number - 1], widths[number - 1]
            reached = level.undone
            last = widths[max(number - 2, 0)]
            sizes = [used] * level.convolutions + [last]
            blocks.append(
                nn.ModuleList(
                    nn.Conv2d(a, b, 3, padding=1)
                    for a, b in itertools.pairwise(sizes)
                )
            )
        self.blocks = nn.ModuleList(blocks)
        self.logits = nn.Conv2d(last, 2, 1)
        self.coarse = nn.Conv2d(1, 2, 1)
        self.enlarge = reached // model.output_stride

    def tags(self, features: torch.Tensor) -> torch.Tensor:
        """The tagger's evidence at every position, [..., C]."""
        scaled = features * self.model.classifier_gain
        return self.tag_logits(functional.relu(self.tag_hidden(scaled)))

    def judge(self, attended: torch.Tensor) -> torch.Tensor:
        """Logits of attended features; they do not teach the tagger."""
        scaled = attended * self.model.classifier_gain
        if self.model.judge == "classifier":
            hidden = functional.relu(self.class_hidden(scaled))
            return self.class_logits(hidden)
        hidden = functional.relu(
            functional.linear(
                scaled,
                self.tag_hidden.weight.detach(),
                self.tag_hidden.bias.detach(),
            )
        )
        return functional.linear(
            hidden,
            self.tag_logits.weight.detach(),
            self.tag_logits.bias.detach(),
        )

    def attend(self, features: torch.Tensor, labels: torch.Tensor):
        """Of features [B, N, D] and one label each: attention, attended."""
        label = self.labels(labels - 1)  # (B, U)
        if self.dense:
            picture = self.embed(features.flatten(1))
            scores = self.score(functional.relu(self.combine(picture * label)))
        else:
            scaled = features * self.model.attention_gain
            picture = self.embed(scaled) * label[:, None]  # (B, N, U)
            scores = self.score(functional.relu(self.combine(picture)))[..., 0]
        attention = scores.float().softmax(-1)  # (B, N)
        return attention, torch.einsum("bn,bnd->bd", attention, features)

    def guide(self, features, labels, attention, attended, tags):
        """What the decoder sees, [B, M, g, g]."""
        densified = torch.einsum("bd,bnd->bn", attended, features)
        if self.model.normalization == "max":
            densified = densified / (densified.amax(1, keepdim=True) + 1e-6)
        maps = [densified]
        if self.model.guide_maps:
            similarity = torch.einsum(
                "bd,bnd->bn",
                functional.normalize(attended, dim=-1, eps=1e-6),
                functional.normalize(features, dim=-1, eps=1e-6),
            )
            index = (labels - 1)[:, None, None].expand(-1, tags.shape[1], 1)
            evidence = functional.relu(tags.gather(2, index)[..., 0].float())
            maps += [_of_maximum(attention), similarity, _of_maximum(evidence)]
        stacked = torch.stack(maps, 1)  # (B, M, N)
        if self.model.guide_features:
            scaled = features * self.model.classifier_gain
            projected = functional.relu(self.project(scaled)).transpose(1, 2)
            stacked = torch.cat([stacked, projected.float()], 1)
        side = round(features.shape[1] ** 0.5)
        return stacked.unflatten(2, (side, side))

    def decode(self, guide: torch.Tensor, indices) -> torch.Tensor:
        """Foreground minus background, [B, m, m]."""
        x = functional.relu(self.first(guide))
        for block, index in zip(self.blocks, indices, strict=True):
            x = functional.max_unpool2d(x, index[:, : x.shape[1]], 2)
            for convolution in block:
                x = functional.relu(convolution(x))
        logits = self.logits(x).float()
        if self.enlarge > 1:
            logits = _enlarged(logits, self.enlarge)
        if self.model.shortcut:
            factor = self.stride // self.model.output_stride
            logits = logits + self.coarse(_enlarged(guide[:, :1], factor))
        return logits[:, 1] - logits[:, 0]


class PeerEncoder(nn.Module):
    """A VGG with random weights."""

    def __init__(self, encoder: Vgg):
        super().__init__()
        self.scale = encoder.feature_scale
        blocks, channels = [], 3
        for block in encoder.blocks:
            sizes = [channels] + [block.filters] * block.convolutions
            blocks.append(
                nn.ModuleList(
                    nn.Conv2d(a, b, 3, padding=1)
                    for a, b in itertools.pairwise(sizes)
                )
            )
            channels = block.filters
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: torch.Tensor):
        """Features [B, N, D] and the indices of all pools, finest first."""
        indices = []
        for number, block in enumerate(self.blocks):
            if number:
                x, index = functional.max_pool2d(x, 2, return_indices=True)
                indices.append(index)
            for convolution in block:
                x = functional.relu(convolution(x))
        return self.scale * x.flatten(2).transpose(1, 2).float(), indices


def make_torch_prediction(
    config: Config, categories: int, variant: str, whole: bool
) -> Callable[[], None]:
    """A function that runs the network on one picture, for one label.

    Args:
        config: of the network; its encoder is a VGG.
        categories: C.
        variant: torch, torch_bfloat16, or those with "_compiled" behind.
        whole: or the encoder alone.
    """
    torch.manual_seed(0)
    net = Peer(config, categories).to(memory_format=torch.channels_last)
    encoder = PeerEncoder(get_encoder(config.model.encoder))
    encoder = encoder.to(memory_format=torch.channels_last)
    labels, size = torch.tensor([1]), config.image.size
    image = 60 * torch.randn(1, 3, size, size)
    image = image.contiguous(memory_format=torch.channels_last)

    def network(image: torch.Tensor) -> torch.Tensor:
        features, indices = encoder(image)
        if not whole:
            return features
        attention, attended = net.attend(features, labels)
        evidence = net.tags(features) if config.model.guide_maps else None
        guide = net.guide(features, labels, attention, attended, evidence)
        guide = guide.contiguous(memory_format=torch.channels_last)
        logits = net.decode(guide, [indices[n - 1] for n in net.used])
        return logits.float().sigmoid()

    run = _maybe_compiled(network, variant)

    @torch.inference_mode()
    def predict() -> None:
        with torch.autocast("cpu", torch.bfloat16, "bfloat16" in variant):
            run(image).numpy()

    predict()
    return predict


def make_torch_step(
    config: Config, batch: Mapping[str, Mapping], categories: int, variant: str
) -> Callable[[], None]:
    """A function that makes one update of the peer and waits for it.

    Args:
        config: of the network and the losses; one label a picture.
        batch: as `benchmarks.step.random_part` makes its parts, cached.
        categories: C.
        variant: torch, torch_bfloat16, or those with "_compiled" behind.
    """
    torch.manual_seed(0)
    net = Peer(config, categories)
    net = net.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(net.parameters(), 1e-4, eps=1e-8, fused=True)
    parts = list(batch.values())
    joined = {
        key: torch.cat([_tensor(part[key]) for part in parts])
        for key in ("features", "labels", "tags")
    }
    features = joined["features"].float().flatten(1, 2)  # (B, N, D)
    labels, tags = joined["labels"][:, 0].long(), joined["tags"]
    first = batch["source"]
    rows = len(first["labels"])
    mask = _tensor(first["mask"])
    stride = config.model.output_stride
    wanted = (mask == labels[:rows, None, None]).float()
    wanted = functional.avg_pool2d(wanted[:, None], stride)[:, 0]
    # The finest level first in a cache, the coarsest in the decoder.
    indices = [_indices(maps) for maps in reversed(first["levels"])]

    sharpness = config.model.tagger_sharpness

    def pooled(evidence: torch.Tensor) -> torch.Tensor:
        if not sharpness:
            return evidence.mean(1)
        total = (sharpness * evidence).logsumexp(1)
        return (total - math.log(evidence.shape[1])) / sharpness

    def losses() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, "bfloat16" in variant):
            attention, attended = net.attend(features, labels)
            loss = functional.cross_entropy(
                net.judge(attended).float(), labels - 1
            )
            evidence = net.tags(features)  # (B, N, C)
            loss = loss + functional.binary_cross_entropy_with_logits(
                pooled(evidence.float()), tags, reduction="sum"
            ) / len(tags)
            guide = net.guide(
                features[:rows],
                labels[:rows],
                attention[:rows],
                attended[:rows],
                evidence[:rows].detach(),
            )
            logits = net.decode(
                guide.contiguous(memory_format=torch.channels_last), indices
            )
        loss = loss + functional.binary_cross_entropy_with_logits(
            logits, wanted
        )
        found = logits.sigmoid()
        common = 2 * (found * wanted).sum((1, 2))
        size = found.sum((1, 2)) + wanted.sum((1, 2))
        overlap = config.train.overlap_weight
        return loss + overlap * (1 - common / size).mean()

    run = _maybe_compiled(losses, variant)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        run().backward()
        optimizer.step()

    step()
    return step


def _maybe_compiled(function: Callable, variant: str) -> Callable:
    return torch.compile(function) if "compiled" in variant else function


def _tensor(values) -> torch.Tensor:
    return torch.from_numpy(np.array(values))


def _of_maximum(maps: torch.Tensor) -> torch.Tensor:
    return maps / maps.amax(1, keepdim=True).clamp_min(1e-6)


def _enlarged(maps: torch.Tensor, factor: int) -> torch.Tensor:
    return functional.interpolate(maps, scale_factor=factor, mode="bilinear")


def _indices(switches) -> torch.Tensor:
    """Switches [B, h, w, C] as `max_pool2d` would have returned them."""
    values = _tensor(switches).permute(0, 3, 1, 2).long()  # (B, C, h, w)
    rows = torch.arange(values.shape[2])[:, None] * 2 + values // 2
    columns = torch.arange(values.shape[3]) * 2 + values % 2
    return rows * 2 * values.shape[3] + columns
