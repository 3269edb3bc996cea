"""
One set-up of structlog, so that both programs log alike: one event a line on standard error.

An event is a constant name in snake_case; what varies stands in keys beside it.
Whoever owns the work that failed logs it, once.
"""

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import FilteringBoundLogger, Processor

FORMATS = ("json", "text")
LEVELS = ("debug", "info", "warning", "error")


def configure(form: str, level: str, stream: TextIO | None = None) -> None:
    """
    Log from *level* (one of LEVELS) on, as *form* (one of FORMATS), to *stream* or standard error.

    What outside libraries log by the standard library comes the same way, from warnings on.
    Called once, by a program's start.
    """
    out = sys.stderr if stream is None else stream
    threshold = getattr(logging, level.upper())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    ]
    rendered = [*shared, *_rendering(form, out)]
    structlog.configure(
        processors=rendered,
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
    foreign = logging.StreamHandler(out)
    foreign.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(form, out)],
        )
    )
    logging.basicConfig(handlers=[foreign], level=max(threshold, logging.WARNING), force=True)


def logger(program: str) -> FilteringBoundLogger:
    """A logger whose lines say which *program* they are from."""
    bound: FilteringBoundLogger = structlog.get_logger(program=program)
    return bound


def _rendering(form: str, out: TextIO) -> list[Processor]:
    if form == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
    return [
        structlog.dev.ConsoleRenderer(
            colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback, timestamp_key="at"
        )
    ]
