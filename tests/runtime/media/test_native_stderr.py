import os

import pytest

from tdnet_runtime.media.native_stderr import held_stderr


def test_given_out_after_success(capfd):
    with held_stderr():
        os.write(2, b"from a C library\n")
        assert capfd.readouterr().err == ""
    assert capfd.readouterr().err == "from a C library\n"


def test_dropped_after_failure(capfd):
    def fail_with_noise():
        with held_stderr():
            os.write(2, b"noise\n")
            raise ValueError("reported")

    with pytest.raises(ValueError, match="reported"):
        fail_with_noise()
    os.write(2, b"restored\n")
    assert capfd.readouterr().err == "restored\n"
