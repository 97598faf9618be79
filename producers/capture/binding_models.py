"""Sees joblib, torch, xgboost, lightgbm and catboost write and read model files (scikit-learn's go through joblib)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final

from ..frameworks import Framework
from .import_hook import ImportHook
from .model_files import ModelFiles
from .patches import Patches, caller

JOBLIB: Final = "joblib"
_MADE_BY: Final = {
    "sklearn": Framework.scikitlearn,
    "xgboost": Framework.xgboost,
    "lightgbm": Framework.lightgbm,
    "catboost": Framework.catboost,
    "torch": Framework.pytorch,
}
_KEEP_CACHES: Final = frozenset({"joblib", "sklearn"})
Choice = Callable[[str], Any]


def install(hook: ImportHook, patches: Patches, files: ModelFiles, choice: Choice) -> None:
    """Watch the frameworks once they are imported; `choice(key)` is the user's switch or patterns for ClearML's key."""
    binding = _Binding(patches, files, choice)
    hook.when_imported("joblib.numpy_pickle", binding.joblib)
    hook.when_imported("torch.serialization", binding.torch)
    hook.when_imported("torch.jit._serialization", binding.torchscript)
    hook.when_imported("xgboost.core", binding.xgboost)
    hook.when_imported("lightgbm.basic", binding.lightgbm)
    hook.when_imported("catboost.core", binding.catboost)


class _Binding:
    def __init__(self, patches: Patches, files: ModelFiles, choice: Choice) -> None:
        self._patches = patches
        self._files = files
        self._choice = choice

    def joblib(self, module: ModuleType) -> None:
        """`joblib.dump` and `joblib.load` of a path; not what joblib and scikit-learn keep in caches of their own."""

        def dumped(_result: Any, value: Any, filename: Any, *_: Any, **__: Any) -> None:
            chosen = self._joblib_choice(value)
            if chosen and caller() not in _KEEP_CACHES:
                self._files.saved(filename, _framework_of(value), chosen)

        def loaded(value: Any, filename: Any, *_: Any, **__: Any) -> None:
            chosen = self._joblib_choice(value)
            if chosen and caller() not in _KEEP_CACHES:
                self._files.loaded(filename, _framework_of(value), chosen)

        self._patches.after(module, "dump", dumped, JOBLIB)
        self._patches.after(module, "load", loaded, JOBLIB)

    def _joblib_choice(self, value: Any) -> Any:
        """scikit-learn's models have a switch of their own beside joblib's."""
        is_scikit = _framework_of(value) == Framework.scikitlearn
        return self._choice(JOBLIB) and (self._choice("scikit") if is_scikit else self._choice(JOBLIB))

    def torch(self, module: ModuleType) -> None:
        """`torch.save(object, file)` and `torch.load(file)`."""
        self._saves(module, "save", "pytorch", Framework.pytorch, 1, "f", "torch")
        self._loads(module, "load", "pytorch", Framework.pytorch, 0, "f", "torch")

    def torchscript(self, module: ModuleType) -> None:
        """`torch.jit.save(module, file)` and `torch.jit.load(file)`."""
        self._saves(module, "save", "pytorch", Framework.torchscript, 1, "f", "torch.jit")
        self._loads(module, "load", "pytorch", Framework.torchscript, 0, "f", "torch.jit")

    def xgboost(self, module: ModuleType) -> None:
        """`Booster.save_model` and `load_model`, which its scikit-learn classes use too."""
        self._saves(module.Booster, "save_model", "xgboost", Framework.xgboost, 1, "fname")
        self._loads(module.Booster, "load_model", "xgboost", Framework.xgboost, 1, "fname")

    def lightgbm(self, module: ModuleType) -> None:
        """`Booster.save_model`, and `Booster(model_file=…)`."""
        self._saves(module.Booster, "save_model", "lightgbm", Framework.lightgbm, 1, "filename")
        self._loads(module.Booster, "__init__", "lightgbm", Framework.lightgbm, 3, "model_file")

    def catboost(self, module: ModuleType) -> None:
        """`CatBoost.save_model` and `load_model`, which its classifier and regressor inherit."""
        self._saves(module.CatBoost, "save_model", "catboost", Framework.catboost, 1, "fname")
        self._loads(module.CatBoost, "load_model", "catboost", Framework.catboost, 1, "fname")

    def _saves(
        self, owner: Any, name: str, key: str, framework: str, position: int, keyword: str, *shown_in: str
    ) -> None:
        def seen(_result: Any, *args: Any, **kwargs: Any) -> None:
            self._files.saved(_argument(args, kwargs, position, keyword), framework, self._choice(key))

        self._patches.after(owner, name, seen, *shown_in)

    def _loads(
        self, owner: Any, name: str, key: str, framework: str, position: int, keyword: str, *shown_in: str
    ) -> None:
        def seen(_result: Any, *args: Any, **kwargs: Any) -> None:
            self._files.loaded(_argument(args, kwargs, position, keyword), framework, self._choice(key))

        self._patches.after(owner, name, seen, *shown_in)


def _argument(args: tuple[Any, ...], kwargs: Mapping[str, Any], position: int, keyword: str) -> Any:
    return args[position] if len(args) > position else kwargs.get(keyword)


def _framework_of(value: Any) -> str:
    """The framework whose class an object is of."""
    return _MADE_BY.get(type(value).__module__.partition(".")[0], JOBLIB)
