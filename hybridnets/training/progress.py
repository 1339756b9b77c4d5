"""Lightning's progress bars, whose epochs count from 1, as everywhere that people read them."""

from importlib.util import find_spec
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar, RichProgressBar, TQDMProgressBar


class _RichBar(RichProgressBar):
    def _get_train_description(self, current_epoch: int) -> str:
        return (
            f"{_describe(self.trainer, current_epoch):{len(self.validation_description)}}"  # of one width: no flicker
        )


class _PlainBar(TQDMProgressBar):
    def init_train_tqdm(self) -> Any:
        bar: Any = super().init_train_tqdm()
        set_description = bar.set_description  # which Lightning calls at the start of each epoch, and then only
        bar.set_description = lambda *_: set_description(_describe(self.trainer, self.trainer.current_epoch))
        return bar


def progress_bar() -> ProgressBar:
    """The bar that Lightning would choose: rich's where it is installed, else tqdm's."""
    return _RichBar() if find_spec("rich") else _PlainBar()


def _describe(trainer: pl.Trainer, epoch: int) -> str:
    last = trainer.max_epochs
    return f"Epoch {epoch + 1}" + (f"/{last}" if last and last > 0 else "")
