"""The teachers of a study file: what is said once is said of each, and a published ensemble is a name."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_study import STUDY, write_study

from nas.study_file import StudyFile, StudyFileError, TeacherSection, load_study, study_from_json
from search_spaces.designs import design_names, teacher_names
from trainers.augmentation.named_sets import NAMED_SETS
from trainers.front_end import FRONT_ENDS
from trainers.recipe import Recipe
from trainers.teachers.networks import WIDE

GIVEN = "teachers: {recipe: {epochs: 1}}"


def loaded(tmp_path: Path, teachers: str) -> StudyFile:
    assert GIVEN in STUDY
    return load_study(str(write_study(tmp_path, STUDY.replace(GIVEN, f"teachers: {teachers}"))))


def members(tmp_path: Path, teachers: str) -> dict[str, TeacherSection]:
    study = loaded(tmp_path, teachers)
    assert study_from_json(study.to_json(), "toy") == study
    return study.teachers.members


def test_without_members_a_wide_cp_mobile_teaches(tmp_path: Path) -> None:
    found = members(tmp_path, "{recipe: {epochs: 3, roll: 0.5}}")
    assert found == {WIDE: TeacherSection(network=WIDE, recipe=Recipe(epochs=3, roll=0.5))}
    assert loaded(tmp_path, "{recipe: {epochs: 3}}").teachers.rule == "mean"


def test_what_is_said_once_is_said_of_each_and_a_teacher_s_own_word_wins(tmp_path: Path) -> None:
    found = members(
        tmp_path,
        """
  rule: sum
  recipe: {epochs: 3, batch: 16}
  per_device: {epochs: 2, learning_rate: 1e-4}
  start: {mn10: as.pt}
  members:
    mn10:
    other: {network: mn10, start: im.pt, recipe: {batch: 8}, per_device: {epochs: 1}, weight: 2, features: efficientat}
    cp-resnet: {}
""",
    )
    common = Recipe(epochs=3, batch=16)
    tuned = replace(common, epochs=2, learning_rate=1e-4)
    assert found["mn10"] == TeacherSection(network="mn10", start=Path("as.pt"), recipe=common, per_device=tuned)
    assert found["other"] == TeacherSection(
        network="mn10",
        start=Path("im.pt"),
        features=FRONT_ENDS["efficientat"],
        recipe=replace(common, batch=8),
        per_device=replace(tuned, batch=8, epochs=1),
        weight=2,
    )
    assert found["cp-resnet"] == TeacherSection(network="cp-resnet", recipe=common, per_device=tuned)
    assert list(found) == ["mn10", "other", "cp-resnet"]


def test_a_published_teacher_takes_nothing_that_is_said_of_the_others(tmp_path: Path) -> None:
    found = members(
        tmp_path, "{recipe: {epochs: 3}, per_device: {epochs: 1}, members: {jku: {published: x.ckpt}, mn04: {}}}"
    )
    assert found["jku"] == TeacherSection(published=Path("x.ckpt"))
    assert found["mn04"].recipe == Recipe(epochs=3)
    assert found["mn04"].per_device == Recipe(epochs=1)


def test_one_alone_may_be_taught_further(tmp_path: Path) -> None:
    found = members(tmp_path, "{recipe: {epochs: 3, batch: 16}, members: {mn10: {per_device: {epochs: 1}}, mn04: {}}}")
    assert found["mn10"].per_device == Recipe(epochs=1, batch=16)
    assert found["mn04"].per_device is None


def test_a_named_augmentation_wins_over_the_ensemble_s_as_its_settings_would(tmp_path: Path) -> None:
    found = members(tmp_path, "{ensemble: dynacp, recipe: {augmentation: sharif-teacher}}")["mn10-mask-off-roll-off"]
    assert found.recipe is not None
    wanted = NAMED_SETS["sharif-teacher"].batches.mixstyle_probability
    assert found.recipe.mixstyle_probability == wanted != 0.8


def test_dynacp_s_eight_are_every_family_with_and_without_masks_and_roll(tmp_path: Path) -> None:
    found = members(tmp_path, "{ensemble: dynacp, recipe: {epochs: 5}, start: {mn10: mn.pt, dymn10: dymn.pt}}")
    assert len(found) == 8
    kinds = {
        (member.network, member.start, member.recipe.frequency_mask > 0, member.recipe.roll > 0)
        for member in found.values()
        if member.recipe is not None
    }
    families = [("mn10", Path("mn.pt")), ("dymn10", Path("dymn.pt"))]
    assert kinds == {(*family, mask, roll) for family in families for mask in (False, True) for roll in (False, True)}
    for member in found.values():
        assert member.recipe is not None
        assert member.recipe.epochs == 5
        assert member.recipe.learning_rate == (3e-4 if member.network == "dymn10" else 8e-4)
        assert member.per_device == replace(member.recipe, epochs=20, learning_rate=1e-4)
    assert loaded(tmp_path, "{ensemble: dynacp}").teachers.rule == "mean"
    assert loaded(tmp_path, "{ensemble: dynacp, rule: sum}").teachers.rule == "sum"
    sooner = members(tmp_path, "{ensemble: dynacp, per_device: {epochs: 7}}")["mn10-mask-on-roll-off"].per_device
    assert sooner is not None
    assert (sooner.epochs, sooner.learning_rate) == (7, 1e-4)
    untuned = members(tmp_path, "{ensemble: dynacp, per_device: null}")
    assert all(member.per_device is None for member in untuned.values())


def test_sharif_s_five_have_their_notebooks_recipe(tmp_path: Path) -> None:
    found = members(tmp_path, "{ensemble: sharif}")
    assert {member.network for member in found.values()} == {
        "sharif-dsflexi-a",
        "sharif-dsflexi-m1",
        "sharif-dsflexi-m2",
        "sharif-cp-mobile",
        "sharif-cp-resnet",
    }
    augmentation = asdict(NAMED_SETS["sharif-teacher"].batches)
    recipe = Recipe(epochs=500, batch=64, learning_rate=5e-4, weight_decay=0.05, warm_up=0.0, **augmentation)
    assert all(member.recipe == recipe and member.per_device is None for member in found.values())


def test_a_named_ensemble_may_be_changed_and_joined(tmp_path: Path) -> None:
    found = members(tmp_path, "{ensemble: sharif, members: {sharif-cp-mobile: {weight: 3}, jku: {published: x}}}")
    assert len(found) == 6
    assert found["sharif-cp-mobile"].weight == 3
    assert found["sharif-cp-mobile"].network == "sharif-cp-mobile"
    assert found["jku"].published == Path("x")
    own = "{dymn10-mask-on-roll-off: {network: dymn04, recipe: {batch: 16}}}"
    changed = members(tmp_path, f"{{ensemble: dynacp, members: {own}}}")["dymn10-mask-on-roll-off"]
    assert changed.network == "dymn04"
    assert changed.recipe is not None
    assert (changed.recipe.batch, changed.recipe.learning_rate) == (16, 3e-4)
    assert changed.recipe.frequency_mask > 0


@pytest.mark.parametrize("name", [*design_names(), *teacher_names(), WIDE, "mn04", "mn10", "mn10_fc", "dymn20"])
def test_every_network_can_be_named(tmp_path: Path, name: str) -> None:
    assert members(tmp_path, f"{{recipe: {{epochs: 1}}, members: {{{name}: {{}}}}}}")[name].network == name


@pytest.mark.parametrize(
    ("teachers", "told"),
    [
        ("{recipe: {epochs: 0}}", "line 9: teachers.recipe is"),
        ("{recipe: {epocs: 1}}", "line 9: teachers.recipe.epocs is not a field of a study file; did you mean epochs?"),
        ("{recipe: {epochs: 1}, rule: median}", "line 9: teachers.rule is 'median'; input should be 'mean' or 'sum'"),
        ("", "line 9: teachers is None; expected settings by their names, for example {recipe: {epochs: 30}}"),
        ("[mn10]", "line 9: teachers is ['mn10']; expected settings by their names"),
        ("{recipe: 3}", "recipe is 3; expected settings by their names"),
        ("{}", "it has no recipe; give one to all teachers, for example recipe: {epochs: 30}"),
        ("{reciep: {epochs: 1}}", "line 9: teachers.reciep is not a field of a study file; did you mean recipe?"),
        ("{ensemble: dynacap}", "ensemble 'dynacap' is not known; expected one of dynacp, sharif"),
        ("{ensemble: sharif, recipe: {epocs: 1}}", "line 9: teachers.recipe.epocs is not a field"),
        ("{recipe: {epochs: 1}, members: {mn: {}}}", "teachers.members.mn.network is 'mn'; no network is named 'mn'"),
        ("{recipe: {epochs: 1}, members: {mn81: {}}}", "width=8.1"),
        ("{recipe: {epochs: 1}, start: {mn10: a, mn1: b}, members: {mn10: {}}}", "start has weights for mn1, which no"),
        ("{recipe: {epochs: 1}, members: {x: {network: resnet}}}", "no network is named 'resnet'; there are cp-mobile"),
        ("{recipe: {epochs: 1}, members: {x: {network: dymn10_fc}}}", "no fully convolutional DyMN; take 'dymn10'"),
        ("{recipe: {epochs: 1}, members: {x: {network: mn00}}}", "width"),
        ("{recipe: {epochs: 1}, members: {mn10: {weight: 0}}}", "members.mn10.weight is 0; input should be greater"),
        (
            "{recipe: {epochs: 1}, members: {mn10: {wieght: 1}}}",
            "line 9: teachers.members.mn10.wieght is not a field of a study file; did you mean weight?",
        ),
        ("{members: {x: {published: f, network: mn10}}}", "a published teacher is used as it is; leave out network"),
        ("{members: {x: {published: f, start: g}}}", "a published teacher is used as it is; leave out start"),
        (
            "{members: {x: {published: f, recipe: {epochs: 1}, per_device: {epochs: 1}, features: efficientat}}}",
            "a published teacher is used as it is; leave out features, recipe, per_device",
        ),
        ("{recipe: {epochs: 1}, members: {mn10: {weight: .inf}}}", "members.mn10.weight is inf; input should be a fin"),
        ("{recipe: {epochs: 1}, members: {mn10: {features: mel}}}", "expected one of baseline-2025"),
        ("{recipe: {epochs: 1, augmentation: x}}", "augmentation 'x' is not known"),
    ],
)
def test_a_fault_is_told_once_with_its_place_and_remedy(tmp_path: Path, teachers: str, told: str) -> None:
    with pytest.raises(StudyFileError) as caught:
        loaded(tmp_path, teachers)
    assert told in str(caught.value)
    assert str(caught.value).count(told) == 1
    assert "\n" not in str(caught.value)


JUNK: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["mn10", "dynacp", "sharif", "mean"]),
    lambda inner: (
        st.dictionaries(
            st.sampled_from(
                ["members", "recipe", "start", "ensemble", "per_device", "mn10", "published", "epochs", "rule"]
            ),
            inner,
            max_size=4,
        )
        | st.lists(inner, max_size=2)
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(junk=JUNK)
def test_no_other_error_than_study_file_error_escapes(junk: Any) -> None:
    data = yaml.safe_load(STUDY) | {"teachers": junk}
    try:
        study = study_from_json(data, "toy")
    except StudyFileError:
        return
    assert study_from_json(study.to_json(), "toy") == study
