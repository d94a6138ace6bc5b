"""The article's network and training in plain Gluon, written by us, to hold the package against.

Its layers run one by one (imperatively) and come from nothing of this package. Run as a program, it trains with the
package's loader and loop, as the article does. `listing` takes the article's own program out of the article's page,
where this project's machines keep that page beside the checkout.
"""

import pathlib
import re

from mxnet import gluon, init, nd, np
from mxnet.gluon import nn
from mxnet.util import is_np_array

import d2l_densenet as d2l

_PAGES = pathlib.Path(__file__).resolve().parents[2] / 'shared' / 'seeds'


def chain(*layers):
    """Layers one after the other."""
    net = nn.Sequential()
    net.add(*layers)
    return net


def composite(channels, kernel, padding):
    return nn.BatchNorm(), nn.Activation('relu'), nn.Conv2D(channels, kernel, padding=padding)


class Dense(nn.Block):
    """A dense block; what each layer makes is put behind what it has read."""

    def __init__(self, num_layers, growth_rate):
        super().__init__()
        for _ in range(num_layers):
            self.register_child(chain(*composite(growth_rate, 3, 1)))

    def forward(self, x):
        for layer in self._children.values():
            new = layer(x)
            x = np.concatenate([x, new], axis=1) if is_np_array() else nd.concat(x, new, dim=1)
        return x


def network(growth_rate=32, block_config=(4, 4, 4, 4), channels=64, classes=10):
    """The article's network, for images (N, 1, H, W), with its layers and parameters in the article's order."""
    stages = [nn.Conv2D(channels, 7, 2, 3), nn.BatchNorm(), nn.Activation('relu'), nn.MaxPool2D(3, 2, 1)]
    for number, num_layers in enumerate(block_config):
        if number:
            channels //= 2
            stages.append(chain(*composite(channels, 1, 0), nn.AvgPool2D(2, 2)))
        stages.append(Dense(num_layers, growth_rate))
        channels += num_layers * growth_rate
    return chain(*stages, nn.BatchNorm(), nn.Activation('relu'), nn.GlobalAvgPool2D(), nn.Dense(classes))


def main():
    """Train with the functions that the article's program calls, by the names under which it calls them."""
    batch_size, device, net = 256, d2l.try_gpu(), network()
    net.initialize(init.Xavier(), ctx=device)
    trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.1})
    train_iter, test_iter = d2l.load_data_fashion_mnist(batch_size, resize=48)
    return d2l.train_ch5(net, train_iter, test_iter, batch_size, trainer, device, 5)


def listing():
    """The program on the article's page, for this package instead of d2lzh; skips the test where there is no page."""
    pages = [*_PAGES.glob('001_*.txt')]
    if not pages:
        import pytest
        pytest.skip("the article's page is not beside this checkout (../shared/seeds/001_*.txt)")
    page = pages[0].read_text(encoding='utf-8')
    start, end = page.index('import d2lzh as d2l'), page.index("'''\nepoch 1")
    return restored(page[start:end]).replace('d2lzh', 'd2l_densenet', 1)


def restored(text):
    """A program whose page has lost the indentation and has sentences between the lines.

    A line that ends with a colon opens a block. A method stands in its class. A `return` stands directly in its
    function and ends it; every other block ends at the next definition, or at a comment that says 'finally'.
    """
    lines, open_blocks, brackets = [], [], 0
    for line in text.splitlines():
        code = re.sub(r'#.*', '', line).strip()
        if '最后' in line:
            open_blocks = []
        if not code or not code.isascii():
            continue
        if not brackets:
            word = re.match(r'\w+', code)[0]
            if word == 'class' or word == 'def' and '(self' not in code:
                open_blocks = []
            elif word == 'def':
                open_blocks = ['class']
            elif word == 'return':
                open_blocks = [block for block in open_blocks if block in ('class', 'def')]
            lines.append('    ' * len(open_blocks) + code)
            if code.endswith(':'):
                open_blocks.append(word)
            elif word == 'return':
                open_blocks = []
        else:
            lines[-1] += ' ' + code
        brackets += sum(code.count(b) for b in '([{') - sum(code.count(b) for b in ')]}')
    return '\n'.join(lines) + '\n'


if __name__ == '__main__':
    main()
