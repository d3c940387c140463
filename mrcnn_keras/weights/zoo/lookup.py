"""Public checkpoints by id."""

import difflib

from . import detectron2, others
from .pretrained import PretrainedModel

_MODELS = (*detectron2.MODELS, *others.MODELS)

# By backbone: trained on the 5k classes of ImageNet of the paper's appendix B.
IMAGENET_5K = {"resnext152_32x8d": "detectron2/ImageNetPretrained/FAIR/X-152-32x8d-IN5k"}
# What the paper used and nobody has published, as far as is known.
_UNPUBLISHED = {"detectron2/ImageNetPretrained/FAIR/X-101-32x8d-IN5k": "resnext101_32x8d"}


def all_models() -> tuple[PretrainedModel, ...]:
    """Every checkpoint of the zoo."""
    return _MODELS


def of_file(name: str) -> PretrainedModel | None:
    """The checkpoint that has this file name, where the name carries digits of its hash and so is its own."""
    return next((model for model in _MODELS if model.digest and model.digest in name == model.file_name), None)


def find(id: str) -> PretrainedModel:
    """The checkpoint of an id.

    Args:
        id: as in `PretrainedModel.id`, in upper or lower case. What stands before a "/" may be left out where the
            rest names one model only; the ".yaml" or ".py" of a Detectron2 config may follow.

    Raises:
        ValueError: there is none, with the ids that are spelt nearly so, or there are several.
    """
    wanted = id.strip().casefold().removesuffix(".yaml").removesuffix(".py")
    for model in _MODELS:
        if model.id.casefold() == wanted:
            return model
    _check_published(id, wanted)
    found = [model for model in _MODELS if wanted and model.id.casefold().endswith(f"/{wanted}")]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"{id!r} may be {' or '.join(model.id for model in found)}: say which")
    near = _near(wanted)
    advice = f"did you mean {' or '.join(near)}?" if near else "`mrcnn-keras list-weights` lists them"
    raise ValueError(f"there is no pretrained model {id!r}; {advice}")


def imagenet_5k(backbone: str) -> str:
    """The id of a backbone's ImageNet-5k weights (appendix B).

    Raises:
        ValueError: none are public; the message says what to give instead.
    """
    if backbone not in IMAGENET_5K:
        known = ", ".join(f"{name!r} ({id})" for name, id in IMAGENET_5K.items())
        raise ValueError(
            f"no public ImageNet-5k weights of {backbone!r} are known, only of {known}; give the path of your own, a "
            ".pkl, .pth or .safetensors file of such a backbone, or start from 'imagenet'"
        )
    return IMAGENET_5K[backbone]


def _check_published(id: str, wanted: str) -> None:
    for missing, backbone in _UNPUBLISHED.items():
        if wanted and f"/{missing}".casefold().endswith(f"/{wanted}"):
            try:
                imagenet_5k(backbone)
            except ValueError as error:
                raise ValueError(f"{id!r}: {error}") from None


def _near(wanted: str) -> list[str]:
    """Up to three ids that are spelt nearly so, with or without what stands before their slashes."""
    spellings = {}
    for model in _MODELS:
        parts = model.id.casefold().split("/")
        for i in range(len(parts)):
            spellings.setdefault("/".join(parts[i:]), model.id)
    matches = difflib.get_close_matches(wanted, spellings, n=9, cutoff=0.6)
    return list(dict.fromkeys(spellings[match] for match in matches))[:3]
