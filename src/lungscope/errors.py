"""The error tree. Every message says what is wrong, where, and what to do next.

LungscopeError
├── ConfigError            a recipe, a setting or a command-line argument
├── DataError              the images or their table
│   ├── UnreadableImage      damaged, empty, or too large to be opened safely
│   ├── UnsupportedImage     intact, but not a kind of picture that is read here
│   ├── ManifestError        folders or CSV that do not describe a data set
│   ├── LeakageError         the same patient or picture in two splits
│   └── UndefinedEstimate    a figure that these data cannot give (one class only, no score varies)
├── TrainingDiverged       a loss that is no longer a number
├── OutputError            a result that cannot be written, or would overwrite another
├── BundleError            a model file that is damaged, foreign or of another version
└── RuntimeUnavailable     a library, device or download that this machine does not have

Each entry point translates once: exit status and one line, HTTP problem, a row of a batch.
Patient identifiers never enter a message.
"""


class LungscopeError(Exception):
    """Anything a user can fix; the message is one line and names the remedy."""


class ConfigError(LungscopeError):
    """A recipe, a setting or an argument is wrong."""


class DataError(LungscopeError):
    """The images or their table are wrong."""


class UnreadableImage(DataError):
    """An image is damaged, empty, or too large to be opened safely."""


class UnsupportedImage(DataError):
    """A file is intact but not a kind of picture that is read here."""


class ManifestError(DataError):
    """Folders or CSV do not describe a data set."""


class LeakageError(DataError):
    """The same patient or picture stands in two splits."""


class UndefinedEstimate(DataError):
    """A figure that these data cannot give; the message is the reason shown in its place."""


class TrainingDiverged(LungscopeError):
    """The loss of a training is no longer a number."""


class OutputError(LungscopeError):
    """A result cannot be written, or would overwrite another."""


class BundleError(LungscopeError):
    """A model file is damaged, foreign or of another version."""


class RuntimeUnavailable(LungscopeError):
    """A library, device or download that this machine does not have."""
