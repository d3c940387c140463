"""torchvision's Mask R-CNN, with contiguous tensors or (variant "channels_last") with channels last."""

import numpy as np
from comparison import convolutions, work
from comparison.child import Work, aside, serve


def inference(variant: str) -> Work:
    """A photo in, masks of the photo's size (probabilities, as torchvision leaves them) out."""
    import torch

    model = _model(variant).eval()
    photo, seen = work.photo(), {}
    model.rpn.register_forward_hook(lambda module, given, answer: seen.update(proposals=len(answer[0][0])))

    @torch.inference_mode()
    def detect():
        found = model([torch.from_numpy(photo).permute(2, 0, 1) / 255.0])[0]
        seen.update(detections=len(found["boxes"]), masks=len(found["masks"]))

    return Work({"inference": detect}, lambda: seen)


def training(variant: str) -> Work:
    """One step of SGD on two photos."""
    import torch

    model = _model(variant, _large_anchors()).train()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.SGD(weights, work.LEARNING_RATE, work.MOMENTUM, weight_decay=work.WEIGHT_DECAY)
    photo = torch.from_numpy(work.photo()).permute(2, 0, 1) / 255.0
    targets, seen = _targets(), {}
    choose = model.roi_heads.select_training_samples

    def chosen(*given):
        answer = choose(*given)
        labels = torch.cat(answer[2])
        seen.update({"RoIs": len(labels), "positives": int((labels > 0).sum())})
        return answer

    model.roi_heads.select_training_samples = chosen

    def step():
        optimizer.zero_grad()
        sum(model([photo] * work.IMAGES, targets).values()).backward()
        optimizer.step()

    return Work({"training": step}, lambda: seen)


def roi_align(variant: str) -> Work:
    """`torchvision.ops.roi_align` on one map."""
    import torch
    from torchvision import ops

    features = torch.from_numpy(work.feature_map()).permute(0, 3, 1, 2)
    features = _in_format(features, variant).requires_grad_()
    boxes = torch.from_numpy(work.make_boxes(work.PROPOSALS))

    def pool(size, sampling):
        return ops.roi_align(features, [boxes], size, 1 / work.STRIDE, sampling or -1, aligned=True)

    def forward(size, sampling):
        with torch.no_grad():
            pool(size, sampling)

    cases = {}
    for size in work.POOLED:
        given = torch.from_numpy(work.upstream(size)).permute(0, 3, 1, 2).contiguous()
        for sampling in work.SAMPLINGS:
            pooled = pool(size, sampling)
            cases[work.align_case(size, sampling, "forward")] = lambda s=size, n=sampling: forward(s, n)
            cases[work.align_case(size, sampling, "backward")] = lambda p=pooled, g=given: torch.autograd.grad(
                p, features, g, retain_graph=True
            )
    return Work(cases)


def paste(variant: str) -> Work:
    """`paste_masks_in_image`, whose result is probabilities; the threshold is the user's."""
    import torch
    from torchvision.models.detection.roi_heads import paste_masks_in_image

    probs, boxes = torch.from_numpy(work.mask_probs())[:, None], torch.from_numpy(work.paste_boxes())
    return Work({"100 masks": lambda: paste_masks_in_image(probs, boxes, work.PHOTO)})


def peak(variant: str) -> Work:
    """PyTorch's convolutions, channels last."""
    import torch

    def make(height, width, inputs, outputs, kernel):
        convolution = torch.nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
        convolution = convolution.to(memory_format=torch.channels_last)
        image = torch.randn(1, inputs, height, width).to(memory_format=torch.channels_last)

        @torch.inference_mode()
        def run():
            convolution(image)

        return run

    return Work(convolutions.cases(make))


def _model(variant: str, anchors=None):
    """ResNet-50-FPN, the stem and res2 frozen, every norm frozen."""
    import torch
    from torchvision.models.detection import MaskRCNN
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

    torch.manual_seed(0)
    backbone = resnet_fpn_backbone(backbone_name="resnet50", weights=None, trainable_layers=3)
    model = MaskRCNN(
        backbone,
        work.CLASSES + 1,
        rpn_anchor_generator=anchors,
        rpn_pre_nms_top_n_train=work.PRE_NMS["train"],
        rpn_pre_nms_top_n_test=work.PRE_NMS["test"],
        rpn_post_nms_top_n_train=work.PROPOSALS,
        rpn_post_nms_top_n_test=work.PROPOSALS,
        box_score_thresh=0.0,
        box_detections_per_img=work.DETECTIONS,
        box_fg_iou_thresh=work.POSITIVE_IOU,
        box_bg_iou_thresh=work.POSITIVE_IOU,
        box_batch_size_per_image=work.ROIS,
        box_positive_fraction=work.POSITIVE_FRACTION,
    )
    with aside():
        for module in model.modules():
            if type(module).__name__ == "FrozenBatchNorm2d":
                module.weight *= 0.5
    return _in_format(model, variant)


def _large_anchors():
    from torchvision.models.detection.anchor_utils import AnchorGenerator

    sizes = tuple((size,) for size in work.TRAINING_ANCHORS)
    return AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * len(sizes))


def _in_format(thing, variant: str):
    import torch

    return thing.to(memory_format=torch.channels_last if variant == "channels_last" else torch.contiguous_format)


def _targets() -> list[dict]:
    import torch

    boxes, classes = work.objects()
    return [
        {
            "boxes": torch.from_numpy(b),
            "labels": torch.from_numpy(c.astype(np.int64)) + 1,
            "masks": torch.from_numpy(work.full_masks(b).astype(np.uint8)),
        }
        for b, c in zip(boxes, classes)
    ]


def versions() -> dict[str, str]:
    """PyTorch's and torchvision's."""
    import torch
    import torchvision

    return {"torchvision": torchvision.__version__, "torch": torch.__version__}


if __name__ == "__main__":
    serve({f.__name__: f for f in (inference, training, roi_align, paste, peak)}, versions)
