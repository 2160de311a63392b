"""A data set is read as TAU lays it out, and everything wrong with it is said before anything is trained."""

import os
import shutil
from pathlib import Path

import pytest

from search_spaces.errors import InputError
from trainers.recordings import Recordings, RecordingsError, read_recordings

CLIPS = [
    # filename, scene, location, device, split
    ("audio/bus-lyon-1-10-0-a.wav", "bus", "lyon-1", "a", "train"),
    ("audio/bus-lyon-1-10-0-b.wav", "bus", "lyon-1", "b", "train"),
    ("audio/tram-oslo-2-20-0-a.wav", "tram", "oslo-2", "a", "train"),
    ("audio/bus-lyon-3-30-0-s4.wav", "bus", "lyon-3", "s4", "test"),
    ("audio/tram-oslo-4-40-0-a.wav", "tram", "oslo-4", "a", "test"),
]


def write_list(path: Path, rows: list[tuple[str, ...]], header: str = "filename\tscene_label") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *("\t".join(row) for row in rows)]) + "\n", encoding="utf-8")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tiny data set in TAU's layout."""
    root = tmp_path / "set"
    (root / "audio").mkdir(parents=True)
    for name, *_ in CLIPS:
        (root / name).write_bytes(b"samples of " + name.encode())
    meta_header = "filename\tscene_label\tidentifier\tsource_label"
    write_list(root / "meta.csv", [clip[:4] for clip in CLIPS], meta_header)
    for split, name in (("train", "split25"), ("test", "test")):
        write_list(root / f"split_setup/{name}.csv", [clip[:2] for clip in CLIPS if clip[4] == split])
    return root


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def faults(root: Path, train_list: str = "split25") -> tuple[str, ...]:
    with pytest.raises(RecordingsError) as caught:
        read_recordings(root, train_list)
    return caught.value.faults


def test_a_sound_set_is_read_whole(root: Path) -> None:
    recordings = read_recordings(root)
    assert isinstance(recordings, Recordings)
    assert list(recordings.clips.columns) == ["filename", "scene", "location", "device", "split"]
    assert list(recordings.clips.itertuples(index=False, name=None)) == CLIPS
    assert recordings.scenes == ("bus", "tram")


def test_columns_may_come_in_any_order_with_others_between(root: Path) -> None:
    before = read_recordings(root)
    rows = [(device, "x", location, name, scene) for name, scene, location, device, _ in reversed(CLIPS)]
    write_list(root / "meta.csv", rows, "source_label\textra\tidentifier\tfilename\tscene_label")
    after = read_recordings(root)
    assert after.clips.equals(before.clips)
    assert after.digest == before.digest


def test_windows_line_ends_and_a_byte_order_mark_are_read(root: Path) -> None:
    before = read_recordings(root)
    path = root / "meta.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    assert read_recordings(root).clips.equals(before.clips)


def test_the_lists_of_tau_itself_take_the_place_of_the_challenges(root: Path) -> None:
    before = read_recordings(root)
    (root / "evaluation_setup").mkdir()
    (root / "split_setup/split25.csv").rename(root / "evaluation_setup/fold1_train.csv")
    (root / "split_setup/test.csv").rename(root / "evaluation_setup/fold1_evaluate.csv")
    after = read_recordings(root)
    assert after.clips.equals(before.clips)
    assert after.digest == before.digest


def test_the_challenges_lists_come_before_taus_own(root: Path) -> None:
    write_list(root / "evaluation_setup/fold1_train.csv", [CLIPS[0][:2]])
    write_list(root / "evaluation_setup/fold1_evaluate.csv", [CLIPS[3][:2]])
    assert len(read_recordings(root).clips) == len(CLIPS)


def test_another_training_list_is_read_by_name(root: Path) -> None:
    write_list(root / "split_setup/split5.csv", [CLIPS[0][:2], CLIPS[2][:2]])
    assert list(read_recordings(root, "split5").clips["split"]) == ["train", "train", "test", "test"]


def test_a_list_asked_for_by_name_is_never_replaced_by_another(root: Path) -> None:
    write_list(root / "evaluation_setup/fold1_train.csv", [clip[:2] for clip in CLIPS[:3]])
    assert faults(root, "split10") == ("split_setup/split10.csv is missing",)


@pytest.mark.parametrize("name", ["../split25", "/etc/passwd", "a/b", "..", "a\\b", ""])
def test_a_training_list_is_a_plain_name(root: Path, name: str) -> None:
    assert any("not a plain name" in fault for fault in faults(root, name))


@pytest.mark.parametrize("name", ["meta.csv", "split_setup/split25.csv", "split_setup/test.csv"])
def test_a_missing_csv_is_named(root: Path, name: str) -> None:
    (root / name).unlink()
    assert faults(root) == (f"{name} is missing",)


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("meta.csv", "filename"),
        ("meta.csv", "scene_label"),
        ("meta.csv", "identifier"),
        ("meta.csv", "source_label"),
        ("split_setup/split25.csv", "scene_label"),
        ("split_setup/test.csv", "filename"),
    ],
)
def test_a_missing_column_is_named_with_its_file(root: Path, name: str, column: str) -> None:
    edit(root / name, column, "other")
    assert any(fault.startswith(f"{name} has no column {column}") for fault in faults(root))


@pytest.mark.parametrize("name", ["meta.csv", "split_setup/split25.csv", "split_setup/test.csv"])
def test_a_line_with_a_field_too_many_is_named(root: Path, name: str) -> None:
    text = (root / name).read_text(encoding="utf-8").split("\n")
    text[2] += "\textra"
    (root / name).write_text("\n".join(text), encoding="utf-8")
    assert any(fault.startswith(f"{name}, line 3: ") for fault in faults(root))


def test_an_empty_field_is_named_with_its_line(root: Path) -> None:
    edit(root / "meta.csv", "\toslo-2\t", "\t\t")
    assert "meta.csv, line 4: identifier is empty" in faults(root)


def test_a_clip_listed_twice_is_named(root: Path) -> None:
    write_list(root / "split_setup/test.csv", [clip[:2] for clip in (CLIPS[3], CLIPS[4], CLIPS[3])])
    assert faults(root) == (f"split_setup/test.csv, line 4: {CLIPS[3][0]} is there a second time",)


def test_a_list_without_clips_is_a_fault(root: Path) -> None:
    write_list(root / "split_setup/split25.csv", [])
    assert "split_setup/split25.csv lists no clip" in faults(root)


def test_a_csv_that_is_not_text_is_a_fault(root: Path) -> None:
    (root / "meta.csv").write_bytes(b"filename\xff\xfe")
    assert faults(root)[0].startswith("meta.csv is not UTF-8 text")


def test_listed_files_missing_or_empty_on_disk_are_named(root: Path) -> None:
    (root / CLIPS[1][0]).unlink()
    (root / CLIPS[4][0]).write_bytes(b"")
    assert set(faults(root)) == {
        f"{CLIPS[1][0]} is listed but missing on disk",
        f"{CLIPS[4][0]} is an empty file",
    }


def test_a_folder_is_no_clip(root: Path) -> None:
    (root / CLIPS[0][0]).unlink()
    (root / CLIPS[0][0]).mkdir()
    assert faults(root) == (f"{CLIPS[0][0]} is not a file",)


def test_labels_on_which_the_csvs_disagree_are_named(root: Path) -> None:
    edit(root / "split_setup/split25.csv", "\tbus", "\ttram")
    assert faults(root) == (f"{CLIPS[0][0]}: scene_label is 'tram' in the train list but 'bus' in meta.csv",)


def test_devices_and_locations_that_a_list_repeats_are_compared_too(root: Path) -> None:
    path = root / "split_setup/test.csv"
    header = "source_label\tfilename\tscene_label\tidentifier"
    write_list(path, [(device, name, scene, place) for name, scene, place, device, split in CLIPS[3:]], header)
    assert len(read_recordings(root).clips) == len(CLIPS)
    edit(path, "s4\t", "s5\t")
    edit(path, "\toslo-4", "\toslo-9")
    assert faults(root) == (
        f"{CLIPS[3][0]}: source_label is 's5' in the test list but 's4' in meta.csv",
        f"{CLIPS[4][0]}: identifier is 'oslo-9' in the test list but 'oslo-4' in meta.csv",
    )


@pytest.mark.parametrize(
    ("clip", "column", "wrong", "right"),
    [(1, "scene_label", "tram", "bus"), (1, "source_label", "s4", "b"), (1, "identifier", "oslo-2", "lyon-1")],
)
def test_a_name_after_taus_pattern_is_held_against_meta_csv(
    root: Path, clip: int, column: str, wrong: str, right: str
) -> None:
    old, new = ({"scene_label": s, "identifier": i, "source_label": d} for s, i, d in [CLIPS[clip][1:4]] * 2)
    new[column] = wrong
    name = CLIPS[clip][0]
    write_list(
        root / "meta.csv",
        [*(row[:4] for row in CLIPS), ("audio/other.wav", *old.values())],
        "filename\tscene_label\tidentifier\tsource_label",
    )
    edit(root / "meta.csv", "\t".join([name, *old.values()]), "\t".join([name, *new.values()]))
    if column == "scene_label":
        edit(root / "split_setup/split25.csv", f"{name}\t{right}", f"{name}\t{wrong}")
    assert faults(root) == (f"{name}: {column} is {right!r} in its name but {wrong!r} in meta.csv",)


@pytest.mark.parametrize("name", ["audio/a-b-c-d-e-f.wav", "audio/bus-lyon-1-10-0-b_AUG_1.wav", "audio/tram-oslo.wav"])
def test_a_name_after_another_pattern_says_nothing(root: Path, name: str) -> None:
    (root / CLIPS[1][0]).rename(root / name)
    for table in ("meta.csv", "split_setup/split25.csv"):
        edit(root / table, CLIPS[1][0], name)
    assert name in set(read_recordings(root).clips["filename"])


def test_a_listed_clip_without_meta_data_is_named(root: Path) -> None:
    edit(root / "meta.csv", CLIPS[4][0], "audio/other.wav")
    assert faults(root) == (f"{CLIPS[4][0]} is in the test list but not in meta.csv",)


def test_a_location_on_both_sides_is_named(root: Path) -> None:
    edit(root / "meta.csv", "\tlyon-3", "\tlyon-1")
    assert faults(root) == ("location lyon-1 is in both the training and the test list",)


def test_a_scene_without_training_clip_is_named(root: Path) -> None:
    write_list(root / "split_setup/split25.csv", [clip[:2] for clip in CLIPS[:2]])
    assert faults(root) == ("scene tram has test clips but no training clip",)


@pytest.mark.parametrize(
    "name", ["../outside.wav", "audio/../../outside.wav", "/etc/hostname", "C:\\clip.wav", "..\\outside.wav"]
)
def test_a_path_that_leaves_the_folder_is_refused_even_if_the_file_exists(root: Path, name: str) -> None:
    (root.parent / "outside.wav").write_bytes(b"there")
    edit(root / "meta.csv", CLIPS[0][0], name)
    edit(root / "split_setup/split25.csv", CLIPS[0][0], name)
    assert faults(root) == (f"{name!r} leads out of the data set's folder",)


def test_all_faults_come_in_one_error_and_none_hides_another(root: Path) -> None:
    extra = [(f"audio/bus-lyon-1-{n}-0-a.wav", "bus", "lyon-1", "a") for n in range(100, 130)]
    meta = [clip[:4] for clip in CLIPS] + extra
    write_list(root / "meta.csv", meta, "filename\tscene_label\tidentifier\tsource_label")
    write_list(root / "split_setup/split25.csv", [clip[:2] for clip in [*CLIPS[:3], *extra]])
    edit(root / "meta.csv", "\tlyon-3", "\tlyon-1")
    edit(root / "split_setup/test.csv", "\ttram", "\tbus")
    with pytest.raises(RecordingsError) as caught:
        read_recordings(root)
    assert len(caught.value.faults) == 32
    message = str(caught.value)
    assert "32 faults" in message
    assert "location lyon-1" in message
    assert "'bus' in the test list but 'tram' in meta.csv" in message
    assert message.count("\n  - ") == 10
    assert message.endswith("and 22 more")
    assert isinstance(caught.value, InputError)


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    assert faults(tmp_path / "none") == ("there is no such folder",)


def test_the_digest_stays_when_the_set_moves_or_its_lists_are_sorted_anew(root: Path, tmp_path: Path) -> None:
    before = read_recordings(root)
    moved = tmp_path / "moved"
    shutil.copytree(root, moved)
    write_list(moved / "split_setup/split25.csv", [CLIPS[n][:2] for n in (2, 0, 1)])
    after = read_recordings(moved)
    assert after.digest == before.digest
    assert after.clips.equals(before.clips)


def test_the_digest_changes_with_a_row_a_size_or_a_set_made_anew(root: Path) -> None:
    seen = {read_recordings(root).digest}
    edit(root / "meta.csv", "\tlyon-1\tb", "\tlyon-1\tc")
    seen.add(read_recordings(root).digest)
    with (root / CLIPS[0][0]).open("ab") as file:
        file.write(b"more")
    seen.add(read_recordings(root).digest)
    for name, *_ in CLIPS:
        (root / name).write_bytes(os.urandom((root / name).stat().st_size))
    seen.add(read_recordings(root).digest)
    assert len(seen) == 4


def test_the_digest_changes_with_a_size_outside_the_sample(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainers.recordings.SAMPLED_FILES", 1)
    before = read_recordings(root).digest
    with (root / CLIPS[2][0]).open("ab") as file:
        file.write(b"more")
    assert read_recordings(root).digest != before
