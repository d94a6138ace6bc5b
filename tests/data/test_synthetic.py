"""The stand-in: the same from the same seed, ten classes, neither trivial nor hopeless."""

import hashlib
import itertools
import subprocess
import sys

import numpy
import pytest

from d2l_densenet.data.synthetic import TEST_SEED, TRAIN_SEED, synthetic_fashion


@pytest.fixture(scope='module')
def drawn():
    return synthetic_fashion(3000, TRAIN_SEED)


def test_shapes_types_and_classes(drawn):
    images, labels = drawn
    assert images.shape == (3000, 28, 28) and images.dtype == numpy.uint8
    assert labels.shape == (3000,) and labels.dtype == numpy.int32
    assert list(numpy.bincount(labels)) == [300] * 10
    for start in range(0, 3000, 10):
        assert sorted(labels[start:start + 10]) == list(range(10)), 'each ten images hold each class once'


def test_each_image_shows_something(drawn):
    images, _ = drawn
    lit = (images > 40).mean(axis=(1, 2))
    assert 0.03 < lit.min() and lit.max() < 0.85
    assert len({image.tobytes() for image in images}) == len(images), 'two images are the same'
    corners = images[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners < 40).mean() > 0.95, 'silhouettes on black, not cut off by the frame'


def test_same_seed_same_images(drawn):
    images, labels = drawn
    again = synthetic_fashion(1234, TRAIN_SEED)
    numpy.testing.assert_array_equal(again[0], images[:1234], 'the first ones do not depend on how many follow')
    numpy.testing.assert_array_equal(again[1], labels[:1234])
    other = synthetic_fashion(1000, TEST_SEED)
    assert not {image.tobytes() for image in other[0]} & {image.tobytes() for image in images}


# Mean shade of each quarter (upper left and right, lower left and right) of the first image of each class, as
# NumPy 1.23.5, 2.4.6 and 2.5.5 draw it.
FIRST = [
    (52.44, 84.97, 35.82, 40.89), (14.29, 15.16, 14.44, 14.01),
    (90.85, 83.07, 49.12, 54.63), (33.92, 55.56, 65.52, 69.52),
    (65.04, 61.68, 64.58, 61.74), (24.35, 1.01, 35.99, 33.71),
    (48.41, 58.97, 46.90, 57.39), (4.12, 17.66, 29.75, 27.11),
    (26.31, 27.17, 92.06, 75.70), (7.59, 59.11, 46.03, 56.06)]


def test_the_images_are_still_the_ones_that_they_were(drawn):
    images, labels = drawn
    assert list(labels[:10]) == [1, 4, 5, 6, 0, 9, 7, 2, 8, 3] and list(labels[1000:1003]) == [8, 9, 4]
    quarters = images[:10].reshape(10, 2, 14, 2, 14).mean(axis=(2, 4)).reshape(10, 4)
    # A pixel may be rounded to the next shade elsewhere; each is one of 196.
    numpy.testing.assert_allclose(quarters[numpy.argsort(labels[:10])], FIRST, rtol=0, atol=0.02)
    assert images[:1000].mean() == pytest.approx(47.063, abs=0.003)
    assert images[1000:2000].mean() == pytest.approx(45.674, abs=0.003)


def test_same_in_another_process(drawn):
    code = ('import hashlib; from d2l_densenet.data.synthetic import synthetic_fashion as draw\n'
            f'images, labels = draw(1000, {TRAIN_SEED})\n'
            'print(hashlib.md5(images.tobytes() + labels.tobytes()).hexdigest())')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60)
    expected = hashlib.md5(drawn[0][:1000].tobytes() + drawn[1][:1000].tobytes()).hexdigest()
    assert done.stdout.strip() == expected, done.stderr


def test_harder_than_trivial_and_not_hopeless(drawn):
    """A linear classifier, fitted by least squares, gets neither everything nor nothing right."""
    images, labels = drawn
    inputs = numpy.c_[images.reshape(len(images), -1) / 255, numpy.ones(len(images))]
    weights = numpy.linalg.lstsq(inputs[:2500], numpy.eye(10)[labels[:2500]], rcond=None)[0]
    accuracy = (numpy.argmax(inputs[2500:] @ weights, axis=1) == labels[2500:]).mean()
    assert 0.5 < accuracy < 0.95
    # What is learned on one seed holds on another: the classes are shapes, not noise.
    test_images, test_labels = synthetic_fashion(1000, TEST_SEED)
    test = numpy.c_[test_images.reshape(1000, -1) / 255, numpy.ones(1000)]
    assert 0.5 < (numpy.argmax(test @ weights, axis=1) == test_labels).mean() < 0.95


def test_no_two_classes_are_drawn_alike(drawn):
    """For each two classes, a linear classifier between them (ridge regression) beats guessing by far."""
    images, labels = drawn
    inputs = numpy.c_[images.reshape(len(images), -1) / 255, numpy.ones(len(images))]
    fitted = numpy.arange(len(images)) < 2500
    for a, b in itertools.combinations(range(10), 2):
        both, sign = (labels == a) | (labels == b), numpy.where(labels == a, 1, -1)
        X, y = inputs[both & fitted], sign[both & fitted]
        weights = numpy.linalg.solve(X.T @ X + 10 * numpy.eye(785), X.T @ y)
        right = (inputs[both & ~fitted] @ weights > 0) == (sign[both & ~fitted] > 0)
        assert right.mean() > 0.7, f'classes {a} and {b}: {right.mean():.2f}'


@pytest.mark.parametrize('num, seed, name', [(0, 1, 'num'), (2.5, 1, 'num'), (3, -1, 'seed'), (3, None, 'seed')])
def test_wrong_arguments_are_named(num, seed, name):
    with pytest.raises(ValueError, match=f'^{name} must be an integer'):
        synthetic_fashion(num, seed)
