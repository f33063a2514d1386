"""Make text_encoders.npz: features of small BERT and DistilBERT networks by PyTorch 2.13 and transformers 5.23.

    python make_text_goldens.py

Neither is needed by a test. The weights are those of `inputs.seeded`; for each case the file holds the names and shapes
of its tensors, its config.json, and the mean over the real tokens of the last layer.
"""

import json
from pathlib import Path

import numpy as np
import torch
from inputs import seeded
from transformers import BertConfig, BertForMaskedLM, DistilBertConfig, DistilBertModel

TOKENS = np.array([[2, 7, 11, 30, 5, 3, 0, 0], [2, 9, 9, 39, 14, 22, 8, 3], [2, 3, 0, 0, 0, 0, 0, 0]])
CASES = {
    "bert": (BertForMaskedLM, BertConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24,
        max_position_embeddings=12)),
    "tanh": (BertForMaskedLM, BertConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=12, hidden_act="gelu_new")),
    "distilbert": (DistilBertModel, DistilBertConfig(
        vocab_size=40, dim=16, n_layers=2, n_heads=4, hidden_dim=24, max_position_embeddings=12)),
}


def main() -> None:
    torch.set_grad_enabled(False)
    arrays = {"tokens": TOKENS}
    for name, (kind, config) in CASES.items():
        model = kind(config).eval()
        shapes = {key: list(value.shape) for key, value in model.state_dict().items()
                  if not key.startswith("cls.predictions.decoder")}  # whose kernel is that of the words
        model.load_state_dict({key: torch.from_numpy(value) for key, value in seeded(shapes).items()}, strict=False)
        tokens = torch.from_numpy(TOKENS)
        mask = (tokens != 0).long()
        states = getattr(model, "bert", model)(input_ids=tokens, attention_mask=mask).last_hidden_state
        weights = mask[..., None].float()
        arrays[f"{name}_features"] = ((states * weights).sum(1) / weights.sum(1)).numpy()
        said = json.loads(config.to_json_string(use_diff=False)) | {"model_type": config.model_type}
        arrays[f"{name}_shapes"], arrays[f"{name}_config"] = json.dumps(shapes), json.dumps(said)
    np.savez_compressed(Path(__file__).parent / "text_encoders.npz", **arrays)


if __name__ == "__main__":
    main()
