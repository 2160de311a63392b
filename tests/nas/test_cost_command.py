"""`nas cost`: the numbers and the reasons that it tells, and what it says to bad input."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from draws import any_architecture

from nas import cli
from nas.cli.explanation import SEEN_BY, Explanation, Kind, explain
from search_spaces.architecture import Architecture
from search_spaces.cost import ELEMENT_BYTES, cost, form_cost
from search_spaces.designs import design, design_names, teacher_names
from search_spaces.forms import Form

KNOWN = (*design_names(), *teacher_names())


class Typed(NamedTuple):
    """What a command answered."""

    code: int
    out: str
    err: str


Type = Callable[..., Typed]


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Type:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Typed:
        monkeypatch.setattr("sys.argv", ["nas", "cost", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capfd.readouterr()
        return Typed(int(ended.value.code or 0), captured.out, captured.err)

    return run


@cache
def explained(name: str, form: Form) -> Explanation:
    return explain(design(name), form)


def forms_of(name: str) -> tuple[Form, Form]:
    return Form.TRAINING, cost(design(name)).deployed.form


def assert_adds_up(explanation: Explanation, architecture: Architecture) -> None:
    """Reasons to differences of MACs; kinds to parameters and MACs; bytes to the bytes that are budgeted."""
    assert set(explanation.macs) == set(SEEN_BY)
    challenge = explanation.macs["challenge"]
    for counter, macs in explanation.macs.items():
        assert sum(explanation.reasons(counter).values()) == challenge - macs, counter
    assert sum(share.macs for share in explanation.shares.values()) == challenge
    assert set(explanation.params.values()) == {sum(share.params for share in explanation.shares.values())}
    for precision in ELEMENT_BYTES:
        parts = dict(explanation.bytes[precision])
        priced = form_cost(replace(architecture, precision=precision), explanation.form)
        assert parts.pop("total") == sum(parts.values()) == priced.weight_bytes


@pytest.mark.parametrize("name", KNOWN)
def test_the_reasons_add_up_to_every_difference_in_every_design(name: str) -> None:
    for form in forms_of(name):
        assert_adds_up(explained(name, form), design(name))


def test_the_reasons_add_up_in_architectures_of_any_parts() -> None:
    kinds: set[Kind] = set()
    for seed in range(12):
        architecture = any_architecture(np.random.default_rng(seed))
        for form in Form:
            explanation = explain(architecture, form)
            assert_adds_up(explanation, architecture)
            kinds |= set(explanation.shares)
    assert kinds == set(Kind)


# What lies between two published counts: all MACs, and those of convolution weights.
@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        ("cp-mobile-2025", {Kind.BATCH_NORMS: 29_419_156 - 29_416_448}),
        ("cp-mobile-2023", {Kind.BATCH_NORMS: 28_893_268 - 28_889_088}),
        ("dynacp", {Kind.BIASES: 236_544, Kind.BATCH_NORMS: 28_938_900 - 28_699_648 - 236_544}),
    ],
)
def test_the_reasons_of_the_published_differences(name: str, reasons: dict[Kind, int]) -> None:
    assert explained(name, Form.TRAINING).reasons("products") == reasons


def test_parameters_that_nobody_counts_are_named() -> None:
    shares = explained("sharif", Form.TRAINING).shares
    # A spare norm in each of six blocks of width 32 and one of 64; one lambda for each channel of the residual norms
    # after the three stages and in the pooling.
    assert shares[Kind.UNUSED].params == 2 * (6 * 32 + 64)
    assert shares[Kind.LAMBDAS].params == 32 + 32 + 64 + 64 + 32
    assert shares[Kind.UNUSED].macs == shares[Kind.LAMBDAS].macs == 0


def test_the_tables_show_every_counter_in_both_forms_and_the_json_the_same(typed: Type) -> None:
    answer = typed("sharif", "--explain")
    lines = [line.split() for line in answer.out.splitlines()]
    assert answer.code == 0
    assert lines.count(["=", "torchinfo", "34,605,996", "28,642,220"]) == 1
    assert lines.count(["=", "challenge,", "by", "formula", "34,605,996", "28,642,220"]) == 1
    assert lines.count(["=", "ptflops", "(aten)", "34,604,298", "28,640,522"]) == 1
    assert lines.count(["=", "torchinfo", "36,748", "31,260"]) == 1
    assert [*Kind.INSTANCE_NORMS.split(), "448", "448"] in lines
    assert ["fp16", "total", "73,496", "62,520"] in lines
    told = json.loads(typed("sharif", "--explain", "--json").out)["explanation"]
    assert told == {
        "training": explained("sharif", Form.TRAINING).to_json(),
        "deployed": explained("sharif", Form.FOLDED).to_json(),
    }


def test_without_torchinfo_the_rest_is_told_and_what_to_install(typed: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchinfo", None)
    answer = typed("sharif", "--explain")
    assert "not installed: pip install torchinfo" in answer.out
    assert "34,604,298" in answer.out
    told = json.loads(typed("sharif", "--explain", "--json").out)["explanation"]["training"]
    assert list(told["macs"]) == list(told["reasons"]) == ["products", "ptflops", "challenge"]


def test_only_the_explanation_needs_torch() -> None:
    code = "import sys, nas.cli as cli; sys.argv[1:] = ['cost', 'sharif', '--json']\ntry: cli.main()\nfinally: {}"
    check = "assert not {'torch', 'torchinfo', 'ptflops'} & set(sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code.format(check)], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("name", KNOWN)
def test_every_design_and_teacher_is_known_by_name(typed: Type, name: str) -> None:
    answer = typed(name, "--json")
    told = json.loads(answer.out)
    assert answer.code == (0 if told["feasible"] else 3)
    assert told["training"]["macs"] == form_cost(design(name), Form.TRAINING).macs
    assert told["identity"] == design(name).identity


def test_the_help_names_every_design(typed: Type) -> None:
    shown = "".join(typed("--help").out.split())  # lines break inside names
    assert all(name in shown for name in KNOWN)


def test_a_file_with_an_architecture_is_priced_as_the_design_that_it_holds(typed: Type, tmp_path: Path) -> None:
    (tmp_path / "design.json").write_text(json.dumps(design("dynacp").to_json()))
    assert json.loads(typed("design.json", "--json").out) == json.loads(typed("dynacp", "--json").out)
    (tmp_path / "bundle.json").write_text(json.dumps({"architecture": design("dynacp").to_json(), "scenes": []}))
    assert json.loads(typed("bundle.json", "--json").out) == json.loads(typed("dynacp", "--json").out)


def damaged(**changes: Any) -> str:
    """The file of a design with other values at paths like stages.0.blocks.1.width."""
    data: Any = design("sharif").to_json()
    for path, value in changes.items():
        *way, last = (int(step) if step.isdigit() else step for step in path.split("."))
        place = data
        for step in way:
            place = place[step]
        place[last] = value
    return json.dumps(data)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["'design.json' is neither a known design (", "sharif-cp-resnet) nor a file"]),
        ("{", ["design.json cannot be read as JSON"]),
        (b"\xff\xfe\x00", ["design.json cannot be read as JSON"]),
        ("[" * 100_000, ["design.json cannot be read as JSON"]),
        ("[]", ["expected a JSON object, found list"]),
        ('{"architecture": 3}', ["expected a JSON object, found int"]),
        ('{"version": 9}', ["architecture.version=9", "expected 2"]),
        (damaged(classes="ten"), ["architecture.classes='ten'", "integer"]),
        (damaged(**{"stages.0.blocks.1.width": 0}), ["architecture.stages[0].blocks[1].width=0", "1"]),
        (damaged(**{"stages.0.blocks.1.kind": "lstm"}), ["architecture.stages[0].blocks[1]", "lstm", "cp-mobile"]),
        (damaged(**{"stem.conv.kernels": [[2, 3]]}), ["architecture.stem.conv.kernels[0][0]=2", "odd"]),
        (damaged(depth=3), ["architecture.depth=3"]),
    ],
)
def test_a_bad_file_is_told_in_one_sentence(typed: Type, tmp_path: Path, content: str | bytes | None, words) -> None:
    if content is not None:
        (tmp_path / "design.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    answer = typed("design.json")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("Error: ")
    assert answer.err.count("\n") == 1
    for word in words:
        assert word in answer.err


@pytest.mark.parametrize("size", ["0x65", "256", "256x65x1", "9999x65", "axb"])
def test_a_shape_that_is_none_is_told(typed: Type, size: str) -> None:
    answer = typed("dynacp", "--input", size)
    assert answer.code == 2
    assert f"'{size}' is no shape like 256x65" in answer.err


def test_a_shape_that_a_design_leaves_nothing_of_is_told(typed: Type) -> None:
    answer = typed("sharif-cp-resnet", "--input", "4x256")
    assert answer.code == 2
    assert answer.err.startswith("Error: architecture")
    assert "4" in answer.err
    assert answer.err.count("\n") == 1
