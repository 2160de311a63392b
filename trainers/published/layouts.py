"""How published systems write their weights down: which design they are, what they hear, what they call each tensor."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from search_spaces.architecture import Architecture
from search_spaces.designs import design
from search_spaces.folding import deployed
from search_spaces.forms import Form
from search_spaces.network import build
from trainers.front_end import BASELINE_2025, CP_JKU_2023, SHARIF, FrontEnd

BASE = "base"
"""The name of the model for every recording device that has none of its own."""

ALPHABETICAL = (
    "airport",
    "bus",
    "metro",
    "metro_station",
    "park",
    "public_square",
    "shopping_mall",
    "street_pedestrian",
    "street_traffic",
    "tram",
)
"""The scenes of TAU Urban Acoustic Scenes, in the order of most systems' logits."""

SHARIF_ORDER = (
    "airport",
    "shopping_mall",
    "metro_station",
    "street_pedestrian",
    "public_square",
    "street_traffic",
    "tram",
    "bus",
    "metro",
    "park",
)


@dataclass(frozen=True)
class Layout:
    """One way of writing a checkpoint.

    Attributes:
        name: For people.
        design: The known design whose weights it holds.
        form: The form of the network that was saved.
        front_end: The features it was taught on.
        scenes: In the order of its logits.
        marker: A key by which it is recognised; what stands before it in the file is the prefix of a model.
        modules: The name in the checkpoint of each module that holds tensors, by our name.
        ignored: How keys begin that are no weights, such as the buffers of the front end.
    """

    name: str
    design: str
    form: Form
    front_end: FrontEnd
    scenes: tuple[str, ...]
    marker: str
    modules: Callable[[Architecture], Mapping[str, str]]
    ignored: tuple[str, ...] = ()

    @property
    def architecture(self) -> Architecture:
        """Of every model in such a checkpoint."""
        return design(self.design)

    def network(self) -> nn.Module:
        """A network for one model, in evaluation mode, with weights of no meaning."""
        return deployed(build(self.architecture), self.form)

    def keys(self, network: nn.Module) -> dict[str, str]:
        """The key in the checkpoint, without prefix, of each tensor of the network's state, by our name."""
        modules = self.modules(self.architecture)
        keys = {}
        for name in network.state_dict():
            module, _, tensor = name.rpartition(".")
            keys[name] = f"{modules[module]}.{tensor}"
        return keys


def _cp_mobile(architecture: Architecture) -> dict[str, str]:
    """Pairs of a convolution (0) and its batch norm (1); blocks are numbered through, whatever their stage."""
    pairs = {"stem.conv1": "in_c.0", "stem.conv2": "in_c.1", "head.classify": "feed_forward"}
    modules = {}
    number = 0
    for s, stage in enumerate(architecture.stages):
        for b in range(len(stage.blocks)):
            number += 1
            ours, theirs = f"stages.{s}.blocks.{b}", f"stages.s{s + 1}.b{number}"
            modules[f"{ours}.grn"] = f"{theirs}.after_block_norm"
            for part, name in enumerate(("expand", "spatial", "project")):
                pairs[f"{ours}.{name}"] = f"{theirs}.block.{part}"
    for ours, theirs in pairs.items():
        modules |= {f"{ours}.conv": f"{theirs}.0", f"{ours}.norm": f"{theirs}.1"}
    return modules


def _sharif(architecture: Architecture) -> dict[str, str]:
    """The merged kernel of a RepConv is the only entry (0) of a sequence."""
    modules = {
        "stem.norm1": "input_norm",
        "stem.conv1": "conv1.0",
        "stem.norm2": "norm1",
        "stem.conv2": "conv2.0",
        "head.pool.conv": "pooling.attn_conv",
        "head.pool.score": "pooling.attn_score",
        "head.norm": "head_norm",
        "head.classify": "classifier",
    }
    residual_norms = {"head.pool.norm1": "pooling.bn_input", "head.pool.norm2": "pooling.bn_attn"}
    block_modules = {
        "norm1": "input_norm",
        "shortcut": "input_scaling",
        "pointwise": "expand_conv",
        "norm2": "expand_norm",
        "spatial": "spatial_conv.0",
        "spare_norm": "spatial_norm",
    }
    for s, stage in enumerate(architecture.stages):
        residual_norms[f"stages.{s}.norm"] = f"stage{s + 1}_norm"
        for b in range(len(stage.blocks)):
            for ours, theirs in block_modules.items():
                modules[f"stages.{s}.blocks.{b}.{ours}"] = f"stage{s + 1}.{b}.{theirs}"
    for ours, theirs in residual_norms.items():
        modules |= {ours: theirs, f"{ours}.instance_norm": f"{theirs}.instance_norm"}
    return modules


LAYOUTS = (
    Layout(
        name="CP-Mobile 2023",
        design="cp-mobile-2023",
        form=Form.TRAINING,
        front_end=CP_JKU_2023,
        scenes=ALPHABETICAL,
        marker="stages.s1.b1.after_block_norm.gamma",
        modules=_cp_mobile,
        ignored=("mel.",),
    ),
    Layout(
        name="CP-Mobile 2025",
        design="cp-mobile-2025",
        form=Form.TRAINING,
        front_end=BASELINE_2025,
        scenes=ALPHABETICAL,
        marker="in_c.0.0.weight",
        modules=_cp_mobile,
        ignored=("mel.",),
    ),
    Layout(
        name="Sharif student",
        design="sharif",
        form=Form.UNFOLDED,
        front_end=SHARIF,
        scenes=SHARIF_ORDER,
        marker="stage1.0.input_scaling.weight",
        modules=_sharif,
    ),
)
"""The layouts that are read, each one before those whose marker it has too."""
