"""Features of a frozen backbone, computed once for several augmented views, so that the head trains in seconds.

The backbone runs in the fastest runtime at hand, several times faster than PyTorch on a processor; on
a GPU PyTorch itself is the fastest.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from lungscope.config.settings import AugmentSettings
from lungscope.networks.network import Network, pool
from lungscope.runtime.engine import choose_engine
from lungscope.runtime.session import open_session
from lungscope.system.parallel import cores, in_order
from lungscope.system.progress import Bar
from lungscope.training.augment.augment import augment
from lungscope.training.augment.style_transfer import draw_styles, in_styles
from lungscope.training.labelled_images import LabelledImages

BATCH = 16

Embed = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def embedder(network: Network, graph: bytes, device: torch.device) -> Embed:
    """A function from images uint8 (N, H, W) to pooled features (N, C), callable from several threads."""
    if device.type == "cpu":
        return graph_embedder(graph)

    def on_device(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return pool(network.features(torch.from_numpy(images).to(device))).float().cpu().numpy()

    return on_device


def graph_embedder(graph: bytes) -> Embed:
    """The same on the processor, from an exported backbone alone."""
    session = open_session(graph, choose_engine(), threads=1)
    return lambda images: session.run([images], ["embedding"])[0]


def view_features(
    images: LabelledImages,
    embed: Embed,
    views: int,
    settings: AugmentSettings,
    seed: int,
    *,
    first: int = 0,
    originals: int | None = None,
) -> NDArray[np.float32]:
    """Pooled features of every image under several views.

    Args:
        images: N of them.
        embed: see `embedder`.
        views: V; number 0 is the image as it is, the others are augmented.
        settings: how the others are augmented.
        seed: every view of every batch has its own generator derived from it, so that neither the
            number of cores nor the order of work changes a result.
        first: number of the first view.
        originals: how many of the images are shown as they are in view 0; the others are augmented there
            too. All of them when not given.

    Returns:
        (V, N, C).
    """
    plain = len(images) if originals is None else originals
    jobs = [(view, start) for view in range(first, first + views) for start in range(0, len(images), BATCH)]

    def work(job: tuple[int, int]) -> NDArray[np.float32]:
        view, start = job
        batch = images.batch(slice(start, start + BATCH))
        kept = max(0, min(len(batch), plain - start)) if view == 0 else 0
        if kept < len(batch):
            generator = torch.Generator().manual_seed(_stream(seed, view, start))
            changed = _view(images, batch[kept:], settings, generator)
            batch = np.concatenate((batch[:kept], changed)) if kept else changed
        return embed(batch)

    with Bar("Features", views * len(images)) as bar:
        parts = []
        for part in in_order(work, jobs, cores()):
            parts.append(part)
            bar.advance(len(part))
    features = np.concatenate(parts)
    return features.reshape(views, len(images), features.shape[1])


def plain_features(images: LabelledImages, embed: Embed) -> NDArray[np.float32]:
    """Pooled features (N, C) of N images as they are."""
    found: NDArray[np.float32] = view_features(images, embed, 1, AugmentSettings(), 0)[0]
    return found


def _view(
    images: LabelledImages, batch: NDArray[np.uint8], settings: AugmentSettings, generator: torch.Generator
) -> NDArray[np.uint8]:
    shown = torch.from_numpy(batch)
    if settings.style_transfer:
        shown = in_styles(shown, draw_styles(len(shown), len(images), settings.style_transfer, generator), images)
    changed: NDArray[np.uint8] = augment(shown, settings, generator).numpy()
    return changed


def _stream(seed: int, view: int, start: int) -> int:
    return int(np.random.SeedSequence((seed, view, start)).generate_state(1, np.uint64)[0] >> 1)
