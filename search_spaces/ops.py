"""What one operation costs: the formulas, each in one place.

Two counts of multiply-accumulates stand side by side. `macs` is the challenge's (torchinfo's on the built network): a
convolution counts weights and biases at every output position, any other layer with parameters counts each
parameter once, everything else is free. `products` counts the weights of convolutions and linear layers only.
"""

from dataclasses import dataclass

Shape = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Op:
    """One operation of a network in one form.

    Attributes:
        name: Path inside its part of the network.
        inputs: Names of the operations it reads; "input" is the part's input.
        shape: Of its output: channels, mels, frames.
        weights: Weights of a convolution or linear layer (one byte each in int8).
        scales: Output channels of those weights: an int8 tensor stores one scale for each.
        others: Every other parameter: biases, affine parameters of normalisations, learnable scalars.
        macs: By the challenge's counter.
        products: Multiplications with `weights` only.
        in_place: Whether its output may take the place of an input of its own size that nobody else needs.
    """

    name: str
    inputs: tuple[str, ...]
    shape: Shape
    weights: int = 0
    scales: int = 0
    others: int = 0
    macs: int = 0
    products: int = 0
    in_place: bool = False

    @property
    def params(self) -> int:
        return self.weights + self.others

    @property
    def size(self) -> int:
        """Elements of the output."""
        return self.shape[0] * self.shape[1] * self.shape[2]


def conv(
    name: str,
    source: str,
    c_in: int,
    shape: Shape,
    kernel: tuple[int, int],
    *,
    groups: int = 1,
    bias: bool = False,
) -> Op:
    """A convolution. `shape` is its output's; dilation moves taps and adds none, so it does not appear."""
    weights = c_in // groups * shape[0] * kernel[0] * kernel[1]
    biases = shape[0] if bias else 0
    positions = shape[1] * shape[2]
    return Op(
        name,
        (source,),
        shape,
        weights=weights,
        scales=shape[0],
        others=biases,
        macs=(weights + biases) * positions,
        products=weights * positions,
    )


def linear(name: str, source: str, features: int, outputs: int) -> Op:
    """A linear layer with bias; the challenge counts each parameter once."""
    weights = features * outputs
    return Op(
        name,
        (source,),
        (outputs, 1, 1),
        weights=weights,
        scales=outputs,
        others=outputs,
        macs=weights + outputs,
        products=weights,
    )


def norm(name: str, source: str, shape: Shape, *, in_place: bool = True) -> Op:
    """A batch or instance norm with scale and shift for each channel."""
    return Op(name, (source,), shape, others=2 * shape[0], macs=2 * shape[0], in_place=in_place)


def residual_norm(name: str, source: str, shape: Shape, *, in_place: bool = True) -> Op:
    """lambda * x + instance norm of x. The counter does not see lambda, which the module holds itself."""
    return Op(name, (source,), shape, others=3 * shape[0], macs=2 * shape[0], in_place=in_place)


def pool(name: str, source: str, shape: Shape) -> Op:
    """Pooling: no parameters, nothing counted."""
    return Op(name, (source,), shape)


def add(name: str, sources: tuple[str, str], shape: Shape, *, scalars: int = 0) -> Op:
    """A sum of two maps, with `scalars` learnable weights that the block holds itself (parameters, but no MACs)."""
    return Op(name, sources, shape, others=scalars, in_place=True)


def channel_scale(name: str, source: str, shape: Shape) -> Op:
    """One learnable factor for each channel."""
    return Op(name, (source,), shape, others=shape[0], macs=shape[0], in_place=True)


def spare(name: str, source: str, shape: Shape, params: int) -> Op:
    """Parameters that are stored and counted but never used."""
    return Op(name, (source,), shape, others=params, in_place=True)
