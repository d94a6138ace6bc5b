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
