"""Local users: a private file, passwords that cannot be guessed quickly, changes that hold at once."""

from __future__ import annotations

import io
import json
import stat
import threading
from pathlib import Path
from typing import Literal

import argon2
import pytest

import wardwave
from dashboard import backoff
from dashboard.backoff import Backoff
from dashboard.errors import UsersError
from dashboard.users import Role, User, UsersFile

CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
PASSWORD = "correct horse battery"


@pytest.fixture
def users(tmp_path: Path) -> UsersFile:
    file = UsersFile(tmp_path / "users.json", CHEAP)
    file.add("anna", Role.ADMIN, PASSWORD)
    file.add("bert", Role.CLINICIAN, "another good phrase")
    return file


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("role", "commands", "admin"),
    [(Role.VIEWER, False, False), (Role.CLINICIAN, True, False), (Role.ADMIN, True, True)],
)
def test_roles_allow_what_they_say(role: Role, commands: bool, admin: bool) -> None:
    user = User("anna", role, "local")
    assert (user.may_command, user.is_admin) == (commands, admin)


def test_the_file_is_private_and_holds_no_password(users: UsersFile) -> None:
    assert stat.S_IMODE(users.path.stat().st_mode) == 0o600
    text = users.path.read_text()
    assert PASSWORD not in text
    content = json.loads(text)
    assert [user["hash"][:9] for user in content["users"]] == ["$argon2id"] * 2
    assert len(content["key"]) == 64
    assert [path.name for path in users.path.parent.iterdir() if path.name.endswith("~")] == []


def test_a_file_that_others_may_read_is_refused(users: UsersFile) -> None:
    users.path.chmod(0o640)
    with pytest.raises(UsersError, match="chmod 600"):
        UsersFile(users.path, CHEAP).users()


@pytest.mark.parametrize("content", ["", "{", '{"version": 2, "key": "", "users": []}', '{"users": 1}'])
def test_a_broken_file_says_so(users: UsersFile, content: str) -> None:
    users.path.write_text(content)
    with pytest.raises(UsersError, match="no users file"):
        users.users()


def test_the_right_password_opens_and_no_other(users: UsersFile) -> None:
    found = users.check("anna", PASSWORD)
    assert found is not None
    assert found.role is Role.ADMIN
    assert users.check("anna", PASSWORD + " ") is None
    assert users.check("bert", PASSWORD) is None
    assert users.check("nobody", PASSWORD) is None


def test_keyboards_that_compose_characters_differently_type_the_same_password(users: UsersFile) -> None:
    users.set_password("anna", "schl\u00fcssel-bund")
    assert users.check("anna", "schlu\u0308ssel-bund") is not None


class Counting(argon2.PasswordHasher):
    """Notes what it verifies."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.verified: list[str | bytes] = []

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 - argon2's name
        self.verified.append(hash)
        return super().verify(hash, password)


def test_unknown_and_disabled_users_cost_as_much_as_others(users: UsersFile) -> None:
    hasher = Counting()
    users.set_disabled("bert", True)
    server = UsersFile(users.path, hasher)
    assert server.check("nobody", PASSWORD) is None
    assert server.check("bert", "another good phrase") is None
    assert server.check("anna", PASSWORD) is not None
    assert len(hasher.verified) == 3
    assert len(set(hasher.verified)) == 2, "one stand-in for all who are not there"
    assert {argon2.extract_parameters(str(one)).memory_cost for one in hasher.verified} == {8}


def test_a_password_is_hashed_anew_when_the_parameters_have_changed(users: UsersFile) -> None:
    before = users.find("anna")
    dearer = argon2.PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    assert UsersFile(users.path, dearer).check("anna", PASSWORD) is not None
    after = users.find("anna")
    assert before is not None
    assert after is not None
    assert argon2.extract_parameters(after.hash).time_cost == 2
    assert after.stamp == before.stamp, "a new hash of the same password ends no session"
    assert users.check("anna", PASSWORD) is not None


def test_a_change_by_the_command_is_seen_by_the_server_at_once(users: UsersFile) -> None:
    server = UsersFile(users.path, CHEAP)
    assert server.check("bert", "another good phrase") is not None
    users.set_disabled("bert", True)
    assert server.check("bert", "another good phrase") is None
    users.set_disabled("bert", False)
    users.set_role("bert", Role.VIEWER)
    found = server.find("bert")
    assert found is not None
    assert found.role is Role.VIEWER
    users.remove("bert")
    assert server.find("bert") is None


def test_changes_at_the_same_time_are_all_kept(users: UsersFile) -> None:
    def add(number: int) -> None:
        UsersFile(users.path, CHEAP).add(f"nurse-{number}", Role.VIEWER, PASSWORD)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(users.users()) == 10


@pytest.mark.parametrize(
    ("name", "password", "words"),
    [
        ("anna", PASSWORD, "is there already"),
        ("Anna", PASSWORD, "a-z"),
        ("../x", PASSWORD, "a-z"),
        ("<b>", PASSWORD, "a-z"),
        ("carl", "short", "10 to 128"),
        ("carl", "x" * 129, "10 to 128"),
        ("carl", "my name is Carl", "user's name"),
    ],
)
def test_bad_names_and_passwords_are_refused(users: UsersFile, name: str, password: str, words: str) -> None:
    with pytest.raises(UsersError, match=words):
        users.add(name, Role.VIEWER, password)
    assert len(users.users()) == 2


def test_failed_tries_must_wait_longer_and_longer() -> None:
    clock = Clock()
    waits = Backoff(clock)
    keys: tuple[backoff.Key, backoff.Key] = (("user", "anna"), ("address", "10.0.0.9"))
    assert [waits.begin(*keys) for _ in range(5)] == [0.0] * 5
    assert waits.begin(*keys) == backoff.FIRST_S
    clock.now += backoff.FIRST_S
    assert waits.begin(*keys) == 0.0
    assert waits.begin(*keys) == 2 * backoff.FIRST_S
    assert waits.begin(("user", "bert"), ("address", "10.0.0.9")) == 0.0, "others from there may still try"
    for _ in range(20):
        clock.now += backoff.LONGEST_S
        assert waits.begin(*keys) == 0.0
    assert waits.begin(*keys) == backoff.LONGEST_S
    assert waits.begin(("user", "carl"), keys[1]) == backoff.LONGEST_S, "the address has tried too often"
    clock.now += backoff.FORGOTTEN_S + 1
    assert [waits.begin(*keys) for _ in range(5)] == [0.0] * 5


def test_success_forgets_the_users_tries_but_not_those_of_the_address() -> None:
    waits = Backoff(Clock())
    for number in range(19):
        assert waits.begin(("user", f"guess-{number}"), ("address", "10.0.0.9")) == 0.0
    for _ in range(3):
        assert waits.begin(("user", "own"), ("address", "10.0.0.9")) == 0.0
        waits.succeeded(("user", "own"), ("address", "10.0.0.9"))
    assert waits.begin(("user", "guess"), ("address", "10.0.0.9")) == 0.0
    assert waits.begin(("user", "guess"), ("address", "10.0.0.9")) > 0


def test_who_has_signed_in_from_an_address_does_not_wait_for_others_there() -> None:
    clock = Clock()
    waits = Backoff(clock)
    proxy: backoff.Key = ("address", "10.0.0.9")
    anna: backoff.Key = ("user", "anna")
    assert waits.begin(anna, proxy) == 0.0
    waits.succeeded(anna, proxy)
    for number in range(20):
        assert waits.begin(("user", f"guess-{number}"), proxy) == 0.0
    assert waits.begin(("user", "bert"), proxy) > 0
    for _ in range(3):
        assert waits.begin(anna, proxy) == 0.0
        waits.succeeded(anna, proxy)
    clock.now += 1
    assert waits.begin(("user", "bert"), proxy) == backoff.FIRST_S - 1, "nor do they make others wait longer"
    assert waits.begin(anna, ("address", "10.0.0.8")) == 0.0
    for _ in range(4):
        assert waits.begin(anna, proxy) == 0.0
    assert waits.begin(anna, proxy) > 0, "tries at their own name count as ever"
    clock.now += backoff.KNOWN_S + 1
    for number in range(20):
        assert waits.begin(("user", f"guess-{number}"), proxy) == 0.0
    assert waits.begin(anna, proxy) > 0, "after a day they are as unknown as others"


def test_made_up_names_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "MOST", 50)
    waits = Backoff(Clock())
    for number in range(500):
        waits.begin(("user", f"guess-{number}"), ("address", f"10.0.0.{number}"))
    assert len(waits._tries) == 50


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[Path, pytest.CaptureFixture[str]]:
    path = tmp_path / "users.json"
    monkeypatch.setenv("WARDWAVE_DASHBOARD__USERS", str(path))
    monkeypatch.setattr("argon2.PasswordHasher", lambda: CHEAP)
    return path, capsys


def test_the_command_adds_lists_changes_and_removes(
    command: tuple[Path, pytest.CaptureFixture[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, capsys = command
    monkeypatch.setattr("sys.stdin", io.StringIO(PASSWORD + "\n"))
    assert wardwave.main(["users", "add", "anna", "--role", "admin", "--password-stdin"]) == 0
    monkeypatch.setattr("getpass.getpass", lambda prompt: "typed unseen twice")
    assert wardwave.main(["users", "add", "bert", "--role", "clinician"]) == 0
    assert wardwave.main(["users", "disable", "bert"]) == 0
    assert wardwave.main(["users", "disable", "--oidc", "Eve@Example.org"]) == 0
    assert wardwave.main(["users", "role", "anna", "--role", "clinician"]) == 0
    capsys.readouterr()
    assert wardwave.main(["users", "list"]) == 0
    printed = capsys.readouterr().out
    assert [line.split(maxsplit=1) for line in printed.splitlines()] == [
        ["anna", "clinician"],
        ["bert", "clinician  disabled"],
        ["eve@example.org", "barred from OIDC"],
    ]
    users = UsersFile(path, CHEAP)
    assert users.check("bert", "typed unseen twice") is None
    assert wardwave.main(["users", "enable", "bert"]) == 0
    assert users.check("bert", "typed unseen twice") is not None
    assert wardwave.main(["users", "password", "bert"]) == 0
    assert wardwave.main(["users", "remove", "anna"]) == 0
    assert users.find("anna") is None


def test_two_passwords_that_differ_change_nothing(
    command: tuple[Path, pytest.CaptureFixture[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, capsys = command
    typed = iter(["first of the two", "second of the two"])
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(typed))
    assert wardwave.main(["users", "add", "anna", "--role", "admin"]) == 2
    assert "differ" in capsys.readouterr().err
    assert not path.exists()


def test_a_password_is_never_an_argument(command: tuple[Path, pytest.CaptureFixture[str]]) -> None:
    _, capsys = command
    with pytest.raises(SystemExit):
        wardwave.main(["users", "add", "anna", "--role", "admin", "--password", PASSWORD])
    assert "unrecognized arguments: --password" in capsys.readouterr().err


def test_the_command_says_what_is_missing(
    command: tuple[Path, pytest.CaptureFixture[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, capsys = command
    assert wardwave.main(["users", "remove", "nobody"]) == 2
    assert "wardwave users list" in capsys.readouterr().err
    monkeypatch.delenv("WARDWAVE_DASHBOARD__USERS")
    assert wardwave.main(["users", "list"]) == 2
    assert "WARDWAVE_DASHBOARD__USERS" in capsys.readouterr().err
    assert wardwave.main(["users", "--file", "/nowhere/users.json", "disable", "anna"]) == 2
    assert "make /nowhere" in capsys.readouterr().err
