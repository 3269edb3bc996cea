"""`review` as it is set up: in a real program, which has no API server here, and so shows nobody anything."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

REVIEW = "review:\n  cluster: east\n"
PROXY = "--trusted-proxies=127.0.0.1"


def program(folder: Path, *flags: str) -> list[str]:
    file = folder / "readers.yaml"
    file.write_text(REVIEW)
    ports = ("--grpc-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0")
    data = f"--data-dir={folder}/data"
    return [sys.executable, "-m", "gpucost_aggregator", *flags, data, *ports, f"--readers-file={file}"]


def environ() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GPUCOST_")}
    return kept | {"PYTHONPATH": ":".join(sys.path)}


def get(address: str, path: str, **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(f"http://{address}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.read().decode()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("run",), "`review` is about whom a proxy names: set --trusted-proxies"),
        (("check",), "`review` is about whom a proxy names: set --trusted-proxies"),
        (("run", "--groups-header=X-Forwarded-Groups"), "set without --trusted-proxies"),
    ],
)
def test_what_could_let_nobody_in_is_refused(tmp_path: Path, flags: tuple[str, ...], words: str) -> None:
    run = subprocess.run(
        program(tmp_path, *flags), capture_output=True, text=True, check=False, env=environ()
    )
    assert (run.returncode, words in run.stdout + run.stderr) == (2, True), run.stderr


def test_a_check_says_who_is_asked(tmp_path: Path) -> None:
    run = subprocess.run(
        program(tmp_path, "check", PROXY), capture_output=True, text=True, check=False, env=environ()
    )
    assert "Kubernetes what they may see of east" in run.stdout


def test_without_an_api_server_a_program_shows_nothing_and_says_why(tmp_path: Path) -> None:
    flags = ("run", PROXY, "--groups-header=X-Forwarded-Groups")
    with subprocess.Popen(
        program(tmp_path, *flags), stderr=subprocess.PIPE, text=True, env=environ()
    ) as running:
        try:
            assert running.stderr is not None
            address = json.loads(running.stderr.readline())["http"]
            assert get(address, "/")[0] == 401
            for path in ("/", "/api/v1/slices", "/api/v1/live"):
                status, text = get(address, path, **{"X-Forwarded-User": "alice"})
                assert (status, "east can not be asked what you may see" in text) == (503, True)
            assert "gpucost_access_reviews_failed_total 3.0" in get(address, "/metrics")[1]
        finally:
            running.terminate()
            told = running.communicate(timeout=30)[1]
    assert sum(json.loads(line)["event"] == "access_review_failed" for line in told.splitlines()) == 3
