"""Two hundred drawn networks and changes: every way to compute one gives what the plain network gives.

`make properties N=5000` draws more; what is a case, and what is compared, is in tests/drawn_networks.py.
"""

import drawn_networks
import pytest

CASES, PARTS = 200, 8


def test_the_list_of_changes_is_long():
    assert len(drawn_networks.CHANGES) >= 50


@pytest.mark.parametrize('part', range(PARTS))
def test_every_way_computes_the_same(part):
    refused = [drawn_networks.check(drawn_networks.Case(number)) for number in range(part, CASES, PARTS)]
    # A change may leave a network that cannot be computed at all; then there is nothing to compare.
    assert sum(error is not None for error in refused) < len(refused) / 4
