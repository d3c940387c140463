"""Public checkpoints by id."""

import difflib

from . import detectron2, others
from .pretrained import PretrainedModel

_MODELS = (*detectron2.MODELS, *others.MODELS)


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
    found = [model for model in _MODELS if wanted and model.id.casefold().endswith(f"/{wanted}")]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"{id!r} may be {' or '.join(model.id for model in found)}: say which")
    near = _near(wanted)
    advice = f"did you mean {' or '.join(near)}?" if near else "`mrcnn-keras list-weights` lists them"
    raise ValueError(f"there is no pretrained model {id!r}; {advice}")


def _near(wanted: str) -> list[str]:
    """Up to three ids that are spelt nearly so, with or without what stands before their slashes."""
    spellings = {}
    for model in _MODELS:
        parts = model.id.casefold().split("/")
        for i in range(len(parts)):
            spellings.setdefault("/".join(parts[i:]), model.id)
    matches = difflib.get_close_matches(wanted, spellings, n=9, cutoff=0.6)
    return list(dict.fromkeys(spellings[match] for match in matches))[:3]
