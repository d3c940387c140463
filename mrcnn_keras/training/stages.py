"""Which parts of a network learn when: all at once, or one after the other (sections 3.1 and 4.4).

"stage_wise": the RPN learns with a backbone of its own; then the heads with theirs, on its proposals. The detector has
both backbones, as the paper's ablations do.

"alternating", the four steps of Faster R-CNN (Ren et al., NIPS 2015, section 3.2): those two; then the RPN once more,
on the features of the heads, which stay as they are; then the heads once more, on its proposals. The detector has one
backbone; the first RPN's is only there for training.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of a training.

    Attributes:
        name: in messages, and of the folder of its states.
        learns: names of `GraphBuilder.parts`.
        rpn, heads: whether their losses count.
        first: the RPN meant is that of alternating training's first step, not the one that detects.
        stored: the proposals come from a file.
    """

    name: str
    learns: tuple[str, ...]
    rpn: bool = False
    heads: bool = False
    first: bool = False
    stored: bool = False


_DETECTOR = Stage("detector", ("features", "heads"), heads=True)


def stages_of(training_stages: str, stage_proposals: str = "live", given: bool = False) -> list[Stage]:
    """The stages of a training, in order.

    Args:
        training_stages, stage_proposals: the config fields.
        given: whether there is a file of proposals, which takes the place of the RPN's first stage.
    """
    detector = dataclasses.replace(_DETECTOR, stored=given or stage_proposals == "stored")
    if training_stages == "end_to_end":
        everything = Stage("end_to_end", ("features", "rpn_features", "rpn", "heads"), rpn=True, heads=True)
        return [detector] if given else [everything]
    rpn = Stage("rpn", ("rpn_features", "rpn"), rpn=True)
    if training_stages == "stage_wise":
        return [detector] if given else [rpn, detector]
    first = [dataclasses.replace(stage, first=True) for stage in (rpn, detector)]
    shared_rpn = Stage("shared_rpn", ("rpn",), rpn=True)
    shared_detector = dataclasses.replace(detector, name="shared_detector", learns=("heads",),
                                          stored=stage_proposals == "stored")  # fmt: skip
    return [*first[given:], shared_rpn, shared_detector]
