"""The ONNX zoo's networks without weights (../shared/data/light), with seeded ones in their place.

    python tests/tools/fill_light.py OUT FILE.onnx...
    python tests/tools/families.py OUT/*.onnx

Needs onnxruntime.  Matrices as He et al. 2015, variances and scales around 1; the last layer is scaled so that what goes
into the softmax is around 1 too: else one class takes all, and outputs agree whatever the network made.
tests/e2e/test_light.py takes fill() from here."""
import os
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

onnxruntime.set_default_logger_severity(3)  # initialisers that are inputs are no news: IR 3


def tame_softmax(net):
    """Divide weight and bias of the layer before the softmax by the spread of its values for a drawn picture."""
    last = {o: n for n in net.graph.node for o in n.output}
    softmax = next((n for n in net.graph.node if n.op_type == "Softmax"), None)
    if softmax is None:
        return
    probe = onnx.ModelProto()
    probe.CopyFrom(net)
    del probe.graph.output[:]
    probe.graph.output.append(onnx.helper.make_empty_tensor_value_info(softmax.input[0]))
    session = onnxruntime.InferenceSession(probe.SerializeToString(), providers=["CPUExecutionProvider"])
    stored = {i.name: i for i in net.graph.initializer}
    feed = next(i for i in session.get_inputs() if i.name not in stored)
    x = np.random.default_rng(9).standard_normal(feed.shape).astype(np.float32)
    spread = np.std(session.run(None, {feed.name: x})[0])
    layer = last[softmax.input[0]]
    while layer.op_type not in ("Gemm", "Conv"):
        layer = last[layer.input[0]]
    for name in layer.input[1:]:
        while name not in stored:  # a weight that is reshaped first
            name = last[name].input[0]
        w = numpy_helper.to_array(stored[name])
        stored[name].CopyFrom(numpy_helper.from_array((w / spread).astype(np.float32), name))


def fill(source, out):
    """Each ConstantOfShape becomes an initialiser of drawn values."""
    rng = np.random.default_rng(7)
    net = onnx.load(source)
    graph = net.graph
    shapes = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    roles = {n.input[k]: k for n in graph.node if n.op_type == "BatchNormalization" for k in range(1, 5)}
    kept = []
    for n in graph.node:
        if n.op_type != "ConstantOfShape":
            kept.append(n)
            continue
        shape = shapes[n.input[0]]
        w = rng.standard_normal(shape) * (np.sqrt(2 / np.prod(shape[1:])) if len(shape) > 1 else 0.1)
        if roles.get(n.output[0]) in (1, 4):
            w = rng.uniform(0.5, 1.5, shape)
        graph.initializer.append(numpy_helper.from_array(w.astype(np.float32), n.output[0]))
    del graph.node[:]
    graph.node.extend(kept)
    net.ir_version = max(net.ir_version, 4)  # initialisers need not be inputs
    tame_softmax(net)
    onnx.save(net, out)


if __name__ == "__main__":
    os.makedirs(sys.argv[1], exist_ok=True)
    for path in sys.argv[2:]:
        fill(path, os.path.join(sys.argv[1], os.path.basename(path)))
