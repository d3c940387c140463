"""From a checkpoint's tensors to our variables' values and the config fields that go with them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from mrcnn_keras.weights.readers.checkpoint import Checkpoint
from mrcnn_keras.weights.readers.limits import CheckpointError
from mrcnn_keras.weights.systems import caffe2, detectron2, matterport, torchvision
from mrcnn_keras.weights.systems.architecture import read_architecture
from mrcnn_keras.weights.systems.names import NameMap


@dataclasses.dataclass(frozen=True)
class Interpreted:
    """What a checkpoint says in our words.

    Attributes:
        path: the file.
        system: "detectron2", "torchvision", "matterport" or "keras".
        architecture: fields of `MaskRCNNConfig` that were read off the tensors.
        conventions: fields that follow from the system's own rules.
        values: path of our variable -> array in our layout.
        names: path of our variable -> name of the tensor in the file.
        unknown: tensors that no name map knows.
        whole: False for a bare ResNet.
    """

    path: str
    system: str
    architecture: dict[str, Any]
    conventions: dict[str, Any]
    values: dict[str, np.ndarray]
    names: dict[str, str]
    unknown: tuple[str, ...]
    whole: bool

    @property
    def fields(self) -> dict[str, Any]:
        """Architecture and conventions together."""
        return {**self.architecture, **self.conventions}


def interpret(checkpoint: Checkpoint) -> Interpreted:
    """Recognise the system that wrote a checkpoint, name its tensors and read the architecture off them.

    Raises:
        CheckpointError: no known system's names, or an architecture that this package does not have.
    """
    try:
        if caffe2.is_caffe2(checkpoint.tensors):
            checkpoint = dataclasses.replace(checkpoint, tensors=caffe2.as_detectron2(checkpoint.tensors))
        tensors = {name.removeprefix("module."): value for name, value in checkpoint.tensors.items()}
        _refuse_others(tensors)
        for recognise in (_detectron2, _torchvision, _matterport, _keras):
            found = recognise(checkpoint.path, tensors, checkpoint.extras)
            if found is not None:
                return found
    except CheckpointError as error:
        raise CheckpointError(f"{checkpoint.path}: {error}") from None
    some = ", ".join(list(tensors)[:3])
    raise CheckpointError(
        f"{checkpoint.path}: its tensors ({some}, ...) have the names of none of Detectron2, torchvision, matterport "
        "and Keras' ResNets"
    )


def _refuse_others(tensors: Mapping[str, Any]) -> None:
    for mark, what in _OTHERS:
        if any(mark in name for name in tensors):
            raise CheckpointError(f"it is {what}, which this package does not have")


_OTHERS = (
    ("patch_embed", "a vision transformer"),
    ("head.cls_subnet", "a RetinaNet"),
    ("head.classification_head", "a RetinaNet"),
    ("roi_heads.box_head.0.fc", "a Cascade R-CNN"),
    ("sem_seg_head", "a panoptic network"),
)


def _detectron2(path: str, tensors: Mapping[str, Any], extras: Mapping[str, Any]) -> Interpreted | None:
    prefix = detectron2.prefix_of(tensors)
    if prefix is None:
        return None
    learnt = any(name.startswith(prefix) and name.endswith("num_batches_tracked") for name in tensors)
    names = detectron2.name_map(prefix, detectron2.has_many_rpn_convs(tensors))
    found = _torch(path, "detectron2", detectron2, names, tensors, ("sync_batch", learnt))
    if extras.get("__author__") == "torchvision":  # a ResNet of torchvision's under Detectron2's names
        stem = found.values["backbone/stem/kernel"]
        found.values["backbone/stem/kernel"] = stem[:, :, ::-1]
        found.conventions.update(torchvision.unread_settings(found.fields, tensors))
    return found


def _torchvision(path: str, tensors: Mapping[str, Any], extras: Mapping[str, Any]) -> Interpreted | None:
    prefix = torchvision.prefix_of(tensors)
    if prefix is None:
        return None
    tensors = torchvision.canonical(tensors)
    learnt = bool(prefix) and any(name.endswith("num_batches_tracked") for name in tensors)
    names = torchvision.name_map(prefix, torchvision.fc_index(tensors))
    return _torch(path, "torchvision", torchvision, names, tensors, ("batch", learnt))


def _torch(path, system, module, names: NameMap, tensors, norms: tuple[str, bool]) -> Interpreted:
    named, unknown = _named(names, module.NOT_WEIGHTS, tensors)
    values = {ours: module.layout(ours, 0).to_ours(value) for ours, (_, value) in named.items()}
    fields = _architecture(values, *norms)
    if _FIRST_FC in named:  # how its inputs lie is known only now
        values[_FIRST_FC] = module.layout(_FIRST_FC, fields["box_pool_size"]).to_ours(named[_FIRST_FC][1])
    return _interpreted(path, system, fields, module.unread_settings(fields, tensors), values, named, unknown)


_FIRST_FC = "box_head/fc1/kernel"


def _matterport(path: str, tensors: Mapping[str, Any], extras: Mapping[str, Any]) -> Interpreted | None:
    tensors = matterport.canonical(tensors)
    if "mrcnn_class_logits/kernel" not in tensors and "res2a_branch2a/kernel" not in tensors:
        return None
    names, rules = matterport.name_map(), matterport.unread_settings
    return _hdf5(path, "matterport", names, matterport.to_ours, rules, tensors)


def _keras(path: str, tensors: Mapping[str, Any], extras: Mapping[str, Any]) -> Interpreted | None:
    tensors = matterport.canonical(tensors)
    if "conv1_conv/kernel" not in tensors:
        return None
    names, rules = matterport.keras_name_map(), matterport.keras_settings
    return _hdf5(path, "keras", names, matterport.keras_to_ours, rules, tensors)


def _hdf5(path, system, names: NameMap, to_ours, rules, tensors) -> Interpreted:
    named, unknown = _named(names, matterport.NOT_WEIGHTS, tensors)
    values = {ours: to_ours(ours, value) for ours, (_, value) in named.items()}
    fields = _architecture(values, "frozen", False)
    return _interpreted(path, system, fields, rules(fields, tensors), values, named, unknown)


def _named(names: NameMap, not_weights, tensors) -> tuple[dict[str, tuple[str, np.ndarray]], tuple[str, ...]]:
    """Our path -> (name in the file, array), and the names that mean nothing to the map."""
    named, unknown = {}, []
    for name, value in tensors.items():
        ours = names.ours(name)
        if ours is not None:
            named[ours] = (name, value)
        elif not not_weights.fullmatch(name):
            unknown.append(name)
    return named, tuple(unknown)


def _architecture(values: Mapping[str, np.ndarray], learnt_norms: str, backbone_is_learnt: bool) -> dict[str, Any]:
    shapes = {path: value.shape for path, value in values.items()}
    try:
        return read_architecture(shapes, learnt_norms, backbone_is_learnt)
    except (KeyError, IndexError, ZeroDivisionError) as error:
        raise CheckpointError(f"its architecture cannot be read off its tensors: {error.args[0]} is missing") from None


def _interpreted(path, system, fields, conventions, values, named, unknown) -> Interpreted:
    names = {ours: name for ours, (name, _) in named.items()}
    return Interpreted(path, system, fields, conventions, values, names, unknown, whole="num_classes" in fields)
