"""Names and shapes of public checkpoints, written down from the systems' own module trees: {name: shape}; and files."""

import pickle

import numpy as np

from . import torch_writer

STAGES = ((2, 64, 256), (3, 128, 512), (4, 256, 1024), (5, 512, 2048))
NORM = ("weight", "bias", "running_mean", "running_var")


def conv(names, name, outputs, inputs, side, norm=None, bias=None):
    """A convolution with a bias, or with a norm whose tensors are called `norm.*`."""
    names[f"{name}.weight"] = (outputs, inputs, side, side)
    if norm:
        names.update({f"{norm}.{leaf}": (outputs,) for leaf in NORM})
    if bias or (bias is None and not norm):
        names[f"{name}.bias"] = (outputs,)


def linear(names, name, outputs, inputs):
    names[f"{name}.weight"], names[f"{name}.bias"] = (outputs, inputs), (outputs,)


def detectron2_stage(names, prefix, stage, blocks, groups=1, width=64):
    inner = groups * width * 2 ** (stage - 2)
    outputs = 256 * 2 ** (stage - 2)
    inputs = 64 if stage == 2 else outputs // 2
    for block in range(blocks):
        at = f"{prefix}res{stage}.{block}."
        if block == 0:
            conv(names, f"{at}shortcut", outputs, inputs, 1, f"{at}shortcut.norm")
        conv(names, f"{at}conv1", inner, inputs, 1, f"{at}conv1.norm")
        conv(names, f"{at}conv2", inner, inner // groups, 3, f"{at}conv2.norm")
        conv(names, f"{at}conv3", outputs, inner, 1, f"{at}conv3.norm")
        inputs = outputs


def detectron2(kind="fpn", blocks=(3, 4, 6, 3), groups=1, width=64, keypoints=False):
    """Detectron2's Mask (or Keypoint) R-CNN of the COCO zoo: "fpn", "c4" or "dc5"."""
    names = {}
    bottom = "backbone.bottom_up." if kind == "fpn" else "backbone."
    if kind == "fpn":
        for stage, _, channels in STAGES:
            conv(names, f"backbone.fpn_lateral{stage}", 256, channels, 1)
            conv(names, f"backbone.fpn_output{stage}", 256, 256, 3)
    conv(names, f"{bottom}stem.conv1", 64, 3, 7, f"{bottom}stem.conv1.norm")
    for (stage, _, _), count in zip(STAGES, blocks):
        in_head = kind == "c4" and stage == 5
        detectron2_stage(names, "roi_heads." if in_head else bottom, stage, count, groups, width)
    channels = {"fpn": 256, "c4": 1024, "dc5": 2048}[kind]
    anchors = 3 if kind == "fpn" else 15
    conv(names, "proposal_generator.rpn_head.conv", channels, channels, 3)
    conv(names, "proposal_generator.rpn_head.objectness_logits", anchors, channels, 1)
    conv(names, "proposal_generator.rpn_head.anchor_deltas", 4 * anchors, channels, 1)
    classes = 1 if keypoints else 80
    if kind != "c4":
        linear(names, "roi_heads.box_head.fc1", 1024, channels * 49)
        linear(names, "roi_heads.box_head.fc2", 1024, 1024)
    features = 2048 if kind == "c4" else 1024
    linear(names, "roi_heads.box_predictor.cls_score", classes + 1, features)
    linear(names, "roi_heads.box_predictor.bbox_pred", 4 * classes, features)
    if keypoints:
        for i in range(8):
            conv(names, f"roi_heads.keypoint_head.conv_fcn{i + 1}", 512, 512 if i else 256, 3)
        names["roi_heads.keypoint_head.score_lowres.weight"] = (512, 17, 4, 4)
        names["roi_heads.keypoint_head.score_lowres.bias"] = (17,)
        return names
    for i in range(0 if kind == "c4" else 4):
        conv(names, f"roi_heads.mask_head.mask_fcn{i + 1}", 256, 256 if i else channels, 3)
    names["roi_heads.mask_head.deconv.weight"] = (2048 if kind == "c4" else 256, 256, 2, 2)
    names["roi_heads.mask_head.deconv.bias"] = (256,)
    conv(names, "roi_heads.mask_head.predictor", 80, 256, 1)
    return names


def torchvision_body(names, prefix, blocks=(3, 4, 6, 3)):
    conv(names, f"{prefix}conv1", 64, 3, 7, f"{prefix}bn1")
    inputs = 64
    for (stage, inner, outputs), count in zip(STAGES, blocks):
        for block in range(count):
            at = f"{prefix}layer{stage - 1}.{block}."
            conv(names, f"{at}conv1", inner, inputs, 1, f"{at}bn1")
            conv(names, f"{at}conv2", inner, inner, 3, f"{at}bn2")
            conv(names, f"{at}conv3", outputs, inner, 1, f"{at}bn3")
            if block == 0:
                conv(names, f"{at}downsample.0", outputs, inputs, 1, f"{at}downsample.1")
            inputs = outputs


def torchvision(version=1, keypoints=False, old_names=False, blocks=(3, 4, 6, 3)):
    """torchvision's Mask (or Keypoint) R-CNN with ResNet-50-FPN; `old_names`: as the published files have them."""
    names = {}
    torchvision_body(names, "backbone.body.", blocks)
    v2 = version == 2
    middle = "" if old_names else ".0"

    def sequence(at, outputs, inputs, side):
        conv(names, f"{at}{middle}", outputs, inputs, side, f"{at}.1" if v2 else None)

    for i, (_, _, channels) in enumerate(STAGES):
        sequence(f"backbone.fpn.inner_blocks.{i}", 256, channels, 1)
        sequence(f"backbone.fpn.layer_blocks.{i}", 256, 256, 3)
    for i in range(version):
        conv(names, "rpn.head.conv" if old_names else f"rpn.head.conv.{i}.0", 256, 256, 3)
    conv(names, "rpn.head.cls_logits", 3, 256, 1)
    conv(names, "rpn.head.bbox_pred", 12, 256, 1)
    if v2:
        for i in range(4):
            sequence(f"roi_heads.box_head.{i}", 256, 256, 3)
        linear(names, "roi_heads.box_head.5", 1024, 256 * 49)
    else:
        linear(names, "roi_heads.box_head.fc6", 1024, 256 * 49)
        linear(names, "roi_heads.box_head.fc7", 1024, 1024)
    classes = 2 if keypoints else 91
    linear(names, "roi_heads.box_predictor.cls_score", classes, 1024)
    linear(names, "roi_heads.box_predictor.bbox_pred", 4 * classes, 1024)
    if keypoints:
        for i in range(8):
            conv(names, f"roi_heads.keypoint_head.{2 * i}", 512, 512 if i else 256, 3)
        names["roi_heads.keypoint_predictor.kps_score_lowres.weight"] = (512, 17, 4, 4)
        names["roi_heads.keypoint_predictor.kps_score_lowres.bias"] = (17,)
    else:
        for i in range(4):
            if old_names:
                conv(names, f"roi_heads.mask_head.mask_fcn{i + 1}", 256, 256, 3)
            else:
                sequence(f"roi_heads.mask_head.{i}", 256, 256, 3)
        names["roi_heads.mask_predictor.conv5_mask.weight"] = (256, 256, 2, 2)
        names["roi_heads.mask_predictor.conv5_mask.bias"] = (256,)
        conv(names, "roi_heads.mask_predictor.mask_fcn_logits", 91, 256, 1)
    if v2:
        means = [name for name in names if name.endswith("running_mean")]
        names.update({name.replace("running_mean", "num_batches_tracked"): () for name in means})
    return names


CLASS_WISE = ("cls_score", "bbox_pred", "cls_logits", "objectness_logits", "anchor_deltas", "mask_head.predictor",
              "mask_fcn_logits")  # fmt: skip


def random_tensors(shapes, divisor=1, scale=1.0):
    """Arrays of these shapes, or with every number of channels divided, full of one long row of random numbers."""
    numbers = np.random.default_rng(0).standard_normal(1_000_003, np.float32) * np.float32(scale)
    tensors, start = {}, 0
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            tensors[name] = np.array(7, np.int64)
            continue
        first = 1 if any(mark in name for mark in CLASS_WISE) else 0
        shape = tuple(n if i < first or n % 64 else n // divisor for i, n in enumerate(shape))
        start += 1000
        values = np.resize(numbers[start:], shape).copy()  # of a view the whole row would stay
        tensors[name] = np.abs(values) if name.endswith("running_var") else values
    return tensors


def torch_tensor(value):
    kind = "torch.LongStorage" if value.dtype == np.int64 else "torch.FloatStorage"
    return torch_writer.tensor(torch_writer.Storage(value, kind), value.shape)


def write(path, tensors):
    """A checkpoint in the system's own format."""
    if path.suffix == ".pkl":
        path.write_bytes(pickle.dumps({"model": tensors, "__author__": "test"}, protocol=4))
    else:
        path.write_bytes(torch_writer.write({n: torch_tensor(v) for n, v in tensors.items()}))
    return path
