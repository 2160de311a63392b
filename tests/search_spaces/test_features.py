"""Feature vectors tell networks apart that differ, and nothing else."""

import numpy as np
import pytest
from tiny_spaces import TINY_NAMES, effective_sets, tiny_space

from search_spaces.designs import design
from search_spaces.features import Features
from search_spaces.spaces import SPACE_NAMES, open_space


@pytest.mark.parametrize("name", [*SPACE_NAMES, *TINY_NAMES])
def test_vectors_are_finite_within_0_and_1_and_each_feature_has_a_name_of_its_own(name: str) -> None:
    space = tiny_space(name) if name in TINY_NAMES else open_space(name, [64, 256], [33, 64, 65])
    features = Features(space)
    vectors = features.vectors(space.sample_digits(np.random.default_rng(0), 3000))
    assert vectors.shape == (3000, len(features.names))
    assert len(set(features.names)) == len(features.names)
    assert vectors.min() >= 0
    assert vectors.max() <= 1
    assert name in TINY_NAMES or (vectors.min(0) < vectors.max(0)).all(), "every feature says something"


@pytest.mark.parametrize("name", SPACE_NAMES)
def test_what_differs_only_without_effect_has_one_vector(name: str) -> None:
    space = open_space(name, [64, 256], [33, 64, 65])
    rng = np.random.default_rng(1)
    digits, others = space.sample_digits(rng, 1000), space.sample_digits(rng, 1000)
    changed = np.where(space.effective(digits), digits, others)
    features = Features(space)
    assert (changed != digits).any()
    assert np.array_equal(features.vectors(digits), features.vectors(changed))
    assert not (features.vectors(digits) == features.vectors(others)).all(1).any()


@pytest.mark.parametrize("name", TINY_NAMES)
def test_what_differs_with_effect_has_vectors_of_its_own(name: str) -> None:
    space = tiny_space(name)
    vectors = Features(space).vectors(space.digits(effective_sets(name)))
    assert len(np.unique(vectors, axis=0)) == space.size


def test_one_choice_in_a_vector_by_hand() -> None:
    space = open_space("joint", [64, 256], [64])
    features = Features(space)
    known = space.encode(design("sharif"))
    told = dict(zip(features.names, features.vectors(space.digits([known]))[0].tolist(), strict=True))
    assert told["input.mels"] == 1
    assert told["stem.width"] == 1
    assert told["stages"] == pytest.approx((3 - 1) / (6 - 1))
    assert told["stage1.width"] == pytest.approx((32 - 16) / (176 - 16))
    assert (told["stage1.kind dsflexi-2025"], told["stage1.kind dsflexi"]) == (1, 0)
    assert [told[f"stage1.kernels {k}"] for k in ("1x1", "1x3", "1x5", "3x1", "3x3", "5x1")] == [1, 1, 0, 1, 1, 0]
    assert (told["stage1.stride in frequency"], told["stage1.stride in time"]) == (0, 0)
    assert all(value == 0 for name, value in told.items() if name.startswith(("stage4", "stage5", "stage6")))


@pytest.mark.parametrize(("name", "known"), [("joint", "cp-mobile-2023"), ("dpcp", "dynacp"), ("repconv", "sharif")])
def test_a_stride_of_a_design_shows_on_the_side_that_it_halves(name: str, known: str) -> None:
    architecture = design(known)
    space = open_space(name, [architecture.input.mels], [64, 65, 89])
    values = space.encode(architecture)
    features = Features(space)
    told = dict(zip(features.names, features.vectors(space.digits([values]))[0].tolist(), strict=True))
    strides = {label: value for label, value in values.items() if label.endswith(".stride")}
    effective = dict(
        zip([c.label for c in space.choices], space.effective(space.digits([values]))[:, 0].tolist(), strict=True)
    )
    for label, stride in strides.items():
        sides = (told[f"{label} in frequency"], told[f"{label} in time"])
        assert sides == ((stride[0] == "2", stride[2] == "2") if effective[label] else (0, 0))
