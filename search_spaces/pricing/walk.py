"""From the digits of choices to what they add up to, part by part."""

from collections.abc import Callable, Sequence
from typing import Any

from search_spaces.pricing.places import Places
from search_spaces.pricing.tables import Tables


def walk(places: Places, t: Tables, digits: Sequence[Any], columns: Callable[[Any], Any]) -> list[Any]:
    """Params, int8 bytes and MACs of the folded form, then of the unfolded form.

    Everything is arithmetic, so a digit may be a number or an array of them.

    Args:
        digits: The index of each choice's value, and a 0.
        columns: From the looked-up row or rows to ten columns.
    """
    mels, frames = (t.mels[digits[places.mels]] + 1) >> 1, (t.frames[digits[places.frames]] + 1) >> 1
    half = mels * frames
    mels, frames = (mels + 1) >> 1, (frames + 1) >> 1
    positions = mels * frames
    width = digits[places.stem_width]
    stem = (digits[places.stem_kind] * places.stem_radix[0] + width) * places.stem_radix[1]
    totals = _added([0] * 6, columns(t.stem[stem + digits[places.stem_kernels]]), half, positions)
    c = t.stem_channel[width]
    count = digits[places.count]
    for number, stage in enumerate(places.stages):
        present = (count >= number) * 1
        kind, depth = digits[stage.kind], digits[stage.depth]
        after = t.channel[digits[stage.width]]
        common = t.offset[kind]
        for option, place in stage.options:
            common = common + t.radix[option][kind] * digits[place]
        for behind, layer in enumerate(stage.layers):
            here = present * (depth >= behind) if behind else present
            variant = common
            for option, place in layer.options:
                variant = variant + t.radix[option][kind] * digits[place]
            variant, before = 2 * variant, positions
            if layer.stride is not None:
                stride = digits[layer.stride]
                half_mels, half_frames = t.half_mels[stride] * here, t.half_frames[stride] * here
                mels, frames = (mels + half_mels) >> half_mels, (frames + half_frames) >> half_frames
                positions = mels * frames
                variant = variant + t.strided[stride]
            price = columns(t.layer[((t.layer_class[variant] * t.channels + c) * t.channels + after + 1) * here])
            if behind and not places.separate:
                totals = _added_times(totals, price, positions, depth * here)
            else:
                totals = _added(totals, price, before, positions)
            c = c + (after - c) * here
        if stage.norm is not None:
            price = columns(t.norm[(digits[stage.norm] * t.channels + after + 1) * present])
            totals = _added(totals, price, positions, positions)
    return _added(totals, columns(t.head[digits[places.pooling] * t.channels + c]), positions, positions)


def _added(totals: list[Any], price: Any, before: Any, after: Any) -> list[Any]:
    """Totals with the price of one part, between these numbers of positions."""
    a, b, macs, a_, b_, macs_ = totals
    p, q, at_before, at_after, once, p_, q_, at_before_, at_after_, once_ = price
    return [
        a + p,
        b + q,
        macs + (at_before * before + at_after * after + once),
        a_ + p_,
        b_ + q_,
        macs_ + (at_before_ * before + at_after_ * after + once_),
    ]


def _added_times(totals: list[Any], price: Any, positions: Any, times: Any) -> list[Any]:
    """The same for several equal parts of stride 1."""
    a, b, macs, a_, b_, macs_ = totals
    p, q, at, _, once, p_, q_, at_, _, once_ = price
    return [
        a + p * times,
        b + q * times,
        macs + (at * positions + once) * times,
        a_ + p_ * times,
        b_ + q_ * times,
        macs_ + (at_ * positions + once_) * times,
    ]
