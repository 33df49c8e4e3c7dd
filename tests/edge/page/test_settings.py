import io

import pytest

from edge.page.page import listen
from edge.page.password import read_password
from edge.page.settings import PageSettings
from edge.run_settings import read_settings
from tests.edge.command_line import refused


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("port = 70000", "got port 70000, wanted 0 to 65535"),
        ("max_pages = 0", "got max_pages 0, wanted 1 to 100"),
        ("address = '0.0.0.0'", "got address '0.0.0.0' without password_file and token_file, wanted one of them"),
        ("address = 'pi.lan'", "got address 'pi.lan' without password_file and token_file, wanted one of them"),
        ("cert_file = 'a'", "got one of cert_file and key_file, wanted both or none"),
        ("hosts = ['http://a']", "got host 'http://a', wanted a name without port"),
        ("frame_ancestors = ['*']", r"got frame_ancestors '\*', wanted an origin"),
        ("frame_ancestors = ['http://a; script-src *']", "got frame_ancestors 'http://a; script-src"),
    ],
)
def test_settings_that_make_no_sense(tmp_path, text, message):
    path = tmp_path / "a.toml"
    path.write_text(f"[page]\n{text}\n")
    with pytest.raises(ValueError, match=f"^{path}: page: {message}"):
        read_settings(path)


@pytest.mark.parametrize(
    ("address", "loopback", "url"),
    [
        ("127.0.0.1", True, "http://127.0.0.1:1/"),
        ("::1", True, "http://[::1]:1/"),
        ("localhost", True, "http://localhost:1/"),
        ("0.0.0.0", False, "http://localhost:1/"),
        ("192.168.1.7", False, "http://192.168.1.7:1/"),
    ],
)
def test_addresses(address, loopback, url):
    settings = PageSettings(address=address, token_file="t")
    assert (settings.loopback, settings.url(1)) == (loopback, url)


def test_a_page_that_cannot_be_served_ends_the_command(seld, wav, tmp_path):
    (tmp_path / "key").write_text("no key")
    for table, message in (
        (f"password_file = '{tmp_path}/none'", f"{tmp_path}/none: No such file or directory"),
        (f"token_file = '{tmp_path}/key'", f"{tmp_path}/key: got a token of 6 characters, wanted 16 or more"),
        (f"cert_file = '{tmp_path}/key'\nkey_file = '{tmp_path}/key'", f"page: {tmp_path}/key: got no certificate"),
        ("address = '192.0.2.1'\ntoken_file = 'x'", "x: No such file or directory"),
    ):
        (tmp_path / "a.toml").write_text(f"[page]\n{table}\n")
        refused(seld("run", "--source", wav, "--page", "--config", tmp_path / "a.toml"), message)


def test_a_port_in_use_is_refused():
    with listen(PageSettings(port=0)) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(OSError, match=rf"^page: 127\.0\.0\.1:{port}: Address already in use$"):
            listen(PageSettings(port=port))


def test_the_file_of_a_password_from_stdin(seld, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse\n"))
    code, out, _ = seld("page-password", tmp_path / "p")
    assert code == 0 and out == f"written: {tmp_path}/p; [page] needs the line password_file = '{tmp_path}/p'\n"
    assert read_password(str(tmp_path / "p")).fits("correct horse")
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    refused(seld("page-password", tmp_path / "p"), "got a password of 5 characters, wanted 8 or more")


def test_the_demo_says_which_options_go_together(seld):
    refused(seld("demo", "--port", 1, model=None), "got --port, wanted --page with it")
