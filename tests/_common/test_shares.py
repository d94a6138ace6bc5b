"""How workers share a batch."""

import pytest

from d2l_densenet._common.shares import equal_share


@pytest.mark.parametrize('batch_size, workers, share', [(12, 1, 12), (12, 3, 4), (12, 12, 1)])
def test_equal_shares(batch_size, workers, share):
    assert equal_share(batch_size, workers) == share


@pytest.mark.parametrize('batch_size, workers, sizes', [(128, 3, '126 or 129'), (7, 2, '6 or 8'), (2, 3, '3'),
                                                        (4, 3, '3 or 6')])
def test_the_nearest_sizes_that_can_be_shared_are_named(batch_size, workers, sizes):
    with pytest.raises(ValueError, match=f'a batch of {batch_size} images cannot be shared equally by {workers} '
                                         f'workers: give a batch size of {sizes}, or another number of workers'):
        equal_share(batch_size, workers)
