import json
import logging
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file, save_file

from search_spaces.architecture import Architecture, InputShape, Stage
from search_spaces.cost import form_cost
from search_spaces.designs import design, design_names
from search_spaces.folding import deployed
from search_spaces.forms import Form
from search_spaces.network import build
from search_spaces.parts import (
    ConvStem,
    CPMobileBlock,
    DPCPBlock,
    DSFlexiABlock,
    DSFlexiBlock,
    DSFlexiMBlock,
    Head,
    RepConv,
    RepConvBlock,
    RepMobileBlock,
    RepStem,
    ResidualBlock,
    ResNetStem,
)
from trainers.export import ExportError, Int8Student, load_bundle, verify_bundle, write_bundle
from trainers.export.manifest import write_manifest
from trainers.export.weights import read_weights, write_weights
from trainers.int8 import Int8Network
from trainers.precision import stored

SCENES = ("airport", "bus", "metro")
SCORES = {
    "validation": {
        "accuracy": 0.6125,
        "log_loss": 1.0625,
        "clips": 1234,
        "scenes": {"airport": 0.5, "bus": 0.7},
        "devices": {"a": 0.66, "s1": 0.55},
        "groups": {"real": 0.66, "seen": 0.55},
    }
}
FILES = {
    "architecture.json",
    "model.safetensors",
    "model.onnx",
    "model.pt2",
    "features.json",
    "reference.npz",
    "results.json",
    "card.md",
    "manifest.json",
}


KERNELS = RepConv(((1, 1), (3, 3)))
WITH_IDENTITY = RepConv(((1, 5), (3, 1), (3, 3)), branch_norm="batch", identity=True)

# Together every kind of part and every option that decides what is stored; what decides only the maps is beside them.
STUDENTS = {
    "rep blocks": Architecture(
        input=InputShape(16, 12),
        stem=RepStem((4, 8), KERNELS, norm="residual"),
        stages=(
            Stage((RepMobileBlock(8, 16, WITH_IDENTITY), RepMobileBlock(12, 16, KERNELS, stride=(2, 1)))),
            Stage((RepConvBlock(12, WITH_IDENTITY), RepConvBlock(12, replace(KERNELS, dilation=2)))),
        ),
        head=Head("gem"),
        classes=3,
    ),
    "pooling branches": Architecture(
        input=InputShape(16, 12),
        stem=ConvStem((4, 8)),
        stages=(
            Stage(
                (
                    DPCPBlock(8, 12, dilation=2, pooling="max"),
                    DPCPBlock(8, 12, stride=(1, 2), pooling="max", scalars="downsampling", mixing_start=0.5),
                    DPCPBlock(12, 12, pooling="none"),
                    DPCPBlock(12, 12, mixing="convex", pool_conv=True, norm_after="depthwise"),
                ),
                norm="residual-scalar",
            ),
        ),
        head=Head("attention"),
        classes=3,
    ),
    "norms": Architecture(
        input=InputShape(16, 12),
        stem=ResNetStem(8),
        stages=(
            Stage((CPMobileBlock(8, 12, grn=True), CPMobileBlock(8, 12, stride=(1, 2), grn=True)), norm="frequency"),
            Stage((ResidualBlock(16, groups=2, pool=True),)),
        ),
        head=Head("max"),
        classes=3,
    ),
    "learnable pooling": Architecture(
        input=InputShape(16, 12),
        stem=RepStem((4, 8), replace(KERNELS, branch_norm="spare"), input_norm=False, norm="residual-scalar"),
        stages=(
            Stage((DSFlexiBlock(8, KERNELS, spare_norm=True),), skip=True, norm="residual", concat=True),
            Stage((DSFlexiABlock(8, WITH_IDENTITY), DSFlexiMBlock(8, 12, KERNELS, norm="residual"))),
        ),
        head=Head("learnable", norm="batch", hidden=6, every_stage=True),
        classes=3,
    ),
}


def architecture(precision="int8"):
    """One block of each kind, both with and without a width change, and the head that does not fold."""
    return Architecture(
        input=InputShape(16, 12),
        stem=ConvStem((4, 8)),
        stages=(
            Stage((CPMobileBlock(8, 8), DPCPBlock(8, 8, dilation=2), DPCPBlock(16, 8, stride=(2, 1)))),
            Stage((DSFlexiBlock(16, KERNELS),), skip=True, norm="residual"),
        ),
        head=Head("learnable"),
        classes=3,
        precision=precision,
    )


def disturbed(value):
    """A network in which no parameter has the value it has in a new one."""
    network = build(value, seed=1)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def taught(value):
    """The same, with running statistics of its own."""
    network = disturbed(value)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        for _ in range(3):
            network(torch.randn(8, 1, value.input.mels, value.input.frames) * 2 + 1)
    return network


def written(folder, value=None, form=Form.FOLDED, **changes):
    value = value or architecture()
    settings = {
        "network": taught(value),
        "architecture": value,
        "form": form,
        "front_end": {"sample_rate": 32000, "mels": 16},
        "scenes": SCENES,
        "scores": SCORES,
        "budget": {"weight_bytes": 128_000, "macs": 30_000_000, "peak_bytes": None},
        "provenance": {"study": "quick", "versions": {"torch": "2.11.0"}},
        "examples": np.random.default_rng(0).normal(size=(4, 16, 12)),
    }
    write_bundle(folder, **{**settings, **changes})
    return folder


@pytest.fixture(scope="module", params=["int8", "fp16"])
def made(request, tmp_path_factory):
    """One bundle of each kind that tests only read."""
    form = Form.FOLDED if request.param == "int8" else Form.UNFOLDED
    return written(tmp_path_factory.mktemp("export") / "student", architecture(request.param), form)


@pytest.fixture
def bundle(made, tmp_path):
    """A copy to be damaged."""
    return Path(shutil.copytree(made, tmp_path / "student"))


def test_a_bundle_verifies_and_leaves_nothing_beside_it(made):
    assert {path.name for path in made.iterdir()} == FILES
    assert [path.name for path in made.parent.iterdir()] == ["student"]
    report = verify_bundle(made)
    described = json.loads((made / "architecture.json").read_text())
    assert report.weight_bytes == described["cost"]["deployed"]["weight_bytes"]
    assert report.files == {name: (made / name).stat().st_size for name in FILES - {"manifest.json"}}
    assert report.difference < 1e-5
    assert report.onnx_difference < 1e-5


def test_a_bundle_reloads_to_the_network_that_was_measured(made):
    opened = load_bundle(made)
    expected = stored(deployed(taught(opened.architecture), opened.form), opened.architecture.precision)
    maps = torch.randn(5, 1, 16, 12, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        assert torch.equal(opened.network(maps), expected(maps))
    assert opened.scenes == SCENES
    assert opened.front_end == {"sample_rate": 32000, "mels": 16}
    assert opened.results["scores"] == SCORES
    assert opened.results["provenance"]["study"] == "quick"
    assert not opened.network.training


def test_both_graphs_take_any_batch_and_agree_with_the_network(made):
    session = onnxruntime.InferenceSession(made / "model.onnx", providers=["CPUExecutionProvider"])
    program = torch.export.load(made / "model.pt2").module()
    network = load_bundle(made).network
    assert session.get_inputs()[0].shape == ["batch", 1, 16, 12]
    for batch in (1, 2, 7):
        maps = torch.randn(batch, 1, 16, 12, generator=torch.Generator().manual_seed(batch))
        with torch.inference_mode():
            expected = network(maps).numpy()
            np.testing.assert_allclose(program(maps).numpy(), expected, atol=1e-5)
        (logits,) = session.run(["logits"], {"features": maps.numpy()})
        np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_no_file_tells_where_it_was_made(made):
    here = Path(__file__).resolve().parents[2]
    places = {str(here), str(Path(torch.__file__).parents[1]), sys.prefix, str(Path.home()), str(made.parent), ".py"}
    for path in made.iterdir():
        contents = [path.read_bytes()]
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                contents += [archive.read(member) for member in archive.namelist()]
        for place in places:
            assert not any(place.encode() in content for content in contents), f"{path.name} holds {place}"
    for words in (rb"torch\.nn\.modules", rb"stack_trace", rb"namespace"):
        assert not re.search(words, (made / "model.onnx").read_bytes())


def test_an_export_says_nothing_of_its_tools(tmp_path, caplog):
    tools = ("torch.onnx", "onnxscript", "onnx_ir")
    for name in (None, *tools):
        caplog.set_level(logging.INFO, logger=name)
    written(tmp_path / "student")
    assert [record.name for record in caplog.records] == []
    assert [logging.getLogger(name).level for name in tools] == [logging.INFO] * 3


def test_the_onnx_graph_holds_its_weights_itself(made):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(made / "model.onnx", load_external_data=False)
    assert not any(onnx.external_data_helper.uses_external_data(tensor) for tensor in model.graph.initializer)
    assert not model.metadata_props
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)


def test_the_card_says_what_counts(made):
    card = (made / "card.md").read_text()
    opened = load_bundle(made)
    cost = form_cost(opened.architecture, opened.form)
    for words in (
        opened.architecture.identity,
        f"{cost.weight_bytes:,}",
        f"{cost.macs:,}",
        "128,000",
        "airport, bus, metro",
        "61.25%",
        "1,234 clips",
        "| s1 | 55.00% |",
        "| versions torch | 2.11.0 |",
        opened.form.value,
    ):
        assert words in card


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("damage", ["missing", "cut", "changed"])
def test_a_damaged_file_is_named(bundle, name, damage):
    path = bundle / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[:-7])
    else:
        path.write_bytes(b"x" + content[1:])
    for check in (verify_bundle, load_bundle):
        with pytest.raises(ExportError, match=re.escape(name)):
            check(bundle)


def with_manifest_renewed(folder):
    (folder / "manifest.json").unlink()
    write_manifest(folder)
    return folder


def test_weights_that_are_not_the_reference_s_are_found_out(bundle):
    tensors = load_file(bundle / "model.safetensors")
    name = next(name for name in tensors if name.startswith("stem") and tensors[name].dtype != torch.int64)
    tensors[name] = tensors[name].flip(0)
    save_file(tensors, bundle / "model.safetensors")
    with pytest.raises(ExportError, match=r"model\.safetensors gives logits"):
        verify_bundle(with_manifest_renewed(bundle))


@pytest.mark.parametrize("made", ["int8"], indirect=True)
def test_an_onnx_graph_of_another_network_is_found_out(bundle, tmp_path):
    other = written(tmp_path / "other", network=build(architecture(), seed=2))
    shutil.copy(other / "model.onnx", bundle / "model.onnx")
    with pytest.raises(ExportError, match=r"model\.onnx gives logits"):
        verify_bundle(with_manifest_renewed(bundle))


def test_a_student_in_int8_lies_beside_the_one_in_float_and_is_checked_as_well(tmp_path):
    value = architecture()
    rounded = Int8Network(deployed(taught(value), Form.FOLDED), torch.randn(8, 1, 16, 12))
    scores = {"validation": {**SCORES["validation"], "accuracy": 0.6025}}
    folder = written(tmp_path / "student", int8=Int8Student(rounded, scores))
    assert {path.name for path in folder.iterdir()} == FILES | {"model.int8.onnx"}
    assert verify_bundle(folder).int8_difference is not None
    assert load_bundle(folder).int8_model == folder / "model.int8.onnx"
    cost = json.loads((folder / "architecture.json").read_text())["cost"]["int8"]
    assert cost == asdict(form_cost(replace(value, precision="int8"), Form.FOLDED))
    assert json.loads((folder / "results.json").read_text())["int8_scores"] == scores
    card = (folder / "card.md").read_text()
    assert "Scores in int8 on the validation clips" in card
    assert "60.25%" in card
    assert f"{cost['weight_bytes']:,}" in card
    with np.load(folder / "reference.npz") as arrays:
        whole = dict(arrays)
    np.savez(folder / "reference.npz", examples=whole["examples"], logits=whole["logits"])
    with pytest.raises(ExportError, match="does not hold examples, logits, int8_logits"):
        verify_bundle(with_manifest_renewed(folder))
    np.savez(folder / "reference.npz", **{**whole, "int8_logits": -whole["int8_logits"]})
    with pytest.raises(ExportError, match=r"model\.int8\.onnx gives logits"):
        verify_bundle(with_manifest_renewed(folder))


def test_weights_stored_in_more_bytes_than_they_cost_are_found_out(bundle):
    value = load_bundle(bundle).architecture
    described = json.loads((bundle / "architecture.json").read_text())
    described["architecture"] = replace(value, precision="fp32").to_json()
    (bundle / "architecture.json").write_text(json.dumps(described))
    with pytest.raises(ExportError, match="bytes of parameters"):
        verify_bundle(with_manifest_renewed(bundle))


@pytest.mark.parametrize("made", ["int8"], indirect=True)
def test_an_int8_weight_without_its_scales_is_refused(bundle):
    tensors = load_file(bundle / "model.safetensors")
    del tensors[next(name for name in tensors if name.endswith(".scale"))]
    save_file(tensors, bundle / "model.safetensors")
    with pytest.raises(ExportError, match="scale"):
        load_bundle(with_manifest_renewed(bundle))


@pytest.mark.parametrize("made", ["int8"], indirect=True)
def test_an_earlier_bundle_is_replaced_and_nothing_else_ever(bundle, tmp_path):
    before = (bundle / "reference.npz").read_bytes()
    written(bundle, examples=np.ones((2, 16, 12)))
    assert (bundle / "reference.npz").read_bytes() != before
    verify_bundle(bundle)
    (bundle / "notes.txt").write_text("mine")
    full, empty, file = tmp_path / "full", tmp_path / "empty", tmp_path / "file"
    full.mkdir()
    (full / "thesis.txt").write_text("mine")
    empty.mkdir()
    file.write_text("mine")
    for place in (bundle, full, empty, file):
        with pytest.raises(ExportError, match="exists and"):
            written(place)
    assert (bundle / "notes.txt").read_text() == (full / "thesis.txt").read_text() == file.read_text() == "mine"


@pytest.mark.parametrize("made", ["int8"], indirect=True)
def test_a_failed_export_leaves_nothing_and_keeps_the_earlier_bundle(bundle, monkeypatch):
    def fail(folder):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("trainers.export.bundle.write_manifest", fail)
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    for place in (bundle, bundle.parent / "new"):
        with pytest.raises(Exception, match="disk is full"):
            written(place)
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before
    assert [path.name for path in bundle.parent.iterdir()] == ["student"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"examples": np.zeros((0, 16, 12))}, "examples"),
        ({"examples": np.zeros((2, 12, 16))}, "examples"),
        ({"scenes": ("airport",)}, "scene names"),
        ({"form": Form.TRAINING}, "training form"),
    ],
)
def test_what_does_not_belong_together_is_refused_before_anything_is_written(tmp_path, change, words):
    with pytest.raises(ExportError, match=words):
        written(tmp_path / "student", **change)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", STUDENTS)
def test_a_student_of_every_part_is_exported_with_both_graphs_and_verified(tmp_path, name):
    value = replace(STUDENTS[name], precision="int8")
    folder = written(tmp_path / "student", value)
    report = verify_bundle(folder)
    assert report.weight_bytes == form_cost(value, Form.FOLDED).weight_bytes
    assert report.difference < 1e-5
    assert report.onnx_difference < 1e-5
    program = torch.export.load(folder / "model.pt2").module()
    with np.load(folder / "reference.npz") as reference, torch.inference_mode():
        logits = program(torch.from_numpy(reference["examples"])[:, None]).numpy()
        np.testing.assert_allclose(logits, reference["logits"], atol=1e-5)


@pytest.mark.parametrize("name", [*design_names(), *STUDENTS])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("form", Form)
def test_a_weights_file_holds_as_many_bytes_as_the_architecture_costs(tmp_path, name, precision, form):
    value = replace(STUDENTS[name] if name in STUDENTS else design(name), precision=precision)
    network = deployed(disturbed(value), form)
    path = tmp_path / "model.safetensors"
    write_weights(network, precision, path)
    cost = form_cost(value, form).weight_bytes
    reloaded = deployed(build(value, seed=9), form)
    assert read_weights(reloaded, path) == cost
    expected = stored(network, precision).state_dict()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in reloaded.state_dict().items())


def test_weights_laid_out_channels_last_are_written_as_they_are(tmp_path):
    network = deployed(build(architecture()), Form.FOLDED).to(memory_format=torch.channels_last)
    write_weights(network, "fp32", tmp_path / "w")
    reloaded = deployed(build(architecture(), seed=9), Form.FOLDED)
    read_weights(reloaded, tmp_path / "w")
    assert all(torch.equal(tensor, network.state_dict()[key]) for key, tensor in reloaded.state_dict().items())


def test_weights_of_another_architecture_are_refused(tmp_path):
    write_weights(deployed(build(architecture()), Form.FOLDED), "int8", tmp_path / "w")
    with pytest.raises(ExportError, match="weights of its architecture"):
        read_weights(deployed(build(architecture()), Form.UNFOLDED), tmp_path / "w")


def test_importing_the_export_does_not_import_onnx():
    code = "import sys, trainers.export; print([m for m in sys.modules if m.split('.')[0] in ('onnx', 'onnxscript')])"
    root = Path(__file__).resolve().parents[2]
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert run.stdout.strip() == "[]"
