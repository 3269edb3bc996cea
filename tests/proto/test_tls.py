import os
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import trustme
from gpucost.tls import channel_credentials, read_pems, server_credentials
from gpucost.trouble import EXIT_PERMISSION, EXIT_SETTINGS, Stop

Call = Callable[[grpc.ChannelCredentials], bytes]


@dataclass(frozen=True)
class Files:
    ca: Path
    cert: Path
    key: Path


def issue(authority: trustme.CA, folder: Path, name: str) -> Files:
    folder.mkdir(exist_ok=True)
    pair = authority.issue_cert("localhost", common_name=name)
    files = Files(folder / "ca.pem", folder / f"{name}.pem", folder / f"{name}.key")
    authority.cert_pem.write_to_path(files.ca)
    pair.cert_chain_pems[0].write_to_path(files.cert)
    pair.private_key_pem.write_to_path(files.key)
    return files


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def serve() -> Iterator[Callable[[grpc.ServerCredentials], Call]]:
    servers = []

    def start(credentials: grpc.ServerCredentials) -> Call:
        server = grpc.server(futures.ThreadPoolExecutor(1))
        echo = grpc.unary_unary_rpc_method_handler(lambda request, _: request)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", {"Say": echo}),))
        port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        servers.append(server)

        def call(client: grpc.ChannelCredentials) -> bytes:
            options = [("grpc.ssl_target_name_override", "localhost"), ("grpc.use_local_subchannel_pool", 1)]
            with grpc.secure_channel(f"127.0.0.1:{port}", client, options) as channel:
                answer: bytes = channel.unary_unary("/test.Echo/Say", bytes, bytes)(b"hello", timeout=5)
                return answer

        return call

    yield start
    for server in servers:
        server.stop(None).wait()


def test_both_ends_show_who_they_are(
    tmp_path: Path, authority: trustme.CA, serve: Callable[[grpc.ServerCredentials], Call]
) -> None:
    files = issue(authority, tmp_path, "server")
    client = issue(authority, tmp_path, "client")
    call = serve(server_credentials(files.ca, files.cert, files.key))
    assert call(channel_credentials(client.ca, client.cert, client.key)) == b"hello"
    with pytest.raises(grpc.RpcError):
        call(channel_credentials(client.ca, None, None))
    stranger = issue(trustme.CA(), tmp_path / "stranger", "client")
    with pytest.raises(grpc.RpcError):
        call(channel_credentials(client.ca, stranger.cert, stranger.key))


def test_without_an_authority_the_server_asks_nobody(
    tmp_path: Path, authority: trustme.CA, serve: Callable[[grpc.ServerCredentials], Call]
) -> None:
    files = issue(authority, tmp_path, "server")
    call = serve(server_credentials(None, files.cert, files.key))
    assert call(channel_credentials(files.ca, None, None)) == b"hello"


def test_a_renewed_certificate_needs_no_restart_and_a_broken_one_does_no_harm(
    tmp_path: Path, authority: trustme.CA, serve: Callable[[grpc.ServerCredentials], Call]
) -> None:
    refused: list[str] = []
    files = issue(authority, tmp_path, "server")
    call = serve(server_credentials(None, files.cert, files.key, refused.append))
    assert call(channel_credentials(files.ca, None, None)) == b"hello"

    files.cert.write_text("half a certificate")
    assert call(channel_credentials(files.ca, None, None)) == b"hello"
    assert call(channel_credentials(files.ca, None, None)) == b"hello"
    assert len(refused) == 1
    assert "hold no certificate" in refused[0]

    renewed = issue(trustme.CA(), tmp_path, "server")
    os.utime(renewed.cert, ns=(time.time_ns(), time.time_ns()))
    assert call(channel_credentials(renewed.ca, None, None)) == b"hello"


def test_files_that_do_not_fit_stop_the_program(tmp_path: Path, authority: trustme.CA) -> None:
    files = issue(authority, tmp_path, "server")
    other = issue(authority, tmp_path, "other")
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    for arguments, message in (
        ((None, files.cert, None), "--tls-cert is set and --tls-key is not: set both, or neither"),
        ((None, None, files.key), "--tls-key is set and --tls-cert is not: set both, or neither"),
        ((None, files.cert, other.key), "are not of one pair"),
        ((None, broken, files.key), "hold no certificate with its key"),
        ((broken, None, None), "holds no certificate"),
        ((tmp_path / "absent", None, None), "can not be read: No such file"),
        ((tmp_path, None, None), "can not be read: Is a directory"),
    ):
        with pytest.raises(Stop) as stop:
            read_pems(*arguments)
        assert message in str(stop.value)
        assert stop.value.exit_code == EXIT_SETTINGS
    assert read_pems(None, None, None).ca is None


def test_a_file_that_may_not_be_read_is_a_matter_of_permission(
    tmp_path: Path, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = issue(authority, tmp_path, "server")

    def denied(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")  # root may read everything, so it is played here

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(Stop, match="this user may not read it") as stop:
        read_pems(files.ca, None, None)
    assert stop.value.exit_code == EXIT_PERMISSION


def test_an_encrypted_key_asks_nobody_for_its_passphrase(tmp_path: Path, authority: trustme.CA) -> None:
    from cryptography.hazmat.primitives import serialization

    files = issue(authority, tmp_path, "server")
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"secret")
    files.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    )
    with pytest.raises(Stop, match="is encrypted: write it without a passphrase"):
        read_pems(None, files.cert, files.key)
