"""Removes what exporters write about themselves and the machine: stack traces, paths, versions.

Takes a model; returns a copy whose bytes are the same wherever the network was exported. The graph
stays as it is.
"""

from __future__ import annotations

from onnx import ModelProto

from converters.graph.index import copy_model

GRAPH_NAME = "network"


def strip_metadata(model: ModelProto) -> ModelProto:
    """The same model without documentation, metadata and producer."""
    other = copy_model(model)
    for field in ("doc_string", "producer_name", "producer_version", "domain", "model_version"):
        other.ClearField(field)
    del other.metadata_props[:]
    graph = other.graph
    graph.name = GRAPH_NAME
    graph.ClearField("doc_string")
    del graph.metadata_props[:]
    for item in (*graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        item.ClearField("doc_string")
        del item.metadata_props[:]
    return other
