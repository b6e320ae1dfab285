"""What tests of measurements share: a store of tiny finished runs, and the GPT-2 of transformers with their weights."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from subind.computing import compute
from subind.masks.hard import HardMask
from subind.specs.measurements import Measurement
from subind.specs.run import MaskRun, NetworkRun
from subind.specs.runs import Measure
from subind.stages.measure import Asked
from subind.stages.parents import Parents, network_of
from subind.store.store import Store
from subind.training.loop import Runtime


def asking(of: NetworkRun | MaskRun, measurement: Measurement, *, seed: int = 0) -> Measure:
    """What is asked of a run, in float32."""
    return Measure(of=of, measurement=measurement, seed=seed, precision="float32")


def measurements(of: NetworkRun | MaskRun, measurement: Measurement, *, store: str, seed: int = 0) -> dict[str, float]:
    """The values that are measured of a run, which is computed where the store lacks it."""
    return compute(asking(of, measurement, seed=seed), store=store).measurements


def asked(run: Measure, *, store: str) -> Asked:
    """The finished network of a run, as a measurement gets it."""
    parents = Parents(Store(store).artifact)
    return Asked(
        run=run,
        network=network_of(run.of),
        state=parents.state(run.of),
        mask=parents.mask(run.of) if isinstance(run.of, MaskRun) else {},
        parents=parents,
        runtime=Runtime(),
    )


def transformers_network(spec: Any, weights: Mapping[str, Tensor], mask: HardMask | None = None) -> GPT2LMHeadModel:
    """The GPT-2 of transformers with the weights of a run, those that a mask leaves out at 0."""
    config = GPT2Config(
        vocab_size=weights["transformer.wte.weight"].shape[0],
        n_positions=weights["transformer.wpe.weight"].shape[0],
        n_embd=spec.d_model,
        n_layer=spec.num_layers,
        n_head=spec.num_heads,
        bos_token_id=None,
        eos_token_id=None,
        attn_implementation="eager",
    )
    masked = dict(weights)
    for name, bits in (mask or {}).items():
        masked[f"transformer.{name}"] = torch.where(bits, weights[f"transformer.{name}"], 0.0)
    network = GPT2LMHeadModel(config).eval()
    network.load_state_dict(masked)
    return network


@torch.no_grad()
def answer(network: GPT2LMHeadModel, tokens: Sequence[int]) -> Tensor:
    """The scores of every token after the given ones."""
    scores: Tensor = network(torch.tensor([list(tokens)])).logits[0, -1]
    return scores
