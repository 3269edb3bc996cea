"""
Resource claims (DRA): which device a claim's device name stands for, from files of the node.

The kubelet lists driver, pool and name of a device. NVIDIA's driver writes down what it prepared, with UUIDs, also
for MIG devices that it made on the fly; the CDI file that it wrote for the container runtime names device nodes; the
name itself has a minor number and a place. The first that speaks is right.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from gpucost.identity import Device

from gpucost_agent.readings import DeviceId
from gpucost_agent.sources.host.changing_file import ChangingFile
from gpucost_agent.sources.kubelet.claim_files import (
    CdiDevice,
    MigMinors,
    PreparedClaim,
    PreparedDevice,
    parse_cdi,
    parse_driver_checkpoint,
    parse_manager_state,
    parse_mig_minors,
)
from gpucost_agent.sources.kubelet.device_ids import CLAIM_DRIVER, KnownGpus, parse_claim_device, resolve

_KUBELET = Path("var/lib/kubelet")
_DRIVER_CHECKPOINT = _KUBELET / "plugins" / CLAIM_DRIVER / "checkpoint.json"
_MANAGER_STATE = _KUBELET / "dra_manager_state"
_CDI = Path("var/run/cdi")
_MIG_MINORS = Path("driver/nvidia-caps/mig-minors")
_MOST_CDI_FILES = 256


@dataclass(frozen=True, slots=True)
class ListedDevice:
    """A device of a claim, as the kubelet lists it for a container."""

    namespace: str
    claim: str
    driver: str
    pool: str
    name: str
    cdi: tuple[str, ...] = ()

    @property
    def claim_uid(self) -> str:
        """
        The claim's UID, from the CDI name ``<kind>=<claim's UID>-<device>``; empty where none is given.

        A kubelet also names the CDI devices of the claim's other devices here, or the same one twice.
        """
        for name in self.cdi:
            uid, _, device = name.rpartition("=")[2].partition(f"-{self.name}")
            if len(uid) == _UID_LENGTH and not device:
                return uid
        return ""


_UID_LENGTH = 36


class ClaimFiles:
    """
    What the node's files tell of claims. For one thread; reads each file again only when it has changed.

    *host_root* is where the host's root is mounted, *proc_root* the host's /proc. Raises nothing: what is not there
    or not understood says nothing.
    """

    def __init__(self, host_root: Path, proc_root: Path) -> None:
        self._host_root = host_root
        self._driver = ChangingFile(host_root / _DRIVER_CHECKPOINT, parse_driver_checkpoint)
        self._manager = ChangingFile(host_root / _MANAGER_STATE, parse_manager_state)
        self._minors = ChangingFile(proc_root / _MIG_MINORS, parse_mig_minors)
        self._cdi: OrderedDict[str, ChangingFile[tuple[CdiDevice, ...]]] = OrderedDict()

    def device_ids(self, listed: Iterable[ListedDevice], known: KnownGpus) -> tuple[DeviceId, ...]:
        """
        The GPUs among a container's claimed devices, each once.

        A kubelet repeats a device when pods that share a claim start together. What was claimed for administration
        only is nobody's.
        """
        once: dict[tuple[str, str, str], ListedDevice] = {}
        for entry in listed:
            once.setdefault((entry.driver, entry.pool, entry.name), entry)
        found = (self.device_id(entry, known) for entry in once.values())
        return tuple(entry for entry in found if entry is not None)

    def device_id(self, listed: ListedDevice, known: KnownGpus) -> DeviceId | None:
        """A claimed device, resolved; None if it is no GPU of this driver, or passed through, or not for use."""
        if listed.driver != CLAIM_DRIVER or listed.name.startswith("gpu-vfio-"):
            return None
        prepared = self._prepared(listed)
        if prepared is not None:
            if prepared.passed_through or prepared.administrative:
                return None
            if prepared.names_device:
                return DeviceId(listed.driver, listed.name, _device_of(prepared, known))
        device = self._device_by_cdi(listed, known) or resolve(parse_claim_device(listed.name), known)
        return DeviceId(listed.driver, listed.name, device)

    def hidden_from(self, listed_any: bool, on_node: Callable[[str], bool]) -> bool:
        """
        Whether pods of this node hold claims on GPUs while the kubelet lists none at all (*listed_any* is False).

        Kubelets before 1.34 do not list claims unless they are told to. *on_node* tells of a pod's UID whether that
        pod is on the node; files may still name pods that are gone.
        """
        if listed_any:
            return False
        pods = {uid for claim in self._manager.read() or () for uid in claim.pod_uids if claim.has_gpus}
        claims = self._driver.read() or ()
        pods |= {uid for claim in claims for uid in claim.pod_uids}
        if pods:
            return any(on_node(uid) for uid in pods)
        return any(claim.devices for claim in claims)

    def _prepared(self, listed: ListedDevice) -> PreparedDevice | None:
        claims = self._driver.read() or ()
        uid = listed.claim_uid
        exact = [claim for claim in claims if uid and claim.uid == uid]
        if not exact:
            name = (listed.namespace, listed.claim)
            uids = {
                claim.uid for claim in self._manager.read() or () if (claim.namespace, claim.name) == name
            }
            exact = [claim for claim in claims if claim.uid in uids or (claim.namespace, claim.name) == name]
        return _the_device(exact, listed) if exact else _the_device(claims, listed)

    def _device_by_cdi(self, listed: ListedDevice, known: KnownGpus) -> Device | None:
        uid = listed.claim_uid
        if not uid:
            return None
        wanted = f"{uid}-{listed.name}"
        cdi = next((entry for entry in self._cdi_file(uid) if entry.name == wanted), None)
        if cdi is None or len(cdi.minors) != 1:
            return None
        gpu = known.whole(lambda gpu: gpu.minor == cdi.minors[0])
        if gpu is None or not cdi.capabilities:
            return gpu
        minors: MigMinors = self._minors.read() or {}
        instances = {minors[number] for number in cdi.capabilities if number in minors}
        if len(instances) != 1:
            return None
        minor, gi, ci = instances.pop()
        if minor != cdi.minors[0]:
            return None
        return known.instance(
            lambda device: (device.gpu_uuid, device.gi, device.ci) == (gpu.gpu_uuid, gi, ci)
        )

    def _cdi_file(self, claim_uid: str) -> tuple[CdiDevice, ...]:
        file = self._cdi.get(claim_uid)
        if file is None:
            path = self._host_root / _CDI / f"k8s.{CLAIM_DRIVER}-claim_{claim_uid}.yaml"
            file = self._cdi[claim_uid] = ChangingFile(path, parse_cdi)
            if len(self._cdi) > _MOST_CDI_FILES:
                self._cdi.popitem(last=False)
        return file.read() or ()


def _the_device(claims: Collection[PreparedClaim], listed: ListedDevice) -> PreparedDevice | None:
    """The one device that *claims* prepared under the listed name; None if there is none, or they disagree."""
    found = {
        device
        for claim in claims
        for device in claim.devices
        if device.name == listed.name and device.pool in ("", listed.pool)
    }
    return found.pop() if len(found) == 1 else None


def _device_of(prepared: PreparedDevice, known: KnownGpus) -> Device | None:
    if not prepared.mig:
        return known.whole(lambda gpu: gpu.uuid == prepared.gpu_uuid)
    if prepared.mig_uuid:
        # Instance ids are used again within a minute, so where a UUID is told they may not overrule it.
        return known.mig.get(prepared.mig_uuid)
    place = (prepared.gpu_uuid, prepared.gi, prepared.ci)
    return known.instance(lambda device: (device.gpu_uuid, device.gi, device.ci) == place)
