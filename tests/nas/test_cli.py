"""Bad input: the right exit code, one readable sentence on standard error, no traceback, and nothing lost."""

import json
from pathlib import Path

import pytest
from toy_study import STUDY, write_study

from nas import cli
from studies.storage import create_study, default_url, open_storage, study_names


class Typed:
    """What a command answered."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def told(self, code: int, words: str) -> bool:
        """Whether it ended with that code and one error on standard error that holds these words."""
        lines = [line for line in self.err.strip().split("\n") if line.startswith("Error:")]
        return self.code == code and len(lines) == 1 and words in self.err and "Traceback" not in self.err


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path):
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Typed:
        monkeypatch.setattr("sys.argv", ["nas", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capfd.readouterr()
        return Typed(int(ended.value.code or 0), captured.out, captured.err)

    return run


def test_every_command_has_help_and_the_table_names_them_all(typed) -> None:
    overview = typed("--help").out
    for name in cli.COMMANDS:
        assert name in overview
        answer = typed(name, "--help")
        assert answer.code == 0
        assert "Usage:" in answer.out


def test_a_mistyped_command_is_told_with_the_nearest_one(typed) -> None:
    assert typed("serch", "quick").told(2, "Did you mean 'search'?")


@pytest.mark.parametrize("name", ["cp-mobile-2025", "dynacp", "sharif"])
def test_the_known_designs_fit_and_their_anchors_are_answered(typed, name: str) -> None:
    answer = typed("cost", name, "--json")
    assert answer.code == 0
    priced = json.loads(answer.out)
    anchors = {"cp-mobile-2025": (61_148, 29_419_156), "dynacp": (61_650, 28_938_900), "sharif": (36_748, 34_605_996)}
    assert (priced["training"]["params"], priced["training"]["macs"]) == anchors[name]
    assert priced["feasible"] is True
    assert set(priced["deployed"]) >= {"form", "params", "weight_bytes", "macs", "peak_bytes"}


def test_a_design_over_the_budget_is_answered_and_exits_with_three(typed) -> None:
    answer = typed("cost", "dynacp", "--input", "256x128")
    assert answer.code == 3
    assert "It is over the budget: macs by" in answer.out


def test_the_layers_of_a_design_add_up_to_its_cost(typed) -> None:
    priced = json.loads(typed("cost", "dynacp", "--layers", "--json").out)
    assert sum(layer["params"] for layer in priced["layers"]) == priced["deployed"]["params"]
    assert sum(layer["macs"] for layer in priced["layers"]) == priced["deployed"]["macs"]
    assert "stage1.block1.expand" in typed("cost", "dynacp", "--layers").out


@pytest.mark.parametrize("command", ["status", "front", "report", "resume", "export"])
def test_a_study_that_does_not_exist_is_told_with_the_nearest_name(typed, tmp_path: Path, command: str) -> None:
    (tmp_path / "runs").mkdir()
    create_study(open_storage(default_url(tmp_path / "runs")), "quick")
    assert typed(command, "quik").told(2, "'quick'")
    assert study_names(default_url(tmp_path / "runs")) == ["quick"]


@pytest.mark.parametrize("command", ["status", "front", "report", "resume", "export"])
def test_a_command_that_reads_makes_no_database(typed, tmp_path: Path, command: str) -> None:
    answer = typed(command, "quick")
    assert answer.code == 2
    assert "Traceback" not in answer.err
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_is_none_is_told_and_stays_as_it_is(typed, tmp_path: Path) -> None:
    database = tmp_path / "notes.db"
    database.write_text("shopping list, not a database, " * 100)
    write_study(tmp_path)
    for arguments in (("status", "toy"), ("search", "toy.yaml")):
        answer = typed(*arguments, "--storage", f"sqlite:///{database}")
        assert answer.told(2, "notes.db")
    assert database.read_text().startswith("shopping list")


def test_a_password_is_never_shown(typed) -> None:
    answer = typed("status", "x", "--storage", "postgresql+psycopg://me:hunter2@127.0.0.1:1/none")
    assert answer.code == 2
    assert "hunter2" not in answer.err + answer.out


def test_a_fault_in_a_study_file_is_told_before_anything_is_written(typed, tmp_path: Path) -> None:
    write_study(tmp_path, STUDY.replace("seed: 3", "sead: 3"))
    assert typed("search", "toy.yaml").told(2, "line 2: sead is not a field of a study file; did you mean seed?")
    assert not (tmp_path / "runs").exists()


def test_recordings_are_asked_for_and_their_faults_told_before_any_training(typed, tmp_path: Path) -> None:
    assert typed("search", "esc10").told(2, "needs recordings: give their folder with --data DIR")
    (tmp_path / "empty").mkdir()
    assert typed("search", "esc10", "--data", "empty").told(2, "meta.csv")
    assert study_names(default_url(tmp_path / "runs")) == []


def test_a_budget_that_nothing_fits_fails_readably_and_leaves_a_study_that_can_be_read(typed, tmp_path: Path) -> None:
    write_study(tmp_path)
    small = ("--set", "budget.macs=10", "--set", "search.patience=5")
    assert typed("search", "toy.yaml", *small).told(1, "refused 5 proposals in a row; widen the budget")
    status = json.loads(typed("status", "toy", "--json").out)
    assert status["states"]["over_budget"] == 5
    assert status["states"]["running"] == 0


def test_debug_shows_the_traceback(typed) -> None:
    assert "Traceback" in typed("search", "nope", "--debug").err
