import numpy as np
import pytest
import torch

from trainers.distillation import distillation_loss


def softmax(values):
    exponentials = np.exp(values - values.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 6.0])
@pytest.mark.parametrize("teacher_share", [0.0, 0.3, 1.0])
def test_loss_equals_its_formula(temperature, teacher_share):
    rng = np.random.default_rng(1)
    student, teacher = rng.normal(0, 3, (2, 7, 10))
    labels = rng.integers(0, 10, 7)
    hard = -np.log(softmax(student)[np.arange(7), labels]).mean()
    target, guess = softmax(teacher / temperature), softmax(student / temperature)
    soft = (target * (np.log(target) - np.log(guess))).sum(axis=1).mean()
    loss = distillation_loss(
        torch.tensor(student),
        torch.tensor(teacher),
        torch.tensor(labels),
        temperature=temperature,
        teacher_share=teacher_share,
    )
    # The teacher is brought to float32, hence the tolerance.
    assert float(loss) == pytest.approx((1 - teacher_share) * hard + teacher_share * temperature**2 * soft, rel=1e-5)


def test_a_student_that_equals_its_teacher_has_nothing_to_learn_from_it():
    logits = torch.linspace(-3, 3, 20).reshape(2, 10).half().float().requires_grad_()
    loss = distillation_loss(logits, logits.detach().half(), torch.tensor([0, 1]), temperature=2.0, teacher_share=1.0)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0, abs=1e-6)
    assert logits.grad.abs().max() < 1e-6
