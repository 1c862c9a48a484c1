"""Where a backbone's weights come from: timm's hub, a safetensors file, or nowhere."""

import difflib
import socket
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from torch import nn

from lungscope.errors import ConfigError, RuntimeUnavailable

REMEDY = "Connect to the network, or pass --weights FILE.safetensors with the backbone's weights, or --weights none."


def timm_model(name: str, weights: str | Path) -> nn.Module:
    """A timm network without its classifier.

    Args:
        name: timm's name of it.
        weights: "imagenet" (timm's hub), "none", or a safetensors file.

    Raises:
        ConfigError: timm has no such network.
        RuntimeUnavailable: the weights cannot be downloaded or read.
    """
    import timm

    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f" Similar: {', '.join(near)}." if near else " timm.list_models() prints all names."
        raise ConfigError(f"network.backbone = {name!r} is not a timm network.{hint}")
    if weights == "imagenet":
        return _from_hub(name)
    model: nn.Module = timm.create_model(name, pretrained=False, num_classes=0)
    if weights != "none":
        _load(model, Path(weights), name)
    return model


def _from_hub(name: str) -> nn.Module:
    import timm

    if not _reaches_hub():
        raise RuntimeUnavailable(f"ImageNet weights of {name!r} could not be downloaded (no network). {REMEDY}")
    try:
        return timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # the hub raises many kinds, each meaning that there are no weights
        raise RuntimeUnavailable(
            f"ImageNet weights of {name!r} could not be downloaded ({type(error).__name__}). {REMEDY}"
        ) from error


def _reaches_hub() -> bool:
    """Whether a download is worth a try; the hub's own client retries for a minute where there is no network."""
    from huggingface_hub import constants

    host = urlsplit(constants.ENDPOINT).hostname
    if constants.HF_HUB_OFFLINE or getproxies() or host is None:
        return True  # a cache or a proxy, which the client knows better
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        return Path(constants.HF_HUB_CACHE).is_dir()
    return True


def _load(model: nn.Module, path: Path, name: str) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise RuntimeUnavailable(
            f"{path}: not a readable safetensors file ({error}). Pass the backbone's weights saved by safetensors."
        ) from None
    wanted = model.state_dict()
    missing = [key for key in wanted if key not in state or state[key].shape != wanted[key].shape]
    if missing:
        raise RuntimeUnavailable(
            f"{path}: the weights do not fit {name!r} ({len(missing)} of {len(wanted)} tensors are missing or "
            f"of another shape, first {missing[0]!r}). Pass weights of that network, or --weights none."
        )
    model.load_state_dict({key: state[key] for key in wanted})
