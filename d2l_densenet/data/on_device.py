"""A data set that lies on the device: copied there once, batches and augmentation included are made there."""

import mxnet as mx
import numpy
from mxnet.util import is_np_array

from .._common.arguments import MOST_ELEMENTS, show
from .loader import ImageLoader

__all__ = ['OnDevice']


class OnDevice(ImageLoader):
    """The batches of an `ImageLoader`, equal to the bit, made on a device from images that lie there.

    `epoch` is that of the loader. **Not run on a card:** it is tested on CPU devices. TypeError, ValueError if it is
    another loader, or its images are too large.
    """

    def __init__(self, loader, ctx, name='loader'):
        if type(loader) not in (ImageLoader, OnDevice):  # a subclass may make other batches
            raise TypeError(f'data_on_device needs an ImageLoader itself as {name}, as load_data_fashion_mnist() '
                            f'returns it, got {show(loader)}')
        if loader.resize or loader.images.size > MOST_ELEMENTS:
            raise ValueError(f'data_on_device is for data sets of up to {MOST_ELEMENTS:,} pixels that are resized '
                             f'once: make the images of {name} smaller, or leave it out')
        vars(self).update(vars(loader))
        self._loader, self._ctx = loader, ctx
        self._pixels = mx.nd.array(loader.images.reshape(-1), ctx, dtype='uint8')
        self._classes = mx.nd.array(self.labels, ctx, dtype='int32')

    @property
    def epoch(self):
        return self._loader.epoch

    @epoch.setter
    def epoch(self, number):
        self._loader.epoch = number

    def _batches(self, epoch):
        for chosen, mirrored, shifts, boxes, noise in self._drawn(epoch):
            X = self._cut_out(chosen, mirrored, shifts - self.crop)
            if self.erase:
                X = self._erased(X, boxes.T[:, :, None], noise)
            X, y = X.expand_dims(1), self._classes.take(self._numbers(chosen))
            yield (X.as_np_ndarray(), y.as_np_ndarray()) if is_np_array() else (X, y)

    def _cut_out(self, chosen, mirrored, shifts):
        """The images, by looking up each pixel: it is in a row and a column of one image, or outside of it."""
        height, width = self.image_shape
        rows, columns = numpy.arange(height) + shifts[:, :1], numpy.arange(width) + shifts[:, 1:]
        inside = (rows >= 0) & (rows < height), (columns >= 0) & (columns < width)
        columns = numpy.where(mirrored[:, None], width - 1 - columns, columns)
        rows = (chosen[:, None] * height + rows.clip(0, height - 1)) * width
        X = self._values(self._pixels, rows, columns.clip(0, width - 1))
        return X * self._both(*inside) if self.crop else X

    def _erased(self, X, boxes, noise):
        """The images with noise in a rectangle of each: one of the six numbers in `boxes` has the shape (B, 1)."""
        (height, width), (top, left, high, wide, row, column) = self.image_shape, boxes
        down, right = numpy.arange(height) - top, numpy.arange(width) - left
        inside = self._both((down >= 0) & (down < high), (right >= 0) & (right < wide))
        rows = (row + down).clip(0, len(noise) - 1) * noise.shape[1]
        columns = (column + right).clip(0, noise.shape[1] - 1)
        noise = mx.nd.array(noise.reshape(-1), self._ctx, dtype='uint8')
        return mx.nd.where(inside, self._values(noise, rows, columns), X)

    def _values(self, pixels, rows, columns):
        """The pixels at the sums of `rows` (B, H) and `columns` (B, W), as float32 from 0 to 1."""
        places = mx.nd.broadcast_add(self._numbers(rows).expand_dims(2), self._numbers(columns).expand_dims(1))
        return pixels.take(places).astype('float32') / 255

    def _both(self, rows, columns):
        """1 where a pixel's row and column are both marked, else 0."""
        return mx.nd.broadcast_mul(self._numbers(rows).expand_dims(2), self._numbers(columns).expand_dims(1)).astype(
            'float32')

    def _numbers(self, values):
        return mx.nd.array(values.astype('int32'), self._ctx, dtype='int32')
