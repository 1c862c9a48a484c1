"""What a recipe says about a model, in sentences; empty where it says nothing."""

from typing import Any

from lungscope.bundle.card import Card

AUGMENTATIONS = {
    "rotation_deg": "rotation up to {:g}°", "zoom": "zoom up to {:.0%}", "shift": "shift up to {:.0%}",
    "flip": "left-right flip of {:.0%}", "brightness": "brightness up to {:.0%}", "contrast": "contrast up to {:.0%}",
    "gamma": "gamma up to {:.0%}", "aspect": "aspect up to {:.0%}",
    "crop": "crops that cut away up to {:.0%} of the area", "equalise": "histogram equalisation of {:.0%}",
    "blur": "blur up to {:g} px", "noise": "noise up to {:.0%}", "jpeg": "JPEG loss up to {:.0%}",
    "cutout": "cutout of {:.0%}", "style_transfer": "{:.0%} of the images in the style of another one",
    "p_identity": "{:.0%} of the images as they are",
}  # fmt: skip
SETTINGS = {
    "epochs": "at most {} epochs", "optimizer": "{}", "learning_rate": "learning rate {:g}", "schedule": "schedule {}",
    "weight_decay": "weight decay {:g}", "batch": "batches of {}",
    "patience": "stopped after {} epochs without progress",
}  # fmt: skip
PHASES = (("head", "the head, on features of the frozen backbone"), ("finetune", "the network"))


def model(recipe: dict[str, Any], card: Card) -> str:
    """The network."""
    network = recipe.get("network", {})
    if not network.get("backbone"):
        return ""
    hidden = network.get("hidden") or []
    head = f"dense layers of {', '.join(map(str, hidden))} and an output layer" if hidden else "one output layer"
    return (
        f"{network['backbone']} up to its last feature map, global average pooling, {head} "
        f"({network.get('output', 'softmax')}) for {len(card.classes)} classes; input {card.size} × {card.size} px. "
        "Grad-CAM and calibration are outputs of the same graph."
    )


def scaling(recipe: dict[str, Any]) -> str:
    """How grey values are scaled, as a clause that ends the one before."""
    ways = {
        "imagenet": "grey values are normalised as for ImageNet; ",
        "unit": "grey values become 0 to 1; ",
        "per-image": "each image is brought to zero mean and unit deviation; ",
    }
    return ways.get(recipe.get("image", {}).get("scaling", ""), "")


def training(recipe: dict[str, Any], epochs: int) -> str:
    """Phases in their order, and how many epochs they took in all."""
    parts = [f"{name}: {', '.join(_phase(recipe[key]))}" for key, name in PHASES if recipe.get(key, {}).get("epochs")]
    done = f" It took {epochs} epochs." if epochs else ""
    return f"Trained in this order: {'; '.join(parts)}. Seed {recipe.get('seed', 0)}.{done}" if parts else ""


def _phase(phase: dict[str, Any]) -> list[str]:
    """Clauses for the settings there are; recipes of older versions have fewer."""
    return [words.format(phase[key]) for key, words in SETTINGS.items() if key in phase]


def augmentation(recipe: dict[str, Any]) -> str:
    """What changes training images at random."""
    applied = [
        words.format(value) for key, words in AUGMENTATIONS.items() if (value := recipe.get("augment", {}).get(key))
    ]
    mixed = [f"{name} {value:g}" for name, value in recipe.get("mix", {}).items() if value]
    changes = ", ".join(applied + mixed) or ("none" if "augment" in recipe else "")
    found = f"Random changes of training images: {changes}." if changes else ""
    if times := recipe.get("hard_examples"):
        found += (
            " Images that a simple head misjudges when it has not seen their patients are shown up to "
            f"{times:g} times more often."
        )
    return found.strip()


def selection(recipe: dict[str, Any]) -> str:
    """Which epoch's weights were kept."""
    kept = [recipe[key]["keep"] for key, _ in PHASES if recipe.get(key, {}).get("epochs") and recipe[key].get("keep")]
    return f"The epoch with the best validation {' then '.join(dict.fromkeys(kept))} was kept." if kept else ""


def ensemble(recipe: dict[str, Any]) -> str:
    """Whether there are several models in one."""
    if members := recipe.get("members"):
        return f"The probabilities are the mean of {len(members)} models in one graph."
    return "One network, no ensemble." if "network" in recipe else ""
