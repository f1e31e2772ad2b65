"""Parameters, and the state beside them, given to others and taken from them, as safetensors files.

Names are ours or PyTorch's. What a model keeps beside its parameters, such as running statistics, goes with them.

A file that comes in is not trusted: its names, shapes and types are held against the model that a config builds, and
nothing of it is cast, filled up or left out in silence. What stands where in PyTorch is in `torch_names`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from deepprinciples import config as configs
from deepprinciples.config.wording import shown, suggestion
from deepprinciples.errors import ConfigError, not_written
from deepprinciples.interop import parameters, safetensors, torch_names
from deepprinciples.learners.assembly.factories import model_of
from deepprinciples.results.finished_run import config_of, load
from deepprinciples.results.trained_model import used_parameters
from deepprinciples.runs import arrays, files
from deepprinciples.types import PyTree

NAMINGS = ("own", "torch")


def export_parameters(
    run_dir: str | Path, out: str | Path, *, arm: str = "", seed: int | None = None, naming: str = "torch"
) -> Path:
    """Write the parameters of one seed of a run, and the model's state, as a safetensors file.

    The state is what a model keeps beside its parameters, such as the running statistics of batch normalization.

    With `weights` in the config they are those that the model uses, such as pruned ones.

    Args:
        run_dir: the directory of a run of `train`, or of `compare` with `study.keep`.
        out: the file. Never overwritten.
        arm: whose parameters; "" for a run of `train`.
        seed: which of the seeds kept; by default the first.
        naming: "torch" for the state_dict of the PyTorch module that computes the same, "own" for names such as
            "layer_00/linear/kernel", and "state/batch_stats/layer_00/norm/mean" of the state.

    Returns:
        The path of the file.

    Raises:
        ConfigError: the file exists, the run keeps no parameters of this arm and seed, or something has no
            counterpart in PyTorch.
        IntegrityError: it is no finished run, or is damaged. ResourceError: nothing can be written.

    Example:
        run = dp.train(config)
        dp.export_parameters(run.path, "mine.safetensors", naming="own")
    """
    _check_naming(naming, NAMINGS)
    path = _free(out)
    run = load(run_dir)
    config = config_of(run, arm)
    kept = parameters.kept(run.path, run.summary, arm=arm, seed=seed)
    if config.get("weights"):
        kept = kept._replace(params=used_parameters(run, arm, seed))
    found = parameters.by_name(kept, bool(config.get("weights")))
    if naming == "own":
        return _write(path, found, {})
    pairs = torch_names.twins(_model(config), {name: array.shape for name, array in found.items()})
    return _write(path, torch_names.to_torch(pairs, found), {"format": "pt"})


def import_parameters(
    path: str | Path, config: Mapping[str, Any] | str | Path, *, naming: str = "auto"
) -> tuple[PyTree, PyTree]:
    """Read the parameters and the state of a config's model from a safetensors file, wherever it comes from.

    Args:
        path: the file.
        config: a dictionary, or the path of a TOML or JSON file; its data fix the shapes.
        naming: "own", "torch", or "auto" to go by the names found.

    Returns:
        (params, state) as the model's `init` gives them; the state is what a model keeps beside its parameters, such
        as running statistics, and empty where there is nothing.

    Raises:
        ConfigError: the config cannot be run, or its model has no PyTorch naming. DataError: its data cannot be used.
        IntegrityError: the file cannot be read, or does not fit the model; one line for each mismatch.

    Example:
        run = dp.train(config)
        dp.export_parameters(run.path, "mine.safetensors")
        params, state = dp.import_parameters("mine.safetensors", config)
    """
    import jax

    found, treedef = _taken(path, config, naming)
    params, state = jax.tree.unflatten(treedef, [jax.numpy.asarray(array) for array in found.values()])
    return params, state


def import_file(
    path: str | Path, config: Mapping[str, Any] | str | Path, out: str | Path, *, naming: str = "auto"
) -> Path:
    """Read a file as `import_parameters` does and write it in our naming to `out`, which is never overwritten.

    Returns:
        The path of the new file.

    Raises:
        ConfigError, DataError, IntegrityError: as for `import_parameters`, and where `out` exists.
        ResourceError: nothing can be written.
    """
    target = _free(out)
    return _write(target, _taken(path, config, naming)[0], {})


def _taken(
    path: str | Path, config: Mapping[str, Any] | str | Path, naming: str
) -> tuple[dict[str, np.ndarray], PyTree]:
    """Return the arrays of a file in our naming and in the order of the model's leaves, with the tree they make."""
    _check_naming(naming, ("auto", *NAMINGS))
    found = safetensors.read(Path(path))
    section, expected, treedef = _expected(config if isinstance(config, Mapping) else configs.load(config))
    return safetensors.fitted(
        path, found, section=section, expected=expected, wanted=list(expected), naming=naming
    ), treedef


def _expected(given: Mapping[str, Any]) -> tuple[Mapping[str, Any], safetensors.Shapes, PyTree]:
    """Build the model of a config on shapes alone: its section, its parameters and state by name, and their tree."""
    import jax  # here, so that an export does not wait for it

    from deepprinciples.engine.population import use_all_cores
    from deepprinciples.learners.assembly import from_config
    from deepprinciples.study.planning.plan import resolve

    _model(given)
    use_all_cores()
    plan = resolve("train", given)
    resolved, parts = plan.arms["run"].config, plan.data["run"]
    model, example = model_of(resolved, parts), from_config.first(parts, 1).inputs
    made = jax.eval_shape(lambda key: model.init(key, example), jax.random.key(0))
    return resolved["model"], safetensors.shapes_of(*made), jax.tree.structure(made)


def _model(config: Mapping[str, Any]) -> Mapping[str, Any]:
    section = config.get("model")
    if not isinstance(section, (Mapping, str)):
        raise ConfigError(f"model: found {shown(section)}; expected one model (the two of a GAN have no one naming)")
    return section if isinstance(section, Mapping) else {"name": section}


def _check_naming(naming: str, known: tuple[str, ...]) -> None:
    if naming not in known:
        raise ConfigError(f"--naming: found {shown(naming)}; expected {', '.join(known)}{suggestion(naming, known)}")


def _free(out: str | Path) -> Path:
    path = Path(out)
    if path.exists() or path.is_symlink():
        raise ConfigError(f"{path}: exists already and nothing is overwritten; give a new file")
    return path


def _write(path: Path, flat: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> Path:
    _free(path)  # what came in the meantime is another's
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_bytes(path, arrays.save_flat(flat, metadata))
    except OSError as error:
        raise not_written(path, error) from None
    return path
