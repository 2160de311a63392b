"""What a student is told: the labels, blended with what its teacher says of the same clip."""

import torch.nn.functional as F
from torch import Tensor

from trainers.recipe import KlMean


def distillation_loss(
    student_logits: Tensor,
    teacher_logits: Tensor | None,
    labels: Tensor,
    *,
    temperature: float,
    teacher_share: float,
    kl_mean: KlMean = "batch",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy with the labels, blended with the divergence from the teacher.

    (1 - share) * CE(labels, student) + share * T^2 * KL(softmax(teacher / T) || softmax(student / T))

    Args:
        student_logits: (batch, scenes) float32.
        teacher_logits: (batch, scenes) of the same clips, float16 as cached; None where there is no teacher, for
            cross-entropy with the labels alone.
        labels: (batch,) int64, or (batch, scenes) float32 shares of the scenes, where clips are mixed.
        temperature: T, above 0. The divergence is multiplied by its square so that gradients keep their scale
            (Hinton et al. 2015, section 2).
        teacher_share: 0 for labels only, 1 for the teacher only.
        kl_mean: "batch" sums the divergence over scenes and averages it over clips, as its definition says and the
            Sharif team does; "all" averages over both, as CP-JKU does (2023), whose teacher weighs ten times less than
            its share says: 0.98 at a temperature of 2 is 20 : 1 and not 196 : 1 with 10 scenes.
        label_smoothing: Share of each label, mixed or not, that is spread evenly over all scenes, in [0, 1)
            (Szegedy et al. 2016, section 7). The teacher's part stays as it is.

    Returns:
        () float32, the mean over the batch.
    """
    hard = F.cross_entropy(student_logits, labels, label_smoothing=label_smoothing)
    if teacher_logits is None:
        return hard
    soft = F.kl_div(
        F.log_softmax(student_logits / temperature, dim=1),
        F.log_softmax(teacher_logits.float() / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    if kl_mean == "all":
        soft = soft / student_logits.shape[1]
    return (1 - teacher_share) * hard + teacher_share * temperature**2 * soft
