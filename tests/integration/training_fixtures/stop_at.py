"""The command line, stopped by a signal: ``stop_at.py MOMENT EPOCH SIGNAL ARGUMENT…``.

MOMENT is "batch" (the fourth training step of the epoch) or "checkpoint" (the epoch's weights and
history are written, the state to resume from is not). SIGINT goes to the whole process group, as
Ctrl-C in a terminal does; SIGKILL to this process alone.
"""

import os
import signal
import sys
from typing import Any

from platecheck.cli import main
from platecheck.training import train
from platecheck.training.module import PlateModule

moment, epoch, name = sys.argv[1], int(sys.argv[2]), sys.argv[3]
sys.argv[:4] = ["platecheck"]
# As in a terminal: what a script starts in the background inherits that Ctrl-C is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
training_step, save_checkpoint = PlateModule.training_step, train.Trainer.save_checkpoint


def stop() -> None:
    if name == "SIGINT":
        os.killpg(os.getpgrp(), signal.SIGINT)
    else:
        os.kill(os.getpid(), signal.Signals[name])


def stopping_step(module: PlateModule, batch: Any, batch_idx: int) -> Any:
    if moment == "batch" and module.current_epoch + 1 == epoch and batch_idx == 3:
        stop()
    return training_step(module, batch, batch_idx)


def stopping_save(trainer: train.Trainer, *arguments: Any, **options: Any) -> None:
    if moment == "checkpoint" and trainer.current_epoch + 1 == epoch:
        stop()
    save_checkpoint(trainer, *arguments, **options)


PlateModule.training_step = stopping_step  # type: ignore[method-assign]
train.Trainer.save_checkpoint = stopping_save  # type: ignore[method-assign]

main()
