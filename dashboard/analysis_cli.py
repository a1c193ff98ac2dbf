"""``wardwave analyse``: a recording from a file, as the dashboard's Analyse page does it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from inference.cli import NO_MODEL, add_eeg_model, add_models, add_sound_models

if TYPE_CHECKING:
    from inference.analysis_findings import AlarmFinding, EegFindings, Findings
    from inference.analysis_limits import AnalysisLimits
    from inference.analysis_unpack import Upload
    from inference.analysis_wire import Models


SHORT_KINDS = {"lung": "lung_sound", "heart": "heart_sound"}


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "analyse",
        help="run a recording through the ward's pipeline: alarms, beats, seizures, sounds, a report",
        description="Reads WFDB (.hea with its data, or a zip), EDF/BDF, sounds or CSV in a bounded child "
        "process and says what the ward's monitor would have found.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="the files of one recording")
    parser.add_argument(
        "--kind",
        help="signal kind of all channels, where their names do not tell it: lung or heart for sounds, else "
        "ecg, pleth, abp, resp or eeg (default of a sound: lung)",
    )
    parser.add_argument("--fs", type=float, metavar="HZ", help="rate of a CSV without a time column")
    parser.add_argument(
        "--unit",
        help="unit of a CSV's columns that name none, or of an EDF's EEG, whatever its head says: mV, uV, V",
    )
    parser.add_argument("--channels", metavar="A,B", help="only these channels")
    parser.add_argument("--record", help="which recording, where there are several")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the findings as JSON")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a report as one HTML file")
    parser.add_argument(
        "--time-s", type=int, help="stop it after so long (default WARDWAVE_DASHBOARD__ANALYSIS_TIME_S: 900)"
    )
    add_models(parser)
    add_sound_models(parser)
    add_eeg_model(parser)
    parser.set_defaults(run=run_analyse)


def run_analyse(args: argparse.Namespace) -> int:
    """Analyse, print what was found and write what was asked for."""
    import msgspec
    from tqdm import tqdm

    from dashboard.settings import limits_of, load_dashboard_settings
    from inference.analysis_findings import to_json
    from inference.analysis_job import run_alone
    from inference.analysis_read import ReadOptions
    from inference.errors import BadUpload
    from inference.score_cli import write

    if args.time_s is not None and args.time_s < 1:
        raise BadUpload(f"--time-s {args.time_s}: give 1 or more")
    limits = limits_of(load_dashboard_settings())
    if args.time_s is not None:
        limits = msgspec.structs.replace(limits, time_s=args.time_s)
    channels = tuple(args.channels.split(",")) if args.channels else ()
    options = ReadOptions(SHORT_KINDS.get(args.kind, args.kind), args.fs, channels, args.record, args.unit)
    models = _models(args)
    with tqdm(total=100, unit="%", bar_format="{desc} {percentage:3.0f} %|{bar}|", disable=None) as bar:

        def tell(name: str, share: float) -> None:
            bar.set_description_str(name, refresh=False)
            bar.n = round(100 * share)
            bar.refresh()

        result = run_alone(
            _with_neighbours(args.files, limits),
            options,
            limits,
            models,
            lambda stage: tell(stage.name, stage.share),
        )
    print("\n".join(_lines(result.findings)))
    if args.json is not None:
        write(args.json, to_json(result.findings))
    if args.html is not None:
        # Not before: it brings matplotlib.
        from dashboard.analysis_report import to_html

        write(args.html, to_html(result))
    return 0


def _models(args: argparse.Namespace) -> Models:
    """The networks that were named, found: the child is elsewhere, and a name that is wrong is told at once.

    Raises
    ------
    ModelError
        There is no such model, or its card is none.
    BadUpload
        The model listens to something else.
    """
    from inference.analysis_wire import Models
    from inference.errors import BadUpload
    from models import cards

    def found(name: str) -> str:
        cards.read_spec(name)
        return str(cards.find(name).resolve())

    def listener(task: str) -> str | None:
        name: str | None = getattr(args, f"{task}_model")
        if name is None or name == NO_MODEL:
            return name
        if (spec := cards.read_spec(name)).task != task:
            raise BadUpload(f"--{task}-model {name}: a model of task {spec.task}; name one of task {task}")
        return found(name)

    beats = None if args.beats_model == NO_MODEL else found(args.beats_model)
    return Models(found(args.model), beats, listener("lung"), listener("heart"), listener("eeg"))


def _with_neighbours(paths: list[Path], limits: AnalysisLimits) -> list[Upload]:
    """The files, and what lies beside a WFDB header that it names; nothing from elsewhere."""
    from inference.analysis_headers import PLAIN_NAME
    from inference.analysis_limits import UPLOAD_SETTING
    from inference.errors import BadUpload

    wanted = [
        path.with_name(f"{path.name}.hea")
        if not path.exists() and path.with_name(f"{path.name}.hea").exists()
        else path
        for path in paths
    ]
    for path in wanted:
        if path.suffix != ".hea" or len(wanted) > limits.max_files or not path.is_file():
            continue
        for line in path.read_bytes()[:200_000].decode(errors="replace").splitlines()[1:]:
            word = re.split(r"\s", line.strip(), maxsplit=1)[0]
            for name in (word, f"{word}.hea"):
                beside = path.with_name(name) if PLAIN_NAME.fullmatch(name) else path
                if beside not in wanted and beside.is_file():
                    wanted.append(beside)
    total = 0
    for path in wanted:
        if not path.is_file():
            raise BadUpload(f"{path}: no such file")
        total += path.stat().st_size
    if total > limits.max_upload_mb * 1_000_000:
        raise BadUpload(
            f"{paths[0]}: {total / 1e6:,.1f} MB; at most {limits.max_upload_mb} MB: cut a part out, or raise "
            f"{UPLOAD_SETTING}"
        )
    return [_upload(path) for path in wanted]


def _upload(path: Path) -> Upload:
    from inference.analysis_unpack import Upload
    from inference.errors import BadUpload

    try:
        return Upload(path.name, path.read_bytes())
    except OSError as error:
        raise BadUpload(f"{path}: {error.strerror}; name a file that can be read") from error


def _alarm_lines(alarms: Sequence[AlarmFinding]) -> list[str]:
    from dashboard.words import clock
    from inference.analysis_findings import gravest_first

    return [
        f"  {clock(one.onset_s)} to {'the end' if one.end_s is None else clock(one.end_s)}  {one.message}"
        for one in gravest_first(alarms)
    ]


def _eeg_lines(eeg: EegFindings) -> list[str]:
    from dashboard import analysis_eeg_words as words

    lines = []
    for one, row in zip(eeg.seizures, words.seizure_rows(eeg), strict=True):
        about = (
            f"{row['Length']}, probability {row['Greatest probability']}, looked at {row['Looked at most']}"
        )
        end = row["End"] if one.to_the_end else f"to {row['End']}"
        lines.append(f"  {row['Begin']} {end}  seizure, {about}")
    return lines + [f"  {line[:1].lower()}{line[1:]}" for line in words.lost_lines(eeg)]


def _lines(findings: Findings) -> list[str]:
    from dashboard.words import clock
    from inference.analysis_findings import NOTICE, head_lines

    lines = [f"{findings.name}: {findings.format}, {findings.duration_s:,.1f} s", *head_lines(findings)]
    if findings.ecg is not None:
        lines += _alarm_lines(findings.ecg.alarms)
    if findings.eeg is not None:
        lines += [*_eeg_lines(findings.eeg), *_alarm_lines(findings.eeg.alarms)]
    for sound in findings.sounds:
        lines += _alarm_lines(sound.alarms)
        lines += [
            f"  not judged {clock(one.begin_s)} to {clock(one.end_s)}  {one.reason}" for one in sound.lost
        ]
        if sound.verdict is not None:
            lines.append(f"{sound.signal}: {sound.verdict.note}")
    lines += [f"{one.signal}: {one.statement}" for one in findings.signals]
    return [*lines, *findings.notes, f"{NOTICE}."]
