"""One trainer for the nets of all systems: recipe and recordings -> trained weights in the folder of a run.

The life of a training, `seld-convert train`, file by file:

1. `recipes` reads the recipe, a TOML file, and applies the user's changes.
2. `convert.data.cache` makes feature caches of the recordings, for training and for development.
3. `run_json` writes down in the run's folder what is trained on what; `run_folder` opens that folder later, for export
   and evaluation.
4. `train_stages` trains the stages of the system, one after the other. Its nets begin with random weights or with those
   that `warm_start` and `weights` find.
5. `task` puts together what a stage learns from: the model, its loss and its batches, which the system knows, and its
   score on development data (`dev_score`).
6. `trainer` runs the loop: `prefetch` makes the batches ahead, `schedule` gives the learning rate, `ranger` is one of
   the optimizers. At every checkpoint it writes `checkpoint` and `csv_log`, at the end of a cycle `snapshots`.
7. The averaged weights of the finished nets are `NET.weights.h5` in the run's folder.
"""
