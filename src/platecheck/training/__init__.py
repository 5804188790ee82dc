"""Train, calibrate and export networks; needs the ``train`` extra."""
