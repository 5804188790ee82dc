"""The command line, stopped by a signal: ``stop_at.py SIGNAL EPOCH ARGUMENT…``.

SIGINT comes in the fourth training step of the epoch, to the whole process group, as Ctrl-C in a
terminal does; SIGKILL when the epoch's weights and history are written, but the state to resume
from is not, to this process alone.
"""

import os
import signal
import sys
from typing import Any

from platecheck.cli import main
from platecheck.training import train
from platecheck.training.module import PlateModule

name, epoch = sys.argv[1], int(sys.argv[2])
sys.argv[:3] = ["platecheck"]
# As in a terminal: what a script starts in the background inherits that Ctrl-C is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
training_step, save_checkpoint = PlateModule.training_step, train.Trainer.save_checkpoint


def stopping_step(module: PlateModule, batch: Any, batch_idx: int) -> Any:
    if name == "SIGINT" and module.current_epoch + 1 == epoch and batch_idx == 3:
        os.killpg(os.getpgrp(), signal.SIGINT)
    return training_step(module, batch, batch_idx)


def stopping_save(trainer: train.Trainer, *arguments: Any, **options: Any) -> None:
    if name == "SIGKILL" and trainer.current_epoch + 1 == epoch:
        os.kill(os.getpid(), signal.SIGKILL)
    save_checkpoint(trainer, *arguments, **options)


PlateModule.training_step = stopping_step  # type: ignore[method-assign]
train.Trainer.save_checkpoint = stopping_save  # type: ignore[method-assign]

main()
