"""The table of CUDA's errors against the enum of NVIDIA's own package."""

from __future__ import annotations

import pytest

from edge.backends.cuda.error_codes import CODES, After, by_number, by_text

cuda = pytest.importorskip("cuda.bindings.driver", reason="cuda-bindings is not installed")


def test_names_and_numbers_are_those_of_the_driver() -> None:
    real = {int(code): code.name.removeprefix("CUDA_ERROR_") for code in cuda.CUresult}
    assert {number: code.name for number, code in CODES.items()}.items() <= real.items()


def test_every_text_names_one_error_so_that_pycuda_can_be_read() -> None:
    for code in CODES.values():
        assert by_text(code.text) is code


@pytest.mark.requirement("R-RUN-90")
@pytest.mark.parametrize(
    "name",
    [
        "ILLEGAL_ADDRESS",
        "LAUNCH_FAILED",
        "LAUNCH_TIMEOUT",
        "ECC_UNCORRECTABLE",
        "UNKNOWN",
        "ASSERT",
    ],
)
def test_what_destroys_a_context_is_sticky(name: str) -> None:
    (code,) = [code for code in CODES.values() if code.name == name]
    assert code.after is After.STICKY


def test_an_error_that_the_table_lacks_is_sticky() -> None:
    """Also one that a newer driver brings."""
    lacking = [code for code in cuda.CUresult if int(code) not in CODES and int(code)]
    assert len(lacking) > 20
    for code in lacking:
        assert by_number(int(code), name=code.name).after is After.STICKY
    assert by_number(4711).after is After.STICKY
    assert by_text("a sentence of a driver to come").after is After.STICKY
