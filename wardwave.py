"""The one command ``wardwave``. Each package brings its own ``cli.py``, imported only when asked for."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import select
import sys
from collections.abc import Sequence

from inference.memory import use_few_arenas
from ingest.json_log import JsonLines
from ingest.sparse_log import Sparse

COMMANDS = {
    "broker": "ingest.cli",
    "replay": "ingest.cli",
    "simulate": "ingest.cli",
    "topics": "ingest.cli",
    "infer": "inference.cli",
    "chaos": "inference.chaos_cli",
    "soak": "inference.chaos_soak_cli",
    "command": "inference.command_cli",
    "alarms": "inference.alarms_cli",
    "score-alarms": "inference.score_cli",
    "score-sounds": "inference.sound_cli",
    "score-eeg": "training.eeg_live_cli",
    "schemas": "inference.cli",
    "record": "inference.recorder_cli",
    "strips": "inference.recorder_cli",
    "trends": "inference.recorder_trends_cli",
    "labels": "inference.labels_cli",
    "judge-alarms": "inference.judge_cli",
    "train": "training.cli",
    "crossval": "training.cli",
    "recipes": "training.cli",
    "datasets": "training.datasets_cli",
    "evaluate": "training.models_cli",
    "models": "training.models_cli",
    "annotate": "training.annotate_cli",
    "explain": "training.annotate_cli",
    "evaluate-noise": "training.noise_cli",
    "verdict": "training.verdict_cli",
    "analyse": "dashboard.analysis_cli",
    "dashboard": "dashboard.cli",
    "demo": "dashboard.cli",
    "users": "dashboard.users_cli",
    "doctor": "dashboard.doctor_cli",
}
NOTICE = "Research software. Not a medical device: do not use it to decide about people."


def build_parser(modules: Sequence[str]) -> argparse.ArgumentParser:
    """Make the parser with the subcommands of the named ``cli`` modules."""
    parser = argparse.ArgumentParser(
        prog="wardwave",
        description="Watches the waveforms of a whole hospital ward.",
        epilog=NOTICE,
    )
    parser.add_argument("--log-level", default="INFO", choices=["DEBUG", "INFO", "WARNING", "ERROR"])
    parser.add_argument(
        "--log-format",
        default=os.environ.get("WARDWAVE_LOG_FORMAT", "text"),
        choices=["text", "json"],
        help="json: an object a line, with bed, topic, partition and offset (also WARDWAVE_LOG_FORMAT)",
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in modules:
        importlib.import_module(module).register(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status (2 for what the user can mend)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    named = next((COMMANDS[word] for word in arguments if word in COMMANDS), None)
    modules = [named] if named else sorted(set(COMMANDS.values()))
    args = build_parser(modules).parse_args(arguments)
    use_few_arenas()
    logging.basicConfig(level=args.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("kafka").setLevel(logging.WARNING)
    for handler in logging.getLogger().handlers:
        handler.addFilter(Sparse("kafka"))
        if args.log_format == "json":
            handler.setFormatter(JsonLines())
    # It warns of every task over 0.1 s, which on a busy machine says nothing.
    logging.getLogger("kafka.net.selector").setLevel(logging.ERROR)
    try:
        status = int(args.run(args))
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        if not _nobody_reads():
            raise
        return 141
    except Exception as error:
        if not _is_ours(error):
            raise
        print(f"wardwave {args.command}: {error}", file=sys.stderr)
        return 2


def _nobody_reads() -> bool:
    """Whether standard output's reader has gone ("| head"); then Python shall not complain at its end."""
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)
    gone = any(event & select.POLLERR for _, event in output.poll(0))
    if gone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return gone


def _is_ours(error: Exception) -> bool:
    """Whether a package foresaw this error, so that its message is all a user needs."""
    roots = {"IngestError", "InferenceError", "ModelError", "TrainingError", "DashboardError"}
    return any(base.__name__ in roots for base in type(error).__mro__)


if __name__ == "__main__":
    sys.exit(main())
