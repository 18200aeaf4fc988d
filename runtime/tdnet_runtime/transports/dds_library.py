"""Cyclone DDS's C library, as the package `cyclonedds` brings it, by ctypes.

The package's own classes make lists of a picture's bytes (150 ms for 640x480), put type information on the wire and hold
the interpreter's lock; the C functions below do none of that. Headers: dds.h, ddsi_serdata.h of Cyclone DDS 11.
"""

from __future__ import annotations

import contextlib
import ctypes as c
import functools
import re
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any

from tdnet_runtime.errors import MediaError, MissingExtraError
from tdnet_runtime.extras import require
from tdnet_runtime.media.native_stderr import held_stderr

__all__ = [
    "ANY_STATE",
    "PUBLICATIONS",
    "Endpoint",
    "Iovec",
    "SampleInfo",
    "check",
    "heard",
    "library",
]

ANY_STATE = 0x7F
"""Mask of samples whatever their state."""
PUBLICATIONS = 0x7FFF0003
"""The entity of the built-in topic of all writers."""
_MAJOR = 11
_ENTITY, _RESULT, _POINTER = c.c_int32, c.c_int32, c.c_void_p
_LAST_WORDS, _ALL_WORDS = 1, 15  # fatal; and errors, warnings, information
_ANYTHING = re.compile("")
_WHEN = re.compile(r"^[0-9.]+ \[[^]]*\] *\S*: ")  # time, domain and thread before each line


class SampleInfo(c.Structure):
    """dds_sample_info_t."""

    _fields_ = (
        ("sample_state", c.c_uint32),
        ("view_state", c.c_uint32),
        ("instance_state", c.c_uint32),
        ("valid_data", c.c_bool),
        ("source_timestamp", c.c_int64),
        ("instance_handle", c.c_uint64),
        ("publication_handle", c.c_uint64),
        ("disposed_generation_count", c.c_uint32),
        ("no_writers_generation_count", c.c_uint32),
        ("sample_rank", c.c_uint32),
        ("generation_rank", c.c_uint32),
        ("absolute_generation_rank", c.c_uint32),
    )


class Endpoint(c.Structure):
    """dds_builtintopic_endpoint_t."""

    _fields_ = (
        ("key", c.c_uint8 * 16),
        ("participant_key", c.c_uint8 * 16),
        ("participant_instance_handle", c.c_uint64),
        ("topic_name", c.c_char_p),
        ("type_name", c.c_char_p),
        ("qos", _POINTER),
    )


class Iovec(c.Structure):
    """ddsrt_iovec_t."""

    _fields_ = (("base", _POINTER), ("size", c.c_size_t))


_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "dds_create_domain": (_ENTITY, (c.c_uint32, c.c_char_p)),
    "dds_create_participant": (_ENTITY, (c.c_uint32, _POINTER, _POINTER)),
    "dds_create_topic": (_ENTITY, (_ENTITY, _POINTER, c.c_char_p, _POINTER, _POINTER)),
    "dds_create_reader": (_ENTITY, (_ENTITY, _ENTITY, _POINTER, _POINTER)),
    "dds_create_writer": (_ENTITY, (_ENTITY, _ENTITY, _POINTER, _POINTER)),
    "dds_create_waitset": (_ENTITY, (_ENTITY,)),
    "dds_create_readcondition": (_ENTITY, (_ENTITY, c.c_uint32)),
    "dds_waitset_attach": (_RESULT, (_ENTITY, _ENTITY, c.c_ssize_t)),
    "dds_waitset_wait": (_RESULT, (_ENTITY, _POINTER, c.c_size_t, c.c_int64)),
    "dds_delete": (_RESULT, (_ENTITY,)),
    "dds_read": (_RESULT, (_ENTITY, _POINTER, _POINTER, c.c_size_t, c.c_uint32)),
    "dds_return_loan": (_RESULT, (_ENTITY, _POINTER, c.c_int32)),
    "dds_takecdr": (_RESULT, (_ENTITY, _POINTER, c.c_uint32, _POINTER, c.c_uint32)),
    "dds_writecdr": (_RESULT, (_ENTITY, _POINTER)),
    "dds_get_entity_sertype": (_RESULT, (_ENTITY, _POINTER)),
    "dds_get_guid": (_RESULT, (_ENTITY, _POINTER)),
    "dds_get_matched_subscriptions": (_RESULT, (_ENTITY, _POINTER, c.c_size_t)),
    "dds_set_log_mask": (None, (c.c_uint32,)),
    "dds_strretcode": (c.c_char_p, (_RESULT,)),
    "dds_create_qos": (_POINTER, ()),
    "dds_delete_qos": (None, (_POINTER,)),
    "dds_qget_reliability": (c.c_bool, (_POINTER, _POINTER, _POINTER)),
    "dds_qset_reliability": (None, (_POINTER, c.c_int, c.c_int64)),
    "dds_qset_history": (None, (_POINTER, c.c_int, c.c_int32)),
    "dds_qset_durability": (None, (_POINTER, c.c_int)),
    "dds_qset_durability_service": (
        None,
        (_POINTER, c.c_int64, c.c_int, c.c_int32, c.c_int32, c.c_int32, c.c_int32),
    ),
    "dds_qset_writer_data_lifecycle": (None, (_POINTER, c.c_bool)),
    "dds_qset_userdata": (None, (_POINTER, c.c_char_p, c.c_size_t)),
    "ddsi_serdata_size": (c.c_uint32, (_POINTER,)),
    "ddsi_serdata_to_ser": (None, (_POINTER, c.c_size_t, c.c_size_t, _POINTER)),
    "ddsi_serdata_unref": (None, (_POINTER,)),
    "ddsi_serdata_from_ser_iov": (_POINTER, (_POINTER, c.c_int, c.c_size_t, _POINTER, c.c_size_t)),
}


@functools.cache
def library() -> c.CDLL:
    """The library, its functions typed.

    Raises:
        MissingExtraError: the package is not there, or of another version than these functions are of.
    """
    found = require("cyclonedds.__library__", extra="dds")
    installed = version("cyclonedds")
    if installed.partition(".")[0] != str(_MAJOR):
        raise MissingExtraError(
            f"cyclonedds {installed} is installed, expected {_MAJOR}.x; install it with: pip install 'tdnet-deploy[dds]'"
        )
    try:
        loaded = c.CDLL(str(found.library_path))
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(loaded, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise MissingExtraError(
            f"the library of cyclonedds {installed} does not load ({error}); install it again with: "
            "pip install 'tdnet-deploy[dds]' --force-reinstall"
        ) from error
    return loaded


@contextlib.contextmanager
def heard() -> Iterator[list[str]]:
    """A list of what the library writes to stderr in the block, filled at its end: why it refuses a configuration.

    Outside of such blocks it writes nothing there but what ends the process: of a network that is gone it would say
    so for each packet, 33 lines a second for a mask at 30 Hz (11.0.1).
    """
    dds = library()
    with held_stderr(_ANYTHING) as words:
        dds.dds_set_log_mask(_ALL_WORDS)
        try:
            yield words
        finally:
            dds.dds_set_log_mask(_LAST_WORDS)


def check(result: int, doing: str, words: Sequence[str] = ()) -> int:
    """`result` of a function, where it is not an error's.

    Args:
        result: below 0 for an error.
        doing: for the message.
        words: of the library.

    Raises:
        MediaError: it is an error's.
    """
    if result >= 0:
        return result
    why = library().dds_strretcode(result).decode()
    said = f": {_WHEN.sub('', words[-1]).strip()[:300]}" if words else ""
    raise MediaError(f"{doing}: Cyclone DDS says {why}{said}")
