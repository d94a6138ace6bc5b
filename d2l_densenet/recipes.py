"""Recipes: named settings for training, as data."""

import dataclasses

__all__ = ['RECIPES', 'Recipe']


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How to train: optimizer, schedule, augmentation.

    Attributes
    ----------
    optimizer : str
        Name for ``gluon.Trainer``.
    learning_rate : float
        The constant rate, or the peak of the schedule.
    momentum, weight_decay : float
    warmup : float or None
        Share of all steps during which the rate rises linearly from 0; it then falls to 0 along half a cosine.
        None: the rate stays constant.
    flip : bool
        Mirror half of the training images, other ones in each epoch.
    crop : int
        Shift each training image by up to so many pixels in each direction.
    erase : float
        Probability that a rectangle of a training image is overwritten with noise.
    batch_size : int
    label_smoothing : float
        As for `fit`.

    Examples
    --------
    >>> Recipe('sgd', learning_rate=0.1, momentum=0.9).fit_options(num_steps=100)['optimizer_params']
    {'learning_rate': 0.1, 'wd': 0.0, 'momentum': 0.9}
    """

    optimizer: str
    learning_rate: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    warmup: float | None = None
    flip: bool = False
    crop: int = 0
    erase: float = 0.0
    batch_size: int = 256
    label_smoothing: float = 0.0

    def loader_options(self):
        """Keyword arguments for `load_data_fashion_mnist`."""
        return {'flip': self.flip, 'crop': self.crop, 'erase': self.erase}

    def fit_options(self, num_steps):
        """Keyword arguments for `fit`, for a run of `num_steps` steps in all."""
        import mxnet as mx  # here, so that the command line can list the recipes without it

        from ._common.arguments import number, positive_int, share
        num_steps = positive_int('num_steps', num_steps)
        for name in ('learning_rate', 'weight_decay'):
            number(name, getattr(self, name))
        share('momentum', self.momentum)
        params = {'learning_rate': self.learning_rate, 'wd': self.weight_decay,
                  **({'momentum': self.momentum} if self.momentum else {})}
        schedule = None
        if self.warmup is not None:
            share('warmup', self.warmup)
            # CosineScheduler wants at least one step after the warm-up.
            warmup = min(round(self.warmup * num_steps), num_steps - 1)
            schedule = mx.lr_scheduler.CosineScheduler(
                num_steps, base_lr=self.learning_rate, final_lr=0.0, warmup_steps=warmup, warmup_begin_lr=0.0)
        return {'optimizer': self.optimizer, 'optimizer_params': params, 'lr_scheduler': schedule,
                'label_smoothing': self.label_smoothing}


RECIPES = {
    # Article 001: SGD at a constant 0.1, nothing else.
    'article': Recipe('sgd', 0.1),
    # The course's default.
    'course': Recipe('muon', 0.02, momentum=0.9, weight_decay=1e-3, warmup=0.2, flip=True, batch_size=128,
                     label_smoothing=0.1),
    # For a long run: what would be learned by heart after some ten epochs is hidden half of the time, and moved.
    'record': Recipe('muon', 0.02, momentum=0.9, weight_decay=1e-3, warmup=0.1, flip=True, crop=1, erase=0.5,
                     batch_size=128, label_smoothing=0.1),
}
