"""Commands of the ingest side: ``broker``, ``topics``, ``replay``, ``simulate``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    Subparsers = _SubParsersAction[argparse.ArgumentParser]


def register(subparsers: Subparsers) -> None:
    """Add the commands to the parser of ``wardwave``."""
    # Both modules import their heavy libraries only when they run.
    from ingest import replay, simulate

    broker = subparsers.add_parser("broker", help="run the embedded broker (Kafka's protocol, in memory)")
    broker.add_argument("--port", type=int, default=9092, help="loopback port, 0 for a free one")
    broker.add_argument(
        "--max-memory-mb", type=int, default=2_000, help="stop when its memory goes above this"
    )
    broker.set_defaults(run=run_broker)

    topics = subparsers.add_parser("topics", help="create the topics that do not exist")
    topics.set_defaults(run=run_topics)

    replay_parser = subparsers.add_parser("replay", help="publish recordings as if they were live")
    replay.add_arguments(replay_parser)
    replay_parser.set_defaults(run=replay.run)

    simulate_parser = subparsers.add_parser("simulate", help="publish a simulated ward")
    simulate.add_arguments(simulate_parser)
    simulate_parser.set_defaults(run=simulate.run)


def run_broker(args: argparse.Namespace) -> int:
    """Run the embedded broker until SIGINT or SIGTERM, or until it reaches its bound of memory."""
    import signal
    import threading

    from ingest import kafka
    from ingest.broker import EmbeddedBroker
    from ingest.errors import SettingsError
    from ingest.settings import load_settings

    if not 0 <= args.port <= 65_535:
        raise SettingsError(f"--port {args.port}: a port is 0 to 65535")
    if args.max_memory_mb < 50:
        raise SettingsError(f"--max-memory-mb {args.max_memory_mb}: the empty broker needs 50 MB")
    settings = load_settings()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with EmbeddedBroker(args.port, args.max_memory_mb * 1_000_000) as broker:
        named = settings.kafka.model_copy(update={"bootstrap_servers": broker.bootstrap_servers})
        kafka.ensure_topics(settings.model_copy(update={"kafka": named}))
        print(
            f"broker on {broker.bootstrap_servers} ({settings.kafka.partitions} partitions), Ctrl-C stops it"
        )
        print(f"export WARDWAVE_KAFKA__BOOTSTRAP_SERVERS={broker.bootstrap_servers}", flush=True)
        while not stop.wait(0.5):
            broker.check()
        print(f"broker stopped; it held {broker.memory_bytes() / 1e6:.0f} MB")
    return 0


def run_topics(args: argparse.Namespace) -> int:
    """Create the topics."""
    from ingest import kafka
    from ingest.settings import load_settings

    settings = load_settings()
    kafka.ensure_topics(settings)
    for name in settings.topics.model_dump().values():
        print(f"{name}: {settings.kafka.partitions} partitions")
    return 0
