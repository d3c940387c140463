"""Detectron2's Mask R-CNN, with contiguous tensors or (variant "channels_last") with channels last."""

from comparison import work
from comparison.child import Work, aside, serve


def inference(variant: str) -> Work:
    """A photo in, bitmaps of the photo's size out."""
    import torch

    model = _model(variant).eval()
    photo, seen = work.photo(), {}
    model.proposal_generator.register_forward_hook(lambda module, given, out: seen.update(proposals=len(out[0][0])))

    @torch.inference_mode()
    def detect():
        image = torch.from_numpy(photo).permute(2, 0, 1).float()
        found = model([{"image": image, "height": work.PHOTO[0], "width": work.PHOTO[1]}])[0]["instances"]
        seen.update(detections=len(found), masks=len(found.pred_masks))

    return Work({"inference": detect}, lambda: seen)


def training(variant: str) -> Work:
    """One step of SGD on two photos."""
    import torch
    from detectron2.utils.events import EventStorage

    model = _model(variant, training=True).train()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.SGD(weights, work.LEARNING_RATE, work.MOMENTUM, weight_decay=work.WEIGHT_DECAY)
    batch, seen = _batch(), {}
    choose = model.roi_heads.label_and_sample_proposals

    def chosen(*given, **named):
        sampled = choose(*given, **named)
        classes = torch.cat([one.gt_classes for one in sampled])
        seen.update({"RoIs": len(classes), "positives": int((classes < work.CLASSES).sum())})
        return sampled

    model.roi_heads.label_and_sample_proposals = chosen

    def step():
        optimizer.zero_grad()
        with EventStorage():
            sum(model(batch).values()).backward()
        optimizer.step()

    return Work({"training": step}, lambda: seen)


def roi_align(variant: str) -> Work:
    """Its `ROIAlign` layer on one map."""
    import torch
    from detectron2.layers import ROIAlign

    features = torch.from_numpy(work.feature_map()).permute(0, 3, 1, 2).contiguous().requires_grad_()
    boxes = torch.from_numpy(work.make_boxes(work.PROPOSALS))
    boxes = torch.cat([torch.zeros(len(boxes), 1), boxes], dim=1)

    def forward(layer):
        with torch.no_grad():
            layer(features, boxes)

    def backward(pooled, given):
        torch.autograd.grad(pooled, features, given, retain_graph=True)

    cases = {}
    for size in work.POOLED:
        given = torch.from_numpy(work.upstream(size)).permute(0, 3, 1, 2).contiguous()
        for sampling in work.SAMPLINGS:
            layer = ROIAlign(size, 1 / work.STRIDE, sampling, aligned=True)
            pooled = layer(features, boxes)
            cases[work.align_case(size, sampling, "forward")] = lambda a=layer: forward(a)
            cases[work.align_case(size, sampling, "backward")] = lambda p=pooled, g=given: backward(p, g)
    return Work(cases)


def paste(variant: str) -> Work:
    """`paste_masks_in_image` with a threshold."""
    import torch
    from detectron2.layers import paste_masks_in_image

    probs, boxes = torch.from_numpy(work.mask_probs()), torch.from_numpy(work.paste_boxes())
    return Work({"100 masks": lambda: paste_masks_in_image(probs, boxes, work.PHOTO, threshold=0.5)})


def _model(variant: str, training: bool = False):
    import torch
    from detectron2 import model_zoo
    from detectron2.layers import FrozenBatchNorm2d
    from detectron2.modeling import build_model

    config = model_zoo.get_config("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml", trained=False)
    config.MODEL.DEVICE, config.MODEL.WEIGHTS = "cpu", ""
    config.MODEL.RPN.POST_NMS_TOPK_TRAIN = config.MODEL.RPN.POST_NMS_TOPK_TEST = work.PROPOSALS
    config.MODEL.RPN.PRE_NMS_TOPK_TRAIN, config.MODEL.RPN.PRE_NMS_TOPK_TEST = (
        work.PRE_NMS["train"],
        work.PRE_NMS["test"],
    )
    config.MODEL.ROI_HEADS.SCORE_THRESH_TEST = 0.0
    config.MODEL.ROI_HEADS.IOU_THRESHOLDS = [work.POSITIVE_IOU]
    config.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE = work.ROIS
    config.MODEL.ROI_HEADS.POSITIVE_FRACTION = work.POSITIVE_FRACTION
    config.TEST.DETECTIONS_PER_IMAGE = work.DETECTIONS
    if training:
        config.MODEL.ANCHOR_GENERATOR.SIZES = [[size] for size in work.TRAINING_ANCHORS]
    torch.manual_seed(0)
    model = build_model(config)
    with aside():
        for module in model.modules():
            if isinstance(module, FrozenBatchNorm2d):
                module.weight *= 0.5
    return model.to(memory_format=torch.channels_last) if variant == "channels_last" else model


def _batch() -> list[dict]:
    import torch
    from detectron2.structures import BitMasks, Boxes, Instances

    image, batch = torch.from_numpy(work.photo()).permute(2, 0, 1).float(), []
    for boxes, classes in zip(*work.objects()):
        truth = Instances(work.PHOTO)
        truth.gt_boxes = Boxes(torch.from_numpy(boxes))
        truth.gt_classes = torch.from_numpy(classes).long()
        truth.gt_masks = BitMasks(torch.from_numpy(work.full_masks(boxes)))
        batch.append({"image": image, "instances": truth})
    return batch


def versions() -> dict[str, str]:
    """Detectron2's and PyTorch's."""
    import detectron2
    import torch

    return {"detectron2": detectron2.__version__, "torch": torch.__version__}


if __name__ == "__main__":
    serve({f.__name__: f for f in (inference, training, roi_align, paste)}, versions)
