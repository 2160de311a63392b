"""CP-Mobile's rule for channel counts."""


def make_divisible(value: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `value`, never more than 10 % below it.

    The rule of the MobileNet family, as CP-Mobile uses it: round half up, at least one divisor, one divisor more
    where rounding would take more than 10 %.
    """
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded
