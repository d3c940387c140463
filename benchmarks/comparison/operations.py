"""Multiplications of ResNet-50-FPN Mask R-CNN, counted from the shapes of its convolutions and matrices."""

from comparison import work

BLOCKS = (3, 4, 6, 3)


def inference() -> int:
    """Multiply-adds of one photo, its proposals and detections."""
    frozen, trained, _ = backbone()
    return frozen + trained + necks() + work.PROPOSALS * box_head() + work.DETECTIONS * mask_head()


def training() -> int:
    """Multiply-adds of a step: trained layers run once forward and twice backward, frozen ones forward only."""
    frozen, trained, first = backbone()
    image = frozen + 3 * trained - first + 3 * (necks() + work.ROIS * box_head())
    return work.IMAGES * image + 3 * work.POSITIVES * mask_head()


def backbone() -> tuple[int, int, int]:
    """Stem and res2, res3 to res5, and the layers of those that need no gradient of their input, at 800 x 1344."""
    height, width = (side // 4 for side in work.PADDED)
    stem = _conv(2 * height, 2 * width, 3, 64, 7)
    stages, first, channels = [], 0, 64
    for stage, blocks in enumerate(BLOCKS):
        narrow, wide, before = 64 << stage, 256 << stage, height * width
        if stage:
            height, width = -(-height // 2), -(-width // 2)
        count = before * channels * narrow + _conv(height, width, channels, wide)  # the first block's
        if stage == 1:
            first = count + before * channels * 256  # and the pyramid's layer on res2
        count += (blocks - 1) * _conv(height, width, wide, narrow)
        count += blocks * (_conv(height, width, narrow, narrow, 3) + _conv(height, width, narrow, wide))
        stages.append(count)
        channels = wide
    return stem + stages[0], sum(stages[1:]), first


def necks() -> int:
    """The feature pyramid and the RPN's head."""
    count = 0
    for level in range(5):
        height, width = (-(-side // (4 << level)) for side in work.PADDED)
        if level < 4:
            count += _conv(height, width, 256 << level, 256) + _conv(height, width, 256, 256, 3)
        count += _conv(height, width, 256, 256, 3) + _conv(height, width, 256, 3 * 5)
    return count


def box_head() -> int:
    """Two layers of 1024 and the predictors, for one RoI."""
    return 7 * 7 * 256 * 1024 + 1024 * 1024 + 1024 * (work.CLASSES + 1 + 4 * work.CLASSES)


def mask_head() -> int:
    """Four convolutions, the deconvolution and the predictor of all classes, for one RoI."""
    return 4 * _conv(14, 14, 256, 256, 3) + _conv(28, 28, 256, 256) + _conv(28, 28, 256, work.CLASSES)


def _conv(height: int, width: int, inputs: int, outputs: int, kernel: int = 1) -> int:
    return height * width * inputs * outputs * kernel * kernel


FLOPS = {"inference": 2 * inference(), "training": 2 * training()}
