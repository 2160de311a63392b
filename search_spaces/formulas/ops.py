"""One operation and what it costs: the counting rules, each in one place.

Two counts of multiply-accumulates stand side by side. `macs` is the challenge's (torchinfo's on the built network): a
convolution or linear layer counts weights and biases at every output position, any other layer with parameters counts
each parameter once, everything else is free. `products` counts the weights of convolutions and linear layers only.
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
        weights: Of a convolution or linear layer (one byte each in int8).
        biases: Of the same.
        others: Every other parameter: affine parameters of normalisations, learnable scalars, unused ones.
        counted: Those of the others that the challenge's counter sees (once each); it does not see parameters that
            a module with children holds itself, or that are never used.
        in_place: Whether its output may take the place of an input of its own size that nobody else needs.
    """

    name: str
    inputs: tuple[str, ...]
    shape: Shape
    weights: int = 0
    biases: int = 0
    others: int = 0
    counted: int = 0
    in_place: bool = False

    @property
    def positions(self) -> int:
        """Positions of the output map."""
        return self.shape[1] * self.shape[2]

    @property
    def size(self) -> int:
        """Elements of the output."""
        return self.shape[0] * self.positions

    @property
    def params(self) -> int:
        """Stored values."""
        return self.weights + self.biases + self.others

    @property
    def scales(self) -> int:
        """Output channels of the weights: an int8 tensor stores one scale for each."""
        return self.shape[0] if self.weights else 0

    @property
    def macs(self) -> int:
        """By the challenge's counter."""
        return (self.weights + self.biases) * self.positions + self.counted

    @property
    def products(self) -> int:
        """Multiplications with `weights` only."""
        return self.weights * self.positions


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
    return Op(name, (source,), shape, weights=weights, biases=shape[0] if bias else 0)


def linear(name: str, source: str, features: int, outputs: int) -> Op:
    """A linear layer with bias."""
    return Op(name, (source,), (outputs, 1, 1), weights=features * outputs, biases=outputs)


def norm(name: str, source: str, shape: Shape) -> Op:
    """A batch norm with scale and shift for each channel."""
    return Op(name, (source,), shape, others=2 * shape[0], counted=2 * shape[0], in_place=True)


def residual_norm(name: str, source: str, shape: Shape, *, lambdas: int) -> Op:
    """lambda * x + instance norm of x. The counter does not see lambda, which the module holds itself."""
    return Op(name, (source,), shape, others=2 * shape[0] + lambdas, counted=2 * shape[0], in_place=True)


def pool(name: str, source: str, shape: Shape) -> Op:
    """Pooling: no parameters, nothing counted."""
    return Op(name, (source,), shape)


def add(name: str, sources: tuple[str, str], shape: Shape, *, scalars: int = 0) -> Op:
    """A sum of two maps, with `scalars` learnable weights that the block holds itself (parameters, but no MACs)."""
    return Op(name, sources, shape, others=scalars, in_place=True)


def channel_scale(name: str, source: str, shape: Shape) -> Op:
    """One learnable factor for each channel."""
    return Op(name, (source,), shape, others=shape[0], counted=shape[0], in_place=True)


def unseen(name: str, source: str, shape: Shape, params: int, *, counted: int = 0) -> Op:
    """Parameters that the counter does not see, or that change nothing: the map passes as it came, or in place."""
    return Op(name, (source,), shape, others=params, counted=counted, in_place=True)
