import asyncio
import socket

import pytest

from edge.page.access import ALL_TRIES, MOST_ADDRESSES, MOST_SESSIONS, SESSION_S, TRIES, TRIES_S, Doorman, Hosts, Tries
from edge.page.password import PasswordHash, read_password, read_token, write_password

PASSWORD = "correct horse"


class Clock:
    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(scope="module")
def password():
    return PasswordHash.of(PASSWORD)


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8420", "127.0.0.1:8420", "[::1]:8420", "192.168.1.7:80", "LOCALHOST", "seld.example:1"],
)
def test_names_of_this_machine(host):
    assert Hosts(["seld.example"]).allow(host)


def test_its_own_name():
    name = socket.gethostname().partition(".")[0]
    assert Hosts().allow(f"{name}:8420") and Hosts().allow(f"{name}.local:8420")


@pytest.mark.parametrize(
    "host", [None, "", "evil.example", "evil.example:8420", "localhost.evil.example", "[::1", "a b"]
)
def test_names_of_others(host):
    assert not Hosts(["seld.example"]).allow(host)


def test_an_address_waits_after_some_wrong_passwords(clock):
    tries = Tries(clock)
    for _ in range(TRIES):
        assert tries.wait_s("a") == 0.0
        tries.wrong("a")
        clock.now_s += 1.0
    assert tries.wait_s("a") == TRIES_S - TRIES
    assert tries.wait_s("b") == 0.0
    clock.now_s += TRIES_S - TRIES
    assert tries.wait_s("a") == 0.0
    tries.wrong("a")
    assert tries.wait_s("a") == 1.0  # the second of the first five counts now


def test_all_addresses_wait_after_many_wrong_passwords(clock):
    tries = Tries(clock)
    for number in range(ALL_TRIES):
        tries.wrong(f"address {number}")
    assert tries.wait_s("another") == TRIES_S


def test_tries_need_bounded_memory(clock):
    tries = Tries(clock)
    for number in range(2 * MOST_ADDRESSES):
        tries.wrong(f"address {number}")
    assert len(tries._wrong_s) == MOST_ADDRESSES


def test_without_password_and_token_everybody_is_let_in():
    doorman = Doorman(None, None)
    assert doorman.knows(None, None) and not doorman.asks


def test_a_session_ends(password, clock):
    doorman = Doorman(password, None, clock)
    secret = asyncio.run(doorman.login(PASSWORD, "a"))
    assert doorman.knows(secret, None) and not doorman.knows(secret + "x", None) and not doorman.knows(None, None)
    clock.now_s += SESSION_S
    assert not doorman.knows(secret, None)


def test_a_logout_ends_one_session(password, clock):
    doorman = Doorman(password, None, clock)
    first, second = (asyncio.run(doorman.login(PASSWORD, "a")) for _ in range(2))
    doorman.logout(first)
    assert (doorman.knows(first, None), doorman.knows(second, None)) == (False, True)


def test_the_number_of_sessions_is_bounded(password, clock):
    class Any:
        def fits(self, text):
            return True

    doorman = Doorman(Any(), None, clock)
    secrets = [asyncio.run(doorman.login("", "a")) for _ in range(MOST_SESSIONS + 1)]
    assert [doorman.knows(secret, None) for secret in secrets] == [False, *[True] * MOST_SESSIONS]


def test_a_wrong_password_counts(password, clock):
    doorman = Doorman(password, None, clock)
    for _ in range(TRIES):
        assert asyncio.run(doorman.login("wrong horse", "a")) is None
    assert asyncio.run(doorman.login(PASSWORD, "a")) is None  # too soon
    assert asyncio.run(doorman.login(PASSWORD, "b")) is not None


@pytest.mark.parametrize("header", ["Bearer a token of mine", "bearer a token of mine", "Bearer  a token of mine "])
def test_a_token_opens_the_page(header):
    assert Doorman(None, "a token of mine").knows(None, header)


@pytest.mark.parametrize("header", ["Bearer another", "Basic a token of mine", "a token of mine", "Bearer", "", None])
def test_anything_else_does_not(header):
    assert not Doorman(None, "a token of mine").knows(None, header)


def test_a_token_without_a_token_opens_nothing(password):
    assert not Doorman(password, None).knows(None, "Bearer ")


def test_a_password_in_a_file(tmp_path):
    path = tmp_path / "password"
    write_password(path, PASSWORD)
    assert path.stat().st_mode & 0o777 == 0o600 and PASSWORD not in path.read_text()
    found = read_password(str(path))
    assert found.fits(PASSWORD) and not found.fits(PASSWORD + " ")


@pytest.mark.parametrize("text", ["short", "x" * 1001])
def test_a_password_of_a_bad_length_is_refused(tmp_path, text):
    with pytest.raises(ValueError, match=r"^got a password of \d+ characters, wanted 8 or more$"):
        write_password(tmp_path / "password", text)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hunter2",
        "scrypt$16384$8$1$YWJj$YWJj",
        "scrypt$1099511627776$8$1$YWJj$",
        "scrypt$x$8$1$$",
        "md5$2$8$1$YQ$YQ",
    ],
)
def test_a_file_without_a_hash_is_refused(tmp_path, text):
    path = tmp_path / "password"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"^{path}: got .*, wanted"):
        read_password(str(path))


def test_a_token_in_a_file(tmp_path):
    path = tmp_path / "token"
    path.write_text("0123456789abcdef\nmore\n")
    path.chmod(0o600)
    assert read_token(str(path)) == "0123456789abcdef"
    path.chmod(0o604)
    with pytest.raises(ValueError, match="every user can read or write the token: got mode 0604, wanted 0600"):
        read_token(str(path))
    path.write_text("short\n")
    with pytest.raises(ValueError, match="got a token of 5 characters, wanted 16 or more"):
        read_token(str(path))
