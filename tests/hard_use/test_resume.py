"""A training that was interrupted and resumed reaches the loss of one that was not."""

import keras
import pytest

from keras_roformer.callbacks import BackupAndRestore
from tests.hard_use.common import HARD, report
from tests.hard_use.training import Stop, classifier, train
from tests.support import close

# Keras's own in the long run only: each training compiles its steps again.
BACKUPS = [BackupAndRestore] + [keras.callbacks.BackupAndRestore] * HARD


@pytest.mark.parametrize("backup", BACKUPS)
def test_resumed_equals_uninterrupted(tmp_path, backup):
    dropout = 0.1 if backup is BackupAndRestore else 0.0
    whole = train(tmp_path / "whole", 4, backup=backup, dropout=dropout)
    stops = [(1, 2), (3, 1)] if HARD else [(3, 1)]  # (epoch, batch), the last epoch is 3
    for stop_at in stops:
        with pytest.raises(Stop):
            train(tmp_path / "parts", 4, stop_at, backup=backup, dropout=dropout)
    parts = train(tmp_path / "parts", 4, backup=backup, dropout=dropout)
    assert len(parts) == 1  # only the last epoch was left to do
    close(parts[-1], whole[-1])
    assert not (tmp_path / "parts").exists()
    report(
        f"resumed after {len(stops)} interruptions: "
        f"loss {parts[-1]:.6f}, uninterrupted {whole[-1]:.6f}"
    )


def test_the_end_removes_the_backup_and_nothing_else(tmp_path):
    (tmp_path / ".epoch-1.tmp").mkdir()  # of a backup that was killed
    (tmp_path / "epoch-notes").mkdir()
    (tmp_path / "data.csv").touch()
    callback = BackupAndRestore(tmp_path)
    callback.set_model(classifier())
    callback.on_epoch_end(0)
    assert (tmp_path / "epoch-1").is_dir()
    callback.on_train_end()
    assert {path.name for path in tmp_path.iterdir()} == {"epoch-notes", "data.csv"}
