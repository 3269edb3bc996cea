"""The text of dcgm-exporter, as its releases were seen to write it."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpucost_agent.sources.dcgm_text import COLUMNS, parse_scrape

H100 = "GPU-8b2281de-6d3c-22ed-0ec8-d3b864870b8b"
A100 = "GPU-7099682b-a20d-2bcc-74ab-b9060454d81e"
A30 = "GPU-63bc0b91-2265-1b94-831c-15c41fe92675"
NOT_SUPPORTED = "9223372036854775794"
BUSY = "DCGM_FI_PROF_GR_ENGINE_ACTIVE"


def line(name: str, value: str, uuid: str = H100, labels: str = "") -> str:
    return f'{name}{{gpu="0",UUID="{uuid}"{labels}}} {value}\n'


def busy(text: str) -> dict[tuple[str, int | None], int]:
    return {
        engine: shares["busy"] for engine, shares in parse_scrape(text).shares.items() if "busy" in shares
    }


def test_a_whole_gpu_with_all_columns() -> None:
    text = f"""# HELP {BUSY} Ratio of time the graphics engine is active (in %).
# TYPE {BUSY} gauge
{BUSY}{{gpu="0",UUID="{H100}",pci_bus_id="00000000:8D:00.0",device="nvidia0",modelName="NVIDIA H100 80GB HBM3",\
Hostname="node-0",DCGM_FI_DRIVER_VERSION="550.144.03",container="main",namespace="default",pod="p"}} 0.714
DCGM_FI_DEV_GPU_UTIL{{gpu="0",UUID="{H100}"}} 100
DCGM_FI_PROF_SM_ACTIVE{{gpu="0",UUID="{H100}"}} 0.5
DCGM_FI_PROF_SM_OCCUPANCY{{gpu="0",UUID="{H100}"}} 0.9
DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{{gpu="0",UUID="{H100}"}} 0.25
DCGM_FI_PROF_DRAM_ACTIVE{{gpu="0",UUID="{H100}"}} 1e-05
"""
    scrape = parse_scrape(text)
    assert scrape.shares == {(H100, None): {"busy": 714_000, "sm": 500_000, "tensor": 250_000, "dram": 10}}
    assert (scrape.missing, scrape.troubles) == ((), ())


def test_the_names_since_dcgm_4_6_and_of_two_names_the_first() -> None:
    text = (
        line("DCGM_FI_PROF_GR_ENGINE_UTIL_RATIO", "0.5")
        + line("DCGM_FI_PROF_SM_UTIL_RATIO", "0.25")
        + line("DCGM_FI_PROF_TENSOR_UTIL_RATIO", "0.125")
        + line("DCGM_FI_PROF_DRAM_UTIL_RATIO", "0.75")
    )
    expected = {"busy": 500_000, "sm": 250_000, "tensor": 125_000, "dram": 750_000}
    assert parse_scrape(text).shares == {(H100, None): expected}
    assert parse_scrape(text + line(BUSY, "0.4")).shares[H100, None]["busy"] == 400_000
    assert parse_scrape(line(BUSY, "0.4") + text).shares[H100, None]["busy"] == 400_000


def test_instances_of_a_partitioned_gpu_in_old_and_new_labels() -> None:
    old = "".join(
        f'{BUSY}{{gpu="0",uuid="{A100}",GPU_I_PROFILE="1g.5gb",GPU_I_ID="{gi}",pod="",namespace=""}} {value}\n'
        for gi, value in ((7, "0.000062"), (9, "0.999917"), (5, "0.000036"))
    )
    new = (
        f'{BUSY}{{gpu="1",UUID="{A30}",GPU_I_PROFILE="1g.6gb",GPU_I_ID="3",hostname="h",container="ctr0",'
        'dra_claim_name="c",dra_mig_device_uuid="MIG-c73ab1c4-6cb7-59b6-be7e-21c4ac35c3b6",pod="p"} 0.5\n'
    )
    assert busy(old + new) == {(A100, 7): 62, (A100, 9): 999_917, (A100, 5): 36, (A30, 3): 500_000}


def test_a_value_that_is_repeated_for_each_pod_and_replica_is_one() -> None:
    text = "".join(line(BUSY, "0.714", labels=f',pod="gpu-workload-{n}",vgpu="{n}"') for n in range(3))
    assert busy(text) == {(H100, None): 714_000}
    assert parse_scrape(text).troubles == ()


def test_values_that_contradict_each_other_are_none_of_them_true() -> None:
    text = (
        line(BUSY, "0.7", labels=',pod="a"') + line(BUSY, "0.2", labels=',pod="b"') + line(BUSY, "0.1", A30)
    )
    scrape = parse_scrape(text)
    assert scrape.shares == {(A30, None): {"busy": 100_000}}
    assert scrape.troubles == ("contradicting",)
    assert "busy" not in scrape.missing


@pytest.mark.parametrize(
    "value",
    [NOT_SUPPORTED, "9.223372036854776e+18", "140737488355328", "140737488355330", "NaN", "+Inf", "-Inf"],
)
def test_blanks_say_nothing(value: str) -> None:
    text = line(BUSY, value) + line("DCGM_FI_PROF_SM_ACTIVE", "0.5")
    scrape = parse_scrape(text)
    assert scrape.shares == {(H100, None): {"sm": 500_000}}
    assert scrape.missing == ("busy", "tensor", "dram")
    assert scrape.troubles == ()


def test_a_little_more_than_all_is_all_and_much_more_is_nonsense() -> None:
    assert busy(line(BUSY, "1")) == {(H100, None): 1_000_000}
    assert busy(line(BUSY, "1.01")) == {(H100, None): 1_000_000}
    for value, trouble in (("1.0101", "above_one"), ("71.4", "above_one"), ("-0.1", "nonsense")):
        scrape = parse_scrape(line(BUSY, value))
        assert scrape.shares == {}
        assert scrape.troubles == (trouble,)


@pytest.mark.parametrize(
    "text",
    [
        line(BUSY, "<<<NULL>>>"),
        line(BUSY, "0.5", uuid=""),
        line(BUSY, "0.5", uuid="nvidia0"),
        line(BUSY, "0.5", labels=',GPU_I_ID="x"'),
        f"{BUSY}{{}} 0.5\n",
    ],
)
def test_lines_that_name_no_gpu_or_no_number_are_told(text: str) -> None:
    scrape = parse_scrape(text)
    assert (scrape.shares, scrape.troubles) == ({}, ("nonsense",))


def test_text_that_is_cut_off_has_no_last_digit_missing() -> None:
    whole = line(BUSY, "0.714")
    assert busy(whole) == {(H100, None): 714_000}
    for length in range(len(whole)):
        assert busy(whole[:length]) == {}


def test_labels_may_hold_what_separates_labels() -> None:
    text = line(BUSY, "0.5", labels=',err_msg="a } b, UUID=\\"GPU-x\\" {"')
    assert busy(text) == {(H100, None): 500_000}


def test_a_time_stamp_may_follow() -> None:
    assert busy(line(BUSY, "0.5 1800000000000")) == {(H100, None): 500_000}


def test_other_text_says_nothing() -> None:
    for text in ("", "<html>404</html>", f"# TYPE {BUSY} gauge\n", f"{BUSY} 0.5\n", f"X{line(BUSY, '0.5')}"):
        scrape = parse_scrape(text)
        assert (scrape.shares, scrape.missing) == ({}, tuple(COLUMNS))


@given(st.text(alphabet='{}",=\\ \n.01aGPU-_', max_size=200))
def test_any_text_is_read(text: str) -> None:
    scrape = parse_scrape(f"{BUSY}{text}\n{line(BUSY, '0.5', A30)}")
    assert all(0 <= share <= 1_000_000 for shares in scrape.shares.values() for share in shares.values())


@pytest.mark.parametrize("tail", ['a="b",' * 500_000, "x" * 3_000_000, '"\\a' * 1_000_000])
def test_no_text_takes_long(tail: str) -> None:
    begun = time.monotonic()
    parse_scrape(f"{BUSY}{{{tail}")
    assert time.monotonic() - begun < 5
