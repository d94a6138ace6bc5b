"""Checkpoints that torchvision, timm and MONAI themselves have made: ours computes what theirs does, and the other way
round. It runs where they are installed (pip install torchvision timm monai, after make torch)."""

import mxnet as mx
import numpy
import pytest
from helpers import images

from d2l_densenet import CheckpointError, densenet, load_pretrained, save_torch

torch = pytest.importorskip('torch', reason='the oracle needs PyTorch, which is optional: make torch')
WHY = 'needs what made the checkpoint: pip install torchvision timm monai'


def torchvision_net(size, **kwargs):
    return getattr(pytest.importorskip('torchvision.models', reason=WHY), f'densenet{size}')(**kwargs)


def timm_net(size, **kwargs):
    return pytest.importorskip('timm', reason=WHY).create_model(f'densenet{size}', **kwargs)


def monai_net(size, **kwargs):
    networks = pytest.importorskip('monai.networks.nets', reason=WHY)
    kwargs = {'spatial_dims': 2, 'in_channels': 3, 'out_channels': 1000, **kwargs}
    return getattr(networks, f'DenseNet{size}')(**kwargs)


MAKERS = {'torchvision': torchvision_net, 'timm': timm_net, 'monai': monai_net}


def with_values(net):
    """`net` with statistics, gamma and beta that are not those of a new one."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if value.ndim == 1 and value.is_floating_point():
                positive = name.endswith('var') or ('norm' in name and name.endswith('weight'))
                value.uniform_(*((0.5, 1.5) if positive else (-0.3, 0.3)), generator=generator)
    return net.eval()


def scores(net, x):
    with torch.no_grad():
        return net(torch.from_numpy(x)).numpy()


def close(found, expected):
    numpy.testing.assert_allclose(found, expected, atol=2e-5 * numpy.abs(expected).max())
    assert expected.std() > 0.01


@pytest.mark.parametrize('maker, size', [(maker, size) for maker in MAKERS for size in (
    '121', '264' if maker == 'monai' else '161', '169', '201')])
def test_a_checkpoint_computes_what_its_maker_computes(maker, size, tmp_path):
    other = with_values(MAKERS[maker](size))
    torch.save(other.state_dict(), tmp_path / 'net.pth')
    net = densenet(f'densenet{size}')
    report = load_pretrained(net, tmp_path / 'net.pth')
    assert not (report.kept or report.missing or report.unexpected or report.mismatched)
    x = images(1, 3, 64, 64)
    close(net(mx.nd.array(x)).asnumpy(), scores(other, x))


@pytest.mark.parametrize('maker', ['torchvision', 'timm'])
def test_the_way_back(maker, tmp_path):
    net = densenet('densenet121')
    net.initialize(mx.init.Xavier())
    net(mx.nd.ones((1, 3, 32, 32)))
    save_torch(net, tmp_path / 'net.pth')
    other = MAKERS[maker]('121')
    other.load_state_dict(torch.load(tmp_path / 'net.pth', weights_only=True), strict=True)
    x = images(1, 3, 64, 64)
    close(net(mx.nd.array(x)).asnumpy(), scores(other.eval(), x))


@pytest.mark.parametrize('maker', MAKERS)
def test_a_fine_tuned_one_for_gray_images(maker, tmp_path):
    if maker == 'torchvision':
        other = torchvision_net('121', num_classes=7)
        other.features.conv0 = torch.nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    else:
        names = {'timm': ('in_chans', 'num_classes'), 'monai': ('in_channels', 'out_channels')}[maker]
        other = MAKERS[maker]('121', **dict(zip(names, (1, 7))))
    other = with_values(other)
    wrapped = {f'module.{name}': value for name, value in other.state_dict().items()}
    torch.save({'epoch': 3, 'state_dict': wrapped}, tmp_path / 'net.pth')
    net = densenet('densenet121', classes=7, in_channels=1)
    assert load_pretrained(net, tmp_path / 'net.pth').missing == ()
    x = images(2, 1, 64, 64)
    close(net(mx.nd.array(x)).asnumpy(), scores(other, x))


def test_timms_average_is_not_passed_over(tmp_path):
    utils = pytest.importorskip('timm.utils', reason=WHY)
    other = with_values(timm_net('121'))
    average = utils.ModelEmaV3(other, decay=0.5)
    with torch.no_grad():
        other.classifier.bias += 1
    average.update(other)
    torch.save({'state_dict': other.state_dict(), 'state_dict_ema': average.module.state_dict()}, tmp_path / 'net.pth')
    net = densenet('densenet121')
    with pytest.raises(CheckpointError, match="part='state_dict_ema'"):
        load_pretrained(net, tmp_path / 'net.pth')
    load_pretrained(net, tmp_path / 'net.pth', part='state_dict_ema')
    x = images(1, 3, 64, 64)
    close(net(mx.nd.array(x)).asnumpy(), scores(average.module.eval(), x))


@pytest.mark.parametrize('variant', ['densenetblur121d', 'densenet264d'])
def test_another_network_of_timms_is_refused(variant, tmp_path):
    timm = pytest.importorskip('timm', reason=WHY)
    if variant not in timm.list_models():
        pytest.skip(f'this timm has no {variant}')
    torch.save(timm.create_model(variant).state_dict(), tmp_path / 'net.pth')
    net = densenet('densenet264' if '264' in variant else 'densenet121')
    with pytest.raises(CheckpointError, match='does not fit this network'):
        load_pretrained(net, tmp_path / 'net.pth')
