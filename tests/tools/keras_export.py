"""Keras' classifiers with drawn weights, exported to ONNX by Keras itself (tf2onnx behind it).

    python tests/tools/keras_export.py OUT
    python tests/tools/families.py OUT/*.onnx

Needs tensorflow and tf2onnx, best in a virtual environment of their own; no part of the product."""
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras
import numpy as np

from parameters import draw_keras

NETWORKS = ["MobileNetV2", "MobileNetV3Small", "ResNet50", "ResNet50V2", "EfficientNetB0", "DenseNet121", "VGG16",
            "Xception"]
SIDE = {"Xception": 71}  # the least that Keras takes; 64 of the others


def make(name):
    keras.utils.set_random_seed(3)
    side = SIDE.get(name, 64)
    extra = {"include_preprocessing": False} if name.startswith("MobileNetV3") else {}
    net = getattr(keras.applications, name)(weights=None, input_shape=(side, side, 3), **extra)
    draw_keras(net)
    net(np.zeros((1, side, side, 3), np.float32))  # export() wants a network that was called
    return net


os.makedirs(sys.argv[1], exist_ok=True)
for name in NETWORKS:
    make(name).export(os.path.join(sys.argv[1], name + ".onnx"), format="onnx", verbose=False)
    keras.backend.clear_session()
