"""A study file is read exactly, and what is wrong in one is named by line, field and remedy."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_study import STUDY, write_study

from nas.study_file import StudyFile, StudyFileError, load_study, parse_override, preset_names, study_from_json
from search_spaces.architecture import InputShape
from search_spaces.budget import Budget
from search_spaces.designs import design
from search_spaces.spaces import SPACE_NAMES
from trainers.augmentation.named_sets import NAMED_SETS
from trainers.augmentation.settings import ImpulseResponses, Views
from trainers.recipe import Recipe
from trainers.teachers.networks import WIDE


def loaded(tmp_path: Path, text: str) -> StudyFile:
    return load_study(str(write_study(tmp_path, text)))


def test_the_presets_are_read() -> None:
    assert preset_names() == ["dcase2025", "esc10", "quick"]
    studies = {name: load_study(name) for name in preset_names()}
    assert all(study.name == name for name, study in studies.items())
    assert studies["dcase2025"].budget == Budget(128_000, 30_000_000)
    full = studies["dcase2025"].features
    assert (full.mels, full.frames) == (256, 65)
    for study in studies.values():
        assert InputShape(study.features.mels, study.features.frames) in study.front_ends
    assert {design(name).input for name in ("cp-mobile-2025", "sharif")} <= studies["dcase2025"].front_ends.keys()


def test_the_inputs_are_every_number_of_bands_with_every_hop_and_else_those_of_the_features(tmp_path: Path) -> None:
    study = loaded(tmp_path, STUDY)
    offered = {(s.mels, s.frames): (f.mels, f.hop, f.sample_rate, f.scale) for s, f in study.front_ends.items()}
    assert offered == {
        (8, 17): (8, 500, 8000, 5),
        (8, 9): (8, 1000, 8000, 5),
        (16, 17): (16, 500, 8000, 5),
        (16, 9): (16, 1000, 8000, 5),
    }
    mels_only = loaded(tmp_path, STUDY.replace("inputs: {mels: [8, 16], hops: [500, 1000]}", "inputs: {mels: [8]}"))
    assert {shape: front_end.hop for shape, front_end in mels_only.front_ends.items()} == {InputShape(8, 17): 500}
    nothing = loaded(tmp_path, STUDY.replace("inputs: {mels: [8, 16], hops: [500, 1000]}\n", ""))
    assert nothing.front_ends == {InputShape(16, 17): nothing.features}


def test_the_order_in_which_inputs_are_written_makes_no_other_study(tmp_path: Path) -> None:
    assert loaded(tmp_path, STUDY.replace("[8, 16]", "[16, 8]")) == loaded(tmp_path, STUDY)


@pytest.mark.parametrize(
    ("written", "rungs", "reduction"),
    [
        ("", [1, 3, 9], 3),
        (", early_stopping: {}", [1, 3, 9], 3),
        (", early_stopping: {rungs: [5, 4], reduction: 4}", [4, 5], 4),
        (", early_stopping: {rungs: [5, 4]}", [4, 5], 2),
        (", sampler: cost-aware", [3, 9], 2),
        (", sampler: cost-aware, early_stopping: {reduction: 3}", [3, 9], 3),
        (", early_stopping: off", [], 3),
        (", early_stopping: 'off'", [], 3),
        (", early_stopping: null", [], 3),
    ],
)
def test_early_stopping_is_the_usual_unless_the_study_says_otherwise(
    tmp_path: Path, written: str, rungs: list[int], reduction: int
) -> None:
    """As many students wait at the first rung as one of them needs to go on; one less is too few."""
    text = STUDY.replace("epochs: 2", "epochs: 27").replace(", early_stopping: off", written)
    study = loaded(tmp_path, text.replace("sampler: random, ", "") if "sampler" in written else text)
    halving = study.halving(10)
    assert [epoch for epoch in range(1, 28) if halving.is_rung(epoch)] == rungs
    for number in range(reduction if rungs else 0):
        assert halving.choice() is None
        points = [{"epoch": epoch, "accuracy": 0.5} for epoch in range(1, rungs[0] + 1)]
        halving.remember(number, {"weight_bytes": 1, "macs": 1}, points)
        halving.pause(number)
    assert halving.choice() == (0 if rungs else None)
    assert study_from_json(study.to_json(), "toy") == study


def test_a_study_survives_its_json(tmp_path: Path) -> None:
    study = loaded(tmp_path, STUDY)
    assert study_from_json(study.to_json(), "toy") == study


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "budget: {weight_bytes: 128000, macs: 400000}",
            "budget: {macs: -3}",
            "line 8: budget.macs is -3; input should",
        ),
        (
            "budget: {",
            "budget: {kilobytes: 128, ",
            "line 8: budget.kilobytes is not a field of a study file; known here are",
        ),
        ("seed: 3", "sead: 3", "line 2: sead is not a field of a study file; did you mean seed?"),
        ("mels: 16", "mells: 16", "line 6: features.mells is not a field of a study file; did you mean mels?"),
        ("epochs: 2", "epochs: 0", "line 10: student is {'epochs': 0"),
        ("window: 512", "window: 5120", "window is 5120, expected at most n_fft (512)"),
        (
            "early_stopping: off",
            "early_stopping: {rungs: [1, 2]}",
            "early_stopping.rungs: the rung 2 is not before the last of the student's 2 epochs; leave it out",
        ),
        (
            "early_stopping: off",
            "early_stopping: {rung: [1]}",
            "line 11: search.early_stopping.rung is not a field of a study file; did you mean rungs?",
        ),
        (
            "early_stopping: off",
            "early_stopping: {reduction: 1}",
            "line 11: search.early_stopping.reduction is 1; input should be greater than or equal to 2",
        ),
        (
            "sampler: random",
            "sampler: magic",
            "line 11: search.sampler is 'magic'; "
            "input should be 'cost-aware', 'tpe', 'nsga2', 'gp', 'random' or 'feasible'",
        ),
        ("search: {", "suche: {", "search is missing; add it"),
        ("hop: 500", "hop: 1", "mels 16 and hop 1 give features of 16 x 8001, too large for a network"),
        ("inputs: {mels", "inputs: {mells", "line 7: inputs.mells is not a field of a study file; did you mean mels?"),
        ("[8, 16]", "[]", "line 7: inputs.mels is []; tuple should have at least 1 item"),
        ("[8, 16]", "[8, 0]", "line 7: inputs.mels.1 is 0; input should be greater than or equal to 1"),
        ("[8, 16]", "[8, 16.5]", "line 7: inputs.mels.1 is 16.5; input should be a valid integer"),
        ("[8, 16]", "[8, 16, 8]", "line 7: inputs.mels is [8, 16, 8]; expected every value once"),
        ("[8, 16]", "[8, 5000]", "mels 5000 and hop 500 give features of 5000 x 17, too large for a network"),
        ("[500, 1000]", "[500, -500]", "line 7: inputs.hops.1 is -500; input should be greater"),
        ("[500, 1000]", "[500,\n  many]", "line 8: inputs.hops.1 is 'many'; input should be a valid integer"),
        (
            "[500, 1000]",
            "[1000, 500, 490]",
            "line 7: inputs is {'mels': [8, 16], 'hops': [1000, 500, 490]}; the hops 490 and 500 both give 17 frames "
            "at 8000 Hz; leave one of them out",
        ),
        ("budget:", "space: jiont\nbudget:", f"line 8: space is 'jiont'; expected one of {', '.join(SPACE_NAMES)}"),
        (
            "validation_share: 0.4",
            "validation_share: 1.0",
            "line 5: data.validation_share is 1.0; input should be less",
        ),
        ("  synthetic:", "  root: /x\n  synthetic:", "give either root or synthetic, not both"),
        (
            "epochs: 2",
            "epochs: 2, augmentation: dynacap",
            "augmentation 'dynacap' is not known; expected one of baseline-2025, cp-jku-2023, dynacp, sharif-teacher",
        ),
        ("epochs: 2", "epochs: 2, augmentation: [dynacp]", "augmentation ['dynacp'] is not known"),
        (
            "epochs: 2",
            "epochs: 2, augmentatoin: dynacp",
            "student.augmentatoin is not a field of a study file; did you",
        ),
        ("epochs: 2", "epochs: 2, frequency_mask: 48", "the augmentation has frequency_mask=48"),
        ("budget:", "views: {cuont: 2}\nbudget:", "views.cuont is not a field of a study file; did you mean count?"),
        ("budget:", "views: {count: 0}\nbudget:", "line 8: views is {'count': 0}; the augmentation has count=0"),
        (
            "budget:",
            "views: {augmentation: cp-jku-2023}\nbudget:",
            "views.impulse_responses.folder is missing; add it",
        ),
        (
            "budget:",
            "views: {impulse_responses: {fodler: /x}}\nbudget:",
            "views.impulse_responses.fodler is not a field of a study file; did you mean folder?",
        ),
        (
            "budget:",
            "views: {f_max_range: 1000}\nbudget:",
            "line 8: views is {'f_max_range': 1000}; front end: f_max is 4500",
        ),
        ("name: toy", "name: ../toy", "line 1: name is '../toy'"),
        ("seed: 3", "seed: [3", "toy.yaml is not valid YAML"),
        ("seed: 3", "seed: 2026-13-45", "toy.yaml is not valid YAML: month must be in 1..12"),
        ("data:", "data: &data\n  root: *data", "data.root"),
        (STUDY, "- a list", "expected fields like `name: my-study`, found list"),
    ],
)
def test_a_fault_is_told_with_its_place_and_remedy(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in STUDY
    with pytest.raises(StudyFileError) as caught:
        loaded(tmp_path, STUDY.replace(old, new))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", NAMED_SETS)
def test_a_named_augmentation_stands_for_its_settings_and_those_beside_it_win(tmp_path: Path, name: str) -> None:
    study = loaded(
        tmp_path,
        STUDY.replace("epochs: 1", f"epochs: 1, augmentation: {name}").replace(
            "epochs: 2", f"epochs: 2, roll: 0.5, augmentation: {name}"
        ),
    )
    given = asdict(NAMED_SETS[name].batches)
    assert study.teachers.members[WIDE].recipe == Recipe(epochs=1, **given)
    assert study.student == Recipe(epochs=2, batch=32, **given | {"roll": 0.5})
    assert study_from_json(study.to_json(), "toy") == study


def test_a_named_augmentation_of_the_views_leaves_their_number_and_the_folder_to_the_study(tmp_path: Path) -> None:
    responses = "{folder: /dirs, probability: 0.4}"
    views = f"views: {{augmentation: cp-jku-2023, count: 4, f_max_range: 200, impulse_responses: {responses}}}"
    text = STUDY.replace("f_max: 4000", "f_max: 3000").replace("budget:", f"{views}\nbudget:")
    study = loaded(tmp_path, text)
    heard = ImpulseResponses(folder="/dirs", probability=0.4, devices=("a",))
    assert study.views == Views(count=4, f_max_range=200, impulse_responses=heard)
    assert study_from_json(study.to_json(), "toy") == study
    assert loaded(tmp_path, STUDY).views == Views()


def test_the_full_preset_has_the_baseline_s_augmentation() -> None:
    study = load_study("dcase2025")
    given = asdict(NAMED_SETS["baseline-2025"].batches)
    assert study.student == replace(study.student, **given)
    teacher = study.teachers.members[WIDE].recipe
    assert teacher == replace(teacher, **given | {"mixstyle_probability": 0.8, "mixstyle_alpha": 0.4})


def test_several_faults_are_told_together(tmp_path: Path) -> None:
    with pytest.raises(StudyFileError, match=r"budget.macs is 0.*sead is not a field"):
        loaded(tmp_path, STUDY.replace("seed", "sead").replace("400000", "0"))


def test_a_name_that_is_neither_preset_nor_file_is_told_with_the_presets() -> None:
    with pytest.raises(StudyFileError, match="no study file 'quik'; presets are dcase2025, esc10, quick"):
        load_study("quik")


def test_numbers_with_an_exponent_are_numbers(tmp_path: Path) -> None:
    study = loaded(tmp_path, STUDY.replace("400000", "4e5").replace("epochs: 1", "epochs: 1, learning_rate: 1e-3"))
    assert (study.budget.macs, study.teachers.members[WIDE].recipe.learning_rate) == (400_000, 0.001)
    assert parse_override("budget.macs=20e6") == ("budget.macs", 20e6)


def test_overrides_win_over_the_file(tmp_path: Path) -> None:
    path = str(write_study(tmp_path))
    overrides = dict(parse_override(text) for text in ("budget.macs=20000000", "search.trials=7", "name=other"))
    study = load_study(path, overrides)
    assert (study.budget.macs, study.search.trials, study.name) == (20_000_000, 7, "other")
    with pytest.raises(StudyFileError, match="name is not a section"):
        load_study(path, {"name.x": 1})
    with pytest.raises(StudyFileError, match="expected FIELD=VALUE"):
        parse_override("budget.macs")


@settings(max_examples=150, deadline=None)
@given(
    section=st.sampled_from(
        ["name", "seed", "data", "features", "inputs", "budget", "views", "teachers", "student", "search", "space"]
    ),
    junk=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    ),
)
def test_no_other_error_than_study_file_error_escapes(section: str, junk: object) -> None:
    data = yaml.safe_load(STUDY) | {section: junk}
    try:
        study = study_from_json(data, "toy")
    except StudyFileError as error:
        told = str(error)
        assert told.startswith("the study file stored with 'toy'")
    else:
        assert isinstance(study, StudyFile)


def test_a_full_training_has_the_student_s_recipe_with_what_is_said_over_it(tmp_path: Path) -> None:
    usual = loaded(tmp_path, STUDY)
    assert usual.full_recipe == replace(usual.student, epochs=150)
    assert usual.device_recipe == replace(usual.student, epochs=30, learning_rate=5e-4)
    text = STUDY + "full: {recipe: {epochs: 9, augmentation: dynacp}, per_device: {epochs: 4, roll: 0.25}}\n"
    study = loaded(tmp_path, text)
    given = asdict(NAMED_SETS["dynacp"].batches)
    assert study.full_recipe == replace(study.student, epochs=9, **given)
    assert study.device_recipe == replace(study.full_recipe, epochs=4, roll=0.25)
    assert study.int8_recipe == replace(study.full_recipe, epochs=15, learning_rate=2e-4)
    assert study_from_json(study.to_json(), "toy") == study


@pytest.mark.parametrize(
    ("full", "told"),
    [
        (
            "{recipe: {epocs: 3}}",
            "line 12: full is {'recipe': {'epocs': 3}}; recipe: epocs: unexpected keyword argument",
        ),
        ("{recipe: {epochs: 0}}", "its recipe: the training recipe has epochs=0"),
        ("{per_device: {epochs: x}}", "epochs: input should be a valid integer"),
        ("{recip: {}}", "line 12: full.recip is not a field of a study file; did you mean recipe?"),
    ],
)
def test_a_fault_of_the_full_training_is_told(tmp_path: Path, full: str, told: str) -> None:
    with pytest.raises(StudyFileError) as caught:
        loaded(tmp_path, STUDY + f"full: {full}\n")
    assert told.lower() in str(caught.value).lower()
