"""What the kubelet and device drivers write: device ids, checkpoints, claims, the list of pods."""

import json
import re
from typing import Any

from google.protobuf.message import DecodeError
from gpucost.identity import Device
from gpucost.kubelet.v1 import api_pb2
from hypothesis import strategies as st

from fuzz.drawing import changed, json_inputs, texts
from fuzz.shapes import see_typed
from fuzz.target import Target, holds, text_of
from gpucost_agent.readings import DeviceId, Gpu
from gpucost_agent.sources.kubelet.allocations import Ids
from gpucost_agent.sources.kubelet.claim_files import (
    parse_cdi,
    parse_driver_checkpoint,
    parse_manager_state,
    parse_mig_minors,
)
from gpucost_agent.sources.kubelet.device_ids import (
    GPU_RESOURCES,
    KnownGpus,
    counts,
    device_ids,
    in_claims_spelling,
    parse,
    parse_claim_device,
    resolve,
)
from gpucost_agent.sources.kubelet.kubelet_files import parse_checkpoint
from gpucost_agent.sources.kubelet.listed_pods import messages
from gpucost_agent.sources.kubelet.pod_resources import containers_of

A = "GPU-0000000a-0000-0000-0000-00000000000a"
B = "GPU-0000000b-0000-0000-0000-00000000000b"
M = "MIG-c73ab1c4-6cb7-59b6-be7e-21c4ac35c3b6"
KNOWN = KnownGpus(
    (Gpu(A, 0, 3, "NVIDIA L4", None), Gpu(B, 1, 0, "NVIDIA A100-SXM4-40GB", None)),
    {M: Device(B, 2, 0, "1g.5gb", 4), M[:-1] + "7": Device(B, 1, 0, "3g.20gb", 0)},
)
BY_UUID, BY_MINOR, BY_INDEX = (
    {A: Device(A), B: Device(B)},
    {3: Device(A), 0: Device(B)},
    {0: Device(A), 1: Device(B)},
)
RESOURCES = sorted(
    GPU_RESOURCES | {"nvidia.com/mig-1g.5gb", "nvidia.com/gpu.shared", "amd.com/gpu", "x/y", ""}
)
IDS = (
    *(A, B, f"GPU-{A[4:].upper()}", f"{A}::0", f"{A}::", f"{A}-7", f"{A}-_-12", M, f"{M}::3", f"{M}-1"),
    *(
        f"MIG-{B}/2/0",
        f"MIG-{B}/2/0::1",
        f"MIG-{B}/9/0",
        "nvidia0",
        "nvidia3",
        "nvidia0/gi2",
        "nvidia3/vgpu2",
    ),
    *(
        "0",
        "1",
        "0-4",
        "1:2",
        "all",
        "tegra",
        "0000:3b:00.0",
        "amdgpu_xcp_3",
        "card1-7",
        "gpu-0",
        "gpu-3",
        "",
    ),
    *("gpu-0-mig-1g5gb-19-4", "gpu-0-mig-19-4-0", "gpu-0-mig-3g20gb-9-0", "gpu-vfio-0"),
)
_UUID = r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
_TOKENS = tuple(
    token.encode()
    for token in ("::", "-", "/", "gi", "vgpu", "nvidia", "gpu-", "MIG-", "GPU-", "-_-", "mig", " ")
)


_ANCHORED = re.compile(
    rf"MIG-GPU-{_UUID}/\d+/\d+(::\d*)?|(MIG|GPU)-{_UUID}(::\d*|-\d+)?"
    r"|nvidia\d+(/gi\d+)?(/vgpu\d+)?|\d+(-\d+)?|all|tegra"
)
"""All shapes of ids that may name a device."""


def check_device_ids(data: bytes) -> bool:
    """An id names the device that it spells out, or none; reading never raises, and never names what is not there."""
    resource, _, raw = text_of(data).partition("\n")
    parsed = parse(resource, raw)
    see_typed(parsed)
    holds(parse(resource, raw) == parsed, "read twice, an id says two things")
    device, numbers = (
        resolve(parsed, KNOWN),
        (parsed.minor, parsed.index, parsed.gi, parsed.ci, parsed.replica),
    )
    holds(all(number is None or number >= 0 for number in numbers), f"a negative number: {parsed}")
    holds(device is None or device in {*BY_UUID.values(), *KNOWN.mig.values()}, f"{device} does not exist")
    holds(device is None or _ANCHORED.fullmatch(raw), f"{raw} is taken for {device}")
    if re.fullmatch(r"GPU-[0-9a-fA-F-]{36}", raw):
        holds(device == BY_UUID.get(f"GPU-{raw[4:].lower()}"), f"{raw} is {device}")
    if raw in KNOWN.mig:
        holds(device == KNOWN.mig[raw], f"{raw} is {device}")
    if found := re.fullmatch(r"nvidia([0-9]{1,3})", raw):
        holds(device == BY_MINOR.get(int(found[1])), f"{raw} is {device}")
    if found := re.fullmatch(r"MIG-(GPU-[0-9a-f-]{36})/([0-9]{1,2})/([0-9]{1,2})", raw):
        place = (found[1], int(found[2]), int(found[3]))
        right = [each for each in KNOWN.mig.values() if (each.gpu_uuid, each.gi, each.ci) == place]
        holds(device == (right[0] if right else None), f"{raw} is {device}")
    if re.fullmatch(r"[0-9]{1,3}", raw):
        index = BY_INDEX.get(int(raw)) if resource.startswith("volcano.sh/gpu-") else None
        holds(device == (index if resource in GPU_RESOURCES else None), f"{raw} of {resource} is {device}")
    once = device_ids([(resource, raw), (resource, raw)], KNOWN)
    holds(len(once) == counts(resource, parsed), "an id that is repeated is not one")
    if resource in GPU_RESOURCES and not _other(raw):
        holds(once, f"an id of {resource} was left out")
    holds(once == Ids(KNOWN).of({resource: (raw, raw)}), "an answer that is remembered is another")
    _see_claim(raw)
    return device is not None or any(isinstance(entry, DeviceId) for entry in once)


def _other(raw: str) -> bool:
    """An id of a device that is no GPU of NVIDIA's, by its beginning or its colons."""
    return raw.startswith(("amdgpu", "card")) or raw.count(":") == 2


def _see_claim(name: str) -> None:
    parsed = parse_claim_device(name)
    device = resolve(parsed, KNOWN)
    if found := re.fullmatch(r"gpu-([0-9]{1,3})", name):
        holds(device == BY_MINOR.get(int(found[1])), f"{name} is {device}")
    for each in KNOWN.mig.values():
        if name == f"gpu-0-mig-{in_claims_spelling(each.profile)}-19-{each.placement}":
            holds(device == each, f"{name} is {device}")


entries = st.fixed_dictionaries(
    {
        "PodUID": st.sampled_from(["u1", "u2"]),
        "ContainerName": st.sampled_from(["main", "init"]),
        "ResourceName": st.sampled_from(["nvidia.com/gpu", "rdma/hca"]),
        "DeviceIDs": st.lists(st.sampled_from(IDS), max_size=3)
        | st.dictionaries(
            st.sampled_from(["-1", "0", "1"]), st.lists(st.sampled_from(IDS), max_size=3), max_size=2
        ),
        "AllocResp": st.just("CgA="),
    }
)
checkpoints = st.fixed_dictionaries(
    {
        "Data": st.fixed_dictionaries({"PodDeviceEntries": st.lists(entries, max_size=4)}),
        "Checksum": st.just(1),
    }
)
_NO_FILE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What parsers of such files raise; whoever reads them takes it for a file that is none."""


def check_checkpoint(data: bytes) -> bool:
    """Every id of every entry that is well formed is there once, under its pod and container, and nothing else is."""
    text = text_of(data)
    try:
        given = parse_checkpoint(text)
    except _NO_FILE:
        return False
    said: dict[tuple[str, str, str], list[str]] = {}
    well_formed = True
    for entry in json.loads(text)["Data"].get("PodDeviceEntries") or ():
        plain = isinstance(entry, dict) and all(
            isinstance(entry.get(key), str) for key in ("PodUID", "ContainerName", "ResourceName")
        )
        ids = entry.get("DeviceIDs") if plain else None
        groups = list(ids.values()) if isinstance(ids, dict) else [ids]
        if plain and all(
            isinstance(group, list) and all(isinstance(raw, str) for raw in group) for group in groups
        ):
            key = (entry["PodUID"], entry["ContainerName"], entry["ResourceName"])
            if not all(_is_whole(text) for text in (*key, *(raw for group in groups for raw in group))):
                well_formed = False
                continue
            said.setdefault(key, []).extend(raw for group in groups for raw in group)
        else:
            well_formed = False
    found = {(each.pod_uid, each.container, name): ids for each in given for name, ids in each.ids.items()}
    for key, raws in said.items():
        holds(set(raws) <= set(found.get(key, ())), f"{key} lacks some of {raws}")
    if well_formed:
        expected = {key: tuple(dict.fromkeys(raws)) for key, raws in said.items()}
        holds(found == expected, f"{found} is not what is written: {expected}")
    holds(parse_checkpoint(text) == given, "read twice, a checkpoint says two things")
    for each in given:
        see_typed(each)
        Ids(KNOWN).of(each.ids)
    return bool(given)


def _is_whole(text: str) -> bool:
    return not any("\ud800" <= sign <= "\udfff" for sign in text)


def _device(name: str) -> dict[str, Any]:
    return {"Requests": ["r"], "PoolName": "node-0", "DeviceName": name}


claims = st.fixed_dictionaries(
    {
        "checkpointState": st.sampled_from(["PrepareCompleted", "PrepareStarted", "PrepareAborted", ""]),
        "status": st.just({"reservedFor": [{"resource": "pods", "name": "p", "uid": "u1"}]})
        | st.just({"allocation": {"devices": {"results": [{"device": "gpu-0", "adminAccess": True}]}}}),
        "preparedDevices": st.just(
            [
                {
                    "devices": [
                        {"gpu": {"info": {"uuid": A}, "device": _device("gpu-0")}, "mig": None},
                        {
                            "mig": {
                                "concrete": {"parentUUID": B, "giId": 2, "ciId": 0, "migUUID": M},
                                "device": _device("gpu-0-mig-1g5gb-19-4"),
                            }
                        },
                        {"vfio": {"info": {"uuid": A}, "device": _device("gpu-vfio-0")}},
                    ]
                }
            ]
        ),
        "name": st.just("c"),
        "namespace": st.just("ns"),
    }
)
driver_checkpoints = st.builds(
    lambda claims, version: {version: {"preparedClaims": claims}} if version else {"preparedClaims": claims},
    st.dictionaries(st.sampled_from(["claim-1", "claim-2"]), claims, max_size=2),
    st.sampled_from(["v1", "v2", ""]),
)
manager_states = st.builds(
    lambda claim, key, nested: {"Data": json.dumps({key: [claim]})} if nested else {key: [claim]},
    st.fixed_dictionaries(
        {
            "ClaimUID": st.just("claim-1"),
            "Namespace": st.just("ns"),
            "ClaimName": st.just("c"),
            "PodUIDs": st.just(["u1", "u2"]) | st.just({"u1": {}}),
            "DriverState": st.just({"gpu.nvidia.com": []}) | st.just(None),
        }
    ),
    st.sampled_from(["ClaimInfoStateList", "Entries", "entries"]),
    st.booleans(),
)
CDI = b"""cdiVersion: 0.5.0
devices:
- containerEdits:
    deviceNodes:
    - path: /dev/nvidia3
    - path: /dev/nvidia-caps/nvidia-cap12
  name: claim-1-gpu-0
- name: "claim-1-gpu-1"
  containerEdits:
    deviceNodes:
      - path: '/dev/nvidia0'
kind: k8s.gpu.nvidia.com/claim
"""
CDI_JSON = json.dumps(
    {"devices": [{"name": "gpu-0", "containerEdits": {"deviceNodes": [{"path": "/dev/nvidia3"}]}}]}
).encode()
MINORS = b"config 1\nmonitor 2\ngpu0/gi1/access 12\ngpu0/gi1/ci0/access 13\ngpu7/gi2/ci1/access 901\n"
_CLAIM_PARSERS = (parse_driver_checkpoint, parse_manager_state, parse_cdi)


def check_claims(data: bytes) -> bool:
    """Files of claims are read or raise what they say; what is read has its types, as pods are looked up by it."""
    text, some = text_of(data), False
    for parser in _CLAIM_PARSERS:
        try:
            found = parser(text)
        except _NO_FILE:
            continue
        for each in found:
            # Its texts are compared with those of others, and go nowhere.
            see_typed(each, may_be_halves=True)
            some = True
            hash(each)
        holds(parser(text) == found, f"{parser.__name__}: read twice, a file says two things")
    try:
        minors = parse_mig_minors(text)
    except ValueError:
        return some
    for line in text.split("\n"):
        if exact := re.fullmatch(r"gpu([0-9]{1,4})/gi([0-9]{1,4})/ci([0-9]{1,4})/access ([0-9]{1,9})", line):
            holds(int(exact[4]) in minors, f"{line!r} was not read")
    for number, place in minors.items():
        line = rf"^gpu0*{place[0]}/gi0*{place[1]}/ci0*{place[2]}/access 0*{number}$"
        holds(re.search(line, text, re.MULTILINE), f"{place} is not in the file")
    return some or bool(minors)


listed = st.builds(
    api_pb2.ListPodResourcesResponse,
    pod_resources=st.lists(
        st.builds(
            api_pb2.PodResources,
            name=st.sampled_from(["p1", "p2", ""]),
            namespace=st.just("ns"),
            containers=st.lists(
                st.builds(
                    api_pb2.ContainerResources,
                    name=st.sampled_from(["main", "x" * 200]),
                    devices=st.lists(
                        st.builds(
                            api_pb2.ContainerDevices,
                            resource_name=st.sampled_from(RESOURCES),
                            device_ids=st.lists(st.sampled_from(IDS), max_size=3),
                        ),
                        max_size=2,
                    ),
                ),
                max_size=2,
            ),
        ),
        max_size=4,
    ),
)
_LIST_TOKENS = (
    b"\x0a",
    b"\x0a\x00",
    b"\x12\x00",
    b"\x0a\xff\xff\xff\xff\x0f",
    b"\x0a" + b"\xff" * 30 + b"\x01",
    b"\x0a\x80\x00",
)
list_bytes = st.one_of(
    listed.map(lambda answer: answer.SerializeToString()),
    st.deferred(lambda: changed([_LISTED], _LIST_TOKENS)),
    st.binary(max_size=20),
)
_LISTED = api_pb2.ListPodResourcesResponse(
    pod_resources=[
        api_pb2.PodResources(name="p1", namespace="ns", containers=[api_pb2.ContainerResources(name="main")]),
        api_pb2.PodResources(name="p2", namespace="ns"),
    ]
).SerializeToString()


def check_list(data: bytes) -> bool:
    """Cut into the messages of its pods, the kubelet's list says what protobuf reads from it as a whole."""
    try:
        cut = list(messages(data))
    except ValueError:
        cut = None
    try:
        whole = api_pb2.ListPodResourcesResponse.FromString(data)
    except DecodeError:
        whole = None
    if cut is None:
        known = (
            whole and api_pb2.ListPodResourcesResponse(pod_resources=whole.pod_resources).SerializeToString()
        )
        holds(known != data, "a list that protobuf writes so is refused")
        return False
    holds(sum(map(len, cut)) <= len(data), "the parts are more than the whole")
    try:
        pods = [api_pb2.PodResources.FromString(each) for each in cut]
    except DecodeError:
        holds(whole is None, "a part can not be read, and the whole can")
        return False
    if whole is not None:
        holds(pods == list(whole.pod_resources), "the parts are not the whole")
        list(containers_of(whole))
    holds(whole is not None, "protobuf refuses a list whose parts can be read")
    return True


id_bytes = st.builds(
    lambda resource, raw: resource.encode() + b"\n" + raw,
    st.sampled_from(RESOURCES) | texts.filter(lambda text: "\ud800" not in text and "\n" not in text),
    changed([raw.encode() for raw in IDS], _TOKENS),
)
claim_bytes = st.one_of(
    json_inputs(driver_checkpoints),
    json_inputs(manager_states),
    changed(
        [CDI, CDI_JSON, MINORS], (b"name: ", b"- ", b"  ", b"path: ", b"/dev/nvidia", b"devices:", b"\n")
    ),
)
_ROOM = "agent/gpucost_agent/sources/kubelet"
TARGETS = (
    Target("device_ids", (f"{_ROOM}/device_ids.py", f"{_ROOM}/allocations.py"), id_bytes, check_device_ids),
    Target("kubelet_checkpoint", (f"{_ROOM}/kubelet_files.py",), json_inputs(checkpoints), check_checkpoint),
    Target("claims", (f"{_ROOM}/claim_files.py", f"{_ROOM}/claims.py"), claim_bytes, check_claims),
    Target("kubelet_list", (f"{_ROOM}/listed_pods.py", f"{_ROOM}/pod_resources.py"), list_bytes, check_list),
)
