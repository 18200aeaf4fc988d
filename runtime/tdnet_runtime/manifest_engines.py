"""The parts of a manifest that speak of engines, each typed and checked by itself."""

from __future__ import annotations

from tdnet_runtime.manifest_parts import SHA256, Strict

__all__ = ["EngineMember", "EngineProof", "EngineSpec"]


class EngineMember(Strict, frozen=True, kw_only=True):
    """The engine of one graph.

    Attributes:
        engine: member with the serialised engine.
        layers: member with the engine's layers and their types, JSON.
        log: member with the build's log, text.
        graph_sha256: of the ONNX member that the engine was built from.
        build_seconds: what the build took.
        half_share: share of half precision among the engine's compute layers, 0 to 1.
        int8_share: of INT8, likewise (0 before schema 3).
    """

    engine: str
    layers: str
    log: str
    graph_sha256: str
    build_seconds: float
    half_share: float
    int8_share: float = 0.0

    def __post_init__(self) -> None:
        if not SHA256.fullmatch(self.graph_sha256):
            raise ValueError(f"engine {self.engine!r} names the graph digest {self.graph_sha256!r}")
        if not (
            self.build_seconds >= 0
            and self.half_share >= 0
            and 0 <= self.int8_share <= 1 - self.half_share + 1e-3
        ):
            raise ValueError(
                f"engine {self.engine!r} was built in {self.build_seconds} s with a half-precision share of "
                f"{self.half_share} and an INT8 share of {self.int8_share}, which is not possible"
            )


class EngineProof(Strict, frozen=True, kw_only=True):
    """A set of engines was run on a GPU, in closed loop beside ONNX Runtime.

    Attributes:
        device: name of the GPU.
        compute_capability: of the GPU, `8.7`.
        frames: consecutive frames compared, cold ones included.
        label_agreement: share of equal labels, 0 to 1: over all frames, and of the worst frame.
        worst_frame_agreement: see `label_agreement`.
        report: member with the figures for each frame, path and tensor.
    """

    device: str
    compute_capability: str
    frames: int
    label_agreement: float
    worst_frame_agreement: float
    report: str

    def __post_init__(self) -> None:
        worst, overall = self.worst_frame_agreement, self.label_agreement
        if self.frames < 1 or not 0 <= worst <= overall + 1e-9 <= 1 + 1e-9:
            raise ValueError(
                f"engines were proven over {self.frames} frames with label agreement {overall}, worst frame {worst}, "
                "which is not possible"
            )


class EngineSpec(Strict, frozen=True, kw_only=True):
    """Engines of all graphs, built by one product for one kind of device.

    Attributes:
        backend: `tensorrt` or `tensorrt-rtx`.
        key: folder below `engines/<backend>/`; it names all that makes the engines unusable elsewhere.
        precision: of the graphs that they were built from.
        product_version: of the builder, exactly.
        compute_capabilities: of the devices that they run on; empty for the product's portable set.
        platform: operating system and architecture, `linux-x86_64`.
        options: the builder options that matter.
        graphs: by graph name.
        proof: that they were run and are right; None where they were built and never run.
    """

    backend: str
    key: str
    precision: str
    product_version: str
    compute_capabilities: tuple[str, ...]
    platform: str
    options: dict[str, str]
    graphs: dict[str, EngineMember]
    proof: EngineProof | None = None

    @property
    def title(self) -> str:
        """Backend and key, as the folder is called."""
        return f"{self.backend}/{self.key}"
