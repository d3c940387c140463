"""TensorFlow Model Garden's Mask R-CNN (`tf-models-official`), with a box head of two fully connected layers.

Inference begins with a normalised, padded photo and ends with the masks in their boxes. RoIAlign is the function that
its aligner layer calls.
"""

import numpy as np
from comparison import work
from comparison.child import Work, aside, serve
from comparison.pooling import tensorflow_cases

STEM_AND_RES2 = 3  # blocks up to the end of res2


def inference(variant: str) -> Work:
    """A padded photo in, the masks of its detections (28x28) out."""
    import tensorflow as tf

    _, model = _task_and_model()
    image, size = tf.constant(_image()), tf.constant([work.PHOTO], tf.float32)
    wanted = ("num_detections", "detection_boxes", "detection_classes", "detection_scores", "detection_masks")
    network = tf.function(lambda x, s: {k: v for k, v in model(x, s, training=False).items() if k in wanted})

    def detect():
        return {name: value.numpy() for name, value in network(image, size).items()}

    return Work({"inference": detect}, lambda: _count(model, image, size, detect()))


def training(variant: str) -> Work:
    """The task's own step on two photos; the targets of the RPN are made beforehand, as its input pipeline does."""
    import tensorflow as tf
    import tf_keras

    task, model = _task_and_model(work.TRAINING_ANCHORS[0])
    _freeze(model)
    optimizer = tf_keras.optimizers.legacy.SGD(work.LEARNING_RATE, work.MOMENTUM)
    with aside():
        labels = _labels(task.task_config.model)
    images = tf.constant(np.repeat(_image(), work.IMAGES, axis=0))
    step = tf.function(lambda x, y: task.train_step((x, y), model, optimizer))
    return Work({"training": lambda: float(step(images, labels)["loss"])}, lambda: _count_rois(model, images, labels))


def roi_align(variant: str) -> Work:
    """Two samples on a side of each bin, the only number there is."""
    import tensorflow as tf
    from official.vision.ops.spatial_transform_ops import multilevel_crop_and_resize

    boxes = tf.constant(work.make_boxes(work.PROPOSALS)[None, :, [1, 0, 3, 2]])

    def make(size):
        shape = (work.PROPOSALS, size, size, work.CHANNELS)
        return lambda features: tf.reshape(multilevel_crop_and_resize({"2": features}, boxes, size), shape)

    return Work(tensorflow_cases({(size, 2): make(size) for size in work.POOLED}))


def paste(variant: str) -> Work:
    """`paste_instance_masks`, which resizes each mask with OpenCV."""
    from official.vision.ops.mask_ops import paste_instance_masks

    probs, boxes = work.mask_probs(), work.paste_boxes()
    boxes[:, 2:] -= boxes[:, :2]  # x, y, width, height
    return Work({"100 masks": lambda: paste_instance_masks(probs, boxes, *work.PHOTO)})


def _task_and_model(finest_anchor: float = 32):
    import tf_keras
    from official.vision.configs import maskrcnn as configs
    from official.vision.tasks.maskrcnn import MaskRCNNTask

    model = configs.MaskRCNN(num_classes=work.CLASSES + 1, input_size=[*work.PADDED, 3])
    model.anchor.anchor_size = finest_anchor / 2**model.min_level
    model.norm_activation.use_sync_bn = False
    model.detection_head.num_convs, model.detection_head.num_fcs = 0, 2
    model.detection_generator.pre_nms_score_threshold = 0.0
    model.detection_generator.max_num_detections = work.DETECTIONS
    generator, sampler = model.roi_generator, model.roi_sampler
    generator.pre_nms_top_k, generator.test_pre_nms_top_k = work.PRE_NMS["train"], work.PRE_NMS["test"]
    generator.num_proposals = generator.test_num_proposals = work.PROPOSALS
    sampler.num_sampled_rois, sampler.foreground_fraction = work.ROIS, work.POSITIVE_FRACTION
    sampler.foreground_iou_threshold = sampler.background_iou_high_threshold = work.POSITIVE_IOU
    model.mask_sampler.num_sampled_masks = work.POSITIVES // work.IMAGES
    tf_keras.utils.set_random_seed(0)
    task = MaskRCNNTask(configs.MaskRCNNTask(model=model))
    built = task.build_model()
    with aside():
        for weight in built.backbone.weights:
            if "/gamma" in weight.name:
                weight.assign(0.5 * weight)
    return task, built


def _freeze(model) -> None:
    """The stem, res2 and every norm."""
    blocks = 0
    for layer in model.backbone.layers:
        blocks += type(layer).__name__ == "BottleneckBlock"
        layer.trainable = blocks > STEM_AND_RES2
    for module in model.submodules:
        if "BatchNormalization" in type(module).__name__:
            module.trainable = False


def _image() -> np.ndarray:
    """The photo normalised and padded, (1, 800, 1344, 3) float32."""
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    image = np.zeros((1, *work.PADDED, 3), np.float32)
    image[0, :, : work.PHOTO[1]] = (work.photo() / 255 - mean) / deviation
    return image


def _anchors(config):
    from official.vision.ops import anchor

    ratios, size = config.anchor.aspect_ratios, config.anchor.anchor_size
    levels = config.min_level, config.max_level
    return anchor.Anchor(*levels, config.anchor.num_scales, ratios, size, work.PADDED).multilevel_boxes


def _labels(config) -> dict:
    """Targets of both photos, as the task's parser makes them of one."""
    import tensorflow as tf
    from official.vision.ops import anchor

    boxes, classes = work.objects()
    boxes, anchors, labeler = boxes[..., [1, 0, 3, 2]], _anchors(config), anchor.RpnAnchorLabeler()
    made = [
        labeler.label_anchors(anchors, tf.constant(b), tf.cast(c[:, None] + 1, tf.float32))
        for b, c in zip(boxes, classes)
    ]
    scores, targets = (tf.nest.map_structure(lambda *each: tf.stack(each), *kind) for kind in zip(*made))
    info = [work.PHOTO, work.PHOTO, (1, 1), (0, 0)]
    return {
        "anchor_boxes": {level: tf.repeat(value[None], work.IMAGES, axis=0) for level, value in anchors.items()},
        "image_info": tf.constant([info] * work.IMAGES, tf.float32),
        "rpn_score_targets": scores,
        "rpn_box_targets": targets,
        "gt_boxes": tf.constant(boxes),
        "gt_classes": tf.constant(classes + 1),
        "gt_masks": tf.ones((work.IMAGES, work.OBJECTS, 112, 112)),
    }


def _proposals(model, images, sizes, anchors, training: bool):
    scores, boxes = model.rpn_head(model.decoder(model.backbone(images)))
    return model.roi_generator(boxes, scores, anchors, sizes, training)[0]


def _count(model, image, size, found: dict) -> dict[str, int]:
    import tensorflow as tf

    config = model.get_config()
    levels = config["min_level"], config["max_level"]
    from official.vision.ops import anchor

    anchors = anchor.Anchor(*levels, config["num_scales"], config["aspect_ratios"], config["anchor_size"], work.PADDED)
    boxes = {level: value[None] for level, value in anchors.multilevel_boxes.items()}
    rois = tf.function(lambda x: _proposals(model, x, size, boxes, False))(image).numpy().reshape(-1, 4)
    detections = int(found["num_detections"].sum())
    masks = found["detection_masks"].shape[1]
    return {"proposals": int((rois[:, 2:] > rois[:, :2]).all(axis=1).sum()), "detections": detections, "masks": masks}


def _count_rois(model, images, labels: dict) -> dict[str, int]:
    import tensorflow as tf

    arguments = {name: labels[name] for name in ("anchor_boxes", "gt_boxes", "gt_classes", "gt_masks")}
    forward = tf.function(lambda x: model(x, labels["image_info"][:, 1], **arguments, training=True)["class_targets"])
    classes = forward(images).numpy()
    return {"RoIs": classes.size, "positives": int((classes > 0).sum())}


def versions() -> dict[str, str]:
    """Model Garden's and TensorFlow's."""
    import importlib.metadata

    return {name: importlib.metadata.version(name) for name in ("tf-models-official", "tensorflow")}


if __name__ == "__main__":
    serve({f.__name__: f for f in (inference, training, roi_align, paste)}, versions)
