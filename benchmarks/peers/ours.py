"""mrcnn_keras; variant "bfloat16" computes in mixed bfloat16."""

import itertools

import numpy as np
from comparison import convolutions, stages, work
from comparison.child import Work, aside, serve
from comparison.pooling import tensorflow_cases


def inference(variant: str) -> Work:
    """A photo in, bitmaps of the photo's size out."""
    model, photo, seen = _model(variant), work.photo(), {}

    def detect():
        found = model.detect(photo)[0]
        seen.update(detections=len(found), masks=len(found.masks))

    return Work({"inference": detect}, lambda: {"proposals": _count_proposals(model), **seen})


def training(variant: str) -> Work:
    """One step of SGD on two photos."""
    import tensorflow as tf

    model = _model(variant, anchor_sizes=work.TRAINING_ANCHORS)
    model.compile(learning_rate=work.LEARNING_RATE)
    model.optimizer.build(model.trainable_variables)
    model.make_train_function()
    batch = _batch(model.config.gt_mask_size)
    batches = iter(tf.data.Dataset.from_tensors(batch).repeat())
    step = lambda: float(model.train_function(batches)["loss"])  # noqa: E731
    return Work({"training": step}, lambda: _count_rois(model, batch))


def roi_align(variant: str) -> Work:
    """`ops.multilevel_roi_align` on one map."""
    from mrcnn_keras import ops

    boxes, zeros = work.make_boxes(work.PROPOSALS), np.zeros(work.PROPOSALS, np.int32)

    def make(size, sampling):
        options = {"scales": [1 / work.STRIDE], "output_size": size, "sampling_ratio": sampling}
        return lambda features: ops.multilevel_roi_align([features], boxes, zeros, zeros, **options)

    dtype = variant or "float32"
    return Work(tensorflow_cases({case: make(*case) for case in itertools.product(work.POOLED, work.SAMPLINGS)}, dtype))


def paste(variant: str) -> Work:
    """`paste_masks`, which makes bitmaps."""
    from mrcnn_keras.inference.paste import paste_masks

    probs, boxes = work.mask_probs(), work.paste_boxes()
    return Work({"100 masks": lambda: paste_masks(probs, boxes, work.PHOTO)})


def peak(variant: str) -> Work:
    """TensorFlow's convolutions."""
    import tensorflow as tf

    def make(height, width, inputs, outputs, kernel):
        image = tf.random.normal([1, height, width, inputs])
        weights = tf.Variable(tf.random.normal([kernel, kernel, inputs, outputs]))
        convolution = tf.function(lambda x: tf.nn.conv2d(x, weights, 1, "SAME"))
        return lambda: convolution(image)

    return Work(convolutions.cases(make))


def profile(variant: str) -> Work:
    """Detections, and at the end the seconds of each stage of one."""
    model, photo = _model(variant), work.photo()
    detect = lambda: model.detect(photo)  # noqa: E731
    return Work({"inference": detect}, lambda: stages.seconds(detect))


def _model(variant: str, **fields):
    import keras

    if variant == "bfloat16":
        keras.config.set_dtype_policy("mixed_bfloat16")
    from mrcnn_keras import MaskRCNN, MaskRCNNConfig

    model = MaskRCNN(
        MaskRCNNConfig(
            num_classes=work.CLASSES,
            rpn_pre_nms_topk_train=work.PRE_NMS["train"],
            rpn_pre_nms_topk_test=work.PRE_NMS["test"],
            rpn_post_nms_topk_train=work.PROPOSALS,
            rpn_post_nms_topk_test=work.PROPOSALS,
            score_threshold=0.0,
            max_detections=work.DETECTIONS,
            roi_iou_threshold=work.POSITIVE_IOU,
            roi_batch_size=work.ROIS,
            roi_positive_fraction=work.POSITIVE_FRACTION,
            momentum=work.MOMENTUM,
            weight_decay=work.WEIGHT_DECAY,
            **fields,
        )
    )
    with aside():
        from mask_overhead import tame

        tame(model)
    return model


def _batch(mask_side: int) -> dict[str, np.ndarray]:
    boxes, classes = work.objects()
    images = np.zeros((work.IMAGES, *work.PADDED, 3), np.uint8)
    images[:, :, : work.PHOTO[1]] = work.photo()
    return {
        "images": images,
        "image_sizes": np.array([work.PHOTO] * work.IMAGES, np.float32),
        "gt_boxes": boxes,
        "gt_class_ids": classes,
        "gt_masks": np.full((work.IMAGES, work.OBJECTS, mask_side, mask_side), 255, np.uint8),
        "image_index": np.arange(work.IMAGES),
    }


def _count_proposals(model) -> int:
    import keras

    from mrcnn_keras.inference.preprocess import prepare_images

    c = model.config
    batch, _ = prepare_images([work.photo()], c.image_min_side, c.image_max_side, c.size_divisor)
    batch["images"] = batch["images"].astype(np.float32)
    proposals, *_ = keras.Model(model.inputs, model.get_layer("proposals_test").output)(batch)
    boxes = np.asarray(proposals).reshape(-1, 4)
    return int((boxes[:, 2:] > boxes[:, :2]).all(axis=1).sum())


def _count_rois(model, batch: dict) -> dict[str, int]:
    import keras

    graph = model.training_graph
    inputs = {name: value for name, value in batch.items() if name != "image_index"}
    inputs["images"] = inputs["images"].astype(np.float32)
    classes = np.asarray(keras.Model(graph.inputs, graph.get_layer("roi_sampler").output)(inputs, training=True)[2])
    return {"RoIs": int((classes >= 0).sum()), "positives": int(((classes >= 0) & (classes < work.CLASSES)).sum())}


def versions() -> dict[str, str]:
    """Of the package and what it stands on, and whether its operation is compiled."""
    import keras
    import tensorflow as tf

    import mrcnn_keras

    built = mrcnn_keras.ops.status().built_for
    found = {"mrcnn_keras": mrcnn_keras.__version__, "tensorflow": tf.__version__, "keras": keras.__version__}
    return {**found, "RoIAlign": "compiled" if built else "stock operations"}


if __name__ == "__main__":
    serve({f.__name__: f for f in (inference, training, roi_align, paste, peak, profile)}, versions)
