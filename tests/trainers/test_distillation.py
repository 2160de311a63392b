import numpy as np
import pytest
import torch

from trainers.distillation import distillation_loss

rng = np.random.default_rng(1)
STUDENT, TEACHER = rng.normal(0, 3, (2, 7, 10))
LABELS = rng.integers(0, 10, 7)
MIXED = rng.dirichlet(np.ones(10), 7)


def softmax(values):
    exponentials = np.exp(values - values.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def hard_part(smoothing, shares):
    targets = (1 - smoothing) * shares + smoothing / 10
    return -(targets * np.log(softmax(STUDENT))).sum(axis=1).mean()


def loss(labels, teacher=TEACHER, **settings):
    settings = {"temperature": 2.0, "teacher_share": 0.5} | settings
    said = None if teacher is None else torch.tensor(teacher)
    return float(distillation_loss(torch.tensor(STUDENT), said, torch.tensor(labels), **settings))


# The teacher is brought to float32, hence the tolerances.
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 6.0])
@pytest.mark.parametrize("teacher_share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("kl_mean", ["batch", "all"])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_loss_equals_its_formula(temperature, teacher_share, kl_mean, label_smoothing):
    target, guess = softmax(TEACHER / temperature), softmax(STUDENT / temperature)
    divergences = target * (np.log(target) - np.log(guess))
    soft = divergences.mean() if kl_mean == "all" else divergences.sum(axis=1).mean()
    settings = {"temperature": temperature, "teacher_share": teacher_share}
    settings |= {"kl_mean": kl_mean, "label_smoothing": label_smoothing}
    for labels, shares in ((LABELS, np.eye(10)[LABELS]), (MIXED, MIXED)):
        expected = (1 - teacher_share) * hard_part(label_smoothing, shares) + teacher_share * temperature**2 * soft
        assert loss(labels, **settings) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_without_a_teacher_the_loss_is_cross_entropy_whatever_its_share(label_smoothing):
    found = loss(MIXED, None, label_smoothing=label_smoothing, teacher_share=0.9)
    assert found == pytest.approx(hard_part(label_smoothing, MIXED))


def test_without_a_word_the_divergence_is_a_mean_over_clips_and_labels_are_as_they_are():
    assert loss(LABELS) == loss(LABELS, kl_mean="batch", label_smoothing=0.0)


def test_cp_jku_s_teacher_weighs_twenty_times_the_labels():
    """0.02 labels, 0.98 teacher, temperature 2, mean over all: the usual form of it is 0.392 to 0.02."""
    kl = loss(LABELS, teacher_share=1.0) / 4
    ce = loss(LABELS, teacher_share=0.0)
    found = loss(LABELS, teacher_share=0.98, kl_mean="all")
    assert found == pytest.approx(0.02 * ce + 0.392 * kl, rel=1e-5)


def test_a_student_that_equals_its_teacher_has_nothing_to_learn_from_it():
    logits = torch.linspace(-3, 3, 20).reshape(2, 10).half().float().requires_grad_()
    loss = distillation_loss(logits, logits.detach().half(), torch.tensor([0, 1]), temperature=2.0, teacher_share=1.0)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0, abs=1e-6)
    assert logits.grad.abs().max() < 1e-6
