import io
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.special import log_softmax
from torch import nn

from search_spaces.designs import design
from search_spaces.errors import InputError, NasError
from search_spaces.network import build
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


@pytest.mark.parametrize(("kl_mean", "smoothing", "autocast"), [("batch", 0.0, False), ("all", 0.25, True)])
def test_the_loss_is_of_labels_and_teacher_logits_mixed_as_the_clips_are(kl_mean, smoothing, autocast):
    """A network that always says the same, so that the first step's loss is a sum over the mixed labels and logits.

    What it says has few digits: where the network computes in bfloat16, only the loss would show it.
    """
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
        kl_mean=kl_mean,
        label_smoothing=smoothing,
        autocast=autocast,
    )
    loss = Training(constant, clips, recipe, seed=4).epoch().loss
    rng = np.random.default_rng(derive_seed(4, "epoch", 0))
    rows = clips.rows["fit"][rng.permutation(64)]
    rng.random(2)  # whether Freq-MixStyle, whether mixup
    said = np.array([2.0, 0.0, -1.0])
    weight, partner = (np.asarray(part) for part in draw_mixing(64, 0.3, rng))
    own = weight[:, None].astype(np.float64)
    target, taught = (own * x[rows] + (1 - own) * x[rows][partner] for x in (np.eye(3)[clips.labels], logits))
    hard = -(((1 - smoothing) * target + smoothing / 3) * log_softmax(said)).sum(axis=1).mean()
    teacher = log_softmax(taught / 2, axis=1)
    divergences = np.exp(teacher) * (teacher - log_softmax(said / 2))
    soft = divergences.mean() if kl_mean == "all" else divergences.sum(axis=1).mean()
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


def test_without_a_word_a_training_is_adamw_along_a_cosine_with_gradients_cut_at_5():
    """Written out, with dropout and a teacher."""
    logits = np.random.default_rng(3).normal(0, 2, size=(120, 3)).astype(np.float16)
    clips, recipe = material(logits=logits), Recipe(epochs=2, batch=16)
    found, plain = network(dropout=0.5), network(dropout=0.5)
    for student in (found, plain):
        nn.init.constant_(student[1].weight, 4.0)  # steep enough for some to be cut
    training = Training(found, clips, recipe, seed=1, threads=1)
    losses = [training.epoch().loss for _ in range(2)]
    plain = plain.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(plain.parameters(), weight_decay=1e-4, fused=True)
    cut, means = 0, []
    for epoch in range(2):
        rng = np.random.default_rng(derive_seed(1, "epoch", epoch))
        order = clips.rows["fit"][rng.permutation(90)]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(1, "torch", epoch))
            total = 0.0
            for number in range(6):
                rows = order[16 * number : 16 * number + 16]
                step = 6 * epoch + number
                targets = F.one_hot(torch.from_numpy(clips.labels[rows]), 3).float()
                batch = Batch(torch.from_numpy(clips.features[rows]), targets, torch.from_numpy(logits[rows]))
                batch = augmented(batch, recipe, clips.front_end, rng)
                said = plain(batch.features[:, None])
                teacher = F.log_softmax(batch.logits.float() / 2, 1)
                soft = F.kl_div(F.log_softmax(said / 2, 1), teacher, reduction="batchmean", log_target=True)
                loss = 0.3 * F.cross_entropy(said, batch.targets) + 0.7 * 4 * soft
                optimizer.zero_grad()
                loss.backward()
                norm = torch.stack([p.grad.square().sum() for p in plain.parameters()]).sum().sqrt()
                cut += bool(norm > 5)
                for parameter in plain.parameters():
                    parameter.grad *= min(1.0, 5 / float(norm))
                warm = step < 1
                rate = 2e-3 / 2 if warm else 1e-3 * (1 + np.cos(np.pi * (step - 1) / 11))
                optimizer.param_groups[0]["lr"] = rate
                optimizer.step()
                total += float(loss.detach()) * len(rows)
        means.append(total / 90)
    assert 0 < cut < 12
    assert losses == pytest.approx(means, rel=1e-5)
    torch.testing.assert_close(found.state_dict(), plain.state_dict(), rtol=1e-4, atol=1e-5)


class Idle(nn.Module):
    """Has a weight that no loss depends on: an optimizer then does no more to it than decay it."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([2.0, -3.0]))
        self.said = nn.Parameter(torch.zeros(3))

    def forward(self, batch):
        return self.said + 0 * self.weight.sum() + torch.zeros(len(batch), 3)


@pytest.mark.parametrize("schedule", ["cosine", "ramp"])
def test_adamw_shrinks_every_weight_at_the_rate_of_each_step(schedule):
    recipe = Recipe(epochs=6, batch=32, learning_rate=0.5, weight_decay=0.1, schedule=schedule, warm_up=0.3)
    student = Idle()
    training = Training(student, material(), recipe, seed=0, threads=1)
    for _ in range(6):
        training.epoch()
    assert training.steps_per_epoch == 3
    left = np.prod([1 - 0.1 * recipe.learning_rate_at(step, 18) for step in range(18)])
    assert student.weight.tolist() == pytest.approx([2 * left, -3 * left], rel=1e-5)


def test_adam_has_its_decay_in_the_gradient():
    """Whose scale Adam then takes away: each step moves by nearly the rate towards 0, whatever the decay."""
    recipe = Recipe(epochs=1, batch=45, learning_rate=0.01, weight_decay=0.1, optimizer="adam", warm_up=0.0)
    student = Idle()
    training = Training(student, material(), recipe, seed=0, threads=1)
    training.epoch()
    moved = sum(recipe.learning_rate_at(step, 2) for step in range(2))
    assert student.weight.tolist() == pytest.approx([2 - moved, -3 + moved], abs=1e-4)


@pytest.mark.parametrize(("limit", "expected"), [(0.01, 0.01), (None, None), (1e6, None)])
def test_gradients_are_cut_to_the_norm_of_the_recipe(limit, expected):
    def norm(gradient_norm):
        student = network()
        recipe = Recipe(epochs=1, batch=90, gradient_norm=gradient_norm)
        Training(student, material(), recipe, seed=0, threads=1).epoch()
        return float(torch.stack([parameter.grad.square().sum() for parameter in student.parameters()]).sum().sqrt())

    uncut = norm(1e9)
    assert uncut > 0.1
    assert norm(limit) == pytest.approx(expected or uncut, rel=1e-3)


def test_the_average_follows_every_step_and_leaves_the_training_alone():
    alone, followed, history = network(dropout=0.5), network(dropout=0.5), []
    recipe = Recipe(epochs=3, batch=32)
    followed.register_forward_pre_hook(lambda module, _: history.append(weights_of(module)))
    trainings = [
        Training(alone, material(), recipe, seed=0, threads=1),
        Training(followed, material(), replace(recipe, averaging=0.6), seed=0, threads=1),
    ]
    for _ in range(3):
        assert trainings[0].epoch().loss == trainings[1].epoch().loss
    assert trainings[0].taught is alone
    assert same(alone.state_dict(), followed.state_dict())
    history.append(weights_of(followed))
    average = history[0]
    for step, weights in enumerate(history[1:]):
        decay = min(0.6, (1 + step) / (10 + step))
        average = {name: decay * average[name] + (1 - decay) * value for name, value in weights.items()}
    assert len(history) == 10
    for name, value in weights_of(trainings[1].taught).items():
        np.testing.assert_allclose(value, average[name], rtol=1e-4, atol=1e-6, err_msg=name)


def weights_of(module):
    return {name: value.detach().double().numpy().copy() for name, value in module.named_parameters()}


class Scheduled(nn.Module):
    """Anneals, and says in its buffer how far it is."""

    def __init__(self):
        super().__init__()
        self.inner, self.epoch = network(), -1

    def begin_epoch(self, epoch):
        self.epoch = epoch

    def forward(self, batch):
        return self.inner(batch)


@pytest.mark.parametrize("averaging", [0.0, 0.5])
def test_what_is_judged_has_annealed_as_far_as_what_learns(averaging):
    training = Training(Scheduled(), material(), Recipe(epochs=2, averaging=averaging), seed=0)
    for epoch in range(2):
        training.epoch()
        assert (training.network.epoch, training.taught.epoch) == (epoch, epoch)


DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


@pytest.mark.parametrize("device", DEVICES)
def test_a_student_learns_in_bfloat16_and_keeps_its_weights_in_float32(device):
    student, clips, kinds = network(), material(), set()
    student[6].register_forward_hook(lambda _, __, said: kinds.add(said.dtype))
    recipe = Recipe(epochs=12, batch=16, learning_rate=1e-2, autocast=True)
    training = Training(student, clips, recipe, seed=3, threads=1, device=device)
    for _ in range(12):
        training.epoch()
    assert kinds == {torch.bfloat16}
    assert {parameter.dtype for parameter in student.parameters()} == {torch.float32}
    rows = clips.rows["validation"]
    assert (logits_of(student, clips.features, rows).argmax(axis=1) == clips.labels[rows]).mean() > 0.85
    assert kinds == {torch.bfloat16, torch.float32}  # judged as it is deployed


@pytest.mark.parametrize("name", ["cp-mobile-2025", "dynacp", "sharif"])
def test_the_known_designs_learn_in_bfloat16(name):
    clips = material(fit=16)
    recipe = Recipe(epochs=1, batch=16, autocast=True)
    wide = replace(clips, features=np.tile(clips.features, (1, 6, 3)).astype(np.float16)[:, :32])
    student = build(replace(design(name).at(32, 30), classes=3))
    before = [parameter.detach().clone() for parameter in student.parameters()]
    Training(student, wide, recipe, seed=0, threads=1).epoch()
    after = list(student.parameters())
    assert all(parameter.isfinite().all() for parameter in after)
    assert sum(not torch.equal(old, new) for old, new in zip(before, after, strict=True)) > 0.8 * len(after)


KINDS = {
    "as it is": {},
    "adam": {"optimizer": "adam", "weight_decay": 0.1},
    "ramp": {"schedule": "ramp", "warm_up": 0.5},
    "averaged": {"averaging": 0.9},
    "bfloat16": {"autocast": True},
    "mixed": {"mixup_probability": 0.5, "frequency_mask": 0.5},
}


def viewed():
    rng = np.random.default_rng(3)
    logits, of_views = (rng.normal(size=shape).astype(np.float16) for shape in ((120, 3), (120, 2, 3)))
    clips = material(logits=logits)
    partners, weights = rng.choice(clips.rows["fit"], (120, 2)), rng.choice([0.5, 1.0], (120, 2)).astype(np.float32)
    features = rng.normal(size=(120, 2, 6, 10)).astype(np.float16)
    return replace(clips, views=ClipViews(features, partners, weights, of_views))


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_training_that_carries_on_ends_as_if_it_had_never_stopped(kind):
    """To the last bit; the other one begins with other weights, and may not touch what it was given."""
    clips, recipe = viewed(), Recipe(epochs=4, batch=16, **KINDS[kind])

    def begun(seed):
        return Training(network(seed, dropout=0.5), clips, recipe, seed=1, threads=1)

    whole = begun(0)
    losses = [whole.epoch().loss for _ in range(4)]
    first = begun(0)
    assert [first.epoch().loss, first.epoch().loss] == losses[:2]
    file = io.BytesIO()
    torch.save(first.state(), file)
    file.seek(0)
    for state in (first.state(), first.state(), torch.load(file, weights_only=True)):
        second = begun(5)
        second.restore(state)
        assert second.epochs_done == 2
        assert [second.epoch().loss, second.epoch().loss] == losses[2:]
        assert same(whole.taught.state_dict(), second.taught.state_dict())
        assert same(whole.network.state_dict(), second.network.state_dict())
        with pytest.raises(ValueError, match="all 4 epochs"):
            second.epoch()


def test_a_state_of_another_network_is_refused():
    state = Training(network(), material(), Recipe(epochs=1), seed=0).state()
    with pytest.raises(RuntimeError, match="size mismatch"):
        Training(nn.Sequential(nn.Conv2d(1, 3, 3)), material(), Recipe(epochs=1), seed=0).restore(state)
