from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from torch import nn

from search_spaces.errors import InputError, NasError
from search_spaces.seeds import derive_seed
from trainers.augmentation.batches import Batch, augmented
from trainers.augmentation.mixing import draw_mixing
from trainers.evaluation import logits_of
from trainers.front_end import FrontEnd
from trainers.material import ClipViews, Material
from trainers.recipe import Recipe
from trainers.training import Training, TrainingFailed

SCENES = ("airport", "bus", "metro")


def material(fit=90, seed=0, logits=None):
    """Scenes that differ in the mel band that is loud; rows of the parts are interleaved."""
    rng = np.random.default_rng(seed)
    clips = fit + 30
    labels = rng.integers(0, 3, clips)
    features = rng.normal(0, 1, (clips, 6, 10))
    features[np.arange(clips), labels] += 2
    order = rng.permutation(clips)
    return Material(
        features=features.astype(np.float16),
        labels=labels.astype(np.int64),
        devices=np.array(["a"] * clips),
        rows={"fit": np.sort(order[:fit]), "validation": np.sort(order[fit:]), "test": np.array([], dtype=np.int64)},
        scenes=SCENES,
        logits=logits,
    )


def network(seed=0, dropout=0.0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d((6, 1)),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(48, 3),
        )


def taught(seed=1, dropout=0.5, threads=1, recipe=None, **kwargs):
    student = network(dropout=dropout)
    training = Training(student, material(**kwargs), recipe or Recipe(epochs=2, batch=16), seed=seed, threads=threads)
    results = [training.epoch() for _ in range(training.recipe.epochs)]
    return student.state_dict(), [result.loss for result in results]


def same(first, second):
    return all(torch.equal(value, second[name]) for name, value in first.items())


def test_a_student_learns_what_can_be_learnt():
    student, clips = network(), material()
    training = Training(student, clips, Recipe(epochs=12, batch=16, learning_rate=1e-2), seed=3, threads=1)
    results = [training.epoch() for _ in range(12)]
    rows = clips.rows["validation"]
    guesses = logits_of(student, clips.features, rows).argmax(axis=1)
    assert (guesses == clips.labels[rows]).mean() > 0.85
    assert results[-1].loss < 0.6 * results[0].loss
    assert [result.epoch for result in results] == list(range(1, 13))


def test_equal_seeds_end_in_equal_weights_whatever_the_global_generators_hold():
    torch.manual_seed(1)
    np.random.seed(1)
    weights, losses = taught()
    torch.manual_seed(2)
    np.random.seed(2)
    again, losses_again = taught()
    assert losses == losses_again
    assert same(weights, again)


def test_a_network_learns_in_training_mode_even_if_it_came_in_evaluation_mode():
    student = network().eval()
    Training(student, material(fit=32), Recipe(epochs=1, batch=16), seed=0).epoch()
    assert student[1].num_batches_tracked == 2


def test_another_seed_ends_in_other_weights():
    assert not same(taught(seed=1)[0], taught(seed=2)[0])


def test_training_leaves_generators_and_thread_count_as_they_were():
    torch.manual_seed(7)
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    taught(threads=threads + 1)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.get_num_threads() == threads


class Recorder(nn.Module):
    """Notes the batches that a student was given."""

    def __init__(self):
        super().__init__()
        self.inner = network()
        self.batches = []

    def forward(self, batch):
        self.batches.append(batch.detach().clone())
        return self.inner(batch)


@pytest.mark.parametrize(("fit", "sizes"), [(32, [16, 16]), (33, [16, 16]), (34, [16, 16, 2]), (5, [5])])
def test_an_epoch_shows_every_fit_clip_once_and_never_a_single_one(fit, sizes):
    student, clips = Recorder(), material(fit=fit)
    recipe = Recipe(epochs=2, batch=16, roll=0.0, mixstyle_probability=0.0)
    training = Training(student, clips, recipe, seed=0)
    training.epoch()
    assert [len(batch) for batch in student.batches] == sizes
    assert training.steps_per_epoch == len(sizes)
    seen = torch.cat(student.batches)[:, 0].numpy().reshape(-1, 60)
    allowed = clips.features[clips.rows["fit"]].astype(np.float32).reshape(-1, 60)
    matches = (seen[:, None] == allowed[None]).all(axis=2)
    assert (matches.sum(axis=1) == 1).all()
    assert matches.sum(axis=0).max() == 1
    first = torch.cat(student.batches[: len(sizes)])
    training.epoch()
    assert not torch.equal(torch.cat(student.batches[len(sizes) :]), first)


def test_teacher_logits_stay_with_their_clips():
    """A teacher that knows the labels, with none of the weight on the labels, teaches as well as they do."""
    clips = material()
    logits = np.full((len(clips.labels), 3), -6, dtype=np.float16)
    logits[np.arange(len(clips.labels)), clips.labels] = 6
    student = network()
    clips = material(logits=logits)
    recipe = Recipe(epochs=12, batch=16, learning_rate=1e-2, teacher_share=1.0)
    training = Training(student, clips, recipe, seed=3, threads=1)
    for _ in range(12):
        training.epoch()
    rows = clips.rows["validation"]
    assert (logits_of(student, clips.features, rows).argmax(axis=1) == clips.labels[rows]).mean() > 0.85


def test_without_a_share_the_teacher_changes_nothing():
    logits = np.zeros((120, 3), dtype=np.float16)
    recipe = Recipe(epochs=1, batch=16, teacher_share=0.0)
    weights, _ = taught(recipe=recipe, logits=logits)
    assert same(weights, taught(recipe=recipe)[0])


def test_a_network_hears_what_the_augmentation_makes_of_its_clips():
    """In the order of the draws: the clips, then what is done to them."""
    student, clips = Recorder(), replace(material(fit=16), front_end=FrontEnd(offset=4.5, scale=5.0))
    recipe = Recipe(epochs=1, batch=16, frequency_mask=0.5, mask_fill="zero", mixup_probability=1.0)
    Training(student, clips, recipe, seed=4).epoch()
    rng = np.random.default_rng(derive_seed(4, "epoch", 0))
    rows = clips.rows["fit"][rng.permutation(16)]
    features = torch.from_numpy(clips.features[rows])
    expected = augmented(Batch(features, torch.zeros(16, 3), None), recipe, clips.front_end, rng).features
    assert torch.equal(student.batches[0][:, 0], expected)


def test_the_loss_is_of_labels_and_teacher_logits_mixed_as_the_clips_are():
    """A network that always says the same, so that the first step's loss is a sum over the mixed labels and logits."""
    logits = np.random.default_rng(3).normal(size=(94, 3)).astype(np.float16)
    clips = material(fit=64, logits=logits)
    constant = nn.Sequential(nn.Flatten(), nn.Linear(60, 3))
    nn.init.zeros_(constant[1].weight)
    with torch.no_grad():
        constant[1].bias.copy_(torch.tensor([2.0, 0.0, -1.0]))
    recipe = Recipe(
        epochs=1,
        batch=64,
        roll=0.0,
        mixstyle_probability=0.0,
        mixup_probability=1.0,
        teacher_share=0.5,
        temperature=2.0,
    )
    loss = Training(constant, clips, recipe, seed=4).epoch().loss
    rng = np.random.default_rng(derive_seed(4, "epoch", 0))
    rows = clips.rows["fit"][rng.permutation(64)]
    rng.random(2)  # whether Freq-MixStyle, whether mixup
    said = np.array([2.0, 0.0, -1.0])
    weight, partner = (np.asarray(part) for part in draw_mixing(64, 0.3, rng))
    own = weight[:, None].astype(np.float64)
    target, taught = (own * x[rows] + (1 - own) * x[rows][partner] for x in (np.eye(3)[clips.labels], logits))
    hard = -(target * log_softmax(said)).sum(axis=1).mean()
    teacher = log_softmax(taught / 2, axis=1)
    soft = (np.exp(teacher) * (teacher - log_softmax(said / 2))).sum(axis=1).mean()
    assert loss == pytest.approx(0.5 * hard + 0.5 * 4 * soft, rel=1e-5)


def test_the_loss_of_a_view_is_of_the_logits_of_that_view_and_of_mixed_labels():
    """As above: the teacher has heard the view, and what was mixed into its waveform is mixed into the labels alone."""
    rng = np.random.default_rng(3)
    logits, of_views = (rng.normal(size=shape).astype(np.float16) for shape in ((94, 3), (94, 2, 3)))
    clips = material(fit=64, logits=logits)
    fit = clips.rows["fit"]
    partners, weights = rng.choice(fit, (94, 2)), rng.choice([0.5, 0.75, 1.0], (94, 2)).astype(np.float32)
    views = ClipViews(rng.normal(size=(94, 2, 6, 10)).astype(np.float16), partners, weights, of_views)
    constant = nn.Sequential(nn.Flatten(), nn.Linear(60, 3))
    nn.init.zeros_(constant[1].weight)
    with torch.no_grad():
        constant[1].bias.copy_(torch.tensor([2.0, 0.0, -1.0]))
    recipe = Recipe(epochs=1, batch=64, roll=0.0, mixstyle_probability=0.0, teacher_share=0.5, temperature=2.0)
    loss = Training(constant, replace(clips, views=views), recipe, seed=4).epoch().loss
    rng = np.random.default_rng(derive_seed(4, "epoch", 0))
    rows, view = fit[rng.permutation(64)], rng.integers(3, size=64)
    said, labels = np.array([2.0, 0.0, -1.0]), np.eye(3)[clips.labels]
    hard = soft = 0.0
    for row, shown in zip(rows, view, strict=True):
        target, taught = labels[row], logits[row]
        if shown > 0:
            own, other = float(weights[row, shown - 1]), partners[row, shown - 1]
            target, taught = own * target + (1 - own) * labels[other], of_views[row, shown - 1]
        hard -= (target * log_softmax(said)).sum() / 64
        teacher = log_softmax(taught.astype(np.float64) / 2)
        soft += (np.exp(teacher) * (teacher - log_softmax(said / 2))).sum() / 64
    assert loss == pytest.approx(0.5 * hard + 0.5 * 4 * soft, rel=1e-5)


def test_every_view_is_heard():
    clips = material(fit=40)
    marks = np.arange(1, 4, dtype=np.float16)[None, :, None, None]
    features = np.broadcast_to(100 * marks, (70, 3, 6, 10)).copy()
    views = ClipViews(features, np.zeros((70, 3), dtype=np.int64), np.ones((70, 3), dtype=np.float32))
    student = Recorder()
    recipe = Recipe(epochs=20, batch=40, roll=0.0, mixstyle_probability=0.0)
    training = Training(student, replace(clips, views=views), recipe, seed=0)
    for _ in range(20):
        training.epoch()
    heard = (torch.cat(student.batches)[:, 0, 0, 0] / 100).round().int().clamp(min=0).numpy()
    assert np.bincount(heard, minlength=4) / 800 == pytest.approx([0.25] * 4, abs=5 * 0.43 / np.sqrt(800))


def test_a_view_that_a_held_out_clip_is_mixed_into_is_never_heard():
    clips = material(fit=40)
    clips = replace(clips, rows={**clips.rows, "fit": np.arange(40), "validation": np.arange(40, 70)})
    features = np.full((70, 1, 6, 10), 100, dtype=np.float16)
    views = ClipViews(features, np.full((70, 1), 60), np.full((70, 1), 0.5, dtype=np.float32))
    student = Recorder()
    recipe = Recipe(epochs=1, batch=40, roll=0.0, mixstyle_probability=0.0)
    Training(student, replace(clips, views=views), recipe, seed=0).epoch()
    assert student.batches[0].max() < 50


def test_a_loss_that_is_not_finite_names_epoch_and_step():
    clips = material()
    bad = clips.rows["fit"][4]
    clips.features[bad] = np.inf
    training = Training(network(), clips, Recipe(epochs=1, batch=90, roll=0.0), seed=0)
    with pytest.raises(TrainingFailed, match=r"epoch 1, step 1 of 1") as caught:
        training.epoch()
    assert isinstance(caught.value, NasError)


def test_one_clip_is_not_enough_to_learn_from():
    with pytest.raises(InputError, match="at least 2"):
        Training(network(), material(fit=1), Recipe(epochs=1), seed=0)


def test_there_is_no_epoch_beyond_the_recipe():
    training = Training(network(), material(fit=8), Recipe(epochs=1), seed=0)
    training.epoch()
    with pytest.raises(ValueError, match="all 1 epochs"):
        training.epoch()
