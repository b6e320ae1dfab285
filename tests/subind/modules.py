"""Modules as a user may write them, and functions that are wrong in one way each."""

import functools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel


class Convolutions(nn.Module):
    """With BatchNorm and dropout, for images of 8×8."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout(0.3)
        self.fc = nn.Linear(channels * 16, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.norm(self.conv(images))), 2)
        return self.fc(self.dropout(x.flatten(1)))


class Tagger(nn.Module):
    """An LSTM that scores the next token; its embedding and head are tied."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.lstm = nn.LSTM(width, width, num_layers=2, dropout=0.2, batch_first=True)
        self.head = nn.Linear(width, vocabulary)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.lstm(self.embedding(tokens))[0])


class Attending(nn.Module):
    """A transformer without dropout, whose positions are fixed: a parameter without gradient."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.linspace(-1, 1, 3)[:, None].expand(3, width).clone(), requires_grad=False)
        self.block = nn.TransformerEncoderLayer(width, 2, 2 * width, dropout=0.0, batch_first=True, norm_first=True)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.block(self.embedding(tokens) + self.positions))


def widened(make: Any, by: int) -> Any:
    """A function that has the name of another and makes wider modules."""

    @functools.wraps(make)
    def wider(**arguments: int) -> nn.Module:
        made: nn.Module = make(**{name: by * value for name, value in arguments.items()})
        return made

    return wider


@functools.cache
def remembered(channels: int) -> nn.Module:
    return Convolutions(channels)


def convolutions(channels: int) -> nn.Module:
    return Convolutions(channels)


def tagger(vocabulary: int, width: int) -> nn.Module:
    return Tagger(vocabulary, width)


def attending(vocabulary: int, width: int) -> nn.Module:
    return Attending(vocabulary, width)


def features(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, 24), nn.LayerNorm(24), nn.ReLU(), nn.Linear(24, outputs))


def with_dropout(rate: float) -> nn.Module:
    return nn.Sequential(nn.Linear(64, 24), nn.Dropout(rate), nn.Linear(24, 10))


def with_batch_norm() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 24), nn.BatchNorm1d(24), nn.Linear(24, 10))


def with_batch_norm_and_dropout() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Dropout(0.2), nn.Linear(24, 10))


def transformers_gpt2(num_layers: int, d_model: int, num_heads: int, vocabulary: int) -> nn.Module:
    config = GPT2Config(
        vocab_size=vocabulary,
        n_positions=4,
        n_embd=d_model,
        n_layer=num_layers,
        n_head=num_heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=None,
        use_cache=False,
    )
    return GPT2LMHeadModel(config)


# ---- wrong ones


class _Wrapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)


class Branching(_Wrapped):
    """Looks at its numbers to decide what to do."""

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) if x.sum() > 1e9 else 2 * self.layer(x)


class FunctionalDropout(_Wrapped):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(self.layer(x), 0.5, training=self.training)


class AlwaysNoisy(_Wrapped):
    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + torch.randn(10)


class Counting(_Wrapped):
    """Keeps what it counts in a buffer that is not saved."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        return self.layer(x)


class Replacing(Counting):
    def forward(self, x: Tensor) -> Tensor:
        self.count = self.count + 1
        return self.layer(x)


class Averaging(_Wrapped):
    """Keeps a mean of its inputs in a buffer, which it replaces in training."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(64))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.running_mean = 0.5 * self.running_mean + 0.5 * x.mean(0)
        return self.layer(x - self.running_mean)


class Summing(_Wrapped):
    """Keeps a sum of its inputs in a buffer, in training and evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("sum", torch.zeros(64))

    def forward(self, x: Tensor) -> Tensor:
        self.sum += x.sum(0)
        return self.layer(x)


class Unused(_Wrapped):
    """Has a layer that it leaves out."""

    def __init__(self) -> None:
        super().__init__()
        self.pooler = nn.Linear(64, 64)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class Pair(_Wrapped):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.layer(x), x


def branching() -> nn.Module:
    return Branching()


def functional_dropout() -> nn.Module:
    return FunctionalDropout()


def always_noisy() -> nn.Module:
    return AlwaysNoisy()


def counting() -> nn.Module:
    return Counting()


def replacing() -> nn.Module:
    return Replacing()


def averaging() -> nn.Module:
    return Averaging()


def summing() -> nn.Module:
    return Summing()


def unused() -> nn.Module:
    return Unused()


def unused_without_gradient() -> nn.Module:
    made = Unused()
    made.pooler.requires_grad_(False)
    return made


def pair() -> nn.Module:
    return Pair()


def raising() -> nn.Module:
    raise KeyError("no such size")


def no_module() -> Any:
    return {"a": 1}


def no_parameters() -> nn.Module:
    return nn.ReLU()


def lazy() -> nn.Module:
    return nn.LazyLinear(10)


def double() -> nn.Module:
    return nn.Linear(64, 10).double()


_other = torch.Generator()


def not_reproducible() -> nn.Module:
    made = nn.Linear(64, 10)
    nn.init.normal_(made.weight, generator=_other)
    return made
