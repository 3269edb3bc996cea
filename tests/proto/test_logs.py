import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from gpucost.logs import FORMATS, configure, logger


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def lines(form: str, level: str) -> list[str]:
    out = io.StringIO()
    configure(form, level, out)
    log = logger("agent")
    log.debug("window_opened")
    log.info("batch_sent", slices=3, note="grün")
    try:
        raise OSError(28, "No space left")
    except OSError:
        log.exception("spool_full", path="/spool")
    logging.getLogger("outside").warning("deprecated %s", "call")
    logging.getLogger("outside").info("chatter")
    return out.getvalue().splitlines()


def test_json_is_one_event_a_line() -> None:
    sent, failed, foreign = (json.loads(line) for line in lines("json", "info"))
    assert sent["event"] == "batch_sent"
    assert sent["program"] == "agent"
    assert (sent["level"], sent["slices"], sent["note"]) == ("info", 3, "grün")
    assert sent["at"].endswith("Z")
    assert failed["level"] == "error"
    assert "No space left" in failed["exception"]
    assert (foreign["event"], foreign["level"], foreign["logger"]) == (
        "deprecated call",
        "warning",
        "outside",
    )


def test_text_is_for_people_and_without_colours_in_a_file() -> None:
    first = lines("text", "info")[0]
    assert "batch_sent" in first
    assert "slices=3" in first
    assert "\x1b" not in first


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_below_the_level_is_not_written(form: str) -> None:
    text = "\n".join(lines(form, "error"))
    assert "spool_full" in text
    assert "batch_sent" not in text
    assert "deprecated" not in text
    assert "window_opened" in "\n".join(lines(form, "debug"))
