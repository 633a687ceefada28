"""Every parser keeps its promises whatever it is given. The same oracles are driven by coverage in ``make fuzz``."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz import seeds
from fuzz.oracles import ORACLES


@st.composite
def astray(draw, name):
    """A good input that is cut, or in which some bytes are replaced, doubled or put in; or none at all."""
    body = bytearray(draw(st.sampled_from(seeds.of(name)) | st.binary(max_size=40)))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(body)))
        end = draw(st.integers(start, min(len(body), start + 20)))
        match draw(st.sampled_from(["replace", "double", "fill"])):
            case "replace":
                body[start:end] = draw(st.binary(max_size=4))
            case "double":
                body[start:end] *= draw(st.integers(2, 50))
            case "fill":
                body[start:end] = draw(st.sampled_from([b"[", b"\x1b[31m", b"\xff", b"\n", b"9", b"\xe2\x80\xae"])) * 40
    return bytes(body[: draw(st.just(len(body)) | st.integers(0, len(body)))])


@pytest.mark.parametrize("name", ORACLES)
@settings(max_examples=25)
@given(data=st.data())
def test_whatever_bytes_come_a_parser_keeps_its_promises(name, data):
    ORACLES[name](data.draw(astray(name)))


@pytest.mark.parametrize("name", ORACLES)
def test_every_seed_is_taken(name):
    for seed in seeds.of(name):
        ORACLES[name](seed)
