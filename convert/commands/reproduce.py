"""`seld-convert reproduce`: the corpora of a paper -> its trained models, and its tables beside our figures.

It runs `train`, `evaluate` and, on request, `export`, and shows each command. Each has a process of its own: its memory
is free for the next one, and `KERAS_BACKEND=jax` trains while TensorFlow scores. What is done is not done again.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from convert.commands.evaluate import add_evaluate_parser
from convert.commands.export import add_export_parser
from convert.commands.train import CORES, add_machine_options, add_set_option, add_train_parser, import_keras

if TYPE_CHECKING:
    from convert.commands.options import Subparsers
    from convert.reproduction.paper import Paper, Table
    from convert.reproduction.steps import Command, Plan

TABLES_FILE = "tables.md"
QUICK_DATA = "data"  # in --out
_CHILD = "from convert.commands.reproduce import answer_here; answer_here()"


def add_reproduce_parser(subparsers: Subparsers) -> None:
    """Add the `reproduce` command and its options to a command line."""
    parser = subparsers.add_parser("reproduce", help="rebuild the tables of a paper from its corpora")
    parser.add_argument("paper", help="coloc, etri or two-step")
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="DIR|CORPUS=DIR",
        help="a folder with a folder for each corpus, named like it (starss22, tnsse2020 ...), or the folder of one "
        "corpus; repeatable",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="runs, scores and tables; goes on there")
    parser.add_argument(
        "--table", type=int, action="append", metavar="N", help="of the paper (default: all); repeatable"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="tiny nets, a few steps and, without --data, made-up recordings: it shows in minutes that all steps work",
    )
    parser.add_argument("--plan", action="store_true", help="tell time and memory, and stop")
    parser.add_argument("--export", action="store_true", help="export each model to int8 and score that too")
    parser.add_argument(
        "--pretrained",
        type=Path,
        metavar="CHECKPOINT",
        help="two-step's sed begins with it: see `train --pretrained`",
    )
    add_set_option(parser)
    parser.add_argument("--jobs", type=int, default=CORES, help="processes for features (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=CORES, help="threads for training (default: %(default)s)")
    add_machine_options(parser)
    parser.set_defaults(run=run_reproduce)


def run_reproduce(args: argparse.Namespace) -> int:
    """Train and score what is not done yet; print the tables, and write them to `tables.md`.

    Returns:
        0, the exit code.

    Raises:
        ValueError: A corpus is missing, or a step fails: then it says which one, and what was done before is kept.
    """
    if not args.quick:
        import_keras()
        return _reproduce(args, _command)
    os.environ["KERAS_BACKEND"] = "tensorflow"  # one process for all steps
    import_keras()
    with _eager():
        return _reproduce(args, _command_here)


def _reproduce(args: argparse.Namespace, command: Command) -> int:
    from convert.reproduction.paper import read_paper
    from convert.reproduction.report import table_text
    from convert.reproduction.steps import figures, score_row, train_model
    from edge.files import write_atomically

    paper = read_paper(args.paper)
    tables = _chosen(paper, args.table)
    plan = _plan(args, paper)
    models = paper.needed(tables)
    if args.plan or not args.quick:  # how long a quick one takes is known: minutes
        for model in models:
            if not plan.is_trained(model):
                print(f"{model.name}: {model.note}", flush=True)
                print(command([*plan.train_words(model), *plan.options, "--plan"]), end="", flush=True)
        if args.plan:
            return 0
    for model in models:
        train_model(plan, model, command)
    texts = []
    for table in tables:
        ours = {}
        for row in table.rows:
            if row.model and table.test:
                scores = score_row(plan, table, row, command)
                ours[row.label] = {rung: figures(table, row, each) for rung, each in scores.items()}
        texts.append(table_text(table, ours))
        print(texts[-1], flush=True)
    heading = f"# {paper.title}\n\n{_conditions(plan, args.quick)}\n"
    write_atomically(args.out / TABLES_FILE, "\n".join([heading, *texts]))
    return 0


def _chosen(paper: Paper, numbers: Sequence[int] | None) -> tuple[Table, ...]:
    known = [table.number for table in paper.tables]
    for number in numbers or ():
        if number not in known:
            raise ValueError(f"table: got {number}, wanted one of {', '.join(map(str, known))}")
    return tuple(table for table in paper.tables if not numbers or table.number in numbers)


def _plan(args: argparse.Namespace, paper: Paper) -> Plan:
    """What is to be done with these options. Made-up recordings are written if they are asked for."""
    from convert.data.corpora import CORPORA
    from convert.reproduction.made_up import make_corpus
    from convert.reproduction.steps import Plan, takes_checkpoint

    if args.pretrained is not None and not any(map(takes_checkpoint, paper.models)):
        raise ValueError(f"pretrained: got {args.pretrained}, wanted a paper of whose nets one takes a checkpoint")
    words = {word.partition(":")[0] for model in paper.models for word in (*model.train, *model.dev)}
    corpora = sorted(word.partition("@")[0] for word in words)
    folders: dict[str, Path] = {}
    for given in args.data:
        name, sign, folder = given.partition("=")
        if sign and name in CORPORA:
            folders[name] = Path(folder)
        else:
            folders |= {corpus: Path(given) / corpus for corpus in corpora if (Path(given) / corpus).is_dir()}
    if not args.data:
        if not args.quick:
            raise ValueError(f"got no --data, wanted the folders of {', '.join(corpora)}, or --quick")
        folders = {corpus: args.out / QUICK_DATA / corpus for corpus in corpora}
        for corpus, folder in folders.items():
            if not folder.is_dir():
                make_corpus(corpus, folder)
    return Plan(
        paper,
        folders,
        args.out,
        (*(paper.quick if args.quick else ()), *args.set),
        _train_options(args),
        args.export,
        args.pretrained,
    )


def _train_options(args: argparse.Namespace) -> tuple[str, ...]:
    """Options of `train` that say where it computes."""
    dask = () if args.dask is None else ("--dask", args.dask)
    return "--jobs", str(args.jobs), "--threads", str(args.threads), *dask, *["--data-parallel"] * args.data_parallel


def _conditions(plan: Plan, quick: bool) -> str:
    """What differs from the paper's recipe, for the head of the tables."""
    if quick:
        return "A quick run: tiny nets after a few steps. The figures mean nothing."
    begun = f" SED begins with {plan.pretrained}." if plan.pretrained else ""
    changes = f"With {', '.join(plan.changes)} in all recipes" if plan.changes else "With the recipes as they are"
    return f"{changes}.{begun}"


def _command(words: Sequence[str]) -> str:
    """Run a command in a process of its own, and show it. Raises ValueError if it fails."""
    from convert.reproduction.steps import shown

    print(shown(words), file=sys.stderr, flush=True)
    process = subprocess.run(
        [sys.executable, "-P", "-c", _CHILD, *words], stdout=subprocess.PIPE, text=True, check=False
    )
    if process.returncode:
        reason = process.stdout.strip() or f"its process ended with {process.returncode}"
        raise ValueError(f"{shown(words[:1])} failed: {reason}")
    return process.stdout


def answer_here() -> None:
    """In the process of a command: run it. An error is printed on stdout in the place of what the command prints."""
    output = StringIO()
    try:
        with redirect_stdout(output):
            run_here(sys.argv[1:])
    except (ValueError, OSError) as error:
        print(" ".join(str(error).split()))
        sys.exit(2)
    print(output.getvalue(), end="")


@contextmanager
def _eager() -> Iterator[None]:
    """Compute without compiling inside: a few steps are over long before they are compiled."""
    from tensorflow import config

    config.run_functions_eagerly(True)
    try:
        yield
    finally:
        config.run_functions_eagerly(False)


def _command_here(words: Sequence[str]) -> str:
    """Run a command in this process, and show it."""
    from convert.reproduction.steps import shown

    print(shown(words), file=sys.stderr, flush=True)
    with redirect_stdout(StringIO()) as output:
        run_here(words)
    return output.getvalue()


def run_here(words: Sequence[str]) -> None:
    """Run one of the commands that a reproduction takes in this process. Raises what the command raises."""
    if words[0] != "train":
        os.environ["KERAS_BACKEND"] = "tensorflow"
    parser = argparse.ArgumentParser(prog="seld-convert")
    subparsers = parser.add_subparsers(required=True)
    for add_parser in (add_train_parser, add_export_parser, add_evaluate_parser):
        add_parser(subparsers)
    args = parser.parse_args(list(words))
    args.run(args)
