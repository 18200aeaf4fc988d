"""A video's frames to a Triton server, masks back: for programs that have no tdnet-deploy, by NVIDIA's client alone.

    pip install 'tritonclient[http]' opencv-python-headless
    python examples/triton_client.py street.mp4 td2-fa18 127.0.0.1:8000

docs/serving.md says how the server gets its model. A sequence is one video: its number is the client's own and never 0.
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path


def main(video: str, model: str, server: str = "127.0.0.1:8000") -> None:
    """Ask for each frame's labels in order, and tell the share of the largest class."""
    if not Path(video).is_file():
        sys.exit(f"there is no video {video!r}")
    import cv2
    import numpy as np
    import tritonclient.http as triton

    client, sequence, image = triton.InferenceServerClient(server), secrets.randbits(62) + 1, None
    camera = cv2.VideoCapture(video)
    try:
        while (found := camera.read())[0]:
            frame = np.ascontiguousarray(found[1][None, :, :, ::-1])  # OpenCV's BGR to RGB, [1, H, W, 3]
            is_first, image = image is None, triton.InferInput("image", list(frame.shape), "UINT8")
            image.set_data_from_numpy(frame)
            answer = client.infer(model, [image], sequence_id=sequence, sequence_start=is_first)
            labels, index = answer.as_numpy("labels")[0], int(answer.as_numpy("frame_index")[0])
            shares = np.bincount(labels.ravel()) / labels.size
            sys.stdout.write(f"frame {index}: {shares.max():.0%} of class {shares.argmax()}\n")
        if image is not None:  # an end without a frame frees the server's place at once
            client.infer(model, [], sequence_id=sequence, sequence_end=True)
    except triton.InferenceServerException as error:
        sys.exit(f"the server refuses: {error.message()}")
    except OSError as error:
        sys.exit(f"no server at {server}: {error}")
    finally:
        client.close()


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: python examples/triton_client.py VIDEO MODEL [HOST:PORT]")
    main(*sys.argv[1:])
