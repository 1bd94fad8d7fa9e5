"""The loop beside another one: the Trainer of Hugging Face, step by step, from the same weights over the same examples.

Its loop counts the labels of a step too, but most heads of transformers divide by those of a micro-batch instead, so
where a step is cut it is given the loss as a formula.
"""

import copy
from typing import Any

import pytest
import torch
import transformers
from conftest import Project
from torch.nn import functional as F

from finetune.config.load import load_config
from finetune.data.batching import Padding
from finetune.data.features import IGNORE
from finetune.train import loop as training

STEPS = 7
STEP, MICRO = 4, 2
"""Examples of a step and of a micro-batch; the last step of an epoch is short of some."""
OPTIM = {"lr": 3e-4, "warmup": 3, "weight_decay": 0.1, "eps": 1e-6}
# With its usual 1e-8, Adam makes a step of full size out of gradients that are nothing but rounding.


def set_up(project: Project, task: str, precision: torch.dtype) -> tuple[Any, training.Setup]:
    loop = {"device": "cpu", "precision": "fp32", "max_steps": STEPS, "epochs": STEPS, "batch_size": STEP}
    path = project.config(task, model={"max_length": 64}, optim=OPTIM, train=loop)
    config = load_config(path, ["train.micro_batch_tokens=40"])
    training.set_seed(config.train.seed)
    setup = training.build(config)
    for module in setup.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "dropout", None), float):  # T5's attention
            module.dropout = 0.0
    setup.model.to(precision)
    return config, setup


def ours(config: Any, setup: training.Setup) -> list[tuple[float, float, float]]:
    """Loss, norm of the gradient and learning rate of each step."""
    examples = range(len(setup.train.features))
    epoch = [examples[start : start + STEP] for start in range(0, len(examples), STEP)]
    windows = [training.optimizer_step(config, setup, epoch[step % len(epoch)]) for step in range(STEPS)]
    return [(window.loss / window.count, window.grad_norm, window.lr) for window in windows]


def theirs(
    config: Any, setup: training.Setup, micro: int, formula: bool
) -> tuple[list[tuple[float, float, float]], Any]:
    """The same by the Trainer, and its model.

    A micro-batch has `micro` examples; its loss is that of the model, or is given as a formula.
    """
    model = copy.deepcopy(setup.model)
    features = setup.train.features
    shifted = setup.task.settings.auto_model == "AutoModelForCausalLM"

    def batch(rows: list[int]) -> dict[str, torch.Tensor]:
        padded = Padding(setup.tokenizer, setup.task.batch_labels).make_batch(features, rows)
        batch = {**padded.inputs, "labels": padded.labels}
        if formula and model.config.is_encoder_decoder:  # which otherwise makes it of the labels that it is given
            batch["decoder_input_ids"] = model.prepare_decoder_input_ids_from_labels(padded.labels)
        return batch

    def summed(outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor) -> torch.Tensor:
        logits = outputs.logits[:, :-1] if shifted else outputs.logits
        labels = labels[:, 1:] if shifted else labels
        loss = F.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=IGNORE, reduction="sum")
        return loss / num_items_in_batch

    trainer = transformers.Trainer(
        model,
        transformers.TrainingArguments(
            "trainer",
            max_steps=STEPS,
            per_device_train_batch_size=micro,
            gradient_accumulation_steps=STEP // micro,
            learning_rate=config.optim.lr,
            weight_decay=config.optim.weight_decay,
            adam_epsilon=config.optim.eps,
            warmup_steps=config.optim.warmup,
            lr_scheduler_type=config.optim.schedule,
            max_grad_norm=config.train.clip_norm,
            train_sampling_strategy="sequential",
            logging_steps=1,
            logging_nan_inf_filter=False,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
        ),
        train_dataset=list(range(len(features))),
        data_collator=batch,
        compute_loss_func=summed if formula else None,
    )
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    logs = [record for record in trainer.state.log_history if "loss" in record]
    return [(record["loss"], record["grad_norm"], record["learning_rate"]) for record in logs], model


@pytest.mark.parametrize(
    ("task", "micro", "formula"),
    [
        ("text-classification", STEP, False),
        ("text-classification", MICRO, True),
        ("token-classification", STEP, False),
        ("token-classification", MICRO, True),
        ("text-generation", MICRO, False),
        ("text-generation", MICRO, True),
        ("translation", STEP, False),
        ("translation", MICRO, True),
    ],
)
def test_oracle_parity_hf_trainer(task: str, micro: int, formula: bool, project: Project) -> None:
    """BERT, GPT-2 and T5; in fp32 with the loss of the model, in fp64 with that of the formula."""
    config, setup = set_up(project, task, torch.float64 if formula else torch.float32)
    tolerance = 1e-9 if formula else 1e-5
    assert len(setup.train.features) == len(setup.train)
    assert len({feature.scored_labels for feature in setup.train.features}) > 1 or task == "text-classification"
    expected, model = theirs(config, setup, micro, formula)
    found = ours(config, setup)
    assert len(found) == len(expected) == STEPS
    for step, ((loss, *figures), (its_loss, *its_figures)) in enumerate(zip(found, expected, strict=True)):
        assert loss == pytest.approx(its_loss, rel=max(tolerance, 1e-6)), f"step {step}"  # which it sums in fp32
        assert figures == pytest.approx(its_figures, rel=tolerance, abs=tolerance), f"step {step}"
    for name, weights in model.state_dict().items():
        torch.testing.assert_close(setup.model.state_dict()[name], weights, rtol=tolerance, atol=tolerance, msg=name)
