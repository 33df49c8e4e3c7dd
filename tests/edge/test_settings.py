from dataclasses import dataclass

import pytest

from edge.settings import build


@dataclass(frozen=True)
class Inner:
    size: int
    ratio: float = 0.5


@dataclass(frozen=True)
class Outer:
    inner: Inner
    pair: tuple[int, float] = (1, 2.0)
    names: tuple[str, ...] = ()
    maybe: str | None = None
    flag: bool = False

    def __post_init__(self):
        if self.flag:
            raise ValueError("got a flag, wanted none")


def test_tables_of_tables():
    good = {"inner": {"size": 3, "ratio": 1}, "pair": [2, 3], "names": ["a"], "maybe": "b"}
    settings = build(Outer, good, "here")
    assert settings == Outer(Inner(3, 1.0), (2, 3.0), ("a",), "b")
    assert isinstance(settings.inner.ratio, float) and isinstance(settings.pair, tuple)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "here: got no 'inner', wanted one"),
        ({"inner": {}}, "here: inner: got no 'size', wanted one"),
        ({"inner": {"size": 1, "sise": 1}}, "here: inner: got unknown key 'sise', wanted one of size, ratio"),
        ({"inner": None}, "here: inner: got None, wanted a table"),
        ({"inner": {"size": None}}, "here: inner: size: got None, wanted int"),
        ({"inner": {"size": 1}, "pair": [1]}, r"here: pair: got \[1\], wanted a list of 2"),
        ({"inner": {"size": 1}, "pair": [1, "a"]}, r"here: pair\[1\]: got 'a', wanted float"),
        ({"inner": {"size": 1}, "flag": 1}, "here: flag: got 1, wanted bool"),
        ({"inner": {"size": 1}, "flag": True}, "here: got a flag, wanted none"),
        ({"inner": {"size": 1}, "maybe": 2}, "here: maybe: got 2, wanted str"),
    ],
)
def test_tables_that_do_not_fit(table, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        build(Outer, table, "here")


def test_what_may_be_absent_may_be_null():
    assert build(Outer, {"inner": {"size": 1}, "maybe": None}, "here").maybe is None
