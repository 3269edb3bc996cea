from gpucost.v1 import ledger_pb2 as _ledger_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    ROLE_AGENT: _ClassVar[Role]
    ROLE_CLUSTER_WATCHER: _ClassVar[Role]
ROLE_UNSPECIFIED: Role
ROLE_AGENT: Role
ROLE_CLUSTER_WATCHER: Role

class FromNode(_message.Message):
    __slots__ = ("hello", "batch", "live", "goodbye", "cluster_facts")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    LIVE_FIELD_NUMBER: _ClassVar[int]
    GOODBYE_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FACTS_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    batch: Batch
    live: Live
    goodbye: Goodbye
    cluster_facts: ClusterFacts
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., batch: _Optional[_Union[Batch, _Mapping]] = ..., live: _Optional[_Union[Live, _Mapping]] = ..., goodbye: _Optional[_Union[Goodbye, _Mapping]] = ..., cluster_facts: _Optional[_Union[ClusterFacts, _Mapping]] = ...) -> None: ...

class FromAggregator(_message.Message):
    __slots__ = ("welcome", "ack", "price_book", "slow", "reject")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    PRICE_BOOK_FIELD_NUMBER: _ClassVar[int]
    SLOW_FIELD_NUMBER: _ClassVar[int]
    REJECT_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    ack: Ack
    price_book: PriceBook
    slow: Slow
    reject: Reject
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., ack: _Optional[_Union[Ack, _Mapping]] = ..., price_book: _Optional[_Union[PriceBook, _Mapping]] = ..., slow: _Optional[_Union[Slow, _Mapping]] = ..., reject: _Optional[_Union[Reject, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("role", "cluster", "cluster_uid", "node", "boot_id", "version", "epoch", "next_sequence_number", "last_batch_sha256", "window_ns", "clock_ns", "price_book_version")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_UID_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    LAST_BATCH_SHA256_FIELD_NUMBER: _ClassVar[int]
    WINDOW_NS_FIELD_NUMBER: _ClassVar[int]
    CLOCK_NS_FIELD_NUMBER: _ClassVar[int]
    PRICE_BOOK_VERSION_FIELD_NUMBER: _ClassVar[int]
    role: Role
    cluster: str
    cluster_uid: str
    node: str
    boot_id: str
    version: str
    epoch: str
    next_sequence_number: int
    last_batch_sha256: bytes
    window_ns: int
    clock_ns: int
    price_book_version: str
    def __init__(self, role: _Optional[_Union[Role, str]] = ..., cluster: _Optional[str] = ..., cluster_uid: _Optional[str] = ..., node: _Optional[str] = ..., boot_id: _Optional[str] = ..., version: _Optional[str] = ..., epoch: _Optional[str] = ..., next_sequence_number: _Optional[int] = ..., last_batch_sha256: _Optional[bytes] = ..., window_ns: _Optional[int] = ..., clock_ns: _Optional[int] = ..., price_book_version: _Optional[str] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("durable_sequence_number", "durable_batch_sha256", "store_id", "store_generation", "clock_ns", "price_book_version", "live_interval_ns")
    DURABLE_SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    DURABLE_BATCH_SHA256_FIELD_NUMBER: _ClassVar[int]
    STORE_ID_FIELD_NUMBER: _ClassVar[int]
    STORE_GENERATION_FIELD_NUMBER: _ClassVar[int]
    CLOCK_NS_FIELD_NUMBER: _ClassVar[int]
    PRICE_BOOK_VERSION_FIELD_NUMBER: _ClassVar[int]
    LIVE_INTERVAL_NS_FIELD_NUMBER: _ClassVar[int]
    durable_sequence_number: int
    durable_batch_sha256: bytes
    store_id: str
    store_generation: int
    clock_ns: int
    price_book_version: str
    live_interval_ns: int
    def __init__(self, durable_sequence_number: _Optional[int] = ..., durable_batch_sha256: _Optional[bytes] = ..., store_id: _Optional[str] = ..., store_generation: _Optional[int] = ..., clock_ns: _Optional[int] = ..., price_book_version: _Optional[str] = ..., live_interval_ns: _Optional[int] = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("sequence_number", "table", "workloads", "gpus", "price_book_version", "closed_through_ns")
    SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    WORKLOADS_FIELD_NUMBER: _ClassVar[int]
    GPUS_FIELD_NUMBER: _ClassVar[int]
    PRICE_BOOK_VERSION_FIELD_NUMBER: _ClassVar[int]
    CLOSED_THROUGH_NS_FIELD_NUMBER: _ClassVar[int]
    sequence_number: int
    table: _ledger_pb2.Table
    workloads: _containers.RepeatedCompositeFieldContainer[_ledger_pb2.WorkloadFacts]
    gpus: _containers.RepeatedCompositeFieldContainer[_ledger_pb2.GpuFacts]
    price_book_version: str
    closed_through_ns: int
    def __init__(self, sequence_number: _Optional[int] = ..., table: _Optional[_Union[_ledger_pb2.Table, _Mapping]] = ..., workloads: _Optional[_Iterable[_Union[_ledger_pb2.WorkloadFacts, _Mapping]]] = ..., gpus: _Optional[_Iterable[_Union[_ledger_pb2.GpuFacts, _Mapping]]] = ..., price_book_version: _Optional[str] = ..., closed_through_ns: _Optional[int] = ...) -> None: ...

class Live(_message.Message):
    __slots__ = ("taken_at_ns", "table")
    TAKEN_AT_NS_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    taken_at_ns: int
    table: _ledger_pb2.Table
    def __init__(self, taken_at_ns: _Optional[int] = ..., table: _Optional[_Union[_ledger_pb2.Table, _Mapping]] = ...) -> None: ...

class Goodbye(_message.Message):
    __slots__ = ("reason", "last_sequence_number")
    REASON_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    reason: str
    last_sequence_number: int
    def __init__(self, reason: _Optional[str] = ..., last_sequence_number: _Optional[int] = ...) -> None: ...

class ClusterFacts(_message.Message):
    __slots__ = ("seen_at_ns", "complete", "nodes", "namespaces", "waiting_pods")
    SEEN_AT_NS_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    NAMESPACES_FIELD_NUMBER: _ClassVar[int]
    WAITING_PODS_FIELD_NUMBER: _ClassVar[int]
    seen_at_ns: int
    complete: bool
    nodes: _containers.RepeatedCompositeFieldContainer[NodeFacts]
    namespaces: _containers.RepeatedCompositeFieldContainer[NamespaceFacts]
    waiting_pods: _containers.RepeatedCompositeFieldContainer[WaitingPod]
    def __init__(self, seen_at_ns: _Optional[int] = ..., complete: _Optional[bool] = ..., nodes: _Optional[_Iterable[_Union[NodeFacts, _Mapping]]] = ..., namespaces: _Optional[_Iterable[_Union[NamespaceFacts, _Mapping]]] = ..., waiting_pods: _Optional[_Iterable[_Union[WaitingPod, _Mapping]]] = ...) -> None: ...

class NodeFacts(_message.Message):
    __slots__ = ("name", "uid", "deleted", "labels", "created_at_ns")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    DELETED_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_NS_FIELD_NUMBER: _ClassVar[int]
    name: str
    uid: str
    deleted: bool
    labels: _containers.ScalarMap[str, str]
    created_at_ns: int
    def __init__(self, name: _Optional[str] = ..., uid: _Optional[str] = ..., deleted: _Optional[bool] = ..., labels: _Optional[_Mapping[str, str]] = ..., created_at_ns: _Optional[int] = ...) -> None: ...

class NamespaceFacts(_message.Message):
    __slots__ = ("name", "deleted", "labels")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    DELETED_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    name: str
    deleted: bool
    labels: _containers.ScalarMap[str, str]
    def __init__(self, name: _Optional[str] = ..., deleted: _Optional[bool] = ..., labels: _Optional[_Mapping[str, str]] = ...) -> None: ...

class WaitingPod(_message.Message):
    __slots__ = ("namespace", "pod", "pod_uid", "waiting_since_ns", "requests")
    class RequestsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    POD_FIELD_NUMBER: _ClassVar[int]
    POD_UID_FIELD_NUMBER: _ClassVar[int]
    WAITING_SINCE_NS_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    pod: str
    pod_uid: str
    waiting_since_ns: int
    requests: _containers.ScalarMap[str, int]
    def __init__(self, namespace: _Optional[str] = ..., pod: _Optional[str] = ..., pod_uid: _Optional[str] = ..., waiting_since_ns: _Optional[int] = ..., requests: _Optional[_Mapping[str, int]] = ...) -> None: ...

class Ack(_message.Message):
    __slots__ = ("sequence_number",)
    SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    sequence_number: int
    def __init__(self, sequence_number: _Optional[int] = ...) -> None: ...

class PriceBook(_message.Message):
    __slots__ = ("version", "yaml")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    YAML_FIELD_NUMBER: _ClassVar[int]
    version: str
    yaml: bytes
    def __init__(self, version: _Optional[str] = ..., yaml: _Optional[bytes] = ...) -> None: ...

class Slow(_message.Message):
    __slots__ = ("wait_ns",)
    WAIT_NS_FIELD_NUMBER: _ClassVar[int]
    wait_ns: int
    def __init__(self, wait_ns: _Optional[int] = ...) -> None: ...

class Reject(_message.Message):
    __slots__ = ("sequence_number", "refused")
    class Refused(_message.Message):
        __slots__ = ("slice", "reason")
        SLICE_FIELD_NUMBER: _ClassVar[int]
        REASON_FIELD_NUMBER: _ClassVar[int]
        slice: int
        reason: str
        def __init__(self, slice: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...
    SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    sequence_number: int
    refused: _containers.RepeatedCompositeFieldContainer[Reject.Refused]
    def __init__(self, sequence_number: _Optional[int] = ..., refused: _Optional[_Iterable[_Union[Reject.Refused, _Mapping]]] = ...) -> None: ...
