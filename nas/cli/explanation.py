"""Every counter's number for a design, and the reasons for the differences, which add up to them.

The reasons are found in the built network, parameter by parameter; the challenge's count and the products stand against
them, because those come from formulas that never see a network.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, cast

import click
import torch
from ptflops import get_model_complexity_info
from torch import Tensor, nn

from nas.cli.tables import print_table
from search_spaces.architecture import Architecture
from search_spaces.blocks.dpcp import ChannelScale
from search_spaces.cost import ELEMENT_BYTES, form_cost, layers, stored_bytes
from search_spaces.folding import deployed
from search_spaces.forms import Form
from search_spaces.network import build

WITHOUT_TORCHINFO = "torchinfo, which the challenge counts with, is not installed: pip install torchinfo"


class Kind(StrEnum):
    """Kinds of parameters that counters treat differently, with how the challenge's counter treats them."""

    WEIGHTS = "weights of convolutions and linear layers, at every position"
    BIASES = "biases of convolutions and linear layers, at every position"
    BATCH_NORMS = "scale and shift of batch norms, once"
    INSTANCE_NORMS = "scale and shift of instance norms, once"
    FACTORS = "factors of folded pooling branches, once"
    LAMBDAS = "lambdas of residual normalisation, not at all"
    SCALARS = "learnable scalars, not at all"
    UNUSED = "norms that are stored and never applied, not at all"


_PTFLOPS = frozenset({Kind.WEIGHTS, Kind.BIASES})
_CHALLENGE = _PTFLOPS | {Kind.BATCH_NORMS, Kind.INSTANCE_NORMS, Kind.FACTORS}
SEEN_BY = {
    "products": frozenset({Kind.WEIGHTS}),
    "ptflops": _PTFLOPS,
    "challenge": _CHALLENGE,
    "torchinfo": _CHALLENGE,
}
"""The kinds that each counter gives MACs: each counter sees what the one before it sees. `products` and `challenge` are
formulas; torchinfo is what the challenge itself counts with, ptflops runs with its aten backend."""

_TITLES = {
    "products": "weights only, by formula",
    "ptflops": "ptflops (aten)",
    "challenge": "challenge, by formula",
    "torchinfo": "torchinfo",
}


@dataclass(frozen=True, slots=True)
class Share:
    """The parameters of one kind in the built network.

    Attributes:
        params: How many are stored.
        macs: What they add to a counter that sees them; 0 where none does.
    """

    params: int = 0
    macs: int = 0


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the counters say of one form of a design, and why.

    Attributes:
        form: Which form.
        macs: By counter; without torchinfo where it is not installed.
        params: By counter, likewise; every one counts all that is stored, those without MACs too.
        shares: The parameters by kind.
        bytes: For each precision the stored bytes of weights, scales, biases and others, and their total.
    """

    form: Form
    macs: dict[str, int]
    params: dict[str, int]
    shares: dict[Kind, Share]
    bytes: dict[str, dict[str, int]]

    def reasons(self, counter: str) -> dict[Kind, int]:
        """By kind, the MACs that the challenge's counter has and this one has not; they add up to the difference."""
        return {kind: share.macs for kind, share in self.shares.items() if kind in _CHALLENGE - SEEN_BY[counter]}

    def to_json(self) -> dict[str, Any]:
        """Keys: form, macs, params, shares, bytes; and reasons, by counter."""
        return {**asdict(self), "reasons": {counter: self.reasons(counter) for counter in self.macs}}


def explain(architecture: Architecture, form: Form) -> Explanation:
    """Builds the network, runs it once for each counter, and takes its parameters apart."""
    network = deployed(build(architecture), form)
    features = torch.zeros(1, 1, architecture.input.mels, architecture.input.frames)
    counted = form_cost(architecture, form)
    by_ptflops = _ptflops(network, features)
    params = {"ptflops": by_ptflops[0], "challenge": counted.params}
    macs = {"products": counted.products, "ptflops": by_ptflops[1], "challenge": counted.macs}
    seen = _torchinfo(network, features)
    if seen is not None:
        params["torchinfo"], macs["torchinfo"] = seen
    return Explanation(form, macs, params, _shares(network, features), _bytes(architecture, form))


def print_explanations(explained: Sequence[Explanation]) -> None:
    """Three tables, a column for each form: MACs from the smallest count to the largest with what each step adds,
    parameters by kind, bytes by precision."""
    columns = ["", *(one.form for one in explained)]
    kinds = [kind for kind in Kind if any(kind in one.shares for one in explained)]

    def row(name: str, counts: Iterable[int]) -> list[str]:
        return [name, *(f"{count:,}" for count in counts)]

    def totals(name: str, by_counter: Sequence[Mapping[str, int]]) -> list[str]:
        return row(f"= {_TITLES[name]}", (counts[name] for counts in by_counter))

    macs, params = [one.macs for one in explained], [one.params for one in explained]
    rows: list[list[str]] = []
    seen: frozenset[Kind] = frozenset()
    for counter in macs[0]:
        added = [kind for kind in kinds if kind in SEEN_BY[counter] - seen]
        rows += [row(f"  {kind}", (one.shares.get(kind, Share()).macs for one in explained)) for kind in added]
        rows.append(totals(counter, macs))
        seen = SEEN_BY[counter]
    print_table("\nMACs, from the fewest counted to the most", columns, rows)
    rows = [row(f"  {kind}", (one.shares.get(kind, Share()).params for one in explained)) for kind in kinds]
    print_table(
        "\nParameters, and how often the challenge counts them in its MACs",
        columns,
        [*rows, *(totals(counter, params) for counter in params[0])],
    )
    rows = [
        row(f"{precision} {part}", (one.bytes[precision][part] for one in explained))
        for precision, parts in explained[0].bytes.items()
        for part in parts
    ]
    print_table("\nStored bytes", columns, rows)
    if "torchinfo" not in macs[0]:
        click.echo(f"\n{WITHOUT_TORCHINFO}")


def _ptflops(network: nn.Module, features: Tensor) -> tuple[int, int]:
    """Parameters and MACs."""
    macs, params = get_model_complexity_info(
        network, tuple(features.shape[1:]), backend="aten", as_strings=False, print_per_layer_stat=False
    )
    return cast(int, params), cast(int, macs)  # text only if asked for


def _torchinfo(network: nn.Module, features: Tensor) -> tuple[int, int] | None:
    """Parameters and MACs, or None without the package, which a user of the project need not have."""
    try:
        import torchinfo
    except ImportError:
        return None
    summary = torchinfo.summary(network, input_data=features, verbose=0)
    return summary.total_params, summary.total_mult_adds


def _shares(network: nn.Module, features: Tensor) -> dict[Kind, Share]:
    positions = _positions(network, features)
    found: dict[Kind, Share] = {}
    for module, name, parameter in _own_parameters(network):
        kind = _kind(module, name) if module in positions else Kind.UNUSED
        each = positions[module] if kind in _PTFLOPS else int(kind in _CHALLENGE)
        before = found.get(kind, Share())
        found[kind] = Share(before.params + parameter.numel(), before.macs + parameter.numel() * each)
    return {kind: found[kind] for kind in Kind if kind in found}


def _positions(network: nn.Module, features: Tensor) -> dict[nn.Module, int]:
    """Positions of the output map (1 for a vector) of every module that runs."""
    found: dict[nn.Module, int] = {}

    def note(module: nn.Module, _: Any, output: Tensor) -> None:
        found[module] = output[0, 0].numel()

    hooks = [module.register_forward_hook(note) for module in network.modules()]
    with torch.inference_mode():
        network(features)
    for hook in hooks:
        hook.remove()
    return found


def _own_parameters(network: nn.Module) -> Iterator[tuple[nn.Module, str, Tensor]]:
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            yield module, name, parameter


def _kind(module: nn.Module, name: str) -> Kind:
    match module:
        case nn.Conv2d() | nn.Linear():
            return Kind.WEIGHTS if name == "weight" else Kind.BIASES
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            return Kind.BATCH_NORMS
        case nn.InstanceNorm2d():
            return Kind.INSTANCE_NORMS
        case ChannelScale():
            return Kind.FACTORS
    return Kind.LAMBDAS if name == "lambda_param" else Kind.SCALARS


def _bytes(architecture: Architecture, form: Form) -> dict[str, dict[str, int]]:
    ops = [row.op for row in layers(architecture, form)]
    weights, scales = sum(op.weights for op in ops), sum(op.scales for op in ops)
    biases, others = sum(op.biases for op in ops), sum(op.others for op in ops)
    return {
        precision: {
            "weights": stored_bytes(weights, 0, 0, precision),
            "scales": stored_bytes(0, scales, 0, precision),
            "biases": stored_bytes(0, 0, biases, precision),
            "others": stored_bytes(0, 0, others, precision),
            "total": stored_bytes(weights, scales, biases + others, precision),
        }
        for precision in ELEMENT_BYTES
    }
