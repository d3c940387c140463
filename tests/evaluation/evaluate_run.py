"""Detects and evaluates with the devices of one process or of two; run by the tests.

python -m tests.evaluation.evaluate_run OUT [WORKER_INDEX HOST:PORT HOST:PORT]

Writes to OUT/alone.json what one process finds with one device and with two, or to OUT/worker<INDEX>.json what a
worker of two with two devices each finds.
"""

import contextlib
import json
import pathlib
import sys

from mrcnn_keras.training.cluster import make_strategy

from ..training.replica_run import FIELDS, use_cpus

SIZES = (40, 64), (64, 48)


def main(out, index=None, *workers):
    """Writes one file into the folder `out`."""
    out = pathlib.Path(out)
    if workers:
        use_cpus(2)
        found = of_worker(out, int(index), make_strategy(workers=workers, worker_index=int(index)))
    else:
        found = of_one_process(out, make_strategy(2))
    (out / (f"worker{index}.json" if workers else "alone.json")).write_text(json.dumps(found))


def of_one_process(out, two):
    """What one device and two find."""
    from mrcnn_keras.inference import TestTimeAugmentation

    images = [mixed_images().load_image(i) for i in range(7)]
    one, many = model_under(None), model_under(two)
    found = {"replicas": many.local_replicas}
    views = TestTimeAugmentation((1.0, 1.5))
    for count, batch_size, tta in ((1, 1, None), (7, 2, None), (3, 1, views)):
        options = {"batch_size": batch_size, "masks": "rle", "tta": tta}
        found[f"{count} images, {batch_size} a batch" + (", views" if tta else "")] = [
            [plain(each) for each in model.detect(images[:count], **options)] for model in (one, many)
        ]
    found["one"], found["two"] = evaluated(one, out / "one"), evaluated(many, out / "two")
    return found


def of_worker(out, index, strategy):
    """What one of two workers finds."""
    model = model_under(strategy)
    found = {"replicas": model.local_replicas}
    if index == 1:
        image = mixed_images().load_image(0)
        found["one worker's own"] = [plain(each) for each in model.detect([image] * 3, masks="rle")]
    found["together"] = evaluated(model, out / "together")
    found["errors"] = [error_of(model, broken) for broken in (1, 6)]
    found["skipped"] = evaluated(model, None, broken=(0, 1, 4, 5, 6), skip_broken=True)

    from mrcnn_keras.evaluation import CocoEvaluation, evaluate_coco

    callback, logs = CocoEvaluation(mixed_images(), max_images=5), {}
    callback.set_model(model)
    callback.on_epoch_end(0, logs)
    metrics = evaluate_coco(model, mixed_images(), max_images=5, verbose=False)
    for kind in metrics:
        found[f"logged {kind}"] = [[logs[f"val_{kind}_{name}"], metrics[kind][name]] for name in ("AP", "AP50")]
    return found


def model_under(strategy):
    """A model whose weights are always the same."""
    import keras

    from mrcnn_keras import MaskRCNN, MaskRCNNConfig

    # So many detections that random weights hit some objects.
    many = {"rpn_pre_nms_topk_test": 1000, "rpn_post_nms_topk_test": 1000, "max_detections": 100}
    widths = {"backbone_norm": "group", "fpn_channels": 16, "box_head_dim": 32, "mask_head_dim": 16}
    config = MaskRCNNConfig(**{**FIELDS, **many, **widths})
    with strategy.scope() if strategy else contextlib.nullcontext():
        model = MaskRCNN(config)
        model.compile()
    keras.utils.set_random_seed(3)
    model.set_weights(MaskRCNN(config).get_weights())
    return model


def evaluated(model, folder, broken=(), **options):
    """The metrics, and the images that are handed on with their objects and what is found in them."""
    from mrcnn_keras.evaluation import evaluate_coco
    from mrcnn_keras.evaluation.passes import detect_each

    dataset, passed = mixed_images(7, broken, **options), []

    def use(index, annotations, found):
        passed.append([index, annotations.boxes.tolist(), plain(found)])

    detect_each(model, dataset, use, verbose=False)
    metrics = evaluate_coco(model, dataset, verbose=False, results_folder=folder)
    return {"images": passed, "metrics": metrics}


def error_of(model, broken):
    """What the evaluation says where an image is broken."""
    from mrcnn_keras.evaluation import evaluate_coco

    try:
        evaluate_coco(model, mixed_images(7, [broken]), verbose=False)
    except ValueError as error:
        return str(error)


def plain(found):
    """Detections as lists: boxes, scores, classes, areas of the masks."""
    from pycocotools import mask as mask_utils

    areas = [int(mask_utils.area(one)) for one in found.rles]
    return [found.boxes.tolist(), found.scores.tolist(), found.class_ids.tolist(), areas]


def mixed_images(count=7, broken=(), skip_broken=False):
    """A dataset of images of several sizes, some of which may be broken."""
    from mrcnn_keras.data import Dataset, ShapesDataset

    class Images(Dataset):
        parts = [ShapesDataset(count, seed=number, size=size) for number, size in enumerate(SIZES)]
        class_names = parts[0].class_names

        def __len__(self):
            return count

        def load_image(self, index):
            if index in broken:
                raise ValueError("no image in this file")
            return self.parts[index % len(SIZES)].load_image(index)

        def load_annotations(self, index):
            return self.parts[index % len(SIZES)].load_annotations(index)

    dataset = Images()
    dataset.skip_broken = skip_broken
    return dataset


if __name__ == "__main__":
    main(*sys.argv[1:])
