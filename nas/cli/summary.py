"""What a study came to: printed when a search ends, and by `nas status`."""

import shlex
from typing import Any

import click

from nas.cli.tables import print_front
from nas.places import Places
from studies.records import read_study, read_trials
from studies.summary import members_of, status_of
from studies.words import STATE_WORDS, duration, shape


def study_summary(name: str, places: Places) -> dict[str, Any]:
    """Status, front and test result of a study as one JSON value."""
    trials, head = read_trials(places.storage, name), read_study(places.storage, name)
    status = status_of(trials, head)
    return {"version": 1, **status, **members_of(trials), "budget": head.budget, "test": head.test}


def print_status(summary: dict[str, Any]) -> None:
    """How many trials are in which state, and what the gate refused for which reason."""
    states = ", ".join(f"{count:,} {STATE_WORDS[state]}" for state, count in summary["states"].items() if count)
    click.echo(f"Study {summary['name']}: {states or 'no trials yet'}")
    refused = sum(summary["refused"].values())
    if refused:
        reasons = "; ".join(f"{count:,} {reason}" for reason, count in summary["refused"].items())
        click.echo(f"Pruned before training: {refused:,} of {summary['trials']:,} proposals ({reasons})")
    screened = summary["screened"]
    if screened["drawn"]:
        share = screened["over_budget"] / screened["drawn"]
        click.echo(f"Screened before proposing: {screened['drawn']:,} draws, {share:.0%} over the budget")
    if summary["front_size"]:
        click.echo(
            f"Front: {summary['front_size']} students, hypervolume {summary['hypervolume']:.3f}, best accuracy "
            f"{summary['best_accuracy']:.1%} (trial {summary['best_trial']}, "
            f"input {shape(summary['members'][0]['architecture'])})"
        )
    if summary["elapsed_s"]:
        click.echo(f"Elapsed: {duration(summary['elapsed_s'])}")


def print_end(name: str, places: Places) -> None:
    """The end of a search: front, refusals, test result, report, what to type next."""
    summary = study_summary(name, places)
    print_front(summary["members"], summary["budget"])
    click.echo()
    print_status(summary)
    if summary["test"] is not None:
        scores = summary["test"]["scores"]
        groups = ", ".join(f"{group} {accuracy:.1%}" for group, accuracy in scores["groups"].items())
        click.echo(
            f"Test list, looked at once: trial {summary['test']['trial']} has accuracy {scores['accuracy']:.1%} "
            f"(recording devices: {groups}), log loss {scores['log_loss']:.3f}"
        )
    click.echo(f"Report: {places.report(name)}")
    click.echo("\nNext:")
    study = shlex.quote(name)
    commands = {
        f"nas front {study}": "the front again",
        f"nas export {study} --trial best -o {shlex.quote('best-' + name)}": "the best student as a bundle",
        f"nas resume {study} --trials +10": "ten more students",
    }
    width = max(map(len, commands)) + len(places.options)
    for command, purpose in commands.items():
        click.echo(f"  {command + places.options:{width}}  {purpose}")
