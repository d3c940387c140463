"""A model whose answers are given."""


class Oracle:
    """A model that gives what `answer(index)` says; images carry their index as their colour."""

    def __init__(self, answer):
        self.answer, self.batches, self.options = answer, [], []

    def detect(self, images, batch_size=1, masks="bitmap", **options):
        self.batches.append(len(images))
        self.options.append(options)
        assert masks == "rle"
        return [self.answer(int(image[0, 0, 0])) for image in images]
