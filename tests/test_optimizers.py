"""Muon, against singular value decomposition and MXNet's own Nesterov momentum; and the optimizer that `fit` makes."""


import mxnet as mx
import numpy
import pytest
from helpers import MODES, Batches, classifier, images, loader, network, same, switch, values
from mxnet import autograd, gluon

from d2l_densenet import fit
from d2l_densenet.optimizers import Muon, _orthogonalized, own_optimizer


@pytest.mark.parametrize('shape', [(8, 90), (32, 32), (48, 20), (1, 9)])
def test_the_step_has_the_singular_vectors_and_values_near_one(shape):
    matrix = numpy.random.normal(size=shape).astype('float32')
    U, _, Vt = numpy.linalg.svd(matrix, full_matrices=False)
    step = _orthogonalized([mx.nd.array(matrix)])[0].asnumpy()
    values = U.T @ step @ Vt.T
    on_diagonal = numpy.diag(values)
    assert abs(values - numpy.diag(on_diagonal)).max() < 1e-3
    # The polynomial's band is 0.68 to 1.21 for singular values that are not tiny: a square matrix may have some.
    assert on_diagonal.max() < 1.21 and on_diagonal[:len(on_diagonal) // 2 + 1].min() > 0.68
    scaled = _orthogonalized([mx.nd.array(1000 * matrix)])[0].asnumpy()
    numpy.testing.assert_allclose(scaled, step, atol=1e-4)


def test_five_iterations_of_the_polynomial():
    """Each singular value, over the matrix's norm, goes five times through the polynomial that Jordan published."""
    before = numpy.array([1, 0.5, 0.1, 0.01, 0.001])
    U, _, Vt = numpy.linalg.svd(numpy.random.normal(size=(5, 12)), full_matrices=False)
    step = _orthogonalized([mx.nd.array(U * before @ Vt)])[0].asnumpy()
    expected = before / numpy.linalg.norm(before)
    for _ in range(5):
        expected = 3.4445 * expected - 4.7750 * expected ** 3 + 2.0315 * expected ** 5
    numpy.testing.assert_allclose(numpy.diag(U.T @ step @ Vt.T), expected, rtol=1e-3)


def test_a_gradient_of_zero_moves_nothing():
    assert (_orthogonalized([mx.nd.zeros((4, 9))])[0].asnumpy() == 0).all()


def train(net, X, steps, optimizer, **params):
    """Steps on the mean square of the outputs."""
    trainer = gluon.Trainer(net.collect_params(), optimizer, params)
    for _ in range(steps):
        with autograd.record():
            loss = (net(X) ** 2).mean()
        loss.backward()
        trainer.step(1)


@pytest.mark.parametrize('mode', MODES)
def test_two_steps_on_a_convolution_by_hand(mode):
    """With a loss that is linear in the weight the gradient is always the same: the steps can be written down."""
    array = switch(mode)
    X = images(1, 3, 5, 5)
    net = gluon.nn.Conv2D(6, 3, in_channels=3, use_bias=False)
    net.initialize(mx.init.Normal(1))
    before = net.weight.data().asnumpy()
    factors = array(numpy.random.normal(size=(1, 6, 3, 3)).astype('float32'))
    trainer = gluon.Trainer(net.collect_params(), 'muon', {'learning_rate': 0.1, 'momentum': 0.5, 'wd': 0.01})
    for _ in range(2):
        with autograd.record():
            loss = (net(array(X)) * factors).sum()
        loss.backward()
        gradient = net.weight.grad().asnumpy()
        trainer.step(2)
    # Direction: all multiples of the gradient have the same orthogonal matrix. 6 rows, 27 columns: no factor.
    direction = _orthogonalized([mx.nd.array(gradient.reshape(6, -1))])[0].asnumpy().reshape(before.shape)
    expected = before * (1 - 0.1 * 0.01) - 0.1 * direction
    expected = expected * (1 - 0.1 * 0.01) - 0.1 * direction
    numpy.testing.assert_allclose(net.weight.data().asnumpy(), expected, atol=2e-4)


def test_the_momentum_of_a_convolution_is_nesterovs():
    """Two gradients of different directions: the second step shows what the first has left."""
    first, second = (numpy.random.normal(size=(3, 2, 3, 3)).astype('float32') for _ in range(2))
    optimizer, weight = Muon(learning_rate=0.1, momentum=0.6), mx.nd.zeros((3, 2, 3, 3))
    state = optimizer.create_state(0, weight)
    optimizer.update(0, weight, mx.nd.array(first), state)
    before = weight.asnumpy()
    optimizer.update(0, weight, mx.nd.array(second), state)
    average = 0.6 * first + second
    direction = _orthogonalized([mx.nd.array((second + 0.6 * average).reshape(3, -1))])[0].asnumpy()
    numpy.testing.assert_allclose(weight.asnumpy(), before - 0.1 * direction.reshape(before.shape), atol=1e-5)


@pytest.mark.parametrize('make, shape, orthogonal', [
    (gluon.nn.Conv1D, (2, 3, 9), True), (gluon.nn.Conv2D, (2, 3, 9, 9), True), (gluon.nn.Conv3D, (2, 3, 5, 5, 5), True),
    (lambda channels, _: gluon.nn.Dense(channels), (2, 27), False)])
def test_convolutions_of_any_axes_take_orthogonal_steps_and_dense_layers_do_not(make, shape, orthogonal):
    net = make(4, 3)
    net.initialize(mx.init.Normal(1))
    X = mx.nd.array(images(*shape))
    net(X)
    before = net.weight.data().asnumpy()
    train(net, X, 1, 'muon', learning_rate=0.1)
    moved = numpy.linalg.svd((net.weight.data().asnumpy() - before).reshape(4, -1), compute_uv=False) / 0.1
    assert (moved[0] < 1.3) == orthogonal and moved[1] > 0.3


def test_a_tall_matrix_takes_longer_steps():
    net = gluon.nn.Conv2D(16, 1, in_channels=4, use_bias=False)
    net.initialize(mx.init.Normal(1))
    before = net.weight.data().asnumpy()
    train(net, mx.nd.array(images(2, 4, 3, 3)), 1, 'muon', learning_rate=0.1)
    moved = numpy.linalg.svd((net.weight.data().asnumpy() - before).reshape(16, 4), compute_uv=False)
    assert moved[0] == pytest.approx(0.1 * 2, rel=0.35)


@pytest.mark.parametrize('mode', MODES)
def test_other_parameters_move_as_with_nesterov(mode):
    array = switch(mode)
    X, ends = array(images(8, 5)), []
    for optimizer, params in [('muon', {'learning_rate': 0.02, 'others': 5}), ('nag', {'learning_rate': 0.1})]:
        net = gluon.nn.HybridSequential()
        net.add(gluon.nn.Dense(4, in_units=5), gluon.nn.BatchNorm(in_channels=4))
        mx.random.seed(1)
        net.initialize(mx.init.Normal(1))
        train(net, X, 4, optimizer, momentum=0.9, wd=0.01, clip_gradient=0.05, **params)
        ends.append([p.data().asnumpy() for p in net.collect_params().values()])
    for a, b in zip(*ends):
        numpy.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_the_gradient_is_clipped_and_rescaled():
    weight, grad = mx.nd.zeros((1, 1, 1, 2)), mx.nd.array([[[[8.0, 2.0]]]])
    optimizer = Muon(learning_rate=1.0, momentum=0.0, rescale_grad=0.5, clip_gradient=1.0)
    optimizer.update(0, weight, grad, optimizer.create_state(0, weight))
    # Halved to (4, 1), clipped to (1, 1): along the diagonal.
    first, second = weight.asnumpy().ravel()
    assert first == pytest.approx(second, rel=1e-5) and first < 0


def test_the_documented_defaults():
    made = mx.optimizer.create('muon')
    assert (made.learning_rate, made.momentum, made.others, made.wd) == (0.02, 0.9, 5, 0)


def test_momentum_out_of_range_is_named():
    with pytest.raises(ValueError, match='momentum must be .* got 1'):
        Muon(momentum=1)


def test_sgd_updates_many_weights_at_once_unless_the_environment_says_otherwise(monkeypatch):
    monkeypatch.delenv('MXNET_OPTIMIZER_AGGREGATION_SIZE', raising=False)
    assert own_optimizer('sgd').aggregate_num == 60
    monkeypatch.setenv('MXNET_OPTIMIZER_AGGREGATION_SIZE', '3')
    assert own_optimizer('sgd').aggregate_num == 3


def test_an_optimizer_of_ones_own_stays_as_it_is():
    optimizer = mx.optimizer.SGD(learning_rate=0.1)
    optimizer.aggregate_num = 3
    fit(classifier(), Batches(), None, 1, optimizer=optimizer, progress=False)
    assert optimizer.aggregate_num == 3


SCHEDULERS = {
    'MultiFactorScheduler': lambda: mx.lr_scheduler.MultiFactorScheduler(step=[2], factor=0.5, base_lr=0.4),
    'FactorScheduler': lambda: mx.lr_scheduler.FactorScheduler(step=2, factor=0.5, base_lr=0.4),
    'PolyScheduler': lambda: mx.lr_scheduler.PolyScheduler(max_update=9, base_lr=0.4),
    'CosineScheduler': lambda: mx.lr_scheduler.CosineScheduler(max_update=9, base_lr=0.4)}


@pytest.mark.parametrize('optimizer', ['sgd', 'SGD', 'nag', 'adam', 'muon'])
@pytest.mark.parametrize('kind', SCHEDULERS)
@pytest.mark.parametrize('place', ['lr_scheduler', 'optimizer_params'])
def test_the_schedulers_rate_applies_and_the_scheduler_stays_as_it_is(optimizer, kind, place):
    scheduler = SCHEDULERS[kind]()
    before, expected = dict(vars(scheduler)), [SCHEDULERS[kind]()(3 * epoch) for epoch in (1, 2)]
    params = {'lr_scheduler': scheduler} if place == 'optimizer_params' else None
    for _ in range(2):  # the second run is the first again
        history = fit(classifier(), Batches(), None, 2, optimizer=optimizer, optimizer_params=params, progress=False,
                      lr_scheduler=None if params else scheduler)
        assert history['learning_rate'] == pytest.approx(expected) and vars(scheduler) == before


def test_a_rate_that_is_given_wins_over_the_schedulers():
    scheduler, params = SCHEDULERS['FactorScheduler'](), {'learning_rate': 0.2}
    history = fit(classifier(), Batches(), None, 1, optimizer_params=params, lr_scheduler=scheduler, progress=False)
    assert history['learning_rate'] == pytest.approx([0.1]) and params == {'learning_rate': 0.2}
    assert scheduler.base_lr == 0.4


@pytest.mark.parametrize('name', ['sgd', 'SGD', 'Sgd'])
def test_the_default_rate_does_not_depend_on_how_sgd_is_written(name):
    assert fit(classifier(), Batches(), None, 1, optimizer=name, progress=False)['learning_rate'] == [0.1]


def test_other_optimizers_keep_mxnets_default_rate():
    assert own_optimizer('adam', {}).learning_rate == mx.optimizer.Adam().learning_rate == 0.001


@pytest.mark.parametrize('schedule', [mx.lr_scheduler.CosineScheduler(100, base_lr=0.01, warmup_steps=2),
                                      mx.lr_scheduler.PolyScheduler(100, base_lr=0.01, warmup_steps=2)])
def test_a_schedulers_own_rate_gives_way_wherever_it_is_kept(schedule, capsys):
    made = own_optimizer('sgd', {'learning_rate': numpy.float32(0.5)}, schedule)
    like = type(schedule)(100, base_lr=0.5, warmup_steps=2)
    assert [made.lr_scheduler(n) for n in (1, 2, 3, 50)] == [like(n) for n in (1, 2, 3, 50)]
    assert schedule.base_lr == 0.01 and not capsys.readouterr().out and type(made.lr) is float


@pytest.mark.parametrize('params, words', [
    ({'lr_scheduler': mx.lr_scheduler.FactorScheduler(5)}, 'leave one out'),
    ({'lr_scheduler': 'cosine'}, 'leave one out')])
def test_two_schedulers_are_refused(params, words):
    with pytest.raises(ValueError, match=words):
        own_optimizer('sgd', params, mx.lr_scheduler.FactorScheduler(7))
    if params['lr_scheduler'] == 'cosine':
        with pytest.raises(TypeError, match=r"optimizer_params\['lr_scheduler'\] must be an mx.lr_scheduler"):
            own_optimizer('sgd', params)


def test_an_optimizer_that_remembers_in_a_dictionary_can_be_given_again():
    optimizer, ends = mx.optimizer.create('lbsgd', batch_scale=3, learning_rate=0.1), []
    for _ in range(2):
        net = network('nd')
        fit(net, loader(), num_epochs=1, optimizer=optimizer, progress=False)
        ends.append(values(net))
    assert same(*ends) and not optimizer.cumgrads


def test_an_optimizer_object_can_be_given_again():
    optimizer = mx.optimizer.NAG(momentum=0.9, lr_scheduler=SCHEDULERS['FactorScheduler']())
    before, ends = {name: repr(value) for name, value in vars(optimizer).items()}, []
    for _ in range(2):
        mx.random.seed(1)
        net = classifier()
        fit(net, Batches(), None, 2, optimizer=optimizer, progress=False)
        ends.append([p.data().asnumpy() for p in net.collect_params().values()])
    assert all((a == b).all() for a, b in zip(*ends))
    assert {name: repr(value) for name, value in vars(optimizer).items()} == before


def test_a_network_that_is_frozen_as_a_whole_is_named():
    net = classifier()
    net.collect_params().setattr('grad_req', 'null')
    with pytest.raises(ValueError, match='all parameters of net are frozen'):
        fit(net, Batches(), None, 1)


def test_weights_in_half_precision_are_updated_through_their_copies_in_float32():
    """All at once, as `gluon.Trainer` hands them over, against the same update of the same weights in float32."""
    found, starts = [], [images(3, 2, 3, 3), images(4)]
    for dtype in ('float16', 'float32'):
        weights = [mx.nd.array(start).astype(dtype) for start in starts]
        updater = mx.optimizer.get_updater(Muon(0.1, multi_precision=dtype == 'float16'))
        updater([0, 1], [weight * 0.5 for weight in weights], weights)
        found.append([weight.astype('float32').asnumpy() for weight in weights])
    for half, single in zip(*found):
        numpy.testing.assert_allclose(half, single, atol=4e-3)


def test_weights_in_double_precision():
    start, slope = images(3, 2, 3, 3), images(3, 2, 3, 3)
    found = []
    for dtype in ('float32', 'float64'):
        weight = mx.nd.array(start, dtype=dtype)
        mx.optimizer.get_updater(Muon(0.1))(0, mx.nd.array(slope, dtype=dtype), weight)
        assert numpy.dtype(weight.dtype) == dtype
        found.append(weight.asnumpy())
    numpy.testing.assert_allclose(*found, atol=1e-5)


def test_parameters_are_updated_together_as_one_by_one():
    shapes = (3, 2, 3, 3), (3, 4, 3, 3), (5,), (6, 2, 1, 1), (2, 7)
    found, starts, slopes = [], [images(*shape) for shape in shapes], [images(*shape) for shape in shapes]
    for together in (True, False):
        weights, gradients = [*map(mx.nd.array, starts)], [*map(mx.nd.array, slopes)]
        optimizer = Muon(0.1, wd=0.01, clip_gradient=0.8)
        states = [optimizer.create_state(i, weight) for i, weight in enumerate(weights)]
        for _ in range(2):
            if together:
                optimizer.update([*range(5)], weights, gradients, states)
            else:
                for i in range(5):
                    optimizer.update(i, weights[i], gradients[i], states[i])
        found.append([weight.asnumpy() for weight in weights])
    for one, other in zip(*found):
        numpy.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
