"""A user's slip ends with one sentence and exit code 2, before anything trains, and leaves nothing behind."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from hybridnets.config import load_dataset, resolve
from hybridnets.config.overrides import quote_paths
from hybridnets.config.rules import RULES, RULES_WITH_BACKBONE
from tests.conftest import ROOT, Said

WHOLE = "must be a whole number from 1 to 1,024, got"
RNNS = sorted(path.stem for path in (ROOT / "conf" / "rnn").glob("*.yaml"))
SLIPS = [
    (["rnn=foo"], f"rnn must be one of {', '.join(RNNS)}, got foo"),
    (["rnn=bilsmt"], "got bilsmt; did you mean bilstm?"),
    (["logger=nul"], "logger must be one of mlflow, none, tensorboard, wandb, got nul"),
    (["rnn=null"], f"rnn must be one of {', '.join(RNNS)}, got null"),
    (["nodes=0"], f"nodes {WHOLE} 0"),
    (["nodes=1025"], f"nodes {WHOLE} 1025"),
    (["-m", "nodes=16,0"], f"nodes {WHOLE} 0"),
    (["-m", "nodes=16,abc"], f"nodes {WHOLE} abc"),
    (["nodes=abc"], f"nodes {WHOLE} abc"),
    (["nodes=1.5"], f"nodes {WHOLE} 1.5"),
    (["layers=-1"], f"layers {WHOLE} -1"),
    (["~scheduler"], "scheduler is missing: give it a value"),
    (["-m", "nodes=glob(nothing*)"], "the sweep has no configurations: does a glob() match nothing?"),
    (["seed=null"], "seed must be a whole number from 0 to 4,294,967,295, got null"),
    (["seed=-1"], "seed must be a whole number from 0 to 4,294,967,295, got -1"),
    (["seeds.split=-1"], "seeds.split must be a whole number from 0 to 4,294,967,295, got -1"),
    (["lr=0.1"], "lr is not a key of the configuration; did you mean optimizer.lr? (--help lists the keys)"),
    (
        ["+callbacks.a.scheduling={0:1,1:4}", "+lr=0.1"],
        "lr is not a key of the configuration; did you mean optimizer.lr?",
    ),
    (["+lr=0.1"], "lr is not a key of the configuration; did you mean optimizer.lr? (--help lists the keys)"),
    (
        ["patience=9"],
        "patience is not a key of the configuration; did you mean callbacks.early_stopping.patience? (--help",
    ),
    (["data=cifar10", "patience=9"], "; did you mean scheduler.patience or callbacks.early_stopping.patience? (--help"),
    (["epochs=9"], "did you mean trainer.max_epochs or trainer.min_epochs? (--help lists"),
    (["-m", "batch_size=16,32"], "batch_size is not a key of the configuration; did you mean data.batch_size? (--help"),
    (["jobs=2"], "jobs is not a key of the configuration; did you mean hydra.launcher.jobs? (--help lists the keys)"),
    (["batch_norm_momentum=1"], "batch_norm_momentum must be a number from 0 up to, but not including, 1, got 1"),
    (["batch_norm_momentum=x"], "batch_norm_momentum must be a number from 0 up to, but not including, 1, got x"),
    (["activation=selu"], "train.py: activation must be relu, elu, gelu, tanh or none, got selu"),
    (["initialisation=he"], "train.py: initialisation must be keras or torch, got he"),
    (["model.initialisation=he"], "model.initialisation must be keras or torch, got he"),
    (["recipe=digit"], "recipe must be one of cifar10, digits, got digit; did you mean digits?"),
    (["data=cifar10", "scheduler.T_max=3"], "scheduler.T_max is not a key of the configuration"),
    (["foo=1"], "foo is not a key of the configuration (--help lists the keys)"),
    (["+foo=1"], "foo is not a key of the configuration (--help lists the keys)"),
    (["optimzer.lr=1"], "optimzer.lr is not a key of the configuration; did you mean optimizer.lr?"),
    (["trainer.max_epoch=3"], "did you mean trainer.max_epochs?"),
    (["data.train_fraction=0"], "data.train_fraction must lie between 0 and 1"),
    (["data.train_fraction=1"], "data.train_fraction must lie between 0 and 1"),
    (["data.train_fraction=null"], "data.train_fraction must be a number such as 0.7, because this data set brings no"),
    (["data.stratify=1"], "data.stratify must be true or false, got 1"),
    (["data.licence=[]"], "data.licence must be null or the licence of the images in words, got []"),
    (["data=npz"], "data.root is missing: give it a value, data.root=VALUE"),
    (["data=npz", "data.root=absent.npz"], "data.root must be an .npz file, but absent.npz does not exist"),
    (["data=huggingface"], "data.path is missing: give it a value, data.path=VALUE"),
    (["data=cifar100", "data.labels=both"], "data.labels must be fine or coarse, got 'both'"),
    (["data.folds=5"], "data.folds must be null where data.split is random, got 5: data.split=kfold makes folds"),
    (
        ["data.split=kfold"],
        "data.folds must be a whole number from 2 to the 1,500 images that data.split=kfold divides",
    ),
    (
        ["data.augment.rotate=-1"],
        "data.augment.rotate must be a number from 0 (none) to 180, degrees, the largest turn to",
    ),
    (["data.augment.spin=1"], "data.augment.spin is not a key of the configuration"),
    (
        ["+data.augment.spin=1"],
        "data.augment must have the keys flip and crop, and may have rotate, brightness, contrast,",
    ),
    (
        ["data.augment.randaugment={operations:2,magnitude:11}"],
        "data.augment.randaugment.magnitude must be a number from 0 to 10, got 11",
    ),
    (["loss.label_smoothing=1"], "loss.label_smoothing must be a number from 0 up to, but not including, 1, got 1"),
    (["loss.label_smoothing=x"], "loss.label_smoothing must be a number from 0 up to, but not including, 1, got x"),
    (
        ["loss.class_weights=even"],
        "loss.class_weights must be null, balanced or a list of numbers above 0 and up to a million, one for each class, got",
    ),
    (
        ["loss.class_weights=[1e39,1]"],
        "loss.class_weights must be null, balanced or a list of numbers above 0 and up to a million, one for each",
    ),
    (
        ["loss.class_weights=[1,0]"],
        "loss.class_weights must be null, balanced or a list of numbers above 0 and up to a million, one for each",
    ),
    (
        ["loss.class_weights=[1,2]"],
        "loss.class_weights must have a weight for each of the 10 classes, in the order 0, 1, 2 and 7 more, got 2",
    ),
    (["label_smoothing=0.1"], "label_smoothing is not a key of the configuration; did you mean loss.label_smoothing?"),
    (["~loss"], "loss is missing: give it a value, or do not remove it with ~"),
    (["loss=null"], "loss must be a section of label_smoothing and class_weights, got null"),
    (["data.split=k-fold"], "data.split must be random or kfold, got 'k-fold'"),
    (["data.batch_size=1051"], "data.batch_size must be a whole number from 2"),
    (["optimizer.lr=0"], "optimizer.lr must be a number above 0, got 0"),
    (["optimizer.lr=nan"], "optimizer.lr must be a number above 0, got nan"),
    (["trainer.max_epochs=0"], "trainer.max_epochs must be a whole number of at least 1, got 0"),
    (["model.sequence=words"], "model.sequence must be scalars or positions, got 'words'"),
    (["model.dense_activation=selu"], "model.dense_activation must be relu, elu, gelu, tanh or none, got selu"),
    (["rnn.backend=cuda"], "rnn.backend must be auto, torch or fused, got cuda"),
    (["+model.width=3"], "model.width is not an argument of ECRNN, which takes image_shape, num_classes, rnn"),
    (["model._target_=hybridnets.models.RNN"], "model cannot be built: Error locating target 'hybridnets.models.RNN'"),
    (["trainer.precision=7"], "trainer cannot be built: Precision 7 is invalid"),
    (["trainer=null"], "trainer must be a section of keys, got null"),
    (["~data.name"], "data.name is missing: give it a value"),
    (["data.name=../x"], "data.name must be a plain name, because it names a folder, got ../x"),
    (
        ["model=vgg16", "model.image_size=31"],
        "model.image_size must be null or a whole number from 32 to 1,024, got 31",
    ),
    (["model=vgg16", "model.weights=none.pth"], "model.weights must be a readable file, got none.pth (No such file"),
    (["model=vgg16", "model.weights=file"], "model.weights must be a file of tensors by name, as torch.save writes"),
    (["model=vgg16", "model.weights=3"], "model.weights must be null or the path of a file, got 3"),
    (["model=vgg16", "model.dense=[]"], "model.dense must be a list of whole numbers from 1, got []"),
    (["model.channels=4"], "model.channels must be a list of whole numbers from 1, got 4"),
    (["-m", "model.channels=[4],[4,4,4,4,4,4,4]"], "model.channels must be at most 5 blocks for images of 32x32"),
    (["optimizer.eps=-1"], "optimizer, or scheduler, cannot be built: Invalid epsilon value: -1"),
    (["+rnn.foo=1"], "rnn.foo is not an argument of LSTM, which takes input_size, hidden_size, num_layers, "),
    (["trainer.limit_predict_batches=1"], "trainer.limit_predict_batches must be null"),
    (["+trainer.logger=true"], "trainer.logger must be set as logger, got True"),
    (["-m", "nodes=4,5", "hydra.sweeper.max_batch_size=1"], "hydra.sweeper.max_batch_size must be null"),
    (
        [
            "recipe=cifar10",
            "scheduler={_target_: torch.optim.lr_scheduler.StepLR, step_size: 1}",
            "scheduler.patience=1",
        ],
        "scheduler.patience must be a key of every configuration that is requested, but in one of them scheduler, as it is",
    ),
    (
        ["+callbacks.early_stopping.min_delta=inf"],
        "callbacks.early_stopping.min_delta must be a finite number, because it is part of the run's identity, got inf",
    ),
    (
        ["+optimizer.betas=[0.9,nan]"],
        "optimizer.betas.1 must be a finite number, because it is part of the run's identity, got nan",
    ),
    (
        ["trainer.max_epochs=3", "trainer.min_epochs=10"],
        "trainer.min_epochs must be at most trainer.max_epochs, which is 3,",
    ),
    (
        ["trainer.max_steps=3", "trainer.min_steps=4"],
        "trainer.min_steps must be at most trainer.max_steps, which is 3, got 4",
    ),
    (["trainer.min_epochs=-1"], "trainer.min_epochs must be null or a whole number of at least 0, got -1"),
    (["ckpt_path=file"], "ckpt_path must be a Lightning checkpoint of tensors and plain types"),
    (["out=file"], "out must be a folder that can be written to, got file: "),
    (["out=file/below"], "out must be a folder that can be written to, got file/below: "),
    (["ckpt_path=none.ckpt"], "ckpt_path must be a readable file, got none.ckpt"),
    (
        ["out=~nobody-here/runs"],
        "out must be a path, got ~nobody-here/runs, which begins with the home folder of a user who does not exist",
    ),
    (["ckpt_path=seed=0-1f3a9c/last.ckpt"], "ckpt_path must be a readable file, got seed=0-1f3a9c/last.ckpt (No such"),
    (["ckpt_path="], "ckpt_path must be null or the path of a file, got nothing"),
    (["out=${"], "out must be a value or an interpolation such as ${seed}, got"),
    (["out="], "out must be the path of a folder, got nothing"),
    (["out=a,b"], "and a comma within a value as KEY='\"A,B\"'"),
    (["-m", "hydra/launcher=basic"], "hydra/launcher must be local or slurm, which start a process for each run of a"),
    (["hydra/launcher=bsic"], "hydra/launcher must be one of local, slurm, got bsic"),
    (
        ["+trainer.max_epochs=3"],
        "trainer.max_epochs is a key already: set it as trainer.max_epochs=VALUE, without the +",
    ),
    (
        ["callbacks.early_stopping={patienc:3}"],
        "is not a key of the configuration; did you mean callbacks.early_stopping.patience?",
    ),
    (["dry_run=true", "optimizer._target_=torch.optim.AdamWW"], "optimizer cannot be built: Error locating target"),
    (["dry_run=true", "ckpt_path=file"], "ckpt_path must be a Lightning checkpoint of tensors and plain types"),
    (
        ["+callbacks.lr._target_=pytorch_lightning.callbacks.LearningRateMonitor"],
        "callbacks.lr needs a logger to write to: choose one, as in logger=tensorboard, or leave lr out",
    ),
    (["logger=[{save_dir:x}]"], "or of sections that each have a _target_, got [{save_dir:x}]"),
    (
        ["logger=[tensorboard,tensorboard]"],
        "logger must be a list of different names, as in [tensorboard,mlflow], or of",
    ),
    (
        ["logger=[tensorbord,wandb]"],
        "logger must be one of mlflow, none, tensorboard, wandb, got tensorbord; did you mean",
    ),
    (["callbacks=[1]"], "callbacks must be a section of keys, got [1]"),
    (["scheduler=[]"], "scheduler must be null or a section of keys, got []"),
    (["model=cnn,crnn"], "model=cnn,crnn names several values: add -m to sweep over them"),
    (["nodes=[1"], "nodes=[1 must be an override of the form KEY=VALUE"),
    (
        ["-cn", "nothing"],
        "--config-name must be the name of a file, such as compression, compression_paper, constant_rate, controls, demo, "
        "paper, ten_seeds, got nothing",
    ),
    (
        ["model=feature_autoencoder"],
        "backbone is missing, which FeatureAutoencoder needs: give the folder of a finished run, or overrides that",
    ),
    (
        ["model=cnn", "backbone=[model=cnn]"],
        "backbone must be null for CNN, which uses none, got ['model=cnn",
    ),
    (
        ["model=feature_autoencoder", "backbone=seed=0"],
        "backbone must be the folder of a finished run, with result.json",
    ),
    (["model=feature_autoencoder", "backbone=3"], "backbone must be null, the folder of a finished run, or a list of"),
    (
        ["model=feature_autoencoder", "backbone=[model=cnn,model.channels=[4,8],data.batch_size=7]", "seed=3"],
        "backbone must be a finished run, but cnn seed=3 is not finished: train it first, by "
        "python train.py data=digits seed=3 model=cnn 'model.channels=[4,8]' data.batch_size=7 (a sweep",
    ),
    (  # a recipe on the command line stands for the data set's own, which the backbone's run would have as well
        ["model=feature_autoencoder", "backbone=[model=cnn]", "recipe=cifar10", "optimizer.lr=0.1"],
        "train it first, by python train.py data=digits recipe=cifar10 model=cnn (a sweep",
    ),
    (
        ["~activation"],
        "activation is missing, although other settings take its value: give it a value, or do not remove it",
    ),
    (["+recipe=digits"], "recipe is chosen already: choose it as recipe=NAME, without the +"),
    (["seeds=3"], "seeds must be a section of split, init and order (seed=N sets all three), got 3"),
    (
        ["--model", "mlp"],
        "--model is not an option of this command, and settings have no dashes: write model=mlp (--help",
    ),
    (
        ["--model=mlp"],
        "--model=mlp is not an option of this command, and settings have no dashes: write model=mlp (--help",
    ),
    (
        ["--nope", "nodes=4"],
        "--nope is not an option of this command, and settings have no dashes: write nope=VALUE (--he",
    ),
    (["-cn", "-m"], "-cn needs a value (--help lists the options)"),
    (
        ["-cn", "../x"],
        "--config-name must be a name without a folder, such as compression, compression_paper, constant_rate, controls, "
        "demo, paper, ten_seeds, got ../x",
    ),
    (["\x1b[31mred"], "[U+001B][31mred must be an override of the form KEY=VALUE"),
    (["model=feature_autoencoder", "backbone=[model=cnnn]"], "got cnnn; did you mean cnn?"),
    (["model=feature_autoencoder", "backbone=[model=cnn,nodes=0]"], f"'nodes=0']: nodes {WHOLE} 0"),
    (
        ["model=feature_autoencoder", "backbone=[model=cnn,seeds.split=1]"],
        "may have been trained on this run's val, but its seeds.split is 1 and this run's is 0",
    ),
    (
        ["model=feature_autoencoder", "backbone=[model=feature_autoencoder,backbone=[model=cnn]]"],
        "backbone must be a run without a backbone itself, got cnn+cae-32",
    ),
    (["model=feature_autoencoder", "model.channels=[4]"], "model.channels must be a whole number from 1, the code's"),
    (
        ["-m", "model=feature_autoencoder", "backbone=[model=cnn]", "model.kind=pca"],
        "model.kind must be cae or sae, got 'pca'",
    ),
    (
        ["-m", "model=feature_autoencoder", "backbone=[model=cnn,model.channels=[4,4,4,4,4,4,4]],[model=cnn]"],
        "model.channels must be at most 5 blocks for images of 32x32",
    ),
    (
        [
            "-m",
            "model=feature_autoencoder",
            "backbone=[model=cnn,model.channels=[4,8]]",
            "seed=0,1",
            "model.channels=8,15",
        ],
        "model.channels must give a code no larger than the 8 x 8 x 8 maps, 512 values, got 15, which gives 540",
    ),
    (["data=cifar10", "data.mirrors=[]", "data.root=empty"], "data.root"),
    (["data=cifar10", "data.mirrors=[]", "data.root=file"], "data.root"),
]


@pytest.mark.parametrize(
    ("arguments", "sentence"), SLIPS, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_slip_is_one_sentence(
    command: Callable[..., Said], tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    has_data = "data=cifar10" in arguments or "-cn" in arguments
    answer = command(*arguments) if has_data else command("data=digits", *arguments)
    assert answer.code == 2
    assert sentence in answer.err
    assert answer.err.startswith("train.py: ")
    assert len(answer.err.splitlines()) == 1, answer.err
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "empty", tmp_path / "file"]


PROJECT_SLIPS: list[tuple[dict[str, bytes], str, list[str], str]] = [
    (
        {"conf/model/mine.yml": b"_target_: x.Y"},
        ".",
        ["model=mine"],
        "vgg16, got mine (conf/model/mine.yml is not read: rename it to mine.yaml)",
    ),
    (
        {"sweeps/mine.yml": b"defaults: [config]"},
        ".",
        ["-cn", "mine"],
        "got mine (sweeps/mine.yml is not read: rename it to mine.yaml)",
    ),
    (
        {"conf/model/mine.yaml": b"_target_: x.Y", "code/x.py": b""},
        "code",
        ["model=mine"],
        "got mine ({top}/conf/model/mine.yaml exists: run the command in {top})",
    ),
    ({"conf": b""}, ".", ["model=mine"], "got mine (conf must be a folder to be read, and is a file here)"),
    (
        {"conf/model/mine.yaml": b"defaults: [mine]"},
        ".",
        ["model=mine"],
        "model/mine.yaml must not lead back to itself by a defaults list: remove the entry that does",
    ),
    (
        {"conf/model/mine.yaml": b"defaults: [other]", "conf/model/other.yaml": b"defaults: [mine]"},
        ".",
        ["model=mine"],
        "model/mine.yaml and model/other.yaml must not lead back to each other by a defaults list: remove the entry that",
    ),
    (
        {"conf/model/mine.yaml": b"# caf\xe9"},
        ".",
        ["model=mine"],
        "{top}/conf/model/mine.yaml must be encoded as UTF-8, as all YAML files are, but has invalid continuation byte: sa",
    ),
    (
        {"conf/model/mine.yaml": b'a: "\x01"'},
        ".",
        ["model=mine"],
        "{top}/conf/model/mine.yaml must be valid YAML: special characters are not allowed",
    ),
]


@pytest.mark.parametrize(("files", "folder", "arguments", "sentence"), PROJECT_SLIPS)
def test_slip_in_a_project_is_one_sentence(
    command: Callable[..., Said],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, bytes],
    folder: str,
    arguments: list[str],
    sentence: str,
) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content + b" \n" if content else b"")
    monkeypatch.chdir(tmp_path / folder)
    answer = command("data=digits", *arguments)
    assert answer.code == 2
    assert sentence.format(top=tmp_path) in answer.err
    assert len(answer.err.splitlines()) == 1, answer.err


def test_output_folder_without_permission(composed: Callable[..., DictConfig]) -> None:
    with tempfile.TemporaryDirectory() as top:
        Path(top).chmod(0o555)
        cfg = composed("data=digits", "model=cnn", f"out={top}/runs")
        load_dataset(OmegaConf.to_container(cfg.data.dataset, resolve=True))  # while all packages can be read
        is_root = os.geteuid() == 0  # root may write everywhere
        if is_root:
            os.seteuid(65534)
        try:
            with pytest.raises(
                ValueError, match=r"out must be a folder that can be written to, got \S+/runs: \S+ is not writable"
            ):
                resolve(cfg)
        finally:
            if is_root:
                os.seteuid(0)
            Path(top).chmod(0o755)


def test_rules_name_existing_keys(composed: Callable[..., DictConfig]) -> None:
    configurations = [composed(f"model={path.stem}") for path in Path(ROOT, "conf", "model").glob("*.yaml")]
    missing = object()
    for key in (RULES.keys() | RULES_WITH_BACKBONE.keys()) - {
        "trainer.callbacks",
        "trainer.logger",
    }:  # which must not exist
        assert any(OmegaConf.select(cfg, key, default=missing) is not missing for cfg in configurations), key


@pytest.mark.parametrize(
    ("override", "quoted"),
    [
        ("backbone=[model=cnn]", 'backbone=["model=cnn"]'),
        ("backbone=[model=cnn,model.channels=[4,8]],[x]", 'backbone=["model=cnn","model.channels=[4,8]"],[x]'),
        ("backbone=runs/x/seed=0-a,runs/x/seed=1-b", 'backbone="runs/x/seed=0-a","runs/x/seed=1-b"'),
        *(
            (override, override)
            for override in ("backbone=runs/x", "backbone=['model=cnn']", "nodes=range(1,9,step=2)", "-m", "")
        ),
    ],
)
def test_backbone_may_be_written_without_quotes(override: str, quoted: str) -> None:
    assert quote_paths(override) == quoted
    assert quote_paths(quoted) == quoted  # DDP starts its ranks with the overrides of the first
