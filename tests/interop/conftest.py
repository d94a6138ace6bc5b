"""What the tests of files with weights share."""

import tracemalloc

import pytest
from helpers import same, values

from d2l_densenet import CheckpointError, DenseNet, load_pretrained


@pytest.fixture
def torch():
    return pytest.importorskip('torch', reason='the oracle needs PyTorch, which is optional: make torch')


@pytest.fixture
def refused(tmp_path):
    """Check that a file is refused, with little memory and the network as it was."""
    def check(content, text):
        (tmp_path / 'bad').write_bytes(content)
        net = DenseNet(2, (1,), 2, stem='cifar', bias=False, classes=2)
        net.initialize()
        before = values(net)
        tracemalloc.start()
        try:
            with pytest.raises(CheckpointError, match=text) as caught:
                load_pretrained(net, tmp_path / 'bad', strict=False)
            assert tracemalloc.get_traced_memory()[1] < 2e6 + 100 * len(content)
        finally:
            tracemalloc.stop()
        assert '\n' not in str(caught.value) and len(str(caught.value)) < 2000
        assert same(values(net), before)
    return check
