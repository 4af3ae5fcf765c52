"""An embedding model in this process: the vectors of WordLlama, which its package ships."""

from functools import cache
from importlib.metadata import PackageNotFoundError, files
from importlib.util import find_spec
from typing import Any

from app.errors import InvalidRequestError
from schemas.embeddings import Embeddings

WEIGHTS, TOKENIZER = "l2_supercat_256.safetensors", "l2_supercat_tokenizer_config.json"
DIMENSIONS = 256  # of which the first are the most important, so that vectors may be cut
MAX_TOKENS = 8192  # of a text, as OpenAI's models take


class StaticEmbedder:
    """Averages the vectors of the tokens of a text: it takes microseconds, and is blind to the order of words."""

    def __init__(self) -> None:
        self._tokenizer: Any = None
        self._vectors: Any = None

    def start(self) -> None:
        """Load the model. Importing its package would replace the format of the log, so only its files are used."""
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(_file(TOKENIZER))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._vectors = next(iter(load_file(_file(WEIGHTS)).values())).astype("f4")

    def __call__(self, texts: list[str], dimensions: int | None = None) -> Embeddings:
        """Return a vector of length 1 for each text, and the numbers of tokens."""
        import numpy as np

        if (dimensions or 0) > DIMENSIONS:
            raise InvalidRequestError(f"The vectors have {DIMENSIONS} dimensions at most.", param="dimensions")
        tokens = [encoding.ids for encoding in self._tokenizer.encode_batch(texts, add_special_tokens=False)]
        for position, ids in enumerate(tokens):
            if len(ids) > MAX_TOKENS:
                message = f"The input at {position} has {len(ids)} tokens: at most {MAX_TOKENS} are taken."
                raise InvalidRequestError(message, param="input")
        means = [self._vectors[ids].mean(axis=0) if ids else self._vectors[0] for ids in tokens]
        vectors = np.stack(means)[:, :dimensions]
        return Embeddings(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), [len(ids) for ids in tokens])


@cache
def is_installed() -> bool:
    """Return whether the packages that it needs are there."""
    return bool(_file(WEIGHTS)) and all(find_spec(name) for name in ("numpy", "safetensors", "tokenizers"))


def _file(name: str) -> str:
    """Return the path of a file of the package `wordllama`, if it is installed."""
    try:
        shipped = files("wordllama") or ()
    except PackageNotFoundError:
        return ""
    return next((str(file.locate()) for file in shipped if file.name == name), "")
