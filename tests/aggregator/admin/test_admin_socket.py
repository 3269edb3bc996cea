"""The admin socket: who may open it, who may take its place, and what is left of it."""

import asyncio
import json
import socket
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog
from aiohttp import web
from gpucost.trouble import EXIT_PERMISSION, EXIT_PORT, EXIT_SETTINGS, EXIT_STORE, Reject, Retry, Stop

from contracts.another_user import as_another, is_root
from gpucost_aggregator.admin.application import answer, body_of, make_admin
from gpucost_aggregator.admin.client import AdminClient
from gpucost_aggregator.admin.serving import look_at_place, serving_admin


async def tell(_: web.Request) -> web.Response:
    return answer({"name": "\N{SNOWMAN}"})


async def echo(request: web.Request) -> web.Response:
    return answer({"body": await body_of(request), "query": dict(request.query)})


def failing(trouble: Exception) -> Callable[[web.Request], object]:
    async def fail(_: web.Request) -> web.Response:
        raise trouble

    return fail


ROUTES = [
    web.get("/name", tell),
    web.get("/echo", echo),
    web.post("/echo", echo),
    web.get("/reject", failing(Reject("can not be"))),  # type: ignore[arg-type]
    web.get("/retry", failing(Retry("later"))),  # type: ignore[arg-type]
    web.get("/stop", failing(Stop("mend it", 4))),  # type: ignore[arg-type]
    web.get("/bug", failing(ValueError("secret inside"))),  # type: ignore[arg-type]
]


def played(path: Path, call: Callable[[AdminClient], object]) -> object:
    """What *call* gives of a client, while a server is there."""

    async def scene() -> object:
        async with serving_admin(make_admin(structlog.get_logger(), ROUTES), path):
            return await asyncio.to_thread(call, AdminClient(path))

    return asyncio.run(scene())


def refusal(path: Path, route: str) -> Stop:
    def call(client: AdminClient) -> Stop:
        with pytest.raises(Stop) as trouble:
            client.get(route)
        return trouble.value

    found = played(path, call)
    assert isinstance(found, Stop)
    return found


def test_only_its_owner_opens_it_and_it_goes_with_its_server(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"

    def call(client: AdminClient) -> None:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert client.get("/name") == {"name": "\N{SNOWMAN}"}
        assert client.get("/echo", {"a": "x y", "b": None}) == {"body": {}, "query": {"a": "x y"}}
        assert client.post("/echo", {"a": ["\N{SNOWMAN}"]})["body"] == {"a": ["\N{SNOWMAN}"]}

    played(path, call)
    assert not path.exists()


def test_a_path_longer_than_a_name_of_a_socket(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 90) / ("y" * 90)
    folder.mkdir(parents=True)
    path = folder / "admin.sock"
    assert played(path, lambda client: client.get("/name")) == {"name": "\N{SNOWMAN}"}
    assert not path.exists()


def test_a_live_server_keeps_its_place(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"

    def call(client: AdminClient) -> None:
        with pytest.raises(Stop, match="another aggregator listens there") as trouble:
            played(path, lambda _: None)
        assert trouble.value.exit_code == EXIT_PORT
        with pytest.raises(Stop):
            look_at_place(path)
        assert client.get("/name")

    played(path, call)


def test_what_a_killed_server_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    left = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    left.bind(str(path))
    left.close()
    look_at_place(path)
    assert path.exists()
    assert played(path, lambda client: client.get("/name"))


def test_anything_else_stays_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    path.write_text("mine")
    with pytest.raises(Stop, match="no socket") as trouble:
        played(path, lambda _: None)
    assert trouble.value.exit_code == EXIT_SETTINGS
    assert path.read_text() == "mine"
    with pytest.raises(Stop, match="folder that this user may write") as trouble:
        played(tmp_path / "none" / "admin.sock", lambda _: None)
    assert trouble.value.exit_code == EXIT_PERMISSION


def test_a_place_that_somebody_else_took_over_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"

    def call(_: AdminClient) -> None:
        path.unlink()
        path.write_text("another's")

    played(path, call)
    assert path.read_text() == "another's"


def test_without_a_server_it_says_what_to_do(tmp_path: Path) -> None:
    left = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    left.bind(str(tmp_path / "left.sock"))
    left.close()
    for name in ("none.sock", "left.sock", "none/none.sock"):
        with pytest.raises(Stop, match=r"no aggregator runs at .*: start it") as trouble:
            AdminClient(tmp_path / name).get("/name")
        assert trouble.value.exit_code == EXIT_SETTINGS


IMPORTS = """
import pathlib, sys
from gpucost.trouble import Stop
from gpucost_aggregator.admin.client import AdminClient
"""
ASKS = """
try:
    print(AdminClient(pathlib.Path(sys.argv[1])).get("/name")["name"])
except Stop as trouble:
    print(trouble.exit_code, trouble)
"""


def test_another_user_may_not_ask() -> None:
    # Pytest's folders are its user's alone, and would keep others from any socket.
    with tempfile.TemporaryDirectory(prefix="admin-") as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "admin.sock"

        def call(_: AdminClient) -> None:
            if not is_root():
                path.chmod(0)
            said = as_another(IMPORTS, ASKS, path)
            assert said.startswith(f"{EXIT_PERMISSION} ")
            assert "may not ask" in said
            # It is the socket's mode that keeps it out.
            path.chmod(0o666)
            assert as_another(IMPORTS, ASKS, path) == "\N{SNOWMAN}\n"

        played(path, call)


@pytest.mark.parametrize(
    ("route", "words", "code"),
    [
        ("/reject", "can not be", EXIT_SETTINGS),
        ("/retry", "later", EXIT_STORE),
        ("/stop", "mend it", 4),
        ("/bug", "this is a bug", EXIT_STORE),
        ("/none", "different versions", EXIT_SETTINGS),
    ],
)
def test_trouble_reaches_the_operator(tmp_path: Path, route: str, words: str, code: int) -> None:
    found = refusal(tmp_path / "admin.sock", route)
    assert words in str(found)
    assert "secret" not in str(found)
    assert found.exit_code == code


@pytest.mark.parametrize("body", ["[]", "{", '"x"'])
def test_a_body_that_is_no_object(tmp_path: Path, body: str) -> None:
    path = tmp_path / "admin.sock"

    def call(client: AdminClient) -> None:
        with pytest.raises(Stop, match="the body is no JSON"):
            client._ask("POST", "/echo", body)

    played(path, call)


def test_answers_are_json(tmp_path: Path) -> None:
    assert json.loads(str(answer({"a": 1}).text)) == {"a": 1}
