"""`seld-convert probe`: clip libraries -> how well their classes are told apart, and clips that may be mislabelled."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from convert.commands.options import parse_names
from edge.files import write_atomically

if TYPE_CHECKING:
    from convert.clips.library import Clip, ClipLibrary
    from convert.clips.probe import Judgement
    from convert.commands.options import Subparsers

MOST_CONFUSED = 4


def add_probe_parser(subparsers: Subparsers) -> None:
    """Add the `probe` command and its options to a command line."""
    parser = subparsers.add_parser(
        "probe",
        help="measure by a linear classifier how well the classes of clips are told apart",
        description="With --clips, clips are judged by a classifier that learnt from other sources, and by one that "
        "learnt from other groups. With --train and --test, the clips of one library are judged by a classifier that "
        "learnt from another: so it is measured how well synthesized sounds stand for recorded ones.",
    )
    parser.add_argument("--clips", type=Path, action="append", metavar="DIR", help="a clip library; repeatable")
    parser.add_argument(
        "--train", type=Path, action="append", metavar="DIR", help="a library to learn from; repeatable"
    )
    parser.add_argument("--test", type=Path, action="append", metavar="DIR", help="a library to judge; repeatable")
    parser.add_argument("--split", help="of --clips and --train, use only this split: train or test")
    parser.add_argument("--test-split", help="of --test, use only this split: train or test")
    parser.add_argument(
        "--held-back", metavar="NAMES", help="sources of --test to judge, of which nothing is learnt; * fits any text"
    )
    parser.add_argument(
        "--list", type=int, default=20, metavar="N", help="list so many suspected clips (default: %(default)s)"
    )
    parser.add_argument("--drop-to", type=Path, metavar="FILE", help="write the suspected clips, one path a line")
    parser.add_argument(
        "--suspicion",
        type=float,
        default=3.0,
        metavar="X",
        help="a clip is suspected if another class is e^X times likelier than its own (default: %(default)s)",
    )
    parser.set_defaults(run=run_probe)


def run_probe(args: argparse.Namespace) -> int:
    """Print the tables, write the list of suspected clips; return 0.

    Raises:
        ValueError: the options do not fit together, or a library is invalid.
    """
    if [bool(args.clips), bool(args.train), bool(args.test)] not in ([True, False, False], [False, True, True]):
        raise ValueError("got other libraries, wanted either --clips, or --train and --test")
    if args.held_back and args.clips:
        raise ValueError("--held-back: got it with --clips, wanted --train and --test")
    if args.drop_to and not args.clips:
        raise ValueError("--drop-to: got it without --clips, wanted both")
    if args.clips:
        _print_within(_load(args.clips, args.split), args)
    else:
        learnt, judged = _load(args.train, args.split), _load(args.test, args.test_split)
        if args.held_back:
            learnt, judged = _held_back(learnt, judged, parse_names(args.held_back))
        _print_between(learnt, judged)
    return 0


def _load(folders: list[Path], split: str | None) -> ClipLibrary:
    from convert.clips.library import load_clip_library, merge_libraries

    return merge_libraries([load_clip_library(folder, split) for folder in folders])


def _held_back(learnt: ClipLibrary, judged: ClipLibrary, sources: list[str]) -> tuple[ClipLibrary, ClipLibrary]:
    """The first library without some sources, and the second with them alone. The first need not have them."""
    from convert.clips.choose import choose_sources, fits

    known = {clip.source for clip in learnt.clips}
    left = choose_sources(learnt, without=[each for each in sources if fits(each, known)])
    return left, choose_sources(judged, only=sources)


def _print_within(library: ClipLibrary, args: argparse.Namespace) -> None:
    from convert.clips import probe

    clips = probe.labelled_clips(library)
    features = probe.describe(library, clips)
    by_source, by_group = (probe.judge_folds(features, clips, by) for by in ("source", "group"))
    print(f"By sources that were not learnt from:\n\n{_table(by_source)}\n")
    print(f"By groups that were not learnt from:\n\n{_table(by_group)}\n")
    suspects = probe.mislabelled(by_group, by_source, args.suspicion)
    print(f"{len(suspects)} of {len(clips)} clips sound like another class.")
    print(_suspected_sources([clips[i] for i in suspects], clips))
    suspicion = by_group.suspicion()
    for i in suspects[: args.list]:
        other = by_group.class_names[int(by_group.log_posterior[i].argmax())]
        print(f"{suspicion[i]:6.1f}  {clips[i].path}  {clips[i].class_name} -> {other}  ({clips[i].source})")
    if args.drop_to:
        lines = sorted(_path_in_library(clips[i], args.clips) for i in suspects)
        write_atomically(args.drop_to, "".join(f"{line}\n" for line in lines))


def _print_between(learnt: ClipLibrary, judged: ClipLibrary) -> None:
    from convert.clips import probe

    known, others = probe.labelled_clips(learnt), probe.labelled_clips(judged)
    print(_table(probe.judge_other(probe.describe(learnt, known), known, probe.describe(judged, others), others)))


def _table(judgement: Judgement) -> str:
    """Write recall and confusion of each class as a table of Markdown, and the mean of the recalls."""
    lines = ["| class | clips | recall | judged as |", "|---|---|---|---|"]
    confusion, recall = judgement.confusion(), judgement.recall()
    for row, name in enumerate(judgement.class_names):
        stated, clips = int((judgement.labels == row).sum()), int(confusion[row].sum())
        if clips:
            others = [column for column in (-confusion[row]).argsort(kind="stable") if column != row]
            most = [column for column in others[:MOST_CONFUSED] if confusion[row, column]]
            heard = ", ".join(f"{judgement.class_names[column]} {confusion[row, column]}" for column in most)
            lines.append(f"| {name} | {clips} | {recall[row]:.2f} | {heard} |")
        elif stated:
            lines.append(f"| {name} | {stated} | - | not learnt: no other clips |")
    known = recall[recall == recall]
    return "\n".join([*lines, f"| mean | {int(confusion.sum())} | {known.mean():.3f} | |"])


def _suspected_sources(suspects: list[Clip], clips: list[Clip]) -> str:
    """Name the sources of which at least half of the clips of a class are suspected."""
    counts, found = (Counter((clip.source, clip.class_name) for clip in part) for part in (clips, suspects))
    return "\n".join(
        f"source {source}: {found[source, name]} of {counts[source, name]} clips of {name} are suspected"
        for source, name in sorted(found)
        if 2 * found[source, name] >= counts[source, name] > 1
    )


def _path_in_library(clip: Clip, folders: list[Path]) -> str:
    return next(clip.path.relative_to(folder).as_posix() for folder in folders if clip.path.is_relative_to(folder))
