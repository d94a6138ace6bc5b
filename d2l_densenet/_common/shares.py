"""How workers share a batch. (Without MXNet, which takes a second to import: for the launcher.)"""


def equal_share(batch_size, workers):
    """Images of each batch for one worker; ValueError if they are not equally many for each."""
    if batch_size % workers:
        below = batch_size - batch_size % workers
        near = [below, below + workers] if below else [workers]
        raise ValueError(f'a batch of {batch_size} images cannot be shared equally by {workers} workers: give a batch '
                         f'size of {" or ".join(map(str, near))}, or another number of workers')
    return batch_size // workers
