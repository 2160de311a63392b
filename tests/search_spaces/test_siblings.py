"""Architectures are siblings exactly if their deployed networks have the same modules with the same shapes."""

import re
from dataclasses import replace

import numpy as np
import pytest
from tiny_spaces import effective_sets, tiny_space
from torch import nn

from search_spaces.architecture import Architecture, InputShape, Stage
from search_spaces.cost import form_cost
from search_spaces.designs import design, design_names
from search_spaces.folding import deployed
from search_spaces.forms import Form
from search_spaces.network import build
from search_spaces.parts import (
    Block,
    ConvStem,
    CPMobileBlock,
    DPCPBlock,
    DSFlexiBlock,
    Head,
    RepConv,
    RepConvBlock,
    RepMobileBlock,
    RepStem,
)
from search_spaces.siblings import deployed_identity

FORMS = (Form.FOLDED, Form.UNFOLDED)


def modules_of(architecture: Architecture, form: Form) -> str:
    """What a network is made of, from input to output, whatever its parts are called."""
    network = deployed(build(architecture), form)
    leaves = [module for module in network.modules() if not any(True for _ in module.children())]
    alone = [tuple(p.shape) for m in network.modules() if m not in leaves for p in m.parameters(recurse=False)]
    mixed = [getattr(m, "_convex", None) for m in network.modules() if hasattr(m, "_norm_sum")]
    after = [m.output_activation for m in network.modules() if hasattr(m, "output_activation")]
    order = [m._norm_sum for m in network.modules() if hasattr(m, "_norm_sum")]
    told = repr([leaves, alone, mixed, after, order]).replace("DilatedConv2d", "Conv2d")
    return re.sub(r"(kernel_size=\(1, 1\), stride=\(., .\)), dilation=\(2, 2\)", r"\1", told)  # of a single tap


def with_block(block: Block, width: int = 16) -> Architecture:
    return Architecture(InputShape(16, 9), ConvStem((4, width)), (Stage((block,)),))


def rep_convs() -> list[RepConv]:
    sets = (((3, 3),), ((1, 1), (3, 3)), ((1, 3), (3, 1)), ((1, 3), (3, 1), (3, 3)), ((1, 1),), ((5, 3),))
    return [
        RepConv(kernels, norm, identity, dilation)
        for kernels in sets
        for norm in ("none", "batch", "spare")
        for identity in (False, True)
        for dilation in (1, 2)
    ]


def many() -> list[Architecture]:
    shapes = [(16, (1, 1)), (16, (2, 1)), (24, (1, 1))]
    blocks: list[Block] = []
    for width, stride in shapes:
        for conv in rep_convs():
            blocks += [RepMobileBlock(width, 32, conv, stride), DSFlexiBlock(width, conv, stride)]
        blocks += [RepConvBlock(width, conv, stride) for conv in rep_convs()[::5]]
        blocks += [CPMobileBlock(width, 32, stride, grn, pooled) for grn in (False, True) for pooled in (False, True)]
        blocks += [
            DPCPBlock(width, 32, stride, dilation, pooling, norm, mixing, start, conv, scalars)
            for dilation in (1, 2)
            for pooling in ("average", "max", "none")
            for norm in ("sum", "depthwise")
            for mixing in ("add", "convex")
            for start in (0.5, 1.0)
            for conv in (False, True)
            for scalars in ("block", "downsampling")
        ]
    stems = [replace(with_block(CPMobileBlock(16, 32)), stem=RepStem((8, 16), conv)) for conv in rep_convs()[::3]]
    return [*map(with_block, blocks), *stems]


@pytest.mark.parametrize("form", FORMS)
def test_siblings_are_those_whose_deployed_networks_have_the_same_modules(form: Form) -> None:
    found: dict[str, set[str]] = {}
    made_of: dict[str, set[str]] = {}
    rng = np.random.default_rng(0)
    everything = many()
    for place in rng.choice(len(everything), 160, replace=False):
        architecture = everything[place]
        identity, modules = deployed_identity(architecture, form), modules_of(architecture, form)
        found.setdefault(modules, set()).add(identity)
        made_of.setdefault(identity, set()).add(modules)
    assert {len(modules) for modules in made_of.values()} == {1}
    assert [modules for modules, identities in found.items() if len(identities) > 1] == []
    assert len(made_of) < 120  # there were siblings among them


def test_siblings_cost_the_same_in_the_form_that_is_deployed() -> None:
    costs: dict[str, set[tuple[int, int]]] = {}
    for values in effective_sets("tiny-stages")[::3]:
        architecture = tiny_space("tiny-stages").decode(values)
        counted = form_cost(architecture, Form.FOLDED)
        costs.setdefault(deployed_identity(architecture, Form.FOLDED), set()).add((counted.weight_bytes, counted.macs))
    assert {len(counted) for counted in costs.values()} == {1}
    assert len(costs) > 10


def test_a_kernel_set_is_a_sibling_of_its_bounding_box_and_not_of_a_smaller_one() -> None:
    box, cross, small = (
        with_block(RepMobileBlock(16, 32, RepConv(kernels)))
        for kernels in (((3, 3),), ((1, 3), (3, 1)), ((1, 1), (1, 3)))
    )
    assert box.identity != cross.identity
    assert deployed_identity(box, Form.FOLDED) == deployed_identity(cross, Form.FOLDED)
    assert deployed_identity(box, Form.FOLDED) != deployed_identity(small, Form.FOLDED)


@pytest.mark.parametrize("name", design_names())
def test_what_stands_around_the_blocks_tells_networks_apart(name: str) -> None:
    known = design(name)
    others = [
        known,
        known.at(32, 17),
        replace(known, precision="fp32" if known.precision == "int8" else "int8"),
        replace(known, head=Head("gem")),
        replace(known, classes=7),
    ]
    assert len({deployed_identity(other, form) for other in others for form in FORMS}) == 10


def test_the_same_modules_mean_the_same_after_an_unused_option_is_changed() -> None:
    idle = with_block(RepConvBlock(24, RepConv(((1, 1),), identity=True, dilation=2)))
    plain = with_block(RepConvBlock(24, RepConv(((1, 1),))))
    assert deployed_identity(idle, Form.FOLDED) == deployed_identity(plain, Form.FOLDED)
    assert isinstance(build(idle), nn.Module)
