"""What is kept of a build's messages, and which of them are the reason of a failure."""

import logging
import sys
from pathlib import Path

import pytest

from tdnet_export.engines.build_log import BuildLog

NODE_1 = "In node 1 with name: a/odd and operator: Odd (import): INVALID_NODE: no such\n    operator"
NODE_3 = "In node 3 with name: b/odd and operator: Odd (import): INVALID_NODE: nor this"
NO_GPU = "[check.cpp::250] Error Code 1: Cuda Runtime (cudaError 35: CUDA driver version is insufficient)"


@pytest.fixture
def log():
    handler = BuildLog()
    logger = logging.getLogger("test_build_log")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(1)
    handler.say = logger.log
    return handler


def test_all_parser_errors_with_their_nodes_come_before_others(log):
    for message in (NO_GPU, "Error Code 4: API Usage Error", NODE_1, NODE_3, NODE_1):
        log.say(logging.ERROR, message)
    log.say(logging.INFO, "In node 7 with name: fine and operator: Relu")
    assert log.errors == (NODE_1.replace("\n    ", " "), NODE_3)


def test_other_errors_count_where_no_node_is_named(log):
    for message in (NO_GPU, "Error Code 10: no tactic", f"Error Code 2\n{NO_GPU}"):
        log.say(logging.ERROR, message)
    assert log.errors == ("Error Code 10: no tactic", "Error Code 2")


def test_a_backtrace_is_no_reason(log):
    log.say(logging.ERROR, ' File "/somewhere/loader.py", line 141, in call_impl\n    fail()')
    log.say(logging.ERROR, "explicit_batch is not available")
    assert log.errors == ("explicit_batch is not available",)
    assert b"File" not in log.kept([])


def test_the_next_build_begins_with_nothing(log):
    log.say(logging.ERROR, "old")
    log.clear()
    assert log.errors == ()
    assert log.text == ""


def test_kept_are_warnings_errors_and_the_last_list_of_layers_without_paths(log):
    log.say(6, "Layers:\nName: old")
    log.say(6, "chatter of 0.123 s")
    log.say(logging.WARNING, f"weights in {Path.home()}/models/x and {sys.prefix}/lib are odd")
    log.say(logging.ERROR, NO_GPU)
    log.say(logging.ERROR, "bad")
    log.say(6, "Layers:\nName: new\n\nI/O Tensors:\n Name: x\n")
    assert log.kept(["TensorRT 1.2.3, graph g"]).decode() == (
        "TensorRT 1.2.3, graph g\nwarning: weights in …/models/x and …/lib are odd\nerror: bad\n"
        "Layers:\nName: new\n\nI/O Tensors:\n Name: x\n"
    )
