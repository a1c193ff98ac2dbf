"""``wardwave users``: who may sign in to the dashboard."""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dashboard.users import UsersFile

ROLES = ("viewer", "clinician", "admin")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand with one of its own for each change."""
    parser = subparsers.add_parser(
        "users",
        help="add, list and change those who sign in to the dashboard",
        description="Changes the file that WARDWAVE_DASHBOARD__USERS names (docs/dashboard-access.md). "
        "A change holds at once, also for those who are signed in.",
    )
    parser.add_argument("--file", type=Path, help="instead of WARDWAVE_DASHBOARD__USERS")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", help="add a user; asks for the password", allow_abbrev=False)
    add.add_argument("--role", required=True, choices=ROLES)
    password = actions.add_parser(
        "password", help="set another password; ends the user's sessions", allow_abbrev=False
    )
    for one in (add, password):
        one.add_argument(
            "--password-stdin", action="store_true", help="read it from the first line of standard input"
        )
    role = actions.add_parser("role", help="set another role")
    role.add_argument("--role", required=True, choices=ROLES)
    remove = actions.add_parser("remove", help="remove a user; ends the user's sessions")
    disable = actions.add_parser("disable", help="keep a user out; ends the user's sessions")
    disable.add_argument("--oidc", action="store_true", help="a name that signs in by OIDC, at the provider")
    enable = actions.add_parser("enable", help="let a disabled user in again")
    for one in (add, password, role, remove, disable, enable):
        one.add_argument("name", metavar="NAME")
    actions.add_parser("list", help="list all users")
    actions.add_parser("end-sessions", help="put everybody out, who then must sign in again")
    parser.set_defaults(run=run_users)


def run_users(args: argparse.Namespace) -> int:
    """Make the change or print the list."""
    from dashboard.users import Role

    users = _file(args.file)
    if args.action == "list":
        _print(users)
        return 0
    if args.action == "end-sessions":
        users.end_sessions()
        print(f"{users.path}: all sessions have ended")
        return 0
    name: str = args.name
    if args.action == "add":
        users.add(name, Role(args.role), _password(args.password_stdin))
    elif args.action == "password":
        users.set_password(name, _password(args.password_stdin))
    elif args.action == "role":
        users.set_role(name, Role(args.role))
    elif args.action == "remove":
        users.remove(name)
    elif args.action == "disable" and args.oidc:
        users.bar(name)
    else:
        users.set_disabled(name, args.action == "disable")
    print(f"{users.path}: {args.action} {name}: done")
    return 0


def _file(path: Path | None) -> UsersFile:
    from dashboard.errors import UsersError
    from dashboard.settings import load_dashboard_settings
    from dashboard.users import UsersFile

    path = path or load_dashboard_settings().users
    if path is None:
        raise UsersError(
            "WARDWAVE_DASHBOARD__USERS is not set: name the users file, "
            "as WARDWAVE_DASHBOARD__USERS=$HOME/wardwave-users.json, or --file"
        )
    return UsersFile(path)


def _print(users: UsersFile) -> None:
    records = users.users()
    if not records:
        print(f"{users.path}: nobody yet (wardwave users add NAME --role admin)")
    for record in records:
        kind = "barred from OIDC" if not record.hash else str(record.role)
        print(f"{record.name:<32}  {kind}{'  disabled' if record.disabled and record.hash else ''}")


def _password(from_stdin: bool) -> str:
    """Ask twice, unseen; never an argument, which all on the machine could read."""
    from dashboard.errors import UsersError

    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != first:
        raise UsersError("the two passwords differ; try again")
    return first
