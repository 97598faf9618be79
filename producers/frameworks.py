"""Names of machine-learning frameworks as ClearML spells them, and which of them writes files of a kind."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Framework(StrEnum):
    """What a model was made with."""

    tensorflow = "TensorFlow"
    tensorflowjs = "TensorFlow_js"
    tensorflowlite = "TensorFlow_Lite"
    pytorch = "PyTorch"
    torchscript = "TorchScript"
    caffe = "Caffe"
    caffe2 = "Caffe2"
    onnx = "ONNX"
    keras = "Keras"
    mknet = "MXNet"
    cntk = "CNTK"
    torch = "Torch"
    darknet = "Darknet"
    paddlepaddle = "PaddlePaddle"
    scikitlearn = "ScikitLearn"
    xgboost = "XGBoost"
    lightgbm = "LightGBM"
    parquet = "Parquet"
    megengine = "MegEngine"
    catboost = "CatBoost"
    tensorrt = "TensorRT"
    openvino = "OpenVINO"


_BY_ENDING: Final = {
    "predict_net.pb": Framework.caffe2,
    "model.json": Framework.tensorflowjs,
    "-symbol.json": Framework.mknet,
    "__model__": Framework.paddlepaddle,
    ".pb": Framework.tensorflow,
    ".meta": Framework.tensorflow,
    ".pbtxt": Framework.tensorflow,
    ".tflite": Framework.tensorflowlite,
    ".pth": Framework.pytorch,
    ".pt": Framework.pytorch,
    ".ckpt": Framework.pytorch,
    ".caffemodel": Framework.caffe,
    ".prototxt": Framework.caffe,
    ".onnx": Framework.onnx,
    ".h5": Framework.keras,
    ".hdf5": Framework.keras,
    ".keras": Framework.keras,
    ".cntk": Framework.cntk,
    ".t7": Framework.torch,
    ".cfg": Framework.darknet,
    ".pkl": Framework.scikitlearn,
    ".joblib": Framework.scikitlearn,
    ".ubj": Framework.xgboost,
    ".parquet": Framework.parquet,
    ".cbm": Framework.catboost,
    ".plan": Framework.tensorrt,
}


def framework_of(file_name: str) -> str:
    """The framework that usually writes files with such a name, empty where there is none."""
    name = file_name.lower()
    return next((framework.value for ending, framework in _BY_ENDING.items() if name.endswith(ending)), "")
