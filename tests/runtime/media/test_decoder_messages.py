import logging
import threading

import av.logging
import pytest

from tdnet_runtime.media.decoder_messages import DecoderMessages, first_error


@pytest.fixture(autouse=True)
def _logging_as_it_was():
    before = av.logging.get_level(), av.logging.get_skip_repeated()
    yield
    av.logging.set_level(before[0])
    av.logging.set_skip_repeated(before[1])


def test_ffmpegs_errors_are_heard_while_it_is_open_and_all_is_as_before_afterwards():
    av.logging.set_level(None)
    av.logging.set_skip_repeated(True)
    with DecoderMessages(), av.logging.Capture() as heard:
        for _ in range(2):
            av.logging.log(av.logging.ERROR, "h264", "twice the same")
        av.logging.log(av.logging.WARNING, "h264", "no error")
    assert [text for _, _, text in heard] == ["twice the same"] * 2
    assert (av.logging.get_level(), av.logging.get_skip_repeated()) == (None, True)
    with av.logging.Capture() as heard:
        av.logging.log(av.logging.ERROR, "h264", "not heard")
    assert heard == []


def test_several_at_once_and_a_users_own_level():
    av.logging.set_level(av.logging.INFO)
    first, second = DecoderMessages(), DecoderMessages()
    first.close()
    first.close()
    with av.logging.Capture() as heard:
        av.logging.log(av.logging.ERROR, "h264", "still heard")
    assert len(heard) == 1
    assert av.logging.get_level() == av.logging.INFO
    second.close()
    assert av.logging.get_level() == av.logging.INFO
    av.logging.set_level(av.logging.PANIC)
    with DecoderMessages():
        assert av.logging.get_level() == av.logging.ERROR
    assert av.logging.get_level() == av.logging.PANIC


def test_other_threads_go_to_pythons_logging_and_not_to_stderr(capfd, caplog):
    with DecoderMessages(), av.logging.Capture() as heard, caplog.at_level(logging.ERROR, logger="libav"):
        thread = threading.Thread(target=av.logging.log, args=(av.logging.ERROR, "hevc", "of another thread"))
        thread.start()
        thread.join()
    assert heard == []
    assert [(record.name, record.message) for record in caplog.records] == [
        ("libav.hevc", "of another thread")
    ]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([], None),
        ([(av.logging.WARNING, "mjpeg", "EOI missing, emulating")], None),
        ([(av.logging.ERROR, "mjpeg", "overread 8\n")], "overread 8"),
        ([(av.logging.ERROR, "mjpeg", "unable to decode APP fields: Invalid data\n")], None),
        ([(av.logging.ERROR, "h264", "SEI type 5 size 800 truncated at 700\n")], None),
        (
            [(av.logging.ERROR, "h264", "SEI type 5"), (av.logging.FATAL, "h264", "a  bad\nslice")],
            "a bad slice",
        ),
    ],
)
def test_the_first_message_about_the_picture(messages, expected):
    assert first_error(messages) == expected
