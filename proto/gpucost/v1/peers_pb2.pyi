from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Glimpses(_message.Message):
    __slots__ = ("replica", "interval_ns", "glimpses")
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_NS_FIELD_NUMBER: _ClassVar[int]
    GLIMPSES_FIELD_NUMBER: _ClassVar[int]
    replica: str
    interval_ns: int
    glimpses: _containers.RepeatedCompositeFieldContainer[Glimpse]
    def __init__(self, replica: _Optional[str] = ..., interval_ns: _Optional[int] = ..., glimpses: _Optional[_Iterable[_Union[Glimpse, _Mapping]]] = ...) -> None: ...

class Glimpse(_message.Message):
    __slots__ = ("cluster", "node", "taken_at_ns", "age_ns", "table")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    TAKEN_AT_NS_FIELD_NUMBER: _ClassVar[int]
    AGE_NS_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    node: str
    taken_at_ns: int
    age_ns: int
    table: bytes
    def __init__(self, cluster: _Optional[str] = ..., node: _Optional[str] = ..., taken_at_ns: _Optional[int] = ..., age_ns: _Optional[int] = ..., table: _Optional[bytes] = ...) -> None: ...
