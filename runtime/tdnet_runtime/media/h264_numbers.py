"""The numbers by which H.264 pictures tell that one before them is missing, which FFmpeg passes over."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["H264Numbers"]

_SLICE, _KEYFRAME_SLICE, _SEQUENCE, _PICTURE = 1, 5, 7, 8
_HEADER_BYTES = 32  # more than the part of a slice header or of parameters that is read here
_CHROMA_PROFILES = (44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244)


class _Bits:
    """Reads a NAL unit's payload bit by bit; IndexError at its end."""

    def __init__(self, payload: bytes) -> None:
        data = payload.replace(b"\0\0\3", b"\0\0")  # bytes that keep start codes out
        self._text = f"{int.from_bytes(data, 'big'):0{8 * len(data)}b}" if data else ""
        self._at = 0

    def take(self, count: int) -> int:
        """An unsigned number of `count` bits."""
        if self._at + count > len(self._text):
            raise IndexError
        self._at += count
        return int(self._text[self._at - count : self._at] or "0", 2)

    def golomb(self) -> int:
        """An unsigned Exp-Golomb number."""
        zeros = (
            self._text.index("1", self._at) - self._at if "1" in self._text[self._at :] else len(self._text)
        )
        self.take(zeros)
        return self.take(zeros + 1) - 1


class H264Numbers:
    """Watches `frame_num` (ITU-T H.264, 7.4.3), which counts reference pictures.

    Args:
        extradata: of the stream: AVCDecoderConfigurationRecord, or parameter sets with start codes, or empty.

    Attributes:
        frames_only: no picture is a field, by all sequence parameter sets so far; None before the first.
    """

    def __init__(self, extradata: bytes) -> None:
        self._length_bytes = 0  # start codes
        self._modulus_bits: dict[int, tuple[int, int] | None] = {}
        self._sequence_of: dict[int, int] = {}
        self._last: int | None = None
        self.frames_only: bool | None = None
        if extradata[:1] == b"\1" and len(extradata) > 6:
            self._length_bytes = (extradata[4] & 3) + 1
            for unit in _units_of_record(extradata):
                self._learn(unit)
        else:
            for unit in _units_by_start_codes(extradata):
                self._learn(unit)

    def follows_gap(self, packet: bytes) -> bool:
        """Reference pictures are missing between the last packet and this one, or the count was begun anew (MMCO 5)."""
        units = (
            _units_by_length(packet, self._length_bytes)
            if self._length_bytes
            else _units_by_start_codes(packet)
        )
        for unit in units:
            kind = unit[0] & 31
            if kind in (_SEQUENCE, _PICTURE):
                self._learn(unit)
            elif kind in (_SLICE, _KEYFRAME_SLICE):
                try:
                    return self._gap(unit)
                except (IndexError, KeyError):
                    return False
        return False

    def _gap(self, unit: bytes) -> bool:
        bits = _Bits(unit[1:_HEADER_BYTES])
        bits.golomb()  # first_mb_in_slice
        bits.golomb()  # slice_type
        sequence = self._modulus_bits[self._sequence_of[bits.golomb()]]
        if sequence is None:  # gaps are meant
            return False
        number_bits, plane_bits = sequence
        bits.take(plane_bits)
        number = bits.take(number_bits)
        last, self._last = self._last, number if unit[0] & 0x60 else self._last
        if last is None or unit[0] & 31 == _KEYFRAME_SLICE:
            return False
        return number not in (last, (last + 1) % (1 << number_bits))

    def _learn(self, unit: bytes) -> None:
        bits = _Bits(unit[1:] if unit[0] & 31 == _SEQUENCE else unit[1:_HEADER_BYTES])
        try:
            if unit[0] & 31 == _PICTURE:
                picture = bits.golomb()
                self._sequence_of[picture] = bits.golomb()
            elif unit[0] & 31 == _SEQUENCE:
                self._learn_sequence(bits)
        except IndexError:
            return

    def _learn_sequence(self, bits: _Bits) -> None:
        profile = bits.take(8)
        bits.take(16)
        identity = bits.golomb()
        separate_planes = 0
        if profile in _CHROMA_PROFILES:
            chroma = bits.golomb()
            separate_planes = bits.take(1) if chroma == 3 else 0
            bits.golomb()  # bit depths
            bits.golomb()
            bits.take(1)
            if bits.take(1):  # scaling matrices: rare, and long to read
                self.frames_only = False
                return
        number_bits = bits.golomb() + 4
        kind = bits.golomb()
        if kind == 0:
            bits.golomb()
        elif kind == 1:  # signed numbers are as long as unsigned ones
            bits.take(1)
            bits.golomb()
            bits.golomb()
            for _ in range(bits.golomb()):
                bits.golomb()
        bits.golomb()  # reference frames
        gaps_are_meant = bits.take(1)
        self._modulus_bits[identity] = None if gaps_are_meant else (number_bits, 2 * separate_planes)
        bits.golomb()  # width and height
        bits.golomb()
        self.frames_only = bool(bits.take(1)) and self.frames_only is not False


def _units_by_length(packet: bytes, length_bytes: int) -> Iterator[bytes]:
    at = 0
    while at + length_bytes < len(packet):
        size = int.from_bytes(packet[at : at + length_bytes], "big")
        at += length_bytes
        if size:
            yield packet[at : at + size]
        at += size


def _units_by_start_codes(data: bytes) -> Iterator[bytes]:
    at = data.find(b"\0\0\1")
    while at >= 0:
        end = data.find(b"\0\0\1", at + 3)
        unit = data[at + 3 : end if end >= 0 else len(data)]
        if unit:
            yield unit
        at = end


def _units_of_record(record: bytes) -> Iterator[bytes]:
    """Parameter sets of an AVCDecoderConfigurationRecord (ISO 14496-15, 5.3.3)."""
    at = 5
    for mask in (31, 255):  # counts of sequence, then of picture parameter sets
        if at >= len(record):
            return
        count, at = record[at] & mask, at + 1
        for _ in range(count):
            size = int.from_bytes(record[at : at + 2], "big")
            unit = record[at + 2 : at + 2 + size]
            if unit:
                yield unit
            at += 2 + size
