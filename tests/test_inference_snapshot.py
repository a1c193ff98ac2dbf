"""What stands on the topic of states can stop no takeover."""

import pytest

from inference import snapshot
from inference.beds import BedState
from inference.errors import SnapshotError

BROKEN = [
    b"",
    b"\xc1",
    b"\x91" * 100_000,
    b"\x81\xa1x" * 100_000,
    b"\x81\xa1x" + b"\x91" * 100_000,
    b"\x81\xa3bed\xa1\xff",
]


@pytest.mark.parametrize("value", BROKEN, ids=lambda value: repr(value[:8]))
def test_a_broken_state_is_refused_in_words(value: bytes) -> None:
    with pytest.raises(SnapshotError, match="snapshot"):
        snapshot.decode(value)
    with pytest.raises(SnapshotError, match="no state of a signal"):
        snapshot.decode_remains(value)
    with pytest.raises(SnapshotError, match="no BedState"):
        snapshot.decode_as(value, BedState)
