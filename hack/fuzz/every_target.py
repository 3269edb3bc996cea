"""All targets, one file for each kind of sender."""

from fuzz.target import Target
from fuzz.targets import (
    agents_books,
    aggregators,
    callers,
    cluster_facts,
    driver_rows,
    exporter_text,
    host_files,
    journals,
    kubelet_files,
    owners_files,
    pod_objects,
    questions,
    stream_messages,
)

TARGETS: tuple[Target, ...] = tuple(
    target
    for module in (
        stream_messages,
        cluster_facts,
        callers,
        aggregators,
        kubelet_files,
        host_files,
        exporter_text,
        driver_rows,
        pod_objects,
        agents_books,
        journals,
        owners_files,
        questions,
    )
    for target in module.TARGETS
)
