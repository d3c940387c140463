"""Models from what a user names on the command line."""

import contextlib
import pathlib
from typing import Any

from mrcnn_keras.commands.options import UsageError
from mrcnn_keras.commands.quiet import import_tensorflow


def load_model(path: str | pathlib.Path, settings: dict[str, Any], replicas: int = 1) -> Any:
    """A model from a file or an id, with some fields of its configuration changed.

    Args:
        path: what `MaskRCNN.save` wrote, or what `MaskRCNN.from_pretrained` takes.
        settings: config fields; only such that leave the weights' shapes alone.
        replicas: devices to spread the detection over, 1 or more. More than 1 comes before all else of TensorFlow.

    Raises:
        UsageError: no such model, fewer devices, or the settings ask for another architecture.
    """
    import_tensorflow()
    if replicas == 1:
        return _load(path, settings)
    from mrcnn_keras.training import make_strategy

    try:
        strategy = make_strategy(replicas)
    except ValueError as error:
        raise UsageError(str(error)) from error
    with strategy.scope():
        return _load(path, settings)


def _load(path: str | pathlib.Path, settings: dict[str, Any]) -> Any:
    from mrcnn_keras.model import MaskRCNN

    load = MaskRCNN.load if str(path).endswith(".keras") else MaskRCNN.from_pretrained
    try:
        # Of the file's own shapes, so that fields that ask for others are found out below.
        model = load(path)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if not settings:
        return model
    changed = MaskRCNN(_checked(model.config.replace, settings))
    shapes = [[tuple(weight.shape) for weight in one.weights] for one in (model, changed)]
    if shapes[0] != shapes[1]:
        raise UsageError(f"--set {' '.join(settings)}: the weights in {path} do not fit the model this asks for")
    changed.set_weights(model.get_weights())
    return changed


def served_model(address: str, name: str, **kwargs: Any) -> Any:
    """A `serving.Client`, of these arguments, that has been told what the model is.

    Raises:
        UsageError: the address is none, gRPC is not installed, or there is no such model.
        ServerError: no answer.
    """
    if not address.startswith(("http://", "https://")):  # gRPC's package imports it
        import_tensorflow()
    from mrcnn_keras.serving import Client

    with contextlib.ExitStack() as opened:
        try:
            client = opened.enter_context(Client(address, name, **kwargs))
            client.config  # noqa: B018
        except (ValueError, ImportError) as error:
            raise UsageError(f"--server: {error}") from error
        opened.pop_all()  # from here on the caller closes it
        return client


def new_config(preset: str, settings: dict[str, Any], dataset: Any) -> Any:
    """The config of a preset for a dataset's classes and, if the preset has any, keypoints.

    Raises:
        UsageError: a value out of its range.
    """
    from mrcnn_keras.data.dataset import names_of
    from mrcnn_keras.presets import PRESETS, preset_config

    keypoints = {**PRESETS[preset].fields, **settings}.get("num_keypoints", 0) > 0
    return _checked(preset_config, {**names_of(dataset, keypoints), **settings}, preset)


def _checked(make: Any, settings: dict[str, Any], *args: Any) -> Any:
    try:
        return make(*args, **settings)
    except ValueError as error:
        raise UsageError(f"--set: {error}") from error
