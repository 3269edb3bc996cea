"""What the kernel shows of processes, some of it of their own making: cgroups, stat, environment, folders' names."""

import re

from gpucost.units import NS_PER_SECOND
from hypothesis import strategies as st

from fuzz.drawing import changed, odd_texts
from fuzz.target import Target, bytes_of, holds, text_of
from gpucost_agent.sources.host.cgroup_paths import Place, parse_cgroup
from gpucost_agent.sources.host.host_files import parse_log_link, parse_pod_folder
from gpucost_agent.sources.host.processes import parse_booted_at_ns, parse_mps_percent, parse_stat

UID = "0e2e0d3b-9c1a-4f65-8a0f-8f0e6a1c2b3d"
OTHER = "11111111-2222-3333-4444-555555555555"
ID = "9f" * 32
CGROUPS = (
    f"0::/kubepods/burstable/pod{UID}/{ID}\n",
    f"0::/kubepods.slice/kubepods-pod{UID.replace('-', '_')}.slice/cri-containerd-{ID}.scope\n",
    f"12:devices:/kubepods/pod{UID}/{ID}\n1:name=systemd:/system.slice/containerd.service\n",
    f"0::/system.slice/docker-{'ab' * 32}.scope/kubelet.slice/kubelet-kubepods-pod{UID}.slice/crio-{ID}.scope\n",
    "0::/system.slice/sshd.service\n",
    f"0::/kubepods/pod{'0123456789abcdef' * 2}/{ID} (deleted)\n",
)
STAT = "1234 (tmux: server) S 1 1234 1234 0 -1 4194560 800 0 0 0 5 4 0 0 20 0 1 0 98765 1000 200"


def _components(text: str) -> str:
    return text.replace("/", "").replace("\n", "").replace("\0", "")


below = st.lists(
    (st.text(max_size=6) | odd_texts | st.sampled_from([f"pod{OTHER}", ID])).map(_components), max_size=3
)


@st.composite
def nested(draw: st.DrawFn) -> bytes:
    """A container's own cgroups below it, of names as it likes."""
    path = "/".join([draw(st.sampled_from(CGROUPS[:2])).rstrip("\n"), *draw(below)])
    return bytes_of(f"{path}\n")


def check_cgroup(data: bytes) -> bool:
    """Any text has a place. What stands below a container's cgroup, by whatever name, stays in its pod."""
    text = text_of(data)
    place = parse_cgroup(text)
    holds(parse_cgroup(text) == place, "read twice, a process is in two places")
    for part in (place.pod_uid.replace("-", "_"), place.container_id, place.unit):
        holds(part in text or part.replace("_", "-") in text, f"{part!r} is not in the text")
    holds(re.fullmatch(r"[0-9a-f-]{32,36}|", place.pod_uid), f"{place.pod_uid!r} is no UID")
    holds(re.fullmatch(r"[0-9a-f]{64}|", place.container_id), f"{place.container_id!r} is no container")
    lines = text.removesuffix("\n").split("\n")
    line = lines[0]
    if (
        len(lines) == 1
        and line.startswith(f"0::/kubepods/burstable/pod{UID}/{ID}/")
        and "pod" not in line[60:]
    ):
        holds(place == Place(UID, ID), f"a process below its container is in {place}")
    if text in CGROUPS[:4]:
        holds(place == Place(UID, ID), f"{text!r} is {place}")
    return place != Place()


commands = (st.text(max_size=15) | odd_texts).map(lambda text: text.replace("\0", "")[:15])
stats = st.builds(
    lambda command, ticks: bytes_of(STAT.replace("tmux: server", command).replace("98765", str(ticks))),
    commands,
    st.integers(0, 2**64),
)
ENVIRON = b"PATH=/bin\0CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=25\0HOME=/\0"
environs = st.builds(
    lambda before, percent, after: b"\0".join([b"E", *before, percent, *after]) + b"\0",
    st.lists(st.binary(max_size=4).map(lambda part: part.replace(b"\0", b"")), max_size=2),
    st.one_of(
        st.integers(0, 200).map(lambda n: f"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE={n}".encode()),
        odd_texts.map(lambda text: bytes_of(f"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE={text}").replace(b"\0", b"")),
    ),
    st.lists(st.binary(max_size=4).map(lambda part: part.replace(b"\0", b"")), max_size=2),
)


def check_process(data: bytes) -> bool:
    """Whatever a process calls itself, its start is read; whatever it has in its environment, nothing is raised."""
    text, taken = text_of(data), False
    try:
        ticks, command = parse_stat(text)
    except ValueError:
        holds(not _is_stat(text), "a stat of the kernel's form is refused")
    else:
        taken = True
        holds(command in text, f"{command!r} is not in the text")
        if _is_stat(text):
            holds(text.endswith(f" {ticks} 1000 200"), f"the start is {ticks}")
            holds(text.startswith(f"1234 ({command}) S "), f"the command is {command!r}")
    percent = parse_mps_percent(data)
    holds(percent is None or 0 < percent <= 100, f"{percent} percent")
    plain = [
        part
        for part in data.split(b"\0")
        if re.fullmatch(rb"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=[0-9]{1,3}", part)
    ]
    if data.count(b"CUDA_MPS") == 1 and len(plain) == 1:
        said = int(plain[0].partition(b"=")[2])
        holds(percent == (said if 0 < said <= 100 else None), f"{said} was read as {percent}")
    try:
        booted_ns = parse_booted_at_ns(text)
        holds(booted_ns % NS_PER_SECOND == 0 and booted_ns >= 0, f"booted at {booted_ns}")
        taken = True
    except ValueError:
        pass
    return taken or percent is not None


def _is_stat(text: str) -> bool:
    """As the kernel writes it: fifteen characters of any kind between the parentheses."""
    head, tail = "1234 (", ") S 1 1234 1234 0 -1 4194560 800 0 0 0 5 4 0 0 20 0 1 0 "
    if not text.startswith(head) or text.count(tail) != 1:
        return False
    return re.fullmatch(r"[0-9]{1,20} 1000 200", text.partition(tail)[2]) is not None


LINK = f"llama-0_chat_server-{ID}.log"
FOLDER = f"chat_llama-0_{UID}"


def check_names(data: bytes) -> bool:
    """Names of links and folders are read whole or not at all, and writing them down gives the name again."""
    name = text_of(data)
    link, folder = parse_log_link(name), parse_pod_folder(name)
    if link is not None:
        container_id, said = link
        holds(
            f"{said.pod}_{said.namespace}_{said.container}-{container_id}.log" == name, f"{name!r} is {link}"
        )
    if folder is not None:
        (namespace, pod), uid = folder
        holds(f"{namespace}_{pod}_{uid}" == name, f"{name!r} is {folder}")
    if name == LINK:
        holds(link is not None and link[1] == ("chat", "llama-0", "server"), f"{name!r} is {link}")
    if name == FOLDER:
        holds(folder == (("chat", "llama-0"), UID), f"{name!r} is {folder}")
    return link is not None or folder is not None


cgroup_bytes = st.one_of(
    nested(), changed([text.encode() for text in CGROUPS], (b"pod", b"/", b":", b".scope", b"_"))
)
process_bytes = st.one_of(
    stats,
    environs,
    changed(
        [STAT.encode(), b"cpu 1 2\nbtime 1790000000\nprocesses 3\n", ENVIRON],
        (b")", b"(", b" ", b"=", b"btime "),
    ),
)
name_bytes = changed([LINK.encode(), FOLDER.encode()], (b"_", b"-", b".log", b"/"))
_ROOM = "agent/gpucost_agent/sources/host"
TARGETS = (
    Target("cgroup", (f"{_ROOM}/cgroup_paths.py",), cgroup_bytes, check_cgroup),
    Target("process", (f"{_ROOM}/processes.py",), process_bytes, check_process),
    Target("host_names", (f"{_ROOM}/host_files.py",), name_bytes, check_names),
)
