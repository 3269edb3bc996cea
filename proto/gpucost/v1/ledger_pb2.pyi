from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class HolderKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HOLDER_KIND_UNSPECIFIED: _ClassVar[HolderKind]
    HOLDER_KIND_CONTAINER: _ClassVar[HolderKind]
    HOLDER_KIND_HOST: _ClassVar[HolderKind]
    HOLDER_KIND_UNALLOCATED: _ClassVar[HolderKind]
    HOLDER_KIND_UNATTRIBUTED: _ClassVar[HolderKind]
    HOLDER_KIND_UNOBSERVED: _ClassVar[HolderKind]
HOLDER_KIND_UNSPECIFIED: HolderKind
HOLDER_KIND_CONTAINER: HolderKind
HOLDER_KIND_HOST: HolderKind
HOLDER_KIND_UNALLOCATED: HolderKind
HOLDER_KIND_UNATTRIBUTED: HolderKind
HOLDER_KIND_UNOBSERVED: HolderKind

class Device(_message.Message):
    __slots__ = ("gpu_uuid", "gpu_name", "gi", "ci", "profile", "placement")
    GPU_UUID_FIELD_NUMBER: _ClassVar[int]
    GPU_NAME_FIELD_NUMBER: _ClassVar[int]
    GI_FIELD_NUMBER: _ClassVar[int]
    CI_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    gpu_uuid: bytes
    gpu_name: str
    gi: int
    ci: int
    profile: str
    placement: int
    def __init__(self, gpu_uuid: _Optional[bytes] = ..., gpu_name: _Optional[str] = ..., gi: _Optional[int] = ..., ci: _Optional[int] = ..., profile: _Optional[str] = ..., placement: _Optional[int] = ...) -> None: ...

class Holder(_message.Message):
    __slots__ = ("kind", "reason", "namespace", "pod", "pod_uuid", "pod_uid", "container")
    KIND_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    POD_FIELD_NUMBER: _ClassVar[int]
    POD_UUID_FIELD_NUMBER: _ClassVar[int]
    POD_UID_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_FIELD_NUMBER: _ClassVar[int]
    kind: HolderKind
    reason: int
    namespace: int
    pod: int
    pod_uuid: bytes
    pod_uid: str
    container: int
    def __init__(self, kind: _Optional[_Union[HolderKind, str]] = ..., reason: _Optional[int] = ..., namespace: _Optional[int] = ..., pod: _Optional[int] = ..., pod_uuid: _Optional[bytes] = ..., pod_uid: _Optional[str] = ..., container: _Optional[int] = ...) -> None: ...

class Price(_message.Message):
    __slots__ = ("nanodollars_per_hour", "source", "date")
    NANODOLLARS_PER_HOUR_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DATE_FIELD_NUMBER: _ClassVar[int]
    nanodollars_per_hour: int
    source: str
    date: str
    def __init__(self, nanodollars_per_hour: _Optional[int] = ..., source: _Optional[str] = ..., date: _Optional[str] = ...) -> None: ...

class Slice(_message.Message):
    __slots__ = ("device", "holder", "price", "resource", "length_ns", "reserved_ns", "used_ns", "idle_ns", "unmeasured_ns", "cost_used_nanodollars", "cost_idle_nanodollars", "cost_unmeasured_nanodollars", "cost_nanodollars", "cost_reserved_nanodollars", "method", "watched_ns", "samples", "weight_numerator", "weight_denominator", "memory_held_bytes_max", "sm_active_ns", "tensor_active_ns", "dram_active_ns", "energy_uj", "requests", "flags")
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    LENGTH_NS_FIELD_NUMBER: _ClassVar[int]
    RESERVED_NS_FIELD_NUMBER: _ClassVar[int]
    USED_NS_FIELD_NUMBER: _ClassVar[int]
    IDLE_NS_FIELD_NUMBER: _ClassVar[int]
    UNMEASURED_NS_FIELD_NUMBER: _ClassVar[int]
    COST_USED_NANODOLLARS_FIELD_NUMBER: _ClassVar[int]
    COST_IDLE_NANODOLLARS_FIELD_NUMBER: _ClassVar[int]
    COST_UNMEASURED_NANODOLLARS_FIELD_NUMBER: _ClassVar[int]
    COST_NANODOLLARS_FIELD_NUMBER: _ClassVar[int]
    COST_RESERVED_NANODOLLARS_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    WATCHED_NS_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_NUMERATOR_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_DENOMINATOR_FIELD_NUMBER: _ClassVar[int]
    MEMORY_HELD_BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    SM_ACTIVE_NS_FIELD_NUMBER: _ClassVar[int]
    TENSOR_ACTIVE_NS_FIELD_NUMBER: _ClassVar[int]
    DRAM_ACTIVE_NS_FIELD_NUMBER: _ClassVar[int]
    ENERGY_UJ_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    device: int
    holder: int
    price: int
    resource: str
    length_ns: int
    reserved_ns: int
    used_ns: int
    idle_ns: int
    unmeasured_ns: int
    cost_used_nanodollars: int
    cost_idle_nanodollars: int
    cost_unmeasured_nanodollars: int
    cost_nanodollars: int
    cost_reserved_nanodollars: int
    method: int
    watched_ns: int
    samples: int
    weight_numerator: int
    weight_denominator: int
    memory_held_bytes_max: int
    sm_active_ns: int
    tensor_active_ns: int
    dram_active_ns: int
    energy_uj: int
    requests: int
    flags: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, device: _Optional[int] = ..., holder: _Optional[int] = ..., price: _Optional[int] = ..., resource: _Optional[str] = ..., length_ns: _Optional[int] = ..., reserved_ns: _Optional[int] = ..., used_ns: _Optional[int] = ..., idle_ns: _Optional[int] = ..., unmeasured_ns: _Optional[int] = ..., cost_used_nanodollars: _Optional[int] = ..., cost_idle_nanodollars: _Optional[int] = ..., cost_unmeasured_nanodollars: _Optional[int] = ..., cost_nanodollars: _Optional[int] = ..., cost_reserved_nanodollars: _Optional[int] = ..., method: _Optional[int] = ..., watched_ns: _Optional[int] = ..., samples: _Optional[int] = ..., weight_numerator: _Optional[int] = ..., weight_denominator: _Optional[int] = ..., memory_held_bytes_max: _Optional[int] = ..., sm_active_ns: _Optional[int] = ..., tensor_active_ns: _Optional[int] = ..., dram_active_ns: _Optional[int] = ..., energy_uj: _Optional[int] = ..., requests: _Optional[int] = ..., flags: _Optional[_Iterable[int]] = ...) -> None: ...

class Table(_message.Message):
    __slots__ = ("window_start_ns", "length_ns", "policy_version", "names", "devices", "holders", "prices", "slices")
    WINDOW_START_NS_FIELD_NUMBER: _ClassVar[int]
    LENGTH_NS_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    HOLDERS_FIELD_NUMBER: _ClassVar[int]
    PRICES_FIELD_NUMBER: _ClassVar[int]
    SLICES_FIELD_NUMBER: _ClassVar[int]
    window_start_ns: int
    length_ns: int
    policy_version: str
    names: _containers.RepeatedScalarFieldContainer[str]
    devices: _containers.RepeatedCompositeFieldContainer[Device]
    holders: _containers.RepeatedCompositeFieldContainer[Holder]
    prices: _containers.RepeatedCompositeFieldContainer[Price]
    slices: _containers.RepeatedCompositeFieldContainer[Slice]
    def __init__(self, window_start_ns: _Optional[int] = ..., length_ns: _Optional[int] = ..., policy_version: _Optional[str] = ..., names: _Optional[_Iterable[str]] = ..., devices: _Optional[_Iterable[_Union[Device, _Mapping]]] = ..., holders: _Optional[_Iterable[_Union[Holder, _Mapping]]] = ..., prices: _Optional[_Iterable[_Union[Price, _Mapping]]] = ..., slices: _Optional[_Iterable[_Union[Slice, _Mapping]]] = ...) -> None: ...

class WorkloadFacts(_message.Message):
    __slots__ = ("namespace", "pod", "pod_uid", "valid_from_ns", "labels", "annotations", "owner_kind", "owner_name")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class AnnotationsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    POD_FIELD_NUMBER: _ClassVar[int]
    POD_UID_FIELD_NUMBER: _ClassVar[int]
    VALID_FROM_NS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    ANNOTATIONS_FIELD_NUMBER: _ClassVar[int]
    OWNER_KIND_FIELD_NUMBER: _ClassVar[int]
    OWNER_NAME_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    pod: str
    pod_uid: str
    valid_from_ns: int
    labels: _containers.ScalarMap[str, str]
    annotations: _containers.ScalarMap[str, str]
    owner_kind: str
    owner_name: str
    def __init__(self, namespace: _Optional[str] = ..., pod: _Optional[str] = ..., pod_uid: _Optional[str] = ..., valid_from_ns: _Optional[int] = ..., labels: _Optional[_Mapping[str, str]] = ..., annotations: _Optional[_Mapping[str, str]] = ..., owner_kind: _Optional[str] = ..., owner_name: _Optional[str] = ...) -> None: ...

class GpuFacts(_message.Message):
    __slots__ = ("gpu_uuid", "model", "memory_bytes", "instance_type", "region", "valid_from_ns")
    GPU_UUID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_TYPE_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    VALID_FROM_NS_FIELD_NUMBER: _ClassVar[int]
    gpu_uuid: str
    model: str
    memory_bytes: int
    instance_type: str
    region: str
    valid_from_ns: int
    def __init__(self, gpu_uuid: _Optional[str] = ..., model: _Optional[str] = ..., memory_bytes: _Optional[int] = ..., instance_type: _Optional[str] = ..., region: _Optional[str] = ..., valid_from_ns: _Optional[int] = ...) -> None: ...
