"""Whatever a design file holds, reading it ends in an architecture or in one sentence that says where and why not."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.architecture import Architecture, ArchitectureError
from search_spaces.designs import design, design_names, teacher_names

NAMES = [*design_names(), *teacher_names()]
WORDS = ["kind", "stages", "blocks", "width", "version", "conv", "kernels", "rep", "cp-mobile", "learnable", "2", ""]
HUGE = [10**400, -(10**400), 2**63, float("inf"), float("nan"), -0.0, 1e308]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-2, 20),
    st.floats(),
    st.sampled_from(HUGE),
    st.sampled_from(WORDS),
    st.text(st.characters(), max_size=12),  # lone surrogates and line ends among them
    st.builds(lambda letter, times: letter * times, st.characters(), st.sampled_from([100, 100_000])),
)
KEYS = st.one_of(st.sampled_from(WORDS), st.text(st.characters(), max_size=12))
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=10,
)
STEP = r"(\.[^\W\d]\w*|\[\d+\]|\[['\"].*\])"
TOLD = re.compile(rf"architecture{STEP}*(=.{{1,60}})?: [^ ].+")


def nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


def read(data: Any) -> str | None:
    """The sentence that refuses it, None if it is an architecture."""
    try:
        architecture = Architecture.from_json(data)
    except ArchitectureError as error:
        told = str(error)
        assert TOLD.fullmatch(told), told
        assert len(told.splitlines()) == 1
        assert len(told) < 500
        return told
    assert Architecture.from_json(architecture.to_json()) == architecture
    assert re.fullmatch("[0-9a-f]{16}", architecture.identity)
    return None


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


@settings(max_examples=300, deadline=None)
@given(data=JSON)
def test_any_json_value_is_read_or_refused_in_one_sentence(data: Any) -> None:
    read(data)
    if isinstance(data, dict):
        read({"version": 2, **data})
        read({**design("sharif").to_json(), **data})


@settings(max_examples=600, deadline=None)
@given(data=st.data())
def test_a_damaged_design_is_read_or_refused_in_one_sentence(data: st.DataObject) -> None:
    damaged = design(data.draw(st.sampled_from(NAMES))).to_json()
    for _ in range(data.draw(st.integers(1, 3))):
        *path, key = data.draw(st.sampled_from([place for place in places(damaged) if place]))
        inside: Any = damaged
        for step in path:
            inside = inside[step]
        match data.draw(st.sampled_from(["replace", "delete", "insert", "repeat"])):
            case "replace":
                inside[key] = data.draw(JSON)
            case "delete":
                del inside[key]
            case "insert" if isinstance(inside, list):
                inside.insert(key, data.draw(JSON))
            case "insert":
                inside[data.draw(KEYS)] = data.draw(JSON)
            case "repeat" if isinstance(inside, list):
                inside.extend([inside[key]] * data.draw(st.sampled_from([1, 300])))
        if not damaged:
            break
    read(damaged)


DIFFERENT = object()


def changed(path: tuple[str | int, ...], value: Any, name: str = "sharif") -> Any:
    """A design with another value at one place, or without that place."""
    data = design(name).to_json()
    inside = data
    for step in path[:-1]:
        inside = inside[step]
    if value is DIFFERENT:
        del inside[path[-1]]
    else:
        inside[path[-1]] = value
    return data


BLOCK: tuple[str | int, ...] = ("stages", 0, "blocks", 1)
IN_BLOCK = r"architecture.stages\[0\].blocks\[1\]"
GREATER = "input should be greater than or equal to 1"


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("version",), 3, "architecture.version=3: expected 2, the format of this release"),
        (("version",), 2.0, "architecture.version=2.0: expected 2"),
        (("version",), "2", "architecture.version='2': expected 2"),
        (("version",), True, "architecture.version=True: expected 2"),
        (("version",), DIFFERENT, "architecture.version=None: expected 2"),
        (("version",), 10**5000, r"architecture.version=\(too long to show\): expected 2"),
        (("input", "mels"), 0, f"architecture.input.mels=0: {GREATER}"),
        (("input", "mels"), 4097, "architecture.input.mels=4097: input should be less than or equal to 4096"),
        (("input", "mels"), "64", "architecture.input.mels='64': input should be a valid integer"),
        (("input", "mels"), 64.0, "architecture.input.mels=64.0: input should be a valid integer"),
        (("input", "mels"), 10**5000, r"architecture.input.mels=\(too long to show\): input should be less than"),
        (("input", "mels"), nested(100_000), r"architecture.input.mels=\(nested too deeply to show\): input should be"),
        (("input",), DIFFERENT, "architecture.input: field required"),
        (("classes",), True, "architecture.classes=True: input should be a valid integer"),
        (("stem",), 7, "architecture.stem=7: input should be a valid dictionary"),
        (("stem", "kind"), "vit", "architecture.stem.kind='vit': expected one of 'conv', 'rep', 'resnet'"),
        (("stem", "conv", "kernels"), [[2, 3]], r"architecture.stem.conv.kernels\[0\]\[0\]=2: expected an odd number"),
        (("stem", "conv", "kernels"), [[3, 3]] * 2, "architecture.stem.conv.kernels=.*: expected kernels that differ"),
        (("stem", "conv", "kernels"), [], r"architecture.stem.conv.kernels=\[\]: list should have at least 1 item"),
        (("stem", "dropout"), float("nan"), "architecture.stem.dropout=nan: input should be"),
        (("stem", "dropout"), 10**400, "architecture.stem.dropout=10000.*: input should be a valid number"),
        (("stages",), {}, "architecture.stages={}: input should be a valid list"),
        (("stages", 0), None, r"architecture.stages\[0\]=None: input should be"),
        ((*BLOCK, "kind"), "resnet", f"{IN_BLOCK}.kind='resnet': expected one of 'cp-mobile', 'dpcp', .*'residual'"),
        ((*BLOCK, "kind"), 5, f"{IN_BLOCK}.kind=5: expected one of"),
        ((*BLOCK, "kind"), DIFFERENT, f"{IN_BLOCK}.kind: field required"),
        ((*BLOCK, "width"), 0, f"{IN_BLOCK}.width=0: {GREATER}"),
        ((*BLOCK, "width"), DIFFERENT, f"{IN_BLOCK}.width: field required"),
        ((*BLOCK, "width"), 16, r"architecture.stages\[0\].skip=True: expected blocks that keep width 32"),
        ((*BLOCK, "depth"), 2, f"{IN_BLOCK}.depth=2: no such field"),
        ((*BLOCK, "a\nb: c"), 2, rf"{IN_BLOCK}\['a\\nb: c'\]=2: no such field"),
        ((*BLOCK, "stride"), [1, 5], rf"{IN_BLOCK}.stride\[1\]=5: input should be less than or equal to 4"),
        ((*BLOCK, "stride"), [1], rf"{IN_BLOCK}.stride\[1\]: field required"),
        ((*BLOCK, "spare_norm"), 1, f"{IN_BLOCK}.spare_norm=1: input should be a valid boolean"),
        (
            ("stages", 2, "blocks", 0, "width"),
            63,
            "architecture.head.pooling='learnable': expected an even number of channels before it, not 63",
        ),
        (("head", "pooling"), "sum", "architecture.head.pooling='sum': input should be 'average', 'max'"),
        (("head",), {"pooling": "max", "hidden": 3}, "architecture.head={.*}: expected hidden .* only with learnable"),
        (("precision",), "fp64", "architecture.precision='fp64': input should be 'fp32', 'fp16' or 'int8'"),
        (("precision",), "x" * 10_000, "architecture.precision='xxx.{40,60}: input should be"),
        (("colour",), "red", "architecture.colour='red': no such field"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, tuple) else "",
)
def test_a_fault_is_named_by_place_value_and_expectation(path: tuple[str | int, ...], value: Any, told: str) -> None:
    assert re.match(told, read(changed(path, value)) or "read")


@pytest.mark.parametrize(("stages", "blocks"), [(1, 257), (257, 1), (2, 129), (2, 10**5)])
def test_too_many_blocks_are_refused(stages: int, blocks: int) -> None:
    data = design("sharif").to_json()
    stage = data["stages"][2]
    data["stages"] = [{**stage, "blocks": stage["blocks"] * blocks}] * stages
    assert "at most 256" in (read(data) or "read")


@pytest.mark.parametrize("data", [None, [], "{}", 3, nested(100_000)], ids=["null", "list", "text", "number", "deep"])
def test_what_is_no_object_is_refused(data: Any) -> None:
    assert (read(data) or "read").startswith("architecture: expected a JSON object, found ")


@pytest.mark.parametrize("kind", [10**5000, nested(100_000)], ids=["huge", "deep"])
def test_a_kind_that_cannot_be_printed_is_refused(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # Pydantic cannot print it either, and says so to this hook besides refusing it.
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    assert "expected one of" in (read(changed((*BLOCK, "kind"), kind)) or "read")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "cannot be read as JSON"),
        (b"widths: 3", "cannot be read as JSON"),
        (bytes(range(256)), "cannot be read as JSON"),
        (b"[" * 100_000 + b"]" * 100_000, "cannot be read as JSON"),
        (b'{"version": 2, "classes": ' + b"9" * 5000 + b"}", "cannot be read as JSON"),
        (b'{"version": 2, "input": NaN}', "architecture.stem: field required|architecture.input=nan: input should be"),
        (json.dumps(changed((*BLOCK, "width"), 0)).encode(), f"{IN_BLOCK}.width=0: {GREATER}"),
        (None, "cannot be read as JSON|directory"),
    ],
    ids=["empty", "yaml", "binary", "deep", "huge number", "nan", "width 0", "folder"],
)
def test_the_command_line_refuses_a_bad_file_in_one_sentence(content: bytes | None, told: str, tmp_path: Path) -> None:
    path = tmp_path / "design.json"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-c", "from nas.cli import main; main()", "cost", str(path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert re.search(told, done.stderr), done.stderr
